from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supaneon_sync.run import Stop
from supaneon_sync.signals import stopping

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import sys
from supaneon_sync import action, cli, registry
from tests import door_verbs
registry._TABLE = (registry.Verb("backup", "backup-run", "", "tests.door_verbs", sys.argv[1]),)
if sys.argv[2] == "cli":
    sys.exit(cli.main(["backup-run"]))
sys.exit(action.main())
"""
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
    "SUPABASE_DATABASE_URL": "postgresql://u:canary-pw@h/d",
    "NEON_API_KEY": "canary-key",
}


@contextmanager
def waiting(verb: str, door: str = "cli", **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a verb in a process of its own and give it back once the verb is at work."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", SCRIPT, verb, door],
        env={**ENVIRONMENT, **environment},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        while "waiting" not in process.stdout.readline():
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["waits", "waits_in_c"])
def test_the_first_signal_ends_the_run_as_cancelled(number: signal.Signals, verb: str) -> None:
    with waiting(verb) as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "The run was cancelled." in out
    assert "Traceback" not in out


def test_a_cancelled_step_says_so_in_its_outputs(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with waiting("waits", "action", INPUT_OPERATION="backup", GITHUB_OUTPUT=str(output)) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert "\ncancelled\n" in output.read_text()


def test_the_second_signal_interrupts_whoever_does_not_listen() -> None:
    with waiting("deaf") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "The run was cancelled." in out


def test_the_third_signal_ends_the_process() -> None:
    with waiting("deaf_and_stubborn") as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert "no" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 130


def test_a_stop_calls_every_hook_even_after_one_that_fails() -> None:
    stop, called = Stop(), threading.Event()

    def fails() -> None:
        raise OSError("not there")

    with stop.calling(fails), stop.calling(called.set):
        stop.set()
    assert called.is_set()


def test_a_hook_registered_after_the_stop_is_called_at_once() -> None:
    stop, called = Stop(), threading.Event()
    stop.set()
    with stop.calling(called.set):
        assert called.is_set()


def test_handlers_are_given_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stopping(Stop()):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_nothing_is_installed() -> None:
    seen: list[object] = []

    def work() -> None:
        with stopping(Stop()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
