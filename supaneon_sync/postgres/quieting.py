"""A table's own triggers and rules, kept still while its rows are brought along by us.

`session_replication_role` is not the owner's to set. Each trigger's state is put back as it was: `ENABLE
TRIGGER USER` would turn on what the primary has deliberately turned off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg2 import sql

from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.session import Session

_STATES = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
"""How a state is set again, by ``tgenabled`` or ``ev_enabled``; 'D' needs nothing."""

_ACTING = """
SELECT n.nspname, c.relname, 'TRIGGER', t.tgname, t.tgenabled::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND c.relkind = 'r' AND n.nspname !~ '^pg_'
UNION ALL
SELECT n.nspname, c.relname, 'RULE', r.rulename, r.ev_enabled::text
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND r.ev_enabled <> 'D' AND c.relkind = 'r' AND n.nspname !~ '^pg_'
ORDER BY 1, 2, 3, 4
"""


@dataclass(frozen=True)
class Acting:
    """A trigger or rule that is not turned off: its kind, its name, its state."""

    kind: str
    name: str
    state: str


def read(session: Session) -> dict[tuple[str, str], tuple[Acting, ...]]:
    """Return what acts on writes to the tables of the session's database, by schema and name."""
    found: dict[tuple[str, str], tuple[Acting, ...]] = {}
    for schema, table, kind, name, state in session.query(_ACTING):
        found[schema, table] = (*found.get((schema, table), ()), Acting(kind, name, state))
    return found


@contextmanager
def quiet(
    session: Session, table: Relation, acting: Mapping[tuple[str, str], tuple[Acting, ...]]
) -> Iterator[None]:
    """Run the block, inside a transaction, with the table's triggers and rules turned off."""
    mine = acting.get((table.schema, table.name), ())
    if mine:
        session.execute(_alter(table, [("DISABLE", one) for one in mine]))
    yield
    if mine:
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table that checks still wait for is not altered
        session.execute(_alter(table, [(_STATES[one.state], one) for one in mine]))


def _alter(table: Relation, changes: list[tuple[str, Acting]]) -> sql.Composed:
    return sql.SQL("ALTER TABLE ONLY {} {}").format(
        sql.Identifier(table.schema, table.name),
        sql.SQL(", ").join(
            sql.SQL(f"{word} {one.kind} ") + sql.Identifier(one.name) for word, one in changes
        ),
    )
