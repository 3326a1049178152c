"""Rows from the primary to the mirror: streamed, never on disk, several tables at a time.

One worker is a session on each side. It takes a load of small tables, or one large one: locks them, has
it proved that they are what the snapshot shows, streams COPY into COPY, and takes the primary's
fingerprints in the same transaction, so that what is proved is what was read. While the mirror takes in
one table, the primary already sends the next; it computes fingerprints while the mirror builds indexes.
Where a session is lost meanwhile, they are taken in another transaction: in the same snapshot, with the
tables locked and proved unchanged once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from psycopg2 import sql

from supaneon_sync.errors import SupaneonError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.fingerprint import Fingerprint, method_for, written_columns
from supaneon_sync.postgres.sending import CHUNK, LARGE, Proofs, Reader, Sender, in_binary, naming
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import reading

SMALL, _LOAD_TABLES = 512, 32
"""Pages of 8 KiB, and tables, that one load may hold: small enough that no lock is held for long."""
Load = tuple[Relation, ...]
"""Tables that travel together, in one transaction on each side."""
Rows = dict[Relation, tuple[int, float]]
"""What has crossed: bytes and seconds of each table that had rows."""


@dataclass(frozen=True)
class CopiedTable:
    """One table's journey: the primary's fingerprint, bytes that crossed, seconds taken.

    ``written`` is the fingerprint without stored generated columns, where there are such: each side
    computes those by itself, and what the primary stored may be older than their expressions.
    """

    table: Relation
    source: Fingerprint
    bytes: int
    seconds: float
    written: Fingerprint | None = None


def loads(tables: Sequence[Relation]) -> list[Load]:
    """Return the tables in loads, the largest first: a large one by itself, small ones together."""
    found: list[Load] = []
    load: list[Relation] = []
    pages = 0
    for table in sorted(tables, key=lambda one: -one.pages):
        size = max(table.pages, 1)
        if load and (pages + size > SMALL or len(load) == _LOAD_TABLES):
            found.append(tuple(load))
            load, pages = [], 0
        load.append(table)
        pages += size
    return [*found, tuple(load)] if load else found


def transfer(
    source: Session,
    target: Session,
    load: Load,
    reader: Reader,
    arrived: Callable[[Rows], None] = lambda _: None,
) -> tuple[CopiedTable, ...]:
    """Copy the tables' own rows, in one transaction on each side.

    ``arrived`` is told when the mirror has them for good, while the primary may still be adding up their
    fingerprints. Raises SnapshotLost, PrimaryError, NeonError or QuotaError, and what ``arrived`` raises.
    """
    with reading(source, reader.snapshot, load, reader.lock_wait) as sizes:
        sender = Sender(source, [table for table in load if sizes[table]], sizes, reader)
        sender.start()
        try:
            with target.finishing():
                target.execute(_beginning(table for table in load if sizes[table] > LARGE))
                rows = _take_in(target, sender)
            arrived(rows)
        except BaseException:
            sender.give_up()
            raise
        found = sender.proofs()
    return _copied(load, rows, found)


def prove_arrived(source: Session, load: Load, rows: Rows, reader: Reader) -> tuple[CopiedTable, ...]:
    """Return what `transfer` would have, of tables that it copied and whose fingerprints it could not get.

    Raises SnapshotLost or PrimaryError.
    """
    with reading(source, reader.snapshot, load, reader.lock_wait) as sizes:
        found = Proofs([table for table in load if sizes[table]], reader)
        found.complete(source)
    return _copied(load, rows, found)


def _copied(load: Load, rows: Rows, found: Proofs) -> tuple[CopiedTable, ...]:
    return tuple(
        CopiedTable(
            table,
            found.whole.get(table) or Fingerprint(0, "0" * 32, method_for(table)),
            *rows.get(table, (0, 0.0)),
            found.written.get(table),
        )
        for table in load
    )


def forget(target: Session, load: Load) -> None:
    """Take away whatever a broken attempt may have left of these tables."""
    target.execute(sql.SQL("TRUNCATE {}").format(_only(load)))


def _only(tables: Iterable[Relation]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("ONLY ") + sql.Identifier(one.schema, one.name) for one in tables)


def _beginning(large: Iterable[Relation]) -> sql.Composable:
    tables = list(large)
    return sql.SQL("BEGIN; TRUNCATE {}").format(_only(tables)) if tables else sql.SQL("BEGIN")


def _copy_in(table: Relation, *, frozen: bool) -> sql.Composable:
    words = [word for word, wanted in (("FORMAT binary", in_binary(table)), ("FREEZE", frozen)) if wanted]
    ending = sql.SQL(f" ({', '.join(words)})" if words else "")
    name = sql.Identifier(table.schema, table.name)
    return sql.SQL("COPY {}{} FROM STDIN{}").format(name, written_columns(table), ending)


def _take_in(target: Session, sender: Sender) -> Rows:
    """Load every parcel; return bytes and seconds of each table."""
    rows: Rows = {}
    while (parcel := sender.next()) is not None:
        began = time.monotonic()
        try:
            with parcel.stream, target.errors(), target.connection.cursor() as cursor:
                cursor.copy_expert(_copy_in(parcel.table, frozen=parcel.frozen), parcel, size=CHUNK)
        except SupaneonError as error:
            if parcel.failure is not None:
                raise parcel.failure from None
            raise naming(parcel.table, error) from None
        rows[parcel.table] = (parcel.volume, time.monotonic() - began)
    return rows
