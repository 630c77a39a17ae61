from datetime import date, timedelta
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise, product
from math import ceil, comb, log10
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pins import blocklists, policy
from pins.blocklists import build
from pins.policy import (
    all_same,
    duress,
    guess_odds,
    neighbours,
    odds_in_words,
    personal,
    recommended_length,
    single_run,
    slips,
    weak_pins,
    weakness,
)
from pins.policy.weak import ruled

LISTS = Path(blocklists.__file__).parent
pins = st.text("0123456789", min_size=4, max_size=12)


VERSIONED = (
    "2026.1",
    [
        "08dd2bcd037b",
        "5cecc354aee6",
        "fa472856a209",
        "1517e1abbb81",
        "99bbe112bc1d",
        "3a082511c02a",
        "606c8e9c05fa",
        "f96adaced9eb",
        "83af24d0feb6",
    ],
)


def every(length: int) -> list[str]:
    return list(map("".join, product("0123456789", repeat=length)))


def digest(length: int) -> str:
    return sha256(",".join(map(str, weak_pins(length))).encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("code", "examples"),
    [
        ("repeated", "0000 1111 55555 666666 7777777 99999999 888888888888"),
        (
            "run",
            "1234 4321 7890 9012 0987 2109 123456 654321 890123 1234567 87654321 1234567890 012345678901",
        ),
        ("step", "2468 1357 13579 246802 97531 9630 741852963"),
        ("well_known", "5683 1337 5150 8675309 5201314 314159 112358 142857 31415926 520131 24601"),
        ("year", "1900 1984 2007 2029 199012 19841986 19877"),
        ("block", "1212 6969 121212 123123 420420 007007 12341234 1231231 12312 123412341234 11211121"),
        ("mirror", "1221 7007 12321 123321 110011 1234321 12344321"),
        ("doubled", "1122 9944 112233 778899 11223344 111222333 11223 1122334"),
        ("date", "1225 3112 2512 0704 311299 123199 991231 290200 02292000 31121999 19991231 4072001 102030"),
        (
            "keypad",
            "2580 0852 1478 3214 1379 2486 1590 147258 159753 789456 14725 1236987 12369 123789 456123",
        ),
        ("joined_runs", "100000 222223 567123 12345679 22345 1111111115 123498"),
        ("counting", "8889 142536 192837 10203 1020304 12131415 757677"),
        ("round", "5000 9000"),
        ("ordered", "124689 124356 97542 135246"),
        ("two_digits", "474477 595955 11211221"),
        ("halves", "5201352013 142857142857 1342513425"),
        ("joined", "123420 1234007 786420 666911"),
        ("common", "1342 4200 0786 12413 15963"),
    ],
)
def test_famous_pins_are_weak_and_say_why(code: str, examples: str) -> None:
    for pin in examples.split():
        found = weakness(pin)
        assert (pin, found.code if found else None) == (pin, code)
        assert found is not None
        assert found.words


# The all-digit passwords that every published list of six digits opens with, from general knowledge.
SIX = """
 123456 111111 123123 654321 666666 112233 121212 159753 147258 789456 131313 101010 232323 520131 110110
010203 142536 292513 696969 123321 456789 159357 258456 456123 147852 852456 951753 741852 135790 246810
102030 112358 314159 987654 222333 420420 007007 252525 321321 242424 151515 789789 963852 111222 124578
987456 753951 159951 134679 147896 123654 123789 321654 987321 852963 369258 789123 369369 147147 753159
112211 100200 123400 123450 123457 123459 234567 567890 098765 543210 012345 120120 121314 212223 101112
111213 192021 010101 050505 070707 225588 114477 336699 445566 998877 332211 113355 135135 111000 000111
001100 100100 100001 200000 100000 111112 112112 415263 741963 369147 321456 741258 123698 789632 142857
520520 168168 584520 110119 911911 786786 777888 555666 201314 131420 122333 121121 132435 102938 918273
203040 357357 123666 123777 111123 123444 000123 123007 311299 123199 991231 250587 070789 198512
"""


