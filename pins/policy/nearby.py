"""PINs that a slip of the finger, or a threat, turns into each other.

Two live PINs that differ in one digit let a slip open as somebody else. The duress PIN is the plain one with
its last digit plus one, 9 becoming 0, so it lies among the neighbours and must be reserved with the PIN.
"""

_DIGITS = "0123456789"


def neighbours(pin: str) -> set[str]:
    """The PINs that differ from this one in exactly one digit: nine for each digit."""
    return {pin[:at] + digit + pin[at + 1 :] for at in range(len(pin)) for digit in _DIGITS if digit != pin[at]}


def slips(pin: str) -> set[str]:
    """The neighbours, and the PINs with two adjacent digits exchanged; never the PIN itself."""
    swapped = {pin[:at] + pin[at + 1] + pin[at] + pin[at + 2 :] for at in range(len(pin) - 1)}
    return (neighbours(pin) | swapped) - {pin}


def duress(pin: str) -> str:
    """The PIN that opens and raises a silent alarm: the last digit plus one, modulo 10."""
    return pin[:-1] + _DIGITS[(int(pin[-1]) + 1) % 10]
