"""Guesses that come at once over HTTP, at a server of several processes: none is checked beside the others."""

import json
import threading
from collections import Counter
from http.client import HTTPConnection
from urllib.parse import urlsplit

from django.utils import timezone

from accesscontrol.access.models import Event
from accounts.tenancy import tenant_transaction
from tests import world
from tests.signin_world import server

GUESSES = 200


def test_200_guesses_at_once_are_no_more_tries_than_one_after_the_other(live, tmp_path):
    now = timezone.now()
    with tenant_transaction(live.acme.pk):
        # Longer than the test on a busy machine.
        door = world.a_door("Front Door", first_wait_seconds=600, longest_wait_seconds=600)
        key = world.a_reader_key(door, now=now).value
        world.a_pin(world.a_person("Ann", now=now), "73519264", now=now)
    answers, together = [], threading.Barrier(GUESSES)

    def guess(url, number):
        connection = HTTPConnection(urlsplit(url).netloc, timeout=600)
        connection.connect()
        together.wait(300)
        body = json.dumps({"value": f"{number:04}"})
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", f"/api/3/channels/{door.pk}/access_attempts", body, headers)
        answer = connection.getresponse()
        answers.append((answer.status, json.loads(answer.read())))
        connection.close()

    with server(tmp_path / "log", workers=2) as url:
        threads = [threading.Thread(target=guess, args=[url, number]) for number in range(GUESSES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter((status, body.get("decision")) for status, body in answers) == {(200, "rejected"): GUESSES}
    # The free ones, and the one that begins the wait.
    judged = door.free_tries + 1
    with tenant_transaction(live.acme.pk):
        assert Counter(Event.objects.values_list("reason", flat=True)) == {
            "invalid_pin": judged,
            "throttled": GUESSES - judged,
        }
    assert sum(bool(body["retry_after"]) for _, body in answers) == GUESSES - door.free_tries
