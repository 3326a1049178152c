"""The files that people copy: safe as they stand, and in step with the action they call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.workflows import rules

BY_NAME = {path.name: path for path in rules.EXAMPLES}
each_example = pytest.mark.parametrize("path", rules.EXAMPLES, ids=lambda path: path.name)
each_workflow = pytest.mark.parametrize(
    "path", [*rules.EXAMPLES, *rules.OUR_WORKFLOWS], ids=lambda path: path.name
)
BAD: dict[str, Any] = {
    "permissions": {"contents": "write"},
    "jobs": {
        "a": {
            "outputs": {"uri": "${{ steps.x.outputs.connection-uri }}"},
            "permissions": {"packages": "write"},
            "steps": [{"env": {"P": "${{ secrets.NEON_API_KEY }}"}}],
        }
    },
}


@pytest.mark.parametrize(
    ("name", "title"), [("backup.yml", "Backup Database"), ("restore-test.yml", "Restore Test")]
)
def test_the_workflows_that_the_runbook_names_run_by_schedule_and_by_hand(name: str, title: str) -> None:
    workflow = rules.read(BY_NAME[name])
    assert workflow["name"] == title
    assert {"schedule", "workflow_dispatch"} <= set(workflow["on"])


@pytest.mark.parametrize("path", [*rules.EXAMPLES, rules.NIGHTLY], ids=lambda path: path.name)
def test_no_masked_output_leaves_its_job(path: Path) -> None:
    assert rules.masked_outputs_that_leave_a_job(rules.read(path)) == []


@each_example
def test_nothing_but_secrets_is_kept_as_a_secret(path: Path) -> None:
    assert rules.needless_secrets(path.read_text(), rules.SECRETS) == set()


@pytest.mark.parametrize(
    "path", [*rules.EXAMPLES, *rules.OUR_WORKFLOWS, rules.NIGHTLY], ids=lambda path: path.name
)
def test_what_is_used_is_pinned_to_a_commit_with_its_version_told(path: Path) -> None:
    assert rules.unpinned(path.read_text()) == []


@each_workflow
def test_every_job_has_a_time_limit(path: Path) -> None:
    assert rules.unlimited_jobs(rules.read(path)) == []


@each_workflow
def test_every_workflow_says_what_may_run_at_the_same_time(path: Path) -> None:
    assert "concurrency" in rules.read(path)


@each_example
def test_examples_ask_for_no_permission_at_all(path: Path) -> None:
    assert rules.loose_permissions(rules.read(path), {}) == []


@pytest.mark.parametrize("path", rules.OUR_WORKFLOWS, ids=lambda path: path.name)
def test_our_own_workflows_ask_for_what_they_need(path: Path) -> None:
    writers = {
        "build": {"packages"},
        "publish": {"attestations", "contents", "id-token", "packages"},
        "analyze": {"security-events"},
    }
    assert rules.loose_permissions(rules.read(path), writers) == []


@each_example
def test_secrets_come_from_an_environment(path: Path) -> None:
    assert rules.unprotected_secrets(rules.read(path)) == []


@each_example
def test_a_run_that_writes_never_runs_beside_another(path: Path) -> None:
    workflow = rules.read(path)
    operations = {step.get("with", {}).get("operation") for step in rules.steps(workflow)}
    if operations & {"backup", "prune"}:
        assert workflow["concurrency"] == {"group": "supaneon", "cancel-in-progress": False}


def test_each_rule_is_known_to_ring() -> None:
    assert rules.masked_outputs_that_leave_a_job(BAD) == ["${{ steps.x.outputs.connection-uri }}"]
    assert rules.masked_outputs_that_leave_a_job(
        {"outputs": {"u": {"value": "${{ steps.b.outputs.pooled-connection-uri }}"}}}
    )
    assert rules.needless_secrets("${{ secrets.NEON_PROJECT_ID }}", rules.SECRETS) == {"NEON_PROJECT_ID"}
    assert rules.unpinned("- uses: actions/checkout@v5\n- uses: a/b@" + "0" * 40) == [
        "actions/checkout@v5",
        "a/b@" + "0" * 40,
    ]
    assert rules.unlimited_jobs(BAD) == ["a"]
    assert rules.loose_permissions(BAD, {}) == ["the workflow begins with permissions", "a: packages write"]
    assert rules.unprotected_secrets(BAD) == ["a"]
