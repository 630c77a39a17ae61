"""People by the starts of the words of their name, address or number, fast however many there are.

The words stand in a table of their own, in byte order: under row security PostgreSQL uses an index for ranges of
these, and for no LIKE. Whoever writes a person has `follow` write the words.
"""

from collections.abc import Collection, Iterable
from functools import reduce
from operator import or_

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from accesscontrol.people import words
from accesscontrol.people.models import Person, PersonWord
from accounts.tenancy import current_tenant_id

_LAST = "\U0010ffff"


def begin(people: Iterable[Person]) -> None:
    """Have these people, who are new, be found by what they are called."""
    _write(_wanted(people))


def follow(people: Iterable[Person]) -> None:
    """Have these people be found by what they are called now, and no longer by what they were."""
    people = list(people)
    wanted = _wanted(people)
    rows = PersonWord.objects.filter(person__in=[person.pk for person in people])
    held = {(person_id, word): number for number, person_id, word in rows.values_list("pk", "person_id", "word")}
    PersonWord.objects.filter(pk__in=[held[gone] for gone in held.keys() - wanted]).delete()
    _write(wanted - held.keys())


def _wanted(people: Iterable[Person]) -> set[tuple[int, str]]:
    return {
        (person.pk, word)
        for person in people
        if person.deleted_at is None
        for word in words.of_person(
            (person.first_name, person.last_name), person.email, (person.mobile, person.telephone)
        )
    }


def _write(found: Iterable[tuple[int, str]]) -> None:
    rows = sorted(found)
    # A person has a dozen: to make an object of each would take longer than all the rest of a long list of people.
    sql = (
        f"INSERT INTO {PersonWord._meta.db_table} (tenant_id, person_id, word) "
        "SELECT %s, * FROM unnest(%s::bigint[], %s::text[]) ON CONFLICT DO NOTHING"
    )
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(sql, [current_tenant_id(), *map(list, zip(*rows, strict=True))])


def ids(text: str) -> QuerySet[PersonWord, int]:
    """Ids of the people who have a word that starts like each of the typed ones; none where nothing was typed."""
    terms = words.of_search(text)
    if not terms:
        return PersonWord.objects.none().values_list("person_id", flat=True)
    longest, *others = terms
    # The longest leads: it has the fewest, and the others are asked of those alone.
    found = PersonWord.objects.filter(_starts(longest))
    for other in others:
        found = found.filter(Exists(PersonWord.objects.filter(_starts(other), person_id=OuterRef("person_id"))))
    return found.values_list("person_id", flat=True)


def search(text: str) -> QuerySet[Person]:
    """The people of `ids`, without those who were deleted."""
    return Person.objects.filter(deleted_at=None, pk__in=ids(text))


def first(text: str, most: int, *, site_ids: Collection[int] | None = None) -> list[Person]:
    """Some of them, found without looking at all: for whoever is still typing. No shared PINs."""
    found = search(text).exclude(kind=Person.Kind.SHARED)
    if site_ids is not None:
        found = found.filter(Q(site=None) | Q(site__in=site_ids))
    return list(found[:most])


def _starts(spellings: set[str]) -> Q:
    return reduce(or_, (Q(word__gte=spelling, word__lt=spelling + _LAST) for spelling in sorted(spellings)))
