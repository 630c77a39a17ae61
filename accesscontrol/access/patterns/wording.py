"""The rules in plain words, with the numbers of the tenant."""

from accesscontrol.access.models import Alarm, PatternRules

LABELS = {
    "wrong_pins_count": "Wrong PINs",
    "wrong_pins_minutes": "Within (minutes)",
    "two_sites_minutes": "Within (minutes)",
    "unusual_hours_days": "Came on at least (days)",
    "unusual_hours_apart": "At least so far from any usual time (hours)",
    "expired_pins_count": "Tries",
    "expired_pins_hours": "Within (hours)",
    "shared_pin_times": "Times the daily average",
    "shared_pin_count": "And at least (uses)",
}

_SENTENCES = {
    Alarm.Kind.WRONG_PINS: "{wrong_pins_count} or more wrong PINs at one door within {wrong_pins_minutes} minutes. "
    "Tries while the door makes everybody wait are not counted.",
    Alarm.Kind.TWO_SITES: "The same PIN or card at two sites within {two_sites_minutes} minutes, let in or not. "
    "Shared PINs are left out: they are in many hands.",
    Alarm.Kind.UNUSUAL_HOURS: "Somebody who came on {unusual_hours_days} or more days of the last 8 weeks is let in "
    "{unusual_hours_apart} hours or more from any time at which they came. Working days and weekends are told apart; "
    "visitors and shared PINs are left out.",
    Alarm.Kind.EXPIRED_PINS: "Somebody's expired PIN or card is tried {expired_pins_count} or more times within "
    "{expired_pins_hours} hours, at any door.",
    Alarm.Kind.SHARED_PIN: "A shared PIN is used {shared_pin_count} or more times within 24 hours, and "
    "{shared_pin_times} or more times as often as on an average day of the 4 weeks before. It is known for a week.",
}


def sentence(kind: Alarm.Kind, rules: PatternRules) -> str:
    """What the rule says; empty where the alarm is no pattern."""
    words = _SENTENCES.get(kind, "")
    return words.format(**{name: getattr(rules, name) for name in LABELS})
