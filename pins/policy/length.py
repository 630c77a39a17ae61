"""How long a PIN must be where N people's PINs are all accepted, and what guessing is worth there.

A guess needs no name at a door: every live PIN is a target, so the odds grow with their number.
`max(5, 4 + ceil(log10 N))` digits keep ten guesses at or below 1 in 1,000.
"""

from math import expm1, floor, log1p, log10

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def recommended_length(active: int, shortest: int, longest: int) -> int:
    """Digits for a keypad that accepts `active` PINs: max(5, 4 + ceil(log10 N)) within the keypad's range."""
    # The digits of N - 1 are ceil(log10 N), without the rounding of a logarithm.
    needed = max(5, 4 + len(str(active - 1))) if active > 1 else 5
    return min(max(needed, shortest), longest)


def guess_odds(active: int, length: int, guesses: int = 10) -> float:
    """Probability that k guesses open a door with N = `active` random PINs: 1 - C(M-N, k) / C(M, k)."""
    if active < 0 or guesses < 0 or length < 1:
        raise ValueError("PINs, digits and guesses are counted from 0, 1 and 0.")
    space = 10**length
    fewer, more = sorted((active, guesses))
    if fewer + more > space:
        return 1.0
    if fewer == 0:
        return 0.0
    return -expm1(sum(log1p(-more / (space - turn)) for turn in range(fewer)))


def odds_in_words(active: int, length: int, guesses: int = 10) -> str:
    """The guessing odds as a phrase, two leading digits: "about 1 in 2,500 for ten tries"."""
    counted = _NUMBERS[guesses] if guesses < len(_NUMBERS) else f"{guesses:,}"
    tries = f"{counted} try" if guesses == 1 else f"{counted} tries"
    odds = guess_odds(active, length, guesses)
    if odds == 0:
        return f"none for {tries}"
    if odds > 2 / 3:
        return f"almost certain for {tries}" if odds > 0.95 else f"more likely than not for {tries}"
    whole = 1 / odds
    step = 10 ** max(0, floor(log10(whole)) - 1)
    return f"about 1 in {round(whole / step) * step:,} for {tries}"
