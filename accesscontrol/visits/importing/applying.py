"""What rows say is done: people added or changed, put into groups, given cards. All of a portion in one, or nothing."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Lower

from accesscontrol.people import grouping, records
from accesscontrol.people.models import Group, Person
from accesscontrol.visits import belonging, issuing
from accesscontrol.visits.importing import files
from accesscontrol.visits.importing.columns import LABELS
from accesscontrol.visits.importing.judging import Judge, Verdict
from accesscontrol.visits.importing.plans import plan_of
from accesscontrol.visits.models import Import, ImportRow
from accounts import audit
from accounts.refusals import Refusal
from accounts.tenancy import current_tenant_id


class ChangedSince(Refusal):
    code = "changed_meanwhile"
    status = 409
    text = "This changed after the file was checked. Nothing was written: upload the row again."


class Applier:
    """Does what rows of one file say, for whoever started it."""

    def __init__(self, source: Import, rows: Sequence[ImportRow]) -> None:
        lines = sorted(row.line for row in rows)
        cells = files.rows_of(source, lines)
        judge = Judge(plan_of(source.plan or {}), [(line, cells[line]) for line in lines])
        self._verdicts = {row.pk: judge.judge(row.line, row.twin) for row in rows}

    def refused(self, rows: Sequence[ImportRow]) -> dict[int, ChangedSince]:
        """Which rows would not do what was announced any more, and why.

        Whoever the others are about stays as they are until this transaction ends.
        """
        found = {}
        seen_at = self._hold(rows)
        for row in rows:
            verdict = self._verdicts[row.pk]
            if verdict.fate == ImportRow.Fate.REFUSED:
                found[row.pk] = ChangedSince(_told(verdict))
                continue
            person_id = verdict.person and verdict.person.pk
            if (verdict.fate, person_id, seen_at.get(person_id or 0)) != (row.fate, row.person_id, row.seen_at):
                found[row.pk] = ChangedSince()
        return found

    def _hold(self, rows: Sequence[ImportRow]) -> dict[int, datetime]:
        ids = [person.pk for row in rows if (person := self._verdicts[row.pk].person)]
        held = Person.objects.select_for_update(of=("self",), no_key=True).order_by("pk")
        return dict(held.filter(pk__in=ids, deleted_at=None).values_list("pk", "updated_at")) if ids else {}

    @transaction.atomic
    def apply(self, rows: Sequence[ImportRow], *, by: audit.Actor, now: datetime) -> None:
        """Write what was announced for these rows, nobody in two of them, all or nothing; refuses what one would."""
        doing = self._people([(row, self._verdicts[row.pk]) for row in rows], by=by, now=now)
        named = _groups({name for _, verdict in doing for name in verdict.groups or ()}, by=by, now=now)
        groups = {
            person: [named[name.lower()] for name in verdict.groups]
            for person, verdict in doing
            if verdict.groups is not None
        }
        if groups:
            belonging.set_groups_many(groups, by=by, now=now)
        if replaced := [verdict.card_before for _, verdict in doing if verdict.card and verdict.card_before]:
            issuing.revoke_many(replaced, by=by, now=now)
        if cards := {person: verdict.card for person, verdict in doing if verdict.card}:
            issuing.issue_cards(cards, by=by, now=now)

    def _people(
        self, judged: Sequence[tuple[ImportRow, Verdict]], *, by: audit.Actor, now: datetime
    ) -> list[tuple[Person, Verdict]]:
        """Those whom the rows are about, written."""
        new = [(row, verdict) for row, verdict in judged if verdict.person is None]
        added = records.create_many([verdict.values for _, verdict in new], by=by, now=now) if new else []
        _note({row.pk: person.pk for (row, _), person in zip(new, added, strict=True)})
        known = [(verdict.person, verdict) for _, verdict in judged if verdict.person is not None]
        changes: list[tuple[Person, dict[str, Any]]] = [(person, verdict.values) for person, verdict in known]
        changed = records.change_many(changes, by=by, now=now) if known else []
        return [
            *zip(added, (verdict for _, verdict in new), strict=True),
            *zip(changed, (verdict for _, verdict in known), strict=True),
        ]


def _told(verdict: Verdict) -> str:
    label = LABELS.get(verdict.field)
    return f"{label}: {verdict.reason}" if label else verdict.reason


def _note(person_of: Mapping[int, int]) -> None:
    """Write down whom rows have added."""
    sql = (
        "UPDATE visits_importrow r SET person_id = n.person_id FROM unnest(%s::bigint[], %s::bigint[]) "
        "AS n (id, person_id) WHERE r.tenant_id = %s AND r.id = n.id"
    )
    if person_of:
        with connection.cursor() as cursor:
            cursor.execute(sql, [list(person_of), list(person_of.values()), current_tenant_id()])


def _groups(names: set[str], *, by: audit.Actor, now: datetime) -> dict[str, Group]:
    """The groups of these names by their small letters; what is missing is added."""
    wanted = {name.lower(): name for name in sorted(names)}
    found = _named(wanted.values())
    # In one order for everybody: two workers who add the same ones wait for each other in turn, not in a circle.
    for lower in sorted(wanted.keys() - found.keys()):
        try:
            found[lower] = grouping.save(Group(), {"name": wanted[lower]}, by=by, now=now)
        except grouping.GroupNameTaken:
            # Another worker was faster.
            found |= _named([wanted[lower]])
    return found


def _named(names: Collection[str]) -> dict[str, Group]:
    if not names:
        return {}
    called = Q(lower__in=[name.lower() for name in names]) | Q(name__in=list(names))
    rows = Group.objects.alias(lower=Lower("name")).filter(called)
    return {group.name.lower(): group for group in rows}
