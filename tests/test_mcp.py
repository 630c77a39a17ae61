"""The official MCP client against the running server, and what a POST by hand is answered."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.test import Client as Browser
from mcp import Client, MCPError
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

from accounts import rates
from accounts.models import ApiKey
from accounts.tenancy import tenant_transaction
from tests import world
from tests.test_generator_api import LIMIT_HEADERS, PATH, a_key

PROJECT = Path(__file__).resolve().parents[1]
MCP = "/mcp/generate/"


@pytest.fixture(autouse=True)
def _no_counts(settings, monkeypatch):
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    monkeypatch.setattr(rates, "_circuit", rates._Circuit())


@pytest.fixture
def server(live, tmp_path):
    """The product under granian, on the committed data of this test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "DATABASE_URL": os.environ["DATABASE_URL"].replace("/gatehouse?", f"/{os.environ['GATEHOUSE_TEST_DATABASE']}?"),
        "REDIS_URL": settings.REDIS_URL,
        "PUBLIC_URL": url,
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--blocking-threads", "4", "--no-ws"]
    with (tmp_path / "web.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "accesscontrol.wsgi:application"], cwd=PROJECT, env=environment, stdout=log, stderr=log
        )
    try:
        for _ in range(1800):
            assert process.poll() is None, (tmp_path / "web.log").read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(120)
    log_text = (tmp_path / "web.log").read_text()
    assert "Traceback" not in log_text, log_text


@pytest.fixture
def key(live):
    with tenant_transaction(live.acme.pk):
        return a_key()


def talk(url, key, conversation, mode="auto"):
    """What an MCP client configured as in the contract does: this address, this header."""

    async def run():
        async with (
            create_mcp_http_client(headers={"X-API-Key": key}) as http_client,
            Client(streamable_http_client(url + MCP, http_client=http_client), mode=mode) as client,
        ):
            return await conversation(client)

    return asyncio.run(asyncio.wait_for(run(), 300))


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_official_client(server, key, mode):
    async def conversation(client):
        tools = (await client.list_tools()).tools
        good = await client.call_tool("generate_pin", {"length": 6, "exclude_weak": True, "count": 3})
        plain = await client.call_tool("generate_pin", {})
        bad = await client.call_tool("generate_pin", {"length": 3})
        with pytest.raises(MCPError, match="no tool"):
            await client.call_tool("roll_dice", {})
        return tools, good, plain, bad

    tools, good, plain, bad = talk(server, key, conversation, mode)
    assert tools[0].name == "generate_pin"
    assert list(tools[0].input_schema["properties"]) == [
        "length", "exclude_sequential", "exclude_repeated", "exclude_weak", "count",
    ]  # fmt: skip
    assert tools[0].input_schema["properties"]["length"]["maximum"] == 12
    assert not good.is_error
    answer = good.structured_content
    assert json.loads(good.content[0].text) == answer
    assert len(set(answer["pins"])) == 3
    rest = json.loads(_get(server + PATH + "?length=6&exclude_weak=true&count=3", key)[1])
    assert set(answer) == set(rest)
    assert {name: answer[name] for name in ("length", "entropy_bits", "allowed_count", "policy")} == {
        name: rest[name] for name in ("length", "entropy_bits", "allowed_count", "policy")
    }
    assert plain.structured_content["length"] == 4
    refused = json.loads(_get(server + PATH + "?length=3", key)[1])
    assert bad.is_error
    assert bad.content[0].text == refused["error"]


def test_the_official_client_with_a_wrong_key(server):
    async def conversation(client):
        return await client.list_tools()

    assert failure(server, "ghg_wrong", conversation, "legacy") == "Invalid API key"


def test_the_official_client_past_its_plan(server, live):
    with tenant_transaction(live.acme.pk):
        key = a_key(per_minute=10)

    async def conversation(client):
        for _ in range(20):
            await client.call_tool("generate_pin", {})

    assert failure(server, key, conversation) == "Rate limit exceeded"
    assert _get(server + PATH, key)[0] == 429


def failure(*arguments):
    """What the client says of a conversation that fails; it wraps its errors in groups."""
    with pytest.raises((BaseExceptionGroup, MCPError)) as caught:
        talk(*arguments)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _get(url, key):
    request = urllib.request.Request(url, headers={"X-API-Key": key})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "generate_pin", "arguments": {"length": 6}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def client(acme):
    return Browser(headers={"X-API-Key": a_key(), **ACCEPT})


