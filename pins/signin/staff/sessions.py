"""The sessions of staff: opened by a password, seen, locked, unlocked, confirmed, ended.

On a shared desk each person keeps a session of their own on the server; the browser's cookie names the one that is
in front. Another cookie, new with each sign-in, names the browser, so that its lock screen knows whom to offer.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import constant_time_compare

from accounts import keys
from accounts.models import User
from pins.signin.staff.models import StaffSession

BROWSER_COOKIE = "gatehouse_browser"
_BROWSER_COOKIE_AGE = 400 * 86400
# Each page would otherwise write a row: the screen may lock so much too early.
SEEN_EVERY = timedelta(seconds=15)
CONFIRMED_FOR = timedelta(minutes=5)
# So long after a sign-in by password nobody is asked for the password once more.
FRESH_FOR = timedelta(minutes=10)


def open_session(request: HttpRequest, user: User, *, now: datetime) -> StaffSession:
    """Note the sign-in that this request's session has just got; earlier ones of theirs on this browser end."""
    before, browser = browser_of(request), keys.random_token()
    own = StaffSession.objects.filter(user=user, browser_digest__in=before)
    end(own.values_list("session_id", flat=True))
    # A cookie that somebody copied or planted leads nowhere after the next sign-in.
    StaffSession.objects.filter(browser_digest__in=before).update(browser_digest=keys.digest(browser))
    request.new_browser = browser  # type: ignore[attr-defined]
    return StaffSession.objects.create(
        session_id=_key(request), user=user, browser_digest=keys.digest(browser), opened_at=now, seen_at=now
    )


def browser_of(request: HttpRequest) -> list[bytes]:
    """The digests under which this browser's sessions may be kept; none where it is new here."""
    token = request.COOKIES.get(BROWSER_COOKIE, "")
    return keys.digests(token) if token else []


def remember_browser(request: HttpRequest, response: HttpResponseBase) -> None:
    """Give the browser the name under which its sessions were opened."""
    token: str | None = getattr(request, "new_browser", None)
    if token:
        response.set_cookie(
            BROWSER_COOKIE,
            token,
            max_age=_BROWSER_COOKIE_AGE,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def session_of(request: HttpRequest) -> StaffSession | None:
    """What is noted of this request's session; None where nobody signed in to it by password."""
    if not request.user.is_authenticated or not request.session.session_key:
        return None
    return StaffSession.objects.filter(session_id=request.session.session_key, user_id=request.user.pk).first()


def see(row: StaffSession, *, at_desk: bool, now: datetime) -> None:
    """Note that somebody is there, and where; what is locked stays locked."""
    if now - row.seen_at >= SEEN_EVERY or row.at_desk != at_desk:
        StaffSession.objects.filter(pk=row.pk, locked_at=None).update(seen_at=now, at_desk=at_desk)


def lock(row: StaffSession, *, now: datetime) -> None:
    """Lock the screen; a confirmation ends with it."""
    StaffSession.objects.filter(pk=row.pk, locked_at=None).update(locked_at=now, confirmed_at=None)


def unlock(request: HttpRequest, row: StaffSession, *, tenant_id: int, now: datetime) -> None:
    """Put this session in front of the browser, unlocked and under a new key."""
    request.session = store(row.session_id)
    request.session["tenant_id"] = tenant_id
    row.seen_at, row.locked_at, row.confirmed_at = now, None, None
    renew(request, row)


def renew(request: HttpRequest, row: StaffSession) -> None:
    """Give the request's session a new key; its note, which ends with the old one, moves along."""
    if request.session.session_key == row.session_id:
        request.session.cycle_key()
    row.pk = _key(request)
    row.save(force_insert=True)


def confirm(row: StaffSession, membership_id: int, *, now: datetime) -> None:
    """Note that this member typed their PIN again just now."""
    row.confirmed_at, row.confirmed_membership_id = now, membership_id
    row.save(update_fields=["confirmed_at", "confirmed_membership_id"])


def is_confirmed(row: StaffSession, membership_id: int, *, now: datetime) -> bool:
    """Whether this member typed their PIN in the last five minutes; one in another tenant does not count."""
    if row.confirmed_at is None or row.confirmed_membership_id != membership_id:
        return False
    return row.locked_at is None and timedelta() <= now - row.confirmed_at < CONFIRMED_FOR


def on_this_browser(request: HttpRequest, *, shift: timedelta, now: datetime) -> list[StaffSession]:
    """Sign-ins of this shift on this browser that still hold, with their users, newest first."""
    rows = StaffSession.objects.filter(browser_digest__in=browser_of(request), opened_at__gt=now - shift)
    return [row for row in rows.select_related("user").order_by("-opened_at") if _holds(row)]


def end(session_ids: Iterable[str]) -> None:
    """End these sessions for good, wherever their browsers are."""
    Session.objects.filter(pk__in=list(session_ids)).delete()


def end_all(user: User, *, but: str | None = None) -> int:
    """End the sessions of a user, except one; returns how many."""
    keys_held = list(StaffSession.objects.filter(~Q(pk=but), user=user).values_list("pk", flat=True))
    end(keys_held)
    return len(keys_held)


def store(key: str | None = None) -> Any:
    """A session of Django's by its key, or a new one."""
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def forget_over(*, now: datetime) -> None:
    """Delete sessions that have expired, and with them their notes."""
    end(Session.objects.filter(expire_date__lte=now).values_list("pk", flat=True)[:5000])


def _holds(row: StaffSession) -> bool:
    """Whether Django would still take this session for its user's: not after a changed password."""
    held, user = store(row.session_id), row.user
    if not user.is_active or held.get(SESSION_KEY) != str(user.pk):
        return False
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(held.get(HASH_SESSION_KEY, ""), known) for known in hashes)


def _key(request: HttpRequest) -> str:
    key: str | None = request.session.session_key
    assert key is not None
    return key
