"""Who could open a door in a period, and who did: asked and answered by GET, as page, file and sheet of paper."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accesscontrol.doors.models import Channel
from accesscontrol.overview.who_could import files
from accesscontrol.overview.who_could.report import Report
from accounts import audit
from accounts.admin.moments import read_at
from accounts.admin.records import visible_rows
from accounts.admin_site import caller_of, staff
from accounts.models import Site
from accounts.rights import Right
from pins.signin.staff.stepping_up import ask

LONGEST = timedelta(days=366)
ON_PAGE, ON_PAPER, DOORS_ON_PAPER = 50, 2000, 20
_WRITTEN = "%Y-%m-%dT%H:%M"


def may_read(request: HttpRequest) -> bool:
    """Whether the caller may read reports on the past."""
    caller = caller_of(request)
    return caller is not None and caller.may(Right.REPORTS_READ)


class PeriodForm(forms.Form):
    """What is asked; times are those on the clocks of the site."""

    where = forms.ChoiceField(label="Door", widget=UnfoldAdminSelectWidget)
    since = forms.DateTimeField(
        label="From", input_formats=[_WRITTEN], widget=UnfoldAdminTextInputWidget({"type": "datetime-local"})
    )
    until = forms.DateTimeField(
        label="Until",
        required=False,
        input_formats=[_WRITTEN],
        widget=UnfoldAdminTextInputWidget({"type": "datetime-local"}),
        help_text="Empty: at that moment alone. Times are those of the site.",
    )

    def __init__(self, *args: Any, request: HttpRequest, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        self.sites = {site.pk: site for site in visible_rows(request, Site).order_by("name", "id")}
        doors = visible_rows(request, Channel).select_related("site").order_by("site__name", "name", "id")
        self.doors: dict[int, Channel] = {door.pk: door for door in doors}
        where: Any = self.fields["where"]
        where.choices = [("", "Choose"), *self._choices()]

    def _choices(self) -> list[tuple[str, list[tuple[str, str]]]]:
        groups = []
        for site in self.sites.values():
            own = [(f"door-{door.pk}", door.name) for door in self.doors.values() if door.site_id == site.pk]
            if own:
                groups.append((site.name, [(f"site-{site.pk}", f"All doors of {site.name}"), *own]))
        return groups

    def channels(self) -> list[Channel]:
        kind, _, number = self.cleaned_data["where"].partition("-")
        if kind == "door":
            return [self.doors[int(number)]]
        return [door for door in self.doors.values() if door.site_id == int(number)]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if not {"where", "since"} <= values.keys() or "until" in self.errors:
            return values
        zone = self.channels()[0].site.zone
        begin = _in_zone(values["since"], zone)
        end = _in_zone(values["until"], zone) if values["until"] else begin + files.INSTANT
        if begin > self.now:
            self.add_error("since", "This is still to come. What will be is told by the access check.")
        elif end <= begin:
            self.add_error("until", "The end must be after the start.")
        elif end - begin > LONGEST:
            self.add_error("until", "Ask for a year at most.")
        values["begin"], values["end"] = begin, min(end, max(self.now, begin + files.INSTANT))
        return values


def _in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    return timezone.make_naive(moment).replace(tzinfo=zone)


@dataclass(frozen=True)
class Line:
    """A row of one of the two lists."""

    person_id: int | None
    name: str
    cells: list[str]
    events: str = ""


def page(request: HttpRequest) -> HttpResponseBase:
    """The form, and once it is filled in the answer."""
    if not may_read(request):
        raise PermissionDenied
    now = timezone.now()
    asked = request.GET if request.GET.get("where") else None
    form = PeriodForm(asked, request=request, now=now, initial={} if asked else _today(now))
    is_ready = form.is_bound and form.is_valid()
    wanted = request.GET.get("as", "")
    if is_ready and wanted in ("csv", "events"):
        report = request.GET.copy()
        del report["as"]
        return ask(request, back_to=f"{request.path}?{report.urlencode()}") or _file(request, form, wanted)
    on_paper = is_ready and wanted == "print"
    context = {
        **admin.site.each_context(request),
        "title": "Who could, who did",
        "form": form,
        "reports": _reports(request, form, on_paper=on_paper) if is_ready else [],
        "is_site": is_ready and form.cleaned_data["where"].startswith("site-"),
        "csv_url": _link(request, **{"as": "csv"}),
        "events_url": _link(request, **{"as": "events"}),
        "print_url": _link(request, **{"as": "print"}),
        "page_url": _link(request),
        "now": read_at(now),
    }
    template = "admin/who_could_print.html" if on_paper else "admin/who_could.html"
    return TemplateResponse(request, template, context, headers={"Cache-Control": "no-store"})


def _today(now: datetime) -> dict[str, str]:
    local = timezone.localtime(now)
    return {"since": f"{local.date().isoformat()}T00:00", "until": local.strftime(_WRITTEN)}


def _link(request: HttpRequest, **changed: str) -> str:
    kept = {name: request.GET[name] for name in ("where", "since", "until") if name in request.GET}
    return f"{reverse('admin:who_could')}?{urlencode({**kept, **changed})}"


def _reports(request: HttpRequest, form: PeriodForm, *, on_paper: bool) -> list[dict[str, Any]]:
    channels, values = form.channels(), form.cleaned_data
    if len(channels) == 1 or on_paper:
        return [
            _report(request, channel, values["begin"], values["end"], on_paper=on_paper)
            for channel in channels[:DOORS_ON_PAPER]
        ]
    return [_summary(request, channel, values["begin"], values["end"]) for channel in channels]


def _summary(request: HttpRequest, channel: Channel, begin: datetime, end: datetime) -> dict[str, Any]:
    """One line for one of the doors of a site; its own report is a click away."""
    report = Report(channel, begin, end)
    return {
        "door": channel,
        "could": report.people().order_by().count(),
        "did": report.did_page(1, 0)[1],
        "open": _spans(report, report.door.held_open),
        "link": _link(request, where=f"door-{channel.pk}"),
    }


def _report(
    request: HttpRequest, channel: Channel, begin: datetime, end: datetime, *, on_paper: bool
) -> dict[str, Any]:
    report = Report(channel, begin, end)
    size = ON_PAPER if on_paper else ON_PAGE
    here, there = (1, 1) if on_paper else (_number(request, "page"), _number(request, "did"))
    could, able, is_exact = report.could_page(here, size)
    did, count = report.did_page(there, size)
    is_instant = end - begin == files.INSTANT
    return {
        "door": channel,
        "period": _period(report),
        "is_instant": is_instant,
        "open": _spans(report, report.door.held_open),
        "locked": _spans(report, report.door.locked),
        "could": [_could_line(report, row, is_instant=is_instant) for row in could],
        "able": able,
        "is_exact": is_exact,
        "could_pages": _pages(request, "page", here, able, size),
        "did": [_did_line(report, row) for row in did],
        "count": count,
        "did_pages": _pages(request, "did", there, count, size),
        "is_cut": on_paper and (able > size or count > size),
    }


def _could_line(report: Report, row: Any, *, is_instant: bool) -> Line:
    through = row.through + (f" ({row.hours})" if row.hours else "")
    cells = [through]
    if not is_instant:
        times = f", in {len(row.spans)} stretches" if len(row.spans) > 1 else ""
        cells += [_clock(report, row.since), _clock(report, row.until) + times]
    cells.append(_times(row.did.count))
    return Line(row.person.pk, row.person.listed_name, cells, _events_of(row.person.pk))


def _did_line(report: Report, row: Any) -> Line:
    how = []
    if row.did.while_open:
        how.append(f"{row.did.while_open} while held open")
    if row.did.by_command:
        how.append(f"{row.did.by_command} by command")
    name = row.person.listed_name if row.person else "Nobody named: opened by command"
    first, last = _clock(report, row.did.first), _clock(report, row.did.last)
    cells = [_times(row.did.count), first, last, ", ".join(how) or "PIN or card"]
    pk = row.person.pk if row.person else None
    return Line(pk, name, cells, _events_of(pk) if pk else "")


def _events_of(person_id: int) -> str:
    return f"{reverse('admin:access_event_changelist')}?person__id__exact={person_id}"


def _times(count: int) -> str:
    return {0: "-", 1: "once"}.get(count, f"{count} times")


def _clock(report: Report, moment: datetime | None) -> str:
    if moment is None:
        return "-"
    local = moment.astimezone(report.zone)
    return f"{local.day} {local:%b %Y, %H:%M}"


def _spans(report: Report, spans: list[tuple[datetime, datetime]]) -> str:
    shown = [f"{_clock(report, start)} to {_clock(report, end)}" for start, end in spans[:3]]
    more = f" and {len(spans) - 3} more times" if len(spans) > 3 else ""
    return "; ".join(shown) + more


def _period(report: Report) -> str:
    if report.end - report.begin == files.INSTANT:
        return f"at {read_at(report.begin, report.zone)}"
    return f"from {_clock(report, report.begin)} to {read_at(report.end, report.zone)}"


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1


def _pages(request: HttpRequest, name: str, here: int, count: int, size: int) -> dict[str, Any]:
    last = max(1, -(-count // size))
    other = "did" if name == "page" else "page"
    kept = {other: request.GET[other]} if other in request.GET else {}
    return {
        "here": here,
        "last": last,
        "before": _link(request, **kept, **{name: str(here - 1)}) if here > 1 else "",
        "after": _link(request, **kept, **{name: str(here + 1)}) if here < last else "",
    }


def _file(request: HttpRequest, form: PeriodForm, wanted: str) -> StreamingHttpResponse:
    """Rows leave while they are found; whoever takes them away is on record."""
    channels, values = form.channels(), form.cleaned_data
    caller = staff(request)
    audit.record_many("export", "channel", [door.pk for door in channels], by=caller.actor, now=form.now)
    make = files.could_rows if wanted == "csv" else files.did_rows
    rows = make(caller.tenant_id, channels, values["begin"], values["end"])
    what = "who-could" if wanted == "csv" else "who-did"
    name = slugify(channels[0].name if len(channels) == 1 else channels[0].site.name) or "doors"
    return StreamingHttpResponse(
        files.lines(rows),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{what}-{name}-{values["begin"]:%Y-%m-%d}.csv"',
            "Cache-Control": "no-store",
        },
    )
