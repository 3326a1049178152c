"""The database `supaneon` on the mirror, ours alone: ownership marker, lock, manifest, ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg2.extras import Json

from supaneon_sync.errors import Locked, NeonError
from supaneon_sync.postgres.crew import tolerated
from supaneon_sync.postgres.session import Session
from supaneon_sync.report.ledger import LedgerRow

LAYOUT = 1
"""Version of the tables below. A house of a newer layout is left alone."""

_LOCK = 0x7375_7061_6E65_6F6E
_PRUNE_LOCK = 0x7375_7061_7072_756E
_TABLES = """
CREATE SCHEMA IF NOT EXISTS supaneon;
CREATE TABLE IF NOT EXISTS supaneon.marker (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  layout integer NOT NULL, project text NOT NULL, database text NOT NULL,
  made_at timestamptz NOT NULL, tool text NOT NULL);
CREATE TABLE IF NOT EXISTS supaneon.manifest (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  digest text NOT NULL, body text NOT NULL, written_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS supaneon.ledger (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL, kind text NOT NULL, subject text NOT NULL, verdict text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}');
"""
_BASELINE = """
CREATE TABLE IF NOT EXISTS supaneon.baseline (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  body bytea NOT NULL, written_at timestamptz NOT NULL);
"""
_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename = current_user AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_NOT_THERE = ("42P01", "3F000")


class House:
    """The house database, through one session that may also hold its lock."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def build(self, project: str, database: str, tool: str, now: datetime) -> None:
        """Make the tables and write the marker: the first thing that is done to a new mirror.

        ``database`` is the one database beside this one that is ours to change.
        """
        with self.session.transaction():
            self.session.execute(_TABLES)
            self.session.execute(
                "INSERT INTO supaneon.marker (layout, project, database, made_at, tool)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (LAYOUT, project, database, now, tool),
            )

    def marker(self) -> tuple[int, str] | None:
        """Return the marker's layout version and our database's name, None where there is no marker."""
        rows = self._stored("SELECT layout, database FROM supaneon.marker")
        return (int(rows[0][0]), str(rows[0][1])) if rows else None

    def readable(self) -> bool:
        """Say whether the session's role may read what is there; True where nothing is there yet."""
        return bool(
            self.session.value(
                "SELECT coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE')"
                " AND has_table_privilege(c.oid, 'SELECT')), true)"
                " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'supaneon' AND c.relkind = 'r'"
            )
        )

    def lock(self) -> None:
        """Take the lock that lets one run at a time change the mirror, and end our other backends there.

        A run that lost its lock session must not go on writing beside the new holder. Raises Locked.
        """
        if not self.session.value("SELECT pg_try_advisory_lock(%s)", (_LOCK,)):
            raise Locked(
                "Another run holds the mirror's lock.",
                remedy="Wait for it to end. In GitHub Actions, give the workflow a concurrency group.",
            )
        self.session.query(_OTHERS)

    def lock_pruning(self) -> None:
        """Take the lock that lets one run at a time remove or pin backups. A backup may go on meanwhile.

        Raises Locked.
        """
        if not self.session.value("SELECT pg_try_advisory_lock(%s)", (_PRUNE_LOCK,)):
            raise Locked(
                "Another run is removing or pinning backups.",
                remedy="Wait for it to end. In GitHub Actions, give the workflow a concurrency group.",
            )

    def still_locked(self) -> None:
        """Raise NeonError unless this session still holds the lock."""
        held = self.session.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted"
            " AND classid = %s::bigint::oid AND objid = %s::bigint::oid",
            (_LOCK >> 32, _LOCK & 0xFFFF_FFFF),
        )
        if not held:
            raise NeonError(
                "The mirror's lock was lost while working; nothing was published.", remedy="Run it again."
            )

    def manifest(self) -> tuple[str, str] | None:
        """Return the manifest's digest and body as they stand there, None where there is none."""
        rows = self._stored("SELECT digest, body FROM supaneon.manifest")
        return (rows[0][0], rows[0][1]) if rows else None

    def forget_manifest(self) -> None:
        """Delete the manifest: from here on the mirror claims nothing."""
        self.session.execute("DELETE FROM supaneon.manifest")

    def write_manifest(self, digest: str, body: str, now: datetime) -> None:
        """Store the manifest of what has just been proved."""
        self.session.execute(
            "INSERT INTO supaneon.manifest (digest, body, written_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (singleton) DO UPDATE SET (digest, body, written_at) ="
            " (EXCLUDED.digest, EXCLUDED.body, EXCLUDED.written_at)",
            (digest, body, now),
        )

    def baseline(self) -> bytes | None:
        """Return what was remembered of the mirror when it was last proved, None where nothing was."""
        rows = self._stored("SELECT body FROM supaneon.baseline")
        return bytes(rows[0][0]) if rows else None

    def forget_baseline(self) -> None:
        """Forget what was remembered of a mirror that is about to be made from nothing."""
        self.session.execute(_BASELINE + "DELETE FROM supaneon.baseline")

    def write_baseline(self, body: bytes, now: datetime) -> None:
        """Remember the mirror as it has just been proved."""
        self.session.execute(
            f"{_BASELINE} INSERT INTO supaneon.baseline (body, written_at) VALUES (%s, %s)"
            " ON CONFLICT (singleton) DO UPDATE"
            " SET (body, written_at) = (EXCLUDED.body, EXCLUDED.written_at)",
            (body, now),
        )

    def record(self, row: LedgerRow) -> None:
        """Append a row to the ledger."""
        self.session.execute(
            "INSERT INTO supaneon.ledger (at, kind, subject, verdict, details) VALUES (%s, %s, %s, %s, %s)",
            (row.at, row.kind, row.subject, row.verdict, Json(dict(row.details))),
        )

    def ledger(self) -> tuple[LedgerRow, ...]:
        """Return the whole ledger, oldest first."""
        rows = self.session.query(
            "SELECT at, kind, subject, verdict, details FROM supaneon.ledger ORDER BY id"
        )
        return tuple(LedgerRow(*row) for row in rows)

    def ledger_after(self, number: int) -> tuple[int, tuple[LedgerRow, ...]]:
        """Return the rows that came after the one of this number (0: all), and the newest number."""
        rows = self.session.query(
            "SELECT id, at, kind, subject, verdict, details FROM supaneon.ledger WHERE id > %s ORDER BY id",
            (number,),
        )
        return (rows[-1][0] if rows else number), tuple(LedgerRow(*row[1:]) for row in rows)

    def _stored(self, question: str) -> list[tuple[Any, ...]]:
        """Ask a table of the house, outside of a transaction; what is not there yet holds nothing."""
        try:
            return self.session.query(question)
        except NeonError as error:
            if not tolerated(error, *_NOT_THERE):
                raise
            return []

    def timeline(self) -> str:
        """Return Neon's id of the branch's own history, '' on a server that is not Neon's."""
        return str(self.session.value("SELECT coalesce(current_setting('neon.timeline_id', true), '')"))

    def position(self) -> int:
        """Return how many bytes of WAL the server has ever written."""
        return int(self.session.value("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def flushed_lsn(self) -> str:
        """Return the LSN up to which everything committed is safe: where a branch may be cut."""
        return str(self.session.value("SELECT pg_current_wal_flush_lsn()"))
