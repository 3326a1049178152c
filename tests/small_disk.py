"""A disk that really is full: a file system in memory of a few megabytes, for a server's files.

Without root it is made in a mount namespace of our own, which a waiting process keeps open and whose files
everybody of our user reaches through ``/proc``. Root mounts it, and so does ``sudo`` where it asks for no
password, as on GitHub's hosted runners, whose kernel forbids the first way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from supaneon_sync.sandbox.identity import give

_READY = "mounted"


@dataclass(frozen=True)
class SmallDisk:
    """The disk's directory, which the servers' user may write to."""

    place: Path

    @property
    def free(self) -> int:
        """Bytes that still fit on the disk."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leaving: int) -> None:
        """Put a file on the disk that takes up all but so many bytes."""
        self.make_room()
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free - leaving)

    def make_room(self) -> None:
        """Take that file away."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.place / "ballast"


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """Make a disk of this size, gone at the block's end. Skip the test where the machine allows none."""
    if sys.platform != "linux":
        pytest.skip("a small disk is made as Linux makes one: a full disk is not tested here")
    directory = Path(tempfile.mkdtemp(prefix="supaneon-disk-"))
    directory.chmod(0o755)
    options = f"size={megabytes}m,mode=0755"
    ways = (_as_root,) if os.geteuid() == 0 else (_in_a_namespace, _by_sudo)
    refusals: list[str] = []
    try:
        for way in ways:
            with way(directory, options, refusals) as place:
                if place is not None:
                    disk = SmallDisk(place / "disk")
                    disk.place.mkdir()
                    give(disk.place)
                    yield disk
                    return
        pytest.skip(f"no small disk can be made here, so a full one is not tested: {'; '.join(refusals)}")
    finally:
        shutil.rmtree(directory)


@contextmanager
def _in_a_namespace(directory: Path, options: str, refusals: list[str]) -> Iterator[Path | None]:
    if shutil.which("unshare") is None:
        refusals.append("there is no unshare")
        yield None
        return
    mounting = f'mount -t tmpfs -o {options} none "$1" && echo {_READY} && exec cat'
    keeper = subprocess.Popen(
        ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounting, "sh", str(directory)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert keeper.stdout is not None
    try:
        said = keeper.stdout.readline().strip()
        if said != _READY:
            refusals.append(f"unshare says: {said}")
        yield Path(f"/proc/{keeper.pid}/root{directory}") if said == _READY else None
    finally:
        keeper.communicate()


@contextmanager
def _as_root(
    directory: Path, options: str, refusals: list[str], *, via: tuple[str, ...] = ()
) -> Iterator[Path | None]:
    command = (*via, "mount", "-t", "tmpfs", "-o", options, "none", str(directory))
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        refusals.append(f"{' '.join(command[:-6])} says: {mounted.stderr.strip()}")
        yield None
        return
    try:
        yield directory
    finally:
        subprocess.run((*via, "umount", str(directory)), check=True)


@contextmanager
def _by_sudo(directory: Path, options: str, refusals: list[str]) -> Iterator[Path | None]:
    if shutil.which("sudo") is None:
        refusals.append("there is no sudo")
        yield None
        return
    ours = f"{options},uid={os.getuid()},gid={os.getgid()}"
    with _as_root(directory, ours, refusals, via=("sudo", "-n")) as place:
        yield place