def post(client, body, **headers):
    body = body if isinstance(body, str | bytes) else json.dumps(body)
    response = client.post(MCP, body, content_type="application/json", headers=headers)
    for header in LIMIT_HEADERS:
        assert response[header].isdigit()
    assert response["Cache-Control"] == "no-store"
    return response


def test_one_post_is_enough(client):
    response = post(client, CALL)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert body["id"] == 1
    assert len(body["result"]["structuredContent"]["pin"]) == 6


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"length": 13}, "length must be a whole number from 4 to 12."),
        ({"length": "6"}, "length must be a whole number from 4 to 12."),
        ({"length": True}, "length must be a whole number from 4 to 12."),
        ({"length": 4.5}, "length must be a whole number from 4 to 12."),
        ({"length": 10**400}, "length must be a whole number from 4 to 12."),
        ({"count": 101}, "count must be a whole number from 1 to 100."),
        ({"exclude_weak": "yes"}, "exclude_weak must be true or false."),
        ({"exclude_weak": 1}, "exclude_weak must be true or false."),
        ({"digits": 6}, "There is no parameter “digits”."),
    ],
)
def test_a_bad_argument_is_a_tool_error(client, arguments, text):
    call = CALL | {"params": {"name": "generate_pin", "arguments": arguments}}
    result = post(client, call).json()["result"]
    assert result["isError"]
    assert result["content"][0]["text"] == text


def test_null_and_whole_floats_are_fine(client):
    call = CALL | {"params": {"name": "generate_pin", "arguments": {"length": 6.0, "count": None}}}
    assert post(client, call).json()["result"]["structuredContent"]["length"] == 6


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "1", "null", b"\xff", "[" * 100_000, '{"jsonrpc":"2.0"}', '{"id":1}', '"\\ud800"',
             '{"jsonrpc":"2.0","id":1,"method":"\\u0000"}']
)  # fmt: skip
@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28", "1999-01-01"])
def test_bodies_that_are_none(client, body, version):
    response = post(client, body, **{"MCP-Protocol-Version": version})
    assert 200 <= response.status_code < 500
    if response.status_code == 200:
        assert "error" in response.json()


def test_a_body_that_is_too_large(client):
    assert post(client, "x" * 1_100_000).status_code == 413


@pytest.mark.parametrize("method", ["get", "put", "delete", "head", "options"])
def test_other_methods(client, method):
    response = getattr(client, method)(MCP)
    assert response.status_code == 405
    assert response["Allow"] == "POST"


def test_without_the_slash(client):
    assert client.post("/mcp/generate", CALL, content_type="application/json").status_code == 404


def test_without_a_valid_key(acme):
    for headers in ({}, {"X-API-Key": "ghg_wrong"}):
        response = post(Browser(headers=headers | ACCEPT), CALL)
        assert response.status_code == 401
        told = response.json()
        assert (told["jsonrpc"], told["id"]) == ("2.0", None)
        assert told["error"]["message"] == "Invalid API key"
        assert told["error"]["data"] == {"error": "Invalid API key", "code": "UNAUTHORIZED"}


def test_with_a_key_for_other_things(acme):
    response = post(Browser(headers={"X-API-Key": a_key(ApiKey.Kind.READER), **ACCEPT}), CALL)
    assert (response.status_code, response.json()["error"]["data"]["code"]) == (403, "FORBIDDEN")


def test_a_browser_session_is_no_key(acme):
    browser = world.signed_in(world.a_member("owner").user)
    assert post(browser, CALL).status_code == 401


def test_the_plan_limits_both_ways_together(acme):
    client = Browser(headers={"X-API-Key": a_key(per_minute=2), **ACCEPT})
    assert client.get(PATH).status_code == 200
    assert post(client, CALL).status_code == 200
    refused = post(client, CALL)
    assert refused.status_code == 429
    assert refused["Retry-After"] == str(refused.json()["error"]["data"]["retry_after"])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example"])
def test_pages_of_other_sites(client, origin):
    assert post(client, CALL, Origin=origin).status_code == 403


def test_pages_of_this_site(client, settings):
    for origin in (settings.PUBLIC_URL, "http://testserver"):
        assert post(client, CALL, Origin=origin).status_code == 200


def test_another_host_is_refused(acme):
    client = Browser(headers={"X-API-Key": a_key(), "Host": "evil.example", **ACCEPT})
    assert client.post(MCP, CALL, content_type="application/json").status_code == 400
