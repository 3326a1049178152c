"""The doctor: named checks of the whole set-up, each with what was seen and what to do. Changes nothing."""

from __future__ import annotations

from supaneon_sync.operations.examining import look
from supaneon_sync.policy import content_checks, primary_checks, reading_checks, standby_checks
from supaneon_sync.policy.examined import Seen
from supaneon_sync.policy.findings import Check, Finding, Status, exit_code, judge, ok
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings


def _settings(seen: Seen) -> Finding:
    """The settings could be read: a problem in them ends the run before any check, with all of them named."""
    sides = "the primary and Neon" if seen.wanted.primary else "Neon alone (no SUPABASE_DATABASE_URL)"
    return ok("valid" if seen.wanted.offline else f"valid, for {sides}")


CHECKS = (
    Check("settings", _settings, local=True),
    Check("client programs", standby_checks.clients, local=True),
    Check("primary: connection string", primary_checks.connection_string),
    Check("primary: address", primary_checks.address, ("door",)),
    Check("primary: reachable", primary_checks.reachable, ("door",)),
    Check("primary: TLS", primary_checks.tls, ("door", "primary")),
    Check("primary: session mode", primary_checks.session_mode, ("primary",)),
    Check("primary: connections", primary_checks.connections, ("primary",)),
    Check("primary: not a replica", primary_checks.recovery, ("primary",)),
    Check("primary: role", reading_checks.role, ("primary",)),
    Check("primary: rights", reading_checks.rights, ("primary",)),
    Check("primary: row security", reading_checks.row_security, ("primary",)),
    Check("primary: large objects", reading_checks.large_objects, ("primary",)),
    Check("primary: time limits", primary_checks.timeouts, ("primary",)),
    Check("primary: encoding", primary_checks.encoding, ("primary",)),
    Check("primary: what a run reads", primary_checks.reading, ("primary",)),
    Check("primary: locks and long transactions", primary_checks.activity, ("primary",)),
    Check("Neon: API key", standby_checks.api),
    Check("Neon: project", standby_checks.project),
    Check("Neon: access", standby_checks.access, ("project",)),
    Check("Neon: branches", standby_checks.branches, ("project",)),
    Check("Neon: retention policy", standby_checks.retention, ("project",)),
    Check("Neon: size of a branch", standby_checks.size, ("project",)),
    Check("Neon: mirror", standby_checks.mirror, ("project",)),
    Check("Neon: compute and password", standby_checks.compute, ("project",)),
    Check("Neon: role", standby_checks.owner, ("compute",)),
    Check("copy: major versions", content_checks.version, ("primary", "compute")),
    Check("copy: extensions", content_checks.extensions, ("primary", "compute")),
    Check("copy: triggers", content_checks.triggers, ("primary",)),
    Check("copy: functions", content_checks.functions, ("primary",)),
    Check("copy: search_path", content_checks.search_path, ("primary",)),
    Check("copy: what stays behind", content_checks.unmoved, ("primary",)),
)
"""Every check, in the order in which a run would meet what it is about."""


def validate_config(settings: Settings, run: Run) -> Outcome:
    """Look at settings, clients, primary and Neon, and return a finding for each check.

    Nothing is changed and no row is read. The exit code is that of the first check that failed: 2
    config, 3 primary, 4 Neon, 5 quota, 7 a guard. Raises Cancelled alone.
    """
    checks = [check for check in CHECKS if check.local or not settings.offline]
    findings = judge(checks, look(settings, run))
    code, kind = exit_code(findings)
    counts = {status: sum(one.status is status for one in findings) for status in Status}
    return Outcome(
        operation="validate-config",
        verdict="failed" if code else "warnings" if counts[Status.WARNING] else "ok",
        headline=_headline(counts),
        tables=(_table(findings),),
        notes=tuple(f"{one.check}: {one.remedy}" for one in findings if one.remedy),
        script=_script(findings),
        outputs={"checks-failed": str(counts[Status.FAILED])},
        report={"checks": [_document(one) for one in findings]},
        exit_code=code,
        failure_kind=kind,
    )


def _headline(counts: dict[Status, int]) -> str:
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    if counts[Status.FAILED]:
        return f"A backup would not work as things are ({told})."
    if counts[Status.SKIPPED]:
        return f"Nothing that was looked at stands in the way ({told})."
    return f"Nothing stands in the way of a backup ({told})."


def _table(findings: tuple[Finding, ...]) -> Table:
    rows = tuple((one.check, one.status.value, one.evidence) for one in findings)
    return Table("Checks", ("check", "status", "seen"), rows)


def _script(findings: tuple[Finding, ...]) -> str:
    """Return the SQL of all remedies, to be copied as it is."""
    parts = ["\n".join((f"-- {one.check}", *one.sql)) for one in findings if one.sql]
    return "\n\n".join(parts)


def _document(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "status": finding.status.value,
        "evidence": finding.evidence,
        "remedy": finding.remedy,
        "sql": list(finding.sql),
        "details": list(finding.details),
        "failure-kind": finding.kind,
    }
