"""``list-branches``: the branches of the standby project as a table or as JSON, newest first."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

from supaneon_sync.errors import ConfigError, SupaneonError
from supaneon_sync.neon_client.client import DEFAULT_HOST, NeonClient
from supaneon_sync.neon_client.model import Branch
from supaneon_sync.secret import Secret

_HEADINGS = ("NAME", "ID", "STATE", "CREATED", "AGE", "SIZE", "EXPIRES")


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: TextIO,
    complaints: TextIO,
    now: Callable[[], datetime],
) -> int:
    """Carry out the command line; return the exit code. Settings come from ``environment``."""
    options = _parser().parse_args(arguments)
    try:
        branches = _matching(environment, options.filter)
    except SupaneonError as error:
        complaints.write(f"{error}\n")
        return error.exit_code
    if options.json:
        json.dump([as_json(branch, now()) for branch in branches], output, indent=2)
        output.write("\n")
    else:
        output.write(table(branches, now()))
        if not branches:
            complaints.write(f"No branch's name starts with {options.filter!r}.\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m supaneon_sync.neon_client",
        description="Look at the standby project. Reads NEON_API_KEY, NEON_PROJECT_ID and NEON_API_HOST.",
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = verbs.add_parser("list-branches", help="list branches, newest first")
    listing.add_argument(
        "--filter", default="", metavar="TEXT", help='only names that start with TEXT, for example "backup-"'
    )
    listing.add_argument("--json", action="store_true", help="for machines: a JSON array")
    return parser


def _matching(environment: Mapping[str, str], prefix: str) -> list[Branch]:
    key = environment.get("NEON_API_KEY", "")
    if not key.strip():
        raise ConfigError(
            "NEON_API_KEY is not set.",
            remedy="Set it to an API key of the standby project (Neon console, API keys).",
        )
    with NeonClient(Secret(key), api_host=environment.get("NEON_API_HOST") or DEFAULT_HOST) as neon:
        wanted = environment.get("NEON_PROJECT_ID", "").strip()
        project = neon.project(wanted) if wanted else neon.only_project()
        branches = neon.branches(project.id, search=prefix or None)
    matching = [branch for branch in branches if branch.name.startswith(prefix)]
    return sorted(matching, key=lambda branch: (branch.created_at, branch.id), reverse=True)


def table(branches: Sequence[Branch], now: datetime) -> str:
    """Return the branches as aligned columns under headings, one line each, in the order given."""
    rows = [_HEADINGS, *(_row(branch, now) for branch in branches)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _row(branch: Branch, now: datetime) -> tuple[str, ...]:
    state = (
        branch.current_state
        if branch.pending_state is None
        else f"{branch.current_state}>{branch.pending_state}"
    )
    cells = (
        branch.name,
        branch.id,
        state,
        _moment(branch.created_at),
        age((now - branch.created_at).total_seconds()),
        "-" if branch.logical_size is None else size(branch.logical_size),
        "never" if branch.expires_at is None else _moment(branch.expires_at),
    )
    return tuple("".join(c if c.isprintable() else "?" for c in cell) for cell in cells)


def as_json(branch: Branch, now: datetime) -> dict[str, object]:
    """Return a branch for machines: times in UTC (RFC 3339), sizes in bytes, age in seconds."""
    return {
        "name": branch.name,
        "id": branch.id,
        "state": branch.current_state,
        "pending_state": branch.pending_state,
        "created_at": _moment(branch.created_at),
        "age_seconds": int((now - branch.created_at).total_seconds()),
        "logical_size_bytes": branch.logical_size,
        "expires_at": None if branch.expires_at is None else _moment(branch.expires_at),
        "parent_id": branch.parent_id,
        "default": branch.default,
        "protected": branch.protected,
        "annotations": branch.annotations,
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(seconds: float) -> str:
    """Return a duration in the one or two largest units: ``3d 4h``, ``4h 5m``, ``5m``, ``12s``."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m" if minutes else f"{whole}s"


def size(count: int) -> str:
    """Return bytes in units of 1024: ``512 B``, ``1.5 MiB``."""
    if count < 1024:
        return f"{count} B"
    amount: float = count
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} PiB"
