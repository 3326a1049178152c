"""The image under test, run the way GitHub's runner runs a container action, and plainly."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from supaneon_sync.sandbox.testing import Sandbox


def image() -> str:
    """Return the image under test; skip, and say so, where nobody asked for tests of the image."""
    named = os.environ.get("SUPANEON_TEST_IMAGE")
    if not named:
        pytest.skip("the image is not tested here: run make test-docker")
    return named


def docker(
    *words: str, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run one docker command to its end."""
    return subprocess.run(
        ("docker", *words),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env={**os.environ, **environment},
    )


def inspect(template: str) -> str:
    """Return what docker says about the image, by a Go template."""
    done = docker("image", "inspect", "--format", template, image())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Step:
    """What a step left behind."""

    code: int
    log: str
    outputs: Mapping[str, str]
    summary: str
    workspace: Path

    def everything(self) -> str:
        """Return all text that anybody could see: the log, the summary and the files in the workspace."""
        files = [path.read_text(errors="replace") for path in self.workspace.rglob("*.json")]
        return "\n".join([self.log, self.summary, *files])


class Runner:
    """GitHub's runner, as far as a container action sees it.

    Mounts, variables and their order are those of the runner's ContainerActionHandler: every input as
    INPUT_NAME, the file commands in a directory of their own, the workspace as working directory.
    """

    def __init__(self, directory: Path) -> None:
        self.workspace = directory / "work"
        self._directory = directory
        for part in ("work", "temp", "home", "workflow", "commands"):
            (directory / part).mkdir()
        (directory / "workflow/event.json").write_text("{}")

    def give_sandbox(self, sandbox: Sandbox) -> dict[str, str]:
        """Put the sandbox's certificate into the workspace; return the inputs that lead to it."""
        (self.workspace / "ca.pem").write_bytes(Path(sandbox.ca_file).read_bytes())
        variables = sandbox.environment
        inputs = {
            "neon-api-host": variables["NEON_API_HOST"],
            "neon-api-key": variables["NEON_API_KEY"],
            "neon-project-id": variables["NEON_PROJECT_ID"],
            "neon-ca-file": "ca.pem",
        }
        if "SUPABASE_DATABASE_URL" in variables:
            inputs["supabase-database-url"] = variables["SUPABASE_DATABASE_URL"]
        return inputs

    def run(self, inputs: Mapping[str, str], **environment: str) -> Step:
        """Run the action to its end."""
        return self.start(inputs, **environment).wait()

    def start(self, inputs: Mapping[str, str], **environment: str) -> Running:
        """Start the action. ``environment`` is what the workflow's own ``env`` says."""
        token = uuid.uuid4().hex
        files = {
            "GITHUB_OUTPUT": f"set_output_{token}",
            "GITHUB_ENV": f"set_env_{token}",
            "GITHUB_PATH": f"add_path_{token}",
            "GITHUB_STATE": f"save_state_{token}",
            "GITHUB_STEP_SUMMARY": f"step_summary_{token}",
        }
        for name in files.values():
            (self._directory / "commands" / name).touch()
        variables = {
            **environment,
            **{"INPUT_" + name.replace(" ", "_").upper(): value for name, value in inputs.items()},
            **{name: f"/github/file_commands/{file}" for name, file in files.items()},
            **_context(),
            "HOME": "/github/home",
        }
        flags = [word for name in variables for word in ("-e", name)]
        mounts = {
            "temp": "/github/runner_temp",
            "home": "/github/home",
            "workflow": "/github/workflow",
            "commands": "/github/file_commands",
            "work": "/github/workspace",
        }
        for part, place in mounts.items():
            flags += ["-v", f"{self._directory / part}:{place}"]
        # docker itself needs its own PATH; a PATH of the workflow's goes in by its value.
        flags = [f"PATH={environment['PATH']}" if word == "PATH" else word for word in flags]
        command = [*("docker", "run", "--name", f"act_{token}", "--label", "supaneon-test")]
        command += ["--workdir", "/github/workspace", "--rm", *flags]
        command += ["-e", "GITHUB_ACTIONS=true", "-e", "CI=true", "--network", "host", image()]
        log = self._directory / f"log_{token}"
        with log.open("w") as stream:
            child = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, env={**variables, **_client_environment()}
            )
        return Running(child, log, self._directory, files)


class Running:
    """A step that has been started."""

    def __init__(
        self, child: subprocess.Popen[bytes], log: Path, directory: Path, files: Mapping[str, str]
    ) -> None:
        self.child = child
        self._log = log
        self._directory = directory
        self._files = files

    def log(self) -> str:
        """Return the log so far."""
        return self._log.read_text(errors="replace")

    def cancel(self) -> None:
        """Do what the runner does first when a run is cancelled."""
        self.child.send_signal(signal.SIGINT)

    def wait(self, timeout: float = 180) -> Step:
        """Wait for its end."""
        code = self.child.wait(timeout)
        commands = self._directory / "commands"
        return Step(
            code,
            self.log(),
            parse_outputs((commands / self._files["GITHUB_OUTPUT"]).read_text()),
            (commands / self._files["GITHUB_STEP_SUMMARY"]).read_text(),
            self._directory / "work",
        )


def parse_outputs(text: str) -> dict[str, str]:
    """Read the file of outputs as the runner does: ``name<<delimiter``, lines, the delimiter."""
    outputs: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, found, delimiter = line.partition("<<")
        assert found, f"not an output: {line!r}"
        value: list[str] = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        outputs[name] = "\n".join(value)
    return outputs


def masked_values(log: str) -> list[str]:
    """Return what the log told the runner to mask, in order, as the runner decodes it."""
    found = re.findall(r"^::add-mask::(.*)$", log, re.MULTILINE)
    return [one.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%") for one in found]


def as_shown(log: str) -> str:
    """Return the log as the runner shows it: commands acted on, masked values starred out."""
    secrets: list[str] = []
    shown = []
    for line in log.splitlines():
        if line.startswith("::add-mask::"):
            secrets += masked_values(line)
            continue
        shown.append(functools.reduce(lambda text, secret: text.replace(secret, "***"), secrets, line))
    return "\n".join(shown)


def pretty(outputs: Mapping[str, str]) -> str:
    """Return outputs for an assertion's message."""
    return json.dumps(dict(outputs), indent=1)


def _context() -> dict[str, str]:
    return {
        "GITHUB_WORKSPACE": "/github/workspace",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "1",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_JOB": "j",
        "GITHUB_ACTION": "__self",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": "/github/workflow/event.json",
        "GITHUB_SHA": "0" * 40,
        "GITHUB_REF": "refs/heads/main",
        "RUNNER_OS": "Linux",
        "RUNNER_ARCH": "X64",
        "RUNNER_TEMP": "/github/runner_temp",
    }


def _client_environment() -> dict[str, str]:
    names = ("PATH", "DOCKER_HOST", "DOCKER_CONFIG")
    return {name: os.environ[name] for name in names if name in os.environ}
