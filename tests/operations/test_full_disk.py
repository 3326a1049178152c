"""A mirror whose disk really is full: no backup, exit 5, and the next run with space makes one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from supaneon_sync.errors import QuotaError
from supaneon_sync.policy import names
from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents, primary_contents
from tests.operations.test_backup import backups, on_primary
from tests.small_disk import SmallDisk, small_disk
from tests.tool import perform

ABOUT_12_MB = """
INSERT INTO public.big SELECT g, decode(repeat(md5(g::text), 4), 'hex')
FROM generate_series({0}, {0} + 120000) g
"""
LEFT = 3_000_000
"""Bytes: less than the rows take, and enough for the tables of an empty database."""


@dataclass(frozen=True)
class World:
    """A sandbox with a first backup, whose mirror has its databases on a small disk."""

    sandbox: Sandbox
    disk: SmallDisk
    first: str


@pytest.fixture
def world(make_sandbox: Callable[..., Sandbox]) -> Iterator[World]:
    with small_disk(200) as disk:
        sandbox = make_sandbox(primary="empty")
        on_primary(sandbox, "CREATE TABLE public.big (id integer PRIMARY KEY, body bytea)")
        on_primary(
            sandbox, "CREATE TABLE public.small (id integer); INSERT INTO public.small VALUES (1), (2)"
        )
        first = perform(sandbox, "backup").outputs["branch-name"]
        mirror = sandbox.branch(names.MIRROR).id
        _move(sandbox, mirror, disk)
        yield World(sandbox, disk, first)
        sandbox.plane.clusters.remove(mirror)


def _move(sandbox: Sandbox, mirror: str, disk: SmallDisk) -> None:
    """Put the mirror's databases on the disk; its log stays where it was, as Neon's is elsewhere, too."""
    with sandbox.plane.clusters.holding(mirror):
        server = sandbox.plane.clusters.server(mirror)
        server.stop()
        databases = server.data / "base"
        subprocess.run(("cp", "-a", str(databases), str(disk.place)), check=True)
        shutil.rmtree(databases)
        databases.symlink_to(disk.place / "base")
        server.start()


def test_a_full_disk_ends_the_run_with_5_and_the_next_one_with_space_is_proved(world: World) -> None:
    sandbox, disk = world.sandbox, world.disk
    before = branch_contents(sandbox, world.first)
    standing = {world.first}
    for start, way in ((1, "delta"), (200_000, "rebuild")):
        on_primary(sandbox, ABOUT_12_MB.format(start))
        disk.fill(leaving=LEFT)
        with pytest.raises(QuotaError) as failure:
            perform(sandbox, "backup", strategy=way)
        assert failure.value.exit_code == 5
        assert failure.value.evidence["sqlstate"] == "53100"
        assert "Neon's compute is full: could not extend" in failure.value.message
        assert "No space left on device" in failure.value.message
        assert "Raise the plan's storage, or exclude tables" in failure.value.remedy
        assert backups(sandbox) == standing
        assert not any(name.startswith("staging-") for name in sandbox.names())

        disk.make_room()
        made = perform(sandbox, "backup")
        assert made.verdict == "ok"
        standing.add(made.outputs["branch-name"])
        wanted, found = primary_contents(sandbox), branch_contents(sandbox, made.outputs["branch-name"])
        assert found["public.big"] == wanted["public.big"]
        assert found["public.small"] == wanted["public.small"]
    assert backups(sandbox) == standing
    assert branch_contents(sandbox, world.first) == before
