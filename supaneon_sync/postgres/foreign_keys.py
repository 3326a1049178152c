"""Foreign keys: made all at once without looking at rows, then held against the rows in parallel.

ADD FOREIGN KEY locks both tables against writes and so deadlocks with its like; VALIDATE takes locks
that let every other one pass, so tables can be checked side by side. What the rows violate stays NOT
VALID, and is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg2 import sql

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.entries import Entry
from supaneon_sync.postgres.crew import Crew, Sessions, tolerated
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.violations import FOREIGN_KEY, Violation, naming

_BATCH = 50
_UNSUPPORTED = ("0A000", "42809")
"""A partitioned table takes no NOT VALID foreign key before PostgreSQL 18."""
_UNTRIED = """
SELECT c.oid, n.nspname, t.relname, c.conname, c.conrelid,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conparentid = c.oid) FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND NOT c.convalidated AND c.conparentid = 0
  AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
ORDER BY t.relpages DESC, c.oid
"""


@dataclass(frozen=True)
class _Key:
    oid: int
    schema: str
    table: str
    name: str
    relation: int
    partitioned: bool


@dataclass(frozen=True)
class Validation:
    """The foreign keys of one table that are to be held against its rows."""

    schema: str
    table: str
    keys: tuple[tuple[str, Entry], ...]


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
    if not entries:
        return []
    try:
        session.execute("\n".join(map(_unseen, entries)))
    except NeonError as error:
        if "sqlstate" not in error.evidence:
            raise
    else:
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
    groups: dict[int, list[tuple[str, Entry]]] = {}
    names: dict[int, tuple[str, str]] = {}
    for key in keys:
        entry = named.get((key.schema, f"{key.table} {key.name}"))
        if entry is not None:
            groups.setdefault(key.relation, []).append((key.name, entry))
            names[key.relation] = (key.schema, key.table)
    return [Validation(*names[relation], tuple(found)) for relation, found in groups.items()]


def validate(sessions: Sessions, one: Validation) -> tuple[Violation, ...]:
    """Hold one table's foreign keys against the rows, one after the other."""
    violations: list[Violation] = []
    for constraint, entry in one.keys:
        statement = sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(
            sql.Identifier(one.schema, one.table), sql.Identifier(constraint)
        )
        try:
            with naming(entry):
                sessions[0].execute(statement)
        except NeonError as error:
            if not tolerated(error, FOREIGN_KEY):
                raise
            violations.append(Violation(entry, "made NOT VALID: the primary's own rows violate it"))
    return tuple(violations)


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
