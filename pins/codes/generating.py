"""PINs for other software, in the contract's words: what may be asked for, and the answer.

One table of parameters serves the query, the MCP tool and the terminal, so that a bad argument reads the same
everywhere. What cannot be read is 400, what can be read and not be had is 422.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from accounts.refusals import Refusal
from pins.generator import Space, SpaceTooSmall, draw, draw_distinct
from pins.policy import LONGEST, POLICY_VERSION, SHORTEST

_NUMBER = re.compile(r"[+-]?[0-9]+")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """A flag, or a whole number from `least` to `most`."""

    name: str
    default: int
    words: str
    least: int = 0
    most: int = 0

    @property
    def is_flag(self) -> bool:
        return isinstance(self.default, bool)

    @property
    def demand(self) -> str:
        """What is wrong with any other value."""
        if self.is_flag:
            return f"{self.name} must be true or false."
        return f"{self.name} must be a whole number from {self.least} to {self.most}."


PARAMETERS: Final = (
    Parameter("length", 4, "How many digits; 6 or more for sensitive use.", SHORTEST, LONGEST),
    Parameter("exclude_sequential", False, "No PIN that is one run, up or down, such as 1234 or 8901."),
    Parameter("exclude_repeated", False, "No PIN that is one digit repeated, such as 1111."),
    Parameter("exclude_weak", False, "No PIN that is easy to guess: dates, years, keypad shapes, common ones."),
    Parameter("count", 1, "How many different PINs.", 1, 100),
)


class Unreadable(Refusal):
    code = "validation_error"
    status = 400


class OutOfRange(Refusal):
    code = "validation_error"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for."""

    length: int = 4
    exclude_sequential: bool = False
    exclude_repeated: bool = False
    exclude_weak: bool = False
    count: int = 1


def order_of_texts(texts: Mapping[str, str | None]) -> Order:
    """Read a query: empty means absent, what is unknown is passed over; refuses the first bad argument."""
    wanted: dict[str, Any] = {}
    for parameter in PARAMETERS:
        if text := texts.get(parameter.name):
            wanted[parameter.name] = _of_text(parameter, text)
    return Order(**wanted)


def order_of_json(arguments: Mapping[str, Any]) -> Order:
    """Read JSON arguments: null means absent; refuses what is unknown too, since a misspelt flag would be unsafe."""
    known = {parameter.name: parameter for parameter in PARAMETERS}
    for name in arguments:
        if name not in known:
            raise Unreadable(f"There is no parameter “{name[:40]}”.", field=name[:40])
    given = {name: value for name, value in arguments.items() if value is not None}
    wanted: dict[str, Any] = {name: _of_json(known[name], value) for name, value in given.items()}
    return Order(**wanted)


def generated(order: Order) -> dict[str, Any]:
    """The answer: `pin`, its space in numbers, and `pins` where more than one was asked for."""
    space = Space(order.length, order.exclude_sequential, order.exclude_repeated, order.exclude_weak)
    try:
        pins = [draw(space)] if order.count == 1 else draw_distinct(space, order.count)
    except SpaceTooSmall as error:
        raise OutOfRange(str(error), field="count", value=order.count) from None
    answer = {
        "pin": pins[0],
        "length": order.length,
        "entropy_bits": round(space.entropy_bits, 2),
        "allowed_count": space.allowed_count,
        "policy": POLICY_VERSION,
    }
    return answer | {"pins": pins} if order.count > 1 else answer


def _of_text(parameter: Parameter, text: str) -> int:
    if parameter.is_flag:
        flag = _FLAGS.get(text.lower())
        if flag is None:
            raise Unreadable(parameter.demand, field=parameter.name, value=text[:100])
        return flag
    if not _NUMBER.fullmatch(text):
        raise Unreadable(parameter.demand, field=parameter.name, value=text[:100])
    # Python itself refuses to read thousands of digits.
    return _within(parameter, int(text) if len(text) <= 20 else -1, text[:100])


def _of_json(parameter: Parameter, value: Any) -> int:
    if parameter.is_flag or isinstance(value, bool):
        if parameter.is_flag and isinstance(value, bool):
            return value
        raise Unreadable(parameter.demand, field=parameter.name)
    # JSON Schema takes 6.0 for an integer.
    if not isinstance(value, int | float) or value != value // 1:
        raise Unreadable(parameter.demand, field=parameter.name)
    return _within(parameter, int(value), None)


def _within(parameter: Parameter, number: int, shown: str | None) -> int:
    if not parameter.least <= number <= parameter.most:
        raise OutOfRange(parameter.demand, field=parameter.name, value=shown)
    return number
