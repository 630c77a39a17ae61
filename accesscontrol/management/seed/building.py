"""Builds what a plan describes, as the command: places, rights, people with PINs and cards, visits."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from accesscontrol.access import telling
from accesscontrol.access.models import Alarm, AlarmRecipient
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors import granting, holidays
from accesscontrol.doors.holidays import Days
from accesscontrol.doors.hours import OnHoliday, Stretch
from accesscontrol.doors.models import Channel, Role, Shift, SiteHours
from accesscontrol.management.seed.logins import BY
from accesscontrol.management.seed.plans import StaffPlan, TenantPlan, VisitorPlan
from accesscontrol.people import records
from accesscontrol.people.models import Group, Person
from accesscontrol.reservations.models import Reservation
from accesscontrol.visits import arriving, belonging, issuing, visiting
from accounts.models import Site


@dataclass(frozen=True)
class Holder:
    """A person with what they show at a door, and the plan or the visit that says where they go."""

    person: Person
    credential: Credential
    plan: StaffPlan | None = None
    visit: Reservation | None = None


@dataclass
class Built:
    sites: dict[str, Site] = field(default_factory=dict)
    doors: dict[str, Channel] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    holders: list[Holder] = field(default_factory=list)


def build(plan: TenantPlan, *, since: datetime, now: datetime) -> Built:
    """Everything but the events; rights hold from `since`."""
    built = Built()
    _places(plan, built, since)
    _alarm_recipient(plan, since)
    _rights(plan, built, since)
    number = 0
    for staff in plan.staff:
        for line in staff.names.splitlines():
            number += 1
            built.holders.append(_employee(plan, staff, line.strip(), number, built, since))
    for index, visitor in enumerate(plan.visitors):
        built.holders.append(_visitor(visitor, index, built, ZoneInfo(plan.time_zone), now))
    _exceptions(built, since=since, now=now)
    return built


def _places(plan: TenantPlan, built: Built, since: datetime) -> None:
    for site in plan.sites:
        built.sites[site.name] = Site.objects.create(
            name=site.name,
            time_zone=site.time_zone,
            address=site.address,
            help_phone=site.help_phone,
            created_at=since,
        )
    for door in plan.doors:
        shortest, longest = door.pin_lengths
        built.doors[door.name] = Channel.objects.create(
            name=door.name,
            site=built.sites[door.site],
            direction=door.direction,
            is_visitor_door=door.is_visitor_door,
            shortest_pin=shortest,
            longest_pin=longest,
            # The first door shows how the reference controller works through an outage.
            keeps_offline_list=not built.doors,
            created_at=since,
        )


def _alarm_recipient(plan: TenantPlan, since: datetime) -> None:
    guard = AlarmRecipient(name="Security", address=plan.alarms_to, kinds=Alarm.Kind.values, created_at=since)
    telling.name_recipient(guard, by=BY, now=since, fields=[])


def _rights(plan: TenantPlan, built: Built, since: datetime) -> None:
    shifts = {}
    for hours in plan.hours:
        shifts[hours.name] = shift = Shift.objects.create(name=hours.name, created_at=since)
        stretches = [Stretch(weekday, hours.start, hours.end) for weekday in hours.weekdays]
        granting.set_times(shift, stretches, by=BY, now=since)
    # The first hours of a plan are those in which its sites are open for visitors.
    opening = shifts[plan.hours[0].name]
    granting.set_on_holiday(opening, OnHoliday.HOLIDAY_HOURS, by=BY, now=since)
    SiteHours.objects.bulk_create(SiteHours(site=site, shift=opening) for site in built.sites.values())
    for days in _holidays(since.year):
        holidays.add(built.sites.values(), days, by=BY, now=since)
    for role in plan.roles:
        shift_or_none = shifts[role.hours] if role.hours else None
        built.roles[role.name] = made = Role.objects.create(name=role.name, shift=shift_or_none, created_at=since)
        granting.set_channels(made, _doors(built, role.doors), by=BY, now=since)
    for name, roles in plan.groups.items():
        built.groups[name] = group = Group.objects.create(name=name, created_at=since)
        belonging.set_group_roles(group, [built.roles[role] for role in roles], by=BY, now=since)


def _holidays(year: int) -> list[Days]:
    morning = (time(8), time(12))
    return [
        Days("New Year", date(year, 1, 1), date(year, 1, 1), is_yearly=True),
        Days("Christmas Eve", date(year, 12, 24), date(year, 12, 24), is_yearly=True, hours=(morning,)),
        Days("Christmas", date(year, 12, 25), date(year, 12, 26), is_yearly=True),
    ]


def _doors(built: Built, names: Iterable[str]) -> list[Channel]:
    return [built.doors[name] for name in names]


def _employee(plan: TenantPlan, staff: StaffPlan, line: str, number: int, built: Built, since: datetime) -> Holder:
    name, _, job_title = line.partition(", ")
    person = _person(
        name,
        since,
        job_title=job_title,
        department=staff.department,
        language=staff.language,
        mobile=f"{staff.mobile}{number:02}",
        system_id=f"{plan.system_id}-{1000 + number}",
        site=built.sites[staff.site],
    )
    belonging.set_groups(person, [built.groups[group] for group in staff.groups], by=BY, now=since)
    if staff.roles:
        belonging.set_roles(person, [built.roles[role] for role in staff.roles], by=BY, now=since)
    credential = _pin(person, since)
    if staff.with_card:
        number_of_card = secrets.token_hex(5).upper()
        credential = issuing.issue(person, CredentialType.CARD, number_of_card, by=BY, now=since).credential
    return Holder(person, credential, plan=staff)


def _visitor(visitor: VisitorPlan, index: int, built: Built, zone: ZoneInfo, now: datetime) -> Holder:
    starts = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0) + timedelta(hours=visitor.starts_in)
    if visitor.days:
        day = now.astimezone(zone).date() + timedelta(days=visitor.days)
        starts = datetime.combine(day, time(9 + index % 5), zone)
    announced = min(starts, now) - timedelta(hours=20 + index)
    person = _person(visitor.name, announced, kind=Person.Kind.VISITOR, language=visitor.language)
    visit = visiting.issue(
        person=person,
        channels=None if visitor.doors is None else _doors(built, visitor.doors),
        start_time=starts,
        end_time=starts + timedelta(hours=visitor.hours),
        host_name=visitor.host,
        by=BY,
        now=announced,
    )
    assert visit.credential is not None
    if visitor.came:
        arriving.check_in(visit.reservation, by=BY, now=starts + timedelta(minutes=4))
    if visitor.went:
        arriving.check_out(visit.reservation, by=BY, now=starts + timedelta(hours=visitor.hours, minutes=-9))
    # Nobody has seen today's others yet: no event tells of them.
    seen = visitor.days or visitor.came
    return Holder(person, visit.credential, visit=visit.reservation if seen else None)


def _exceptions(built: Built, *, since: datetime, now: datetime) -> None:
    """What every real list of people has: one who left, one who starts soon, a PIN that is off, a shared one."""
    staff = [index for index, holder in enumerate(built.holders) if holder.plan]
    left = built.holders[staff[-1]].person
    _replace(built, staff[-1], records.change(left, {"enabled": False}, by=BY, now=now - timedelta(days=10)))
    starter = built.holders[staff[3]].person
    starts = {"valid_from": now + timedelta(days=5)}
    _replace(built, staff[3], records.change(starter, starts, by=BY, now=since))
    lost = built.holders[staff[1]].credential
    issuing.set_enabled(lost, False, by=BY, now=now - timedelta(days=6))
    if "Deliveries" in built.roles:
        parcels = _person("Deliveries", since, kind=Person.Kind.SHARED, language="de")
        belonging.set_roles(parcels, [built.roles["Deliveries"]], by=BY, now=since)
        _pin(parcels, since)


def _replace(built: Built, index: int, person: Person) -> None:
    built.holders[index] = replace(built.holders[index], person=person)


def _person(name: str, now: datetime, **values: Any) -> Person:
    first, _, last = name.partition(" ")
    address = "" if values.get("kind") == Person.Kind.SHARED else _address(name)
    return records.create({"first_name": first, "last_name": last, "email": address, **values}, by=BY, now=now)


def _address(name: str) -> str:
    plain = "".join(_PLAIN.get(letter, letter) for letter in name.lower())
    return f"{plain.replace(' ', '.')}@example.com"


_PLAIN = {
    "ä": "ae", "ö": "oe", "ü": "ue", "ı": "i", "é": "e", "á": "a", "í": "i", "ć": "c", "ó": "o", "š": "s",
    "ř": "r",
}  # fmt: skip


def _pin(person: Person, now: datetime) -> Credential:
    return issuing.issue(person, CredentialType.PIN, issuing.GENERATE, by=BY, now=now).credential
