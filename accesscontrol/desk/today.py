"""Today's board. Each second a page asks whether anything is new; only the parts that changed are sent.

What is new is told by rows that changed, or by the clock: a visit that starts or ends, a wait that is over.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from accesscontrol.access import board
from accesscontrol.desk.entry import Desk, at_desk
from accesscontrol.desk.rows import Row, html_of, rows_of
from accesscontrol.desk.waiting import waiting_doors
from accesscontrol.doors.models import Channel
from accounts.rights import Right

FILTERS = {
    "all": _("All"),
    "expected": _("Expected"),
    "here": _("Here"),
    "left": _("Left"),
    "expired": _("Expired"),
    "no_show": _("Did not come"),
    "failed": _("Message failed"),
}
# What was not let in longer ago is history; it stands on the visit's page.
RECENT = timedelta(minutes=30)
MOST = 300


@dataclass(frozen=True)
class Part:
    """A piece of the page: its id, its HTML, and a digest of it that says whether a browser has it already."""

    id: str
    html: str

    @property
    def digest(self) -> str:
        return hashlib.blake2s(self.html.encode(), digest_size=5).hexdigest()


@require_GET
@at_desk(Right.VISITS_READ, Right.VISITS_OWN)
def today(desk: Desk) -> HttpResponse:
    """Who is expected, here, gone; what failed; who stands at a door that does not open."""
    read = _read(desk)
    return desk.page("desk/today.html", **read, lines=html_of(read["rows"]))


@require_GET
@at_desk(Right.VISITS_READ, Right.VISITS_OWN)
def news(desk: Desk) -> HttpResponse:
    """204 where nothing is new since `seen`; otherwise the parts that the page does not have yet."""
    seen, _dot, moment = desk.request.GET.get("seen", "").rpartition("~")
    if seen == _cursor(desk) and moment and desk.now.timestamp() < float(_number(moment)):
        return HttpResponse(status=204)
    known = dict(part.partition(":")[::2] for part in desk.request.GET.get("have", "").split())
    read = _read(desk)
    rows: list[Row] = read["rows"]
    order = known.get("rows") != read["order"]
    changed = rows if order else [row for row in rows if known.get(row["id"]) != row["digest"]]
    lines = html_of(changed, is_news=not order)
    parts = [part for part in (read["attention"], read["counts"]) if known.get(part.id) != part.digest]
    return desk.page("desk/news.html", **read, lines=lines, parts=parts, whole=order)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _cursor(desk: Desk) -> str:
    return board.cursor(desk.site, now=desk.now)


def _read(desk: Desk) -> dict[str, Any]:
    """Everything that the page shows, in parts."""
    search = desk.request.GET.get("q", "").strip()[:120]
    show = desk.request.GET.get("show", "all")
    # Before the rows: what comes in between is then new at the next look.
    cursor = _cursor(desk)
    host = desk.membership() if desk.is_host else None
    day = desk.day()
    visits = board.visits_of_day(desk.site, day, now=desk.now, host=host, search=search)
    counts = Counter(str(visit.state) for visit in visits)
    counts["failed"] = sum(visit.message_failed for visit in visits)
    counts["all"] = len(visits)
    chosen = [visit for visit in visits if show in ("all", visit.state) or (show == "failed" and visit.message_failed)]
    frame = {"show": show, "search": search, "may_visits": desk.may(Right.VISITS_WRITE)}
    rows = rows_of(chosen[:MOST], day, may_visits=desk.may(Right.VISITS_WRITE))
    refused = [] if host else board.not_let_in(desk.site, since=desk.now - RECENT, now=desk.now)
    waits = [] if host else waiting_doors(desk.site, desk.now)
    locked = (
        [] if host else list(Channel.objects.filter(site=desk.site, state=Channel.State.LOCKED_DOWN).order_by("name"))
    )
    attention = {
        **frame,
        "refused": refused,
        "waits": waits,
        "locked": locked,
        "may_lift": desk.may(Right.THROTTLE_LIFT),
        "may_command": desk.may(Right.CHANNELS_ADMIT),
    }
    filters = [(name, words, counts[name]) for name, words in FILTERS.items()]
    return {
        "rows": rows,
        "left_out": max(0, len(chosen) - MOST),
        "order": hashlib.blake2s(" ".join(row["id"] for row in rows).encode(), digest_size=5).hexdigest(),
        "counts": Part("counts", render_to_string("desk/counts.html", {**frame, "filters": filters})),
        "attention": Part("attention", render_to_string("desk/attention.html", attention)),
        "seen": f"{cursor}~{_next_moment(desk.now, visits, waits).timestamp():.0f}",
        "show": show,
        "search": search,
        "nothing_at_all": not visits and not search,
    }


def _next_moment(now: datetime, visits: Iterable[Any], waits: Iterable[Any]) -> datetime:
    """When the clock alone will change the board, an hour from now at the latest."""
    moments = [moment for visit in visits for moment in (visit.begins, visit.ends)]
    moments += [until for _door, until in waits]
    return min((moment for moment in moments if moment > now), default=now + timedelta(hours=1))
