"""Pages of long lists: nobody waits for a count or for rows that they do not see."""

from typing import Any, ClassVar

from django.core.paginator import Paginator
from django.utils.functional import cached_property

MOST_COUNTED = 10_000


class BoundedPaginator(Paginator[Any]):
    """Counts no further than anybody pages: a count of all events would take seconds."""

    most: ClassVar[int] = MOST_COUNTED

    @cached_property
    def counted(self) -> int:
        """One more than the most, where there are more."""
        rows: Any = self.object_list
        # The keys alone: what a list shows beside its rows need not be computed to count them.
        return int(rows.order_by().values("pk")[: self.most + 1].count()) if hasattr(rows, "order_by") else len(rows)

    @cached_property
    def count(self) -> int:
        return min(self.counted, self.most)

    @property
    def total(self) -> str:
        """How many, as the page says it: “10,000+” where nobody counted to the end."""
        return f"{self.count:,}+" if self.counted > self.most else f"{self.count:,}"

    def page(self, number: Any) -> Any:
        """Pages further back find their keys first: what a row shows is computed for none that is passed over."""
        found = super().page(number)
        rows: Any = self.object_list
        if found.number > 1 and hasattr(rows, "order_by"):
            keys = list(found.object_list.values_list("pk", flat=True))  # type: ignore[attr-defined]
            found.object_list = rows.filter(pk__in=keys)
        return found
