"""The golden files of the retention policy: read them, and write them anew only when asked to.

A file has a sentence, the settings, the backups as they are known, and below a line of dashes the
plan. `python -m tests.policy.retention_golden --rewrite` writes the part below the line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from supaneon_sync.policy import names
from supaneon_sync.policy.retention import Backup, Drill, Hold, Plan, Policy, plan
from supaneon_sync.values import parse_duration

DIRECTORY = Path(__file__).parent.parent / "golden" / "retention"
LINE = "-" * 100
DURATIONS = ("keep-within", "keep-failed")


@dataclass(frozen=True)
class Case:
    """What a golden file says above its line."""

    now: datetime
    policy: Policy
    room: int | None
    backups: tuple[Backup, ...]


def files() -> list[Path]:
    return sorted(DIRECTORY.glob("*.txt"))


def split(path: Path) -> tuple[str, str]:
    above, _, below = path.read_text(encoding="utf-8").partition(f"{LINE}\n")
    return above, below


def read(text: str) -> Case:
    head, _, table = text.partition("\nbackups:\n")
    settings = dict(line.split(": ", 1) for line in head.splitlines() if line and not line.startswith("#"))
    room = int(settings["room"]) if "room" in settings else None
    policy = _policy(settings["policy"], settings.get("zone", "UTC"))
    backups = tuple(_backup(line) for line in table.splitlines() if line.strip())
    return Case(_moment(settings["now"]), policy, room, backups)


def _policy(text: str, zone: str) -> Policy:
    values: dict[str, object] = {"zone": ZoneInfo(zone)}
    for part in text.split(", "):
        name, value = part.split(" ", 1)
        field = name.replace("-", "_")
        if name in DURATIONS:
            values[field] = parse_duration(value)
        elif name == "freeze":
            values[field] = value == "on"
        else:
            values[field] = int(value)
    return Policy(**values)  # type: ignore[arg-type]


def _backup(line: str) -> Backup:
    """A line: date and time in UTC, then what else is known, separated by commas."""
    moment = _moment(line.strip()[:19])
    flags = [flag.strip() for flag in line.strip()[19:].split(",") if flag.strip() not in ("", "-")]
    drill, drilled_at, holds = None, None, set()
    for flag in flags:
        word, _, when = flag.partition(" on ")
        if word in ("passed", "failed"):
            drill, drilled_at = Drill(word), _moment(when) if when else moment
        elif word.isupper():
            holds.add(Hold[word])
    return Backup(
        names.backup(moment),
        moment,
        complete="incomplete" not in flags,
        drill=drill,
        drilled_at=drilled_at,
        anomaly="rows in all fell by 60 %" if "anomaly" in flags else "",
        holds=frozenset(holds),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)


def written(case: Case) -> str:
    return show(plan(case.backups, case.policy, case.now, case.room))


def show(result: Plan) -> str:
    lines = [
        f"{item.decision:6}  {item.backup.moment:%Y-%m-%d %H:%M:%S}  {'; '.join(item.reasons)}"
        for item in result.items
    ]
    if result.frozen:
        lines += ["", f"frozen: {result.frozen}"]
    if result.lacking:
        lines += ["", f"lacking: {result.lacking}"]
    counts = f"keep {len(result.keep)}, remove {len(result.remove)}, wait {len(result.wait)}"
    return "\n".join([*lines, "", counts, ""])


def rewrite() -> None:
    for path in files():
        above, _ = split(path)
        path.write_text(f"{above}{LINE}\n{written(read(above))}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("say --rewrite to write the plans of all golden files anew")
    rewrite()
