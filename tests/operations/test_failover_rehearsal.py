"""A rehearsal does what a failover does, on a branch that expires, and leaves nothing behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from supaneon_sync.errors import Cancelled, ConfigError
from supaneon_sync.neon_client import NeonClient
from supaneon_sync.policy import names
from supaneon_sync.policy.failover import Step
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.secret import Secret
from tests.operations.failing_over import call, failovers, ledger_rows
from tests.tool import at, command, finished, perform

SHOW = """
import os, sys
there = [name for name in sys.argv[1:] if name in os.environ]
print(os.environ["DATABASE_URL"], os.environ["OF_THE_USER"], there)
sys.exit(3)
"""


def everything(sandbox: Sandbox) -> tuple[set[str], set[str]]:
    """Return the names of all branches and the ids of all computes."""
    return sandbox.names(), set(sandbox.plane.state.endpoints)


def test_a_rehearsal_measures_and_leaves_nothing_behind(standby: Sandbox) -> None:
    before = everything(standby)
    outcome = call(standby, rehearse=True, role="authenticated", smoke_command="true")
    assert outcome.verdict == "ok"
    assert everything(standby) == before
    assert 0 < float(outcome.outputs["serving-seconds"]) < 60
    assert "branch-name" not in outcome.outputs
    assert not outcome.secrets
    durations, tried = outcome.tables
    assert {row[0] for row in durations.rows} == {
        step.value for step in Step if step not in (Step.PROTECT, Step.NAME)
    }
    assert tried.rows[0][:2] == ("smoke command", "ok")
    subject, verdict = ledger_rows(standby)[-1]
    assert subject.startswith("rehearsal-")
    assert verdict == "rehearsed: ok"


def test_the_branch_expires_from_birth_and_is_no_failover_in_force(standby: Sandbox) -> None:
    seen: list[tuple[str, str | None]] = []

    def look() -> None:
        (name,) = failovers(standby)
        seen.append((name, standby.branch(name).expires_at))
        assert "Takes the traffic" not in dict(perform(standby, "list").facts)

    call(standby, rehearse=True, progress=at(Step.READY.value, look))
    ((name, expires_at),) = seen
    assert name.startswith("rehearsal-")
    assert expires_at is not None


def test_a_rehearsal_can_run_while_a_failover_is_in_force(standby: Sandbox) -> None:
    branch = call(standby).outputs["branch-name"]
    call(standby, rehearse=True)
    assert failovers(standby) == {branch}


def test_the_smoke_command_finds_the_uri_and_nothing_else_of_ours(
    standby: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    for name, value in standby.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INPUT_NEON-API-KEY", "a canary")
    monkeypatch.setenv("OF_THE_USER", "kept")
    names_of_ours = " ".join([*standby.environment, "INPUT_NEON-API-KEY"])
    outcome = call(
        standby, rehearse=True, smoke_command=f"{sys.executable} {tmp_path}/show.py {names_of_ours}"
    )
    assert outcome.exit_code == 6
    assert outcome.failure_kind == "checks"
    (line,) = (note for note in outcome.notes if note.startswith("smoke command said: "))
    assert line.startswith("smoke command said: postgresql://neondb_owner:")
    assert line.endswith(" kept []")
    assert ledger_rows(standby)[-1][1] == "rehearsed: failed"


def test_what_a_command_prints_is_redacted_at_the_door(standby: Sandbox) -> None:
    process = command(
        standby,
        "failover",
        "--rehearse",
        "--yes",
        "--smoke-command",
        "sh -c 'echo URI=$DATABASE_URL; exit 1'",
    )
    code, said = finished(process)
    assert code == 6
    assert "smoke command said: URI=postgresql://neondb_owner:***@" in said
    assert "npg_" not in said
    assert not failovers(standby)


@pytest.mark.parametrize("wrong", ["no-such-program-anywhere", "sh -c 'open"])
def test_a_command_that_cannot_be_run_leaves_nothing_behind(standby: Sandbox, wrong: str) -> None:
    before = everything(standby)
    with pytest.raises(ConfigError, match="smoke-command"):
        call(standby, rehearse=True, smoke_command=wrong)
    assert everything(standby) == before


def test_the_users_own_checks_are_asked(
    standby: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checks = [
        {"name": "tasks are there", "sql": "SELECT count(*) FROM public.tasks", "min": 1},
        {"name": "nobody wrote", "sql": "SELECT count(*) FROM public.tasks", "max": 0},
        {"name": "no such table", "sql": "SELECT 1 FROM public.nowhere", "rows": 1},
    ]
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/supaneon.yml").write_text(json.dumps({"checks": checks}))
    monkeypatch.chdir(tmp_path)
    code, said = finished(command(standby, "failover", "--rehearse", "--yes", "--json"))
    tried = json.loads(said[said.index("{") : said.rindex("}") + 1])
    found = {one["name"]: one["wrong"] for one in tried["report"]["tried"]}
    assert found["tasks are there"] == ""
    assert found["nobody wrote"] == "gave a value above the maximum of 0"
    assert found["no such table"].startswith("was refused (42P01")
    assert code == 6


@pytest.mark.parametrize("step", [Step.READY, Step.PROVE, Step.SERVE], ids=lambda step: step.name)
def test_a_rehearsal_that_is_cancelled_removes_its_branch(standby: Sandbox, step: Step) -> None:
    before = everything(standby)
    stop = Stop()
    with pytest.raises(Cancelled):
        call(standby, rehearse=True, stop=stop, progress=at(step.value, stop.set))
    standby.settle()
    assert everything(standby) == before


def test_a_rehearsal_that_fails_removes_its_branch(standby: Sandbox) -> None:
    def damage() -> None:
        (name,) = failovers(standby)
        standby.execute(name, "DELETE FROM public.labels")

    before = everything(standby)
    with pytest.raises(Exception, match=r"public\.labels has 0 rows"):
        call(standby, rehearse=True, progress=at(Step.CHECK.value, damage))
    assert everything(standby) == before


def test_a_branch_that_cannot_be_removed_is_told_and_expires(standby: Sandbox) -> None:
    standby.inject({"kind": "answer", "status": 422, "message": "not now", "method": "DELETE"})
    outcome = call(standby, rehearse=True)
    (name,) = failovers(standby)
    assert any(f"{name} could not be removed, and expires by itself" in note for note in outcome.notes)
    with NeonClient(Secret(standby.key), api_host=standby.api_host) as client:
        found = client.find_branch(standby.environment["NEON_PROJECT_ID"], name)
    assert found is not None
    assert found.expires_at is not None
    assert names.failover_moment(name) is None


def test_the_plan_of_a_rehearsal_changes_nothing(standby: Sandbox) -> None:
    outcome = perform(standby, "failover", rehearse=True)
    assert outcome.verdict == "planned"
    assert Step.PROTECT.value not in [row[1] for row in outcome.tables[0].rows]
    assert {one["method"] for one in standby.requests} == {"GET"}
