import ast
import secrets
from collections import Counter
from itertools import islice, pairwise, permutations, product
from math import exp, factorial, log2, prod, sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pins import generator
from pins.generator import Space, SpaceTooSmall, draw, draw_distinct, shuffled
from pins.policy import weak_pins

FLAGS = list(product((False, True), repeat=3))
spaces = st.builds(Space, st.integers(4, 12), st.booleans(), st.booleans(), st.booleans())


def chi_square_limit(freedom: int) -> float:
    # Wilson and Hilferty's approximation at alpha 1e-6: the normal quantile is 4.7534.
    return freedom * (1 - 2 / (9 * freedom) + 4.7534 * sqrt(2 / (9 * freedom))) ** 3


def assert_fits(observed: Counter[str], expected: dict[str, float]) -> None:
    assert observed.keys() <= {cell for cell, count in expected.items() if count}
    statistic = sum((observed[cell] - count) ** 2 / count for cell, count in expected.items() if count)
    assert statistic < chi_square_limit(sum(1 for count in expected.values() if count) - 1)


def test_the_limit_is_that_of_alpha_one_in_a_million() -> None:
    for freedom in (10, 100):
        half = chi_square_limit(freedom) / 2
        # The exact tail of chi-square, which for an even number of degrees of freedom is Poisson's.
        tail = exp(-half) * sum(half**term / factorial(term) for term in range(freedom // 2))
        assert 0.5e-6 < tail < 1.1e-6


def excluded_by(length: int, sequential: bool, repeated: bool, weak: bool) -> set[str]:
    excluded = {f"{number:0{length}d}" for number in weak_pins(length)} if weak else set()
    if sequential:
        excluded |= {"01234567890123456789"[at : at + length][::way] for at in range(10) for way in (1, -1)}
    if repeated:
        excluded |= {digit * length for digit in "0123456789"}
    return excluded


@pytest.mark.parametrize("length", [4, 5])
@pytest.mark.parametrize("flags", FLAGS)
def test_unrank_maps_ranks_one_to_one_onto_the_allowed_pins(length: int, flags: tuple[bool, bool, bool]) -> None:
    space = Space(length, *flags)
    excluded = excluded_by(length, *flags)
    allowed = [pin for pin in map("".join, product("0123456789", repeat=length)) if pin not in excluded]

    assert [space.unrank(rank) for rank in range(space.allowed_count)] == allowed
    assert [space.rank(pin) for pin in allowed] == list(range(len(allowed)))
    assert not any(map(space.allows, excluded))


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(flags, marks=[pytest.mark.heavy] if flags[0] != flags[1] and not flags[2] else [])
        for flags in FLAGS
    ],
)
def test_unrank_maps_ranks_one_to_one_at_six_digits(flags: tuple[bool, bool, bool]) -> None:
    space = Space(6, *flags)
    sequential, repeated, weak = flags
    if weak and (sequential or repeated):
        # Runs and repeats are weak anyway, so the sets are one and need one proof.
        assert space._gaps == Space(6, exclude_weak=True)._gaps
        return

    excluded = set(map(int, excluded_by(6, *flags)))
    allowed = [number for number in range(10**6) if number not in excluded]

    assert list(map(int, map(space.unrank, range(space.allowed_count)))) == allowed


@settings(deadline=None)
@given(spaces, st.data())
def test_rank_and_unrank_are_inverse(space: Space, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, space.allowed_count - 1))

    pin = space.unrank(rank)

    assert len(pin) == space.length
    assert space.allows(pin)
    assert space.rank(pin) == rank


@settings(deadline=None)
@given(spaces)
def test_the_ends_of_a_space(space: Space) -> None:
    descending = map(str, range(10**space.length - 1, 0, -1))

    assert space.unrank(space.allowed_count - 1) == next(pin for pin in descending if space.allows(pin))
    for outside in (-1, space.allowed_count):
        with pytest.raises(IndexError):
            space.unrank(outside)


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (Space(4), 10_000),
        (Space(4, exclude_sequential=True), 9_980),
        (Space(4, exclude_repeated=True), 9_990),
        (Space(4, exclude_sequential=True, exclude_repeated=True), 9_970),
        (Space(12, exclude_sequential=True, exclude_repeated=True), 10**12 - 30),
        (Space(6, exclude_weak=True), 10**6 - len(weak_pins(6))),
    ],
)
def test_entropy_is_log2_of_what_could_come_out(space: Space, count: int) -> None:
    assert space.allowed_count == count
    assert space.entropy_bits == log2(count)


@pytest.mark.parametrize("length", [-1, 0, 3, 13])
def test_a_space_has_4_to_12_digits(length: int) -> None:
    with pytest.raises(ValueError, match="4 to 12"):
        Space(length)


