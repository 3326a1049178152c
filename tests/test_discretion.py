"""hide-names: nothing that everybody may read tells what tables there are or how much they hold."""

from __future__ import annotations

import pytest

from supaneon_sync.discretion import Discreet, discreet
from supaneon_sync.failures import Failure
from supaneon_sync.report import markdown, terminal
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.sandbox.testing import Sandbox
from tests.tool import Watching, command, finished

CANARY = "canary_table"
OUTCOME = Outcome(
    operation="backup",
    verdict="ok",
    headline=f"{CANARY} has 4711 rows",
    facts=(("Backup", "backup-20260131T020000Z"), ("Rows moved", "4711")),
    tables=(Table("Tables", ("table",), ((CANARY,),)),),
    notes=(f"{CANARY} was left out",),
    outputs={"branch-name": "backup-20260131T020000Z", "rows": "4711", "tables": "4711"},
    report={"manifest": {"tables": [CANARY]}},
)


@pytest.mark.parametrize("operation", ["backup", "restore-test", "self-test", "validate-config", "failover"])
def test_an_outcome_tells_the_branch_and_the_verdict_alone(operation: str) -> None:
    found = discreet(operation, OUTCOME)
    assert isinstance(found, Outcome)
    shown = terminal.render(found) + markdown.render(found) + repr(found)
    assert CANARY not in shown
    assert "4711" not in shown
    assert "backup-20260131T020000Z" in shown
    assert found.verdict == "ok"


def test_a_list_of_branches_stays_but_for_the_manifest() -> None:
    table = Table("Backups", ("backup",), (("backup-20260131T020000Z",),))
    found = discreet("list", Outcome("list", "ok", "two", tables=(table,), report={"manifest": CANARY}))
    assert isinstance(found, Outcome)
    assert found.tables == (table,)
    assert CANARY not in repr(found)


def test_a_failure_tells_its_family_and_code_alone() -> None:
    failure = Failure(
        6,
        "data",
        f"{CANARY} differs",
        f"look at {CANARY}",
        (CANARY,),
        {"object": CANARY, "sqlstate": "23505"},
    )
    found = discreet("backup", failure)
    assert isinstance(found, Failure)
    assert CANARY not in repr(found)
    assert (found.exit_code, found.kind, found.evidence) == (6, "data", {"sqlstate": "23505"})
    assert "hide-names" in found.message


def test_what_is_wrong_with_the_settings_is_told_as_ever() -> None:
    failure = Failure(2, "config", "NEON_API_KEY is missing")
    assert discreet("backup", failure) == failure


def test_progress_tells_phases_and_masks_secrets_alone() -> None:
    inner = Watching()
    progress = Discreet(inner)
    progress.step("Copy the rows")
    progress.note(CANARY)
    progress.warning(CANARY)
    progress.advance(CANARY, 1, 2, 3)
    assert inner.steps == ["Copy the rows"]
    assert len(inner.warnings) == 1
    assert CANARY not in repr(inner)


def test_a_real_backup_with_it_names_no_table() -> None:
    with Sandbox(primary="sample", rows_scale=0.05) as sandbox:
        code, said = finished(command(sandbox, "backup-run", "--hide-names"))
        assert code == 0, said
        assert "backup-" in said
        for name in ("auth.users", "public.", "organizations", "storage.", "billing"):
            assert name not in said
