"""Going on from what stands there, or starting over: what decides, and what is said of it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from supaneon_sync.policy import baseline as memory
from supaneon_sync.policy import strategy
from supaneon_sync.policy.baseline import Baseline, Content, Definition, Horizon
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.roots import Analysed
from supaneon_sync.policy.strategy import Circumstances

NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)
MONTH = timedelta(days=30)
KNOWN = Baseline(
    rebuilt_at=NOW - timedelta(days=3),
    client="17.11",
    locale="UTF8/c/C/C/",
    locale_note="the target sorts otherwise",
    definitions={("TABLE", "public", "a"): Definition("one", "two")},
    violated=frozenset((("INDEX", "public", "i"),)),
    mirror=Horizon("16384", 900),
    horizon=Horizon("2026-11-20 03:00 5", 2**33),
    seed=(-5, 2**62),
    contents={"public.a": Content(7, "0" * 32, "binary", 16399, "columns", "place", NOW, 3)},
    full_bytes={"public.a": 100},
    roots={"public.a": Analysed(7, 2)},
)
HERE = Circumstances(NOW, "17.11", "UTF8/c/C/C/", filled=True)


def test_what_differs_alone_is_moved_where_the_mirror_is_known() -> None:
    assert strategy.choose("auto", KNOWN, MONTH, HERE).used == "delta"


@pytest.mark.parametrize(
    ("asked", "known", "here", "why"),
    [
        ("rebuild", KNOWN, HERE, "strategy is rebuild"),
        ("auto", KNOWN, dataclasses.replace(HERE, filled=False), "nothing yet"),
        ("delta", None, HERE, "nothing is remembered"),
        ("auto", KNOWN, dataclasses.replace(HERE, client="18.6"), "pg_dump 17.11, now by 18.6"),
        ("auto", KNOWN, dataclasses.replace(HERE, locale="UTF8/i/C/C/de"), "locale"),
        ("auto", KNOWN, dataclasses.replace(HERE, now=NOW + MONTH), "2026-11-24 (rebuild-every)"),
    ],
)
def test_the_mirror_is_made_from_nothing_for_a_reason_that_is_told(
    asked: str, known: Baseline | None, here: Circumstances, why: str
) -> None:
    found = strategy.choose(asked, known, MONTH, here)
    assert found.used == "rebuild"
    assert why in found.why


def test_delta_does_not_start_over_because_it_was_long_ago() -> None:
    later = dataclasses.replace(HERE, now=NOW + 2 * MONTH)
    assert strategy.choose("delta", KNOWN, MONTH, later).used == "delta"


def test_another_minor_version_of_the_client_goes_on() -> None:
    assert strategy.choose("auto", KNOWN, MONTH, dataclasses.replace(HERE, client="17.12")).used == "delta"


def test_what_is_remembered_comes_back_as_it_was() -> None:
    assert memory.unpack(memory.pack(KNOWN)) == KNOWN


@pytest.mark.parametrize("body", [b"", b"nonsense", memory.pack(KNOWN)[:-3]])
def test_what_cannot_be_read_is_as_good_as_forgotten(body: bytes) -> None:
    assert memory.unpack(body) is None


def test_another_format_is_as_good_as_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    body = memory.pack(KNOWN)
    monkeypatch.setattr(memory, "FORMAT", memory.FORMAT + 1)
    assert memory.unpack(body) is None


def test_definitions_under_one_name_are_told_apart_by_all_of_them() -> None:
    one = Entry(1, 0, 0, "OPERATOR", "public", "+", Section.PRE_DATA, "CREATE OPERATOR 1")
    two = dataclasses.replace(one, dump_id=2, definition="CREATE OPERATOR 2")
    first, both = memory.digests([one]), memory.digests([one, two])
    assert first[one.identity] != both[one.identity]
    assert memory.digests([two, one]) == both
