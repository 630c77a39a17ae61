"""A client generated from the API document, as the README says, and used against the running server."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests import world
from tests.serving import serving

DOCUMENT = Path(__file__).parent / "openapi.yaml"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    command = [
        str(Path(sys.executable).with_name("openapi-python-client")),
        "generate",
        "--path",
        str(DOCUMENT),
        "--output-path",
        str(folder / "gatehouse_client"),
        "--meta",
        "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module("gatehouse_client")
    sys.path.remove(str(folder))


def test_it_reads_and_writes(live, client):
    def module(name):
        return importlib.import_module(f"gatehouse_client.{name}")

    key = world.committed(live.acme, world.an_api_key)
    with serving() as address, client.AuthenticatedClient(base_url=address, token=key) as session:
        created = module("api.people.people_create").sync(
            client=session, body=module("models").PersonInputRequest(first_name="Ann", last_name="Miller")
        )
        assert (created.first_name, created.enabled) == ("Ann", True)
        listed = module("api.people.people_list").sync(client=session)
        assert [person.id for person in listed] == [created.id]
        refused = module("api.people.people_create").sync_detailed(
            client=session, body=module("models").PersonInputRequest(first_name="")
        )
        assert refused.status_code == 422
        assert refused.parsed.errors["first_name"]
