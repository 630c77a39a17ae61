"""The tools that MCP clients find at `/mcp/generate/`; one POST is one exchange, nothing is kept between two.

The SDK does all of the protocol, in an event loop of its own for each POST. Importing it takes a second or two, so
only a process that is asked for tools does.
"""

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from accounts.refusals import Refusal
from pins.codes.generating import PARAMETERS, Parameter, generated, order_of_json

GENERATE_PIN = "generate_pin"


@dataclass
class Exchange:
    """What goes out for one POST."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def exchange(headers: Mapping[str, str], body: bytes) -> Exchange:
    """Answer one POST of an MCP client; `headers` without those that name the caller."""
    return asyncio.run(_exchange(headers, body))


async def _exchange(headers: Mapping[str, str], body: bytes) -> Exchange:
    sent = Exchange()
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if pending:
            return pending.pop()
        # The client is still there: it waits for the answer.
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            sent.status = message["status"]
            sent.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            sent.body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": None,
        "server": None,
    }
    manager = StreamableHTTPSessionManager(_server, stateless=True, json_response=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)
    return sent


def _property(parameter: Parameter) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "boolean"}
    if not parameter.is_flag:
        kind = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
    return kind | {"default": parameter.default, "description": parameter.words}


_TOOL = Tool(
    name=GENERATE_PIN,
    title="Generate a PIN",
    description=(
        "Draws numeric PINs from a cryptographically secure source, uniformly over all that are allowed. "
        "Use 6 digits or more for sensitive purposes."
    ),
    input_schema={
        "type": "object",
        "properties": {parameter.name: _property(parameter) for parameter in PARAMETERS},
        "additionalProperties": False,
    },
    output_schema={
        "type": "object",
        "properties": {
            "pin": {"type": "string"},
            "length": {"type": "integer"},
            "entropy_bits": {"type": "number"},
            "allowed_count": {"type": "integer"},
            "policy": {"type": "string"},
            "pins": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["pin", "length", "entropy_bits", "allowed_count", "policy"],
    },
    annotations=ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=False, open_world_hint=False
    ),
)


async def _list_tools(context: ServerRequestContext[Any], parameters: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[_TOOL])


async def _call_tool(context: ServerRequestContext[Any], parameters: CallToolRequestParams) -> CallToolResult:
    if parameters.name != GENERATE_PIN:
        raise MCPError(INVALID_PARAMS, f"There is no tool “{parameters.name[:40]}”.")
    try:
        answer = generated(order_of_json(parameters.arguments or {}))
    except Refusal as refusal:
        return CallToolResult(content=[TextContent(text=refusal.sentence)], is_error=True)
    return CallToolResult(content=[TextContent(text=json.dumps(answer))], structured_content=answer)


_server: Server[Any] = Server(
    "gatehouse-generate",
    version="1",
    title="Gatehouse PIN generator",
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
)
