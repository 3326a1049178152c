"""The numbers of the last backups, in the house database: what the next backup is held against.

Two rows at most: the last backup, and the last one that was normal. A database of 5,000 tables takes a
few hundred kilobytes, compressed, so they stand in a table of their own and not in the ledger, which only
grows. The manifest cannot serve: it is deleted before a run's first change.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime

from supaneon_sync.policy import holdings
from supaneon_sync.policy.holdings import Holding
from supaneon_sync.postgres.session import Session

_TABLE = """
CREATE TABLE IF NOT EXISTS supaneon.holding (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, backup text NOT NULL, written_at timestamptz NOT NULL,
  normal boolean NOT NULL, body bytea NOT NULL)
"""
_KEEP = "INSERT INTO supaneon.holding (backup, written_at, normal, body) VALUES (%s, %s, %s, %s)"
_FORGET = """
DELETE FROM supaneon.holding h
WHERE EXISTS (SELECT FROM supaneon.holding o WHERE o.id > h.id AND o.normal >= h.normal)
"""
_READ = "SELECT normal, body FROM supaneon.holding ORDER BY id DESC"


@dataclass(frozen=True)
class Past:
    """What is known of the backups before: the last one, and the last that was normal. None: nothing."""

    last: Holding | None = None
    normal: Holding | None = None


def read(session: Session) -> Past:
    """Return what is kept in the house. Raises ValueError where somebody altered it."""
    if session.value("SELECT to_regclass('supaneon.holding')") is None:
        return Past()
    rows = [(normal, _unpacked(body)) for normal, body in session.query(_READ)]
    last = next((one for _, one in rows), None)
    return Past(last, next((one for normal, one in rows if normal), None))


def keep(session: Session, holding: Holding, *, normal: bool, now: datetime) -> None:
    """Keep a backup's numbers, and forget those that nobody asks for any more. In a transaction."""
    body = zlib.compress(holdings.written(holding).encode())
    session.execute(_TABLE)
    session.execute(_KEEP, (holding.backup, now, normal, body))
    session.execute(_FORGET)


def _unpacked(body: memoryview) -> Holding | None:
    try:
        return holdings.read(zlib.decompress(body).decode())
    except zlib.error as error:
        raise ValueError("these are not the numbers of a backup") from error
