"""The visitor's calendar, as a real mail server takes it and a calendar program reads it."""

from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from icalendar import Calendar

from accesscontrol.access import checking
from accesscontrol.doors import granting, holidays
from accesscontrol.doors.hours import OnHoliday, Stretch
from accesscontrol.doors.models import Channel, Shift
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import reserving
from accounts.models import Site
from accounts.tenancy import tenant_transaction
from pins.deliveries.sending import send_next
from tests import world
from tests.letters import mailbox_fixture  # noqa: F401
from tests.world import BY, NOW

PIN = "83951642"
HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def house(live, mailbox):
    return House(live.acme, mailbox)


class House:
    """A tenant with one visitor, and what arrives in her mailbox."""

    def __init__(self, tenant, box):
        self.tenant, self.box = tenant, box
        with tenant_transaction(tenant.pk):
            site = world.a_site("Head Office, East", address="Main Street 12", help_phone="+493023125100")
            world.a_door("Front Door", site=site, is_visitor_door=True)
            self.ann = world.a_person("Ann", email="ann@example.com", last_name='O"Hara')
            world.a_pin(self.ann, PIN)

    def reserve(self, **values):
        with tenant_transaction(self.tenant.pk):
            return world.a_reservation(self.ann, deliver="email", **values)

    def change(self, verb, visit, **values):
        with tenant_transaction(self.tenant.pk):
            return verb(Reservation.objects.get(pk=visit.pk), by=BY, **{"now": NOW, **values})

    def shift(self, *stretches, on_holiday=OnHoliday.CLOSED):
        with tenant_transaction(self.tenant.pk):
            shift = Shift.objects.create(name="Cleaning", on_holiday=on_holiday.value)
            granting.set_times(shift, stretches, by=BY, now=NOW)
        return shift

    def holiday(self, name, first, last, **values):
        with tenant_transaction(self.tenant.pk):
            holidays.add(Site.objects.all(), holidays.Days(name, first, last, **values), by=BY, now=NOW)

    def arrived(self):
        """The mails since the last look, each with its calendar."""
        before = len(self.box.messages)
        while send_next(self.tenant.pk, clock=lambda: NOW):
            pass
        return [(message, calendar_of(message)) for message in self.box.messages[before:]]


def calendar_of(message):
    files = [part for part in message.walk() if part.get_filename() == "visit.ics"]
    if not files:
        return None
    [file] = files
    content = file.get_content()
    for shown in (PIN, "83-95-1642", "8395"):
        assert shown not in content
    calendar = Calendar.from_ical(content)
    assert file.get_content_type() == "text/calendar"
    assert file.get_param("method") == str(calendar["METHOD"])
    # As an alternative, mail programs would put the text with the PIN into the entry.
    assert file.get_content_disposition() == "attachment"
    return calendar


def entry_of(calendar):
    [event] = calendar.walk("VEVENT")
    return event


def test_the_entry_says_when_where_and_that_the_pin_is_elsewhere(house):
    visit = house.reserve()
    [(message, calendar)] = house.arrived()
    event = entry_of(calendar)
    assert str(event["UID"]) == str(visit.calendar_uid)
    assert (str(calendar["METHOD"]), event["SEQUENCE"], str(event["STATUS"])) == ("REQUEST", 0, "CONFIRMED")
    assert event["DTSTART"].params["TZID"] == "Europe/Berlin"
    assert event["DTSTART"].dt == datetime(2026, 7, 1, 11, tzinfo=BERLIN) == NOW
    assert event["DTEND"].dt == NOW + timedelta(hours=2)
    assert str(event["SUMMARY"]) == "Visit to Head Office, East"
    assert str(event["LOCATION"]) == "Head Office, East, Main Street 12"
    for words in ("Front Door", "+493023125100", "Your PIN is in the message from Acme."):
        assert words in event["DESCRIPTION"]
    assert str(event["ORGANIZER"]).lower() == "mailto:gatehouse@acme.example"
    assert (event["ATTENDEE"].params["CN"], event["ATTENDEE"].params["RSVP"]) == ("Ann O'Hara", "FALSE")
    # Everything that is named is there, and nothing but this year's and the next year's changes of clocks.
    [zone] = calendar.walk("VTIMEZONE")
    assert str(zone["TZID"]) == "Europe/Berlin"
    assert "1980" not in zone.to_ical().decode()
    assert PIN in message.get_body(("plain",)).get_content().replace("-", "")


