"""Every example workflow, run by act as it stands, against a sandbox. Nothing secret is in any log."""

from __future__ import annotations

import re

import pytest

from supaneon_sync.sandbox.testing import Sandbox
from tests.act.conftest import Act, Done
from tests.workflows.rules import EXAMPLES

BACKUP = re.compile(r"backup-\d{8}T\d{6}Z")


def check(done: Done, sandbox: Sandbox) -> None:
    """Demand success, and a log in which none of the sandbox's secrets is."""
    assert done.code == 0, done.log
    passwords = [
        role.password for branch in sandbox.plane.state.branches.values() for role in branch.roles.values()
    ]
    secrets = [sandbox.key, sandbox.primary_password, *filter(None, passwords)]
    assert [secret for secret in secrets if secret in done.log] == []


def test_backup_by_schedule(act: Act, standby: Sandbox) -> None:
    before = standby.names()
    check(act("backup.yml", "schedule"), standby)
    assert any(BACKUP.fullmatch(name) for name in standby.names() - before)


def test_a_backup_in_one_job_is_used_in_the_next(act: Act, standby: Sandbox) -> None:
    before = standby.names()
    done = act("backup-and-deploy.yml", "workflow_dispatch")
    check(done, standby)
    (made,) = (name for name in standby.names() - before if BACKUP.fullmatch(name))
    assert f"would now be deployed against {made}" in done.log


def test_a_migration_waits_for_its_backup(act: Act, standby: Sandbox) -> None:
    before = standby.names()
    done = act("pre-migration.yml", "workflow_dispatch")
    check(done, standby)
    (made,) = (name for name in standby.names() - before if BACKUP.fullmatch(name))
    assert f"The state before the migration stands as {made}" in done.log


def test_the_reusable_workflow(act: Act, standby: Sandbox) -> None:
    project = standby.environment["NEON_PROJECT_ID"]
    check(act("reusable-backup.yml", "workflow_call", {"neon-project-id": project}), standby)


def test_restore_test_on_demand(act: Act, standby: Sandbox) -> None:
    check(act("restore-test.yml", "workflow_dispatch"), standby)


def test_the_alarm_is_tried(act: Act, standby: Sandbox) -> None:
    before = standby.names()
    check(act("self-test.yml", "schedule"), standby)
    assert standby.names() == before


def test_freshness_is_content_with_a_new_backup(act: Act, standby: Sandbox) -> None:
    check(act("freshness.yml", "schedule"), standby)


def test_prune_shows_its_plan(act: Act, standby: Sandbox) -> None:
    before = standby.names()
    check(act("prune.yml", "workflow_dispatch", {"dry-run": "true"}), standby)
    assert standby.names() == before


def test_the_whole_night(act: Act, standby: Sandbox) -> None:
    before = standby.names()
    done = act("nightly.yml", "schedule")
    check(done, standby)
    assert any(BACKUP.fullmatch(name) for name in standby.names() - before)
    assert "kept=" in done.log


def test_a_rehearsal_leaves_nothing_behind(act: Act, standby: Sandbox) -> None:
    before = standby.names()
    done = act("failover-rehearsal.yml", "workflow_dispatch")
    check(done, standby)
    assert "From the call to a served query it took" in done.log
    assert standby.names() == before


def test_the_failover_shows_its_plan_then_serves_and_the_deployment_follows(
    act: Act, standby: Sandbox
) -> None:
    before = standby.names()
    check(act("failover-deploy.yml", "workflow_dispatch", {"plan": "true"}), standby)
    assert standby.names() == before
    done = act("failover-deploy.yml", "workflow_dispatch", {"plan": "false", "role": "authenticated"})
    check(done, standby)
    (made,) = standby.names() - before
    assert made.startswith("failover-")
    assert f"would now be deployed against {made}" in done.log


def test_every_example_has_a_test() -> None:
    tested = {
        "failover-deploy.yml",
        "failover-rehearsal.yml",
        "backup.yml",
        "backup-and-deploy.yml",
        "pre-migration.yml",
        "reusable-backup.yml",
        "restore-test.yml",
        "self-test.yml",
        "freshness.yml",
        "prune.yml",
        "nightly.yml",
    }
    assert {path.name for path in EXAMPLES} == tested


def test_a_secret_in_a_log_is_noticed(standby: Sandbox) -> None:
    with pytest.raises(AssertionError):
        check(Done(0, f"the key is {standby.key}"), standby)
