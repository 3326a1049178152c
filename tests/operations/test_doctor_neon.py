"""The doctor on broken standby projects: key, limits, allow list, mirror, role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supaneon_sync.policy import marks, names
from supaneon_sync.policy.marks import Mark
from supaneon_sync.sandbox import admin
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.examined import checked
from tests.sandbox_fixtures import MakeSandbox

OURS = {"annotation": Mark(marks.MIRROR, "test").pairs()}


def change_project(sandbox: Sandbox, **fields: Any) -> None:
    admin.change_project(sandbox.plane, fields)


def test_a_missing_key_is_a_setting(sandbox: Sandbox) -> None:
    checkup = checked(sandbox=sandbox, environment={"NEON_API_KEY": ""})
    assert checkup.outcome.exit_code == 2
    assert "NEON_API_KEY" in checkup["Neon: API key"]["remedy"]
    assert checkup.status("Neon: mirror") == "skipped"


def test_a_wrong_key_is_neons_refusal(sandbox: Sandbox) -> None:
    checkup = checked(sandbox=sandbox, environment={"NEON_API_KEY": "napi_wrong"})
    assert checkup.outcome.exit_code == 4
    assert "revoked" in checkup["Neon: API key"]["remedy"]


def test_an_unknown_project_is_a_setting(sandbox: Sandbox) -> None:
    checkup = checked(sandbox=sandbox, environment={"NEON_PROJECT_ID": "no-such-project-12345678"})
    assert checkup.failing == ["Neon: project"]
    assert checkup.outcome.exit_code == 2
    assert "NEON_PROJECT_ID" in checkup["Neon: project"]["remedy"]


def test_a_key_of_many_projects_is_more_than_is_needed(sandbox: Sandbox) -> None:
    admin.add_project(sandbox.plane, {"name": "production"})
    found = checked(sandbox=sandbox)["Neon: API key"]
    assert found["status"] == "warning"
    assert "2 projects" in found["evidence"]


def test_an_allow_list_is_named_with_the_ways_around_it(sandbox: Sandbox) -> None:
    change_project(
        sandbox, settings={"allowed_ips": {"ips": ["203.0.113.7"], "protected_branches_only": False}}
    )
    found = checked(sandbox=sandbox)["Neon: access"]
    assert found["status"] == "warning"
    assert "203.0.113.7" in found["evidence"]
    assert "IP Allow" in found["remedy"]
    change_project(
        sandbox, settings={"allowed_ips": {"ips": ["203.0.113.7"], "protected_branches_only": True}}
    )
    assert checked(sandbox=sandbox).status("Neon: access") == "ok"


def test_blocked_public_connections_are_named(sandbox: Sandbox) -> None:
    change_project(
        sandbox,
        settings={
            "allowed_ips": {"ips": [], "protected_branches_only": False},
            "block_public_connections": True,
        },
    )
    found = checked(sandbox=sandbox)["Neon: access"]
    assert found["status"] == "warning"  # this very machine got in
    assert "network settings" in found["remedy"]


@pytest.mark.parametrize(
    ("there", "make_room", "status"),
    [(7, True, "ok"), (8, True, "warning"), (9, True, "warning"), (9, False, "failed")],
)
def test_the_branch_limit_is_seen_coming(
    make_sandbox: MakeSandbox, there: int, make_room: bool, status: str
) -> None:
    sandbox = make_sandbox(plan="free")
    sandbox.seed(*({"name": f"other-{number}"} for number in range(there)))
    checkup = checked(sandbox=sandbox, make_room=make_room)
    found = checkup["Neon: branches"]
    assert found["status"] == status
    assert f"{there + 1} of 10" in found["evidence"]
    assert checkup.outcome.exit_code == (5 if status == "failed" else 0)
    assert status == "ok" or "prune" in found["remedy"]


def test_a_retention_policy_beyond_the_plan_is_counted(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(plan="free")
    found = checked(sandbox=sandbox, environment={"INPUT_KEEP-DAILY": "14"})["Neon: retention policy"]
    assert found["status"] == "warning"
    assert "10" in found["evidence"]
    assert "keep-last" in found["remedy"]
    assert checked(sandbox=sandbox).status("Neon: retention policy") == "ok"


def test_a_primary_larger_than_a_branch_may_be_is_a_matter_of_quota(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty")
    change_project(sandbox, branch_logical_size_limit_bytes=1024 * 1024)
    checkup = checked(sandbox=sandbox)
    assert checkup.failing == ["Neon: size of a branch"]
    assert checkup.outcome.exit_code == 5
    assert "plan" in checkup["Neon: size of a branch"]["remedy"]
    change_project(sandbox, branch_logical_size_limit_bytes=1024**4)
    assert checked(sandbox=sandbox).status("Neon: size of a branch") == "ok"


def test_a_mirror_of_somebody_elses_is_refused(sandbox: Sandbox) -> None:
    sandbox.seed({"name": names.MIRROR})
    checkup = checked(sandbox=sandbox)
    assert checkup.failing == ["Neon: mirror"]
    assert checkup.outcome.exit_code == 7
    assert "untouched" in checkup["Neon: mirror"]["remedy"]


def test_a_mirror_that_expires_is_named(sandbox: Sandbox) -> None:
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    sandbox.seed({"name": names.MIRROR, "expires_at": soon, **OURS})
    checkup = checked(sandbox=sandbox)
    assert checkup.outcome.exit_code == 4
    assert "expiry" in checkup["Neon: mirror"]["remedy"]


def test_a_protected_mirror_is_named_and_fails_where_passwords_are_not_stored(sandbox: Sandbox) -> None:
    sandbox.seed({"name": names.MIRROR, "protected": True, **OURS})
    assert checked(sandbox=sandbox).status("Neon: mirror") == "warning"
    change_project(sandbox, store_passwords=False)
    found = checked(sandbox=sandbox)["Neon: mirror"]
    assert found["status"] == "failed"
    assert "protection" in found["remedy"]


def test_a_project_that_holds_somebody_elses_data_is_refused_before_there_is_a_mirror(
    sandbox: Sandbox,
) -> None:
    sandbox.execute("main", "CREATE TABLE public.theirs (id int)", "neondb")
    checkup = checked(sandbox=sandbox)
    found = checkup["Neon: compute and password"]
    assert checkup.outcome.exit_code == 7
    assert "holds objects" in found["evidence"]
    assert "NEON_PROJECT_ID" in found["remedy"]
    elsewhere = checked(sandbox=sandbox, environment={"NEON_DATABASE": "the_copy"})
    assert elsewhere.failing == []


def test_a_role_that_is_not_there_is_named_with_those_that_are(sandbox: Sandbox) -> None:
    checkup = checked(sandbox=sandbox, environment={"NEON_DB_USER": "nobody_here"})
    found = checkup["Neon: compute and password"]
    assert found["failure-kind"] == "config"
    assert "neondb_owner" in found["remedy"]
    assert checkup.outcome.exit_code == 2


def test_a_role_that_may_not_create_databases_is_told_what_it_can_do(sandbox: Sandbox) -> None:
    sandbox.execute("main", "ALTER ROLE neondb_owner NOCREATEDB NOCREATEROLE")
    found = checked(sandbox=sandbox)["Neon: role"]
    assert found["status"] == "failed"
    assert "CREATEDB and CREATEROLE" in found["evidence"]
    assert "NEON_DB_USER" in found["remedy"]


def test_a_wrong_password_on_the_compute_is_found(sandbox: Sandbox) -> None:
    sandbox.execute("main", "ALTER ROLE neondb_owner PASSWORD 'changed with SQL'")
    found = checked(sandbox=sandbox)["Neon: compute and password"]
    assert found["status"] == "failed"
    assert "password" in found["evidence"]


def test_neon_out_of_reach_does_not_take_minutes() -> None:
    environment = {"NEON_API_KEY": "napi_x", "NEON_API_HOST": "http://127.0.0.1:9/api/v2"}
    began = datetime.now(UTC)
    checkup = checked(environment=environment)
    assert datetime.now(UTC) - began < timedelta(seconds=15)
    assert checkup.outcome.exit_code == 4
    assert "NEON_API_HOST" in checkup["Neon: API key"]["remedy"]
