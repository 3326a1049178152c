"""Making one table of the mirror equal to the snapshot, moving only the rows that differ.

The primary sends each row's key and hashes: of the rows that are new by its history, or of the blocks that
were found to differ. The mirror deletes what differs or is gone; the rows that are wanted come by COPY,
straight into the table. So no constraint is met on the way that the primary's rows would not meet, and what
crosses is a few bytes for each row in question, and the rows that changed. One transaction on the mirror: a
run that is killed leaves the table as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg2 import sql

from supaneon_sync.policy import grid as grids
from supaneon_sync.policy.divergence import Counts
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import blocks, history, quieting
from supaneon_sync.postgres.blocks import Pair
from supaneon_sync.postgres.comparing import Compared, Differing, News
from supaneon_sync.postgres.fingerprint import (
    NOTHING,
    Fingerprint,
    Method,
    Tally,
    as_written,
    copy_out,
    fingerprint,
    hashed_rows,
    method_for,
    remembered,
    written_columns,
)
from supaneon_sync.postgres.keys import EVERYWHERE, Key, block, within
from supaneon_sync.postgres.quieting import Acting
from supaneon_sync.postgres.relay import relay
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import reading

_FOLLOWED, _SEARCHED = 2, 2
"""Readings of a table for what is new, and more for what is gone."""
_WANTED = 20_000
"""How many rows are asked for in one statement."""

_MAKE_THEIRS = """
CREATE TEMP TABLE theirs ON COMMIT DROP AS
SELECT {keys}, 0::int8 AS one, 0::int8 AS two FROM {table} LIMIT 0
"""
_TAKE_DIFFERING = """
CREATE TEMP TABLE ours ON COMMIT DROP AS SELECT {aliases}, one, two FROM {rows};
CREATE TEMP TABLE gone ON COMMIT DROP AS
SELECT {ours}, t.one IS NOT NULL AS stays FROM ours o LEFT JOIN theirs t ON {same}
WHERE (t.one, t.two) IS DISTINCT FROM (o.one, o.two);
CREATE TEMP TABLE wanted ON COMMIT DROP AS
SELECT {theirs}, o.one IS NOT NULL AS stays FROM theirs t LEFT JOIN ours o ON {same}
WHERE (o.one, o.two) IS DISTINCT FROM (t.one, t.two);
DELETE FROM ONLY {table} AS kept USING gone WHERE {matched};
SELECT (SELECT count(*) FROM wanted WHERE NOT stays), (SELECT count(*) FROM wanted WHERE stays),
       (SELECT count(*) FROM gone WHERE NOT stays)
"""
_TAKE_FORMER = """
CREATE TEMP TABLE ours ON COMMIT DROP AS SELECT {aliases}, place, rested, one, two FROM {rows};
DELETE FROM ONLY {table} AS kept USING ours WHERE kept.ctid = ours.place;
SELECT n.*, f.*, (SELECT count(*) FROM ours o JOIN theirs t ON {same} AND o.one = t.one AND o.two = t.two),
       (SELECT coalesce(bool_and(rested), true) FROM ours)
FROM (SELECT count(*), coalesce(sum(one), 0)::text, coalesce(sum(two), 0)::text FROM theirs) n,
     (SELECT count(*), coalesce(sum(one), 0)::text, coalesce(sum(two), 0)::text FROM ours) f
"""
_FIND_BY_KEY = "ANALYZE pg_temp.theirs; SET LOCAL random_page_cost = 1.1"
"""A few rows are found by their keys: without statistics the whole table would be read for them."""
_MAKE_STAYING = "CREATE TEMP TABLE staying ON COMMIT DROP AS SELECT {keys} FROM {table} LIMIT 0"
_TAKE_GONE = """
CREATE TEMP TABLE gone ON COMMIT DROP AS
SELECT {aliases} FROM (SELECT {keys} FROM ONLY {table} AS rows WHERE {within}) AS m
WHERE NOT EXISTS (SELECT FROM staying s WHERE {same});
CREATE TEMP TABLE removed ON COMMIT DROP AS
SELECT count(*), coalesce(sum(one), 0)::text AS one, coalesce(sum(two), 0)::text AS two,
       coalesce(bool_and(rested), true) FROM {rows};
