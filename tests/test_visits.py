"""The life of a visit: issued by one call, changed by one verb each, told once, never undone by somebody else."""

from datetime import time, timedelta

import pytest

from accesscontrol.credentials.models import Credential
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationPeriod
from accesscontrol.reservations.reserving import ChangedMeanwhile, NoChannels
from accesscontrol.visits import arriving, changing, gatherings, recurring, replacing, visiting
from accesscontrol.visits.keypads import PinDoesNotFit
from accesscontrol.visits.messages import NoAddress
from accounts.audit import Actor
from accounts.models import AuditEvent, Membership
from accounts.refusals import Refusal
from accounts.rights import StaffRole
from accounts.tenancy import tenant_transaction
from pins.deliveries.models import Delivery
from tests import world
from tests.test_races import at_once
from tests.world import BY, NOW

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def door(acme):
    return world.a_door(is_visitor_door=True)


def issue(**values):
    given = {
        "first_name": "Vera",
        "last_name": "Visitor",
        "email": "vera@example.com",
        "start_time": NOW,
        "end_time": NOW + 2 * HOUR,
        "by": BY,
        "now": NOW,
    }
    return visiting.issue(**(given | values))


def test_one_call_makes_person_pin_visit_and_message(door):
    visit = issue(deliver="email", host_name="Hanna Host", purpose="Interview")
    assert visit.is_new
    assert visit.person.kind == Person.Kind.VISITOR
    assert visit.value.isdecimal()
    assert visit.value not in repr(visit)
    reservation = Reservation.objects.get()
    assert list(reservation.channels.all()) == [door]
    assert (reservation.hosted_by, reservation.purpose, reservation.grace_seconds) == ("Hanna Host", "Interview", 900)
    assert reservation.created_by == "test"
    assert Delivery.objects.get() == visit.delivery
    assert set(AuditEvent.objects.values_list("verb", "subject_type")) >= {
        ("create", "person"),
        ("reserve", "reservation"),
        ("issue", "credential"),
    }


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"first_name": "", "last_name": "", "email": ""}, visiting.NoName),
        ({"end_time": NOW}, changing.IsOver),
        ({"email": "", "deliver": "email"}, NoAddress),
        ({"channels": []}, NoChannels),
        ({"start_time": NOW + 3 * HOUR}, Refusal),
        ({"grace_seconds": 86401}, Refusal),
        ({"max_uses": 0}, Refusal),
        ({"weekly": recurring.Weekly(frozenset(), time(9), time(10))}, recurring.NoWeekdays),
        ({"weekly": recurring.Weekly(frozenset({6}), time(9), time(10))}, recurring.NeverOpens),
    ],
)
def test_what_is_refused_leaves_nothing_behind(door, values, refusal):
    with pytest.raises(refusal):
        issue(**values)
    assert not Person.objects.exists()
    assert not Reservation.objects.exists()
    assert not Credential.objects.exists()
    assert not Delivery.objects.exists()


def test_a_form_sent_twice_makes_one_visit(door):
    first = issue(form_token="a")
    again = issue(form_token="a")
    assert (again.is_new, again.value, again.reservation) == (False, "", first.reservation)
    assert Reservation.objects.count() == Person.objects.count() == 1


def test_a_booking_told_again_is_moved_and_can_be_booked_anew_after_its_end(door):
    first = issue(external_id="b-1", deliver="email")
    same = issue(external_id="b-1", deliver="email")
    assert (same.is_new, same.reservation.version) == (False, first.reservation.version)
    moved = issue(external_id="b-1", end_time=NOW + 5 * HOUR, last_name="Renamed")
    assert moved.reservation.pk == first.reservation.pk
    assert moved.reservation.end_time == NOW + 5 * HOUR
    assert moved.person.last_name == "Renamed"
    changing.end(moved.reservation, by=BY, now=NOW)
    anew = issue(external_id="b-1")
    assert anew.is_new
    assert anew.reservation.pk != first.reservation.pk


