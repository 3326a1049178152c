"""The nightly action's own steps: in order, each only after the one before, and a heartbeat that is heard."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.workflows import rules

STEPS = {step["name"]: step for step in rules.read(rules.NIGHTLY)["runs"]["steps"]}


class Monitor(HTTPServer):
    """A monitoring service: remembers what was called, answers with ``answers``, the last one for ever."""

    def __init__(self, *answers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Heard)
        self.answers = list(answers)
        self.heard: list[str] = []

    @property
    def url(self) -> str:
        """Where to call it."""
        return f"http://127.0.0.1:{self.server_port}/ping/some-secret-id"


class _Heard(BaseHTTPRequestHandler):
    server: Monitor

    def do_GET(self) -> None:
        self.server.heard.append(self.path)
        answers = self.server.answers
        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def monitor(request: pytest.FixtureRequest) -> Iterator[Monitor]:
    with Monitor(*request.param) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()


def beat(url: str) -> subprocess.CompletedProcess[str]:
    """Run the heartbeat's own script, as the runner does."""
    assert shutil.which("curl"), "the runner has curl; this machine needs it too"
    script = STEPS["Heartbeat"]["run"]
    command = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
    environment = {**os.environ, "HEARTBEAT_URL": url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_drill_takes_the_backup_of_this_very_night() -> None:
    assert STEPS["Restore test"]["with"]["backup"] == "${{ steps.backup.outputs.branch-name }}"


def test_drill_and_prune_wait_for_success_and_only_the_reports_do_not() -> None:
    unconditional = [name for name, step in STEPS.items() if "always()" in step.get("if", "")]
    assert unconditional == ["Keep the reports"]
    assert list(STEPS) == [
        *("Backup", "Restore test", "Prune", "Keep the reports", "Heartbeat", "Heartbeat of a failure")
    ]


def test_a_failure_is_called_elsewhere_than_a_success_and_only_when_there_is_one() -> None:
    failing = STEPS["Heartbeat of a failure"]
    assert failing["if"].startswith("failure() && ")
    assert failing["env"]["HEARTBEAT_URL"] == "${{ inputs.heartbeat-fail-url }}"
    assert failing["run"].strip() in STEPS["Heartbeat"]["run"]


@pytest.mark.parametrize("monitor", [(200,)], indirect=True)
def test_the_heartbeat_is_heard_once_and_its_address_is_told_nobody(monitor: Monitor) -> None:
    done = beat(monitor.url)
    assert done.returncode == 0, done.stderr
    assert monitor.heard == ["/ping/some-secret-id"]
    assert "some-secret-id" not in done.stdout + done.stderr


@pytest.mark.parametrize("monitor", [(503, 200)], indirect=True)
def test_a_service_that_stumbles_is_asked_again(monitor: Monitor) -> None:
    assert beat(monitor.url).returncode == 0
    assert len(monitor.heard) == 2


@pytest.mark.parametrize("monitor", [(404,)], indirect=True)
def test_a_heartbeat_that_nobody_hears_fails_the_job(monitor: Monitor) -> None:
    done = beat(monitor.url)
    assert done.returncode != 0
    assert "some-secret-id" not in done.stdout + done.stderr
