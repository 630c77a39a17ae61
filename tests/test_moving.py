"""Visits and people moved in bulk: what is shown before the click is what is done after it."""

from datetime import timedelta

import pytest

from accesscontrol.people.models import GroupMembership
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import batches, belonging, changing, moving
from accesscontrol.visits.models import Batch, BatchItem
from accounts.rights import StaffRole
from pins.deliveries.models import Delivery
from tests import world
from tests.test_batches import worked_off
from tests.world import BY, NOW

Kind = Batch.Kind


def chosen(kind, rows):
    return batches.choose(kind, rows, by=BY, now=NOW)


def outcomes(batch):
    rows = BatchItem.objects.filter(batch=batch).select_related("person", "reservation__person")
    return {moving.name_of(item): (item.state, item.reason) for item in rows}


def doors_of(visit):
    rows = ReservationChannel.objects.filter(reservation=visit, ended_at=None)
    return set(rows.values_list("channel__name", flat=True))


@pytest.fixture
def visits(acme):
    front = world.a_door("Front Door", is_visitor_door=True)
    hour = timedelta(hours=1)
    made = {
        "Coming": world.a_reservation(world.a_person("Coming"), front, start=NOW + 5 * hour),
        "Begun": world.a_reservation(world.a_person("Begun"), front, start=NOW - hour),
        "Over": world.a_reservation(world.a_person("Over"), front, start=NOW - 9 * hour),
        "Cancelled": world.a_reservation(world.a_person("Cancelled"), front, start=NOW + 5 * hour),
    }
    changing.end(made["Cancelled"], by=BY, now=NOW)
    return made


def test_the_look_beforehand_says_what_is_done(visits):
    batch = chosen(Kind.MOVE, Reservation.objects.all())
    assert moving.preview(batch, NOW) is None
    with pytest.raises(batches.NotSaidYet):
        batches.start(batch, by=BY, now=NOW)
    moving.plan_move(batch, minutes=90, doors=[], by=BY, now=NOW)
    batch.refresh_from_db()
    preview = moving.preview(batch, NOW)
    assert preview.number == 1
    left_out = {"Begun": "Has begun already.", "Over": "Over already.", "Cancelled": "Cancelled."}
    assert {names[0]: reason for reason, _, names in preview.left_out} == left_out
    before = visits["Coming"].start_time
    batches.start(batch, by=BY, now=NOW)
    worked_off(batch)
    assert outcomes(batch) == {"Coming": ("done", "")} | {
        name: ("left_out", reason) for name, reason in left_out.items()
    }
    assert Reservation.objects.get(pk=visits["Coming"].pk).start_time == before + timedelta(minutes=90)
    assert Reservation.objects.get(pk=visits["Begun"].pk).start_time == visits["Begun"].start_time


def test_visits_go_to_other_doors_and_whoever_was_told_is_told(visits):
    ann = world.a_person("Ann", email="ann@example.com")
    front, lab, hidden = world.a_door("Front"), world.a_door("Lab"), world.a_door("Hidden")
    visit = world.a_reservation(ann, front, start=NOW + timedelta(hours=1), deliver="email")
    both = world.a_reservation(world.a_person("Both"), front, hidden, start=NOW + timedelta(hours=1))
    batch = chosen(Kind.MOVE, Reservation.objects.filter(pk__in=[visit.pk, both.pk, visits["Begun"].pk]))
    moving.plan_move(batch, minutes=0, doors=[lab], elsewhere=[hidden], by=BY, now=NOW)
    batch.refresh_from_db()
    batches.start(batch, by=BY, now=NOW)
    worked_off(batch)
    assert batch.done == 2
    assert doors_of(visit) == {"Lab"}
    assert outcomes(batch)["Both"] == ("left_out", "Opens doors of other sites, too.")
    assert doors_of(visits["Begun"]) == {"Lab"}
    told = list(Delivery.objects.order_by("id").values_list("state", flat=True))
    assert told == ["cancelled", "queued"]


def test_earlier_than_now_is_left_out(visits):
    batch = chosen(Kind.MOVE, Reservation.objects.filter(pk=visits["Coming"].pk))
    moving.plan_move(batch, minutes=-600, doors=[], by=BY, now=NOW)
    batch.refresh_from_db()
    assert moving.preview(batch, NOW).left_out == [("Would be over already.", 1, ["Coming"])]


def test_moves_that_say_nothing_are_refused(visits):
    batch = chosen(Kind.MOVE, Reservation.objects.all())
    with pytest.raises(moving.NothingSaid):
        moving.plan_move(batch, minutes=0, doors=[], by=BY, now=NOW)
    with pytest.raises(moving.TooFar):
        moving.plan_move(batch, minutes=moving.MOST_MINUTES + 1, doors=[], by=BY, now=NOW)
    with pytest.raises(moving.NoGroupSaid):
        moving.plan_groups(batch, into=[], out_of=[], by=BY, now=NOW)