def test_the_usual_six_digits_are_weak() -> None:
    assert [pin for pin in SIX.split() if weakness(pin) is None] == []


@pytest.mark.parametrize(
    "pin",
    [
        "8068",
        "7394",
        "9362",
        "6835",
        "47249",
        "57062",
        "991867",
        "306551",
        "945445",
        "418944",
        "8091821",
        "91949556",
        "73561463",
        "304915827",
        "8046139275",
        "73061945288",
        "604918372651",
    ],
)
def test_ordinary_pins_pass(pin: str) -> None:
    assert weakness(pin) is None


def test_the_cost_of_the_policy_stays_in_its_budget() -> None:
    assert len(weak_pins(4)) <= 1_500
    for length in range(5, 13):
        assert len(weak_pins(length)) <= 10**length // 10


@pytest.mark.parametrize("length", range(4, 13))
def test_weak_pins_are_ascending_and_of_that_length(length: int) -> None:
    numbers = weak_pins(length)

    assert all(one < other for one, other in pairwise(numbers))
    assert 0 <= numbers[0] <= numbers[-1] < 10**length


@pytest.mark.parametrize("length", [4, 5, 6])
def test_weakness_and_weak_pins_agree_on_every_pin(length: int) -> None:
    assert [int(pin) for pin in every(length) if weakness(pin) is not None] == list(weak_pins(length))


@settings(deadline=None)
@given(st.integers(7, 12), st.data())
def test_weakness_and_weak_pins_agree_on_longer_pins(length: int, data: st.DataObject) -> None:
    numbers = weak_pins(length)
    at = data.draw(st.integers(0, len(numbers) - 1))
    weak = numbers[at]
    near = (weak + data.draw(st.integers(0, 3))) % 10**length

    assert weakness(f"{weak:0{length}d}") is not None
    assert (weakness(f"{near:0{length}d}") is not None) == (near in numbers)


def told(pin: str) -> bool:
    """The rules once more, each as a question to one PIN."""
    half = len(pin) // 2
    steps = {(int(other) - int(one)) % 10 for one, other in pairwise(pin)}
    runs = "01234567890123456789 98765432109876543210 " + " ".join(digit * 9 for digit in "0123456789")
    return (
        len(steps) == 1
        or pin[:half] * 2 == pin
        or pin[:2] * 3 == pin + pin[:2] * (3 - half)
        or pin == pin[::-1]
        or (len(pin) % 2 == 0 and pin[::2] == pin[1::2])
        or (len(pin) > 4 and len(set(pin)) <= 2)
        or (len(pin) > 4 and (list(pin) == sorted(set(pin)) or list(pin[::-1]) == sorted(set(pin))))
        or (len(pin) > 4 and any(pin[:cut] in runs and pin[cut:] in runs for cut in range(1, len(pin))))
        or (len(pin) == 4 and (1900 <= int(pin) < 2030 or int(pin[2:]) == (int(pin[:2]) + 1) % 100))
        or (len(pin) in (4, 6) and dated(pin))
    )


DAYS = {(date(2000, 1, 1) + timedelta(days)).strftime("%m%d") for days in range(366)}


def dated(pin: str) -> bool:
    first, second, last = pin[:2], pin[2:4], pin[-2:]
    orders = {first + second, second + first} | ({second + last} if len(pin) == 6 else set())
    return not orders.isdisjoint(DAYS)


@pytest.mark.parametrize(("length", "stride"), [(4, 1), (5, 1), (6, 7), pytest.param(6, 1, marks=pytest.mark.heavy)])
def test_every_pin_that_a_rule_describes_is_weak(length: int, stride: int) -> None:
    weak = set(weak_pins(length))

    assert [pin for pin in every(length)[::stride] if int(pin) not in weak and told(pin)] == []


