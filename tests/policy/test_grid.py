"""Blocks of keys: every key in one block, every block the range it says, changes found where they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy import grid
from supaneon_sync.policy.grid import Grid

KEYS = st.integers(-(2**63), 2**63 - 1)


def block_of(cut: Grid, key: int) -> int:
    """What SQL computes: its division cuts towards nought."""
    quotient = abs(key) // cut.width
    return (quotient if key >= 0 else -quotient) - cut.base


@given(st.integers(1, 5000), st.lists(KEYS, min_size=2, max_size=20))
def test_every_key_is_in_the_range_of_its_block(count: int, keys: list[int]) -> None:
    cut = grid.by_range(count, min(keys), max(keys))
    for key in keys:
        block = block_of(cut, key)
        assert 0 <= block < cut.count
        low, high = cut.range(block)
        assert low <= key <= high


@given(st.integers(1, 300), st.integers(-500, 500), st.integers(0, 1000), st.data())
def test_ranges_hold_the_keys_of_their_blocks_and_no_others(
    count: int, least: int, more: int, data: st.DataObject
) -> None:
    cut = grid.by_range(count, least, least + more)
    chosen = data.draw(st.sets(st.integers(0, cut.count - 1)))
    covered = {key for low, high in cut.ranges(chosen) for key in range(low, high + 1)}
    for key in range(least, least + more + 1):
        assert (key in covered) == (block_of(cut, key) in chosen)


def test_there_are_about_as_many_ranges_as_were_asked_for() -> None:
    assert 999 <= grid.by_range(1000, 1, 1_000_000).count <= 1002
    assert grid.by_range(10**9, 1, 10**12).count <= grid.MOST + 2


def test_blocks_by_hash_are_a_power_of_two() -> None:
    assert [grid.by_hash(count).count for count in (1, 2, 3, 1000, 10**9)] == [1, 2, 4, 1024, grid.MOST]


@given(st.integers(1, 200), st.data())
def test_a_bitmap_has_the_bits_of_its_blocks(count: int, data: st.DataObject) -> None:
    cut = Grid(count)
    chosen = data.draw(st.sets(st.integers(0, count - 1)))
    bits = cut.bitmap(chosen)
    assert {number for number in range(count) if bits[number // 8] >> number % 8 & 1} == chosen


def listed(blocks: dict[int, int]) -> bytes:
    return b"".join(
        number.to_bytes(4, "big") + digest.to_bytes(8, "big") for number, digest in blocks.items()
    )


@given(
    st.dictionaries(st.integers(0, 50), st.integers(0, 3)),
    st.dictionaries(st.integers(0, 50), st.integers(0, 3)),
)
def test_blocks_that_differ_are_those_that_one_side_lacks_or_has_otherwise(
    ours: dict[int, int], theirs: dict[int, int]
) -> None:
    wanted = {one for one in ours.keys() | theirs.keys() if ours.get(one) != theirs.get(one)}
    assert grid.differing(listed(ours), listed(theirs)) == wanted


def test_the_share_of_rows_is_told_by_the_share_of_blocks() -> None:
    each = 8
    cut, rows = Grid(100_000), 100_000 * each
    for part in (0.001, 0.01, 0.1, 0.25):
        blocks = round(cut.count * (1 - (1 - part) ** each))
        assert grid.share(cut, blocks, rows) == pytest.approx(part, rel=0.05)
    assert grid.share(cut, cut.count, rows) == 1


def test_coarse_blocks_that_nearly_all_differ_tell_nothing() -> None:
    assert grid.share(Grid(1024), 1000, 10_000_000) is None


@pytest.mark.parametrize(
    ("rows", "differing", "blocks"),
    [
        (10, None, 1),
        (2048, 5, 1),
        (80_000, None, 10_000),
        (8_000_000, 5, 1024),
        (80_000_000, 10**6, grid.MOST),
    ],
)
def test_blocks_are_as_fine_as_what_is_known_asks_for(rows: int, differing: int | None, blocks: int) -> None:
    assert grid.blocks_wanted(rows, differing) == blocks
