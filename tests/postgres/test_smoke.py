from __future__ import annotations

import sys
import threading
import time

import pytest

from supaneon_sync.errors import Cancelled, ConfigError
from supaneon_sync.postgres import smoke
from supaneon_sync.run import Stop
from supaneon_sync.secret import Secret

URI = Secret("postgresql://somebody:password@host/database")


def run(code: str, *, seconds: float = 20, stop: Stop | None = None) -> smoke.Smoke:
    command = f'{sys.executable} -c "{code}"'
    return smoke.run(
        command, URI, environment={"PATH": "/bin:/usr/bin"}, stop=stop or Stop(), seconds=seconds
    )


def test_the_uri_is_in_the_environment_and_not_among_the_arguments() -> None:
    found = run("import os, sys; print(os.environ['DATABASE_URL'], sys.argv)")
    assert found == smoke.Smoke("", (f"{URI.reveal()} ['-c']",))


def test_no_shell_reads_the_command() -> None:
    found = smoke.run("echo $DATABASE_URL; exit 3", URI, environment={}, stop=Stop(), seconds=20)
    assert found == smoke.Smoke("", ("$DATABASE_URL; exit 3",))


def test_an_exit_code_is_told_with_the_last_lines_of_both_streams() -> None:
    found = run(
        "import sys; print('out', flush=True); [print(i, file=sys.stderr) for i in range(50)]; sys.exit(3)"
    )
    assert found.wrong == "exit code 3"
    assert found.said == tuple(str(number) for number in range(50 - smoke.LINES, 50))


def test_a_long_line_is_left_out_whole_so_that_no_secret_is_cut_in_two() -> None:
    assert run("print('x' * 5000)").said == ("(a line of 5000 characters)",)


def test_a_command_that_hangs_is_ended_in_time_with_its_children() -> None:
    began = time.monotonic()
    found = run("import subprocess; subprocess.run(['sleep', '600'])", seconds=0.5)
    assert found.wrong.startswith("not done after")
    assert time.monotonic() - began < 10


def test_a_stop_ends_the_command() -> None:
    stop = Stop()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Cancelled):
        run("import time; time.sleep(600)", stop=stop)


@pytest.mark.parametrize(
    ("command", "told"),
    [("no-such-program", "cannot be started"), ("echo 'open", "not closed"), ("''", "cannot be started")],
)
def test_a_command_that_cannot_be_run_is_a_mistake_in_the_settings(command: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        smoke.run(command, URI, environment={}, stop=Stop(), seconds=20)