@pytest.mark.parametrize("order", ["%d%m%Y", "%m%d%Y", "%Y%m%d", "%d%m%y", "%m%d%y", "%y%m%d", "%d%m", "%m%d", "%Y"])
@given(st.dates(date(1900, 1, 1), date(2029, 12, 31)))
def test_every_date_is_weak_in_every_usual_order(order: str, day: date) -> None:
    assert weakness(day.strftime(order)) is not None


@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12a4", "１２３４", "12 4", "-1234", "12.34"])
@pytest.mark.parametrize("question", [weakness, personal, single_run, all_same])
def test_what_is_no_pin_is_refused_without_repeating_it(question, pin: str) -> None:
    with pytest.raises(ValueError, match="4 to 12 digits") as refused:
        question(pin)

    assert not pin or pin not in str(refused.value)


@pytest.mark.parametrize("length", [3, 13])
def test_there_are_no_weak_pins_of_other_lengths(length: int) -> None:
    with pytest.raises(ValueError, match="4 to 12 digits"):
        weak_pins(length)


def test_a_changed_policy_has_a_new_version() -> None:
    # When this fails, a rule or a list has changed: raise POLICY_VERSION, and write the new digests here.
    assert (policy.POLICY_VERSION, [digest(length) for length in range(4, 13)]) == VERSIONED


@pytest.mark.parametrize("length", range(4, 13))
def test_the_two_flags_are_twenty_runs_and_ten_repeats(length: int) -> None:
    candidates = {
        "".join(str((start + step * at) % 10) for at in range(length)) for start in range(10) for step in range(10)
    }

    assert sum(map(single_run, candidates)) == 20
    assert sum(map(all_same, candidates)) == 10
    assert all(weakness(pin) is not None for pin in candidates)


@given(pins)
def test_the_two_flags_say_what_they_say(pin: str) -> None:
    steps = {(int(other) - int(one)) % 10 for one, other in pairwise(pin)}

    assert single_run(pin) == (steps in ({1}, {9}))
    assert all_same(pin) == (steps == {0})


@pytest.mark.parametrize(
    ("code", "examples"),
    [
        ("birthday", "0507 0705 1985 5785 050785 070585 850705 051985 05071985 905071985 571985"),
        ("phone", "5309 555309 8675 415867 3092 7953092"),
        ("number", "0042 00042 7719 771934 934882 4882"),
    ],
)
def test_what_tells_of_the_holder_is_weak_for_them(code: str, examples: str) -> None:
    for pin in examples.split():
        found = personal(
            pin,
            birthdays=[date(1985, 7, 5)],
            phones=["+1 (415) 867-5309", "3092"],
            numbers=["42", "B-771934882"],
        )

        assert (pin, found.code if found else None) == (pin, code)


def test_what_does_not_tell_of_the_holder_passes() -> None:
    known = {
        "birthdays": [date(1985, 7, 5)],
        "phones": ["+1 415 867 5309", ""],
        "numbers": ["42", "771934882", "n/a"],
    }

    assert [pin for pin in ("4242", "0421", "5308", "1986", "850814", "6068") if personal(pin, **known)] == []
    assert personal("0507") is None


@given(st.dates(date(1900, 1, 1), date(2029, 12, 31)), pins)
def test_a_birthday_says_more_than_chance(day: date, pin: str) -> None:
    assert personal(day.strftime("%d%m%Y"), birthdays=[day]) is not None
    assert personal(day.strftime("%y%m%d") + "97", birthdays=[day]) is not None
    assert personal(pin, birthdays=[]) is None


@pytest.mark.parametrize(
    ("active", "length"),
    [
        (0, 5),
        (1, 5),
        (2, 5),
        (10, 5),
        (11, 6),
        (20, 6),
        (100, 6),
        (101, 7),
        (1_000, 7),
        (1_001, 8),
        (10_000, 8),
    ],
)
def test_the_length_follows_from_the_pins_a_keypad_accepts(active: int, length: int) -> None:
    assert recommended_length(active, 4, 12) == length
    assert recommended_length(active, 4, 5) == 5
    assert recommended_length(active, 9, 12) == 9


