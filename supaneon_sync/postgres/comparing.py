"""Is a table on the mirror what the snapshot shows, and if not, where does it differ?

Where the primary's history is unbroken since the last proof, its row versions tell (see `history`): nobody
hashes anything there, and what the mirror holds is proved afterwards, against what was proved last and what
has come and gone since. Else both sides are asked at the same time: for the fingerprint of a small table,
and for a digest of each block of a large one besides, in the same reading. Tables that only COPY may read
(see `fingerprint`) are digested by the runner, whole.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from psycopg2 import sql

from supaneon_sync.policy import grid as grids
from supaneon_sync.policy import moved
from supaneon_sync.policy.baseline import Content, Horizon
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.grid import Grid
from supaneon_sync.postgres import blocks, history
from supaneon_sync.postgres.blocks import Pair, Sums, both
from supaneon_sync.postgres.copying import Load
from supaneon_sync.postgres.fingerprint import (
    Fingerprint,
    Method,
    StreamDigest,
    as_written,
    copy_out,
    fingerprints,
    generated_columns,
    hashed_rows,
    method_for,
    remembered,
)
from supaneon_sync.postgres.keys import EVERYWHERE, Key, block, within
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import reading

_SAMPLE = 4000
"""Rows, about, that are looked at to learn how much of a table differs."""
_ROW = 100
"""Bytes of a row, where nobody knows."""

_NO_KEY = "it has no key that tells its rows apart"


class Fate(StrEnum):
    """What is to become of a table's rows on the mirror, in the words for what it then went through."""

    UNCHANGED = moved.UNCHANGED
    DELTA = moved.DELTA
    REWRITE = moved.REWRITTEN


@dataclass(frozen=True)
class Differing:
    """The blocks in which a table differs."""

    grid: Grid
    blocks: frozenset[int]


WHOLE = Differing(Grid(1), frozenset((0,)))


@dataclass(frozen=True)
class News:
    """What has become of a table that held ``then`` at ``horizon``: what ``found`` says.

    ``mirror`` is the mirror's own horizon of that time (None: not known).
    """

    horizon: Horizon
    then: Content
    found: history.Found
    mirror: Horizon | None = None

    @property
    def condition(self) -> sql.Composable:
        """The condition that a row of the primary is new."""
        if not self.found.new:
            return sql.SQL("false")
        return history.between(self.found) + sql.SQL(" AND ") + history.written(self.horizon, history.NEW)


@dataclass(frozen=True)
class Compared:
    """One table on both sides.

    ``source`` is the primary's fingerprint (None: not known yet), ``written`` the one without stored
    generated columns, where there are such. ``copy_rows`` is how many rows the mirror has, ``bytes`` what the
    primary sent for this, ``scans`` how often it read the table. ``where`` says in what it differs.
    ``proved`` is false where the mirror was not looked at, or is equal but for stored generated columns.
    """

    table: Relation
    fate: Fate
    source: Fingerprint | None
    copy_rows: int
    why: str = ""
    written: Fingerprint | None = None
    where: Differing | News = WHOLE
    bytes: int = 0
    scans: int = 1
    proved: bool = True


@dataclass(frozen=True)
class Known:
    """What is known before tables are compared: their keys, and what they held at the last proof.

    ``contents`` names only the tables whose history since ``horizon`` can be followed.
    """

    keys: Mapping[Relation, Key]
    contents: Mapping[Relation, Content] = field(default_factory=dict)
    horizon: Horizon | None = None
    mirror: Horizon | None = None


def compare(sessions: Pair, load: Load, reader: Reader, known: Known) -> tuple[Compared, ...]:
    """Compare tables in one transaction of the snapshot, each locked against change while it is read.

    Raises SnapshotLost, PrimaryError or NeonError.
    """
    look = _Look(sessions, reader, known)
    with reading(sessions[0], reader.snapshot, load, reader.lock_wait) as sizes:
        look.sizes = sizes
        followed = [table for table in load if table in known.contents]
        found = {one.table: one for one in look.by_history(followed)}
        plain = []
        for table in load:
            if table in found:
                continue
            if method_for(table) is Method.STREAM:
                found[table] = look.streamed(table)
            elif look.is_worth_cutting(table):
                found[table] = look.in_blocks(table)
            else:
                plain.append(table)
        found |= {one.table: one for one in look.plainly(plain)}
    return tuple(found[table] for table in load)


