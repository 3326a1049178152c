"""What stands in a cluster's write-ahead log after a position."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from supaneon_sync.sandbox.binaries import Binaries
from supaneon_sync.sandbox.refusal import ApiError

_SEGMENT = 1024**2  # as `Server.create` makes clusters
_RECORD = re.compile(r"^rmgr: (\S+)\s+len .*, tx:\s+(\d+), lsn: (\S+), prev \S+, desc: (\S+)")


def parse_lsn(text: object) -> int:
    """Return the byte position that ``16/B374D848`` means. Raise ApiError (400) for other text."""
    match = re.fullmatch(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", str(text))
    if match is None:
        raise ApiError(400, f"not an LSN: {text}")
    return (int(match[1], 16) << 32) + int(match[2], 16)


def first_change(binaries: Binaries, data: Path, start: str, end: str) -> str | None:
    """Return the first change of content between two LSNs, or None if there is none.

    A record that belongs to a transaction is a change. Checkpoints, lists of running transactions,
    vacuum's clean-up and hint bits belong to none. Raise ApiError (400) if the log does not reach
    back that far, because then nothing can be said.
    """
    if parse_lsn(start) >= parse_lsn(end):
        return None
    high, low = divmod(parse_lsn(start) // _SEGMENT, 2**32 // _SEGMENT)
    if not (data / "pg_wal" / f"{1:08X}{high:08X}{low:08X}").exists():
        raise ApiError(400, f"the sandbox keeps no history as old as {start}")
    command = (str(binaries.tool("pg_waldump")), "-p", str(data / "pg_wal"), "-s", start, "-e", end)
    done = subprocess.run(
        command, capture_output=True, text=True, env=binaries.environment(), check=False, errors="replace"
    )
    for line in done.stdout.splitlines():
        match = _RECORD.match(line)
        if match and match[2] != "0":
            return f"{match[1]} {match[4]} at {match[3]}"
    if done.returncode != 0 and "could not find a valid record after" not in done.stderr:
        raise ApiError(400, f"the log after {start} cannot be read: {done.stderr.strip()[-300:]}")
    return None