def test_move_extend_and_cancel_replace_the_entry(house):
    visit = house.reserve()
    house.arrived()
    house.change(reserving.reschedule, visit, start_time=NOW + timedelta(hours=1), end_time=NOW + timedelta(hours=4))
    house.change(reserving.reschedule, visit, end_time=NOW + timedelta(hours=6))
    # Two changes before anything left are one message.
    [(_, moved)] = house.arrived()
    house.change(reserving.cancel, visit)
    [(_, cancelled)] = house.arrived()
    first, last = entry_of(moved), entry_of(cancelled)
    assert {str(first["UID"]), str(last["UID"])} == {str(visit.calendar_uid)}
    assert 0 < first["SEQUENCE"] < last["SEQUENCE"]
    assert (first["DTSTART"].dt, first["DTEND"].dt) == (NOW + timedelta(hours=1), NOW + timedelta(hours=6))
    assert (str(cancelled["METHOD"]), str(last["STATUS"])) == ("CANCEL", "CANCELLED")


def test_each_visit_has_an_entry_of_its_own(house):
    house.reserve(), house.reserve()
    entries = [entry_of(calendar) for _, calendar in house.arrived()]
    assert len({str(entry["UID"]) for entry in entries}) == 2


@pytest.mark.parametrize("start", [datetime(2026, 3, 28, 9, tzinfo=UTC), datetime(2026, 10, 24, 9, tzinfo=UTC)])
def test_over_a_change_of_clocks_the_instants_hold(house, start):
    house.reserve(start=start, hours=48)
    [(_, calendar)] = house.arrived()
    event = entry_of(calendar)
    assert event["DTSTART"].dt.astimezone(UTC) == start
    assert event["DTEND"].dt.astimezone(UTC) == start + timedelta(hours=48)


def test_a_weekly_visit_is_one_rule(house):
    shift = house.shift(Stretch(1, time(18), time(20, 30)), Stretch(3, time(18), time(20, 30)))
    house.reserve(shift=shift, hours=24 * 60)
    [(message, calendar)] = house.arrived()
    event = entry_of(calendar)
    # NOW is a Wednesday: the first time is on Thursday.
    assert event["DTSTART"].dt == datetime(2026, 7, 2, 18, tzinfo=BERLIN)
    assert event["DTEND"].dt == datetime(2026, 7, 2, 20, 30, tzinfo=BERLIN)
    rule = event["RRULE"]
    assert (rule["FREQ"], rule["BYDAY"]) == (["WEEKLY"], ["TU", "TH"])
    assert rule["UNTIL"][0] == NOW + timedelta(days=60, seconds=-1)
    assert "Tuesday, Thursday 18:00-20:30" in message.get_body(("plain",)).get_content()


def test_a_night_shift_that_is_open_already_begins_the_day_before(house):
    shift = house.shift(*[Stretch(day, time(22), time(12)) for day in range(7)])
    house.reserve(shift=shift, hours=72)
    [(_, calendar)] = house.arrived()
    event = entry_of(calendar)
    assert event["DTSTART"].dt == datetime(2026, 6, 30, 22, tzinfo=BERLIN)
    assert event["DTEND"].dt == datetime(2026, 7, 1, 12, tzinfo=BERLIN)


def test_hours_that_no_single_rule_says_are_in_the_message_alone(house):
    shift = house.shift(Stretch(1, time(18), time(20)), Stretch(3, time(9), time(11)))
    house.reserve(shift=shift, hours=24 * 60)
    [(message, calendar)] = house.arrived()
    assert calendar is None
    assert "Thursday 09:00-11:00; Tuesday 18:00-20:00" in message.get_body(("plain",)).get_content()


def test_weekly_hours_that_never_come_make_no_entry(house):
    shift = house.shift(Stretch(1, time(18), time(20)))
    house.reserve(shift=shift)
    [(_, calendar)] = house.arrived()
    assert calendar is None