class _Look:
    """One worker's look at some tables, in the transaction that has them locked."""

    def __init__(self, sessions: Pair, reader: Reader, known: Known) -> None:
        self.sizes: dict[Relation, int] = {}
        self._sessions = sessions
        self._reader = reader
        self._known = known

    def rows(self, table: Relation) -> int:
        """Return about how many rows a table has."""
        return int(table.rows) if table.rows > 0 else self.sizes[table] // _ROW

    def is_worth_cutting(self, table: Relation) -> bool:
        """Say whether a table is large enough for blocks, and can be cut into them."""
        cuttable = table in self._known.keys and not generated_columns(table)
        return cuttable and self.rows(table) > grids.SMALL

    def by_history(self, tables: Sequence[Relation]) -> list[Compared]:
        """Ask the primary's row versions what has changed since the last proof."""
        horizon = self._known.horizon
        if horizon is None or not tables:
            return []
        found = history.news(self._sessions[0], tables, horizon)
        return [
            self._followed(
                table, News(horizon, self._known.contents[table], found[table], self._known.mirror)
            )
            for table in tables
        ]

    def _followed(self, table: Relation, news: News) -> Compared:
        then, rows, new = news.then, news.found.rows, news.found.new
        one = Compared(table, Fate.UNCHANGED, remembered(then), then.rows, proved=False)
        if not new and rows == then.rows:
            return one
        one = replace(one, source=None, where=news)
        if table not in self._known.keys:
            return replace(one, fate=Fate.REWRITE, why=_NO_KEY)
        if new > grids.REWRITE * rows:
            return replace(one, fate=Fate.REWRITE, why=f"{new} of its {rows} rows were written since")
        return replace(one, fate=Fate.DELTA)

    def streamed(self, table: Relation) -> Compared:
        """Compare what COPY sends on either side."""
        reader = self._reader

        def digest(session: Session) -> StreamDigest:
            found = StreamDigest(reader.seed)
            session.copy_out(
                copy_out(table), found if session is self._sessions[1] else _Paced(found, reader)
            )
            return found

        here, there = both(self._sessions, digest)
        source, copy = here.fingerprint(), there.fingerprint()
        same = source == copy
        fate = Fate.UNCHANGED if same else Fate.REWRITE
        why = "" if same else "only a COPY of it whole may be read"
        return Compared(table, fate, source, copy.rows, why, bytes=here.volume)

    def plainly(self, tables: Sequence[Relation]) -> list[Compared]:
        """Compare fingerprints, many tables a round trip; look closer where they differ."""
        bare = [table for table in tables if generated_columns(table)]
        asked = [(table, method_for(table)) for table in (*tables, *map(as_written, bare))]
        here, there = both(self._sessions, lambda session: fingerprints(session, asked, self._reader.seed))
        place = dict(zip(bare, range(len(tables), len(asked)), strict=True))
        found = []
        for number, table in enumerate(tables):
            other = place.get(table, number)
            written = here[other] if table in place else None
            one = Compared(
                table=table,
                fate=Fate.UNCHANGED,
                source=here[number],
                copy_rows=there[number].rows,
                written=written,
                proved=here[number] == there[number],
            )
            found.append(one if here[other] == there[other] else self._closer(one))
        return found

    def _closer(self, one: Compared) -> Compared:
        if one.table not in self._known.keys:
            return replace(one, fate=Fate.REWRITE, why=_NO_KEY)
        if not one.copy_rows:
            return replace(one, fate=Fate.REWRITE, why="the mirror has no row of it")
        if one.source is not None and one.source.rows <= grids.SMALL:
            return replace(one, fate=Fate.DELTA)
        found = self.in_blocks(one.table)
        return replace(found, source=one.source, written=one.written, scans=found.scans + 1)

    def in_blocks(self, table: Relation) -> Compared:
        """Compare a table block by block; decide whether its rows are fetched one by one or all."""
        grid = self._grid(table)
        if grid is None:
            return Compared(table, Fate.REWRITE, None, 0, "the mirror has no row of it", scans=0)
        here, there = self._sums(table, grid)
        differing = grids.differing(here.blocks, there.blocks)
        if not differing and here.fingerprint != there.fingerprint:  # two changes that hide each other
            grid, differing = WHOLE.grid, set(WHOLE.blocks)
        one = Compared(
            table=table,
            fate=Fate.DELTA if differing else Fate.UNCHANGED,
            source=here.fingerprint,
            copy_rows=there.fingerprint.rows,
            where=Differing(grid, frozenset(differing)),
            bytes=here.volume,
        )
        part = self._share(one, grid, differing) if differing else 0
        if part > grids.REWRITE:
            return replace(one, fate=Fate.REWRITE, why=f"about {part:.0%} of its rows differ")
        return one

    def _grid(self, table: Relation) -> Grid | None:
        """Return how the table is cut; None where the mirror has no row of it."""
        key = self._known.keys[table]
        count = grids.blocks_wanted(self.rows(table))
        name = sql.Identifier(table.schema, table.name)
        if not key.integer:
            statement = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format(name)
            return grids.by_hash(count) if self._sessions[1].value(statement) else None
        ends = blocks.span(self._sessions, table, key)
        return None if ends is None else grids.by_range(count, *ends)

    def _sums(self, table: Relation, grid: Grid) -> tuple[Sums, Sums]:
        key, seed = self._known.keys[table], self._reader.seed
        cut = sql.SQL("{} AS block").format(block(key, grid, seed))
        asked = blocks.statement(hashed_rows(as_written(table), seed, cut, EVERYWHERE))
        method = method_for(as_written(table))
        return both(self._sessions, lambda session: blocks.read(session, asked, method))

    def _share(self, one: Compared, grid: Grid, differing: Collection[int]) -> float:
        """Return about which share of the rows differs, by a sample where the blocks cannot tell."""
        rows = max(self.rows(one.table), one.copy_rows)
        told = grids.share(grid, len(differing), rows)
        if told is not None:
            return told
        count = max(1, _SAMPLE * grid.count // max(rows, 1))
        chosen = random.Random(0).sample(sorted(differing), min(count, len(differing)))  # noqa: S311
        key = self._known.keys[one.table]
        where = within(key, grid, chosen, self._reader.seed)
        rows_there = hashed_rows(as_written(one.table), self._reader.seed, sql.SQL("1 AS row"), where)
        statement = sql.SQL("SELECT one FROM {}").format(rows_there)
        here, there = both(self._sessions, lambda session: {row[0] for row in session.query(statement)})
        return 1 - len(here & there) / max(len(here), len(there), 1)


class _Paced:
    """Hands on what the primary sends, at the pace that is allowed."""

    def __init__(self, sink: StreamDigest, reader: Reader) -> None:
        self._sink = sink
        self._reader = reader

    def write(self, chunk: bytes, /) -> int:
        """Take the next bytes (called by the driver)."""
        self._reader.pace.spend(len(chunk))
        self._reader.moved(len(chunk))
        return self._sink.write(chunk)
