"""What was said of a file: what its columns are, and how it is to be taken."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from accesscontrol.visits.importing.columns import LABELS, NAMES
from accounts.refusals import Refusal


class ColumnTwice(Refusal):
    code = "column_twice"
    text = "Two columns are said to be the same."


class ColumnsMissing(Refusal):
    code = "columns_missing"
    text = "Say which column holds the first name or the full name, or one that people are found by."


@dataclass(frozen=True)
class Plan:
    """`columns` names what each column is, empty for one that is passed over."""

    columns: list[str] = field(default_factory=list)
    has_headings: bool = True
    finds_by_name: bool = False
    adds_people: bool = True
    creates_groups: bool = False
    replaces_groups: bool = False
    replaces_cards: bool = False
    day_first: bool = True
    country_code: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def cells_of(self, cells: Sequence[str]) -> dict[str, str]:
        """The cells of a row that mean something and are not empty, by what they are."""
        return {name: cell for name, cell in zip(self.columns, cells, strict=False) if name and cell}


def plan_of(value: dict[str, Any]) -> Plan:
    return Plan(**value)


def require_whole(plan: Plan) -> None:
    """Refuses columns that are the same, and a file in which nobody can be found or named."""
    named = [name for name in plan.columns if name in NAMES]
    for name in named:
        if named.count(name) > 1:
            raise ColumnTwice(f"Two columns are said to be “{LABELS[name]}”.")
    if not {"first_name", "name", "system_id", "email"} & set(named):
        raise ColumnsMissing
    if "name" in named and {"first_name", "last_name"} & set(named):
        raise ColumnTwice("Take the full name, or first and last name, but not both.")