@pytest.mark.parametrize("pin", ["", "123", "12345", "12a4", "-123", "+123", " 123", "１２３４", "12.4", "1_23"])
def test_what_is_no_pin_of_the_space_is_not_allowed(pin: str) -> None:
    assert not Space(4).allows(pin)
    with pytest.raises(ValueError, match="not in the space"):
        Space(4).rank(pin)


def test_pins_come_from_secrets_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ast.parse(Path(generator.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom)}
    assert imported == {
        *("array", "bisect", "collections.abc", "dataclasses", "functools", "itertools", "math"),
        *("pins.policy", "pins.policy.patterns", "secrets"),
    }
    assert generator.randbelow is secrets.randbelow

    asked: list[int] = []
    monkeypatch.setattr(generator, "randbelow", lambda limit: asked.append(limit) or 0)
    assert draw(Space(4)) == "0000"
    assert draw_distinct(Space(5), 20)[0] == "00000"

    assert asked == [10**4, prod(range(10**5 - 15, 10**5 + 1)), prod(range(10**5 - 31, 10**5 - 15))]


def all_shuffles(monkeypatch: pytest.MonkeyPatch, count: int) -> list[tuple[int, ...]]:
    shuffles = []
    for number in range(prod(range(1, count + 1))):
        monkeypatch.setattr(generator, "randbelow", lambda limit, number=number: number)
        shuffles.append(tuple(generator._shuffled_ranks(count)))
    return shuffles


def test_every_order_comes_from_exactly_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(all_shuffles(monkeypatch, 6)) == sorted(permutations(range(6)))


def test_the_first_free_pin_is_uniform_over_the_free_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {1, 3}

    first_free = Counter(next(rank for rank in order if rank not in taken) for order in all_shuffles(monkeypatch, 5))

    assert first_free == {0: 40, 2: 40, 4: 40}


@given(st.integers(0, 200))
def test_a_shuffle_is_a_permutation_across_batches(count: int) -> None:
    assert sorted(generator._shuffled_ranks(count)) == list(range(count))


def test_a_shuffle_yields_every_allowed_pin_once() -> None:
    space = Space(4, exclude_weak=True)

    order = list(shuffled(space))

    assert len(order) == space.allowed_count
    assert set(order) == {space.unrank(rank) for rank in range(space.allowed_count)}
    assert order != sorted(order)


@settings(deadline=None)
@given(spaces, st.integers(0, 50))
def test_distinct_pins_are_allowed_and_distinct(space: Space, count: int) -> None:
    pins = draw_distinct(space, count)

    assert len(set(pins)) == len(pins) == count
    assert all(map(space.allows, pins))
    assert space.allows(draw(space))


def test_a_space_can_be_drawn_empty_but_not_beyond() -> None:
    space = Space(4, exclude_sequential=True, exclude_repeated=True, exclude_weak=True)

    assert len(set(draw_distinct(space, space.allowed_count))) == space.allowed_count
    with pytest.raises(SpaceTooSmall):
        draw_distinct(space, space.allowed_count + 1)
    with pytest.raises(ValueError, match="negative"):
        draw_distinct(space, -1)


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.heavy)])
def test_four_digits_are_uniform_over_all_cells(count: int) -> None:
    space = Space(4, exclude_weak=True)
    cells = [space.unrank(rank) for rank in range(space.allowed_count)]

    drawn = Counter(draw(space) for _ in range(count))

    assert_fits(drawn, dict.fromkeys(cells, count / len(cells)))


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.heavy)])
def test_the_start_of_a_shuffle_is_uniform_over_all_cells(count: int) -> None:
    space = Space(4)

    drawn = Counter(pin for _ in range(count // 20) for pin in islice(shuffled(space), 20))

    assert_fits(drawn, {space.unrank(rank): count / 10_000 for rank in range(10_000)})


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("space", [Space(6), Space(6, exclude_weak=True), Space(8), Space(8, exclude_weak=True)])
def test_positions_and_pairs_are_as_the_allowed_set_has_them(space: Space, count: int) -> None:
    excluded = [f"{number:0{space.length}d}" for number in (weak_pins(space.length) if space.exclude_weak else ())]
    pins = [draw(space) for _ in range(count)]

    for width in (1, 2):
        for at in range(space.length - width + 1):
            less = Counter(pin[at : at + width] for pin in excluded)
            whole = 10 ** (space.length - width)
            share = count / space.allowed_count
            cells = map("".join, product("0123456789", repeat=width))
            assert_fits(
                Counter(pin[at : at + width] for pin in pins),
                {cell: (whole - less[cell]) * share for cell in cells},
            )


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.heavy)])
def test_one_pin_says_nothing_about_the_next(count: int) -> None:
    space = Space(6)

    pins = [draw(space) for _ in range(count)]

    follow = Counter(one[-1] + other[-1] for one, other in pairwise(pins))
    assert_fits(follow, {f"{cell:02d}": (count - 1) / 100 for cell in range(100)})