def test_a_place_that_is_closed_for_good_is_not_looked_through_to_the_end_of_time(house):
    house.holiday("Closed down", date(2026, 1, 1), date(2026, 12, 31), is_yearly=True)
    shift = house.shift(Stretch(1, time(18), time(20)))
    began = monotonic()
    house.reserve(shift=shift, hours=24 * 365 * 6000)
    assert monotonic() - began < 5
    [(_, calendar)] = house.arrived()
    assert calendar is None


def weekly(house, *, on_holiday=OnHoliday.CLOSED):
    """Tuesdays and Thursdays from 18:00 to 20:30 in December; what a calendar program makes of it."""
    shift = house.shift(*(Stretch(day, time(18), time(20, 30)) for day in (1, 3)), on_holiday=on_holiday)
    house.reserve(start=datetime(2026, 12, 1, tzinfo=BERLIN), hours=39 * 24, shift=shift)
    [(_, calendar)] = house.arrived()
    return entry_of(calendar)


def closed(event):
    return [each.dt for each in event["exdate"].dts] if "exdate" in event else []


def berlin(month, day, hour=18, minute=0, year=2026):
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN)


def test_a_holiday_of_the_site_is_no_visit_in_the_calendar(house):
    house.holiday("Christmas", date(2026, 12, 24), date(2026, 12, 26))
    house.holiday("New Year", date(2020, 1, 1), date(2020, 1, 1), is_yearly=True)
    house.holiday("Monday", date(2026, 12, 7), date(2026, 12, 7))
    event = weekly(house)
    # 1 January is a Friday, and so is Christmas Day; only Thursday 24 December falls out.
    assert event["rrule"]["byday"] == ["TU", "TH"]
    assert closed(event) == [berlin(12, 24)]
    assert "rdate" not in event


def test_a_visit_whose_first_day_is_a_holiday_begins_the_time_after(house):
    house.holiday("Founding day", date(2026, 12, 1), date(2026, 12, 1))
    event = weekly(house)
    assert event["dtstart"].dt == berlin(12, 3)
    assert closed(event) == []


def test_hours_that_go_on_over_holidays_are_left_alone(house):
    house.holiday("Christmas", date(2026, 12, 24), date(2026, 12, 24))
    assert closed(weekly(house, on_holiday=OnHoliday.AS_USUAL)) == []


def test_a_holiday_with_hours_of_its_own_stands_in_the_calendar(house):
    house.holiday("Christmas Eve", date(2026, 12, 24), date(2026, 12, 24), hours=((time(9), time(12)),))
    house.holiday("Sale", date(2026, 12, 5), date(2026, 12, 5), hours=((time(8), time(22)),))
    event = weekly(house, on_holiday=OnHoliday.HOLIDAY_HOURS)
    assert closed(event) == [berlin(12, 24)]
    assert event["rdate"].dts[0].params["VALUE"] == "PERIOD"
    assert [each.dt for each in event["rdate"].dts] == [
        (berlin(12, 5, 8), berlin(12, 5, 22)),
        (berlin(12, 24, 9), berlin(12, 24, 12)),
    ]


def test_the_calendar_opens_when_the_door_does(house):
    """Every hour of six weeks, by the decision itself and by a program that reads the entry."""
    house.holiday("Christmas", date(2026, 12, 24), date(2026, 12, 26))
    house.holiday("Epiphany", date(2020, 1, 5), date(2020, 1, 6), is_yearly=True)
    house.holiday("Short day", date(2026, 12, 8), date(2026, 12, 8), hours=((time(10), time(11)),))
    event = weekly(house, on_holiday=OnHoliday.HOLIDAY_HOURS)
    begins, length = event["dtstart"].dt, event["dtend"].dt - event["dtstart"].dt
    rule = rrulestr(event["rrule"].to_ical().decode(), dtstart=begins.replace(tzinfo=None), ignoretz=True)
    starts = {start.replace(tzinfo=BERLIN) for start in rule} - set(closed(event))
    spans = [(start, start + length) for start in starts] + [each.dt for each in event["rdate"].dts]
    moment, seen = berlin(12, 1, 0, 15), set()
    with tenant_transaction(house.tenant.pk):
        door = Channel.objects.get()
        while moment < berlin(1, 9, 0, year=2027):
            says = any(start <= moment < end for start, end in spans)
            assert checking.check(house.ann, door, at=moment, now=NOW).admitted == says, moment
            seen.add(says)
            moment += HOUR
    assert seen == {True, False}
