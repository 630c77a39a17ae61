"""How the API document is made: scopes from the table of rights, errors that every operation shares, and examples.

Examples follow from the names of fields, so that no operation is without one and none is written twice.
"""

import json
from typing import Any, Final

from drf_spectacular.openapi import AutoSchema

from accounts.answers import ERROR_NAMES
from accounts.rights import OF_SCOPE, SCOPE_WORDS, Right

_KEYS: Final[list[dict[str, Any]]] = [{"bearer": []}, {"basic": []}, {"header": []}]
_ERROR: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorOutput"}}}
_SHARED: Final = {
    "401": "No key or token was shown, or it is not known, has expired or was revoked.",
    "403": "This key or token may not do that.",
    "406": "Answers are JSON only.",
    "429": "Too many requests; `Retry-After` says when to ask again.",
}
_OF_PATHS: Final = {"404": "There is nothing with this id."}
_OF_BODIES: Final = {
    "400": "The body is not JSON that can be read.",
    "409": "An Idempotency-Key was used for another request, or something is there already.",
    "413": "The body is too large.",
    "415": "Bodies are JSON only.",
    "422": "A field is missing or wrong; `errors` names it.",
}
_OF_STREAMS: Final = {"503": "The database does not answer; `Retry-After` says when to ask again."}
_OTHERWISE: Final = {
    "400": "A parameter cannot be read.",
    "409": "As things stand this is not possible.",
    "422": "A parameter is wrong; `errors` names it.",
}
# How the addresses of the API have it; the generator knows no more of a converter than its expression.
_ID_PATTERN: Final = "^[0-9]{1,18}$"
_ID: Final = {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}
# By the name of a field, what an answer or a request may hold in it.
_VALUES: Final[dict[str, Any]] = {
    "first_name": "Ann",
    "last_name": "Miller",
    "pin": "******",
    "credentials_number": "0045123",
    "salutation": "Ms",
    "job_title": "Engineer",
    "department": "Research",
    "telephone": "030 123456",
    "system_id": "A-1001",
    "barcode": "4006381333931",
    "label": "PIN",
    "slug": "pin",
    "code": 10,
    "valid_to": "2027-07-01T09:00:00.000Z",
    "cursor": "WyI0MiJd",
    "notes": "Comes by the side door.",
    "email": "ann.miller@example.com",
    "mobile": "+493012345678",
    "value": "******",
    "time_zone": "Europe/Berlin",
    "start_time": "2026-07-01T09:00:00.000Z",
    "end_time": "2026-07-01T17:00:00.000Z",
    "birthday": "1990-05-17",
    "credential_type_id": 6,
    "name": "Front Door",
    "language": "en",
    "request_id": "0b0f2a0e-8a1e-4d53-b0a5-8e6d2b9f1c34",
    "error": "validation_failed",
    "error_description": "first_name: This field is required.",
    "errors": {"first_name": ["This field is required."]},
    "codes": {"first_name": ["required"]},
    "result": "ok",
    "day": 0,
    "event_type": "access_denied",
    "event_code": 24,
    "event_label": "Rejected: unauthorised PIN",
    "channel_name": "Front Door",
    "door_controller_name": "Front Door",
    "person_name": "Ann Miller",
    "credential_type": "PIN",
    "timestamp": "2026-07-01T09:00:00.000Z",
    "created_at": "2026-07-01T09:00:00.000Z",
    "updated_at": "2026-07-01T09:00:00.000Z",
    "public_id": "cred_3tnk2jemihgswxglpyq7",
}


