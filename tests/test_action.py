from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from supaneon_sync import action
from supaneon_sync.action import SUMMARY_LIMIT, operations
from supaneon_sync.errors import ConfigError
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings
from tests import door_verbs
from tests.door_verbs import ENCODED, PASSWORD, URI
from tests.test_workflow_commands import read_command, read_file

ROOT = Path(__file__).resolve().parent.parent
SECRETS = {
    "INPUT_SUPABASE-DATABASE-URL": "postgresql://u:canary%2Fpw@h.example/db",
    "INPUT_NEON-API-KEY": "canary-key",
}


class Step:
    """One step as the runner starts it, and what the runner has afterwards."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys
        self.workspace = directory / "workspace"
        self.workspace.mkdir()
        self.files = {name: directory / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}

    def __call__(self, operation: str, **inputs: str) -> SimpleNamespace:
        for path in self.files.values():
            path.write_text("")
        given = {f"INPUT_{name.upper().replace('_', '-')}": value for name, value in inputs.items()}
        environment = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            **{name: str(path) for name, path in self.files.items()},
            **SECRETS,
            "INPUT_OPERATION": operation,
            **given,
        }
        code = action.main(environment)
        log, errors = self._capsys.readouterr()
        assert errors == ""
        return SimpleNamespace(
            code=code,
            log=log,
            outputs=read_file(self.files["GITHUB_OUTPUT"].read_text()),
            summary=self.files["GITHUB_STEP_SUMMARY"].read_text(),
            commands=[found for line in log.splitlines() if (found := read_command(line))],
            masks=[
                found[2]
                for line in log.splitlines()
                if (found := read_command(line)) and found[0] == "add-mask"
            ],
        )


def shown(log: str) -> str:
    """Return the log as the runner shows it: the masks themselves are taken out."""
    return "\n".join(line for line in log.splitlines() if not line.startswith("::add-mask::"))


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Step:
    door_verbs.install(monkeypatch)
    found = Step(tmp_path, capsys)
    monkeypatch.chdir(found.workspace)
    return found


def test_outputs_groups_annotations_and_summary_come_out(step: Step) -> None:
    found = step("backup")
    assert found.code == 0
    assert found.outputs["branch-name"] == "backup-20260131T020000Z"
    assert found.outputs["verdict"] == "ok"
    assert found.outputs["failure-kind"] == ""
    assert found.outputs["report"] == "supaneon-report.json"
    names = [command[0] for command in found.commands if command[0] != "add-mask"]
    assert names == ["group", "warning", "endgroup", "notice"]
    assert found.summary.startswith("### ✅ backup: ok\n")


def test_a_secret_output_is_masked_in_every_form_before_it_is_used(step: Step) -> None:
    found = step("backup")
    assert found.outputs["connection-uri"] == URI
    assert {URI, PASSWORD, ENCODED} <= set(found.masks)
    assert "canary" not in shown(found.log)
    assert "canary" not in found.summary


def test_an_empty_secret_is_neither_masked_nor_written(step: Step) -> None:
    found = step("backup", neon_db_password="")
    assert all(mask.strip() for mask in found.masks)
    assert "pooled-connection-uri" not in found.outputs


def test_the_secrets_that_came_in_are_masked_before_anything_else(step: Step) -> None:
    found = step("backup")
    assert found.log.startswith("::add-mask::")
    first_group = next(index for index, command in enumerate(found.commands) if command[0] == "group")
    early = {command[2] for command in found.commands[:first_group]}
    assert {"canary-key", "canary/pw", "canary%2Fpw", SECRETS["INPUT_SUPABASE-DATABASE-URL"]} <= early


def test_a_secret_that_a_verb_meets_shows_nowhere(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    door_verbs.install(monkeypatch, backup="talks")
    found = step("backup")
    report = (step.workspace / "supaneon-report.json").read_text()
    assert found.code == 0
    for text in (shown(found.log), found.summary, report, found.outputs["branch-name"]):
        assert "***" in text.replace("\\", "")
        assert "canary" not in text


def test_every_text_field_of_an_outcome_is_concealed() -> None:
    """A field that is added later must not be forgotten in ``door.perform``."""
    known = {"operation", "verdict", "headline", "facts", "tables", "notes", "outputs", "secrets", "report"}
    assert {field.name for field in dataclasses.fields(Outcome)} == known | {
        "exit_code",
        "failure_kind",
        "script",
    }


def test_a_failure_is_an_annotation_a_summary_and_outputs(step: Step) -> None:
    found = step("restore-test")
    assert found.code == 6
    assert found.outputs == {
        "verdict": "failed",
        "failure-kind": "data",
        "report": "supaneon-report.json",
    }
    _, properties, message = next(command for command in found.commands if command[0] == "error")
    assert properties["title"] == "restore-test: data"
    assert message == "Table public.orders differs.\nLook at it."
    assert "### ❌ restore-test: failed" in found.summary
    assert "**What to do now:** Look at it." in found.summary


def test_bad_news_is_an_error_with_its_outputs(step: Step) -> None:
    found = step("list")
    assert found.code == 6
    assert found.outputs["verdict"] == "stale"
    assert found.outputs["failure-kind"] == "data"
    assert any(command[0] == "error" for command in found.commands)


def test_a_sequence_stops_at_the_first_failure_with_its_exit_code(step: Step) -> None:
    found = step(" backup , restore-test,list,")
    assert found.code == 6
    assert found.outputs["branch-name"] == "backup-20260131T020000Z"
    assert found.outputs["verdict"] == "failed"
    report = json.loads((step.workspace / "supaneon-report.json").read_text())
    assert [item["operation"] for item in report["operations"]] == ["backup", "restore-test"]


def test_an_exception_nobody_foresaw_shows_no_value(step: Step) -> None:
    found = step("doctor")
    assert found.code == 1
    assert found.outputs["failure-kind"] == "bug"
    assert "canary" not in shown(found.log) + found.summary
    assert "door\\_verbs.py" in found.summary


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("", "missing"),
        (" , ", "missing"),
        ("bakup", "did you mean 'backup'?"),
        ("backup,resolv", "did you mean 'resolve'?"),
        ("$(id)", "is not an operation"),
        ('back"up\n::error::x', "is not an operation"),
    ],
)
def test_an_unknown_operation_is_named_with_the_nearest(step: Step, operation: str, expected: str) -> None:
    found = step(operation)
    assert found.code == 2
    assert found.outputs["failure-kind"] == "config"
    assert expected in next(command for command in found.commands if command[0] == "error")[2]
    assert sum(command[0] == "error" for command in found.commands) == 1


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("neon_database", "a b'\"$(id)`id`", True),
        ("neon_database", "two\n::error::lines", False),
        ("jobs", "", True),
        ("jobs", "$(id)", False),
        ("no_such_input", "x", False),
        ("yes", "true", False),
    ],
)
def test_an_input_is_data_and_nothing_else(step: Step, name: str, value: str, good: bool) -> None:
    found = step("backup", **{name: value})
    assert found.code == (0 if good else 2)
    assert sum(command[0] == "error" for command in found.commands) == (0 if good else 1)


def test_missing_secrets_are_all_named(step: Step) -> None:
    found = step("backup", supabase_database_url="", neon_api_key="")
    assert found.code == 2
    assert "SUPABASE_DATABASE_URL" in found.summary.replace("\\", "")
    assert "NEON_API_KEY" in found.summary.replace("\\", "")


def test_it_works_without_the_runners_files(
    step: Step, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert action.main({**SECRETS, "INPUT_OPERATION": "backup"}) == 0
    log = capsys.readouterr().out
    assert "canary" not in log
    assert "add-mask" not in log
    assert not list(step.workspace.iterdir())


def test_a_summary_beyond_the_limit_is_shortened_and_points_to_the_report(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_verbs, "works", huge)
    found = step("backup,backup")
    size = step.files["GITHUB_STEP_SUMMARY"].stat().st_size
    assert SUMMARY_LIMIT - 200 < size <= SUMMARY_LIMIT
    assert "supaneon-report.json" in found.summary[-200:]
    assert "### ✅ backup: ok" in found.summary


def huge(_settings: Settings, _run: Run) -> Outcome:
    rows = tuple((f"public.größe_{number}", "1") for number in range(40_000))
    return Outcome("backup", "ok", "Done.", tables=(Table("Tables", ("Name", "Rows"), rows),))


def test_verbs_that_only_look_leave_no_file_in_the_workspace(step: Step) -> None:
    assert step("resolve").outputs["report"] == ""
    assert not list(step.workspace.iterdir())


def test_the_report_goes_where_it_was_asked_for(step: Step) -> None:
    assert step("backup", report_file="out/report.json").outputs["report"] == "out/report.json"
    assert (step.workspace / "out/report.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_report_written_by_root_belongs_to_the_owner_of_the_workspace(step: Step) -> None:
    os.chown(step.workspace, 1001, 1002)
    step("backup,backup", report_file="out/report.json")
    for path in (step.workspace / "out", step.workspace / "out/report.json"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1001, 1002)


def test_prune_acts_in_the_action_where_nobody_can_say_yes(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    def prune(settings: Settings, run: Run) -> Outcome:
        seen.append(settings)
        return Outcome("list", "ok", "Done.")

    door_verbs.install(monkeypatch, prune="works")
    monkeypatch.setattr(door_verbs, "works", prune)
    monkeypatch.setattr("supaneon_sync.registry._TABLE", (*_with_prune(),))
    assert step("prune", dry_run="true").code == 0
    assert (seen[0].yes, seen[0].dry_run) == (True, True)


def _with_prune() -> list[object]:
    return [
        door_verbs.Verb("prune", "prune", "Prunes.", "tests.door_verbs", "works"),
    ]


def test_operations_may_be_called_by_their_name_on_the_command_line(step: Step) -> None:
    assert [verb.operation for verb in operations("backup-run,doctor")] == ["backup", "validate-config"]
    with pytest.raises(ConfigError) as caught:
        operations("one,two")
    assert len(caught.value.problems) == 2


Entry = Callable[[dict[str, str], list[str]], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    def start(environment: dict[str, str], argv: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "entrypoint.py"), *argv],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def test_the_image_opens_the_actions_door_inside_a_step_and_the_command_line_elsewhere(entry: Entry) -> None:
    inside = entry({"GITHUB_ACTIONS": "true", "INPUT_OPERATION": "config"}, [])
    assert inside.returncode == 0
    assert re.search("^::notice title=config::|^::warning title", inside.stdout, re.MULTILINE)
    missing = entry({"GITHUB_ACTIONS": "true"}, [])
    assert missing.returncode == 2
    assert "::error" in missing.stdout
    assert entry({"INPUT_OPERATION": "config"}, []).returncode == 0
    assert "usage:" in entry({}, []).stdout
    assert entry({"GITHUB_ACTIONS": "true"}, ["--version"]).stdout.startswith("supaneon-sync ")
