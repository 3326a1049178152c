"""The drill: prove on a throw-away branch that a backup can be used, and say what was and was not tested."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC

from supaneon_sync import __version__
from supaneon_sync.errors import NeonError, SupaneonError
from supaneon_sync.neon_client import Branch, NotFound
from supaneon_sync.operations import drill_branches, handover
from supaneon_sync.operations.backup import NOT_IN_THE_DATABASE
from supaneon_sync.operations.drilling import Drill, Examination, Subject
from supaneon_sync.operations.standby import Doors, Standby, opened
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy.backups import Drill as DrillVerdict
from supaneon_sync.policy.drill import Area, Finding, Gravity, Verdict
from supaneon_sync.report import ledger
from supaneon_sync.report.ledger import LedgerRow
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings


@dataclass(frozen=True)
class _Done:
    """A drill that has ended: what was seen, the branch if it was kept, and what else is to be told."""

    backup: StandingBackup
    seen: Examination
    kept: Branch | None
    doors: Doors | None
    notes: tuple[str, ...]
    seconds: float


def restore_test(settings: Settings, run: Run) -> Outcome:
    """Drill the newest backup, healthy or not, or the named one.

    The primary is not needed. Whatever is written is written to the drill's own branch. Raises Refused
    where there is no such backup, QuotaError at the branch limit, and errors of the settings; anything
    that is wrong with the backup or the way to it is a verdict.
    """
    began = run.monotonic()
    with opened(settings, run) as standby:
        run.progress.step("Choose the backup and cut a branch from it")
        backup = standby.choose(settings.backup, newest=True)
        swept = drill_branches.sweep(standby)
        for note in swept:
            run.progress.note(note)
        done = _drill(standby, backup, began)
        unwritten = _record(standby, done)
    return _outcome(replace(done, notes=(*swept, *done.notes, *unwritten)), run)


def _drill(standby: Standby, backup: StandingBackup, began: float) -> _Done:
    try:
        branch = drill_branches.cut(standby, backup)
    except NeonError as error:
        _forget(standby, str(error.evidence.get("branch_id") or ""))
        text = f"no branch could be cut from {backup.name}: {error.message.rstrip('.')}"
        area = Area("connection", "", (Finding(Gravity.CONNECTIVITY, text),))
        return _Done(backup, Examination((area,)), None, None, (), standby.run.monotonic() - began)
    known: list[Doors] = []

    def door() -> Doors:
        if not known:
            known.append(standby.doors(branch))
        return known[0]

    try:
        seen = Drill(standby, Subject(backup, branch, lambda: door().direct), began).examine()
    except BaseException:
        _forget(standby, branch.id)
        raise
    kept, seen, notes = _settle(standby, backup, branch, seen)
    return _Done(
        backup, seen, kept, known[0] if known else None, tuple(notes), standby.run.monotonic() - began
    )


def _forget(standby: Standby, branch_id: str) -> None:
    """Remove the branch of a drill that came to no verdict; where that fails too, it expires."""
    if branch_id:
        with suppress(SupaneonError):
            standby.client.delete_branch(standby.project.id, branch_id)


def _settle(
    standby: Standby, backup: StandingBackup, branch: Branch, seen: Examination
) -> tuple[Branch | None, Examination, list[str]]:
    """Remove the drill's branch, or keep it: what could not be cleaned up is a finding too."""
    verdict = seen.verdict
    if verdict.condemns:
        return branch, seen, drill_branches.keep(standby, backup, branch)
    if verdict is Verdict.FAIL_CONNECTIVITY:
        if _is_gone(standby, branch):
            return None, seen, [f"{branch.name} is no longer there: somebody removed it meanwhile."]
        note = f"{branch.name} was kept; it expires by itself, or goes with the next drill."
        return branch, seen, [note]
    notes = drill_branches.release(standby, backup)
    left = drill_branches.remove(standby, branch)
    if not left:
        return None, seen, notes
    area = Area("clean-up", "", (Finding(Gravity.CONNECTIVITY, left.rstrip(".")),))
    return branch, replace(seen, areas=(*seen.areas, area)), notes


def _is_gone(standby: Standby, branch: Branch) -> bool:
    try:
        standby.client.branch(standby.project.id, branch.id)
    except NotFound:
        return True
    except NeonError:
        return False
    return False


def _record(standby: Standby, done: _Done) -> tuple[str, ...]:
    """Write the drill into the ledger on the mirror, where that can be reached."""
    details = {
        "seconds": round(done.seconds, 3),
        "seconds_to_answer": done.seen.seconds_to_answer,
        "branch": done.kept.name if done.kept else "",
        "findings": [finding.text for area in done.seen.areas for finding in area.findings][:100],
        "run": standby.run.url or "",
    }
    row = LedgerRow(standby.run.clock(), ledger.DRILL, done.backup.name, str(done.seen.verdict), details)
    try:
        mirror = standby.mirror()
        if mirror is None:
            return ("There is no mirror, so the ledger could not be written.",)
        with standby.house(standby.doors(mirror).direct, "ledger") as house:
            house.record(row)
    except SupaneonError as error:
        standby.run.stop.check()
        return (f"The ledger on the mirror could not be written: {error.message}",)
    return ()


