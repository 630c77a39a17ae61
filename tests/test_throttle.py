"""What wrong entries cost: the rules, a busy door's morning, an attacker's year, and the row that holds the lock."""

import random
import statistics
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accounts.tenancy import tenant_transaction
from pins.policy import slips
from pins.throttle.attempts import Counted, Subject, Try, Waiting, begin, lift, waiting
from pins.throttle.limits import FOREVER, Limits
from pins.throttle.models import Throttle
from pins.throttle.tries import State, counted, failures, remaining_wait, settled, taken_back

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DOOR = Limits()
# What is dead after five wrong tries, equal ones included.
ONE_TIME_CODE = Limits(
    free=4, first_wait=FOREVER, longest_wait=FOREVER, forget_after=FOREVER, alarm_at=5, repeats_count=True
)


def fail(state: State, *entries: str, now: datetime = NOW, limits: Limits = DOOR) -> State:
    for entry in entries:
        state, _ = counted(state, entry.encode(), limits, now)
    return state


def digests_of(entries: set[str]) -> set[bytes]:
    return {entry.encode() for entry in entries}


def entries(count: int, start: int = 0) -> list[str]:
    return [f"{start + number:06d}" for number in range(count)]


# The rules


def test_three_are_free_then_30_s_doubling_to_an_hour():
    state, now, waits = State(), NOW, []
    for entry in entries(14):
        state = fail(state, entry, now=now)
        waits.append(remaining_wait(state, now))
        now += waits[-1]
    assert waits[:3] == [timedelta()] * 3
    assert [wait.total_seconds() for wait in waits[3:]] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]


def test_one_failure_is_forgotten_per_hour_without_another():
    state = fail(State(), *entries(5))
    assert failures(state, DOOR, NOW + HOUR - SECOND) == 5
    assert failures(state, DOOR, NOW + HOUR) == 4
    assert failures(state, DOOR, NOW + 3 * HOUR) == 2
    assert settled(state, DOOR, NOW + 9 * HOUR) == State(wait_until=state.wait_until)
    later = fail(state, "900000", now=NOW + 50 * MINUTE)
    assert failures(later, DOOR, NOW + 70 * MINUTE) == 6
    assert failures(later, DOOR, NOW + 110 * MINUTE) == 5


def test_the_same_wrong_entry_counts_once_while_it_is_remembered():
    state = fail(State(), *["000001"] * 20)
    assert state.failures == 1
    assert not remaining_wait(state, NOW)
    again = fail(state, "000001", now=NOW + HOUR)
    assert (again.failures, again.quiet_since) == (1, NOW + HOUR)


def test_a_success_takes_back_slips_of_the_last_minute_and_nothing_else():
    near, swapped, far = "247816", "428715", "999999"
    state = fail(State(), near, now=NOW)
    state = fail(state, "247875", swapped, far, now=NOW + 61 * SECOND)
    after = taken_back(state, digests_of(slips("247815")), DOOR, NOW + 70 * SECOND)
    assert [failure.digest.decode() for failure in after.recent] == [near, swapped, far]
    assert after.failures == 3
    assert taken_back(state, digests_of(slips("135790")), DOOR, NOW + 70 * SECOND) == state


def test_what_is_due_without_the_slips_is_forgotten_with_them():
    state = fail(fail(State(), "999999", now=NOW), "247816", now=NOW + HOUR - SECOND)
    after = taken_back(state, digests_of(slips("247815")), DOOR, NOW + HOUR + SECOND)
    assert (after.failures, after.quiet_since, after.recent) == (0, None, ())


def test_the_minute_stands_still_during_a_wait():
    state = fail(State(), *entries(4))
    state = fail(state, "247816", now=NOW + 10 * MINUTE)
    assert remaining_wait(state, NOW + 10 * MINUTE) == MINUTE
    near = digests_of(slips("247815"))
    assert taken_back(state, near, DOOR, NOW + 11 * MINUTE + 5 * SECOND).failures == 4
    assert taken_back(state, near, DOOR, NOW + 12 * MINUTE + SECOND).failures == 5


