"""A backup's numbers, from the plan to text and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy import holdings
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.holdings import Counted, Holding
from supaneon_sync.policy.scope import Scope, TableName

words = st.text(max_size=12)
holdings_at_random = st.builds(
    Holding,
    backup=words,
    scope=words,
    cluster=words,
    dumper=words,
    tables=st.dictionaries(words, st.builds(Counted, st.integers(0, 2**62), st.integers(0, 2**32))),
    rowless=st.frozensets(words),
    objects=st.dictionaries(words, words),
)


def entry(tag: str, definition: str, section: Section = Section.POST_DATA) -> Entry:
    return Entry(1, 0, 0, "INDEX", "public", tag, section, definition)


@given(holdings_at_random)
def test_what_is_written_is_read_again(holding: Holding) -> None:
    assert holdings.read(holdings.written(holding)) == holding


def test_numbers_of_another_format_are_not_compared() -> None:
    assert holdings.read('{"format": 2, "tables": "otherwise"}') is None


@pytest.mark.parametrize(
    "text", ["", "no", "[]", "{}", '{"format": 1}', '{"format": 1, "tables": 3}', "null"]
)
def test_what_somebody_altered_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"numbers of a backup|Expecting value"):
        holdings.read(text)


def test_the_scopes_digest_heeds_what_is_asked_for_and_not_its_order() -> None:
    def digest(scope: Scope, *, sessions: bool = False) -> str:
        return holdings.scope_digest(scope, include_auth_sessions=sessions)

    one = digest(Scope(include=("a", "b")))
    assert one == digest(Scope(include=("b", "a")))
    others = [
        digest(Scope()),
        digest(Scope(), sessions=True),
        digest(Scope(include=("a",))),
        digest(Scope(exclude=("a", "b"))),
        digest(Scope(include=("a", "b"), rowless=(TableName("a", "t"),))),
    ]
    assert len({one, *others}) == 6


def test_an_objects_digest_heeds_its_definition_and_rows_are_no_object() -> None:
    first = holdings.objects([entry("i", "CREATE 1"), entry("t", "COPY", Section.DATA)])
    assert list(first) == ["index public.i"]
    assert first != holdings.objects([entry("i", "CREATE 2")])
    assert first == holdings.objects([entry("i", "CREATE 1")])


def test_what_shares_a_name_counts_as_one_whatever_the_order() -> None:
    both = [entry("i", "CREATE 1"), entry("i", "CREATE 2")]
    assert holdings.objects(both) == holdings.objects(both[::-1])
    assert holdings.objects(both) != holdings.objects(both[:1])


def test_five_thousand_tables_stay_small() -> None:
    import zlib

    tables = {f"public.table_number_{n}": Counted(n * 7919, 16384 + n) for n in range(5000)}
    kinds = ("table", "index", "constraint", "policy", "sequence")
    objects = {
        f"{kind} {label}": f"{hash((kind, label)) & (2**64 - 1):016x}" for kind in kinds for label in tables
    }
    holding = Holding("b", "s", "c", "d", tables, frozenset(), objects)
    size = len(zlib.compress(holdings.written(holding).encode()))
    assert size < 600_000
    assert json.loads(holdings.written(holding))["tables"]["public.table_number_1"] == [7919, 16385]
