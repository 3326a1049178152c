"""Two states of one database compared table by table: fingerprints, then parts, then rows.

Rows are hashed in the servers as the fingerprints of a backup are; over the wire go the sums of a part of
a table, and of the parts that differ the keys with a hash each, in order. Nothing is kept in memory. Of a
table whose owner is not to be trusted the lines of COPY are compared (`lines`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg2 import sql

from supaneon_sync.policy import divergence
from supaneon_sync.policy.divergence import Counts, Hash, Told
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.shape import Shape
from supaneon_sync.postgres import inventory, lines
from supaneon_sync.postgres.fingerprint import Seed, fingerprint, hashed_columns, written
from supaneon_sync.postgres.lines import Compared, both
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.shape import read as read_shape

PARTS = 1024
"""Into how many parts a table is divided by its keys' hashes. A power of two."""
_BATCH = 5000
_PRIMARY_KEYS = """
SELECT i.indrelid, array_agg(a.attname::text ORDER BY k.position)
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indisprimary AND i.indisvalid AND k.position <= i.indnkeyatts GROUP BY i.indrelid
"""
_SEQUENCES = """
SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences
WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'
"""


@dataclass(frozen=True)
class Rows:
    """The tables of a database by their labels, and their primary keys, with a session that reads them."""

    session: Session
    tables: Mapping[str, Relation]
    keys: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Side(Rows):
    """One of two databases, in one transaction that sees one moment."""

    sequences: Mapping[str, int | None]
    shape: Shape


@dataclass(frozen=True)
class TableChange:
    """How a table differs. ``counts`` is None where rows cannot be counted; ``how`` says how it was done."""

    label: str
    counts: Counts | None
    how: str
    note: str = ""


def rows(session: Session) -> Rows:
    """Return the tables that hold rows themselves, seen in the session's open transaction."""
    facts = inventory.read(session)
    return _rows_of(session, [one for one in facts.relations.values() if one.kind == "r"])


def read(session: Session) -> Side:
    """Return what a database holds, seen in the session's open REPEATABLE READ transaction.

    Tables of extensions are left aside.
    """
    facts = inventory.read(session)
    members = {oid for catalog, oid in facts.extension_members if catalog == 1259}
    tables = [one for one in facts.relations.values() if one.kind == "r" and one.oid not in members]
    return Side(
        **vars(_rows_of(session, tables)),
        sequences=dict(session.query(_SEQUENCES)),
        shape=read_shape(session, []),
    )


def _rows_of(session: Session, tables: Sequence[Relation]) -> Rows:
    keys = {oid: tuple(columns) for oid, columns in session.query(_PRIMARY_KEYS)}
    return Rows(
        session,
        tables={table.label: table for table in tables},
        keys={table.label: keys[table.oid] for table in tables if table.oid in keys},
    )


def moved_sequences(before: Side, after: Side) -> tuple[str, ...]:
    """Return the sequences that stand elsewhere now."""
    there = before.sequences.keys() & after.sequences.keys()
    return tuple(sorted(name for name in there if before.sequences[name] != after.sequences[name]))


def compare(before: Rows, after: Rows, label: str, seed: Seed, told: Told = lambda *_: None) -> TableChange:
    """Compare one table of the two sides, which may be missing on either.

    ``told`` hears of each row that differs, where there is a primary key to tell rows by.
    """
    old, new = before.tables.get(label), after.tables.get(label)
    if old is None or new is None:
        added = 0 if new is None else _count(after.session, new)
        removed = 0 if old is None else _count(before.session, old)
        return TableChange(label, Counts(added, 0, removed), "new table" if old is None else "dropped table")
    common = [column.name for column in old.columns if _same(column.name, old, new)]
    note = _columns_note(old, new, common)
    sides = ((before.session, _with(old, common)), (after.session, _with(new, common)))
    key = before.keys.get(label, ())
    if key != after.keys.get(label) or not set(key) <= set(common):
        key = ()
    if old.trusted and new.trusted:
        first, second = both(sides, lambda session, table: fingerprint(session, table, seed))
        if first == second:
            return TableChange(label, Counts(), "equal", note)
        counts = _keyed(sides, key, seed, told) if key else _keyless(sides, seed)
    else:
        key = key if set(key) <= set(written(sides[0][1])) else ()
        found, number = lines.count(sides, key, seed, told)
        if found is None:
            return TableChange(label, None, "whole", "; ".join(filter(None, (number, note))))
        counts = found
    how = "key" if key else "rows"
    return TableChange(label, counts, how if counts.any else "equal", note)


