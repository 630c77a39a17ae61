"""Lists of what people have (visits, PINs, events) are searched by the people, however long the lists are."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accesscontrol.people import finding
from accesscontrol.people.models import Person
from accounts.admin.records import visible_rows

WORDS = "Name, e-mail address or telephone number of a person"
# Of a name that so many have, more must be typed.
MOST_PEOPLE = 500


def whose(request: HttpRequest, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """The rows of whom a search box means, among those whom the caller may know of."""
    found = visible_rows(request, Person).filter(pk__in=finding.search(term).values("pk"))
    people = list(found.order_by().values_list("pk", flat=True)[: MOST_PEOPLE + 1])
    if len(people) > MOST_PEOPLE:
        messages.warning(request, f"More than {MOST_PEOPLE} people are meant: write more of the name.")
        return rows.none()
    return rows.filter(person_id__in=people)
