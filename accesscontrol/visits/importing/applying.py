"""What a row says is done: a person added or changed, put into groups, given a card. Each in one, or not at all."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models.functions import Lower

from accesscontrol.credentials.models import CredentialType
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


class ChangedSince(Refusal):
    code = "changed_meanwhile"
    status = 409
    text = "This changed after the file was checked. Nothing was written: upload the row again."


class Applier:
    """Does what rows of one file say, for whoever started it."""

    def __init__(self, source: Import, rows: Sequence[ImportRow]) -> None:
        lines = sorted(row.line for row in rows)
        cells = files.rows_of(source, lines)
        self._judge = Judge(plan_of(source.plan or {}), [(line, cells[line]) for line in lines])

    def apply(self, row: ImportRow, *, by: audit.Actor, now: datetime) -> None:
        """Write what was announced; refuses where it would not be the same any more."""
        verdict = self._judge.judge(row.line, row.twin)
        if verdict.fate == ImportRow.Fate.REFUSED:
            raise ChangedSince(_told(verdict))
        if verdict.fate != row.fate or _is_stale(row, verdict):
            raise ChangedSince
        if verdict.person is None:
            person = records.create(verdict.values, by=by, now=now)
            ImportRow.objects.filter(pk=row.pk).update(person=person)
        else:
            person = records.change(verdict.person, verdict.values, by=by, now=now)
        if verdict.groups is not None:
            groups = [_group(name, by=by, now=now) for name in verdict.groups]
            belonging.set_groups(person, groups, by=by, now=now)
        if verdict.card:
            if verdict.card_before is not None:
                issuing.revoke(verdict.card_before, by=by, now=now)
            issuing.issue(person, CredentialType.CARD, verdict.card, by=by, now=now)


def _told(verdict: Verdict) -> str:
    label = LABELS.get(verdict.field)
    return f"{label}: {verdict.reason}" if label else verdict.reason


def _is_stale(row: ImportRow, verdict: Verdict) -> bool:
    """Whether somebody else changed the person since the check; nobody can until this transaction ends."""
    if verdict.person is None:
        return False
    held = Person.objects.select_for_update(of=("self",), no_key=True).filter(pk=verdict.person.pk, deleted_at=None)
    return list(held.values_list("pk", "updated_at")) != [(row.person_id, row.seen_at)]


def _group(name: str, *, by: audit.Actor, now: datetime) -> Group:
    named = Group.objects.alias(lower=Lower("name")).filter(lower=name.lower())
    if found := named.first():
        return found
    try:
        return grouping.save(Group(), {"name": name}, by=by, now=now)
    except grouping.GroupNameTaken:
        # Another worker was faster.
        return named.get()