def _outcome(done: _Done, run: Run) -> Outcome:
    verdict, now = done.seen.verdict, run.clock()
    drill = DrillVerdict.PASSED if verdict.passed else DrillVerdict.FAILED
    told = replace(done.backup, backup=replace(done.backup.backup, drill=drill))
    document = done.seen.manifest or {}
    tables = document.get("tables", [])
    outputs = handover.plain(told, now) | {"drill-branch": done.kept.name if done.kept else ""}
    if done.seen.manifest is not None:
        outputs |= {"tables": str(len(tables)), "rows": str(sum(one["rows"] for one in tables))}
    if done.kept and done.doors:
        door = done.doors.for_application(done.doors.direct)
        outputs["drill-uri-without-password"] = door.without_password()
    answered = done.seen.seconds_to_answer
    return Outcome(
        operation="restore-test",
        verdict=str(verdict),
        headline=_headline(done),
        facts=(
            ("Backup", done.backup.name),
            ("Manifest", done.backup.mark.manifest),
            ("Snapshot of the primary", outputs["snapshot-time"]),
            ("Age", handover.age_in_words(done.backup.age(now))),
            ("Tested at", f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
            ("Tested by", f"supaneon-sync {__version__}"),
            *((("Workflow run", run.url),) if run.url else ()),
            ("First answer", "none" if answered is None else f"{answered:.1f} s after the call"),
            ("Whole drill", f"{done.seconds:.1f} s"),
            *((("Anomaly", done.backup.backup.anomaly),) if done.backup.backup.anomaly else ()),
            *((("Kept for inspection", done.kept.name),) if done.kept else ()),
            *((("Its host", done.doors.direct.host),) if done.kept and done.doors else ()),
        ),
        tables=(_areas(done.seen), *_found(done.seen)),
        notes=(*done.notes, *_untested(done.seen)),
        outputs=outputs,
        report=_report(done),
        exit_code=verdict.exit_code,
        failure_kind=verdict.failure_kind,
    )


def _headline(done: _Done) -> str:
    verdict, name = done.seen.verdict, done.backup.name
    skipped = ", ".join(area.name for area in done.seen.areas if area.skipped)
    more = f" Not checked: {skipped}." if skipped else ""
    return {
        Verdict.PASS: f"{name} can be used: every check passed.{more}",
        Verdict.DEGRADED: f"{name} holds the recorded data and can be used; see what was found.{more}",
        Verdict.FAIL_STALE: f"{name} holds the recorded data, and is older than you allow.",
        Verdict.FAIL_CHECKS: f"{name} holds the recorded data, and fails what was asked of it.",
        Verdict.FAIL_CONNECTIVITY: f"The drill of {name} did not get through; this says nothing about the "
        "data. Run it again.",
        Verdict.FAIL_DATA: f"{name} does NOT hold what was recorded. Do not use it: take a new backup, and "
        "find out what changed this one.",
    }[verdict]


def _areas(seen: Examination) -> Table:
    rows = tuple(
        (area.name, area.result, f"{area.seconds:.2f} s", area.skipped or area.tested) for area in seen.areas
    )
    return Table("What was tested", ("area", "result", "took", "how much"), rows, frozenset(("took",)))


def _found(seen: Examination) -> tuple[Table, ...]:
    rows = tuple((area.name, finding.text) for area in seen.areas for finding in area.findings)
    return (Table("What was found", ("area", "finding"), rows),) if rows else ()


def _untested(seen: Examination) -> tuple[str, ...]:
    document = seen.manifest or {}
    views = document.get("materialized_views", [])
    return (
        *(f"Not tested: {area.name}, {area.skipped}." for area in seen.areas if area.skipped),
        *(
            [f"Not tested: rows of {len(views)} materialized views, which are derived on the copy."]
            if views
            else []
        ),
        *(f"Not in the database: {what}." for what in NOT_IN_THE_DATABASE),
    )


def _report(done: _Done) -> dict[str, object]:
    return {
        "backup": done.backup.name,
        "manifest_digest": done.backup.mark.manifest,
        "seconds_to_answer": done.seen.seconds_to_answer,
        "seconds": round(done.seconds, 3),
        "areas": [
            {
                "name": area.name,
                "result": area.result,
                "tested": area.tested,
                "skipped": area.skipped,
                "seconds": round(area.seconds, 3),
                "findings": [
                    {"gravity": finding.gravity.name.lower(), "text": finding.text}
                    for finding in area.findings
                ],
            }
            for area in done.seen.areas
        ],
    }
