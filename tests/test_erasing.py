"""An erased person: what is left anywhere, and before that what one file tells of them."""

import io
import json
import zipfile

import pytest
from django.apps import apps
from django.utils import timezone

from accesscontrol.access.models import Event
from accesscontrol.credentials import lifecycle
from accesscontrol.credentials.models import Credential
from accesscontrol.overview import erasing
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation
from accounts.models import AuditEvent, IdempotentAnswer
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from tests import world
from tests.kanarie import (
    KANARIE,
    found,
    house_fixture,  # noqa: F401
    tables_with_canaries,
    through_the_interfaces,
)
from tests.world import BY


def test_nothing_names_an_erased_person_anywhere(house):
    person_id = through_the_interfaces(house)
    held = {
        "people_person", "people_personword", "reservations_reservation", "reservations_groupvisit",
        "deliveries_delivery", "accounts_idempotentanswer", "access_channelcommand", "access_alarm",
        "visits_batchitem", "webhooks_try",
    }  # fmt: skip
    assert tables_with_canaries() >= held
    page = house["client"].get(f"/admin/people/person/{person_id}/erase/")
    assert "Erase Kea Kanarie for good?" in page.content.decode()
    assert "Tick the box" in house["client"].post(f"/admin/people/person/{person_id}/erase/").content.decode()
    answer = house["client"].post(f"/admin/people/person/{person_id}/erase/", {"sure": "1"}, follow=True)
    assert answer.status_code == 200
    assert "anarie" not in answer.content.decode().replace("Kit Kanarie", "").replace("Kaj Kanarie", "").replace(
        "Family Kanarie", ""
    )
    # Those who came with her are other people, until they are erased too.
    with tenant_transaction(house["tenant"].pk):
        family = Person.objects.filter(last_name="Kanarie") | Person.objects.filter(first_name="Family Kanarie")
        for person in family:
            erasing.erase(person, by=BY, now=house["now"])
    assert found() == set()

    with tenant_transaction(house["tenant"].pk):
        kea = Person.objects.get(pk=person_id)
        assert (kea.name, kea.email, kea.birthday, kea.deleted_at is None) == ("Erased person", "", None, False)
        # What happened stays.
        assert Event.objects.filter(person=kea).count() == 1
        assert Reservation.objects.filter(person=kea, cancelled_at__isnull=False).count() == 2
        assert not Credential.objects.filter(person=kea).exclude(sealed=None)
        assert not Delivery.objects.about("person", [person_id]).exclude(content=None)
        assert Delivery.objects.about("person", [person_id]).filter(address="").count() == 1
        verbs = set(
            AuditEvent.objects.filter(subject_type="person", subject_id=str(person_id)).values_list("verb", flat=True)
        )
        assert {"create", "change", "delete", "erase"} <= verbs
        before = AuditEvent.objects.count()
        erasing.erase(kea, by=BY, now=house["now"])
        assert AuditEvent.objects.count() == before
    api = world.api(house["key"])
    assert api.get(f"/api/3/people/{person_id}").status_code == 404
    assert house["client"].get(f"/admin/people/person/{person_id}/erase/").status_code == 404
    assert house["client"].get("/admin/access/event/").status_code == 200


def test_a_request_whose_answer_was_erased_is_not_carried_out_again(house):
    api = world.api(house["key"])

    def create():
        headers = {"Idempotency-Key": "once"}
        return api.post("/api/3/people", KANARIE, content_type="application/json", headers=headers)

    person_id = create().json()["id"]
    assert create().json()["id"] == person_id
    api.post("/api/3/people", {"first_name": "Otto"}, content_type="application/json", headers={"Idempotency-Key": "o"})
    with tenant_transaction(house["tenant"].pk):
        erasing.erase(Person.objects.get(pk=person_id), by=BY, now=house["now"])
        assert IdempotentAnswer.objects.exclude(body=None).count() == 1
    answer = create()
    assert (answer.status_code, answer.json()["code"]) == (410, "answer_erased")
    with tenant_transaction(house["tenant"].pk):
        assert Person.objects.count() == 2


