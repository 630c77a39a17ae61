"""Give a person a PIN or a card, and send it where that is asked for.

`"******"` draws a PIN; anything else is chosen. A chosen PIN that is reserved or in use is "not available", the
two not told apart, and the refusal counts for the caller: an oracle for other people's PINs must not be free.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from accesscontrol.credentials import bulk, lifecycle
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.people.models import Person
from accesscontrol.visits import expiry, keypads, messages
from accounts import audit
from accounts.models import Tenant
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id
from pins.deliveries.models import Delivery
from pins.policy import duress, personal, weakness
from pins.throttle.attempts import Subject, Waiting, begin
from pins.throttle.limits import Limits
from pins.vault.fingerprints import NotAvailable

GENERATE = "******"


class TooEasyToGuess(Refusal):
    code = "too_easy_to_guess"
    field = "value"
    text = "This PIN is too easy to guess."


class TooManyRefusals(Refusal):
    code = "too_many_refusals"
    status = 429
    field = "value"
    text = "Too many chosen PINs were not available. Let the PIN be generated, or try again later."


@dataclass
class Issued:
    """A new credential, its value for the one answer that shows it, and what to warn of."""

    credential: Credential
    value: str = field(repr=False)
    warnings: list[str]
    delivery: Delivery | None = None


def issue(
    person: Person,
    type: CredentialType,
    value: object,
    *,
    by: audit.Actor,
    now: datetime,
    enabled: bool = True,
    deliver: str | None = None,
) -> Issued:
    """Issue a chosen or a generated value; refuses what is malformed, weak, not available or a second of its type."""
    if deliver:
        messages.address_of(person, deliver)
    if type == CredentialType.PIN and value == GENERATE:
        return _issue(person, type, None, [], enabled=enabled, deliver=deliver, by=by, now=now)
    chosen = lifecycle.well_formed(type, value)
    if type != CredentialType.PIN:
        return _issue(person, type, chosen, [], enabled=enabled, deliver=deliver, by=by, now=now)
    warnings = _judge(person, chosen, now)
    choosing = begin(Subject("choosing", str(by)), _choosing_limits(), now, entry=f"{person.pk}:{chosen}")
    if isinstance(choosing, Waiting):
        raise TooManyRefusals(retry_after=choosing.retry_after)
    try:
        issued = _issue(person, type, chosen, warnings, enabled=enabled, deliver=deliver, by=by, now=now)
    except NotAvailable:
        choosing.wrong()
        audit.record("refuse", "credential", person.pk, by=by, now=now, fields=["value"])
        raise
    except Refusal:
        choosing.spared()
        raise
    choosing.spared()
    return issued


def count_refusal(person_id: int, *, by: audit.Actor, now: datetime) -> None:
    """Count a chosen PIN that was not available once more, where its own count was undone with what it belonged to."""
    choosing = begin(Subject("choosing", str(by)), _choosing_limits(), now, entry=f"{person_id}:undone")
    if not isinstance(choosing, Waiting):
        choosing.wrong()
    audit.record("refuse", "credential", person_id, by=by, now=now, fields=["value"])


def _choosing_limits() -> Limits:
    hourly = settings.CHOSEN_PIN_REFUSALS_PER_HOUR
    hour = timedelta(hours=1)
    return Limits(free=hourly - 1, first_wait=hour, longest_wait=hour, forget_after=hour / hourly, repeats_count=True)


def _judge(person: Person, pin: str, now: datetime) -> list[str]:
    """Whether a chosen PIN will do at this person's doors; returns the warnings."""
    channels = keypads.channels_of(person, now)
    for channel in channels:
        if not channel.accepts(pin):
            raise lifecycle.MalformedValue(
                f"The keypad at “{channel}” takes PINs of {channel.shortest_pin} to {channel.longest_pin} digits."
            )
    tenant = Tenant.objects.get(pk=current_tenant_id())
    words = _too_easy(person, pin, tenant)
    if words is None:
        return []
    if tenant.weak_chosen_pins == Tenant.WeakPins.REFUSE:
        raise TooEasyToGuess(words)
    return [words]


