"""Which PINs are weak, how long a PIN must be, and which lie too close to each other.

Pure: no clock, no database, no files but the packaged lists. The rules stand in `patterns`, `keypad`, `dates`
and `known`, split by what they know; `weak` asks them all.
"""

from pins.policy.length import guess_odds, odds_in_words, recommended_length
from pins.policy.nearby import duress, neighbours, slips
from pins.policy.weak import (
    LONGEST,
    POLICY_VERSION,
    SHORTEST,
    Weakness,
    all_same,
    personal,
    single_run,
    weak_pins,
    weakness,
)

__all__ = [
    "LONGEST",
    "POLICY_VERSION",
    "SHORTEST",
    "Weakness",
    "all_same",
    "duress",
    "guess_odds",
    "neighbours",
    "odds_in_words",
    "personal",
    "recommended_length",
    "single_run",
    "slips",
    "weak_pins",
    "weakness",
]