def test_the_alarm_sounds_once_at_the_tenth_failure_within_an_hour():
    state, now, crossed = State(), NOW, []
    for entry in entries(12):
        state, rings = counted(state, entry.encode(), DOOR, now)
        crossed.append(rings)
        now += remaining_wait(state, now)
    assert [number for number, rings in enumerate(crossed, 1) if rings] == [10]
    slow = State()
    for number, entry in enumerate(entries(12)):
        slow, rings = counted(slow, entry.encode(), DOOR, NOW + number * 7 * MINUTE)
        assert not rings


def test_a_one_time_code_is_dead_after_its_tries_even_when_they_are_equal():
    limits = ONE_TIME_CODE
    state = fail(State(), *["111111"] * 4, limits=limits)
    assert not remaining_wait(state, NOW)
    state, crossed = counted(state, b"111111", limits, NOW)
    assert crossed
    assert remaining_wait(state, NOW) == FOREVER


def test_limits_that_make_no_sense_are_refused():
    for wrong in ({"free": -1}, {"first_wait": timedelta()}, {"longest_wait": SECOND}, {"alarm_at": 0}):
        with pytest.raises(ValueError, match="must"):
            Limits(**wrong)


gaps = st.timedeltas(timedelta(), timedelta(hours=5))
steps = st.lists(st.tuples(gaps, st.sampled_from(entries(8))), max_size=40)


@given(steps)
def test_a_take_back_leaves_things_as_if_the_slips_had_never_been_typed(history):
    state, now = State(), NOW
    for gap, entry in history:
        now += gap
        state = fail(state, entry, now=now)
    before = settled(state, DOOR, now)
    slipped = ["247816", "247825"]
    after = taken_back(fail(before, *slipped, now=now + SECOND), digests_of(slips("247815")), DOOR, now + 2 * SECOND)
    expected = settled(before, DOOR, now + 2 * SECOND)
    assert (after.failures, after.quiet_since, after.recent) == (
        expected.failures,
        expected.quiet_since,
        expected.recent,
    )


@given(steps)
def test_failures_never_grow_without_a_try_and_all_is_forgotten_in_the_end(history):
    state, now = State(), NOW
    for gap, entry in history:
        now += gap
        earlier = failures(state, DOOR, now)
        state = fail(state, entry, now=now)
        assert state.failures in (earlier, earlier + 1)
        assert len(state.recent) == min(state.failures, 64)
        assert failures(state, DOOR, now - MINUTE) == state.failures
    assert failures(state, DOOR, now + 41 * HOUR) == 0


@given(st.lists(st.timedeltas(timedelta(), timedelta(hours=4)), max_size=300))
def test_no_rhythm_of_guessing_gets_more_than_eleven_tries_and_one_an_hour(patience):
    state, now = State(), NOW
    for number, pause in enumerate(patience):
        now += remaining_wait(state, now) + pause
        state = fail(state, f"{number:06d}", now=now)
        assert number + 1 <= 11 + (now - NOW) / HOUR


# A busy door's morning: one keypad, so whoever waits stands in line, and a slip is corrected by whoever stands there


def morning(seed: int, *, take_back: bool = True) -> float:
    """Minutes of waiting in three hours with 800 people, each entry slipping one time in twenty."""
    luck = random.Random(seed)
    state, clock, waited = State(), NOW, timedelta()
    for arrival in sorted(luck.uniform(0, 3 * 3600) for _ in range(800)):
        clock = max(clock, NOW + timedelta(seconds=arrival))
        pin = f"{luck.randrange(10**6):06d}"
        while True:
            wait = remaining_wait(state, clock)
            waited += wait
            clock += wait + timedelta(seconds=luck.uniform(2, 5))
            if luck.random() >= 0.05:
                if take_back and state.recent:
                    state = taken_back(state, digests_of(slips(pin)), DOOR, clock)
                break
            state = fail(state, luck.choice(sorted(slips(pin))), now=clock)
            if luck.random() >= 0.9:
                break
    return waited / MINUTE


