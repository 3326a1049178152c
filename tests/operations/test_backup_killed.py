"""A run that is killed or cancelled at any moment leaves nothing that looks like a backup."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents, primary_contents
from tests.operations.test_backup import backups, on_primary
from tests.tool import command, finished

MakeSandbox = Callable[..., Sandbox]
ANEW = ("--strategy", "rebuild")
"""Flags of a run that makes the mirror from nothing; without them the second run and all later ones go on."""
STEPS = (
    ("Find the standby project",),
    ("Take a snapshot",),
    ("Rebuild the mirror's schema", *ANEW),
    ("Copy the rows", *ANEW),
    ("Build indexes", *ANEW),
    ("Bring the mirror's schema along",),
    ("Compare every table",),
    ("Move the rows",),
    ("Make constraints",),
    ("Prove the copy equal",),
    ("Vacuum",),
    ("Write the manifest",),
    ("Read the manifest through",),
)
CANARY = "canary-4f1d0c7e"


@pytest.fixture(scope="module")
def world() -> Any:
    with Sandbox(primary="sample", rows_scale=0.1) as sandbox:
        succeed(sandbox)
        yield sandbox


def reached(process: subprocess.Popen[str], step: str) -> bool:
    """Read what the process says until it announces the step; False when it ended before."""
    assert process.stderr is not None
    return any(step in line for line in process.stderr)


def complete(sandbox: Sandbox, name: str) -> None:
    """Demand that a backup is what its name says: reachable, with a manifest, its rows there."""
    digest = sandbox.branch(name).annotation.get("supaneon-manifest")
    ((stored,),) = sandbox.execute(name, "SELECT digest FROM supaneon.manifest", "supaneon")
    assert stored == digest
    assert len(branch_contents(sandbox, name)) > 40


def succeed(sandbox: Sandbox) -> str:
    """Run a backup, waiting for the dead run's lock to be noticed by the server."""
    for _ in range(20):
        code, said = finished(command(sandbox, "backup-run"))
        if code != 8:
            break
        time.sleep(0.5)
    assert code == 0, said
    found = re.search(r"backup-\d{8}T\d{6}Z", said)
    assert found
    return found[0]


@pytest.mark.parametrize(("step", "flags"), [(step, flags) for step, *flags in STEPS])
def test_a_run_killed_at_this_step_publishes_nothing_and_the_next_succeeds(
    world: Sandbox, step: str, flags: list[str]
) -> None:
    on_primary(world, "UPDATE public.comments SET body = body || '!' WHERE ctid < '(1,1)'")
    before = backups(world)
    process = command(world, "backup-run", *flags)
    assert reached(process, step)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.3)
    for name in backups(world) - before:
        complete(world, name)
    complete(world, succeed(world))
    assert not any(name.startswith("staging-") for name in world.names())


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3, 0.6, 1.0])
def test_a_run_killed_while_publishing_leaves_only_what_is_complete(world: Sandbox, delay: float) -> None:
    before = backups(world)
    process = command(world, "backup-run")
    assert reached(process, "Write the manifest")
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.5)
    for name in backups(world) - before:
        complete(world, name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("step", "flags"),
    [
        ("Take a snapshot", ()),
        ("Copy the rows", ANEW),
        ("Compare every table", ()),
        ("Prove the copy equal", ()),
        ("Write the manifest", ()),
    ],
)
def test_a_cancelled_run_ends_soon_with_130_and_publishes_nothing(
    world: Sandbox, step: str, flags: tuple[str, ...], number: signal.Signals
) -> None:
    succeed(world)
    before = backups(world)
    process = command(world, "backup-run", *flags)
    assert reached(process, step)
    asked = time.monotonic()
    process.send_signal(number)
    code, said = finished(process)
    assert time.monotonic() - asked < 8
    if code == 0:
        (name,) = backups(world) - before
        complete(world, name)
    else:
        assert code == 130, said
        assert backups(world) == before
        assert not any(name.startswith("staging-") for name in world.names())


def test_no_secret_and_no_row_value_shows_anywhere(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    """A canary password, and a canary value behind a constraint that the primary's own rows violate."""
    sandbox = make_sandbox(primary="sample", rows_scale=0.1)
    on_primary(
        sandbox,
        f"""
        CREATE TABLE public.parent (id text PRIMARY KEY);
        CREATE TABLE public.child (id text REFERENCES public.parent, note text);
        SET session_replication_role = replica;
        INSERT INTO public.child VALUES ('{CANARY}', 'orphan');
        """,
    )
    report, summary, outputs = tmp_path / "report.json", tmp_path / "summary.md", tmp_path / "outputs"
    process = command(
        sandbox,
        "backup-run",
        "--report-file",
        str(report),
        GITHUB_STEP_SUMMARY=str(summary),
    )
    seen = ""
    while process.poll() is None and "Vacuum" not in seen:
        seen += process.stderr.readline() if process.stderr else ""
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen += line.read_text(errors="replace")
            except OSError:
                continue
    code, said = finished(process)
    assert code == 0, said
    written = "".join(path.read_text() for path in (report, summary, outputs) if path.exists())
    everything = seen + said + written
    assert report.exists()
    assert "made NOT VALID" in everything
    assert CANARY not in everything
    for secret in (sandbox.primary_password, sandbox.key):
        assert secret not in everything
    name = next(iter(backups(sandbox)))
    password = sandbox.branch(name).roles["neondb_owner"].password
    assert password is not None
    assert password not in everything
    assert primary_contents(sandbox)["public.child"] == branch_contents(sandbox, name)["public.child"]
