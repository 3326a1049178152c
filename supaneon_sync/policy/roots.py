"""Partitioned tables whose rows the planner knows as a whole: on the copy those that it knows on the primary.

Nobody takes such statistics unasked, since autovacuum passes partitioned tables over. So the primary has them
where somebody ran ANALYZE; the copy is to have them there too, no older than those of any other table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.moved import STIRRED, Moved


@dataclass(frozen=True)
class Root:
    """A partitioned table that was analysed on the primary, with the tables below it whose rows are copied.

    Its pages are theirs. ``above`` are the OIDs of the partitioned tables that it is itself a part of.
    """

    table: Relation
    leaves: tuple[Relation, ...]
    above: tuple[int, ...]


@dataclass(frozen=True)
class Analysed:
    """How many rows a root had when its statistics were taken, and how many have come or gone since."""

    rows: int
    stirred: int = 0


def find(
    relations: Iterable[Relation], tables: Iterable[Relation], partition_of: Mapping[int, int]
) -> tuple[Root, ...]:
    """Return the roots among the relations, given the tables whose rows are copied and partitions' parents.

    One with nothing below it is none: the server takes no statistics of it.
    """
    below: defaultdict[int, list[Relation]] = defaultdict(list)
    for table in tables:
        for oid in _above(table, partition_of):
            below[oid].append(table)
    return tuple(
        Root(
            replace(one, pages=sum(leaf.pages for leaf in below[one.oid])),
            tuple(below[one.oid]),
            _above(one, partition_of),
        )
        for one in relations
        if one.kind == "p" and one.rows >= 0 and one.oid in below
    )


def _above(relation: Relation, partition_of: Mapping[int, int]) -> tuple[int, ...]:
    found: list[int] = []
    oid = relation.oid
    while oid in partition_of:
        oid = partition_of[oid]
        found.append(oid)
    return tuple(found)


def topmost(roots: Collection[Root]) -> list[Root]:
    """Return the roots that are part of no other one among them."""
    oids = {root.table.oid for root in roots}
    return [root for root in roots if not oids.intersection(root.above)]


def lasting(
    roots: Iterable[Root],
    moved: Mapping[Relation, Moved],
    then: Mapping[str, Analysed],
    overdue: Collection[Relation],
) -> dict[str, Analysed]:
    """Return the roots whose statistics need not be taken again yet, by label.

    ``moved`` is what happened to every table in this run, ``then`` what was known of the roots before it;
    ``overdue`` are tables that are due whatever happened. Rows that went with a whole partition are missed in
    the number of those that are left.
    """
    found = {}
    for root in roots:
        known = then.get(root.table.label)
        if known is None or root.table in overdue:
            continue
        parts = [moved[leaf] for leaf in root.leaves]
        rows = sum(part.rows for part in parts)
        stirred = known.stirred + sum(part.rows if part.stirred is None else part.stirred for part in parts)
        if max(stirred, abs(rows - known.rows)) <= STIRRED * rows:
            found[root.table.label] = Analysed(known.rows, stirred)
    return found


def remembered(
    roots: Iterable[Root],
    still: Mapping[str, Analysed],
    rows: Mapping[Relation, int],
    refusing: Collection[Relation] = (),
) -> dict[str, Analysed]:
    """Return what the next run is to know, by label, of the roots that hold ``still`` and of all others.

    Nothing of those that were ``refusing``, and of what is below them: they are tried again.
    """
    refused = {root.oid for root in refusing}
    return {
        root.table.label: still.get(root.table.label) or Analysed(sum(rows[leaf] for leaf in root.leaves))
        for root in roots
        if not refused.intersection((root.table.oid, *root.above))
    }
