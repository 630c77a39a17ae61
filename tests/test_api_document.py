"""The API document is complete: each operation is summed up, names scopes and errors, and has examples that hold."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from accesscontrol import api
from accesscontrol.streams.routes import ROUTES
from accounts.rights import OF_SCOPE

DOCUMENT = yaml.safe_load((Path(__file__).parent / "openapi.yaml").read_text())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    if path.startswith("/api/3/")
    for method, operation in operations.items()
}


def test_it_is_openapi_3_1_and_knows_every_endpoint():
    assert DOCUMENT["openapi"].startswith("3.1")
    count = sum(len(pattern.callback.view_class.rights) for pattern in api.resources)
    assert len(OPERATIONS) == count


def test_each_address_of_the_stream_process_is_an_operation_that_names_it():
    streamed = {name: operation for name, operation in OPERATIONS.items() if "servers" in operation}
    assert set(streamed) == {f"GET {route.path.replace(':int', '')}" for route in ROUTES}
    for operation in streamed.values():
        assert {"422", "429", "503"} <= set(operation["responses"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_complete(name):
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert {"401", "403", "429"} <= set(operation["responses"])
    assert ("406" in operation["responses"]) != ("servers" in operation)
    assert all(answer["description"] for status, answer in operation["responses"].items() if status >= "400")
    schemes = {scheme for way in operation["security"] for scheme in way}
    assert {"bearer", "basic", "header"} <= schemes
    scopes = {scope for way in operation["security"] for scope in way.get("oauth2", ())}
    assert scopes <= set(OF_SCOPE)
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in body.get("content", {}).values():
            schema = {**content["schema"], "components": DOCUMENT["components"]}
            Draft202012Validator(schema).validate(content["example"])
