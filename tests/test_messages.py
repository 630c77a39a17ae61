"""What a visitor reads: the right doors, in the time of the place, in one message."""

from datetime import UTC, datetime, timedelta

from django.core import mail

from accesscontrol.visits import messages
from accounts.tenancy import current_tenant_id
from pins.deliveries.models import Delivery
from pins.deliveries.sending import send_next
from tests import world
from tests.world import NOW


def sent():
    while send_next(current_tenant_id(), clock=lambda: NOW):
        pass
    return mail.outbox


def test_one_message_says_door_place_times_and_pin(acme):
    site = world.a_site("Berlin", address="Musterstraße 12", help_phone="+493023125100")
    world.a_door("Front Door", site=site, is_visitor_door=True)
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann, "83951642")
    world.a_reservation(ann, deliver="email")
    [message] = sent()
    text = message.body
    for words in ("Ann", "Front Door", "Berlin", "Musterstraße 12", "11:00", "13:00", "CEST", "+493023125100"):
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
    for words in ("Front Door (Berlin)", "Lobby (New York)", "11:00 (CEST)", "05:00 (EDT)"):
        assert words in message.body, message.body


def test_a_pin_without_a_right_says_that_details_follow(acme):
    world.a_door()
    ann = world.a_person("Ann", email="ann@example.com")
    world.a_pin(ann, "83951642", deliver="email")
    [message] = sent()
    assert "83-95-1642" in message.body
    assert "follow" in message.body


def test_a_day_is_written_in_the_visitors_language():
    moment = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
    from zoneinfo import ZoneInfo

    from django.utils import translation

    with translation.override("de"):
        assert messages.in_words(moment, ZoneInfo("Europe/Berlin")) == "Mittwoch, 1 Juli 2026, 11:00 (CEST)"
    assert messages.in_words(moment + timedelta(hours=1), ZoneInfo("UTC")).endswith("10:00 (UTC)")
