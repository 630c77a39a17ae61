"""Step-up: before a PIN is revealed, data exported or a key minted, the member types their own PIN once more.

Valid for five minutes, for this membership, in this session. A form that was sent comes along: its fields stand hidden
in the page that asks, and are handled after the right PIN.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Final, ParamSpec
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from accounts.admin_site import caller_of
from accounts.callers import Caller
from accounts.refusals import Refusal
from pins.signin.staff import own_pin, sessions, signing_in
from pins.signin.staff.forms import PinForm
from pins.signin.staff.locking import came_from, page_of
from pins.signin.staff.pages import page, refuse, to_sign_in

FIELD: Final = "step_up_pin"
BY_LINK: Final = "step_up_by_link"
BACK: Final = "step_up_back"
P = ParamSpec("P")


# Pages of rooms below this one, which cannot ask by themselves: they mint keys, or give a whole list away.
ASKED_FROM_ABOVE: Final = {
    "admin:accounts_oauthapplication_add",
    "admin:accounts_oauthapplication_renew_secret",
    "admin:people_person_export",
    "admin:credentials_credential_export",
    "admin:reservations_reservation_export",
    "admin:access_event_export",
    "admin:accounts_auditevent_export",
}
# What goes on acting when nobody is there any more, once it is saved: a place on the staff, a role, an address that is
# told of everything. Whoever finds a screen open may look at these forms, and no more.
ASKED_TO_WRITE: Final = {
    "admin:staff_invitation_add",
    "admin:accounts_membership_change",
    "admin:webhooks_subscription_add",
    "admin:webhooks_subscription_change",
    "admin:webhooks_subscription_rotate",
}


class StepUpMiddleware:
    """Asks in front of pages that do not know of this room; stands behind the one that locks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or not hasattr(request, "staff_session"):
            return None
        is_asked = match.view_name in ASKED_FROM_ABOVE
        is_asked |= request.method == "POST" and match.view_name in ASKED_TO_WRITE
        return ask(request) if is_asked else None


def step_up(view: Callable[P, HttpResponseBase]) -> Callable[P, HttpResponseBase]:
    """Guard a view (its first argument is the request) with the member's PIN."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        request = args[0]
        assert isinstance(request, HttpRequest)
        asking = ask(request)
        return view(*args, **kwargs) if asking is None else asking

    return guarded


def ask(request: HttpRequest, *, back_to: str = "") -> HttpResponse | None:
    """The page that asks for the PIN, or None where it was given within the last five minutes.

    Behind a link to a file, `back_to` is the page the browser shows next: a file would leave it on this one.
    """
    row, caller = sessions.session_of(request), caller_of(request)
    if row is None or caller is None or caller.actor.id is None:
        return to_sign_in(request)
    now, typed = timezone.now(), _without_pin(request)
    if not sessions.is_confirmed(row, caller.actor.id, now=now):
        if not own_pin.has_pin(caller.actor.id):
            return _elsewhere(request, "staff:pin")
        if request.headers.get("HX-Request"):
            return _elsewhere(request, "staff:step_up")
        form = PinForm({"pin": typed} if typed is not None else None)
        if typed is None or not _is_right(form, caller, now):
            return _page(request, form)
        sessions.confirm(row, caller.actor.id, now=now)
    # What was asked for by a link is asked for again; a form goes on as if nothing had happened.
    if not getattr(request, "by_link", False):
        return None
    if back_to:
        messages.success(request, _("Confirmed: for five minutes the file can be downloaded."))
    return redirect(back_to or request.get_full_path())


def _is_right(form: PinForm, caller: Caller, now: datetime) -> bool:
    assert caller.actor.id is not None
    if form.is_valid():
        try:
            own_pin.check(caller.actor.id, form.cleaned_data["pin"], by=caller.actor, now=now)
        except Refusal as refusal:
            refuse(form, refusal)
    return form.is_valid()


def _page(request: HttpRequest, form: PinForm) -> HttpResponse:
    by_link = request.method == "GET" or getattr(request, "by_link", False)
    carried = [(name, value) for name, values in request.POST.lists() for value in values]
    context = {
        "form": form,
        "carried": [pair for pair in carried if pair[0] not in ("csrfmiddlewaretoken", BACK)],
        "by_link": by_link,
        "field": FIELD,
        "action": request.get_full_path(),
        "back": signing_in.safe(request.POST.get(BACK)) or came_from(request),
    }
    response = render(request, "staff/step_up.html", context)
    add_never_cache_headers(response)
    return response


def _without_pin(request: HttpRequest) -> str | None:
    """Take the PIN out of what the view gets to see, and note whether a link or a form had led to its page."""
    if request.method != "POST" or FIELD not in request.POST:
        return None
    fields: QueryDict = request.POST.copy()
    typed = fields.pop(FIELD)[-1]
    request.by_link = bool(fields.pop(BY_LINK, None))  # type: ignore[attr-defined]
    fields._mutable = False
    request.POST = fields  # type: ignore[assignment]
    return str(typed)


def _elsewhere(request: HttpRequest, name: str) -> HttpResponse:
    """A page of its own, which leads back here."""
    address = f"{reverse(name)}?{urlencode({'next': page_of(request) or request.path}, safe='/')}"
    if request.headers.get("HX-Request"):
        return HttpResponse(status=403, headers={"HX-Redirect": address})
    return redirect(address)


@page
def step_up_page(request: HttpRequest) -> HttpResponseBase:
    """The question on a page of its own, for pages that ask in pieces; leads back to them."""
    asking = ask(request)
    return redirect(signing_in.safe(request.GET.get("next")) or "staff:start") if asking is None else asking
