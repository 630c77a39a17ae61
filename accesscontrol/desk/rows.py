"""The lines of the board in plain words, so that hundreds of them are written in a few milliseconds.

What is the same in every line (words, addresses) is looked up once; the digest of a line is that of what it says.
A line that says the same again is not rendered again.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import cache, lru_cache
from typing import Final, TypedDict

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accesscontrol.access.board import BoardVisit, State
from accesscontrol.desk.templatetags.desk import initials, when

# Lines kept rendered in a process: the days of some dozen sites, about a kilobyte each.
_KEPT: Final = 5000
# Word, and tone of the chip.
STATES = {
    State.EXPECTED: (_("Expected"), "info"),
    State.HERE: (_("Here"), "good"),
    State.LEFT: (_("Left"), ""),
    State.EXPIRED: (_("Expired"), "warn"),
    State.NO_SHOW: (_("Did not come"), "warn"),
    State.ENDED: (_("Ended"), ""),
}


class Row(TypedDict):
    """One line. `action` is the address of its button, `action_label` what a screen reader says of it.

    A dictionary, since a template looks there first: for an attribute it pays an exception each time.
    """

    id: str
    digest: str
    url: str
    version: str
    name: str
    initials: str
    beneath: str
    period: str
    doors: str
    state: str
    tone: str
    message: str
    message_tone: str
    message_reason: str
    action: str
    action_word: str
    action_label: str
    more_label: str
    is_live: bool


def rows_of(visits: Iterable[BoardVisit], day: tuple[datetime, datetime], *, may_visits: bool) -> list[Row]:
    """A line for each visit; without the right to change visits there is nothing to press."""
    root = reverse("desk:visit", args=[0]).removesuffix("0/")
    states = {state: (str(word), tone) for state, (word, tone) in STATES.items()}
    to_see, more = gettext("to see %(host)s"), gettext("More for %(name)s")
    come = gettext("Check in"), gettext("Check in %(name)s")
    go = gettext("Check out"), gettext("Check out %(name)s")
    again = gettext("Resend")

    @cache
    def clock(moment: datetime) -> str:
        return _clock(moment, day)

    rows = []
    for visit in visits:
        url = f"{root}{visit.reservation_id}/"
        name = {"name": visit.name}
        action = ("", "", "")
        if visit.state == State.EXPECTED:
            action = (f"{url}check-in/", come[0], come[1] % name)
        elif visit.state in (State.HERE, State.EXPIRED):
            action = (f"{url}check-out/", go[0], go[1] % name)
        elif visit.message_failed:
            action = ("", again, f"{again}: {visit.name}")
        word, tone = states[visit.state]
        sent, doors = visit.message, ", ".join(visit.doors)
        row = Row(
            digest="",
            id=f"visit-{visit.reservation_id}",
            url=url,
            version=str(visit.version),
            name=visit.name,
            initials=initials(visit.name),
            beneath=to_see % {"host": visit.host} if visit.host else visit.company or doors,
            period=f"{clock(visit.begins)} – {clock(visit.ends)}",
            doors=doors,
            state=word,
            tone=tone,
            message=sent.word if sent else "",
            message_tone={"danger": "bad", "warning": "warn"}.get(sent.tone, "") if sent else "",
            message_reason=sent.reason if sent else "",
            action=action[0] if may_visits else "",
            action_word=action[1] if may_visits else "",
            action_label=action[2] if may_visits else "",
            more_label=more % name if may_visits else "",
            is_live=visit.state in (State.EXPECTED, State.HERE),
        )
        # Another one where a browser would see a difference.
        said = "|".join(map(str, row.values()))
        row["digest"] = hashlib.blake2s(said.encode(), digest_size=5).hexdigest()
        rows.append(row)
    return rows


def html_of(rows: Iterable[Row], *, is_news: bool = False) -> SafeString:
    """The lines as they stand on the board, or as they take the place of what stands there."""
    # Each follows from what it says alone, its words in the reader's language.
    return mark_safe("".join(_rendered(tuple(row.items()), is_news) for row in rows))  # noqa: S308  # rendered templates


@lru_cache(_KEPT)
def _rendered(row: tuple[tuple[str, object], ...], is_news: bool) -> SafeString:
    return render_to_string("desk/visit_row.html", {"row": dict(row), "is_news": is_news})


def _clock(moment: datetime, day: tuple[datetime, datetime]) -> str:
    """The time at the site, with the date of what lies on another day; midnight ends a day as 24:00."""
    local = timezone.localtime(moment)
    if day[0] <= moment <= day[1]:
        return "24:00" if moment == day[1] else f"{local:%H:%M}"
    return when(local, "j M, H:i")
