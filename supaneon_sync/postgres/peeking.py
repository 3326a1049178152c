"""Names of things that no copy gets, from tables that anybody may have put there: jobs and secrets.

Only plain tables are read, only columns of PostgreSQL's own types, and only by COPY, which takes a
table's rows as they are: it refuses views and foreign tables, plans nothing, and runs no code of the
table's owner. Row security ends in an error, not in a policy's function.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from psycopg2 import sql

from supaneon_sync.errors import PrimaryError
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Snapshot, joined

_TEXT = ("text", "name", "character varying")
_MOST = 1024 * 1024
_UNREADABLE = ("42501", "42P01", "42809", "55P03", "0A000", "42703", "3F000")
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\"}


@dataclass(frozen=True)
class Names:
    """What was found. None: there is such a table, and this role may not read it."""

    jobs: tuple[str, ...] | None = ()
    secrets: tuple[str, ...] | None = ()


def read(session: Session, snapshot: Snapshot, facts: Inventory) -> Names:
    """Return the names of scheduled jobs and of the vault's secrets, never what they do or hold."""
    jobs = _names(session, snapshot, _find(facts, "cron", "job"), ("jobname", "schedule"))
    secrets = _names(session, snapshot, _find(facts, "vault", "secrets"), ("name",))
    return Names(jobs, secrets)


def _find(facts: Inventory, schema: str, name: str) -> Relation | None:
    found = (one for one in facts.relations.values() if (one.schema, one.name) == (schema, name))
    return next((one for one in found if one.kind == "r"), None)


def _names(
    session: Session, snapshot: Snapshot, table: Relation | None, columns: tuple[str, ...]
) -> tuple[str, ...] | None:
    if table is None:
        return ()
    plain = {one.name for one in table.columns if one.type in _TEXT and not one.generated}
    wanted = [name for name in columns if name in plain]
    if not wanted:
        return None
    statement = sql.SQL("COPY {} ({}) TO STDOUT").format(
        sql.Identifier(table.schema, table.name), sql.SQL(", ").join(map(sql.Identifier, wanted))
    )
    sink = _Sink()
    try:
        with joined(session, snapshot):
            session.execute("SET LOCAL lock_timeout = %s", (f"{_LOCK_WAIT // timedelta(milliseconds=1)}ms",))
            session.copy_out(statement, sink)
    except PrimaryError as error:
        if error.evidence.get("sqlstate") not in _UNREADABLE:
            raise
        return None
    return tuple(sorted(_shown(line) for line in sink.lines()))


_LOCK_WAIT = timedelta(seconds=5)


class _Sink:
    """Keeps the first mebibyte of what comes."""

    def __init__(self) -> None:
        self._content = b""

    def write(self, chunk: bytes, /) -> int:
        """Take the next bytes (called by the driver)."""
        self._content += chunk[: _MOST - len(self._content)]
        return len(chunk)

    def lines(self) -> list[str]:
        """Return the whole lines."""
        return self._content.decode(errors="replace").split("\n")[:-1]


def _shown(line: str) -> str:
    name, *rest = (_plain(field) for field in line.split("\t"))
    return (
        f"{name or 'without a name'} ({', '.join(filter(None, rest))})" if rest else name or "without a name"
    )


def _plain(field: str) -> str:
    if field == "\\N":
        return ""
    text = ""
    while field:
        step = 2 if field[:2] in _ESCAPES else 1
        text, field = text + _ESCAPES.get(field[:2], field[0]), field[step:]
    return text