def test_the_same_name_at_the_same_address_keeps_person_and_pin(door):
    first = issue()
    second = issue(start_time=NOW + 24 * HOUR, end_time=NOW + 25 * HOUR, email="VERA@example.com")
    assert second.person == first.person
    assert second.value == ""
    assert second.credential == first.credential
    assert issue(first_name="Other").person != first.person


def test_a_host_who_left_is_refused(door):
    host = world.a_member(StaffRole.HOST)
    issue(host=host)
    host.ended_at = NOW
    host.save()
    with pytest.raises(visiting.HostIsGone):
        issue(host=host)


VERBS = {
    "move": lambda visit, **by: changing.move(visit, start_time=NOW, end_time=NOW + HOUR, **by),
    "extend": lambda visit, **by: changing.extend(visit, end_time=NOW + 9 * HOUR, **by),
    "end": changing.end,
    "start_now": changing.start_now,
    "check_in": arriving.check_in,
    "check_out": arriving.check_out,
    "reissue": replacing.reissue,
    "change": lambda visit, **by: changing.change(visit, purpose="x", **by),
}


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_undoes_what_they_have_not_seen(door, verb):
    visit = issue().reservation
    user = world.a_member(StaffRole.FRONT_DESK).user
    user.name = "Ann"
    user.save()
    colleague = Actor("staff", Membership.objects.get(user=user).pk)
    changing.change(visit, purpose="Audit", by=colleague, now=NOW)
    with pytest.raises(ChangedMeanwhile, match="Changed by Ann at "):
        VERBS[verb](visit, expected_version=visit.version, by=BY, now=NOW + SECOND)
    current = Reservation.objects.get()
    VERBS[verb](current, expected_version=current.version, by=BY, now=NOW + SECOND)


def test_end_before_the_start_is_a_cancellation_and_after_it_the_end(door):
    before = issue(start_time=NOW + HOUR).reservation
    assert changing.end(before, by=BY, now=NOW).cancelled_at == NOW
    running = issue(first_name="Other").reservation
    at = NOW + HOUR
    ended = changing.end(running, by=BY, now=at)
    assert (ended.cancelled_at, ended.end_time) == (None, at)
    assert changing.end(ended, by=BY, now=at + HOUR).end_time == at
    assert ReservationPeriod.objects.filter(reservation=running).count() == 2


def test_check_out_ends_the_visit_but_of_a_weekly_one_only_the_day(door):
    once = issue().reservation
    arriving.check_in(once, by=BY, now=NOW + SECOND)
    left = arriving.check_out(once, by=BY, now=NOW + HOUR)
    assert (left.end_time, left.checked_out_at) == (NOW + HOUR, NOW + HOUR)
    weekly = recurring.Weekly(frozenset({2}), time(8), time(20))
    cleaner = issue(first_name="Cleo", weekly=weekly, end_time=NOW + timedelta(days=90)).reservation
    assert recurring.in_words(cleaner.shift) == "Wednesday 08:00-20:00"
    arriving.check_in(cleaner, by=BY, now=NOW)
    assert Reservation.objects.get(pk=cleaner.pk).is_here(NOW)
    gone = arriving.check_out(cleaner, by=BY, now=NOW + HOUR)
    assert gone.end_time == NOW + timedelta(days=90)
    assert not gone.is_here(NOW + HOUR)
    back = arriving.check_in(gone, by=BY, now=NOW + timedelta(days=7))
    assert back.is_here(NOW + timedelta(days=7))


def test_a_visit_that_is_over_is_not_checked_in_and_goes_on_once_extended(door):
    visit = issue().reservation
    late = NOW + 3 * HOUR
    with pytest.raises(changing.IsOver):
        arriving.check_in(visit, by=BY, now=late)
    assert arriving.clear_no_shows(late) == 1
    assert arriving.clear_no_shows(late) == 0
    assert Reservation.objects.get().no_show_at == late
    extended = changing.extend(visit, end_time=late + HOUR, by=BY, now=late)
    assert extended.no_show_at is None
    assert arriving.check_in(extended, by=BY, now=late).checked_in_at == late


