"""The page behind the link of an invitation: a new account, or joining with the one that somebody has."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Membership, User
from accounts.refusals import Refusal
from accounts.tenancy import tenant_context
from pins.signin.staff import inviting, sessions, signing_in
from pins.signin.staff.forms import JoinForm
from pins.signin.staff.models import Invitation, StaffSettings
from pins.signin.staff.pages import page, refuse
from pins.signin.staff.views.account import user_of
from pins.signin.staff.views.sign_in import went_in


@page
def invitation(request: HttpRequest, invitation_token: str) -> HttpResponseBase:
    """Found by the token alone; what is wrong with a link is said, never whose it was."""
    found = inviting.found_by(invitation_token)
    if found is None:
        return render(request, "staff/invitation_over.html", {"why": "unknown"}, status=404)
    now = timezone.now()
    row = sessions.session_of(request)
    # A locked screen is nobody's: whoever stands there signs in first.
    is_here = row is not None and not row.is_locked(StaffSettings().admin_idle, now)
    with tenant_context(found.tenant_id):
        held = Invitation.objects.get(pk=found.invitation_id)
        if not held.is_open(now):
            return _over(request, held)
        if is_here:
            return _join(request, held)
        if User.objects.filter(email=held.email).exists():
            return render(request, "staff/invitation_known.html", _facts(held))
        return _begin(request, held)


def _begin(request: HttpRequest, held: Invitation) -> HttpResponseBase:
    """A name and a password, and they are in."""
    person = User(email=held.email, name=held.name)
    form = JoinForm(person, request.POST or None, initial={"name": held.name})
    if request.method == "POST" and form.is_valid():
        now, values = timezone.now(), form.cleaned_data
        try:
            membership = inviting.accept_as_new_user(
                held, name=values["name"], password=values["new_password1"], now=now
            )
        except Refusal as refusal:
            refuse(form, refusal)
        else:
            return _in(request, membership)
    return render(request, "staff/invitation_new.html", {**_facts(held), "form": form})


def _join(request: HttpRequest, held: Invitation) -> HttpResponseBase:
    user = user_of(request)
    context = {**_facts(held), "user_email": user.email, "is_theirs": user.email == held.email}
    if request.method == "POST":
        try:
            membership = inviting.accept(held, user, now=timezone.now())
        except Refusal as refusal:
            return render(
                request, "staff/invitation_join.html", {**context, "refused": refusal.sentence}, status=refusal.status
            )
        request.session["tenant_id"] = membership.tenant_id
        messages.success(request, _("You now work for %(tenant)s.") % {"tenant": context["tenant"]})
        return redirect("staff:start")
    return render(request, "staff/invitation_join.html", context)


def _in(request: HttpRequest, membership: Membership) -> HttpResponseBase:
    """Signed in with the password that was just chosen; an account that is new has no second factor."""
    place = signing_in.enter(request, membership.user, now=timezone.now())
    request.session["tenant_id"] = membership.tenant_id
    return went_in(request, place, "")


def _over(request: HttpRequest, held: Invitation) -> HttpResponseBase:
    why = "used" if held.accepted_at else "withdrawn" if held.withdrawn_at else "expired"
    return render(request, "staff/invitation_over.html", {**_facts(held), "why": why}, status=410)


def _facts(held: Invitation) -> dict[str, object]:
    return {"tenant": held.tenant.name, "email": held.email}
