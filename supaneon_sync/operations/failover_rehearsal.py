"""A failover for practice: all of it on a branch that expires, measured, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from supaneon_sync.errors import DataDiffers, SupaneonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import handover
from supaneon_sync.operations.failover_branch import Cutting, Order
from supaneon_sync.operations.failover_making import Making, Served
from supaneon_sync.operations.failover_report import durations, warnings
from supaneon_sync.operations.failover_state import Ledger
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy.checks import judge
from supaneon_sync.postgres import drilling, smoke
from supaneon_sync.report import ledger
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.settings import SETTINGS

LIFE = timedelta(hours=2)
"""A rehearsal's branch that nobody removes expires by itself after this."""


@dataclass(frozen=True)
class _Result:
    """One thing that was tried on the branch. ``wrong`` is '' where it went well."""

    name: str
    wrong: str
    seconds: float
    said: tuple[str, ...] = ()


def rehearse(standby: Standby, order: Order, book: Ledger, began: float) -> Outcome:
    """Fail over to a throw-away branch, try the user's command and checks on it, and remove it.

    The branch expires from birth, has a mark of its own, and never counts as a failover in force.
    """
    run = standby.run
    practice = Order(order.source, expires_at=run.clock() + LIFE)
    cutting = Cutting(standby, practice)
    try:
        done = Making(cutting).serve()
        seconds = run.monotonic() - began
        tried = _try(standby, done)
    finally:
        left = _remove(standby, cutting.branch)
    verdict = "failed" if any(one.wrong for one in tried) else "ok"
    details: dict[str, object] = {
        "backup": order.source.name,
        "seconds": round(seconds, 3),
        "steps": {step: round(took, 3) for step, took in done.seconds.items()},
        "tried": {one.name: one.wrong or "ok" for one in tried},
    }
    book.record(ledger.FAILOVER, done.branch.name, f"rehearsed: {verdict}", details)
    return _outcome(standby, replace(done, notes=(*done.notes, *left, *book.note)), seconds, tried)


def _try(standby: Standby, done: Served) -> list[_Result]:
    settings, run = standby.settings, standby.run
    tried = []
    if settings.smoke_command:
        run.progress.step("Run the smoke command")
        began = run.monotonic()
        result = smoke.run(
            settings.smoke_command,
            done.application.for_application(done.application.direct).uri(),
            environment=_without_secrets(os.environ),
            stop=run.stop,
            seconds=settings.operation_timeout.total_seconds(),
        )
        tried.append(_Result("smoke command", result.wrong, run.monotonic() - began, result.said))
    if settings.checks:
        run.progress.step("Run your own checks")
        with standby.connect(done.doors.direct, "checks") as session:
            for check in settings.checks:
                began = run.monotonic()
                try:
                    found = drilling.answer(session, check)
                    wrong = judge(check, found.first, found.rows, show_values=settings.show_row_values)
                except SupaneonError as error:
                    run.stop.check()
                    wrong = f"was refused ({drilling.meaning(error)})"
                tried.append(_Result(check.name, wrong, run.monotonic() - began))
    return tried


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a command of the user's: what this tool was handed is not for it."""
    ours = {row.environment for row in SETTINGS if row.environment}
    return {
        name: value
        for name, value in environment.items()
        if name not in ours and not name.startswith(("INPUT_", "PG", "ACTIONS_"))
    }


def _remove(standby: Standby, branch: Branch | None) -> tuple[str, ...]:
    if branch is None:
        return ()
    standby.run.progress.step("Remove the rehearsal's branch")
    try:
        standby.client.delete_branch(standby.project.id, branch.id)
    except SupaneonError as error:
        return (f"{branch.name} could not be removed, and expires by itself: {error.message}",)
    return ()


def _outcome(standby: Standby, done: Served, seconds: float, tried: list[_Result]) -> Outcome:
    bad = [one for one in tried if one.wrong]
    source = done.source
    age = handover.age_in_words(source.age(standby.run.clock()))
    told = handover.plain(source, standby.run.clock())
    kept = ("snapshot-time", "age-seconds", "drill-verdict", "anomaly")
    rows = tuple((one.name, one.wrong or "ok", f"{one.seconds:.2f} s") for one in tried)
    what = f": {', '.join(one.name for one in bad)} failed" if bad else ""
    return Outcome(
        operation="failover",
        verdict="failed" if bad else "ok",
        headline=f"Rehearsed with {source.name}: it served {seconds:.1f} s after the call{what}.",
        facts=(
            ("Backup", source.name),
            ("From call to serving", f"{seconds:.1f} s"),
            ("A real failover now would lose", age),
            ("Role", done.application.direct.user),
        ),
        tables=(
            durations(done),
            *(
                (Table("What was tried", ("what", "result", "took"), rows, frozenset(("took",))),)
                if rows
                else ()
            ),
        ),
        notes=(
            *warnings(standby, source),
            *done.notes,
            *(f"{one.name} said: {line}" for one in bad for line in one.said),
        ),
        outputs={"backup-name": source.name, "serving-seconds": f"{seconds:.1f}"}
        | {name: told[name] for name in kept},
        report={
            "rehearsal": True,
            "backup": source.name,
            "seconds": round(seconds, 3),
            "steps": {name: round(took, 3) for name, took in done.seconds.items()},
            "tried": [
                {
                    "name": one.name,
                    "wrong": one.wrong,
                    "seconds": round(one.seconds, 3),
                    "said": list(one.said),
                }
                for one in tried
            ],
        },
        exit_code=DataDiffers.exit_code if bad else 0,
        failure_kind="checks" if bad else "",
    )