def test_only_who_never_came_is_a_no_show(door):
    came = issue().reservation
    arriving.check_in(came, by=BY, now=NOW)
    cancelled = issue(first_name="Carl", start_time=NOW + HOUR).reservation
    changing.end(cancelled, by=BY, now=NOW)
    assert arriving.clear_no_shows(NOW + 5 * HOUR) == 0


def test_reissue_is_revoke_and_issue_in_one(door):
    visit = issue()
    issued = replacing.reissue(visit.reservation, deliver="email", by=BY, now=NOW)
    assert issued.value != visit.value
    assert issued.delivery is not None
    old = Credential.objects.get(pk=visit.credential.pk)
    assert old.revoked_at == NOW
    assert old.sealed is None


def test_a_pin_that_does_not_fit_the_doors_is_refused_whole(door):
    visit = issue()
    long = world.a_door("Vault", shortest_pin=8)
    with pytest.raises(PinDoesNotFit):
        changing.add_door(visit.reservation, channel=long, by=BY, now=NOW)
    assert list(visit.reservation.channels.all()) == [door]


def test_two_who_send_the_same_form_at_once_make_one_visit(live):
    with tenant_transaction(live.acme.pk):
        world.a_door(is_visitor_door=True)

    def send(_number):
        with tenant_transaction(live.acme.pk):
            return issue(form_token="t", external_id="e").is_new

    assert sorted(at_once(4, send)) == [False, False, False, True]
    with tenant_transaction(live.acme.pk):
        assert Reservation.objects.count() == Person.objects.count() == 1


def test_of_two_who_change_the_same_version_one_wins(live):
    with tenant_transaction(live.acme.pk):
        world.a_door(is_visitor_door=True)
        visit = issue().reservation

    def extend(_number):
        try:
            with tenant_transaction(live.acme.pk):
                changing.extend(visit, end_time=NOW + 9 * HOUR, expected_version=1, by=BY, now=NOW)
        except ChangedMeanwhile:
            return "late"
        return "done"

    assert sorted(at_once(4, extend)) == ["done", "late", "late", "late"]


LIST = "Name\tE-mail\nAda Lovelace\tada@example.com\nGrace; Hopper; grace@example.com\n\nLinus <linus@example.com>\n"


def test_a_list_is_read_as_people_paste_it():
    guests, wrong = gatherings.parse_guests(LIST + "Margaret Hamilton, +49 30 123456, NASA\n")
    assert wrong == []
    assert [(one.first_name, one.last_name, one.email, one.mobile, one.company) for one in guests] == [
        ("Ada", "Lovelace", "ada@example.com", "", ""),
        ("Grace", "Hopper", "grace@example.com", "", ""),
        ("Linus", "", "linus@example.com", "", ""),
        ("Margaret", "Hamilton", "", "+4930123456", "NASA"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a@example.com", "name is missing"),
        ("Ann\tnobody@", "no"),
        ("Ann\t030 123456", "country code"),
        ("x" * 121, "at most"),
        ("Ann\ta@example.com\tb@example.com", "Two e-mail"),
        ("Bob", "line 1"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line, words):
    _, wrong = gatherings.parse_guests(f"Bob\n{line}")
    assert [one.line for one in wrong] == [2]
    assert words in wrong[0].text


def test_the_hours_of_one_visit_are_not_listed_and_saving_keeps_them(door):
    weekly = recurring.Weekly(frozenset({2}), time(8), time(20))
    visit = issue(weekly=weekly, end_time=NOW + timedelta(days=9000)).reservation
    owner = world.signed_in(world.a_member(StaffRole.OWNER).user)
    assert b"Wednesday 08:00" not in owner.get("/admin/doors/shift/").content
    key = world.api(world.an_api_key("account.reservation", "account.shift.readonly"))
    assert key.get("/api/3/shifts").json() == []
    page = owner.get(f"/admin/reservations/reservation/{visit.pk}/change/")
    assert b"Wednesday 08:00-20:00" in page.content
    assert b'name="shift"' not in page.content
