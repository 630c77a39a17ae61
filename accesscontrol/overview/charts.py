"""Where the bars of a chart stand, in per cent of its plane; a template draws them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from accesscontrol.access.counting import Count

# Below it stand the names of the bars.
_FLOOR, _CEILING = 87.0, 4.0
_STEPS = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Period:
    """One bar: its name under it, what it is in words, and the lists behind its two numbers."""

    name: str
    words: str
    count: Count
    let_in_link: str
    not_let_in_link: str


@dataclass(frozen=True)
class Box:
    """A rectangle, in per cent."""

    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class Bar:
    period: Period
    middle: str
    # 0 for names that stand on a narrow screen, too; 1 for those of a wide one; 2 for none.
    rank: int
    let_in: Box
    not_let_in: Box


@dataclass(frozen=True)
class Chart:
    """Bars of two parts each, and lines that say how high they are."""

    bars: list[Bar]
    lines: list[tuple[str, str]]
    total: Count

    @property
    def is_empty(self) -> bool:
        return self.total.total == 0


def chart(periods: Sequence[Period], *, wide: int = 1, narrow: int = 1) -> Chart:
    """Stacked bars, as wide as there is room; every `wide`th is named, on a narrow screen every `narrow`th."""
    highest = top_of(max((period.count.total for period in periods), default=0))
    room = 100 / max(len(periods), 1)
    bars = []
    for number, period in enumerate(periods):
        let_in, rejected = (_height(part, highest) for part in (period.count.let_in, period.count.not_let_in))
        x, width = _percent(room * (number + 0.15)), _percent(room * 0.7)
        bars.append(
            Bar(
                period,
                middle=_percent(room * (number + 0.5)),
                rank=0 if number % narrow == 0 else 1 if number % wide == 0 else 2,
                let_in=Box(x, _percent(_FLOOR - let_in), width, _percent(let_in)),
                not_let_in=Box(x, _percent(_FLOOR - let_in - rejected), width, _percent(rejected)),
            )
        )
    parts = 2 if highest % 4 else 4
    lines = [(f"{highest * part // parts:,}", _percent(_FLOOR - _height(highest * part / parts, highest)))
             for part in range(parts + 1)]  # fmt: skip
    return Chart(bars, lines, sum((period.count for period in periods), Count()))


def top_of(most: int) -> int:
    """The round number at the top of a chart whose highest bar is this; it has a half without a fraction."""
    if most < 10:
        return max(most + most % 2, 2)
    magnitude: int = 10 ** int(log10(most))
    return next(step * magnitude for step in _STEPS if step * magnitude >= most)


def _height(value: float, highest: int) -> float:
    return (_FLOOR - _CEILING) * value / highest


def _percent(number: float) -> str:
    return f"{number:.3f}%"
