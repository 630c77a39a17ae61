"""What must be free around a PIN: its duress value, and where the tenant asks for it, every PIN one digit away.

Apart from neighbours within the whole tenant, which is stricter than at each keypad: rights come and go, and a
PIN must not begin to lie beside another because of them. A duress value counts as a PIN that opens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import connection, transaction

from accesscontrol.credentials.models import CredentialType
from accounts.models import Tenant
from accounts.tenancy import current_tenant_id
from pins.generator import Space
from pins.policy import duress, neighbours
from pins.vault import fingerprints
from pins.vault.models import Fingerprint


@dataclass(frozen=True)
class Spacing:
    """What a tenant asks for."""

    has_duress: bool = False
    keeps_neighbours_apart: bool = False

    def allows(self, pin: str, space: Space) -> bool:
        """Whether a PIN of this space may be drawn: its duress value opens doors too, so it may not be weak."""
        return not self.has_duress or space.allows(duress(pin))

    def opening(self, pin: str) -> set[str]:
        """The values that open once this PIN is issued."""
        return {pin, duress(pin)} if self.has_duress else {pin}

    def around(self, pin: str) -> set[str]:
        """The values nobody else may hold if this one is to be issued, itself included."""
        opening = self.opening(pin)
        if self.keeps_neighbours_apart:
            return opening.union(*map(neighbours, opening))
        return opening

    def apart(self, values: Iterable[str]) -> Iterator[str]:
        """Those of these values that keep their distance from all before them."""
        held: set[str] = set()
        for value in values:
            if held.isdisjoint(self.around(value)):
                held |= self.opening(value)
                yield value

    def hold(self, values: dict[int, str], *, type: CredentialType) -> None:
        """Reserve values by holder and what goes with them, all or nothing; refuses where another holds one."""
        if not self.has_duress:
            fingerprints.hold_many(values, type=type.slug)
            return
        beside = {holder_id: duress(pin) for holder_id, pin in values.items()}
        with transaction.atomic():
            fingerprints.hold_many(values, type=type.slug)
            fingerprints.hold_many(beside, type=type.slug, kind=Fingerprint.Kind.DURESS)


def of_type(type: CredentialType) -> Spacing:
    """What the current tenant asks for at this moment, which stays so until the transaction ends.

    The unique constraint knows equal values only: issuing waits while duress is being switched, and where
    neighbours are kept apart one PIN is issued at a time.
    """
    if type != CredentialType.PIN:
        return Spacing()
    _lock("duress", shared=True)
    asked = Tenant.objects.values_list("duress_enabled", "keeps_neighbours_apart").get(pk=current_tenant_id())
    if asked[1]:
        _lock("neighbours", shared=False)
    return Spacing(*asked)


def lock_for_switching() -> None:
    """Wait until no PIN of the current tenant is being issued, and let none be until the transaction ends."""
    _lock("duress", shared=False)


def _lock(what: str, *, shared: bool) -> None:
    name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name}(hashtextextended(%s, 0))", [f"{what}|{current_tenant_id()}"])