def test_a_busy_door_stays_usable():
    waits = sorted(morning(seed) for seed in range(200))
    without = statistics.median(morning(seed, take_back=False) for seed in range(20))
    print(
        f"median {statistics.median(waits):.1f} min, 75th {waits[149]:.1f}, 90th {waits[179]:.1f}, max {waits[-1]:.1f}"
    )
    assert statistics.median(waits) <= 10
    assert waits[149] <= 60
    assert without > 20 * 60


# An attacker's year at that door


def greedy(state: State, now: datetime, luck: random.Random) -> datetime:
    return now + remaining_wait(state, now)


def patient(state: State, now: datetime, luck: random.Random) -> datetime:
    """Waits until the free tries are back, then uses them up."""
    free = DOOR.free - failures(state, DOOR, now)
    return now if free > 0 else now + 4 * HOUR


def cheap(state: State, now: datetime, luck: random.Random) -> datetime:
    """Never accepts a wait above two minutes."""
    wait = remaining_wait(state, now)
    return now + wait if failures(state, DOOR, now) < 7 else now + max(wait, HOUR)


def erratic(state: State, now: datetime, luck: random.Random) -> datetime:
    return now + remaining_wait(state, now) + timedelta(seconds=luck.choice([0, 1, 600, 3000, 3600, 20_000]))


@pytest.mark.parametrize("strategy", [greedy, patient, cheap, erratic])
def test_an_attacker_has_fewer_than_9000_guesses_a_year(
    strategy: Callable[[State, datetime, random.Random], datetime],
):
    luck = random.Random(7)
    state, now, guesses = State(), NOW, 0
    while True:
        now = strategy(state, now, luck)
        if now >= NOW + timedelta(days=365):
            break
        if not remaining_wait(state, now):
            state = fail(state, f"guess {guesses}", now=now)
            guesses += 1
    print(strategy.__name__, guesses)
    assert guesses < 9000


def test_honest_people_give_an_attacker_hardly_a_guess():
    """At the worst place, a busy door with 4-digit PINs, successes take back guesses that happen to be near."""
    luck, days = random.Random(11), 30
    state, guesses = State(), 0
    for day in range(days):
        start = NOW + timedelta(days=day)
        for second in sorted(luck.uniform(0, 3 * 3600) for _ in range(800)):
            now = start + timedelta(seconds=second)
            if not remaining_wait(state, now):
                state = fail(state, f"{luck.randrange(10**4):04d}", now=now)
                guesses += 1
            if not remaining_wait(state, now):
                state = taken_back(state, digests_of(slips(f"{luck.randrange(10**4):04d}")), DOOR, now)
        now = start + 3 * HOUR
        while (now := now + remaining_wait(state, now)) < start + timedelta(days=1):
            state = fail(state, f"{luck.randrange(10**4):04d}", now=now)
            guesses += 1
    assert guesses / days * 365 < 9000


# The row and its lock

FRONT = Subject("channel", "1")


def attempt(subject: Subject, entry: str, *, now: datetime = NOW, limits: Limits = DOOR) -> Try:
    found = begin(subject, limits, now, entry=entry)
    assert isinstance(found, Try)
    return found


def test_a_wait_is_an_answer_and_costs_nothing(acme):
    for entry in entries(3):
        assert attempt(FRONT, entry).wrong().retry_after is None
    assert attempt(FRONT, "000003").wrong() == Counted(4, 30, crossed=False)
    kept = Throttle.objects.values().get()
    assert begin(FRONT, DOOR, NOW + timedelta(seconds=10.5), entry="000004") == Waiting(20)
    assert Throttle.objects.values().get() == kept
    assert isinstance(begin(FRONT, DOOR, NOW + 30 * SECOND, entry="000004"), Try)
    assert isinstance(begin(Subject("channel", "2"), DOOR, NOW, entry="000004"), Try)


def test_a_success_takes_slips_back_and_a_spared_try_changes_nothing(acme):
    attempt(FRONT, "247816").wrong()
    attempt(FRONT, "999999").wrong()
    attempt(FRONT, "247815", now=NOW + 5 * SECOND).spared()
    assert Throttle.objects.get().failures == 2
    attempt(FRONT, "247815", now=NOW + 5 * SECOND).right("247815")
    row = Throttle.objects.get()
    assert (row.failures, row.quiet_since, len(row.recent)) == (1, NOW, 1)