def groups_of(person):
    return set(GroupMembership.objects.filter(person=person, ended_at=None).values_list("group__name", flat=True))


def test_people_are_moved_between_groups(acme):
    old, new, other = (world.a_group(name) for name in ("Old", "New", "Other"))
    ann, bob = world.a_person("Ann"), world.a_person("Bob")
    belonging.set_groups(ann, [old, other], by=BY, now=NOW)
    belonging.set_groups(bob, [new], by=BY, now=NOW)
    batch = chosen(Kind.REGROUP, type(ann).objects.all())
    moving.plan_groups(batch, into=[new], out_of=[old], by=BY, now=NOW)
    batch.refresh_from_db()
    preview = moving.preview(batch, NOW)
    assert (preview.number, preview.left_out) == (1, [("Is in these groups already.", 1, ["Bob"])])
    batches.start(batch, by=BY, now=NOW)
    worked_off(batch)
    assert (groups_of(ann), groups_of(bob)) == ({"New", "Other"}, {"New"})
    with pytest.raises(moving.StartedAlready):
        moving.plan_groups(batch, into=[new], out_of=[], by=BY, now=NOW)


def test_issuing_shows_who_is_left_out_and_who_cannot_be_reached(acme):
    world.a_door()
    world.a_pin(world.a_person("Having"))
    world.a_person("Mute")
    world.a_person("Reached", email="r@example.com")
    preview = moving.preview(chosen(Kind.ISSUE, world.Person.objects.all()), NOW)
    assert (preview.number, preview.left_out) == (2, [("Has a PIN already.", 1, ["Having"])])
    assert preview.unreachable == {"e-mail address": 1, "mobile number": 2}


VISITS = "/admin/reservations/reservation/"


def test_pages_ask_show_and_start(visits):
    world.a_door("Lab")
    manager = world.signed_in(world.a_member(StaffRole.MANAGER).user)
    ids = [visit.pk for visit in visits.values()]
    page = manager.post(VISITS, {"action": "move_visits", "_selected_action": ids}, follow=True).content.decode()
    [batch] = Batch.objects.all()
    address = f"/admin/visits/batch/{batch.pk}/"
    assert "Next, say what is to change" in page
    assert manager.get(f"{address}start/").status_code == 404
    asked = {"way": "later", "days": "30", "hours": "1.5"}
    assert (
        "Visits are moved by a year"
        in manager.post(f"{address}move/", asked | {"days": "366", "hours": "24"}).content.decode()
    )
    assert "Say by how much" in manager.post(f"{address}move/", {"way": "later"}).content.decode()
    page = manager.post(f"{address}move/", asked, follow=True).content.decode()
    assert "30 days 1 hour 30 minutes later" in page
    assert "left out" in page
    assert manager.get(f"{address}move/").status_code == 200
    manager.post(f"{address}start/")
    worked_off(batch)
    assert batch.finished_at
    assert manager.get(f"{address}move/").status_code == 404


def test_members_of_some_sites_move_to_their_doors_alone(visits):
    north = world.a_site("North")
    gate = world.a_door("Gate", site=north)
    visit = visits["Coming"]
    changing.add_door(visit, channel=gate, by=BY, now=NOW)
    lab = world.a_door("Lab", site=north)
    own = world.a_reservation(world.a_person("Noa"), gate, start=NOW + timedelta(hours=5))
    limited = world.signed_in(world.a_member(StaffRole.MANAGER, sites=[north]).user)
    limited.post(VISITS, {"action": "move_visits", "select_across": "1", "_selected_action": [visits["Begun"].pk]})
    [batch] = Batch.objects.all()
    assert batch.total == 2
    address = f"/admin/visits/batch/{batch.pk}/"
    assert "Front Door" not in limited.get(f"{address}move/").content.decode()
    foreign = ReservationChannel.objects.get(reservation=visits["Begun"]).channel_id
    wrong = limited.post(f"{address}move/", {"way": "later", "doors": [foreign]}).content.decode()
    assert "not one of the available choices" in wrong
    limited.post(f"{address}move/", {"way": "later", "doors": [lab.pk]})
    limited.post(f"{address}start/")
    worked_off(batch)
    assert outcomes(batch) == {"Coming": ("left_out", "Opens doors of other sites, too."), "Noa": ("done", "")}
    assert doors_of(visit) == {"Gate", "Front Door"}
    assert doors_of(own) == {"Lab"}