class Operation(AutoSchema):
    """An operation names the keys and the scopes that open it."""

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args)
        if operation is not None and (servers := getattr(self.view, "served_by", None)):
            operation["servers"] = servers
        return operation

    def get_auth(self) -> list[dict[str, Any]]:
        return [*_KEYS, *({"oauth2": [scope]} for scope in self._scopes())]

    def get_description(self) -> str:  # type: ignore[override]  # as its own base has it
        # The docstrings of views speak to who changes them.
        scopes = self._scopes()
        if len(scopes) == len(OF_SCOPE):
            return "Any key or token."
        if scopes:
            return "Scopes: " + " or ".join(f"`{scope}`" for scope in scopes) + "."
        return "A reader's key."

    def _scopes(self) -> list[str]:
        right: Right | None = getattr(self.view, "rights", {}).get(self.method)
        if right == Right.ACCOUNT_READ:
            return list(OF_SCOPE)
        return [scope for scope, rights in OF_SCOPE.items() if right in rights]


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """After the operations are known: shared errors, OAuth, and an example for each body."""
    components = result.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, a reader's key or an OAuth token."},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as user name; any password."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    components["securitySchemes"]["oauth2"] = {
        "type": "oauth2",
        "description": "Authorization code with PKCE (S256); client id and secret go in the body. A refresh token is "
        "used once: the answer brings the next. `POST /oauth/revoke` ends a token and what hangs on it; "
        "`GET /oauth/token/info` says what the token that is shown may do.",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": "/oauth/authorize",
                "tokenUrl": "/oauth/token",
                "refreshUrl": "/oauth/token",
                "scopes": SCOPE_WORDS,
            }
        },
    }
    for path, operations in result["paths"].items():
        for operation in operations.values():
            if not path.startswith("/api/3/"):
                continue
            for parameter in operation.get("parameters", []):
                if parameter["schema"].get("pattern") == _ID_PATTERN:
                    parameter["schema"] = dict(_ID)
            shared = _SHARED | (_OF_PATHS if "{" in path else {})
            if "servers" in operation:
                # The stream process answers in one form each, whatever is asked for.
                shared = {**shared, **_OF_STREAMS}
                del shared["406"]
            if "requestBody" in operation:
                shared |= _OF_BODIES
            for status, words in shared.items():
                known = operation["responses"].setdefault(status, {"content": _ERROR})
                known["description"] = known.get("description") or words
            for status, known in operation["responses"].items():
                known["description"] = known.get("description") or _OTHERWISE.get(status, "")
            operation["responses"] = dict(sorted(operation["responses"].items()))
            bodies = {"": operation.get("requestBody") or {}, **operation["responses"]}
            for status, body in bodies.items():
                for content in body.get("content", {}).values():
                    content.setdefault("example", _example(status, body, content, components.get("schemas", {})))
    return result


def _example(status: str, body: dict[str, Any], content: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if "x-data" in (schema := content.get("schema", {})):
        data = json.dumps(example_of(schema["x-data"], schemas), separators=(",", ":"))
        return f"retry: 2000\n\nid: 81204-4711\nevent: {schema['x-event']}\ndata: {data}\n\n"
    if content.get("schema") != _ERROR["application/json"]["schema"]:
        return example_of(content.get("schema", {}), schemas)
    if status == "422":
        return {name: _VALUES[name] for name in ("error", "error_description", "errors", "codes", "request_id")}
    words = body.get("description") or "This is not possible."
    code = ERROR_NAMES.get(int(status), "bad_request")
    return {"error": code, "error_description": words, "request_id": _VALUES["request_id"]}


def example_of(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:
    """A value that the schema takes."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    for combined in ("allOf", "oneOf", "anyOf"):
        if combined in schema:
            return example_of(schema[combined][0], schemas, name)
    kinds = schema.get("type", "object" if "properties" in schema else None)
    kind = next((kind for kind in kinds if kind != "null"), "null") if isinstance(kinds, list) else kinds
    if name in _VALUES and _fits(_VALUES[name], kind):
        return _VALUES[name]
    if schema.get("enum"):
        return next(value for value in schema["enum"] if value not in (None, ""))
    if "default" in schema:
        return schema["default"]
    if kind == "object":
        return {key: example_of(value, schemas, key) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        return [example_of(schema.get("items", {}), schemas, name)]
    plain: dict[Any, Any] = {
        "integer": max(1, schema.get("minimum", 1)),
        "number": 0.0004,
        "boolean": True,
        "null": None,
        "string": _text(schema),
    }
    return plain.get(kind)


def _fits(value: Any, kind: str | None) -> bool:
    kinds: dict[str, type] = {"string": str, "integer": int, "object": dict}
    return kind is None or isinstance(value, kinds.get(kind, ()))


def _text(schema: dict[str, Any]) -> str:
    forms = {"date-time": "2026-07-01T09:00:00.000Z", "date": "2026-07-01", "time": "09:00", "uuid": "0" * 8}
    return forms.get(schema.get("format", ""), "text")
