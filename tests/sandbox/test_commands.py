from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from supaneon_sync.sandbox.service import variables_as_exports
from tests.sandbox.plain_http import query

_MODULE = (sys.executable, "-m", "supaneon_sync.sandbox")


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory that the servers' user may enter, in which nothing runs after the test."""
    parent = Path(tempfile.mkdtemp(prefix="supaneon-cmd-"))
    parent.chmod(0o711)
    yield parent / "state with space"
    sandbox("down", parent / "state with space")
    shutil.rmtree(parent)


def sandbox(verb: str, state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = (*_MODULE, verb, "--state", str(state), *options)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def variables(state: Path, *options: str) -> dict[str, str]:
    """Start a sandbox the way a person does, with ``eval``, and return what the shell then exports."""
    line = 'eval "$("$@")" && env'
    command = ("sh", "-c", line, "sh", *_MODULE, "up", "--state", str(state), *options)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120)
    return dict(row.split("=", 1) for row in done.stdout.splitlines() if "=" in row)


def answers(environment: dict[str, str]) -> bool:
    host, project = environment["NEON_API_HOST"], environment["NEON_PROJECT_ID"]
    header = {"Authorization": f"Bearer {environment['NEON_API_KEY']}"}
    try:
        return requests.get(f"{host}/projects/{project}", headers=header, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def postmasters(state: Path) -> list[str]:
    shown = subprocess.run(("ps", "-eww", "-o", "args"), capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if f" -D {state}" in line]


def users(environment: dict[str, str]) -> int:
    uri = environment["SUPABASE_DATABASE_URL"].replace("sslmode=require", "sslmode=verify-full")
    ((count,),) = query(
        f"{uri}&sslrootcert={environment['SUPABASE_CA_FILE']}", "select count(*) from auth.users"
    )
    return int(count)


def test_up_exports_a_working_environment_in_a_few_seconds_and_down_leaves_nothing(state: Path) -> None:
    begun = time.monotonic()
    environment = variables(state)
    assert time.monotonic() - begun < 15  # about 3 s on an idle machine
    assert answers(environment)
    assert users(environment) > 0
    assert len(postmasters(state)) == 2
    again = sandbox("up", state)
    assert "up already" in again.stderr
    assert f"export NEON_API_KEY='{environment['NEON_API_KEY']}'" in again.stdout
    assert environment["NEON_API_KEY"] not in again.stderr
    assert sandbox("down", state).returncode == 0
    assert not answers(environment)
    assert not state.exists()
    assert postmasters(state) == []
    assert "no sandbox" in sandbox("down", state).stderr


def test_down_cleans_up_after_a_sandbox_that_was_killed(state: Path) -> None:
    variables(state, "--empty-primary")
    os.kill(int((state / "lock").read_text()), signal.SIGKILL)
    assert len(postmasters(state)) == 2
    assert sandbox("down", state).returncode == 0
    assert postmasters(state) == []
    assert not state.exists()


def test_up_after_a_kill_takes_up_the_same_project_again(state: Path) -> None:
    first = variables(state, "--empty-primary")
    os.kill(int((state / "lock").read_text()), signal.SIGKILL)
    second = variables(state, "--empty-primary")
    assert second["NEON_PROJECT_ID"] == first["NEON_PROJECT_ID"]
    assert answers(second)
    assert users(second) == 0


def test_down_can_keep_the_state_for_the_next_up(state: Path) -> None:
    first = variables(state, "--no-primary")
    assert "SUPABASE_DATABASE_URL" not in first
    assert "kept" in sandbox("down", state, "--keep").stderr
    assert postmasters(state) == []
    second = variables(state, "--no-primary")
    assert second["NEON_PROJECT_ID"] == first["NEON_PROJECT_ID"]
    assert answers(second)


def test_a_directory_with_other_peoples_files_is_not_touched(state: Path) -> None:
    state.mkdir()
    (state / "precious").write_text("mine")
    up, down = sandbox("up", state), sandbox("down", state)
    assert up.returncode == 7
    assert down.returncode == 2
    assert [one.name for one in state.iterdir()] == ["precious"]
    (state / "precious").unlink()


def test_a_port_that_is_taken_is_named_and_nothing_is_left_running(state: Path) -> None:
    environment = variables(state, "--no-primary")
    port = environment["NEON_API_HOST"].split(":")[2].split("/")[0]
    second = state.with_name("second")
    try:
        refused = sandbox("up", second, "--no-primary", "--port", port)
        assert refused.returncode != 0
        assert f"Port {port} cannot be had" in refused.stderr
        assert refused.stdout == ""
        assert postmasters(second) == []
    finally:
        sandbox("down", second)


def test_secrets_are_readable_by_their_owner_alone_and_are_on_no_command_line(state: Path) -> None:
    environment = variables(state, "--empty-primary")
    password = environment["SUPABASE_DATABASE_URL"].split(":")[2].split("@")[0]
    shown = subprocess.run(("ps", "-eww", "-o", "args"), capture_output=True, text=True, check=True).stdout
    for secret in (environment["NEON_API_KEY"], password):
        assert secret not in shown
    for file in (one for one in state.iterdir() if one.is_file()):
        holds = any(
            text in file.read_text(errors="replace") for text in (environment["NEON_API_KEY"], password)
        )
        assert not holds or file.stat().st_mode & 0o077 == 0, file


def test_exported_values_survive_the_shell_whatever_is_in_them() -> None:
    values = {"ODD": "a'b\"c $HOME `id` \\ & ?x=1 ü", "EMPTY": ""}
    script = variables_as_exports(values) + "env -0"
    shown = subprocess.run(("sh", "-c", script), capture_output=True, check=True, env={}).stdout.decode()
    assert set(values.items()) <= {tuple(row.split("=", 1)) for row in shown.split("\0") if "=" in row}


def test_the_help_names_up_and_down_and_nothing_internal() -> None:
    shown = subprocess.run((*_MODULE, "--help"), capture_output=True, text=True, check=True).stdout
    assert "up" in shown
    assert "serve" not in shown
    assert "SUPPRESS" not in shown
