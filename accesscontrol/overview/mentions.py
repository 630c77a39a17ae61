"""Where somebody wrote a person's name by hand, it is cut out and the rest of the sentence stays.

A full name, an e-mail address or a number is cut out of everything that is free text (`FREE`); a part of a name only
where the row is known to be about that person, such as the name of a group that they came with. What a tenant calls
its own doors, groups and access levels is not searched.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from django.db import connection, models

from accesscontrol.access.models import Alarm, ChannelCommand
from accesscontrol.doors.models import ChannelState, Role, Shift
from accesscontrol.people import finding
from accesscontrol.people.models import Group, Person
from accesscontrol.reservations.models import GroupVisit, Reservation
from accesscontrol.visits.models import BatchItem, Import, ImportRow
from accounts.models import Site
from accounts.tenancy import current_tenant_id

CUT: Final = "…"
FREE: Final[tuple[tuple[type[models.Model], tuple[str, ...]], ...]] = (
    (Person, ("job_title", "notes", *(f"custom_{number}" for number in range(1, 6)))),
    (Group, ("notes",)),
    (Role, ("notes",)),
    (Shift, ("notes",)),
    (Site, ("notes",)),
    (GroupVisit, ("name",)),
    (Reservation, ("host_name", "purpose", "company")),
    (Alarm, ("acknowledged_reason",)),
    (ChannelCommand, ("reason",)),
    (ChannelState, ("reason",)),
    (BatchItem, ("reason",)),
    (Import, ("name",)),
    (ImportRow, ("reason",)),
)
# A shorter part of a name is in too many words.
_SHORTEST = 3
_FEWEST_DIGITS = 6
_BETWEEN = r"[\s,._-]+"
# Of PostgreSQL and of Python: no letter or digit goes on before or after.
_SQL = ("(?<![[:alnum:]])(?:", ")(?![[:alnum:]])")
_PYTHON = (r"(?<![^\W_])(?:", r")(?![^\W_])")


def cut_everywhere(people: Iterable[Person], *, now: datetime) -> None:
    """Cut the full names, addresses and numbers of these people out of all free text of the tenant."""
    found = sorted({words for person in people for words in _unmistakable(person)})
    if not found:
        return
    pattern = "|".join(found).join(_SQL)
    # A shared PIN is called like its group, and is found by what is left of the name.
    named = Person.objects.filter(kind=Person.Kind.SHARED, erased_at=None, first_name__iregex=pattern)
    for holder in named:
        _rename(holder, _cut(found, holder.first_name), now)
    for model, columns in FREE:
        _cut_in(model, columns, pattern, now)


def cut_in_their_own(people: Iterable[Person], *, now: datetime) -> None:
    """Cut any part of these people's names out of what the groups and files that they came in are called."""
    parts = {person.pk: _parts(person) for person in people}
    came = Reservation.objects.filter(person_id__in=parts).exclude(group=None).order_by()
    called = _called(came.values_list("group_id", "person_id").distinct(), parts)
    for group in GroupVisit.objects.filter(pk__in=called).select_related("shared_person"):
        name = _cut(called[group.pk], group.name)
        if name != group.name:
            GroupVisit.objects.filter(pk=group.pk).update(name=name)
            if group.shared_person is not None and group.shared_person.erased_at is None:
                _rename(group.shared_person, name, now)
    rows = ImportRow.objects.filter(person_id__in=parts).order_by()
    called = _called(rows.values_list("source_id", "person_id").distinct(), parts)
    for source in Import.objects.filter(pk__in=called):
        name = _cut(called[source.pk], source.name)
        if name != source.name:
            Import.objects.filter(pk=source.pk).update(name=name)


def _called(pairs: Iterable[tuple[int | None, int]], parts: dict[int, set[str]]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for number, person_id in pairs:
        if number is not None and parts[person_id]:
            found.setdefault(number, set()).update(parts[person_id])
    return found


def _unmistakable(person: Person) -> Iterable[str]:
    """Patterns of what means this person and nobody else."""
    first, last = _words(person.first_name), _words(person.last_name)
    if first and last:
        yield _in_a_row([*first, *last])
        yield _in_a_row([*last, *first])
    for text in (person.email, person.mobile, person.telephone):
        if "@" in text or sum(sign.isdigit() for sign in text) >= _FEWEST_DIGITS:
            yield re.escape(text)


def _parts(person: Person) -> set[str]:
    words = re.split(r"[\W_]+", f"{person.first_name} {person.last_name}")
    return {re.escape(word) for word in words if len(word) >= _SHORTEST} | set(_unmistakable(person))


def _words(name: str) -> list[str]:
    # Without what stands between words: a name of dots would else be tried in every way that dots can be shared out.
    return [word for word in re.split(_BETWEEN, name) if word]


def _in_a_row(words: list[str]) -> str:
    return _BETWEEN.join(map(re.escape, words))


def _cut(patterns: Iterable[str], text: str) -> str:
    # The longest first: of a full name no part is to stay.
    whole = "|".join(sorted(patterns, key=len, reverse=True)).join(_PYTHON)
    return re.sub(whole, CUT, text, flags=re.IGNORECASE)


def _rename(holder: Person, name: str, now: datetime) -> None:
    holder.first_name, holder.updated_at = name, now
    holder.save(update_fields=["first_name", "updated_at"])
    finding.follow([holder])


def _cut_in(model: type[models.Model], columns: Sequence[str], pattern: str, now: datetime) -> None:
    """One statement a table; most rows hold no text and are passed over at once."""
    changes = [f"{name} = regexp_replace({name}, %(pattern)s, %(cut)s, 'gi')" for name in columns]
    if any(field.name == "updated_at" for field in model._meta.fields):
        changes.append("updated_at = %(now)s")
    found = " OR ".join(f"({name} <> '' AND {name} ~* %(pattern)s)" for name in columns)
    sql = f"UPDATE {model._meta.db_table} SET {', '.join(changes)} WHERE tenant_id = %(tenant)s AND ({found})"
    with connection.cursor() as cursor:
        cursor.execute(sql, {"pattern": pattern, "cut": CUT, "now": now, "tenant": current_tenant_id()})
