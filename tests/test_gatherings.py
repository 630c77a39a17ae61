"""Visitors who come together: each step for all of them is the step for one, in few statements."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accesscontrol.credentials.models import Credential
from accesscontrol.reservations.models import Reservation, ReservationChannel, ReservationPeriod
from accesscontrol.visits import changing, gatherings
from accesscontrol.visits.keypads import PinDoesNotFit
from accounts.models import AuditEvent
from accounts.refusals import Refusal
from pins.deliveries.models import Delivery
from tests import world
from tests.test_visits import LIST
from tests.world import BY, NOW

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def door(acme):
    return world.a_door(is_visitor_door=True)


def group(names=LIST, **values):
    guests, _ = gatherings.parse_guests(names)
    given = {"name": "Board", "start_time": NOW, "end_time": NOW + HOUR, "deliver": "email", "by": BY, "now": NOW}
    return gatherings.issue_group(guests, **(given | values))


def test_a_group_has_a_pin_each_and_moves_as_one_or_alone(door):
    made = group(form_token="g")
    assert len(made.visits) == len({pin for _, pin in made.values}) == 3
    assert Delivery.objects.count() == 3
    again = group(form_token="g")
    assert (again.group, again.values, len(again.visits)) == (made.group, [], 3)
    changing.end(made.visits[0], by=BY, now=NOW + SECOND)
    assert len(gatherings.extend_group(made.group, end_time=NOW + 3 * HOUR, by=BY, now=NOW + 2 * SECOND)) == 2
    gatherings.move_group(made.group, start_time=NOW, end_time=NOW + 4 * HOUR, by=BY, now=NOW + 2 * SECOND)
    gatherings.end_group(made.group, by=BY, now=NOW + HOUR)
    ends = Reservation.objects.order_by("end_time").values_list("end_time", flat=True)
    assert list(ends) == [NOW + SECOND, NOW + HOUR, NOW + HOUR]
    with pytest.raises(changing.IsOver):
        gatherings.extend_group(made.group, end_time=NOW + 9 * HOUR, by=BY, now=NOW + 2 * HOUR)


def test_a_shared_pin_is_held_by_nobody_of_the_group(door):
    made = group(shared=True)
    [(holder, pin)] = made.values
    assert holder.is_shared
    assert made.group.shared_person == holder
    assert Credential.objects.get().person == holder
    assert pin not in repr(made)
    assert Reservation.objects.count() == 4


def test_the_largest_group_is_issued_in_few_statements(door, django_assert_max_num_queries):
    names = "\n".join(f"Guest{number} Number{number}" for number in range(gatherings.MOST))
    with django_assert_max_num_queries(90):
        made = group(names, deliver=None)
    assert len({pin for _, pin in made.values}) == gatherings.MOST


def many(number):
    return "\n".join(f"Guest{one}\tNumber{one}\tguest{one}@example.com" for one in range(number))


def statements(number, door):
    """How many statements a group of so many takes: issued with messages, extended, moved to a door more, ended."""
    counts = []

    def counted(verb, *args, **values):
        with CaptureQueriesContext(connection) as queries:
            made = verb(*args, by=BY, **values)
        counts.append(len(queries))
        return made

    made = counted(group, many(number), name=f"Board {number}", now=NOW)
    lab = world.a_door(f"Lab {number}")
    counted(gatherings.extend_group, made.group, end_time=NOW + 2 * HOUR, now=NOW + SECOND)
    assert Delivery.objects.filter(state="queued", template="visit").count() == number
    Delivery.objects.filter(state="queued").update(state="sent", sent_at=NOW, content=None, next_attempt_at=None)
    counted(
        gatherings.move_group,
        made.group,
        start_time=NOW + HOUR,
        end_time=NOW + 3 * HOUR,
        channels=[door, lab],
        now=NOW + 2 * SECOND,
    )
    assert Delivery.objects.filter(state="queued").count() == number
    Delivery.objects.filter(state="queued").update(state="sent", sent_at=NOW, content=None, next_attempt_at=None)
    counted(gatherings.end_group, made.group, now=NOW + 3 * SECOND)
    assert Delivery.objects.filter(state="queued", template="visit_ended").count() == number
    assert set(Reservation.objects.filter(group=made.group).values_list("version", "calendar_sequence")) == {(4, 3)}
    Delivery.objects.filter(state="queued").update(state="cancelled", content=None, next_attempt_at=None)
    return counts


def test_a_group_takes_as_many_statements_however_many_come(door):
    statements(2, door)
    few, most = statements(3, door), statements(60, door)
    # A larger group may need longer PINs, and so other questions about those that are in use.
    assert all(more - fewer <= 4 for fewer, more in zip(few, most, strict=True)), (few, most)
    assert most[0] <= 60, most
    assert max(most[1:]) <= 40, most


def test_what_a_group_is_given_is_what_each_alone_would_be_given(door):
    """The steps for many and those for one leave the same rows, but for numbers and PINs."""
    lab = world.a_door("Lab")

    def rows(visit):
        periods = ReservationPeriod.objects.filter(reservation=visit).order_by("pk")
        doors = ReservationChannel.objects.filter(reservation=visit).order_by("channel_id", "pk")
        audited = AuditEvent.objects.filter(subject_type="reservation", subject_id=str(visit.pk)).order_by("pk")
        told = Delivery.objects.about("reservation", [visit.pk]).order_by("pk")
        kept = Reservation.objects.filter(pk=visit.pk)
        return (
            list(kept.values_list("start_time", "end_time", "cancelled_at", "version", "changed_by", "updated_at")),
            list(kept.values_list("calendar_sequence", flat=True)),
            list(periods.values_list("start_time", "end_time", "started_at", "ended_at")),
            list(doors.values_list("channel_id", "started_at", "ended_at")),
            list(audited.values_list("verb", "fields", "occurred_at")),
            list(told.values_list("template", "state", "medium", "queued_at")),
        )

    for starts in (NOW, NOW + HOUR):
        period = {"start_time": starts, "end_time": starts + HOUR}
        made = group(many(2), name=f"Board {starts}", **period)
        alone = group("Ann\tAlone\tann@example.com", name=f"Alone {starts}", **period).visits[0]
        steps = (
            (gatherings.extend_group, changing.extend, {"end_time": starts + 2 * HOUR}),
            (gatherings.extend_group, changing.extend, {"end_time": starts + 2 * HOUR}),
            (
                gatherings.move_group,
                changing.move,
                {"start_time": starts + HOUR, "end_time": starts + 3 * HOUR, "channels": [lab]},
            ),
            (gatherings.move_group, changing.move, {"start_time": starts, "end_time": starts + 3 * HOUR}),
            (gatherings.end_group, changing.end, {}),
            (gatherings.end_group, changing.end, {}),
        )
        for number, (for_all, for_one, values) in enumerate(steps, 1):
            for_all(made.group, **values, by=BY, now=NOW + number * SECOND)
            for_one(alone, **values, by=BY, now=NOW + number * SECOND)
            assert [rows(visit) for visit in made.visits] == [rows(alone)] * 2, (starts, for_one.__name__)


def test_a_group_is_not_moved_to_a_door_whose_keypad_takes_no_such_pins(door):
    made = group(many(2))
    short = world.a_door("Old keypad", shortest_pin=4, longest_pin=4)
    with pytest.raises(PinDoesNotFit, match="Old keypad"):
        gatherings.move_group(
            made.group, start_time=NOW, end_time=NOW + HOUR, channels=[door, short], by=BY, now=NOW + SECOND
        )
    with pytest.raises(Refusal) as refused:
        gatherings.move_group(made.group, start_time=NOW + HOUR, end_time=NOW + HOUR, by=BY, now=NOW + SECOND)
    assert refused.value.code == "invalid_period"
    assert set(Reservation.objects.values_list("version", flat=True)) == {1}


def test_everybody_of_a_group_is_sent_the_shared_pin(door):
    from pins.vault.sealing import open_json

    made = group(shared=True)
    [(_, pin)] = made.values
    for delivery in Delivery.objects.all():
        content = open_json(
            bytes(delivery.content), tenant_id=delivery.tenant_id, table="deliveries_delivery", row_id=delivery.pk
        )
        assert content["pin"] == pin