def _too_easy(person: Person, pin: str, tenant: Tenant) -> str | None:
    """Why anyone, or somebody who knows the holder, might guess this PIN, in words."""
    cards = Credential.objects.filter(person=person, type=CredentialType.CARD, sealed__isnull=False)
    known: dict[str, Any] = {
        "birthdays": [person.birthday] if person.birthday else [],
        "phones": [person.mobile, person.telephone],
        "numbers": [lifecycle.value_of(card) for card in cards],
    }
    if weak := weakness(pin) or personal(pin, **known):
        return f"This PIN is too easy to guess: {weak.words}."
    # It opens as well, so it must be as hard to guess.
    if tenant.duress_enabled and (weak := weakness(duress(pin)) or personal(duress(pin), **known)):
        return f"The duress PIN that goes with this PIN is too easy to guess: {weak.words}."
    return None


@transaction.atomic
def issue_cards(cards: Mapping[Person, str], *, by: audit.Actor, now: datetime) -> None:
    """Give each of these people their card, all or none; refuses what `issue` would refuse one of them."""
    numbers = {person: lifecycle.well_formed(CredentialType.CARD, number) for person, number in cards.items()}
    lifecycle.issue_each(numbers, CredentialType.CARD, by=by, now=now)
    expiry.look_at([person.pk for person in numbers], now)


@transaction.atomic
def _issue(
    person: Person,
    type: CredentialType,
    chosen: str | None,
    warnings: list[str],
    *,
    enabled: bool,
    deliver: str | None,
    by: audit.Actor,
    now: datetime,
) -> Issued:
    if chosen is None:
        credential, value = draw(person, enabled=enabled, by=by, now=now)
    else:
        value = chosen
        credential = lifecycle.issue(person, type, value, by=by, now=now, enabled=enabled)
    # A right that exists already may be the last: have the tick find out when it ends.
    expiry.look_at([person.pk], now)
    issued = Issued(credential, value, warnings)
    if deliver:
        issued.delivery = messages.send_pin(person, credential, deliver, by=by, now=now)
    return issued


def draw(person: Person, *, enabled: bool, by: audit.Actor, now: datetime) -> tuple[Credential, str]:
    """Draw from the recommended length, and from longer ones where every PIN of it is in use."""
    space = keypads.space_for(person, now)
    while True:
        try:
            return lifecycle.issue_generated(person, space, by=by, now=now, enabled=enabled)
        except lifecycle.NoPinFree:
            space = keypads.longer(space, person, now)


@transaction.atomic
def issue_many(
    people: Iterable[Person],
    *,
    by: audit.Actor,
    now: datetime,
    deliver: str | None = None,
    to_come: int = 0,
    doors: Iterable[Channel] | None = None,
) -> list[Credential]:
    """A PIN for everybody who has none, in one pass; whoever has no address of the medium gets no message.

    `to_come` more will follow in later passes: PINs are long enough for all of them.
    `doors` are where the PINs are for: those of the tenant where nothing is said.
    Refuses where these keypads share no length, or fewer PINs are free than are needed.
    """
    people = list(people)
    credentials = bulk.issue_many(people, keypads.space_for_many(len(people) + to_come, now, doors), by=by, now=now)
    expiry.look_at([credential.person_id for credential in credentials], now)
    if deliver:
        by_id = {person.pk: person for person in people}
        for credential in credentials:
            person = by_id[credential.person_id]
            if messages.is_reachable(person, deliver):
                messages.send_pin(person, credential, deliver, by=by, now=now)
    return credentials


@transaction.atomic
def set_enabled(credential: Credential, enabled: bool, *, by: audit.Actor, now: datetime) -> None:
    """Enable or disable a credential; what has not been sent of a disabled one does not leave."""
    lifecycle.set_enabled(credential, enabled, by=by, now=now)
    if enabled:
        expiry.look_at([credential.person_id], now)
    else:
        messages.withdraw("credential", [credential.pk], now=now)


def revoke(credential: Credential, *, by: audit.Actor, now: datetime) -> None:
    """End a credential for good; its value is free again and what has not been sent does not leave."""
    revoke_many([credential], by=by, now=now)


@transaction.atomic
def revoke_many(credentials: Iterable[Credential], *, by: audit.Actor, now: datetime) -> None:
    """End these credentials for good."""
    ids = [credential.pk for credential in credentials]
    lifecycle.revoke(Credential.objects.filter(pk__in=ids), by=by, now=now)
    messages.withdraw("credential", ids, now=now)
