"""The process of one server: found by its data directory, awaited, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from supaneon_sync.sandbox.binaries import SandboxError

_STEP = 0.02  # seconds between two looks at a starting or stopping server


@dataclass
class Postmaster:
    """The postmaster of a data directory, whoever started it; ``child`` is ours where we did."""

    data: Path
    child: subprocess.Popen[bytes] | None = None

    def pid(self) -> int | None:
        """Return the process id, None where none lives. Another process with a recycled id does not count."""
        lines = self._status()
        if not lines or not lines[0].isdigit():
            return None
        return int(lines[0]) if self._alive(int(lines[0])) else None

    def await_ready(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Tell whether the server takes connections before ``deadline`` (monotonic seconds) or its end."""
        while process.poll() is None:
            lines = self._status()
            if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_STEP)
        return False

    def end(self, pid: int, first: signal.Signals) -> None:
        """Send a signal and wait; where that does not help, harder ones. Raise SandboxError at the end."""
        for number, seconds in ((first, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + seconds
            while self._alive(pid) and time.monotonic() < deadline:
                time.sleep(_STEP)
            if not self._alive(pid):
                return
        raise SandboxError(f"The server process {pid} of {self.data} does not end.")

    def _status(self) -> list[str]:
        """Return the lines of postmaster.pid: process id first, the state eighth."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _alive(self, pid: int) -> bool:
        if self.child is not None and self.child.pid == pid:
            return self.child.poll() is None
        if sys.platform == "linux":
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            except (FileNotFoundError, ProcessLookupError):
                return False
        else:
            ps = ("ps", "-o", "command=", "-p", str(pid))
            command = subprocess.run(ps, capture_output=True, check=False).stdout
        return f" -D {self.data} ".encode() in command
