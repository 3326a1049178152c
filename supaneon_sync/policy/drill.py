"""What a drill found, and what that makes of the backup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from supaneon_sync.errors import DataDiffers, NeonError, Refused


class Gravity(IntEnum):
    """How much a finding weighs, the lightest first. The heaviest one gives the verdict.

    Data outweighs connectivity: a copy that was seen to differ is no good, whatever broke afterwards.
    """

    DEGRADED = 1
    STALE = 2
    CHECKS = 3
    CONNECTIVITY = 4
    DATA = 5


class Verdict(StrEnum):
    """How a drill ended."""

    PASS = "pass"  # noqa: S105 no password
    DEGRADED = "degraded"
    FAIL_STALE = "fail-stale"
    FAIL_CHECKS = "fail-checks"
    FAIL_CONNECTIVITY = "fail-connectivity"
    FAIL_DATA = "fail-data"

    @property
    def condemns(self) -> bool:
        """Say whether the backup itself is no good: its data differs, or what was asked of it fails.

        A drill that did not get through says nothing about the data, and an old copy is still a copy.
        """
        return self in (Verdict.FAIL_DATA, Verdict.FAIL_CHECKS)

    @property
    def passed(self) -> bool:
        """Say whether the drill counts as passed."""
        return self in (Verdict.PASS, Verdict.DEGRADED)

    @property
    def exit_code(self) -> int:
        """The exit code of a run that ends so."""
        return _ENDS[self][0]

    @property
    def failure_kind(self) -> str:
        """The word for it in the outputs, '' on success."""
        return _ENDS[self][1]


_ENDS = {
    Verdict.PASS: (0, ""),
    Verdict.DEGRADED: (0, ""),
    Verdict.FAIL_STALE: (Refused.exit_code, "stale"),
    Verdict.FAIL_CHECKS: (DataDiffers.exit_code, "checks"),
    Verdict.FAIL_CONNECTIVITY: (NeonError.exit_code, NeonError.failure_kind),
    Verdict.FAIL_DATA: (DataDiffers.exit_code, DataDiffers.failure_kind),
}
_OF_GRAVITY = {
    Gravity.DEGRADED: Verdict.DEGRADED,
    Gravity.STALE: Verdict.FAIL_STALE,
    Gravity.CHECKS: Verdict.FAIL_CHECKS,
    Gravity.CONNECTIVITY: Verdict.FAIL_CONNECTIVITY,
    Gravity.DATA: Verdict.FAIL_DATA,
}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, in a sentence without its full stop."""

    gravity: Gravity
    text: str


@dataclass(frozen=True)
class Area:
    """One thing that a drill looks at: what was tested there, in how many seconds, and what was found.

    ``skipped`` says why nothing was tested, '' if it was.
    """

    name: str
    tested: str
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    skipped: str = ""

    @property
    def result(self) -> str:
        """The result in few words."""
        if self.skipped:
            return "not checked"
        if not self.findings:
            return "ok"
        return "degraded" if self.weight is Gravity.DEGRADED else f"{len(self.findings)} found"

    @property
    def weight(self) -> Gravity:
        """The heaviest finding's gravity. Only where there is one."""
        return max(finding.gravity for finding in self.findings)


def verdict(areas: Iterable[Area]) -> Verdict:
    """Return the verdict that the areas' findings make."""
    weights = [area.weight for area in areas if area.findings]
    return _OF_GRAVITY[max(weights)] if weights else Verdict.PASS
