"""PostgreSQL's programs: found by major, run with their words judged, ended on a stop."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from supaneon_sync.errors import Cancelled, ConfigError, PrimaryError
from supaneon_sync.postgres import clients
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.server import client_directories


def program(directory: Path, name: str, script: str) -> Path:
    """A stand-in that does what the real program cannot be made to do on order."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def run(path: Path, stop: Stop | None = None, **environment: str) -> None:
    clients.run([str(path)], environment=environment, stop=stop or Stop(), failure=PrimaryError)


def test_the_programs_of_a_major_are_found_where_the_setting_points(tmp_path: Path) -> None:
    for major, programs in client_directories().items():
        (tmp_path / str(major)).symlink_to(programs.parent)
    for major in client_directories():
        found = clients.find(major, directory=tmp_path, environment={})
        assert found.major == major
        assert found.version.startswith(f"{major}.")


def test_a_major_that_is_not_there_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="postgresql-client-99"):
        clients.find(99, directory=tmp_path, environment={"PATH": str(tmp_path)})


def test_a_program_of_another_major_is_not_taken_for_it(tmp_path: Path) -> None:
    program(tmp_path / "18" / "bin", "pg_dump", "echo 'pg_dump (PostgreSQL) 15.3'")
    with pytest.raises(ConfigError):
        clients.find(98, directory=tmp_path / "18" / "bin", environment={})


def test_a_failing_program_is_told_by_its_own_words(tmp_path: Path) -> None:
    path = program(tmp_path, "pg_dump", "echo 'pg_dump: error: no luck' >&2; exit 1")
    with pytest.raises(PrimaryError, match="no luck"):
        run(path)


def test_a_program_that_exits_well_and_complains_has_failed(tmp_path: Path) -> None:
    path = program(tmp_path, "pg_dump", "echo 'pg_dump: warning: something odd' >&2; exit 0")
    with pytest.raises(PrimaryError, match="something odd"):
        run(path)


def test_what_is_expected_is_no_failure(tmp_path: Path) -> None:
    line = "pg_dump: warning: there are circular foreign-key constraints on this table:"
    run(program(tmp_path, "pg_dump", f"echo '{line}' >&2; echo 'pg_dump: detail: tree' >&2"))


def test_much_output_on_both_streams_does_not_block(tmp_path: Path) -> None:
    path = program(tmp_path, "pg_dump", "yes out | head -c 400000; yes err | head -c 400000 >&2; exit 3")
    with pytest.raises(PrimaryError):
        run(path, PATH=os.environ["PATH"])


def test_a_stop_ends_the_program_and_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "alive"
    path = program(tmp_path, "pg_dump", f"(sleep 5; touch {marker}) & sleep 30")
    stop = Stop()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run(path, stop, PATH=os.environ["PATH"])
    assert time.monotonic() - began < 4
    assert not marker.exists()
