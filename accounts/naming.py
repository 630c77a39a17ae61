"""Names of those who acted, as audit and other rows write them: “staff:7” is the user of membership 7."""

from collections.abc import Iterable

from accounts.models import ApiKey, Membership

_OTHERS = {"system": "Gatehouse", "command": "the command line", "reader": "a reader", "token": "an application"}


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """By actor, a name that people know; in at most two queries."""
    wanted = {actor: actor.partition(":")[::2] for actor in set(actors) if actor}
    numbers = {
        kind: [int(number) for found, number in wanted.values() if found == kind and number.isdecimal()]
        for kind in ("staff", "api")
    }
    staff: dict[str, str] = {}
    keys: dict[str, str] = {}
    if numbers["staff"]:
        members = Membership.objects.filter(pk__in=numbers["staff"]).select_related("user")
        staff = {str(member.pk): str(member.user) for member in members}
    if numbers["api"]:
        keys = {str(key.pk): key.name for key in ApiKey.objects.filter(pk__in=numbers["api"])}
    names = {"staff": staff, "api": keys}
    return {
        actor: names.get(kind, {}).get(number) or _OTHERS.get(kind, "somebody else")
        for actor, (kind, number) in wanted.items()
    }


def name_of(actor: str) -> str:
    """The name of one; empty where nobody is written down."""
    return names_of([actor]).get(actor, "")
