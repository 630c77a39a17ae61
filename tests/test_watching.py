"""Guessing that is spread over a site's doors."""

from datetime import timedelta

from accesscontrol.access import attempts, watching
from accesscontrol.access.models import Alarm
from accesscontrol.access.tasks import watch_sites
from accesscontrol.credentials.models import CredentialType
from accounts.tenancy import tenant_transaction
from tests import world
from tests.world import NOW


def guess(door, count, now=NOW, start=0):
    for number in range(start, start + count):
        attempts.attempt(door.pk, f"90{door.pk:03}{number:03}", type=CredentialType.PIN, now=now)


def test_the_free_tries_of_many_doors_add_up_to_one_alarm(acme):
    site = world.a_site("Berlin")
    doors = [world.a_door(f"Door {number}", site=site) for number in range(5)]
    for door in doors[:4]:
        guess(door, 3)
    watching.watch_sites(NOW)
    assert not Alarm.objects.exists()
    guess(doors[4], 3)
    watching.watch_sites(NOW)
    watching.watch_sites(NOW + timedelta(minutes=30))
    [alarm] = Alarm.objects.all()
    assert (alarm.kind, alarm.site_id, alarm.channel_id) == ("guessing", site.pk, None)


def test_few_doors_alarm_at_ten_and_old_tries_do_not_count(acme):
    site = world.a_site("Berlin")
    doors = [world.a_door(f"Door {number}", site=site, free_tries=3) for number in range(3)]
    for door in doors:
        guess(door, 3, now=NOW - timedelta(hours=4))
    watching.watch_sites(NOW)
    for door in doors:
        guess(door, 3, start=500)
    watching.watch_sites(NOW)
    assert not Alarm.objects.exists()
    guess(doors[0], 1, start=900)
    watching.watch_sites(NOW)
    assert Alarm.objects.count() == 1


def test_another_sites_tries_are_its_own(acme):
    for name in ("Berlin", "New York"):
        site = world.a_site(name)
        for number in range(3):
            guess(world.a_door(f"{name} {number}", site=site), 2)
    watching.watch_sites(NOW)
    assert not Alarm.objects.exists()


def test_the_tick_looks_where_something_was_typed(live, time_machine):
    time_machine.move_to(NOW, tick=False)
    with tenant_transaction(live.acme.pk):
        site = world.a_site()
        for number in range(5):
            guess(world.a_door(f"Door {number}", site=site), 3)
    watch_sites()
    with tenant_transaction(live.acme.pk):
        assert Alarm.objects.count() == 1
    with tenant_transaction(live.globex.pk):
        assert not Alarm.objects.exists()
