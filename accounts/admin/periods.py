"""A period of a list of what happened: the last days, or any two instants, such as those of a bar of a chart."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin.narrowing import Choice, zone_of

_WRITTEN = "%Y-%m-%dT%H:%MZ"
_TYPED = "%Y-%m-%dT%H:%M"
# What lies beyond is a slip, and cannot be told in every time zone.
_YEARS = range(1970, 2200)


def interval(begins: datetime, ends: datetime) -> str:
    """How an address writes `[begins, ends)`, whatever the zone; on the hour that comes twice, too."""
    return "/".join(instant.astimezone(UTC).strftime(_WRITTEN) for instant in (begins, ends))


def _read(value: str) -> tuple[datetime, datetime] | None:
    try:
        begins, ends = (datetime.strptime(part, _WRITTEN).replace(tzinfo=UTC) for part in value.split("/"))
    except ValueError:
        return None
    return (begins, ends) if begins.year in _YEARS and ends.year in _YEARS else None


class PeriodFilter(Choice):
    """`period` is a number of days or an interval; `from` and `until` are typed in the zone of the page."""

    title = "period"
    parameter_name = "period"
    template = "admin/period_filter.html"
    periods = {"1": "Last 24 hours", "7": "Last 7 days", "31": "Last 31 days"}
    typed = ("from", "until")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.zone = zone_of(request)
        for name in self.typed:
            if name in params:
                value = params.pop(name)
                self.used_parameters[name] = value[-1] if isinstance(value, list) else value

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name, *self.typed]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.periods.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        begins, ends = self.bounds()
        if begins is not None:
            queryset = queryset.filter(occurred_at__gte=begins)
        return queryset if ends is None else queryset.filter(occurred_at__lt=ends)

    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """From when and until when; None where that is open."""
        begins, ends = (self._instant(name) for name in self.typed)
        if begins is not None or ends is not None:
            return begins, ends
        value = self.value() or ""
        if value in self.periods:
            return timezone.now() - timedelta(days=int(value)), None
        return _read(value) or (None, None)

    def _instant(self, name: str) -> datetime | None:
        try:
            typed = datetime.strptime(self.used_parameters.get(name, ""), _TYPED).replace(tzinfo=self.zone)
        except ValueError:
            return None
        return typed if typed.year in _YEARS else None

    @property
    def begins(self) -> str:
        return self._shown(self.bounds()[0])

    @property
    def ends(self) -> str:
        return self._shown(self.bounds()[1])

    def _shown(self, instant: datetime | None) -> str:
        return "" if instant is None or self.value() in self.periods else f"{instant.astimezone(self.zone):{_TYPED}}"
