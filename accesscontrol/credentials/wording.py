"""How a PIN is written for people. Pure."""


def in_groups_of_digits(pin: str) -> str:
    """As it is read aloud: 123-456, 00-00-0000; shorter ones as they are."""
    if len(pin) <= 5:
        return pin
    if len(pin) == 8:
        return f"{pin[:2]}-{pin[2:4]}-{pin[4:]}"
    return f"{pin[:3]}-{pin[3:]}"