DELETE FROM ONLY {table} AS kept USING gone WHERE {matched};
SELECT * FROM removed
"""


class Altered(Exception):
    """The mirror does not hold what was last proved of it: something other than a backup wrote there."""


@dataclass(frozen=True)
class Brought:
    """What it took to make a table equal.

    ``counts``: rows by what became of them (None: not counted); ``bytes`` were sent by the primary;
    ``source``: its fingerprint, where that was taken here; ``scans``: how often the table was read.
    ``kept``: what is left on the mirror of the rows that were proved there last (None: not known).
    """

    counts: Counts | None
    bytes: int
    source: Fingerprint | None = None
    scans: int = 1
    kept: Tally | None = None


def bring(
    sessions: Pair,
    one: Compared,
    key: Key,
    reader: Reader,
    acting: Mapping[tuple[str, str], tuple[Acting, ...]],
) -> Brought:
    """Fetch and apply what is new by the primary's history, or what differs in the blocks that do.

    Foreign keys that refer to the table have to be out of the way. Raises Altered, SnapshotLost,
    PrimaryError, NeonError (with the SQLSTATE of a constraint where rows do not meet what stands there).
    """
    with (
        reading(sessions[0], reader.snapshot, [one.table], reader.lock_wait),
        sessions[1].transaction(),
        quieting.quiet(sessions[1], one.table, acting),
    ):
        work = _Table(sessions, one.table, key, reader)
        if isinstance(one.where, News):
            return work.follow(one.where)
        return work.make_equal(one.where)


def rewrite(
    sessions: Pair,
    one: Compared,
    reader: Reader,
    acting: Mapping[tuple[str, str], tuple[Acting, ...]],
) -> Brought:
    """Empty the table and load it whole, its indexes in place. Raises as `bring` does."""
    source, target = sessions
    with (
        reading(source, reader.snapshot, [one.table], reader.lock_wait),
        target.transaction(),
        quieting.quiet(target, one.table, acting),
    ):
        target.execute(sql.SQL("TRUNCATE ONLY {}").format(_name(one.table)))
        out = copy_out(one.table, binary=_in_binary(one.table))
        volume = relay(source, out, target, _into(one.table), reader)
        taken = one.source or fingerprint(source, one.table, reader.seed, method_for(one.table))
    return Brought(None, volume, taken)


def _name(table: Relation) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


def _in_binary(table: Relation) -> bool:
    return method_for(table) is Method.BINARY


def _into(table: Relation) -> sql.Composed:
    binary = sql.SQL(" (FORMAT binary)" if _in_binary(table) else "")
    return sql.SQL("COPY {}{} FROM STDIN{}").format(_name(table), written_columns(table), binary)


class _Table:
    """One table at work: the primary's transaction reads it, the mirror's writes it."""

    def __init__(self, sessions: Pair, table: Relation, key: Key, reader: Reader) -> None:
        self._sessions = sessions
        self._source, self._target = sessions
        self._table = table
        self._key = key
        self._reader = reader
        self._volume = 0

    def make_equal(self, differing: Differing) -> Brought:
        """Bring the blocks that differ along."""
        where = within(self._key, differing.grid, differing.blocks, self._reader.seed)
        self._exchange(where)
        counts = Counts(*self._target.one(self._format(_TAKE_DIFFERING, rows=self._hashed(where))))
        if counts.added or counts.changed:
            for wanted in _wanted(self._target, self._key):
                self._fetch(wanted)
        return Brought(counts, self._volume)

    def follow(self, news: News) -> Brought:
        """Take what is new, and take away what has gone; tell what the primary holds by that."""
        new = news.condition
        self._exchange(new)
        self._target.execute(_FIND_BY_KEY)
        former = sql.SQL("EXISTS (SELECT FROM theirs WHERE {})").format(self._key.equal("rows", "theirs"))
        rows = self._hashed(
            former, beside=sql.SQL("rows.ctid AS place, {}, {}").format(_rested(news), self._key.named)
        )
        told = self._target.one(self._format(_TAKE_FORMER, rows=rows))
        came, went, (same, rested) = Tally.read(*told[:3]), Tally.read(*told[3:6]), told[6:]
        then = remembered(news.then)
        rest = Tally.of(then) - went
        gone, gone_rested = self._gone(news, (rest + came).rows - news.found.rows)
        self._fetch(new)
        kept = rest - gone
        counts = Counts(came.rows - went.rows, went.rows - same, gone.rows)
        scans = _FOLLOWED + (_SEARCHED if gone.rows else 0)
        return Brought(
            counts,
            self._volume,
            (kept + came).fingerprint(then.method),
            scans,
            kept if rested and gone_rested else None,
        )

    def _exchange(self, where: sql.Composable) -> None:
        """Bring keys and hashes of the primary's rows to the mirror."""
        self._target.execute(sql.SQL(_MAKE_THEIRS).format(keys=self._key.named, table=_name(self._table)))
        out = sql.SQL("COPY (SELECT {}, one, two FROM {}) TO STDOUT{}").format(
            _aliases(self._key), self._hashed(where), self._key_format
        )
        self._relay(out, sql.SQL("COPY pg_temp.theirs FROM STDIN{}").format(self._key_format))

    @property
    def _key_format(self) -> sql.SQL:
        return sql.SQL(" (FORMAT binary)" if self._key.portable else "")

    def _relay(self, out: sql.Composable, into: sql.Composable) -> None:
        self._volume += relay(self._source, out, self._target, into, self._reader)

    def _hashed(self, where: sql.Composable, beside: sql.Composable | None = None) -> sql.Composed:
        return hashed_rows(as_written(self._table), self._reader.seed, beside or self._key.named, where)

    def _format(self, text: str, **more: sql.Composable) -> sql.Composed:
        names = {
            "aliases": _aliases(self._key),
            "ours": _aliases(self._key, "o"),
            "theirs": _aliases(self._key, "t"),
            "same": _same(self._key, "o", "t"),
            "keys": self._key.named,
            "table": _name(self._table),
        }
        return sql.SQL(text).format(**names | {"matched": self._key.equal("kept", "gone")} | more)

    def _fetch(self, where: sql.Composable) -> None:
        """Copy the primary's rows that meet the condition into the table."""
        written = as_written(self._table)
        out = sql.SQL("COPY (SELECT {} FROM ONLY {} AS rows WHERE {}) TO STDOUT{}").format(
            sql.SQL(", ").join(sql.Identifier(column.name) for column in written.columns),
            _name(self._table),
            where,
            sql.SQL(" (FORMAT binary)" if _in_binary(self._table) else ""),
        )
        self._relay(out, _into(self._table))

    def _gone(self, news: News, count: int) -> tuple[Tally, bool]:
        """Delete the rows that the primary does not have any more: so many are known to have gone."""
        if not count:
            return NOTHING, True
        old = history.written(news.horizon, history.OLD)
        blocks_gone = self._without_some(news, count, old) if count > 0 else None
        if blocks_gone is None:
            raise Altered
        chosen = within(self._key, blocks_gone.grid, blocks_gone.blocks, self._reader.seed)
        self._target.execute(sql.SQL(_MAKE_STAYING).format(keys=self._key.named, table=_name(self._table)))
        out = sql.SQL("COPY (SELECT {} FROM ONLY {} AS rows WHERE {} AND {}) TO STDOUT{}").format(
            self._key.named, _name(self._table), old, chosen, self._key_format
        )
        self._relay(out, sql.SQL("COPY pg_temp.staying FROM STDIN{}").format(self._key_format))
        condition = sql.SQL("EXISTS (SELECT FROM gone WHERE {})").format(self._key.equal("rows", "gone"))
        found = self._format(
            _TAKE_GONE,
            within=chosen,
            same=_same(self._key, "m", "s"),
            rows=self._hashed(condition, beside=_rested(news)),
        )
        *sums, rested = self._target.one(found)
        removed = Tally.read(*sums)
        if removed.rows != count:
            raise Altered
        return removed, rested

    def _without_some(self, news: News, count: int, old: sql.Composable) -> Differing | None:
        """Return the blocks in which rows are gone; None where the mirror has none at all."""
        keys = replace(self._table, columns=self._key.columns)
        wanted = grids.blocks_wanted(news.then.rows, count)
        if self._key.integer:
            ends = blocks.span(self._sessions, self._table, self._key)
            grid = None if ends is None else grids.by_range(wanted, *ends)
        else:
            grid = grids.by_hash(wanted)
        if grid is None:
            return None
        cut = sql.SQL("{} AS block").format(block(self._key, grid, self._reader.seed))

        def ask(session: Session) -> blocks.Sums:
            where = old if session is self._source else EVERYWHERE
            rows = hashed_rows(keys, self._reader.seed, cut, where)
            return blocks.read(session, blocks.statement(rows), method_for(keys))

        here, there = blocks.both(self._sessions, ask)
        self._volume += here.volume
        return Differing(grid, frozenset(grids.differing(here.blocks, there.blocks)))


