"""What this tool writes on a branch when it makes it. SQL cannot change it; whoever has the key can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_KIND = "supaneon-kind"
_MANIFEST = "supaneon-manifest"
_SNAPSHOT = "supaneon-snapshot"
_TOOL = "supaneon-version"
_RUN = "supaneon-run"
_ANOMALY = "supaneon-anomaly"

MIRROR = "mirror"
BACKUP = "backup"
DRILL = "drill"
FAILOVER = "failover"
REHEARSAL = "rehearsal"


@dataclass(frozen=True)
class Mark:
    """Who made a branch and for what: ``manifest`` is the manifest's SHA-256, ``run`` a URL or ''.

    ``anomaly`` says in a few words how a backup fell behind the one before, '' where it did not.
    """

    kind: str
    tool: str
    manifest: str = ""
    snapshot: datetime | None = None
    run: str = ""
    anomaly: str = ""

    def pairs(self) -> dict[str, str]:
        """Return the pairs to write on the branch; Neon takes strings alone."""
        snapshot = "" if self.snapshot is None else self.snapshot.astimezone(UTC).isoformat()
        pairs = {
            _KIND: self.kind,
            _TOOL: self.tool,
            _MANIFEST: self.manifest,
            _SNAPSHOT: snapshot,
            _RUN: self.run,
            _ANOMALY: self.anomaly,
        }
        return {key: value for key, value in pairs.items() if value}


def kind_of(pairs: Mapping[str, str]) -> str:
    """Return what this tool made a branch for, '' where it did not make it."""
    said = read(pairs)
    return said.kind if said else ""


def read(pairs: Mapping[str, str]) -> Mark | None:
    """Return what a branch's annotations say, None where this tool did not make the branch."""
    kind = pairs.get(_KIND)
    if not kind:
        return None
    try:
        snapshot = datetime.fromisoformat(pairs[_SNAPSHOT]) if _SNAPSHOT in pairs else None
    except ValueError:
        snapshot = None
    return Mark(
        kind,
        tool=pairs.get(_TOOL, ""),
        manifest=pairs.get(_MANIFEST, ""),
        snapshot=snapshot,
        run=pairs.get(_RUN, ""),
        anomaly=pairs.get(_ANOMALY, ""),
    )
