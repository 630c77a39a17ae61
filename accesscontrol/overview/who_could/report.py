"""Who could open a door in a period, and who did, as rows for a page, a file or a sheet of paper.

People come in the order of their names, a page of them at a time: what is asked of the database does not grow with
the number of people on other pages, except for counting and sorting them once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Max, Min, Q, QuerySet

from accesscontrol.access.models import Event
from accesscontrol.credentials.models import CredentialState
from accesscontrol.doors.models import Channel
from accesscontrol.doors.spans import Span
from accesscontrol.overview.who_could.door import DoorThen, overlapping
from accesscontrol.overview.who_could.people import Rights, Through, could, entitled, names_of
from accesscontrol.people.models import Person, PersonState

# Up to so many they are all looked at, so that the number told is exact.
COUNTED_EXACTLY = 1000
BATCH = 500


@dataclass(frozen=True)
class Passages:
    """How often somebody was let in at the door in the period, first and last."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    while_open: int = 0
    by_command: int = 0


@dataclass(frozen=True)
class CouldRow:
    """One right of one person: `spans` are the stretches of the period in which it opened the door."""

    person: Person
    through: str
    hours: str
    spans: list[Span]
    did: Passages

    @property
    def since(self) -> datetime:
        return self.spans[0][0]

    @property
    def until(self) -> datetime:
        return self.spans[-1][1]


@dataclass(frozen=True)
class DidRow:
    """One person who was let in; nobody is named where a door was opened by command for whoever stood there."""

    person: Person | None
    did: Passages


class Report:
    """One door, one period `[begin, end)`."""

    def __init__(self, channel: Channel, begin: datetime, end: datetime) -> None:
        self.channel, self.begin, self.end = channel, begin, end
        self.door = DoorThen(channel, begin, end)
        self.rights = Rights(self.door)
        self.zone: ZoneInfo = channel.site.zone

    # Who could

    def people(self) -> QuerySet[Person]:
        """People who may have had a right, a person state and a credential there, by name."""
        here = overlapping(self.begin, self.end)
        held = CredentialState.objects.filter(here, enabled=True).values("credential__person_id")
        able = PersonState.objects.filter(here, enabled=True).values("person_id")
        rows = Person.objects.filter(entitled(self.rights)).filter(pk__in=able).filter(pk__in=held)
        return rows.order_by("last_name", "first_name", "pk")

    def could_page(self, number: int, size: int) -> tuple[list[CouldRow], int, bool]:
        """The rows of a page from 1 on, how many people there are, and whether that number is exact."""
        first = list(self.people()[: COUNTED_EXACTLY + 1])
        if len(first) <= COUNTED_EXACTLY:
            found = could(self.rights, [person.pk for person in first])
            able = [person for person in first if person.pk in found]
            shown = able[(number - 1) * size : number * size]
            return self._could_rows(shown, found), len(able), True
        shown = list(self.people()[(number - 1) * size : number * size])
        found = could(self.rights, [person.pk for person in shown])
        return self._could_rows(shown, found), self.people().order_by().count(), False

    def could_rows(self, person_ids: Sequence[int]) -> list[CouldRow]:
        """The rows of some people, in the order given."""
        people = Person.objects.in_bulk(list(person_ids))
        found = could(self.rights, person_ids)
        return self._could_rows([people[pk] for pk in person_ids if pk in people], found)

    def _could_rows(self, people: Iterable[Person], found: dict[int, dict[Through, list[Span]]]) -> list[CouldRow]:
        shown = [person for person in people if person.pk in found]
        names = names_of(through for person in shown for through in found[person.pk])
        did = self.passages([person.pk for person in shown])
        return [
            CouldRow(
                person,
                self._in_words(through, names),
                names["shifts"].get(through.shift_id, ""),
                spans,
                did.get(person.pk, Passages()),
            )
            for person in shown
            for through, spans in sorted(found[person.pk].items(), key=lambda item: item[1][0])
        ]

    def _in_words(self, through: Through, names: dict[str, dict[int | None, str]]) -> str:
        if through.reservation_id is not None:
            return "Visit"
        role = names["roles"].get(through.role_id, "")
        group = names["groups"].get(through.group_id)
        return f"Access level {role}" + (f", as member of {group}" if group else "")

    # Who did

    def events(self) -> QuerySet[Event]:
        """What was let in here."""
        return Event.objects.filter(
            channel=self.channel, admitted=True, occurred_at__gte=self.begin, occurred_at__lt=self.end
        )

    def passages(self, person_ids: Sequence[int]) -> dict[int | None, Passages]:
        """How often each of these people was let in."""
        return self._counted(self.events().filter(person_id__in=list(person_ids)))

    def did_page(self, number: int, size: int) -> tuple[list[DidRow], int]:
        """Who was let in, by the first time; and how many they are."""
        counted = self._counted(self.events(), first=(number - 1) * size, most=size)
        people = Person.objects.in_bulk([pk for pk in counted if pk is not None])
        whole = self.events().order_by().values("person_id").distinct().count()
        return [DidRow(people.get(pk or 0), did) for pk, did in counted.items()], whole

    def _counted(
        self, events: QuerySet[Event], *, first: int = 0, most: int | None = None
    ) -> dict[int | None, Passages]:
        """By person, in the order of their first time."""
        rows = events.order_by().values("person_id")
        rows = rows.annotate(
            count=Count("pk"),
            first=Min("occurred_at"),
            last=Max("occurred_at"),
            while_open=Count("pk", filter=Q(code=16)),
            by_command=Count("pk", filter=Q(credential_type=None)),
        ).order_by("first", "person_id")
        shown = rows if most is None else rows[first : first + most]
        return {
            row["person_id"]: Passages(row["count"], row["first"], row["last"], row["while_open"], row["by_command"])
            for row in shown
        }

    def each_event(self) -> Iterator[list[Event]]:
        """Every event of who was let in, in order, a batch at a time."""
        after: tuple[datetime, int] | None = None
        while True:
            rows = self.events().select_related("person").order_by("occurred_at", "pk")
            if after is not None:
                later = Q(occurred_at__gt=after[0]) | Q(occurred_at=after[0], pk__gt=after[1])
                rows = rows.filter(later, occurred_at__gte=after[0])
            batch = list(rows[:BATCH])
            if not batch:
                return
            yield batch
            after = (batch[-1].occurred_at, batch[-1].pk)
