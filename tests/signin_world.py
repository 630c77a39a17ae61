"""An application of a tenant: the official SDK with a key pair of its own, and what reaches its accounts by message."""

import os
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Tenant
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from pins.signin import tasks
from pins.signin.models import SignInSettings
from pins.vault.sealing import open_json
from tests import world
from tests.world import BY

PROJECT = Path(__file__).resolve().parents[1]
PASSWORD = "a quiet evening at sea"
PIN, OTHER, THIRD = "805294", "730261", "946135"
QUESTIONS = ["What was the name of your first pet?", "In which street did you grow up?", "What was your first car?"]


def sdk_of(url: str, key: str, secret: str) -> Any:
    with warnings.catch_warnings():
        # The SDK asks for `distutils`, which newer versions of Python have no more.
        warnings.simplefilter("ignore")
        from LoginRadius import LoginRadius

        class Client(LoginRadius):
            API_KEY, API_SECRET, CUSTOM_DOMAIN = key, secret, f"{url}/"

        LoginRadius.LIBRARY = "requests"
        sdk = Client()
    sdk.CONFIG_API_URL = f"{url}/"
    return sdk


@dataclass
class Application:
    """A tenant, its pair, and the SDK that uses it."""

    tenant: Tenant
    apikey: str
    secret: str
    sdk: Any
    url: str

    def set(self, **values: Any) -> None:
        with tenant_transaction(self.tenant.pk):
            SignInSettings.objects.update_or_create(defaults=values)

    def inside(self, make: Any, *args: Any, **values: Any) -> Any:
        with tenant_transaction(self.tenant.pk):
            return make(*args, **values)

    def sott(self) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.sdk.get_sott()

    def register(self, name: str = "ann", **values: Any) -> Any:
        body = {
            "Email": [{"Type": "Primary", "Value": f"{name}@app.example"}],
            "UserName": name.title(),
            "PhoneId": f"+49151{abs(hash(name)) % 10**8:08}",
            "Password": PASSWORD,
        }
        return self.sdk.authentication.user_registration_by_email(body | values, self.sott())

    def login(self, name: str = "ann", password: str = PASSWORD) -> Any:
        return self.sdk.authentication.login_by_email({"email": f"{name}@app.example", "password": password})

    def messages(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Medium, address and content of what is to be sent, after whoever asked was dealt with."""
        tasks.tell_forgotten()
        with tenant_transaction(self.tenant.pk):
            return [
                (
                    row.medium,
                    row.address,
                    open_json(
                        bytes(row.content), tenant_id=row.tenant_id, table=Delivery._meta.db_table, row_id=row.pk
                    ),
                )
                for row in Delivery.objects.filter(state="queued").order_by("pk")
            ]


def application(tenant: Tenant, url: str, requests_per_minute: int = 10_000) -> Application:
    with tenant_transaction(tenant.pk):
        pair = keys.mint(
            "app", kind=ApiKey.Kind.SIGNIN, by=BY, now=timezone.now(), requests_per_minute=requests_per_minute
        )
    return Application(tenant, pair.value, pair.secret or "", sdk_of(url, pair.value, pair.secret or ""), url)


@contextmanager
def server(log_path: Path, threads: int = 4, port: int = 0, interface: str = "wsgi", workers: int = 1):
    """The product under granian, on the data of this worker."""
    from django.conf import settings

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "DATABASE_URL": os.environ["DATABASE_URL"].replace("/gatehouse?", f"/{os.environ['GATEHOUSE_TEST_DATABASE']}?"),
        "REDIS_URL": settings.REDIS_URL,
        "PUBLIC_URL": url,
        "SMS_URL": "json://127.0.0.1:9/{phone}",
    }
    command = [sys.executable, "-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--no-ws", "--workers-kill-timeout", "3"]
    command += ["--blocking-threads", str(threads)] if interface == "wsgi" else []
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [*command, f"accesscontrol.{interface}:application"], cwd=PROJECT, env=environment, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + 180
        while True:
            assert process.poll() is None, log_path.read_text()
            assert time.monotonic() < until, "the server does not start"
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(120)
    log_text = log_path.read_text()
    assert "Traceback" not in log_text, log_text


_numbers = iter(range(10_000))


def a_tenant() -> Tenant:
    [tenant] = world.tenants_named(f"Shop {next(_numbers)}", now=timezone.now())
    return tenant
