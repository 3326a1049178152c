"""Sequences: not transactional, so each is read once, and that reading is stored, applied, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2 import sql

from supaneon_sync.errors import PrimaryError, SnapshotLost
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.copying import SMALL
from supaneon_sync.postgres.session import Session


@dataclass(frozen=True)
class Reading:
    """Where a sequence stood: its last value, and whether that value has been given out."""

    schema: str
    name: str
    last_value: int
    is_called: bool

    @property
    def label(self) -> str:
        """The name for people."""
        return f"{self.schema}.{self.name}"


def read(session: Session, sequences: Sequence[Relation]) -> tuple[Reading, ...]:
    """Return every sequence's reading, in the order given.

    Asking for the last value by OID first takes a lock that keeps each sequence what it is until the
    transaction ends, so that a view put in its place is never read. Raises SnapshotLost when one is
    gone.
    """
    if not sequences:
        return ()
    with session.transaction("READ ONLY"):
        for sequence, found in zip(sequences, _hold(session, sequences), strict=True):
            if found != [sequence.schema, sequence.name]:
                raise SnapshotLost(f"Sequence {sequence.label} was dropped or renamed on the primary.")
        return _values(session, sequences)


_HELD = """
SELECT count(pg_sequence_last_value(s.oid)) FROM unnest(%(oids)s::oid[]) AS s (oid);
SELECT (pg_identify_object_as_address('pg_class'::regclass, s.oid, 0)).object_names
FROM unnest(%(oids)s::oid[]) WITH ORDINALITY AS s (oid, position) ORDER BY s.position
"""


def _hold(session: Session, sequences: Sequence[Relation]) -> list[list[str]]:
    """Keep the sequences what they are, and return the names that they have then, in the order given."""
    try:
        oids = [sequence.oid for sequence in sequences]
        return [names for (names,) in session.query(_HELD, {"oids": oids})]
    except PrimaryError as error:
        if error.evidence.get("sqlstate") not in ("XX000", "42P01"):
            raise
        labels = ", ".join(sequence.label for sequence in sequences)
        lost = SnapshotLost(f"A sequence was dropped on the primary (one of {labels}).")
        raise lost.with_evidence(error.evidence) from None


def reread(session: Session, readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """Return where the same sequences stand on the copy, in the order given."""
    return _values(session, readings) if readings else ()


def apply(session: Session, readings: Sequence[Reading]) -> None:
    """Set the copy's sequences to the readings."""
    if not readings:
        return
    calls = [
        sql.SQL("setval({}::regclass, {}, {})").format(
            sql.Literal(_quoted(session, reading)),
            sql.Literal(reading.last_value),
            sql.Literal(reading.is_called),
        )
        for reading in readings
    ]
    for start in range(0, len(calls), 500):
        session.execute(sql.SQL("SELECT ") + sql.SQL(", ").join(calls[start : start + 500]))


_OWNED = """
WITH RECURSIVE owned AS (
  SELECT sn.nspname AS schema, s.relname AS name, tn.nspname AS table_schema, t.relname AS table_name,
         a.attname AS column_name, q.seqincrement > 0 AS rising, t.oid AS relation
  FROM pg_depend d
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
  JOIN pg_sequence q ON q.seqrelid = s.oid AND NOT q.seqcycle
  JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
), tree (relation, column_name, part) AS (
  SELECT relation, column_name, relation FROM owned
  UNION SELECT tree.relation, tree.column_name, i.inhrelid
  FROM tree JOIN pg_inherits i ON i.inhparent = tree.part
), unordered AS (
  SELECT tree.relation, tree.column_name, sum(pg_relation_size(tree.part)) AS bytes
  FROM tree JOIN pg_attribute a ON a.attrelid = tree.part AND a.attname = tree.column_name
  WHERE NOT EXISTS (
    SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    JOIN pg_opclass o ON o.oid = i.indclass[0]
    WHERE i.indrelid = tree.part AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL
      AND m.amname = 'btree' AND o.opcdefault)
  GROUP BY 1, 2
)
SELECT coalesce(u.bytes, 0) <= %(bytes)s,
       o.schema, o.name, o.table_schema, o.table_name, o.column_name, o.rising
FROM owned o LEFT JOIN unordered u ON (u.relation, u.column_name) = (o.relation, o.column_name)
ORDER BY 2, 3
"""


@dataclass(frozen=True)
class Lagging:
    """Sequences, by label: those ``behind`` their column's values, and those ``unseen``, not looked at."""

    behind: tuple[str, ...]
    unseen: tuple[str, ...]


def lagging(session: Session) -> Lagging:
    """Return the copy's sequences that would next give out a number their column already holds.

    They were read after the snapshot, so such a one stands behind on the primary too. A column is looked at
    where its outermost value costs a look into indexes, or a few pages: not one of a large table, or one with
    such a partition or heir, that no whole btree index begins with.
    """
    known = session.query(_OWNED, {"bytes": SMALL * 8192})
    owned = [one for cheap, *one in known if cheap]
    parts = [
        sql.SQL("SELECT {} WHERE (SELECT {}({}) FROM {}) {} (SELECT last_value FROM {})").format(
            sql.Literal(position),
            sql.SQL("max" if rising else "min"),
            sql.Identifier(column),
            sql.Identifier(schema, table),
            sql.SQL(">" if rising else "<"),
            sql.Identifier(*sequence),
        )
        for position, (*sequence, schema, table, column, rising) in enumerate(owned)
    ]
    found: list[int] = []
    for start in range(0, len(parts), 200):
        found += [row[0] for row in session.query(sql.SQL(" UNION ALL ").join(parts[start : start + 200]))]
    return Lagging(
        tuple(f"{owned[position][0]}.{owned[position][1]}" for position in sorted(found)),
        tuple(f"{schema}.{name}" for cheap, schema, name, *_ in known if not cheap),
    )


def _quoted(session: Session, reading: Reading) -> str:
    return sql.Identifier(reading.schema, reading.name).as_string(session.connection)


def _values(session: Session, sequences: Sequence[Relation | Reading]) -> tuple[Reading, ...]:
    found: dict[int, Reading] = {}
    for start in range(0, len(sequences), 500):
        part = sequences[start : start + 500]
        union = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} AS position, last_value, is_called FROM ONLY {}").format(
                sql.Literal(start + offset), sql.Identifier(one.schema, one.name)
            )
            for offset, one in enumerate(part)
        )
        for position, last_value, is_called in session.query(union):
            one = sequences[position]
            found[position] = Reading(one.schema, one.name, last_value, is_called)
    return tuple(found[position] for position in range(len(sequences)))
