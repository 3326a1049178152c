"""What machines read: the JSON document of a run, and the file that it is kept in."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from supaneon_sync import __version__
from supaneon_sync.report import outputs
from supaneon_sync.report.outcome import Outcome

VERSION = 1
"""Of the document's form. Fields may be added; one that changes its meaning raises the number."""


def of_outcome(outcome: Outcome, handed_over: Mapping[str, str]) -> dict[str, object]:
    """Return the document of a verb that came to its end; no secret but those handed over is in it."""
    return {
        "version": VERSION,
        "tool": f"supaneon-sync {__version__}",
        "operation": outcome.operation,
        "verdict": outcome.verdict,
        "headline": outcome.headline,
        "exit-code": outcome.exit_code,
        "failure-kind": outcome.failure_kind,
        "facts": dict(outcome.facts),
        "outputs": {**outputs.plain(outcome), **handed_over},
        "notes": list(outcome.notes),
        "script": outcome.script,
        "report": dict(outcome.report),
    }


def of_failure(operation: str, exit_code: int, kind: str, failure: Mapping[str, object]) -> dict[str, object]:
    """Return the document of a verb that failed; ``failure`` is what is told of it."""
    return {
        "version": VERSION,
        "tool": f"supaneon-sync {__version__}",
        "operation": operation,
        "verdict": "failed",
        "headline": failure.get("message", ""),
        "exit-code": exit_code,
        "failure-kind": kind,
        "outputs": {"verdict": "failed", "failure-kind": kind},
        "failure": dict(failure),
    }


def plain(document: object) -> object:
    """Return a document as nothing but dictionaries, lists, text, numbers, truth and null.

    Moments become ISO 8601, durations seconds. Raises TypeError for what has no place in JSON, a
    secret above all.
    """
    return json.loads(json.dumps(document, default=_plain))


def text(document: object) -> str:
    """Return a document as indented JSON; see ``plain``."""
    return json.dumps(plain(document), indent=2, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (Path, Decimal)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")


def write(path: Path, content: str) -> None:
    """Write a file whole or not at all, readable by its owner alone, in a directory made if need be.

    Where this process is root in somebody else's place (a container in a workspace), file and new
    directories go to the owner of that place, whose next step has to read them. Raises OSError; the
    file that was there before is then still there.
    """
    owner = _prepare(path.absolute().parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            if owner is not None:
                os.fchown(stream.fileno(), *owner)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def try_place(path: Path) -> None:
    """Raise OSError where ``write`` would; nothing but the directory is left behind."""
    _prepare(path.absolute().parent)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
        pass


def _prepare(directory: Path) -> tuple[int, int] | None:
    """Make the directory and its parents; return who shall own what is written there, if not we."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    place = missing[-1].parent if missing else directory
    status = place.stat()
    owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 and status.st_uid != 0 else None
    for new in reversed(missing):
        new.mkdir()
        if owner is not None:
            os.chown(new, *owner)
    return owner