def _same(name: str, old: Relation, new: Relation) -> bool:
    def kinds(table: Relation) -> list[str]:
        return [column.type for column in table.columns if column.name == name and column.generated != "v"]

    return kinds(old) == kinds(new) != []


def _with(table: Relation, columns: Sequence[str]) -> Relation:
    """Return the table with these columns alone, in this order."""
    by_name = {column.name: column for column in table.columns}
    return replace(table, columns=tuple(by_name[name] for name in columns))


def _columns_note(old: Relation, new: Relation, common: Sequence[str]) -> str:
    before = {column.name for column in old.columns} - set(common)
    after = {column.name for column in new.columns} - set(common)
    told = [
        f"{what} {', '.join(sorted(names))}"
        for what, names in (
            ("new columns", after - before),
            ("dropped columns", before - after),
            ("columns of another type", after & before),
        )
        if names
    ]
    return "; ".join(told)


def _count(session: Session, table: Relation) -> int:
    return int(session.value(sql.SQL("SELECT count(*) FROM ONLY {}").format(_name(table))))


def _name(table: Relation) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


def _text(columns: Sequence[str]) -> sql.Composed:
    """Return the expression for these columns' text, by their types' own output functions."""
    return sql.SQL('textin(record_out(ROW({}))) COLLATE "C"').format(
        sql.SQL(", ").join(map(sql.Identifier, columns))
    )


def _lines(table: Relation, key: Sequence[str], seed: Seed) -> sql.Composed:
    """Return the rows of a table as key, part and two hashes. Without a key, the row is its own."""
    columns = hashed_columns(table)
    return sql.SQL(
        "(SELECT t.key, (hashtextextended(t.key, {first}) & {mask})::int AS part,"
        " hashtextextended(t.line, {first}) AS one, hashtextextended(t.line, {second}) AS two"
        " FROM (SELECT {key} AS key, {line} AS line FROM ONLY {table} OFFSET 0) AS t OFFSET 0) AS l"
    ).format(
        first=sql.Literal(seed.first),
        second=sql.Literal(seed.second),
        mask=sql.Literal(PARTS - 1),
        key=_text(key or columns),
        line=_text(columns),
        table=_name(table),
    )


def _differing_parts(sides: Compared, key: Sequence[str], seed: Seed) -> list[int]:
    def sums(session: Session, table: Relation) -> dict[int, tuple[object, ...]]:
        statement = sql.SQL("SELECT part, count(*), sum(one)::text, sum(two)::text FROM {} GROUP BY part")
        return {row[0]: row[1:] for row in session.query(statement.format(_lines(table, key, seed)))}

    before, after = both(sides, sums)
    return sorted(part for part in before.keys() | after.keys() if before.get(part) != after.get(part))


def _keyed(sides: Compared, key: Sequence[str], seed: Seed, told: Told) -> Counts:
    parts = _differing_parts(sides, key, seed)

    def stream(session: Session, table: Relation) -> Iterator[tuple[str, Hash]]:
        statement = sql.SQL('SELECT key, one, two FROM {} WHERE part = ANY ({}) ORDER BY key COLLATE "C"')
        chosen = statement.format(_lines(table, key, seed), sql.Literal(parts))
        for text, one, two in _cursor(session, chosen):
            yield str(text), (int(str(one)), int(str(two)))

    (before, old), (after, new) = sides
    return divergence.by_key(stream(before, old), stream(after, new), told)


def _keyless(sides: Compared, seed: Seed) -> Counts:
    parts = _differing_parts(sides, (), seed)

    def stream(session: Session, table: Relation) -> Iterator[tuple[Hash, int]]:
        statement = sql.SQL(
            "SELECT one, two, count(*) FROM {} WHERE part = ANY ({}) GROUP BY one, two ORDER BY one, two"
        )
        chosen = statement.format(_lines(table, (), seed), sql.Literal(parts))
        for one, two, count in _cursor(session, chosen):
            yield (int(str(one)), int(str(two))), int(str(count))

    (before, old), (after, new) = sides
    return divergence.by_row(stream(before, old), stream(after, new))


def _cursor(session: Session, statement: sql.Composable) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a query a batch at a time, inside the session's transaction."""
    session.execute(sql.SQL("DECLARE differing NO SCROLL CURSOR FOR ") + statement)
    while batch := session.query(f"FETCH {_BATCH} FROM differing"):
        yield from batch
    session.execute("CLOSE differing")
