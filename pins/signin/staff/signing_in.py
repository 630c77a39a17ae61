"""Sign in: the password, then the second factor where there is one, then a session of its own.

Between the two steps nobody is signed in: a signed cookie, good for ten minutes, says whose password was right. It
leaves alone the session in front of the browser, which on a shared desk is somebody else's, locked.
"""

from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import login
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.urls import Resolver404, resolve, reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp import login as otp_login

from accounts import audit
from accounts.audit import Actor
from accounts.callers import Place, places_of
from accounts.models import User
from accounts.rights import OF_ROLE, Right, StaffRole
from accounts.tenancy import tenant_context
from pins.signin.staff import sessions
from pins.signin.staff.models import StaffSettings

PLATFORM: Final = "/platform/"
PENDING_COOKIE: Final = "gatehouse_signing_in"
PENDING_SECONDS: Final = 600
_SALT: Final = "staff.signing_in"
_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"


def remember_password_was_right(response: HttpResponseBase, user: User, next_url: str) -> None:
    """Lead on to the second factor."""
    value = signing.dumps([user.pk, _proof(user), next_url], salt=_SALT)
    response.set_cookie(
        PENDING_COOKIE,
        value,
        max_age=PENDING_SECONDS,
        path="/sign-in/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def pending(request: HttpRequest) -> tuple[User, str] | None:
    """Whose password was right a moment ago, and where they want to go."""
    try:
        user_id, proof, next_url = signing.loads(
            request.COOKIES.get(PENDING_COOKIE, ""), salt=_SALT, max_age=PENDING_SECONDS
        )
    except (signing.BadSignature, ValueError, TypeError):
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    # Not after the password was changed meanwhile.
    return (user, next_url) if user and constant_time_compare(proof, _proof(user)) else None


def enter(request: HttpRequest, user: User, *, device: Any = None, now: datetime) -> Place | None:
    """Sign a user in, in a new session; returns the place they act in, None where they have none.

    Whoever was in front of this browser keeps their own session, locked.
    """
    before = request.session.get("tenant_id")
    if (row := sessions.session_of(request)) is not None:
        sessions.lock(row, now=now)
        before = before or getattr(getattr(request, "caller", None), "tenant_id", None)
    if request.user.is_authenticated:
        request.session = sessions.store()
    login(request, user, backend=_BACKEND)
    if device is not None:
        otp_login(request, device)
    sessions.open_session(request, user, now=now)
    places = places_of(user.pk)
    place = next((place for place in places if place.tenant_id == before), places[0] if places else None)
    if place is not None:
        request.session["tenant_id"] = place.tenant_id
        with tenant_context(place.tenant_id):
            request.session.set_expiry(now + StaffSettings.current().shift)
            audit.record("sign_in", "membership", place.membership_id, by=Actor("staff", place.membership_id), now=now)
    return place


def start_of(role: StaffRole) -> str:
    """The first page of a staff role: the desk where it is their work, else the admin."""
    rights = OF_ROLE[role]
    wants_desk = role == StaffRole.FRONT_DESK or Right.ADMIN_OPEN not in rights
    if wants_desk and Right.DESK_OPEN in rights and _exists("/desk/"):
        return "/desk/"
    return reverse("admin:index")


def start_without_place(request: HttpRequest) -> str:
    """The first page of somebody who acts for no tenant: platform owners have one of their own."""
    is_platform_owner = isinstance(request.user, User) and request.user.is_platform_owner
    return PLATFORM if is_platform_owner and _exists(PLATFORM) else reverse("admin:index")


def safe(wanted: str | None) -> str:
    """A path of our own to go on to; empty where it leads anywhere else, or back into signing in."""
    path = wanted or ""
    if not path.startswith("/") or not url_has_allowed_host_and_scheme(path, None):
        return ""
    return "" if path.startswith(("/sign-in", "/sign-out", "/lock")) else path


def _exists(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


def _proof(user: User) -> str:
    return salted_hmac(_SALT, user.get_session_auth_hash()).hexdigest()[:32]
