"""For logs that everybody can read: what a run tells without the names and numbers of anybody's tables.

Logs, summaries and artifacts of a public repository are public. With ``hide-names`` a run says how it
went and which branch holds it; what the tables are called and how much they hold stays in the backup's
own manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from supaneon_sync.errors import ConfigError, exit_codes
from supaneon_sync.failures import Failure
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Progress

_ABOUT_BRANCHES = frozenset({"list", "resolve", "prune", "pin", "unpin", "config"})
"""Verbs that tell of branches and settings alone."""
_FACTS = frozenset(
    {"Backup", "Branch", "Snapshot of the primary", "Age", "You will lose", "Whole run", "Whole drill"}
    | {"First answer", "Snapshot held", "Direct host", "Pooled host", "Anomaly"}
    | {"Manifest", "Tested at", "Tested by", "Workflow run"}
)
_OUTPUTS = frozenset({"tables", "rows", "bytes", "rows-added", "rows-changed", "rows-removed"})
_WITHHELD = "Names and numbers of tables are withheld (hide-names)."


@dataclass(frozen=True)
class Discreet:
    """Progress that passes on which phase has begun, and nothing of what it works on."""

    inner: Progress

    def step(self, title: str) -> None:
        """Pass the phase's title on."""
        self.inner.step(title)

    def note(self, text: str) -> None:
        """Say nothing: notes name objects."""

    def warning(self, text: str) -> None:  # noqa: ARG002 what it says is the point
        """Say that there was one."""
        self.inner.warning(f"There is something to look at. {_WITHHELD}")

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        """Say nothing: it counts tables and bytes, and names them."""

    def secret(self, value: str) -> None:
        """Pass a secret on, to be masked."""
        self.inner.secret(value)


def discreet(operation: str, result: Outcome | Failure) -> Outcome | Failure:
    """Return what may be told of a result where everybody reads along."""
    if isinstance(result, Failure):
        return _failure(result)
    if operation in _ABOUT_BRANCHES:
        return replace(result, report=_without_manifest(result.report))
    return replace(
        result,
        headline=f"{operation} ended with the verdict {result.verdict}. {_WITHHELD}",
        facts=tuple(fact for fact in result.facts if fact[0] in _FACTS),
        tables=(),
        notes=(),
        outputs={name: value for name, value in result.outputs.items() if name not in _OUTPUTS},
        report=MappingProxyType({"withheld": _WITHHELD}),
    )


def _failure(failure: Failure) -> Failure:
    if failure.exit_code == ConfigError.exit_code:
        return failure
    meaning = next(text for code, _, text in exit_codes() if code == failure.exit_code)
    return replace(
        failure,
        message=f"{meaning} {_WITHHELD}",
        remedy="Run it again where the log is private, without hide-names, to see what it was.",
        details=(),
        evidence={name: value for name, value in failure.evidence.items() if name in ("sqlstate", "status")},
    )


def _without_manifest(report: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in report.items() if name != "manifest"}
