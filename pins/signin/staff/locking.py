"""An idle screen locks, on the server and before the eyes; a shift's sign-in ends; the PIN alone unlocks.

Every request to the guarded areas asks the note of its session (`StaffSession`), which the lock writes in one
statement. A request marked `X-Background: 1` is the browser's, not the user's: it keeps no screen open. On a shared
desk each person has a session of their own on the server, and the cookie names the one in front: unlocking with
somebody's PIN puts theirs in front, under a new key, and leaves the others locked. Nothing of them is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from urllib.parse import urlencode, urlsplit

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.admin_site import caller_of
from accounts.callers import Caller
from accounts.models import Membership
from pins.signin.staff import own_pin, sessions, signing_in
from pins.signin.staff.models import StaffSession, StaffSettings

DESK = "/desk/"
GUARDED = ("/admin/", DESK, "/account/", "/step-up/", "/oauth/authorize", "/platform/")
# Whoever is locked out may still leave, or come anew.
_OPEN = ("/admin/login/", "/admin/logout/", "/admin/jsi18n/")
BACKGROUND = "X-Background"
LOCKED = "X-Gatehouse-Locked"


@dataclass(frozen=True)
class Entry:
    """Somebody who may unlock this browser's screen."""

    row: StaffSession
    tenant_id: int
    membership_id: int
    name: str

    @property
    def initials(self) -> str:
        words = self.name.partition("@")[0].replace(".", " ").split()
        return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


@dataclass
class Screen:
    """The screen of one request: whose it is, when it locks, and who else may unlock it."""

    row: StaffSession
    caller: Caller
    rules: StaffSettings
    idle: timedelta
    now: datetime

    @cached_property
    def is_locked(self) -> bool:
        return self.row.is_locked(self.idle, self.now)

    @cached_property
    def is_over(self) -> bool:
        return self.row.is_over(self.rules.shift, self.now)

    @cached_property
    def has_pin(self) -> bool:
        return own_pin.has_pin(self.membership_id)

    @property
    def membership_id(self) -> int:
        assert self.caller.actor.id is not None
        return self.caller.actor.id

    @property
    def idle_seconds(self) -> int:
        return int(self.idle.total_seconds())

    @property
    def ends_at(self) -> datetime:
        return self.row.opened_at + self.rules.shift

    @property
    def start(self) -> str:
        assert self.caller.staff_role is not None
        return signing_in.start_of(self.caller.staff_role)

    def entries(self, request: HttpRequest) -> list[Entry]:
        """Who signed in on this browser this shift and belongs to this tenant; the one in front comes first."""
        rows = sessions.on_this_browser(request, shift=self.rules.shift, now=self.now)
        members = Membership.objects.filter(user_id__in=[row.user_id for row in rows], ended_at=None)
        of_user = {member.user_id: member.pk for member in members}
        found = [
            Entry(row, self.caller.tenant_id, of_user[row.user_id], row.user.name or row.user.email.partition("@")[0])
            for row in rows
            if row.user_id in of_user
        ]
        return sorted(found, key=lambda entry: entry.row.pk != self.row.pk)

    def others(self, request: HttpRequest) -> list[Entry]:
        return [entry for entry in self.entries(request) if entry.row.pk != self.row.pk]


def screen_of(request: HttpRequest, *, now: datetime, path: str = "") -> Screen | None:
    """The screen of whoever is signed in here; None where nobody is, or nobody of this tenant."""
    row, caller = sessions.session_of(request), caller_of(request)
    if row is None or caller is None:
        return None
    rules = StaffSettings.current()
    # Whoever finds the desk unattended must not get in by opening the admin, which locks later.
    return Screen(row, caller, rules, rules.idle(at_desk=row.at_desk or path.startswith(DESK)), now)


class LockMiddleware:
    """Stands behind the caller's middleware, in its transaction and tenant."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if not path.startswith(GUARDED) or path.startswith(_OPEN) or not request.user.is_authenticated:
            return self.get_response(request)
        now = timezone.now()
        screen = screen_of(request, now=now, path=path)
        if screen is None:
            # Without a place there is nothing to guard; a session that nobody opened with a password opens nothing.
            if caller_of(request) is None:
                return self.get_response(request)
            return _sent_away(request, "")
        if screen.is_over:
            return _sent_away(request, _("Your shift's sign-in is over. Please sign in again."))
        if screen.is_locked:
            sessions.lock(screen.row, now=now)
            return locked_answer(request)
        if not is_background(request):
            at_desk = path.startswith(DESK)
            sessions.see(screen.row, at_desk=at_desk, now=now)
            # What the page itself counts down.
            screen.idle = screen.rules.idle(at_desk=at_desk)
        request.staff_session = screen  # type: ignore[attr-defined]
        return _what_is_missing(request, screen) or self.get_response(request)


def _what_is_missing(request: HttpRequest, screen: Screen) -> HttpResponse | None:
    """The page for a second factor that the tenant requires, or a PIN that the desk does."""
    if request.path_info.startswith("/account/"):
        return None
    if screen.rules.requires_second_factor and not request.user.is_verified():  # type: ignore[union-attr]
        return _answer(request, reverse("staff:two_step"), 403)
    if request.path_info.startswith(DESK) and not screen.has_pin:
        return _answer(request, reverse("staff:pin"), 403)
    return None


def is_background(request: HttpRequest) -> bool:
    """Whether the browser asks by itself, such as a list that refreshes."""
    return request.headers.get(BACKGROUND) == "1"


def is_page(request: HttpRequest) -> bool:
    """Whether a person waits for a page, and not a script for a piece of one."""
    if is_background(request) or request.headers.get("HX-Request"):
        return False
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
        return False
    return "text/html" in request.headers.get("Accept", "text/html") or "*/*" in request.headers.get("Accept", "")


def locked_answer(request: HttpRequest) -> HttpResponse:
    """The lock screen, which leads back here; 401 for scripts, which then leave the page themselves."""
    return _answer(request, reverse("staff:locked"), 401)


def came_from(request: HttpRequest) -> str:
    """The page of ours on which the link, the form or the script stands; empty where nothing tells."""
    parts = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer", ""))
    if parts.netloc != request.get_host():
        return ""
    return signing_in.safe(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def page_of(request: HttpRequest) -> str:
    """The page to come back to: this one, or the one that asked for a piece of it."""
    return request.get_full_path() if request.method == "GET" and is_page(request) else came_from(request)


def _answer(request: HttpRequest, to: str, status: int) -> HttpResponse:
    back = page_of(request)
    address = f"{to}?{urlencode({'next': back})}" if back else to
    if is_page(request):
        return HttpResponseRedirect(address)
    response = HttpResponse(status=status, headers={LOCKED: to})
    if request.headers.get("HX-Request"):
        response["HX-Redirect"] = address
    return response


def _sent_away(request: HttpRequest, why: str) -> HttpResponse:
    answer = _answer(request, reverse("staff:sign_in"), 401)
    logout(request)
    if why:
        messages.info(request, why)
    return answer
