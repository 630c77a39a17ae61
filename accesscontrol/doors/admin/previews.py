"""When weekly hours and access levels are open, in words, as their pages show it."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet
from django.utils.html import format_html, format_html_join

from accesscontrol.doors import holidays
from accesscontrol.doors.hours import Holiday, Stretch
from accesscontrol.doors.models import Channel, Role, RoleChannel, Shift, ShiftTime
from accesscontrol.doors.models import Holiday as Row
from accesscontrol.doors.outlook import Outlook, outlook
from accesscontrol.doors.periods import OPEN
from accounts.models import Site


def of_role(role: Role, doors: QuerySet[Channel], now: datetime) -> str:
    """The doors of an access level by site, and when it opens them; those of `doors` alone."""
    rows = RoleChannel.objects.filter(OPEN, role=role, channel__in=doors)
    found = rows.select_related("channel__site").order_by("channel__site__name", "channel__name")
    names: dict[Site, list[str]] = {}
    for row in found:
        names.setdefault(row.channel.site, []).append(row.channel.name)
    if not names:
        return "It opens no door yet."
    stretches = _stretches(role.shift_id)
    known = _holidays(names)
    return _listed(
        (f"{', '.join(doors)} ({site.name})", outlook(stretches, site.zone, known[site.pk], now))
        for site, doors in names.items()
    )


def of_shift(shift: Shift, known_sites: QuerySet[Site], now: datetime) -> str:
    """The sites at which weekly hours are used, and when they are open there; those of `known_sites` alone."""
    rows = RoleChannel.objects.filter(OPEN, shift=shift).values("channel__site_id")
    held = Channel.objects.filter(auto_unlock_shift=shift).values("site_id")
    sites = list(known_sites.filter(pk__in=rows.union(held)).order_by("name"))
    # Not used yet: at every site, so that one sees what they would mean.
    sites = sites or list(known_sites.order_by("name")[:3])
    if not sites:
        return "Add a site first."
    stretches, known = _stretches(shift.pk), _holidays(sites)
    return _listed((site.name, outlook(stretches, site.zone, known[site.pk], now)) for site in sites)


def _stretches(shift_id: int | None) -> list[Stretch] | None:
    if shift_id is None:
        return None
    return [row.stretch for row in ShiftTime.objects.filter(OPEN, shift_id=shift_id)]


def _holidays(sites: Iterable[Site]) -> dict[int, list[Holiday]]:
    found: dict[int, list[Holiday]] = {site.pk: [] for site in sites}
    for row in Row.objects.filter(OPEN, site_id__in=list(found)).order_by("first_day", "id"):
        found[row.site_id].append(holidays.as_rule(row))
    return found


def _listed(lines: Iterable[tuple[str, Outlook]]) -> str:
    return format_html(
        '<div class="gh-outlook">{}</div>',
        format_html_join(
            "",
            "<p><strong>{}</strong><span>{}</span>{}<span>{}</span></p>",
            (
                (
                    name,
                    found.week,
                    format_html_join("", "<span>{}</span>", ((words,) for words in found.exceptions)),
                    found.standing,
                )
                for name, found in lines
            ),
        ),
    )
