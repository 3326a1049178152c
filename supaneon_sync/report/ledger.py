"""A row of the ledger: what happened to which branch, when, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

BACKUP = "backup"
DRILL = "drill"
PRUNE = "prune"
PIN = "pin"
UNPIN = "unpin"
FAILOVER = "failover"


@dataclass(frozen=True)
class LedgerRow:
    """``kind`` is one of the words above, ``subject`` a branch's name, ``verdict`` how it ended.

    The ledger is append-only: what is true of a branch is what its newest row of a kind says.
    """

    at: datetime
    kind: str
    subject: str
    verdict: str
    details: Mapping[str, object] = field(default_factory=dict)
