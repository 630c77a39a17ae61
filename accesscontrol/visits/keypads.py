"""Which keypads a person stands at, and how long a PIN must be there."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import F, Max, Min, Q, QuerySet
from django.utils.translation import gettext_noop

from accesscontrol.credentials.lifecycle import NoPinFree, value_of
from accesscontrol.credentials.models import Credential, CredentialType
from accesscontrol.doors.models import LONGEST_PIN, SHORTEST_PIN, Channel, RoleChannel
from accesscontrol.doors.periods import OPEN
from accesscontrol.people.models import GroupMembership, GroupRole, Person, PersonRole
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits import odds
from accounts.refusals import Refusal
from pins.generator import Space
from pins.policy import recommended_length


class PinDoesNotFit(Refusal):
    code = "pin_does_not_fit"
    field = "channel_ids"
    text = "The keypad at one of these doors does not take a PIN of this length."


def channels_of(person: Person, now: datetime) -> QuerySet[Channel]:
    """The channels where a person has a right now or will have one."""
    roles = (
        PersonRole.objects.filter(OPEN, person=person)
        .values("role_id")
        .union(
            GroupRole.objects.filter(
                OPEN,
                group_id__in=GroupMembership.objects.filter(
                    OPEN | Q(ended_at__gt=now, started_at__lt=F("ended_at")), person=person
                ).values("group_id"),
            ).values("role_id")
        )
    )
    of_roles = RoleChannel.objects.filter(OPEN, role_id__in=[row["role_id"] for row in roles])
    coming = Reservation.objects.filter(person=person, cancelled_at=None, end_time__gt=now)
    reserved = ReservationChannel.objects.filter(OPEN, reservation__in=coming)
    return Channel.objects.filter(Q(pk__in=of_roles.values("channel_id")) | Q(pk__in=reserved.values("channel_id")))


def lengths(channels: QuerySet[Channel]) -> tuple[int, int]:
    """The shortest and longest PIN that every one of these keypads takes; refuses where there is none."""
    # Fresh ordering-free aggregate: the range every keypad shares.
    shared = channels.order_by().aggregate(shortest=Max("shortest_pin"), longest=Min("longest_pin"))
    shortest, longest = shared["shortest"] or SHORTEST_PIN, shared["longest"] or LONGEST_PIN
    if shortest > longest:
        raise PinDoesNotFit(gettext_noop("No length of PIN fits the keypads at all of these doors."))
    return shortest, longest


def space_for(person: Person, now: datetime) -> Space:
    """What a PIN for this person is drawn from: long enough for the number of PINs in use, and none that is weak."""
    own = channels_of(person, now)
    try:
        shortest, longest = lengths(own if own.exists() else Channel.objects.all())
    except PinDoesNotFit as refusal:
        if own.exists():
            raise PinDoesNotFit(refusal.pattern, field="person_id") from None
        # Nothing is known of where the PIN will be used, and the keypads differ.
        shortest, longest = SHORTEST_PIN, LONGEST_PIN
    return Space(
        _length_for(own, shortest, longest, now),
        exclude_sequential=True,
        exclude_repeated=True,
        exclude_weak=True,
    )


def space_for_many(count: int, now: datetime, doors: Iterable[Channel] | None = None) -> Space:
    """What PINs for so many people are drawn from at once: a length that every one of these keypads takes.

    Every keypad of the tenant where none is named.
    """
    named = None if doors is None else [door.pk for door in doors]
    shortest, longest = lengths(Channel.objects.all() if named is None else Channel.objects.filter(pk__in=named))
    active = odds.ways_to_open() * (odds.busiest(None, now) + count)
    return Space(
        recommended_length(active, shortest, longest), exclude_sequential=True, exclude_repeated=True, exclude_weak=True
    )


def _length_for(own: QuerySet[Channel], shortest: int, longest: int, now: datetime) -> int:
    """Long enough for the busiest of the person's keypads, or of the tenant's for who has no right yet."""
    ways = odds.ways_to_open()
    live = Credential.objects.filter(type=CredentialType.PIN, revoked_at=None, erased_at=None)
    # No keypad accepts more than all: where even that asks for no more digits, nothing need be counted door by door.
    if recommended_length(ways * (live.order_by()[: odds.COUNTED].count() + 1), shortest, longest) > max(5, shortest):
        ids = list(own.values_list("pk", flat=True))
        return recommended_length(ways * (odds.busiest(ids or None, now) + 1), shortest, longest)
    return recommended_length(ways, shortest, longest)


def longer(space: Space, person: Person, now: datetime) -> Space:
    """One digit more, when every shorter PIN is in use; refuses past what the keypads take."""
    own = channels_of(person, now)
    _, longest = lengths(own if own.exists() else Channel.objects.all())
    if space.length >= longest:
        raise NoPinFree
    return Space(space.length + 1, exclude_sequential=True, exclude_repeated=True, exclude_weak=True)


def require_fit_many(person_ids: Iterable[int], channels: Iterable[Channel]) -> None:
    """Refuse where the PIN of anybody is too short or too long for one of these keypads; two numbers are asked for."""
    held = Credential.objects.filter(
        person_id__in=list(person_ids), type=CredentialType.PIN, revoked_at=None, erased_at=None, ends_at=None
    )
    found = held.order_by().aggregate(least=Min("digits"), most=Max("digits"))
    for channel in channels if found["least"] else ():
        if not channel.shortest_pin <= found["least"] <= found["most"] <= channel.longest_pin:
            raise _does_not_fit(channel)


def require_fit(person: Person, channels: Iterable[Channel]) -> None:
    """Refuse where the person's PIN is too short or too long for one of these keypads."""
    credential = Credential.objects.filter(
        person=person, type=CredentialType.PIN, revoked_at=None, erased_at=None, ends_at=None
    ).first()
    if credential is None:
        return
    pin = value_of(credential)
    for channel in channels:
        if not channel.accepts(pin):
            raise _does_not_fit(channel)


def _does_not_fit(channel: Channel) -> PinDoesNotFit:
    return PinDoesNotFit(
        gettext_noop(
            "The keypad at “%(door)s” takes PINs of %(shortest)s to %(longest)s digits. "
            "Issue a new PIN for this person."
        ),
        door=channel.name,
        shortest=channel.shortest_pin,
        longest=channel.longest_pin,
    )