def test_whoever_refers_to_a_person_is_named_here():
    """A new table about people must say in overview/erasing.py what becomes of its rows."""
    references = {
        f"{model._meta.db_table}.{field.column}"
        for model in apps.get_models()
        for field in model._meta.local_fields
        if field.related_model is Person
    }
    kept = {
        "access_event.person_id", "access_alarm.person_id", "access_channelcommand.person_id",
        "credentials_credential.person_id", "people_groupmembership.person_id", "people_personrole.person_id",
        "people_personstate.person_id", "reservations_reservation.person_id", "reservations_groupreservation.person_id",
        "reservations_groupvisit.shared_person_id", "visits_batchitem.person_id",
        "visits_importrow.person_id", "visits_importrow.other_id",
    }  # fmt: skip
    deleted = {"people_personword.person_id"}
    assert references == kept | deleted


def test_the_file_tells_everything_but_pins(house):
    person_id = through_the_interfaces(house)
    client = house["client"]
    page = client.get(f"/admin/people/person/{person_id}/export/")
    assert page.status_code == 200
    answer = client.post(f"/admin/people/person/{person_id}/export/")
    assert answer["Content-Type"] == "application/zip"
    assert answer["Cache-Control"].startswith("no-store")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    told, read = json.loads(archive.read("person.json")), archive.read("person.html").decode()
    assert (told["person"]["email"], told["person"]["notes"]) == (KANARIE["email"], KANARIE["notes"])
    assert {row["type"] for row in told["pins_and_cards"]} == {"PIN", "Card"}
    assert len(told["visits"]) == 2
    assert [row["name"] if "name" in row else row["door"] for row in told["visits"][0]["doors"]] == ["Front Door"]
    assert len(told["events"]) == 1
    assert told["events"][0]["admitted"] is True
    assert told["messages"][0]["address"] == KANARIE["email"]
    assert "create" in {row["verb"] for row in told["audit"]}
    with tenant_transaction(house["tenant"].pk):
        for credential in Credential.objects.filter(person_id=person_id):
            value = lifecycle.value_of(credential)
            assert value not in json.dumps({**told, "audit": [], "person": {}})
            assert f">{value}<" not in read
        assert AuditEvent.objects.filter(verb="export", subject_type="person", subject_id=str(person_id)).count() == 1
    assert "sings like a kanarie" in read


@pytest.mark.parametrize("role", [StaffRole.FRONT_DESK, StaffRole.AUDITOR, StaffRole.HOST])
@pytest.mark.parametrize("page", ["export", "erase"])
def test_only_managers_export_and_erase(acme, role, page):
    now = timezone.now()
    member, ann = world.a_member(role, now=now), world.a_person("Ann", now=now)
    client = world.signed_in(member.user)
    world.confirm(client, member)
    for answer in (client.get, client.post):
        assert answer(f"/admin/people/person/{ann.pk}/{page}/", {"sure": "1"}).status_code == 403
    assert client.get("/admin/data-protection/").status_code == 403
    ann.refresh_from_db()
    assert ann.deleted_at is None


def test_both_ask_for_the_pin_and_for_every_site(acme):
    now = timezone.now()
    member, ann = world.a_member(StaffRole.MANAGER, now=now), world.a_person("Ann", now=now)
    world.a_staff_pin(member, now=now)
    client = world.signed_in(member.user)
    for page in ("export", "erase"):
        answer = client.post(f"/admin/people/person/{ann.pk}/{page}/", {"sure": "1"})
        assert "Your PIN" in answer.content.decode()
    ann.refresh_from_db()
    assert ann.erased_at is None
    here = world.a_member(StaffRole.MANAGER, "here@acme.example", sites=[world.a_site()], now=now)
    client = world.signed_in(here.user)
    assert client.get(f"/admin/people/person/{ann.pk}/erase/").status_code == 403
    assert b"/erase/" not in client.get(f"/admin/people/person/{ann.pk}/change/").content
