"""Partitioned tables that are analysed as a whole: which, and when again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supaneon_sync.policy import moved, roots
from supaneon_sync.policy.divergence import Counts
from supaneon_sync.policy.moved import Moved
from supaneon_sync.policy.roots import Analysed, Root
from tests.policy.portability_cases import decided, entry, facts, relation

TOP = relation(1, "top", kind="p", rows=1000)
MIDDLE = relation(2, "middle", kind="p", rows=500)
ONE, TWO = relation(3, "one", pages=7), relation(4, "two", pages=5)
PARTITION_OF = {2: 1, 3: 2, 4: 1}
ROOT = Root(TOP, (ONE, TWO), ())


def unchanged(rows: int) -> Moved:
    return Moved("public.t", moved.UNCHANGED, None, rows, rows)


def lasting(one: Moved, two: Moved, then: Analysed | None, *, overdue: bool = False) -> Analysed | None:
    """What is known of the root after two partitions went that way; None where it is due."""
    known = {} if then is None else {"public.top": then}
    found = roots.lasting((ROOT,), {ONE: one, TWO: two}, known, {TOP} if overdue else ())
    return found.get("public.top")


def test_what_the_primary_has_analysed_and_has_tables_below_it_is_found_on_every_level() -> None:
    top, middle = roots.find((TOP, MIDDLE, ONE, TWO), (ONE, TWO), PARTITION_OF)
    assert (top.table.label, top.leaves, top.above, top.table.pages) == ("public.top", (ONE, TWO), (), 12)
    assert (middle.table.label, middle.leaves, middle.above) == ("public.middle", (ONE,), (1,))
    assert roots.topmost((middle, top)) == [top]
    assert roots.topmost((middle,)) == [middle]


def test_what_was_never_analysed_or_has_no_rows_below_it_is_none() -> None:
    never = relation(1, "top", kind="p", rows=-1)
    assert roots.find((never, ONE), (ONE,), {3: 1}) == ()
    assert roots.find((TOP, ONE), (ONE,), {}) == ()


def test_tables_whose_rows_are_left_out_count_for_none() -> None:
    entries = [entry(1, "TABLE", "top"), entry(3, "TABLE", "one", "realtime")]
    left = relation(3, "one", "realtime")
    assert decided(entries, facts(TOP, left, partition_of={3: 1})).roots == ()
    kept = facts(TOP, ONE, partition_of={3: 1})
    (found,) = decided([entries[0], entry(3, "TABLE", "one")], kept).roots
    assert found.leaves == (ONE,)


@pytest.mark.parametrize(
    ("one", "then", "wanted"),
    [
        (unchanged(600), Analysed(1000), Analysed(1000)),
        (unchanged(600), Analysed(1000, 50), Analysed(1000, 50)),
        (unchanged(600), Analysed(1000, 51), None),
        (unchanged(600), None, None),
        (unchanged(560), Analysed(1000), Analysed(1000)),
        (unchanged(500), Analysed(1000), None),
        (Moved("", moved.DELTA, Counts(10, 10, 10), 600, 600), Analysed(1000), Analysed(1000, 30)),
        (Moved("", moved.DELTA, Counts(0, 10, 0), 600, 600), Analysed(1000, 45), None),
        (Moved("", moved.NEW, None, None, 40), Analysed(440), None),
        (Moved("", moved.NEW, None, None, 20), Analysed(410), Analysed(410, 20)),
        (Moved("", moved.REWRITTEN, None, 600, 600), Analysed(1000), None),
        (Moved("", moved.REWRITTEN, None, 600, 0), Analysed(1000), None),
    ],
)
def test_a_root_is_due_when_a_twentieth_of_its_rows_has_come_or_gone(
    one: Moved, then: Analysed | None, wanted: Analysed | None
) -> None:
    assert lasting(one, unchanged(400), then) == wanted


def test_what_is_overdue_is_due_whatever_happened() -> None:
    assert lasting(unchanged(600), unchanged(400), Analysed(1000), overdue=True) is None


def test_the_next_run_knows_since_when_each_root_holds() -> None:
    rows = {ONE: 600, TWO: 400}
    assert roots.remembered((ROOT,), {}, rows) == {"public.top": Analysed(1000)}
    still = {"public.top": Analysed(990, 20)}
    assert roots.remembered((ROOT,), still, rows) == still


def test_what_refused_is_not_remembered_nor_what_is_below_it() -> None:
    rows = {ONE: 600, TWO: 400}
    assert roots.remembered((ROOT,), {}, rows, [ROOT.table]) == {}
    below = replace(ROOT, table=replace(ROOT.table, oid=77), above=(ROOT.table.oid,))
    assert roots.remembered((below,), {}, rows, [ROOT.table]) == {}
    assert roots.remembered((ROOT,), {}, rows, [below.table]) == {"public.top": Analysed(1000)}
