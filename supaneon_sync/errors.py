"""Every way this tool can fail, with its exit code and the word for it in the outputs.

A message says what failed, what it means for the data, and what to do now. The doors map an error
to its exit code once; nobody else calls ``sys.exit``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self


class SupaneonError(Exception):
    """The root: a defect of this tool unless a family below says otherwise.

    ``remedy`` is what the reader should do now; ``evidence`` are facts for a bug report or a
    support ticket (SQLSTATE, request id); neither may carry a secret or a row's values.
    """

    exit_code: ClassVar[int] = 1
    failure_kind: ClassVar[str] = "bug"

    def __init__(self, message: str, *, remedy: str = "", **evidence: object) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.evidence: dict[str, object] = {k: v for k, v in evidence.items() if v is not None}

    def with_evidence(self, evidence: Mapping[str, object]) -> Self:
        """Add facts taken from another error, and return this error."""
        self.evidence.update(evidence)
        return self

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class ConfigError(SupaneonError):
    """Settings are missing, malformed or contradictory. Nothing was touched."""

    exit_code = 2
    failure_kind = "config"

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.problems = problems or (str(self),)


class PrimaryError(SupaneonError):
    """The primary cannot be reached, or refuses what we ask of it."""

    exit_code = 3
    failure_kind = "primary"


class SnapshotLost(PrimaryError):
    """The primary's snapshot can no longer be read whole: start over with a new one."""


class NeonError(SupaneonError):
    """Neon (its API or a compute) cannot be reached, or refuses what we ask of it."""

    exit_code = 4
    failure_kind = "neon"


class QuotaError(SupaneonError):
    """A quota or a limit of the plan stands in the way."""

    exit_code = 5
    failure_kind = "quota"


class DataDiffers(SupaneonError):
    """The copy is not equal to what it claims to be a copy of. Nothing was published."""

    exit_code = 6
    failure_kind = "data"


class Refused(SupaneonError):
    """A guard held: going on could have overwritten or deleted what is not ours."""

    exit_code = 7
    failure_kind = "refused"


class Locked(SupaneonError):
    """Another run holds the mirror's lock."""

    exit_code = 8
    failure_kind = "locked"


class Cancelled(SupaneonError):
    """The run was asked to stop. Nothing half-made is left under a backup's name."""

    exit_code = 130
    failure_kind = "cancelled"


FAMILIES: tuple[type[SupaneonError], ...] = (
    ConfigError,
    PrimaryError,
    NeonError,
    QuotaError,
    DataDiffers,
    Refused,
    Locked,
    Cancelled,
    SupaneonError,
)
"""One class per family, in the order of the documented exit codes (``docs/reference``)."""


def exit_codes() -> tuple[tuple[int, str, str], ...]:
    """Return code, failure-kind and meaning of every way a run can end, by code."""
    told = [
        (0, "", "It worked."),
        (SupaneonError.exit_code, SupaneonError.failure_kind, "A defect of this tool."),
    ]
    for family in FAMILIES:
        if family is not SupaneonError:
            first = (family.__doc__ or "").strip().split(". ")[0].rstrip(".")
            told.append((family.exit_code, family.failure_kind, f"{first}."))
    return tuple(sorted(told))
