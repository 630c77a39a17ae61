"""Passwords of staff: prove it again, forget and set anew by e-mail, change. A new one ends every other session.

Forgetting answers the same, in words and in time, whether there is such an account or not.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts import audit
from accounts.audit import Actor
from accounts.callers import Place, places_of
from accounts.keys import digest
from accounts.models import User
from accounts.rates import take
from accounts.refusals import Refusal
from accounts.tenancy import tenant_context
from pins.signin.staff import mistakes, notices, sessions

# A minute: many people sit behind one address, one person mistypes a few times.
TRIES_PER_ADDRESS: Final = 60
# From one address, and from all: who guesses from elsewhere does not lock out whom the account belongs to.
TRIES_PER_ACCOUNT: Final = 10
TRIES_PER_ACCOUNT_IN_ALL: Final = 30
# Links to a new password: one account gets so many in a day, one address asks for so many in a minute.
LINKS_PER_ACCOUNT: Final = 5
ASKED_PER_ADDRESS: Final = 10
DAY: Final = timedelta(days=1)


class TooOften(Refusal):
    code = "too_often"
    status = 429
    text = "Too many tries. Wait a minute, then try again."


def count_try(email: str, address: str, *, now: datetime) -> None:
    """Count a password before it is looked at: each costs a slow hash, and guessing must not be free."""
    account = digest(email.strip().lower()).hex()
    subjects = {
        f"sign-in address {address}": TRIES_PER_ADDRESS,
        f"sign-in {account} from {address}": TRIES_PER_ACCOUNT,
        f"sign-in {account}": TRIES_PER_ACCOUNT_IN_ALL,
    }
    # One after the other: what is refused to one address does not count against the account as a whole.
    for subject, most in subjects.items():
        if not take(subject, most=most, now=now).is_allowed:
            raise TooOften


class WrongPassword(Refusal):
    code = "wrong_password"
    field = "password"
    text = "This is not your password."


def prove(user: User, password: str, *, address: str, now: datetime) -> None:
    """Refuse who does not know the password of the account that they are signed in to."""
    count_try(user.email, address, now=now)
    if not user.check_password(password):
        mistakes.note(user, "password", now=now)
        raise WrongPassword


@transaction.atomic
def send_link(email: str, *, address: str, now: datetime) -> None:
    """Send a link to a new password where there is such an account with a place; says nothing about it."""
    if not take(f"forgot address {address}", most=ASKED_PER_ADDRESS, now=now).is_allowed:
        raise TooOften
    email = email.strip().lower()
    rate = take(f"forgot {digest(email).hex()}", most=LINKS_PER_ACCOUNT, now=now, within=DAY)
    user = User.objects.filter(email=email, is_active=True).first()
    places = places_of(user.pk if user else 0)
    if user is None or not places or not rate.is_allowed:
        return
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    link = f"{settings.PUBLIC_URL}/sign-in/new-password/{uid}/{token}/"
    with tenant_context(places[0].tenant_id):
        hours = settings.PASSWORD_RESET_TIMEOUT // 3600
        notices.send(
            user.email, "new_password", {"name": user.name, "link": link, "hours": hours}, about(user), now=now
        )
        audit.record("forget", "password", user.pk, by=_staff(places[0]), now=now)


@transaction.atomic
def changed(user: User, *, verb: str, now: datetime, but: str | None = None) -> None:
    """After a new password was saved: end the user's other sessions, tell them, and note it wherever they work."""
    sessions.end_all(user, but=but)
    for number, place in enumerate(places_of(user.pk)):
        with tenant_context(place.tenant_id):
            audit.record(verb, "password", user.pk, by=_staff(place), now=now)
            if number == 0:
                notices.tell(user, notices.PASSWORD_CHANGED, now=now)


def about(user: User) -> list[tuple[str, int]]:
    return [("user", user.pk)]


def _staff(place: Place) -> Actor:
    return Actor("staff", place.membership_id)
