"""My account: how somebody signs in, at a glance, and what can be changed about it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts.admin_site import staff, tenant_of
from accounts.models import User
from pins.signin.staff import own_pin, second_factor, sessions
from pins.signin.staff.locking import Screen
from pins.signin.staff.models import StaffSession
from pins.signin.staff.pages import signed_in


def user_of(request: HttpRequest) -> User:
    """Who is signed in, where the page has made sure that somebody is."""
    assert isinstance(request.user, User)
    return request.user


def is_fresh(request: HttpRequest) -> bool:
    """Whether the password was typed so lately that nobody is asked for it again."""
    screen: Screen = request.staff_session  # type: ignore[attr-defined]
    return screen.now - screen.row.opened_at < sessions.FRESH_FOR


@signed_in
def account(request: HttpRequest) -> HttpResponseBase:
    user, caller = user_of(request), staff(request)
    screen: Screen = request.staff_session  # type: ignore[attr-defined]
    browser = sessions.browser_of(request)
    rows = StaffSession.objects.filter(user=user, opened_at__gt=screen.now - screen.rules.shift).order_by("-seen_at")
    context = {
        "tenant": tenant_of(request),
        "role": caller.staff_role.value.replace("_", " ") if caller.staff_role else "",
        "pin_set_at": own_pin.set_at(screen.membership_id),
        "is_enrolled": second_factor.is_enrolled(user),
        "is_required": screen.rules.requires_second_factor,
        "codes_left": second_factor.codes_left(user),
        "sessions": [
            {"row": row, "is_this": row.pk == screen.row.pk, "is_here": bytes(row.browser_digest) in browser}
            for row in rows[:20]
        ],
        "ends_at": screen.ends_at,
        "start": screen.start,
    }
    return render(request, "staff/account.html", context)


@signed_in
@require_POST
def end_others(request: HttpRequest) -> HttpResponseBase:
    """Sign out everywhere but here."""
    ended = sessions.end_all(user_of(request), but=request.session.session_key)
    text = ngettext("%(count)d other session was ended.", "%(count)d other sessions were ended.", ended)
    messages.success(request, text % {"count": ended} if ended else _("You were signed in nowhere else."))
    return redirect("staff:account")
