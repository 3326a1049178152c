"""A check's result, and what a list of them amounts to. Pure: what was seen goes in, findings come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from supaneon_sync.errors import FAMILIES, SupaneonError
from supaneon_sync.policy.examined import Seen


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One check: what was seen (``evidence``), what to do (``remedy``), and the SQL that does it.

    ``details`` name every object where the evidence only counts them. ``kind`` is the failure-kind of
    ``errors.py`` that a failed check belongs to. None of it holds a secret or a row's value.
    """

    status: Status
    evidence: str
    remedy: str = ""
    sql: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    kind: str = ""
    check: str = ""


def ok(evidence: str, details: Iterable[str] = ()) -> Finding:
    """Return the finding that nothing has to be done."""
    return Finding(Status.OK, evidence, details=tuple(details))


def warning(evidence: str, remedy: str, *, sql: Iterable[str] = (), details: Iterable[str] = ()) -> Finding:
    """Return the finding that a backup works, and that the reader should know or do something."""
    return Finding(Status.WARNING, evidence, remedy, tuple(sql), tuple(details))


def failed(
    kind: type[SupaneonError],
    evidence: str,
    remedy: str,
    *,
    sql: Iterable[str] = (),
    details: Iterable[str] = (),
) -> Finding:
    """Return the finding that a run would end in an error of this kind."""
    return Finding(Status.FAILED, evidence, remedy, tuple(sql), tuple(details), kind.failure_kind)


def skipped(why: str) -> Finding:
    """Return the finding that the check could not be made, and why."""
    return Finding(Status.SKIPPED, why)


def of_error(error: SupaneonError) -> Finding:
    """Return an error that a run would meet as a finding."""
    cause = error.evidence.get("cause")
    evidence = f"{error.message} (server: {cause})" if cause else error.message
    return Finding(Status.FAILED, evidence, error.remedy, kind=error.failure_kind)


@dataclass(frozen=True)
class Check:
    """A named check. ``needs`` names the fields of `Seen` without which it is skipped.

    ``local`` ones touch no network: the only ones that are made offline.
    """

    name: str
    rule: Callable[[Seen], Finding]
    needs: tuple[str, ...] = ()
    local: bool = False


_MISSING = {
    "door": "the primary's connection string cannot be used",
    "primary": "the primary was not reached",
    "project": "the standby project was not reached",
    "compute": "no compute of the standby project was reached",
}


def judge(checks: Sequence[Check], seen: Seen) -> tuple[Finding, ...]:
    """Return the finding of every check, in order."""
    return tuple(replace(_judged(check, seen), check=check.name) for check in checks)


def _judged(check: Check, seen: Seen) -> Finding:
    if not seen.wanted.primary and {"door", "primary"} & set(check.needs):
        return skipped("SUPABASE_DATABASE_URL is not set; only backup needs it")
    lacking = [need for need in check.needs if getattr(seen, need) is None]
    return skipped(_MISSING[lacking[0]]) if lacking else check.rule(seen)


def exit_code(findings: Iterable[Finding]) -> tuple[int, str]:
    """Return the exit code and failure-kind of the first check that failed, (0, '') if none did."""
    codes = {family.failure_kind: family.exit_code for family in FAMILIES}
    first = next((one for one in findings if one.status is Status.FAILED), None)
    return (0, "") if first is None else (codes.get(first.kind, 1), first.kind)


def some(names: Sequence[str], most: int = 5) -> str:
    """Return names for a sentence: the first few, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def counted(number: int, noun: str) -> str:
    """Return ``1 table`` or ``2 tables``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def in_bytes(count: float) -> str:
    """Return bytes for people, in units of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
