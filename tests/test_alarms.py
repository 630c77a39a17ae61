"""Whom alarms are told to: within seconds, before everything else, once, and without the keypad noticing."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accesscontrol.access import attempts, telling
from accesscontrol.access.models import Alarm, AlarmRecipient
from accesscontrol.access.tasks import tell_alarms
from accesscontrol.access.telling import KnownAlready
from accesscontrol.credentials.models import CredentialType
from accesscontrol.visits import belonging
from accesscontrol.visits.duress import set_duress
from accounts.models import AuditEvent
from accounts.rights import StaffRole
from accounts.tenancy import current_tenant_id, tenant_transaction
from pins.deliveries import queueing
from pins.deliveries.models import Delivery, DeliverySubject
from pins.deliveries.sending import send_next
from tests import world
from tests.letters import mailbox_fixture  # noqa: F401
from tests.world import BY, NOW

PIN, DURESS = "73519264", "73519265"
KINDS = [kind.value for kind in Alarm.Kind]


def recipient(address="guard@example.com", **values):
    values = {"name": "Guard", "medium": "email", "kinds": KINDS, "created_at": NOW} | values
    return AlarmRecipient.objects.create(address=address, **values)


@pytest.fixture
def door(acme):
    site = world.a_site("Head Office", address="Main Street 12")
    return world.a_door("Front Door", site=site)


def alarm(door, kind="guessing", now=NOW, **values):
    values = {"site": door.site, "channel": door} | values
    return Alarm.objects.create(kind=kind, raised_at=now, **values)


def sent(now=NOW):
    before = len(mail.outbox)
    while send_next(current_tenant_id(), clock=lambda: now):
        pass
    return mail.outbox[before:]


def tell(now=NOW):
    telling.tell_due(now)
    return sent(now)


def test_a_duress_alarm_says_who_where_when_and_not_to_call(door):
    recipient()
    ann = world.a_person("Ann", last_name="Archer")
    alarm(door, "duress", person=ann)
    [message] = tell()
    assert message.to == ["guard@example.com"]
    assert message.subject == "Duress alarm: Front Door, Head Office"
    for words in (
        "Ann Archer",
        "Main Street 12",
        "11:00 (local time)",
        "Do not call the person or the door",
        "/admin/",
    ):
        assert words in message.body
    assert Delivery.objects.get().content is None
    assert AuditEvent.objects.filter(verb="tell", subject_type="alarm", fields=["email"]).count() == 1


def test_from_the_keypad_to_the_mailbox(live, mailbox, time_machine):
    time_machine.move_to(NOW, tick=False)
    with tenant_transaction(live.acme.pk):
        door = world.a_door()
        recipient()
        ann = world.a_person("Ann")
        world.a_pin(ann, PIN)
        belonging.set_roles(ann, [world.a_role("Staff", door)], by=BY, now=NOW - timedelta(hours=1))
        set_duress(True, by=BY, now=NOW)
    with tenant_transaction(live.acme.pk):
        assert attempts.attempt(door.pk, DURESS, type=CredentialType.PIN, now=NOW).admitted
        # Nothing is queued in the transaction that the keypad waits for.
        assert not Delivery.objects.exists()
    tell_alarms()
    while send_next(live.acme.pk, clock=lambda: NOW):
        pass
    [message] = mailbox.messages
    assert "Duress" in message["Subject"]
    text = message.get_body(("plain",)).get_content()
    assert PIN not in text
    assert DURESS not in text
    assert telling.tenants_with_untold() == []


def test_the_answer_asks_the_same_statements_whoever_is_told(door):
    ann = world.a_person("Ann")
    world.a_pin(ann, PIN)
    belonging.set_roles(ann, [world.a_role("Staff", door)], by=BY, now=NOW - timedelta(hours=1))
    set_duress(True, by=BY, now=NOW)

    def statements(value):
        with transaction.atomic():
            with CaptureQueriesContext(connection) as captured:
                attempts.attempt(door.pk, value, type=CredentialType.PIN, now=NOW)
            transaction.set_rollback(True)
        return [query["sql"].split("(")[0] for query in captured.captured_queries]

    plain, alone = statements(PIN), statements(DURESS)
    recipient(), recipient("other@example.com")
    assert statements(DURESS) == alone == plain


def test_each_site_has_recipients_of_its_own_and_some_are_told_of_all(door):
    elsewhere = world.a_door("Lobby", site=world.a_site("York"))
    recipient("here@example.com", site=door.site)
    recipient("there@example.com", site=elsewhere.site)
    recipient("all@example.com")
    recipient("duress@example.com", kinds=["duress"])
    recipient("gone@example.com", ended_at=NOW)
    alarm(door)
    assert {address for message in tell() for address in message.to} == {"here@example.com", "all@example.com"}


def test_an_address_named_twice_is_told_once(door):
    recipient("Guard@example.com", site=door.site), recipient("guard@example.com")
    alarm(door)
    assert len(tell()) == 1


def test_an_attack_that_goes_on_is_told_once_an_hour_a_door(door):
    recipient()
    lab = world.a_door("Lab", site=door.site)
    told = {}
    for minute in range(0, 130, 10):
        now = NOW + timedelta(minutes=minute)
        alarm(door, now=now), alarm(lab, now=now)
        told[minute] = len(tell(now))
    assert {minute: count for minute, count in told.items() if count} == {0: 2, 60: 2, 120: 2}
    # Duress is another matter, and so is another person.
    ann, bob = world.a_person("Ann"), world.a_person("Bob")
    for seconds, who, count in ((0, ann, 1), (1, ann, 0), (2, bob, 1), (301, ann, 1)):
        now = NOW + timedelta(seconds=seconds)
        alarm(door, "duress", now=now, person=who)
        assert len(tell(now)) == count, seconds


def test_an_alarm_is_told_once_by_however_many_workers(door):
    recipient()
    alarm(door)
    assert telling.tell_due(NOW) == 1
    assert telling.tell_due(NOW) == 0
    assert Delivery.objects.count() == 1


def test_what_is_older_than_a_day_is_not_told_any_more(door):
    recipient()
    alarm(door, now=NOW - timedelta(hours=25))
    assert tell() == []
    assert not Alarm.objects.filter(told_at=None).exists()


def test_an_alarm_goes_before_a_bulk_that_waits(door):
    for number in range(20):
        queueing.queue(
            medium="email", address=f"p{number}@example.com", template="pin", language="en", context={"pin": "1"},
            about=[("person", number)], now=NOW - timedelta(hours=1),
        )  # fmt: skip
    recipient()
    alarm(door)
    telling.tell_due(NOW)
    assert send_next(current_tenant_id(), clock=lambda: NOW)
    assert mail.outbox[-1].to == ["guard@example.com"]


def test_a_missing_gateway_keeps_nobody_else_from_being_told(door, settings):
    settings.SMS_URL = ""
    recipient("+4915112345678", medium="sms"), recipient()
    alarm(door)
    assert len(tell()) == 1
    assert AuditEvent.objects.filter(verb="not_delivered", subject_type="alarm", fields=["sms"]).exists()


def test_an_alarm_as_a_text_message_is_one_part(door, settings):
    from pins.deliveries import sms
    from tests.test_messages import rendered

    settings.SMS_URL = "json://127.0.0.1:1/sms?:to={phone}"
    recipient("+4915112345678", medium="sms")
    alarm(door, "duress", person=world.a_person("Ann", last_name="Archer"))
    telling.tell_due(NOW)
    text = rendered(Delivery.objects.get())
    assert text == (
        "Acme: Duress alarm. Front Door, Head Office, Wednesday, 1 July 2026, 11:00 (local time). "
        "PIN of Ann Archer. Do not call the person or the door."
    )
    assert sms.parts(text) == 1


def test_erasing_the_person_leaves_the_recipients_address(door):
    recipient()
    ann = world.a_person("Ann")
    alarm(door, "duress", person=ann)
    telling.tell_due(NOW)
    queueing.forget("person", [ann.pk], now=NOW)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.address) == ("queued", "guard@example.com")
    assert set(DeliverySubject.objects.values_list("kind", flat=True)) == {"alarm", "site"}


@pytest.mark.parametrize("language", ["en", "de", "es", "zh-hans"])
@pytest.mark.parametrize("kind", [*KINDS, "something new"])
def test_every_kind_of_alarm_has_its_words(door, kind, language):
    recipient(language=language, kinds=[kind])
    alarm(door, kind)
    [message] = tell()
    assert "Front Door" in message.subject
    assert len(message.body) > 80


# --- the pages


@pytest.fixture
def manager(acme):
    return world.signed_in(world.a_member(StaffRole.MANAGER).user)


ADD = "/admin/access/alarmrecipient/add/"


def test_a_manager_names_a_recipient_tries_and_ends_it(manager, door):
    form = {"name": "Guard", "site": door.site.pk, "medium": "email", "address": " guard@example.com ", "kinds": KINDS}
    assert manager.post(ADD, form).status_code == 302
    row = AlarmRecipient.objects.get()
    assert (row.address, row.kinds, row.site_id) == ("guard@example.com", KINDS, door.site.pk)
    assert AuditEvent.objects.filter(verb="create", subject_type="alarm_recipient").count() == 1
    page = f"/admin/access/alarmrecipient/{row.pk}/"
    assert manager.post(f"{page}test/").status_code == 302
    # The pages read the real clock.
    [message] = sent(NOW + timedelta(days=3650))
    assert message.subject == "Test of the alarm messages: Head Office"
    assert manager.post(f"{page}end/").status_code == 302
    alarm(door)
    assert tell() == []
    # The same address may come back.
    assert manager.post(ADD, form).status_code == 302


@pytest.mark.parametrize(
    ("medium", "address", "words"),
    [
        ("email", "nobody", "valid email address"),
        ("sms", "0151 123", "country code"),
        ("email", "", "required"),
    ],
)
def test_an_address_that_cannot_be_is_refused_beside_its_field(manager, door, medium, address, words):
    response = manager.post(ADD, {"name": "Guard", "medium": medium, "address": address, "kinds": KINDS})
    assert words in str(response.context["adminform"].form.errors["address"])
    assert not AlarmRecipient.objects.exists()


def test_a_number_may_be_written_with_blanks(manager, door):
    form = {"name": "Guard", "medium": "sms", "address": "+49 151 1234 5678", "kinds": ["duress"]}
    assert manager.post(ADD, form).status_code == 302
    assert AlarmRecipient.objects.get().address == "+4915112345678"


def test_twice_the_same_is_refused_in_words(manager, door):
    recipient()
    form = {"name": "Guard", "medium": "email", "address": "guard@example.com", "kinds": KINDS}
    response = manager.post(ADD, form)
    assert KnownAlready.text in str(response.context["adminform"].form.errors["address"])
    with pytest.raises(KnownAlready), transaction.atomic():
        telling.name_recipient(
            AlarmRecipient(name="Guard", address="guard@example.com", kinds=KINDS), by=BY, now=NOW, fields=[]
        )


def test_a_manager_of_one_site_leaves_the_recipients_of_all_sites_alone(door):
    every, here = recipient(), recipient("here@example.com", site=door.site)
    there = recipient("there@example.com", site=world.a_site("York"))
    client = world.signed_in(world.a_member(StaffRole.MANAGER, sites=[door.site]).user)
    page = "/admin/access/alarmrecipient/{}/end/"
    assert client.post(page.format(every.pk)).status_code == 404
    assert client.post(page.format(there.pk)).status_code == 404
    assert client.post(page.format(here.pk)).status_code == 302
    assert set(AlarmRecipient.objects.filter(ended_at=None)) == {every, there}


def test_messages_about_alarms_elsewhere_are_absent_for_a_manager_of_one_site(door):
    lobby = world.a_door("Lobby", site=world.a_site("York"))
    recipient()
    alarm(door), alarm(lobby)
    telling.tell_due(NOW)
    client = world.signed_in(world.a_member(StaffRole.MANAGER, sites=[door.site]).user)
    assert client.get("/admin/deliveries/delivery/").context["cl"].result_count == 1
