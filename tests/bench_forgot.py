"""Whether the answer to a forgotten PIN tells by its time that an account exists: `python -m tests.bench_forgot`.

One granian worker as in quickstart, embedded servers in a folder that is thrown away. Known and unknown accounts take
turns, 200 times over all, each identifier once; then, with `all`, logins with a wrong password, and resets with wrong
codes and answers. The bar for forgetting: medians within 10 %.
"""

import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

CALLS = int(os.environ.get("BENCH_CALLS", "200"))
ACCOUNTS = 100


def main() -> int:
    from accesscontrol import embedded

    with tempfile.TemporaryDirectory() as folder, embedded.servers(Path(folder) / "var", durable=False) as servers:
        os.environ["GATEHOUSE_DATA"] = str(Path(folder) / "var")
        servers.export()
        os.environ["DJANGO_SETTINGS_MODULE"] = "accesscontrol.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        os.environ["GATEHOUSE_TEST_DATABASE"] = "gatehouse"
        from tests import signin_world, world

        app = signin_world.application(world.live().acme, "http://127.0.0.1", requests_per_minute=10**6)
        app.set(security_questions=signin_world.QUESTIONS)
        app.inside(fill)
        with signin_world.server(Path(folder) / "web.log", threads=8) as url:
            flows = FLOWS if "all" in sys.argv else FLOWS[:1]
            ratios = [measure(url, app.apikey, *flow) for flow in flows]
    return 0 if abs(ratios[0] - 1) <= 0.1 else 1


def fill() -> None:
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from pins.signin.models import Subscriber

    now, password = timezone.now(), make_password("a quiet evening at sea")
    Subscriber.objects.bulk_create(
        Subscriber(
            email=f"known{number:04}@app.example",
            user_name=f"known{number:04}",
            user_name_shown=f"known{number:04}",
            password=password,
            password_set_at=now,
            created_at=now,
            changed_at=now,
        )
        for number in range(ACCOUNTS)
    )


FLOWS = (
    ("forgot by e-mail", "POST", "/auth/pin/forgot/email", {"Email": "{who}@app.example"}),
    ("forgot by user name", "POST", "/auth/pin/forgot/username", {"UserName": "{who}"}),
    ("login", "POST", "/auth/login", {"email": "{who}@app.example", "password": "wrong"}),
    ("reset by code", "PUT", "/auth/pin/reset/otp/email", {"PIN": "805294", "Email": "{who}@app.example", "Otp": "1"}),
    (
        "reset by answer",
        "PUT",
        "/auth/pin/reset/securityanswer/username",
        {"PIN": "805294", "UserName": "{who}", "SecurityAnswer": {"a": "b"}},
    ),
)


def measure(url: str, apikey: str, name: str, method: str, path: str, body: dict[str, object]) -> float:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    times: dict[str, list[float]] = {"known": [], "unknown": []}

    def ask(who: str) -> float:
        sent = json.dumps(body).replace("{who}", who)
        started = time.perf_counter()
        connection.request(method, f"/identity/v2{path}?apiKey={apikey}", sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (200, 401, 403), answer.status
        return time.perf_counter() - started

    for number in range(8):
        ask(f"warming{number}")
    for number in range(CALLS // 2):
        # Who goes first changes, so that neither always meets a colder cache.
        turns = ["known", "unknown"] if number % 2 else ["unknown", "known"]
        for who in turns:
            times[who].append(ask(f"{who}{number % ACCOUNTS:04}"))
    known, unknown = (statistics.median(times[who]) * 1000 for who in ("known", "unknown"))
    print(f"{name:20} known {known:7.2f} ms, unknown {unknown:7.2f} ms, ratio {known / unknown:.3f}", flush=True)
    return known / unknown


if __name__ == "__main__":
    sys.exit(main())
