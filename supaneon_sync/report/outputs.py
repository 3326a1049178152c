"""The step outputs of the action, in one place: names, meanings, secrets. ``action.yml`` is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supaneon_sync.errors import exit_codes
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.secret import Secret

ALL = (
    "backup",
    "restore-test",
    "self-test",
    "prune",
    "validate-config",
    "list",
    "resolve",
    "failover",
    "pin",
    "unpin",
)
ONE_BACKUP = ("backup", "restore-test", "list", "resolve", "failover")
PINNING = ("pin", "unpin")
CONNECTING = ("backup", "resolve", "failover")


@dataclass(frozen=True)
class Output:
    """One step output. ``secret`` ones are masked before they are written."""

    name: str
    description: str
    operations: tuple[str, ...]
    secret: bool = False


OUTPUTS: tuple[Output, ...] = (
    Output(
        "branch-name",
        "Name of the backup, for example backup-20260131T020000Z; of failover: its branch.",
        (*ONE_BACKUP, *PINNING),
    ),
    Output("branch-id", "Neon's id of that branch.", (*ONE_BACKUP, *PINNING)),
    Output("snapshot-time", "Moment of the primary that the backup holds (ISO 8601, UTC).", ONE_BACKUP),
    Output("age-seconds", "Age of that moment in seconds.", ONE_BACKUP),
    Output("drill-verdict", "Result of the backup's last drill: passed, failed or never.", ONE_BACKUP),
    Output(
        "anomaly",
        "By how much rows or tables fell since the backup before it, in a few words without any table's "
        "name. Empty where all was normal.",
        ONE_BACKUP,
    ),
    Output("drill-branch", "The drill's branch, where it was kept for inspection.", ("restore-test",)),
    Output("drill-uri-without-password", "URI of that branch without its password.", ("restore-test",)),
    Output(
        "connection-uri",
        "URI of the backup with its password. Masked. GitHub drops it from job outputs: call resolve in the "
        "job that needs it.",
        CONNECTING,
        secret=True,
    ),
    Output(
        "pooled-connection-uri", "The same through Neon's connection pooler. Masked.", CONNECTING, secret=True
    ),
    Output("connection-uri-without-password", "URI of the backup without its password.", CONNECTING),
    Output("host", "Host of the backup's compute.", CONNECTING),
    Output("pooled-host", "Host of Neon's connection pooler before it.", CONNECTING),
    Output("database", "Name of the database.", CONNECTING),
    Output("role", "Name of the role that the URIs are for.", CONNECTING),
    Output("tables", "How many tables were compared.", ("backup", "restore-test")),
    Output("rows", "How many rows they hold.", ("backup", "restore-test")),
    Output("backup-name", "Name of the backup that the failover branch was cut from.", ("failover",)),
    Output("serving-seconds", "Seconds from the call to the first answered query.", ("failover",)),
    Output("rows-added", "Rows that are on the failover branch and not on its backup.", ("failover",)),
    Output("rows-changed", "Rows that both have, with other contents.", ("failover",)),
    Output("rows-removed", "Rows that are on the backup and no more on the failover branch.", ("failover",)),
    Output("bytes", "How many bytes of rows were moved.", ("backup",)),
    Output("backups", "How many backups there are.", ("list", "prune")),
    Output("kept", "How many backups the retention policy keeps.", ("prune",)),
    Output("removed", "How many backups were removed (in a dry run: would be).", ("prune",)),
    Output("plan", "The decision about every branch with its reasons, as JSON.", ("prune",)),
    Output("checks-failed", "How many checks failed.", ("validate-config",)),
    Output("verdict", "The result in one word; failed where the run failed.", ALL),
    Output(
        "failure-kind",
        "Why it failed: " + ", ".join(kind for _, kind, _ in exit_codes() if kind) + "; stale where list's "
        "max-age was passed; anomaly where backup's rows or tables fell (the backup stands). Empty on "
        "success.",
        ALL,
    ),
    Output("report", "Path of the report (JSON), relative to the workspace where it lies there.", ALL),
)

BY_NAME: Mapping[str, Output] = {output.name: output for output in OUTPUTS}


def plain(outcome: Outcome) -> dict[str, str]:
    """Return the outputs that anybody may read; one that is declared secret never is among them."""
    known = {name: value for name, value in outcome.outputs.items() if not _is_secret(name)}
    return {"verdict": outcome.verdict, **known, "failure-kind": outcome.failure_kind}


def secret(outcome: Outcome) -> dict[str, Secret]:
    """Return the outputs to be masked, without those that have no value."""
    strays = {name: Secret(value) for name, value in outcome.outputs.items() if _is_secret(name)}
    return {name: value for name, value in {**strays, **outcome.secrets}.items() if value}


def _is_secret(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name].secret
