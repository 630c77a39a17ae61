"""How many wrong entries are free, what the next ones cost, and when they are forgotten."""

from dataclasses import dataclass
from datetime import timedelta

FOREVER = timedelta(days=36_500)
KEPT = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one kind of subject; the defaults are a door's.

    They leave 8,771 guesses a year: one an hour after the first eleven. `alarm_at` failures within `alarm_within`
    are an alarm (above 64 never); a success takes back slips of the last `takes_back`, or everything with
    `success_clears`.
    """

    free: int = 3
    first_wait: timedelta = timedelta(seconds=30)
    longest_wait: timedelta = timedelta(hours=1)
    forget_after: timedelta = timedelta(hours=1)
    alarm_at: int = 10
    alarm_within: timedelta = timedelta(hours=1)
    takes_back: timedelta = timedelta(minutes=1)
    repeats_count: bool = False
    success_clears: bool = False

    def __post_init__(self) -> None:
        if self.free < 0 or self.alarm_at < 1:
            raise ValueError("free must not be negative, and alarm_at at least 1")
        if not timedelta() < self.first_wait <= self.longest_wait <= FOREVER or self.forget_after <= timedelta():
            raise ValueError("waits must be positive, and the first no longer than the longest")

    def wait_after(self, failures: int) -> timedelta:
        """What the last of so many failures costs: nothing while free, then doubling up to the longest."""
        if failures <= self.free:
            return timedelta()
        wait = self.first_wait
        for _ in range(failures - self.free - 1):
            if wait >= self.longest_wait:
                break
            wait *= 2
        return min(wait, self.longest_wait)
