"""A request is one transaction: an error of ours leaves nothing, a no leaves its traces, and no tenant stays behind."""

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from accesscontrol.access.models import Event
from accesscontrol.people.models import Person
from accounts.api import ResourceView
from accounts.models import AuditEvent
from accounts.refusals import Refusal
from accounts.rights import Right
from accounts.tenancy import NoTenant, current_tenant_id, tenant_transaction
from tests import world


class Probe(ResourceView):
    """Writes a row and then goes wrong in every way there is."""

    rights = {"POST": Right.PEOPLE_WRITE}

    def post(self, request, how):
        Person.objects.create(first_name=how)
        if how == "raises":
            raise RuntimeError("secret")
        if how == "refuses":
            raise Refusal("no")
        return HttpResponse(how, status={"answers 500": 500, "answers 503": 503, "answers 404": 404}.get(how, 200))


def whose(request):
    """What PostgreSQL and Python believe at the beginning of a request without a caller."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.tenant_id', true), '')")
        setting = cursor.fetchone()[0]
        cursor.execute("SELECT count(*) FROM people_person")
        seen = cursor.fetchone()[0]
    try:
        tenant = current_tenant_id()
    except NoTenant:
        tenant = None
    return HttpResponse(f"{setting}|{tenant}|{seen}|{request.caller is not None}")


urlpatterns = [
    path("probe/<str:how>", Probe.as_view()),
    path("whose", whose),
    path("api/3/", include("accesscontrol.api")),
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("how", "status", "stays"),
    [
        ("answers", 200, True),
        ("answers 404", 404, True),
        ("refuses", 422, True),
        ("answers 500", 500, False),
        ("answers 503", 503, False),
        ("raises", 500, False),
    ],
)
def test_an_error_of_ours_leaves_nothing_and_a_no_leaves_its_traces(live, how, status, stays):
    key = world.committed(live.acme, world.an_api_key)
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {key}"})
    response = client.post(f"/probe/{how}")
    assert response.status_code == status
    assert b"secret" not in response.content
    with tenant_transaction(live.acme.pk):
        assert Person.objects.filter(first_name=how).exists() is stays
    assert not connection.in_atomic_block


@pytest.mark.urls(__name__)
def test_a_request_leaves_no_tenant_on_its_connection(live):
    key = world.committed(live.acme, world.an_api_key)
    client = Client(raise_request_exception=False)
    shown = {"Authorization": f"Bearer {key}"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()
    for how in ("answers", "answers 404", "refuses", "raises", "answers 500"):
        assert client.post(f"/probe/{how}", headers=shown).status_code in (200, 404, 422, 500)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone() == backend
            cursor.execute("SELECT coalesce(current_setting('app.tenant_id', true), '')")
            assert cursor.fetchone() == ("",)
        assert client.get("/whose").content == b"|None|0|False"
        # A key that nobody knows must not act in the footsteps of the one before.
        assert client.get("/whose", headers={"Authorization": "Bearer ghk_x"}).content == b"|None|0|False"
    mine = client.get("/whose", headers=shown).content.decode().split("|")
    assert mine[:2] == [str(live.acme.pk)] * 2


def test_a_counted_refusal_and_its_audit_stay(live, settings):
    settings.CHOSEN_PIN_REFUSALS_PER_HOUR = 2

    def people():
        world.a_door()
        world.a_pin(world.a_person("Ann"), "271828")
        return [world.a_person(name).pk for name in ("Bob", "Eve", "Zoe")], world.an_api_key()

    ids, key = world.committed(live.acme, people)
    client = world.api(key)
    answers = [
        client.post(f"/api/3/people/{pk}/credentials", {"credential_type_id": 6, "value": "271828"}, "application/json")
        for pk in ids
    ]
    with tenant_transaction(live.acme.pk):
        refusals = AuditEvent.objects.filter(verb="refuse").count()
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert refusals == 2
    assert int(answers[-1]["Retry-After"]) > 0


def test_an_attempt_is_recorded_though_it_is_refused(live):
    door = world.committed(live.acme, world.a_door)
    reader = world.committed(live.acme, world.a_reader_key, door)
    response = world.api(reader.value).post(
        f"/api/3/channels/{door.pk}/access_attempts", {"value": "000000"}, "application/json"
    )
    assert response.json()["decision"] == "rejected"
    with tenant_transaction(live.acme.pk):
        assert Event.objects.get().pk == response.json()["event_id"]