def _rested(news: News) -> sql.Composable:
    """Return, as a column, whether nobody has written to a row of the mirror since it was proved."""
    told = sql.SQL("false") if news.mirror is None else history.written(news.mirror, history.OLD)
    return sql.SQL("{} AS rested").format(told)


def _aliases(key: Key, table: str = "") -> sql.Composed:
    prefix = sql.SQL(f"{table}." if table else "")
    return sql.SQL(", ").join(prefix + alias for alias in key.aliases)


def _same(key: Key, one: str, other: str) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL(f"{one}.{{0}} = {other}.{{0}}").format(alias) for alias in key.aliases
    )


def _wanted(target: Session, key: Key) -> Iterator[sql.Composable]:
    """Yield conditions that the wanted rows meet, a batch of keys each, in the keys' order."""
    columns = [sql.SQL("{}::text").format(alias) for alias in key.aliases]
    if not _is_told_by_value(key):
        columns = [sql.SQL("textin(record_out(ROW({})))").format(_aliases(key))]
    target.execute(
        sql.SQL("DECLARE wanting NO SCROLL CURSOR FOR SELECT {} FROM wanted ORDER BY {}").format(
            sql.SQL(", ").join(columns), _aliases(key)
        )
    )
    while batch := target.query(f"FETCH {_WANTED} FROM wanting"):
        yield _condition(key, list(zip(*batch, strict=True)))
    target.execute("CLOSE wanting")


def _is_told_by_value(key: Key) -> bool:
    """Say whether the key's values may be handed to the primary: their input must run nobody's code."""
    return key.portable and not any(column.type.endswith("[]") for column in key.columns)


def _condition(key: Key, values: list[tuple[str, ...]]) -> sql.Composable:
    if not _is_told_by_value(key):
        return sql.SQL("{} = ANY ({}::text[])").format(key.text, _array(values[0]))
    lists = [
        sql.SQL("{}::{}[]").format(_array(texts), sql.SQL(column.type))
        for column, texts in zip(key.columns, values, strict=True)
    ]
    if len(lists) == 1:
        return sql.SQL("{} = ANY ({})").format(key.names, lists[0])
    return sql.SQL("({}) IN (SELECT * FROM unnest({}))").format(key.names, sql.SQL(", ").join(lists))


def _array(texts: Sequence[str]) -> sql.Composable:
    """Return the texts as the literal of an array."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return sql.Literal("{" + ",".join(f'"{text}"' for text in quoted) + "}")