@given(st.integers(1, 10**8))
def test_the_recommended_length_keeps_ten_guesses_at_one_in_a_thousand(active: int) -> None:
    length = recommended_length(active, 4, 12)

    assert guess_odds(active, length) <= 0.001 * (1 + 1e-6)
    assert length == max(5, 4 + ceil(round(log10(active), 9)))


@given(st.integers(0, 10**4), st.integers(0, 60))
def test_guess_odds_are_exact(active: int, guesses: int) -> None:
    exact = 1 - Fraction(comb(10**4 - active, guesses), comb(10**4, guesses))

    assert guess_odds(active, 4, guesses) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("active", "length", "guesses", "words"),
    [
        (1, 4, 10, "about 1 in 1,000 for ten tries"),
        (4, 5, 10, "about 1 in 2,500 for ten tries"),
        (100, 6, 5, "about 1 in 2,000 for five tries"),
        (3, 8, 1, "about 1 in 33,000,000 for one try"),
        (500, 4, 10, "about 1 in 2 for ten tries"),
        (2_000, 4, 10, "more likely than not for ten tries"),
        (5_000, 4, 25, "almost certain for 25 tries"),
        (0, 4, 10, "none for ten tries"),
    ],
)
def test_odds_are_told_in_words(active: int, length: int, guesses: int, words: str) -> None:
    assert odds_in_words(active, length, guesses) == words


@pytest.mark.parametrize(("active", "length", "guesses"), [(-1, 4, 10), (1, 0, 10), (1, 4, -1)])
def test_odds_of_nothing_are_refused(active: int, length: int, guesses: int) -> None:
    with pytest.raises(ValueError, match="counted from"):
        guess_odds(active, length, guesses)


@given(pins)
def test_neighbours_differ_in_one_digit(pin: str) -> None:
    near = neighbours(pin)

    assert len(near) == 9 * len(pin)
    assert all(sum(one != other for one, other in zip(pin, each, strict=True)) == 1 for each in near)
    assert duress(pin) in near
    assert near <= slips(pin)
    assert pin not in slips(pin)


def test_slips_add_swaps_of_neighbouring_digits() -> None:
    assert slips("1223") - neighbours("1223") == {"2123", "1232"}


@pytest.mark.parametrize(("pin", "under_duress"), [("2121", "2122"), ("0009", "0000"), ("48210", "48211")])
def test_duress_is_the_last_digit_plus_one(pin: str, under_duress: str) -> None:
    assert duress(pin) == under_duress


@pytest.mark.parametrize("name", ["parts_3", "parts_4", "common_4", "common_5"])
def test_a_built_list_names_its_origin_and_repeats_nothing(name: str) -> None:
    text = (LISTS / f"{name}.txt").read_text(encoding="ascii")
    listed = [line for line in text.splitlines() if not line.startswith("#")]

    assert "MIT, Copyright (c) 2024 Slon104" in text
    assert len(listed) == len(set(listed))
    assert {len(pin) for pin in listed} == {int(name[-1])}
    if name.startswith("common"):
        assert not set(map(int, listed)) & ruled(int(name[-1])).keys()


def test_the_builder_measures_what_remains(tmp_path: Path) -> None:
    counts = tmp_path / "counts.txt"
    counts.write_text("1234 : 60\n8068 : 10\n7394 : 30\n")

    assert build.read(counts) == {"1234": 60, "7394": 30, "8068": 10}
    assert build.unruled(build.read(counts), 4) == ["7394", "8068"]
    assert build.left(build.read(counts), {1234}) == "100.00 / 100.00 / 100.00"
    assert len(list(build.measured([counts]))) == 7
