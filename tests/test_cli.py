from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supaneon_sync import cli, registry
from tests import door_verbs
from tests.door_verbs import PASSWORD, ROW, URI

ROOT = Path(__file__).resolve().parent.parent
ENOUGH = {
    "SUPABASE_DATABASE_URL": "postgresql://u:canary-pw@h.example/db",
    "NEON_API_KEY": "canary-key",
    "NEON_DB_PASSWORD": "canary-db-password",
}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """A function: run one command line in an empty directory; return code, output and errors."""
    monkeypatch.chdir(tmp_path)
    door_verbs.install(monkeypatch)

    def run(*argv: str, **environment: str) -> tuple[int, str, str]:
        code = cli.main(argv, {**ENOUGH, **environment})
        return code, *capsys.readouterr()

    return run


def test_help_names_every_verb_that_is_there_and_no_other(call: Call) -> None:
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert "backup-run" in out
    assert "prune" not in out
    assert "examples:" in out
    assert "exit codes:" in out
    assert call("help")[1] == call("-h")[1] == out


def test_no_arguments_show_the_help_and_fail(call: Call) -> None:
    code, out, _ = call()
    assert code == 2
    assert "usage:" in out


def test_the_version_is_told(call: Call) -> None:
    assert call("--version")[1].startswith("supaneon-sync ")


def test_the_help_of_a_verb_names_its_flags_and_where_its_secrets_go(call: Call) -> None:
    code, out, _ = call("backup-run", "--help")
    assert code == 0
    assert "--jobs NUMBER" in out
    assert "--no-make-room" in out
    assert "--backup" not in out.replace("backup-run", "")
    assert "--neon-api-key" not in out
    assert "NEON_API_KEY" in out


