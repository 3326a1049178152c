"""What a run costs: its time, the memory and disk of its processes, pages and WAL of the servers."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_EVERY = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of the processors, peak bytes of memory (sum of PSS) and disk, the output."""

    seconds: float
    processor: float
    memory: int
    disk: int
    said: str


def run(commands: Sequence[Sequence[str]], environment: Mapping[str, str], scratch: Path) -> Cost:
    """Run commands, each feeding the next as a shell's pipe does, and watch them.

    ``scratch`` is the only directory that they may write into. Raises RuntimeError where one fails.
    """
    began, spent = time.monotonic(), _spent()
    processes: list[subprocess.Popen[bytes]] = []
    for number, command in enumerate(commands):
        last = number == len(commands) - 1
        processes.append(
            subprocess.Popen(
                command,
                env={**environment, "TMPDIR": str(scratch)},
                stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=(scratch.parent / f"stderr.{number}").open("wb") if not last else subprocess.PIPE,
            )
        )
        if number:
            upstream = processes[-2].stdout
            assert upstream is not None
            upstream.close()
    watcher = _Watcher([process.pid for process in processes], scratch)
    said, errors = processes[-1].communicate()
    for process in processes:
        process.wait()
    seconds = time.monotonic() - began
    watcher.stop()
    if any(process.returncode for process in processes):
        codes = [process.returncode for process in processes]
        raise RuntimeError(f"{commands[0][0]} … ended with {codes}: {errors.decode()[-2000:]}")
    return Cost(seconds, _spent() - spent, watcher.memory, watcher.disk, said.decode())


def _spent() -> float:
    """Return the processors' time of all processes that have been started from here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def processor(pid: int) -> float:
    """Return the processors' time in seconds of a process and of all its children, ended ones too."""
    return sum(map(_ticks, _family([pid]))) / _TICKS


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


class _Watcher(threading.Thread):
    def __init__(self, pids: list[int], scratch: Path) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._scratch = scratch
        self._done = threading.Event()
        self.memory = 0
        self.disk = 0
        self.start()

    def run(self) -> None:
        while not self._done.wait(_EVERY):
            self.memory = max(self.memory, sum(map(_resident, _family(self._pids))))
            self.disk = max(self.disk, _disk(self._scratch))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _family(pids: list[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _resident(pid: int) -> int:
    """Return the process's share of memory: its own pages, and of shared ones its part (PSS)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, IndexError):
        pass
    return 0


def _disk(directory: Path) -> int:
    total = 0
    for place, _, files in os.walk(directory):
        for name in files:
            try:
                total += (Path(place) / name).stat().st_blocks * 512
            except OSError:
                continue
    return total
