"""``list-branches``, for people and for machines."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from supaneon_sync.neon_client.listing import age, run, size
from tests.neon_client.tiny_neon import KEY, PROJECT, TinyNeon, error

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def listed(base: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    output, complaints = io.StringIO(), io.StringIO()
    known = {"NEON_API_HOST": base, "NEON_API_KEY": KEY, "NEON_PROJECT_ID": PROJECT} | environment
    code = run(["list-branches", *arguments], known, output, complaints, lambda: NOW)
    return code, output.getvalue(), complaints.getvalue()


def backups(neon: TinyNeon) -> None:
    neon.add_branch("backup-20261122T090000Z", created_at="2026-11-22T09:05:00Z", logical_size=3 * 1024**3)
    neon.add_branch("my-backup-1")
    made = neon.add_branch(
        "backup-20261123T090000Z",
        created_at="2026-11-23T11:00:00+02:00",
        logical_size=None,
        expires_at="2026-12-01T00:00:00.000Z",
        pending_state="archived",
    )
    neon.annotations[made["id"]] = {"digest": "abc"}


def test_the_table_is_aligned_newest_first_and_only_of_names_that_start_so(base: str, neon: TinyNeon) -> None:
    backups(neon)
    code, output, complaints = listed(base, "--filter", "backup-")
    assert (code, complaints) == (0, "")
    assert [re.split(r" {2,}", line) for line in output.splitlines()] == [
        ["NAME", "ID", "STATE", "CREATED", "AGE", "SIZE", "EXPIRES"],
        [
            "backup-20261123T090000Z",
            "br-tiny-branch-00000004",
            "ready>archived",
            "2026-11-23T09:00:00Z",
            "1d 3h",
            "-",
            "2026-12-01T00:00:00Z",
        ],
        [
            "backup-20261122T090000Z",
            "br-tiny-branch-00000002",
            "ready",
            "2026-11-22T09:05:00Z",
            "2d 3h",
            "3.0 GiB",
            "never",
        ],
    ]
    for heading in ("ID", "STATE", "CREATED", "AGE", "SIZE", "EXPIRES"):
        column = output.splitlines()[0].index(heading)
        assert all(
            line[column - 2 : column] == "  " != line[column - 1 : column + 1] for line in output.splitlines()
        )


def test_json_tells_the_same_with_plain_numbers(base: str, neon: TinyNeon) -> None:
    backups(neon)
    code, output, _ = listed(base, "--filter", "backup-", "--json")
    newest, older = json.loads(output)
    assert code == 0
    assert newest["name"] == "backup-20261123T090000Z"
    assert newest["expires_at"] == "2026-12-01T00:00:00Z"
    assert newest["annotations"] == {"digest": "abc"}
    assert (older["logical_size_bytes"], older["age_seconds"]) == (3 * 1024**3, 185_100)


def test_nothing_to_list_is_said_and_is_no_failure(base: str) -> None:
    assert listed(base, "--filter", "backup-")[0] == 0
    assert "No branch" in listed(base, "--filter", "backup-")[2]
    assert json.loads(listed(base, "--filter", "backup-", "--json")[1]) == []


def test_without_a_filter_all_branches_are_listed_and_the_only_project_is_found(
    base: str, neon: TinyNeon
) -> None:
    backups(neon)
    _, output, _ = listed(base, NEON_PROJECT_ID="")
    assert len(output.splitlines()) == 5


def test_a_name_cannot_break_the_line(base: str, neon: TinyNeon) -> None:
    neon.add_branch("backup-\n::set-output name=x::\x1b[31m")
    _, output, _ = listed(base, "--filter", "backup-")
    assert len(output.splitlines()) == 2
    assert "\x1b" not in output


@pytest.mark.parametrize("key", ["", "  "])
def test_a_missing_key_is_a_settings_error(base: str, key: str) -> None:
    code, output, complaints = listed(base, NEON_API_KEY=key)
    assert (code, output) == (2, "")
    assert "NEON_API_KEY is not set" in complaints


def test_a_refusal_ends_with_its_own_exit_code_and_no_key(base: str, neon: TinyNeon) -> None:
    neon.faulty(error(401, f"supplied credentials {KEY} do not pass authentication"))
    code, output, complaints = listed(base)
    assert (code, output) == (4, "")
    assert "NEON_API_KEY" in complaints
    assert KEY not in complaints
    assert listed(base, NEON_PROJECT_ID="no-such-1")[0] == 2


def test_the_module_runs_as_the_runbook_says(base: str, neon: TinyNeon) -> None:
    backups(neon)
    done = subprocess.run(
        [sys.executable, "-m", "supaneon_sync.neon_client", "list-branches", "--filter", "backup-"],
        env=os.environ | {"NEON_API_HOST": base, "NEON_API_KEY": KEY, "NEON_PROJECT_ID": PROJECT},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "0s"), (59, "59s"), (60, "1m"), (3661, "1h 1m"), (86399, "23h 59m"), (86400 * 9 + 3600, "9d 1h")],
)
def test_ages_are_short(seconds: float, told: str) -> None:
    assert age(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 * 1024**5, "5.0 PiB")],
)
def test_sizes_are_short(count: int, told: str) -> None:
    assert size(count) == told
