"""What a visitor reads: the right doors, in the time of the place, in one message."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.utils import translation

from accesscontrol.doors.hours import Stretch
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import messages, reserving
from accesscontrol.visits.messages import wording
from accounts.models import Site, Tenant
from accounts.tenancy import current_tenant_id
from pins.deliveries import sms
from pins.deliveries.models import Delivery
from pins.deliveries.sending import send_next
from tests import world
from tests.world import BY, NOW

BERLIN = ZoneInfo("Europe/Berlin")
PIN, SHOWN = "83951642", "83-95-1642"


def sent(now=NOW):
    """What has arrived since it was asked last."""
    before = len(mail.outbox)
    while send_next(current_tenant_id(), clock=lambda: now):
        pass
    return mail.outbox[before:]


@pytest.fixture
def ann(acme):
    site = world.a_site("Head Office", address="Main Street 12, 10115 Berlin", help_phone="+493023125100")
    world.a_door("Front Door", site=site, is_visitor_door=True)
    ann = world.a_person("Ann", email="ann@example.com", mobile="+4915112345678")
    world.a_pin(ann, PIN)
    return ann


def test_one_message_says_door_place_times_and_pin(acme):
    site = world.a_site("Berlin", address="Musterstraße 12", help_phone="+493023125100")
    world.a_door("Front Door", site=site, is_visitor_door=True)
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann, PIN)
    world.a_reservation(ann, deliver="email")
    [message] = sent()
    text = message.body
    for words in ("Ann", "Front Door", "Berlin", "Musterstraße 12", "11:00 to 13:00 (local time)", "+493023125100"):
        assert words in text, text
    assert "83-95-1642" in text
    assert "8395" not in message.subject
    assert message.to == ["ann@example.com"]
    assert Delivery.objects.get().content is None


def test_each_place_has_its_own_time(acme):
    berlin = world.a_site("Berlin")
    york = world.a_site("New York", time_zone="America/New_York")
    world.a_door("Front Door", site=berlin, is_visitor_door=True)
    world.a_door("Lobby", site=york, is_visitor_door=True)
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann)
    world.a_reservation(ann, deliver="email")
    [message] = sent()
    for words in (
        "Front Door (Berlin)",
        "Lobby (New York)",
        "Berlin: Wednesday, 1 July 2026, 11:00 to",
        "New York: Wednesday, 1 July 2026, 05:00 to",
    ):
        assert words in message.body, message.body


def test_a_pin_without_a_right_says_that_details_follow(acme):
    world.a_door()
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann, PIN, deliver="email")
    [message] = sent()
    assert "83-95-1642" in message.body
    assert "follow" in message.body


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Wednesday, 1 July 2026, 11:00 (local time)"),
        ("de", "Mittwoch, 1. Juli 2026, 11:00 Uhr (Ortszeit)"),
        ("es", "miércoles, 1 de julio de 2026, 11:00 (hora local)"),
        ("zh-hans", "2026年7月1日星期三 11:00（当地时间）"),
    ],
)
def test_a_day_is_written_as_the_language_writes_it(language, words):
    with translation.override(language):
        assert wording.in_words(datetime(2026, 7, 1, 9, 0, tzinfo=UTC), BERLIN) == words


@pytest.mark.parametrize(
    ("start", "hours", "words", "short"),
    [
        (NOW, 2, "Wednesday, 1 July 2026, 11:00 to 13:00", "Wed 1 Jul 11:00-13:00"),
        # Midnight is the end of a day, not a day more.
        (NOW, 13, "Wednesday, 1 July 2026, 11:00 to 24:00", "Wed 1 Jul 11:00-24:00"),
        (
            NOW,
            26,
            "Wednesday, 1 July 2026, 11:00 until Thursday, 2 July 2026, 13:00",
            "Wed 1 Jul 11:00 - Thu 2 Jul 13:00",
        ),
        # Over the night in which the clocks go back: read on the wall, not counted in hours.
        (
            datetime(2026, 10, 24, 20, tzinfo=UTC),
            12,
            "Saturday, 24 October 2026, 22:00 until Sunday, 25 October 2026, 09:00",
            "Sat 24 Oct 22:00 - Sun 25 Oct 09:00",
        ),
    ],
)
def test_periods_in_words(start, hours, words, short):
    end = start + timedelta(hours=hours)
    assert wording.period_in_words(start, end, BERLIN) == words
    assert wording.short_period(start, end, BERLIN) == short


def test_weekly_hours_in_words():
    evening = [Stretch(day, time(18), time(20, 30)) for day in (1, 3)]
    week = [Stretch(day, time(9), time(17)) for day in range(5)]
    assert wording.hours_in_words(evening) == "Tuesday, Thursday 18:00-20:30"
    assert wording.hours_in_words([*evening, *week]) == "Monday to Friday 09:00-17:00; Tuesday, Thursday 18:00-20:30"
    with translation.override("zh-hans"):
        assert wording.hours_in_words(evening) == "星期二、星期四 18:00-20:30"


def test_the_place_says_how_a_pin_is_typed_there(ann):
    world.a_reservation(ann, deliver="email")
    assert "without dashes or spaces, then press # or the green key" in sent()[0].body
    Site.objects.update(typing_hint="Press *, type the digits, press *.")
    world.a_reservation(ann, deliver="email")
    [message] = sent()
    assert "Press *, type the digits, press *." in message.body
    assert "green key" not in message.body


def test_whoever_has_no_language_is_written_to_in_the_tenants(ann, acme):
    Tenant.objects.filter(pk=acme.pk).update(language="de")
    world.a_reservation(ann, deliver="email")
    assert "Ihr Besuch" in sent()[0].subject
    ann.language = "es"
    world.a_reservation(ann, deliver="email")
    assert "Su visita" in sent()[0].subject


@pytest.mark.parametrize(
    ("written", "subject"), [("de-CH", "Ihr Besuch"), ("tlh", "Your visit"), ("../de", "Your visit")]
)
def test_a_language_that_an_integration_wrote_is_the_nearest_we_speak(ann, written, subject):
    ann.language = written
    world.a_reservation(ann, deliver="email")
    assert sent()[0].subject.startswith(subject)


def test_the_tenants_colour_is_in_the_mail(ann, acme):
    Tenant.objects.filter(pk=acme.pk).update(colour="#ffcc00")
    world.a_reservation(ann, deliver="email")
    [(html, _)] = sent()[0].alternatives
    assert 'bgcolor="#ffcc00"' in html
    assert "color:#000000" in html
    assert "<img" not in html
    assert "http" not in html.replace("http-equiv", "")


# --- what changes is told


def test_a_visit_that_moves_is_told_again_and_one_nobody_was_told_of_is_not(ann):
    told, silent = world.a_reservation(ann, deliver="email"), world.a_reservation(ann)
    assert len(sent()) == 1
    for visit in (told, silent):
        reserving.reschedule(
            visit, start_time=NOW + timedelta(hours=3), end_time=NOW + timedelta(hours=5), by=BY, now=NOW
        )
    [update] = sent()
    assert update.subject == "Changed: your visit to Head Office, Wednesday, 1 July 2026, 14:00"
    assert "This message replaces the earlier one" in update.body
    assert SHOWN in update.body
    assert "14:00 to 16:00" in update.body


def test_what_was_not_sent_yet_is_replaced_and_calls_itself_no_change(ann):
    visit = world.a_reservation(ann, deliver="email")
    reserving.reschedule(visit, end_time=NOW + timedelta(hours=5), by=BY, now=NOW)
    [message] = sent()
    assert "11:00 to 16:00" in message.body
    assert "changed" not in message.body
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["cancelled", "sent"]


def test_a_cancelled_visit_is_told_to_whoever_was_told_of_it_once(ann):
    visit = world.a_reservation(ann, deliver="email")
    sent()
    reserving.cancel(visit, by=BY, now=NOW)
    reserving.cancel(visit, by=BY, now=NOW)
    [message] = sent()
    assert message.subject == "Cancelled: your visit to Head Office, Wednesday, 1 July 2026, 11:00"
    assert "no longer opens these doors" in message.body
    assert SHOWN not in message.body
    # They know: nothing more is said about it.
    assert messages.tell_end(visit, by=BY, now=NOW) == []


def test_nobody_hears_of_the_end_of_what_they_were_not_told_or_what_was_over(ann):
    waiting = world.a_reservation(ann, deliver="email")
    reserving.cancel(waiting, by=BY, now=NOW)
    assert sent() == []
    over = world.a_reservation(ann, deliver="email", hours=1)
    assert len(sent()) == 1
    reserving.cancel(over, by=BY, now=NOW + timedelta(hours=2))
    assert sent(NOW + timedelta(hours=2)) == []


def test_an_address_that_is_gone_keeps_no_visit_from_moving(ann):
    visit = world.a_reservation(ann, deliver="email")
    sent()
    type(ann).objects.filter(pk=ann.pk).update(email="")
    visit = Reservation.objects.get(pk=visit.pk)
    reserving.reschedule(visit, end_time=NOW + timedelta(hours=5), by=BY, now=NOW)
    assert sent() == []
    with pytest.raises(messages.NoAddress):
        reserving.reschedule(visit, end_time=NOW + timedelta(hours=6), deliver="email", by=BY, now=NOW)


# --- text messages


def sms_of(visit, **values):
    messages.send_reservation(visit, "sms", by=BY, now=NOW)
    return rendered(Delivery.objects.latest("id"))


def rendered(delivery):
    from pins.deliveries.rendering import render_sms
    from pins.deliveries.sending import _open

    return render_sms(delivery.template, language=delivery.language, context=_open(delivery, current_tenant_id()))


@pytest.fixture
def gateway(settings):
    settings.SMS_URL = "json://127.0.0.1:1/sms?:to={phone}"


def test_a_text_message_in_english_is_one_part(ann, gateway):
    text = sms_of(world.a_reservation(ann))
    assert text == (
        "Acme: Your PIN is 83-95-1642. Front Door, Head Office: Wed 1 Jul 11:00-13:00 (local time). "
        "Type only the digits, then #. Help: +493023125100"
    )
    assert sms.parts(text) == 1


@pytest.mark.parametrize(("language", "most"), [("de", 1), ("es", 1), ("zh-hans", 2)])
def test_text_messages_in_other_languages_are_short_too(ann, gateway, language, most):
    ann.language = language
    text = sms_of(world.a_reservation(ann))
    assert SHOWN in text
    assert sms.parts(text) <= most, text


def test_typographic_signs_cost_no_part(ann, gateway):
    Site.objects.update(name="O’Neill’s – “Yard”")
    text = sms_of(world.a_reservation(ann))
    assert "O'Neill's - \"Yard\"" in text
    assert sms.parts(text) == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("早" * 70, 1),
        ("早" * 71, 2),
        ("á" * 70, 1),
        ("á" * 71, 2),
        ("é" * 160, 1),
    ],
)
def test_parts_are_counted_as_the_network_does(text, count):
    assert sms.parts(text) == count


# --- what a tenant sets


def settings_form(**values):
    return {
        "name": "Acme",
        "time_zone": "Europe/Berlin",
        "language": "de",
        "colour": "#0A7F3F",
        "sends_reveal_links": "True",
        "weak_chosen_pins": "warn",
        "erase_expired_after_days": 7,
        "rotation_overlap_days": 3,
        "needs_check_in": "False",
        "grace_seconds": 900,
        **values,
    }


def test_a_manager_sets_language_colour_and_what_messages_hold(acme):
    client = world.signed_in(world.a_member("manager").user)
    page = f"/admin/accounts/tenant/{acme.pk}/change/"
    assert client.post(page, settings_form()).status_code == 302
    tenant = Tenant.objects.get(pk=acme.pk)
    assert (tenant.language, tenant.colour, tenant.sends_reveal_links) == ("de", "#0a7f3f", True)
    text = client.get(page).content.decode()
    assert 'type="color"' in text
    for wrong in ("red", "#12345", "#12345g", "url(x)"):
        response = client.post(page, settings_form(colour=wrong))
        assert "colour" in response.context["adminform"].form.errors, wrong


@pytest.mark.parametrize("colour", ["#ffffff", "#000000", "#ffcc00", "#1f5f8b", "#eb2d19", "#777777", "#00ff00"])
def test_text_on_the_tenants_colour_can_be_read(colour):
    from accounts import colours

    assert colours.contrast(colours.ink_on(colour), colour) >= 4.5
    assert colours.contrast("#ffffff", "#000000") == pytest.approx(21)


# --- hosts


@pytest.mark.parametrize(("checked_in", "words"), [(True, "has checked in"), (False, "was let in")])
def test_a_host_is_told_that_the_visitor_is_here(ann, checked_in, words):
    visit = world.a_reservation(ann)
    Reservation.objects.filter(pk=visit.pk).update(arrived_at=NOW, company="Archer & Co")
    visit.refresh_from_db()
    messages.send_host_arrival(visit, "hal@acme.example", "email", "", by=BY, now=NOW, checked_in=checked_in)
    [message] = sent()
    assert message.to == ["hal@acme.example"]
    assert message.subject == "Your visitor Ann is here"
    assert f"Ann {words}, Wednesday, 1 July 2026, 11:00 (local time)." in message.body
    assert "Archer & Co" in message.body
    assert SHOWN not in message.body + message.alternatives[0][0]
    # What tells of the visit to the visitor is another matter.
    assert messages.tell_end(visit, by=BY, now=NOW) == []


def test_the_message_names_the_host_and_asks_for_a_check_in_where_one_is_needed(ann):
    visit = world.a_reservation(ann)
    Reservation.objects.filter(pk=visit.pk).update(host_name="Hal Host", needs_check_in=True)
    messages.send_reservation(Reservation.objects.get(pk=visit.pk), "email", by=BY, now=NOW)
    [message] = sent()
    assert "Host: Hal Host" in message.body
    assert "Please check in at the front desk first" in message.body
    assert "Hal Host" in message.alternatives[0][0]
