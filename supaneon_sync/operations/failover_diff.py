"""What has been written on a failover branch since it was cut, table by table."""

from __future__ import annotations

from supaneon_sync.errors import Refused
from supaneon_sync.operations.standby import Standby
from supaneon_sync.report.outcome import Outcome


def diff(standby: Standby) -> Outcome:
    """Raise Refused: this cannot be told yet."""
    raise Refused("What was written on a failover branch cannot be told yet.")
