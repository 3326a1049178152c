"""Foreign keys: made all at once without looking at rows, then held against the rows in parallel.

ADD FOREIGN KEY locks both tables against writes and so deadlocks with its like; VALIDATE takes locks
that let every other one pass, so tables can be checked side by side. What the rows violate stays NOT
VALID, and is named.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg2 import sql

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.entries import Entry
from supaneon_sync.postgres.crew import Crew, Sessions, tolerated
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.violations import FOREIGN_KEY, Violation, all_taken, naming

_BATCH = 50
_UNSUPPORTED = ("0A000", "42809")
"""A partitioned table takes no NOT VALID foreign key before PostgreSQL 18."""
_UNTRIED = """
SELECT c.oid, n.nspname, t.relname, c.conname, t.relpages,
       c.oid IN (SELECT conparentid FROM pg_constraint WHERE conparentid <> 0) FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND NOT c.convalidated AND c.conparentid = 0
  AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
ORDER BY t.relpages DESC, t.oid, c.oid
"""
_TOGETHER, _PAGES = 32, 512
"""Of how many tables the keys are held against the rows in one round trip, and of how many pages (8 KiB)."""


@dataclass(frozen=True)
class _Key:
    oid: int
    schema: str
    table: str
    name: str
    pages: int
    partitioned: bool


@dataclass(frozen=True)
class Validation:
    """Foreign keys that one worker holds against the rows: those of a table, or of several small ones."""

    keys: tuple[tuple[_Key, Entry], ...]


def add(
    session: Session, crew: Crew[Validation, tuple[Violation, ...]], entries: Sequence[Entry]
) -> list[Violation]:
    """Add the foreign keys. Return those that the rows violate; raise NeonError for any other refusal."""
    if not entries:
        return []
    already = {row[0] for row in session.query(_UNTRIED)}
    left: list[Entry] = []
    deferred: list[Entry] = []
    for start in range(0, len(entries), _BATCH):
        part = entries[start : start + _BATCH]
        plain = [entry for entry in part if _is_final(entry)]
        left += plain
        deferred += _without_looking(session, [entry for entry in part if entry not in plain], left)
    found = [_Key(*row) for row in session.query(_UNTRIED) if row[0] not in already]
    named = {(entry.schema, entry.tag): entry for entry in deferred}
    left += _taken_back(session, [key for key in found if key.partitioned], named)
    validations = _validations([key for key in found if not key.partitioned], named)
    violations = [violation for group in crew.work(validations).values() for violation in group]
    for entry in left:
        violations += _directly(session, entry)
    return violations


def _is_final(entry: Entry) -> bool:
    """Say whether the definition itself keeps the rows from being looked at."""
    return entry.definition.rstrip().rstrip(";").endswith(("NOT VALID", "NOT ENFORCED"))


def _unseen(entry: Entry) -> str:
    return entry.definition.rstrip().removesuffix(";") + " NOT VALID;"


def _without_looking(session: Session, entries: Sequence[Entry], left: list[Entry]) -> list[Entry]:
    """Add the keys NOT VALID, in one round trip; those that cannot be go to ``left``."""
    if entries and all_taken(session, "\n".join(map(_unseen, entries))):
        return list(entries)
    added: list[Entry] = []
    for entry in entries:
        try:
            with naming(entry):
                session.execute(_unseen(entry))
            added.append(entry)
        except NeonError as error:
            if not tolerated(error, *_UNSUPPORTED):
                raise
            left.append(entry)
    return added


def _taken_back(
    session: Session, keys: Sequence[_Key], named: Mapping[tuple[str, str], Entry]
) -> list[Entry]:
    """Remove the keys to or from partitioned tables again, and return them.

    VALIDATE leaves the constraints of their partitions marked as not valid.
    """
    found: list[Entry] = []
    for key in keys:
        entry = named.get((key.schema, f"{key.table} {key.name}"))
        if entry is not None:
            session.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                    sql.Identifier(key.schema, key.table), sql.Identifier(key.name)
                )
            )
            found.append(entry)
    return found


def _validations(keys: Sequence[_Key], named: Mapping[tuple[str, str], Entry]) -> list[Validation]:
    """Group the keys, which come by table and the largest first; a table's are never parted.

    VALIDATE locks the table against its like, and such locks last for a round trip.
    """
    wanted = [
        (key, named[name]) for key in keys if (name := (key.schema, f"{key.table} {key.name}")) in named
    ]
    groups: list[list[tuple[_Key, Entry]]] = []
    room = 0
    for _, found in itertools.groupby(wanted, lambda one: (one[0].schema, one[0].table)):
        of_table = list(found)
        size = max(of_table[0][0].pages, _PAGES // _TOGETHER)
        if not groups or size > room:
            groups.append([])
            room = _PAGES
        groups[-1] += of_table
        room -= size
    return [Validation(tuple(group)) for group in groups]


def validate(sessions: Sessions, one: Validation) -> tuple[Violation, ...]:
    """Hold the keys against the rows: small tables' in one round trip, and one by one where that fails."""
    if len(one.keys) > 1 and one.keys[0][0].pages <= _PAGES:
        together = sql.SQL("; ").join(_validating(key) for key, _ in one.keys)
        if all_taken(sessions[0], together):
            return ()
    violations: list[Violation] = []
    for key, entry in one.keys:
        try:
            with naming(entry):
                sessions[0].execute(_validating(key))
        except NeonError as error:
            if not tolerated(error, FOREIGN_KEY):
                raise
            violations.append(Violation(entry, "made NOT VALID: the primary's own rows violate it"))
    return tuple(violations)


def _validating(key: _Key) -> sql.Composable:
    return sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(
        sql.Identifier(key.schema, key.table), sql.Identifier(key.name)
    )


def _directly(session: Session, entry: Entry) -> list[Violation]:
    try:
        with naming(entry):
            session.execute(entry.definition)
    except NeonError as error:
        if not tolerated(error, FOREIGN_KEY):
            raise
    else:
        return []
    try:
        with naming(entry):
            session.execute(_unseen(entry))
    except NeonError as error:
        if not tolerated(error, *_UNSUPPORTED):
            raise
        return [Violation(entry, "left out: the primary's own rows violate it")]
    return [Violation(entry, "made NOT VALID: the primary's own rows violate it")]
