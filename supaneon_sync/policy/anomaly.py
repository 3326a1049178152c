"""Whether a backup holds so much less than the one before that somebody has to look: the brake.

A copy of an emptied primary is a true copy, so it is published. What it must not do is to pass for one
more ordinary night until the good ones have been pruned away.

Three things count: the rows in all, the rows of each table, and tables that are gone. A fall counts once
it is larger than the tolerance, and larger than a floor in rows, so that small tables do not cry wolf.
A table that was renamed is not gone, a partition that was dropped is a fall of its table's rows, and
what the settings leave out since is no fall at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from supaneon_sync.policy.backups import Backup
from supaneon_sync.policy.holdings import Holding

DEFAULT_TOLERANCE = 30
"""Per cent that rows may fall by from one backup to the next."""
ROWS_IN_ALL = 100
"""Rows that the whole database has to lose before its fall counts, unless it lost every one."""
ROWS_OF_A_TABLE = 1000
"""Rows that one table has to lose before its fall counts."""
ROWS_OF_AN_EMPTIED_TABLE = 100
"""The same where nothing of it is left."""
TABLES = 3
"""Tables that have to be gone before their number counts."""


class Kind(StrEnum):
    """What fell."""

    ROWS = "rows"
    TABLES = "tables"
    GONE = "gone"
    TABLE = "table"


@dataclass(frozen=True)
class Anomaly:
    """A fall beyond what is normal, in rows (TABLES: in tables). ``subject`` is a table's label or ''."""

    kind: Kind
    subject: str
    before: int
    now: int

    @property
    def percent(self) -> int:
        """By how much of a hundred it fell, rounded down: 100 means that nothing is left."""
        return 100 * (self.before - self.now) // self.before

    @property
    def sentence(self) -> str:
        """The fall in words, with its numbers, without a full stop."""
        fall = f"from {self.before} to {self.now} (by {self.percent} %)"
        if self.kind is Kind.ROWS:
            return f"rows in all fell {fall}"
        if self.kind is Kind.TABLES:
            return f"{self.before - self.now} of {self.before} tables are gone"
        if self.kind is Kind.GONE:
            return f"table {self.subject} is gone, which held {self.before} rows"
        return f"rows of table {self.subject} fell {fall}"


@dataclass(frozen=True)
class Limits:
    """What is normal: the ``tolerance`` in per cent, and the tables (by label) that nobody watches."""

    tolerance: int = DEFAULT_TOLERANCE
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Judgement:
    """What came of the comparison with the backup ``since`` ('': there was none to compare with).

    ``remarks`` say what could not be compared, or what else a reader should know.
    """

    since: str
    anomalies: tuple[Anomaly, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def brief(self) -> str:
        """All of it in a few words that name no table, '' where all is normal.

        This is what is written on the branch and shown beside it, in public logs too.
        """
        count = {kind: sum(one.kind is kind for one in self.anomalies) for kind in Kind}
        words = [f"rows in all fell by {one.percent} %" for one in self.anomalies if one.kind is Kind.ROWS]
        words += [f"{_tables(count[Kind.TABLE])} lost rows"] if count[Kind.TABLE] else []
        missing = [one.before - one.now for one in self.anomalies if one.kind is Kind.TABLES]
        gone = max([count[Kind.GONE], *missing])
        words += [f"{_tables(gone)} gone"] if gone else []
        return ", ".join(words)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each anomaly in words, with its numbers and tables, without a full stop."""
        return tuple(one.sentence for one in self.anomalies)


def judge(past: Holding | None, present: Holding, limits: Limits) -> Judgement:
    """Hold a copy against the last backup that was normal, and say what fell beyond the limits."""
    if past is None:
        return Judgement("", remarks=("No earlier backup's numbers are known: nothing to compare with.",))
    before = {label: one.rows for label, one in past.tables.items() if label not in limits.ignored}
    now = {label: rows for label, rows in _aligned(past, present).items() if label not in limits.ignored}
    for label in present.rowless:
        before.pop(label, None)
    remarks = []
    if past.cluster != present.cluster:
        remarks.append(f"The primary is another server than that of {past.backup}.")
    if past.scope != present.scope:
        before = {label: rows for label, rows in before.items() if label in now}
        now = {label: rows for label, rows in now.items() if label in before}
        remarks.append(
            f"The settings ask for another part of the primary than for {past.backup}: compared was what"
            f" both hold, {_tables(len(before))}."
        )
    return Judgement(past.backup, find(before, now, limits.tolerance), tuple(remarks))


def find(before: Mapping[str, int], now: Mapping[str, int], tolerance: int) -> tuple[Anomaly, ...]:
    """Return what fell by more than ``tolerance`` per cent between two counts of rows by table.

    The whole comes first, then single tables, the largest loss first.
    """
    gone = [label for label in before if label not in now]
    whole = [
        Anomaly(Kind.ROWS, "", sum(before.values()), sum(now.values())),
        Anomaly(Kind.TABLES, "", len(before), len(before) - len(gone)),
    ]
    single = [
        Anomaly(Kind.GONE if label not in now else Kind.TABLE, label, rows, now.get(label, 0))
        for label, rows in before.items()
    ]
    single.sort(key=lambda one: (one.now - one.before, one.subject))
    return tuple(one for one in (*whole, *single) if _counts(one, tolerance))


def _counts(one: Anomaly, tolerance: int) -> bool:
    lost = one.before - one.now
    if lost <= 0 or 100 * lost <= tolerance * one.before:
        return False
    if one.kind is Kind.ROWS:
        return lost >= ROWS_IN_ALL or one.now == 0
    if one.kind is Kind.TABLES:
        return lost >= TABLES
    return lost >= (ROWS_OF_A_TABLE if one.now else ROWS_OF_AN_EMPTIED_TABLE)


def _aligned(past: Holding, present: Holding) -> dict[str, int]:
    """Return the rows by table as they are now, a table that was renamed under its former name."""
    former = {one.oid: label for label, one in past.tables.items()} if past.cluster == present.cluster else {}
    rows = {}
    for label, one in present.tables.items():
        name = former.get(one.oid, label)
        renamed = label not in past.tables and name not in present.tables
        rows[name if renamed else label] = one.rows
    return rows


def _tables(count: int) -> str:
    return f"{count} table{'' if count == 1 else 's'}"


def aside(backup: Backup) -> str:
    """Return the sentence to add where a backup is named, with a space before it; '' where it was normal."""
    return f" It is an anomaly: {backup.anomaly}." if backup.anomaly else ""


def remark(backup: Backup, there: Iterable[Backup]) -> str:
    """Return what to say beside a backup that somebody is about to use, '' where it was normal.

    ``there`` are all the backups, the newest first.
    """
    if not backup.anomaly:
        return ""
    normal = newest_normal(tuple(there))
    instead = normal.name if normal else "not there"
    return (
        f"{backup.name} was marked as an anomaly when it was made: {backup.anomaly}."
        f" The newest healthy backup without such a mark is {instead}."
    )


def newest_normal(there: Sequence[Backup]) -> Backup | None:
    """Return the newest healthy backup that is no anomaly; ``there`` is newest first."""
    return next((one for one in there if one.healthy and not one.anomaly), None)
