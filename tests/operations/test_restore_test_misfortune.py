"""A drill that meets what it should not: each ends with a clear word, the right exit code, nothing left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from supaneon_sync.errors import DataDiffers
from supaneon_sync.operations import drill_branches
from supaneon_sync.operations.drilling import Drill, Subject
from supaneon_sync.operations.restore_test import restore_test
from supaneon_sync.operations.standby import opened
from supaneon_sync.policy import names
from supaneon_sync.policy.drill import Verdict
from supaneon_sync.report import manifest
from supaneon_sync.sandbox import endpoints
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.test_restore_test import area, drill, drills, run_at, settings_of, told
from tests.tool import at, command, finished, perform


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    with Sandbox(primary="empty") as sandbox:
        perform(sandbox, "backup")
        yield sandbox


@pytest.fixture
def backup(world: Sandbox) -> Iterator[str]:
    """The backup; drills that are kept go again, so that none condemns it for the next test."""
    yield next(name for name in world.names() if name.startswith("backup-"))
    with opened(settings_of(world), run_at()) as standby:
        for branch in drill_branches.of_drills(standby):
            standby.client.delete_branch(standby.project.id, branch.id)
    world.settle()


def test_a_backup_that_is_deleted_meanwhile_is_said_and_condemns_nothing(world: Sandbox) -> None:
    time.sleep(1)
    doomed = perform(world, "backup").outputs["branch-name"]
    with opened(settings_of(world), run_at()) as standby:
        one = standby.choose(doomed)
        standby.client.delete_branch(standby.project.id, one.branch.id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("supaneon_sync.operations.standby.Standby.choose", lambda *_, **__: one)
            outcome = drill(world)
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("fail-connectivity", 4, "neon")
    assert f"no branch could be cut from {doomed}" in told(outcome, "connection")[0]
    assert drills(world) == set()


def test_a_drills_branch_that_is_deleted_under_it_is_a_matter_of_connectivity(
    world: Sandbox, backup: str
) -> None:
    def delete() -> None:
        with opened(settings_of(world), run_at()) as standby:
            for branch in drill_branches.of_drills(standby):
                standby.client.delete_branch(standby.project.id, branch.id)

    outcome = restore_test(settings_of(world), run_at(progress=at("Compare every table", delete)))
    assert (outcome.verdict, outcome.exit_code) == ("fail-connectivity", 4)
    assert drills(world) == set()
    assert perform(world, "resolve").outputs["branch-name"] == backup


def test_a_compute_that_does_not_start_is_waited_for_and_said(world: Sandbox, backup: str) -> None:
    run = run_at()
    began = time.monotonic()
    hasty = replace(run, monotonic=lambda: began + (time.monotonic() - began) * 40)

    def stop() -> None:
        (name,) = drills(world)
        branch = world.branch(name)
        world.plane.clusters.stop(branch.id)

    outcome = restore_test(
        settings_of(world), replace(hasty, progress=at("Wait for the drill's compute", stop))
    )
    assert (outcome.verdict, outcome.exit_code) == ("fail-connectivity", 4)
    assert "nothing listens there" in told(outcome, "connection")[0]
    assert perform(world, "resolve").outputs["branch-name"] == backup


def test_a_compute_that_starts_slowly_is_waited_for(
    world: Sandbox, backup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an archived branch's does: Neon's proxy holds the connection until the compute is up."""
    with opened(settings_of(world), run_at()) as standby:
        one = standby.choose(backup)
        branch = drill_branches.cut(standby, one)
        door = standby.doors(branch).direct
        endpoint = standby.endpoint(branch)
        standby.client.suspend_endpoint(standby.project.id, endpoint.id)
        world.settle()
        real = endpoints.bring_up
        monkeypatch.setattr(endpoints, "bring_up", lambda *given: (time.sleep(4), real(*given)))
        hasty = replace(door, options=dict(door.options) | {"connect_timeout": "2"})
        seen = Drill(standby, Subject(one, branch, lambda: hasty), time.monotonic()).examine()
    assert seen.verdict is Verdict.PASS, seen.areas
    assert seen.seconds_to_answer is not None
    assert seen.seconds_to_answer > 3


def test_an_older_backup_opens_with_the_password_it_was_cut_with(world: Sandbox, backup: str) -> None:
    world.execute(names.MIRROR, "ALTER ROLE neondb_owner PASSWORD 'rotated'")
    mirror = world.branch(names.MIRROR)
    before = mirror.roles["neondb_owner"].password
    mirror.roles["neondb_owner"].password = "rotated"
    try:
        assert drill(world).verdict == "pass"
    finally:
        mirror.roles["neondb_owner"].password = before
        world.execute(names.MIRROR, f"ALTER ROLE neondb_owner PASSWORD '{before}'")


def test_a_manifest_that_cannot_be_read_condemns(world: Sandbox, backup: str) -> None:
    rename = "ALTER TABLE supaneon.manifest RENAME COLUMN {} TO {}"
    world.execute(backup, rename.format("body", "corpse"), "supaneon")
    try:
        outcome = drill(world)
    finally:
        world.execute(backup, rename.format("corpse", "body"), "supaneon")
    assert (outcome.verdict, outcome.exit_code) == ("fail-data", 6)
    assert 'column "body" does not exist' in told(outcome, "identity")[0]


def test_without_our_database_it_may_be_another_branch_so_nothing_is_condemned(
    world: Sandbox, backup: str
) -> None:
    world.execute(backup, "ALTER DATABASE supaneon RENAME TO gone", "postgres")
    try:
        outcome = drill(world)
    finally:
        world.execute(backup, "ALTER DATABASE gone RENAME TO supaneon", "postgres")
    assert (outcome.verdict, outcome.exit_code) == ("fail-connectivity", 4)
    assert "there is no such database" in told(outcome, "identity")[0]


@pytest.mark.parametrize("body", ["", "no JSON", "[]", "7", '{"format": "x"}', "{}", '{"format": null}'])
def test_a_text_that_is_no_manifest_is_said(body: str) -> None:
    with pytest.raises(DataDiffers, match="cannot be read"):
        manifest.read(body, manifest.digest(body))


@pytest.mark.parametrize("text", ["checks: [", "checks: 7", "checks:\n  - nothing", "checks:\n - {name: a}"])
def test_malformed_checks_stop_the_run_before_anything_is_touched(
    world: Sandbox, tmp_path: Path, text: str
) -> None:
    asked = len(world.requests)
    (tmp_path / "checks.yml").write_text(text)
    code, said = finished(command(world, "restore-test", "--config", str(tmp_path / "checks.yml")))
    assert code == 2
    assert "checks" in said
    assert len(world.requests) == asked


def test_what_was_not_checked_is_said_beside_the_verdict(world: Sandbox, backup: str) -> None:
    outcome = drill(world)
    assert outcome.headline == (
        f"{backup} can be used: every check passed. Not checked: freshness, your checks, indexes."
    )
    facts = dict(outcome.facts)
    assert facts["Manifest"] == world.branch(backup).annotation["supaneon-manifest"]
    assert facts["Tested at"].endswith("Z")
    assert facts["Tested by"].startswith("supaneon-sync ")
    assert area(outcome, "indexes")["skipped"]
