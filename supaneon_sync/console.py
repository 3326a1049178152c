"""Standard output and error, as both doors use them: whole lines, in order, without secrets."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TextIO

from supaneon_sync import workflow_commands
from supaneon_sync.redaction import Redactor
from supaneon_sync.report.text import one_line


class Console:
    """Where the doors write. Everything but ``handed_over`` passes the redactor."""

    def __init__(self, out: TextIO, err: TextIO, redactor: Redactor, *, in_step: bool = False) -> None:
        self.redactor = redactor
        self._in_step = in_step
        self._out = out
        self._err = err
        self._lock = threading.RLock()

    @classmethod
    def standard(cls, redactor: Redactor, *, in_step: bool = False) -> Console:
        """Return the console of this process; characters that it cannot show are escaped.

        ``in_step``: a runner reads along. Then everything goes to standard output, so that its order
        is kept, and no line of text is taken for a command.
        """
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        return cls(sys.stdout, sys.stdout if in_step else sys.stderr, redactor, in_step=in_step)

    @property
    def interactive(self) -> bool:
        """Whether a person watches standard error."""
        return self._err.isatty()

    @property
    def out_is_terminal(self) -> bool:
        """Whether a person reads standard output."""
        return self._out.isatty()

    @property
    def unicode(self) -> bool:
        """Whether standard error takes characters beyond ASCII."""
        return (self._err.encoding or "").lower().replace("-", "").startswith("utf")

    def out(self, text: str) -> None:
        """Write lines to standard output."""
        self._write(self._out, self._shown(text) + "\n")

    def err(self, text: str, end: str = "\n") -> None:
        """Write lines to standard error."""
        self._write(self._err, self._shown(text) + end)

    def _shown(self, text: str) -> str:
        hidden = self.redactor.hide(text)
        return workflow_commands.line(hidden) if self._in_step else hidden

    def command(self, name: str, message: str, **properties: str) -> None:
        """Write a workflow command. It is redacted before it is escaped: escaped, no secret is known."""
        hide = self.redactor.hide
        shown = {key: hide(value) for key, value in properties.items()}
        self._write(self._out, workflow_commands.command(name, hide(message), **shown) + "\n")

    def handed_over(self, text: str) -> None:
        """Write to standard output as it is: a secret's hand-over, or a mask; nothing else."""
        self._write(self._out, text + "\n")

    def _write(self, stream: TextIO, text: str) -> None:
        with self._lock:
            try:
                stream.write(text)
                stream.flush()
            except OSError:
                # The reader went away (`| head`), or the log's disk is full. That is no reason to give
                # up a backup: the run goes on, its exit code counts, and what it says goes nowhere.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class LogLines(logging.Handler):
    """What libraries log, through the console, so that it is redacted as well."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record on one line, without its traceback (that may quote values)."""
        self._console.err(one_line(f"{record.name}: {record.getMessage()}"))