def test_a_success_clears_an_account_where_its_limits_say_so(acme):
    limits = Limits(free=5, success_clears=True)
    for entry in entries(5):
        attempt(FRONT, entry, limits=limits).wrong()
    attempt(FRONT, "247815", limits=limits).right()
    assert Throttle.objects.get().failures == 0


def test_it_takes_one_lock_and_at_most_one_update(acme):
    def statements(act: Callable[[], object]) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            act()
        return [query["sql"].split()[0] for query in captured]

    assert statements(lambda: attempt(FRONT, "000001").wrong()) == ["SELECT", "INSERT", "UPDATE"]
    assert statements(lambda: attempt(FRONT, "000001").wrong()) == ["SELECT"]
    assert statements(lambda: attempt(FRONT, "000002").wrong()) == ["SELECT", "UPDATE"]
    assert statements(lambda: attempt(FRONT, "000009").right("000009")) == ["SELECT", "UPDATE"]
    assert statements(lambda: attempt(FRONT, "000009").right("000009")) == ["SELECT"]
    assert statements(lambda: attempt(FRONT, "000009").spared()) == ["SELECT"]


def test_a_wait_is_listed_and_lifted(acme):
    for entry in entries(4):
        attempt(FRONT, entry).wrong()
    assert waiting("channel", NOW) == {"1": NOW + 30 * SECOND}
    assert waiting("channel", NOW + 30 * SECOND) == waiting("account", NOW) == {}
    assert lift(FRONT)
    assert not lift(FRONT)
    assert waiting("channel", NOW) == {}
    assert attempt(FRONT, "000009").wrong() == Counted(1, None, crossed=False)


def test_neither_row_nor_repr_holds_what_was_typed(acme):
    tried = attempt(FRONT, "48151623")
    assert "48151623" not in repr(tried) + repr(vars(tried)) + repr(tried.wrong())
    assert "48151623" not in repr(Throttle.objects.values().get())


@pytest.fixture
def race(live) -> Callable[[Callable[[int], object]], list[object]]:
    """Run one function in 32 threads at once, each in its own transaction for Acme."""

    def run(act: Callable[[int], object], parallel: int = 32) -> list[object]:
        start, results = threading.Barrier(parallel), []

        def one(number: int) -> None:
            try:
                start.wait()
                with tenant_transaction(live.acme.pk):
                    results.append(act(number))
            except Exception as error:  # noqa: BLE001
                results.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=one, args=(number,)) for number in range(parallel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run


def test_32_parallel_guesses_share_no_try(race, live):
    def guess(number: int) -> object:
        found = begin(FRONT, DOOR, NOW, entry=f"{number:06d}")
        return found.wrong() if isinstance(found, Try) else found

    results = race(guess)
    assert sorted(result.failures for result in results if isinstance(result, Counted)) == [1, 2, 3, 4]
    assert results.count(Waiting(30)) == 28
    with tenant_transaction(live.acme.pk):
        assert Throttle.objects.get().failures == 4


def test_of_32_parallel_tries_five_reach_a_one_time_code(race):
    limits = ONE_TIME_CODE

    def guess(number: int) -> object:
        found = begin(Subject("code", "abc"), limits, NOW, entry="111111")
        return found.wrong() if isinstance(found, Try) else found

    results = race(guess)
    assert sum(isinstance(result, Counted) for result in results) == 5
    assert sum(isinstance(result, Waiting) for result in results) == 27


def test_it_needs_the_transaction_that_holds_the_lock(live):
    with pytest.raises(Exception, match=r"no tenant|transaction"):
        begin(FRONT, DOOR, NOW, entry="000000")
    with tenant_transaction(live.acme.pk):
        attempt(FRONT, "000000").wrong()
    with tenant_transaction(live.globex.pk):
        assert not Throttle.objects.exists()
        assert attempt(FRONT, "000000").wrong().failures == 1
