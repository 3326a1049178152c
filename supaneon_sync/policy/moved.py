"""What had to be moved to make the mirror equal, table by table."""

from __future__ import annotations

from dataclasses import dataclass

from supaneon_sync.policy.divergence import Counts

UNCHANGED, DELTA, REWRITTEN, NEW = "unchanged", "rows changed", "rewritten", "new"
"""What a table went through: nothing; its differing rows alone were moved; all were; the mirror had none."""

STIRRED = 0.05
"""Which part of a table's rows may have come and gone before it is vacuumed and analysed again."""


@dataclass(frozen=True)
class Moved:
    """One table's way: how it went, rows before on the mirror (None: not counted) and now, bytes and pages.

    ``counts`` are rows added, changed and removed, None where they were not told apart. ``bytes`` were sent
    by the primary for it, ``pages`` read there (8 KiB each, about). ``why`` says why it was copied whole.
    """

    label: str
    state: str
    counts: Counts | None
    rows_before: int | None
    rows: int
    bytes: int = 0
    pages: int = 0
    why: str = ""

    @property
    def stirred(self) -> int | None:
        """How many rows came, changed or went; None where all of them did."""
        if self.state == UNCHANGED:
            return 0
        return None if self.counts is None else self.counts.total

    def document(self) -> dict[str, object]:
        """Return it for the report."""
        return {
            "table": self.label,
            "state": self.state,
            "added": None if self.counts is None else self.counts.added,
            "changed": None if self.counts is None else self.counts.changed,
            "removed": None if self.counts is None else self.counts.removed,
            "rows_before": self.rows_before,
            "rows": self.rows,
            "bytes": self.bytes,
            "why": self.why,
        }


@dataclass(frozen=True)
class Strategy:
    """How the mirror was made equal: ``delta`` or ``rebuild``, and why so."""

    used: str
    why: str
