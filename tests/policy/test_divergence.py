from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy.divergence import Counts, by_key, by_row

KEYS = st.text(max_size=2)
HASHES = st.tuples(st.integers(-2, 2), st.integers(-2, 2))
TABLES = st.dictionaries(KEYS, HASHES, max_size=12)
BAGS = st.lists(HASHES, max_size=20).map(Counter)


@given(TABLES, TABLES)
def test_rows_with_a_key_are_counted_as_a_comparison_of_whole_tables_counts_them(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> None:
    found = by_key(sorted(before.items()), sorted(after.items()))
    assert found == Counts(
        added=len(after.keys() - before.keys()),
        changed=sum(before[key] != after[key] for key in before.keys() & after.keys()),
        removed=len(before.keys() - after.keys()),
    )
    assert found.any == (before != after)


@given(BAGS, BAGS)
def test_rows_without_a_key_are_counted_as_often_as_they_are_there(
    before: Counter[tuple[int, int]], after: Counter[tuple[int, int]]
) -> None:
    found = by_row(sorted(before.items()), sorted(after.items()))
    assert found == Counts((after - before).total(), 0, (before - after).total())
    assert found.any == (before != after)


@given(st.lists(st.text(max_size=3), unique=True))
def test_the_order_of_the_server_under_c_is_the_order_here(keys: list[str]) -> None:
    """PostgreSQL compares bytes of UTF-8 there; Python compares code points: the same order."""
    kept = [key for key in keys if not any("\ud800" <= letter <= "\udfff" for letter in key)]
    assert sorted(kept) == sorted(kept, key=lambda key: key.encode())
