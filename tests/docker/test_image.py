"""What is in the image, and what is not."""

from __future__ import annotations

import json

import pytest

from tests.docker.engine import docker, image, inspect
from tests.workflows.rules import ROOT

MAJORS = ("15", "16", "17", "18")


def inside(program: str, *words: str) -> str:
    done = docker("run", "--rm", "--network", "none", "--entrypoint", program, image(), *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("program", ["pg_dump", "pg_restore", "psql"])
def test_every_client_of_every_major_runs(program: str, major: str) -> None:
    assert f"(PostgreSQL) {major}." in inside(f"/usr/lib/postgresql/{major}/bin/{program}", "--version")


def test_nothing_to_build_or_fetch_with_is_in_it() -> None:
    tools = ("pip", "pip3", "gcc", "cc", "make", "git", "curl", "wget", "uv")
    script = f"import shutil; print([name for name in {tools!r} if shutil.which(name)])"
    assert inside("/usr/bin/python3", "-I", "-c", script).strip() == "[]"


def test_the_packages_are_those_of_the_lock_file() -> None:
    script = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    there = {one.lower().replace("_", "-") for one in inside("/usr/bin/python3", "-I", "-c", script).split()}
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {line.split(" ")[0] for line in lines if "==" in line and not line.startswith((" ", "#"))}
    assert there == locked


def test_the_runner_decides_about_user_and_directory() -> None:
    config = json.loads(inspect("{{json .Config}}"))
    assert config["User"] == ""
    assert config["WorkingDir"] in ("", "/")
    assert config["Entrypoint"][0].startswith("/")
    assert not config.get("Cmd")


def test_it_says_what_it_is() -> None:
    labels = json.loads(inspect("{{json .Config.Labels}}"))
    assert labels["org.opencontainers.image.title"] == "supaneon-sync"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert {f"org.opencontainers.image.{name}" for name in ("version", "revision", "description")} <= set(
        labels
    )


def test_it_is_small() -> None:
    assert int(inspect("{{.Size}}")) < 200_000_000


def test_it_explains_itself_when_nothing_is_asked_of_it() -> None:
    done = docker("run", "--rm", "--network", "none", image())
    assert done.returncode == 2
    assert "usage: supaneon-sync" in done.stdout + done.stderr


def test_no_network_is_needed_to_start() -> None:
    done = docker("run", "--rm", "--network", "none", "--read-only", image(), "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("supaneon-sync ")


def test_it_lists_its_clients_without_a_network() -> None:
    done = docker("run", "--rm", "--network", "none", image(), "doctor", "--offline")
    assert done.returncode == 0, done.stdout + done.stderr
    for major in MAJORS:
        assert f"{major}." in done.stdout