@pytest.mark.parametrize("name", ["backup", "backup-run"])
def test_a_verb_answers_to_its_aliases(call: Call, name: str) -> None:
    code, out, _ = call(name)
    assert code == 0
    assert out.startswith("ok: backup-20260131T020000Z is proved and ready.")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["bakup-run"], "did you mean 'backup-run'?"),
        (["prune"], "'prune' is not a verb"),
        (["sandbx"], "did you mean 'sandbox'?"),
        (["--jobs", "2", "backup-run"], "Options come after the verb"),
        (["backup-run", "--job", "2"], "did you mean '--jobs'?"),
        (["backup-run", "--jobs"], "expected one argument"),
        (["backup-run", "--yes"], "it belongs to prune"),
        (["backup-run", "extra"], "without a flag before it"),
        (["backup-run", "--jobs", "0"], "--jobs must be"),
        (["backup-run", "--config", "absent.yml"], "cannot be read"),
        (["backup-run", "--config", "~no-such-user/x.yml"], "~user exists"),
        (["backup-run", "--report-file", "/proc/none/report.json"], "cannot be written"),
    ],
)
def test_a_command_line_that_is_not_understood_ends_with_two(
    call: Call, argv: list[str], expected: str
) -> None:
    code, out, err = call(*argv)
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "argv",
    [
        ["--neon-api-key", "canary-on-argv"],
        ["--neon-api-key=canary-on-argv"],
        ["--neon-db-pasword", "canary-on-argv"],
        ["canary-on-argv"],
        ["--make-room=canary-on-argv"],
        ["--jobs=canary-on-argv@x"],
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(call: Call, argv: list[str]) -> None:
    code, _, err = call("backup-run", *argv)
    assert code == 2
    assert "canary" not in err


def test_a_secret_flag_is_answered_with_the_variable_to_set(call: Call) -> None:
    assert "Set the environment variable NEON_API_KEY" in call("backup-run", "--neon-api-key", "x")[2]


def test_all_problems_of_the_settings_are_told_at_once(call: Call) -> None:
    code, _, err = call("backup-run", "--jobs", "x", NEON_API_KEY="", SUPABASE_DATABASE_URL="canary")
    assert code == 2
    assert err.count("\n  - ") == 3
    assert "canary" not in err


def test_the_settings_file_is_found_or_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/supaneon.yml").write_text("jobs: 7\n")
    (tmp_path / "other.yml").write_text("jobs: 8\n")
    assert '"value": "7"' in call("config", "--json")[1]
    assert '"value": "8"' in call("config", "--json", "--config", "other.yml")[1]
    assert '"value": "9"' in call("config", "--json", "--config", "other.yml", "--jobs", "9")[1]


def test_config_shows_values_and_origins_and_no_secret(call: Call) -> None:
    code, out, err = call("config", NEON_DATABASE="shop", NEON_CA_FILE="canary-db-password")
    assert code == 0
    assert "canary" not in out + err
    assert "neon-database          shop" in out
    assert "NEON_DATABASE" in out
    assert "*** (set)" in out


def test_config_does_not_fail_for_what_is_missing_and_says_so(call: Call) -> None:
    code, out, _ = call("config", NEON_API_KEY="")
    assert code == 0
    assert "NEON_API_KEY is not set" in out


def test_the_report_for_people_is_aligned(call: Call) -> None:
    out = call("backup-run")[1]
    assert "  Branch  backup-20260131T020000Z\n  Rows    42\n" in out
    assert "  Name        Rows\n  public.a|b    40\n" in out
    assert "- Passwords of roles" in out
    assert "\x1b" not in out


def test_only_the_verb_whose_purpose_it_is_hands_secrets_over(call: Call) -> None:
    for extra in ([], ["--json"]):
        assert URI not in "".join(map(str, call("backup-run", *extra)))
        assert URI in call("resolve", *extra)[1]
    assert "supaneon-sync resolve --backup backup-20260131T020000Z" in call("backup-run")[1]


def test_json_is_exactly_one_document_on_standard_output(call: Call) -> None:
    code, out, err = call("backup-run", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["operation"] == "backup"
    assert document["outputs"]["branch-name"] == "backup-20260131T020000Z"
    assert "connection-uri" not in document["outputs"]
    assert document["report"] == {"tables": 2}
    assert "Copy the rows" in err


@pytest.mark.parametrize(
    ("argv", "code", "kind"),
    [
        (["restore-test"], 6, "data"),
        (["validate-config"], 1, "bug"),
        (["list"], 6, "data"),
        (["lst"], 2, "config"),
        (["backup-run", "--wrong"], 2, "config"),
    ],
)
def test_json_tells_a_failure_as_well(call: Call, argv: list[str], code: int, kind: str) -> None:
    got, out, _ = call(*argv, "--json")
    document = json.loads(out)
    assert (got, document["exit-code"], document["failure-kind"]) == (code, code, kind)


def test_a_failure_says_what_and_what_to_do_now(call: Call) -> None:
    code, out, err = call("restore-test")
    assert (code, out) == (6, "")
    assert "error (data, exit code 6): Table public.orders differs." in err
    assert "sqlstate: 23514" in err
    assert "What to do now: Look at it." in err


def test_bad_news_after_finished_work_is_the_exit_code(call: Call) -> None:
    code, out, _ = call("list")
    assert code == 6
    assert out.startswith("stale: The newest backup is 40 h old.")


def test_an_exception_nobody_foresaw_tells_where_and_no_values(call: Call) -> None:
    code, out, err = call("validate-config")
    assert (code, out) == (1, "")
    assert "canary" not in err
    assert "ValueError" in err
    assert "psycopg2.errors.CheckViolation" in err
    assert "tests/door_verbs.py:" in err


def test_row_values_are_told_when_asked_for_and_secrets_even_then_not(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    door_verbs.install(monkeypatch, backup="breaks")
    code, _, err = call("backup-run", "--show-row-values")
    assert code == 1
    assert ROW in err
    assert "canary-pw" not in err


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_a_secret_that_became_known_shows_nowhere(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extra: list[str]
) -> None:
    door_verbs.install(monkeypatch, backup="talks")
    code, out, err = call("backup-run", "--report-file", "report.json", *extra)
    report = (tmp_path / "report.json").read_text()
    assert code == 0
    for shown in (out, err, report):
        assert "***" in shown
        assert "canary" not in shown
    assert "somebody: log ***" in err
    assert "warn ***" in err
    assert "RuntimeError was not foreseen" in err


def test_the_report_is_kept_whole_and_private(call: Call, tmp_path: Path) -> None:
    assert call("backup-run", "--report-file", "deep/er/report.json")[0] == 0
    path = tmp_path / "deep/er/report.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["operations"][0]["verdict"] == "ok"
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]


def test_a_failed_run_keeps_a_report_too(call: Call, tmp_path: Path) -> None:
    assert call("restore-test", "--report-file", "report.json")[0] == 6
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["operations"][0]["failure"]["message"] == "Table public.orders differs."


def test_a_verb_that_is_not_there_is_not_offered() -> None:
    for verb in registry.available():
        if verb.module:
            assert callable(verb.load())


def test_the_sandbox_without_its_extra_says_what_to_install(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    code, _, err = call("sandbox", "--help")
    assert code == 2
    assert "needs trustme," in err
    assert "pip install 'supaneon-sync[sandbox]'" in err


def test_the_installed_command_and_the_module_are_the_same_door() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    for command in (["-m", "supaneon_sync"], ["-m", "supaneon_sync.cli"], [str(ROOT / "entrypoint.py")]):
        found = subprocess.run(
            [sys.executable, *command, "--version"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.startswith("supaneon-sync ")


def test_a_reader_who_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m supaneon_sync --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_what_even_the_door_did_not_foresee_is_told_without_its_text(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_arguments: object) -> str:
        raise ValueError("canary in a text of Python's")

    monkeypatch.setattr("supaneon_sync.report.terminal.render", breaks)
    code, out, err = call("backup-run")
    assert code == 1
    assert "ValueError was not foreseen" in err
    assert "canary" not in out + err


def test_an_interruption_anywhere_ends_as_cancelled(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("supaneon_sync.report.terminal.render", interrupted)
    assert call("backup-run")[0] == 130


def test_a_password_given_to_the_run_is_not_in_its_arguments() -> None:
    assert PASSWORD not in " ".join(sys.argv)
