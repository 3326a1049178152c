"""A run that failed, in words that may be shown.

The message of an exception from elsewhere may quote a row (a server's DETAIL) or a connection
string, so of those only the type, the frames and the SQLSTATE are told.
"""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from supaneon_sync.errors import Cancelled, ConfigError, NeonError, PrimaryError, SupaneonError
from supaneon_sync.report.outcome import Outcome

_CANCELLED = Cancelled(
    "The run was cancelled.",
    remedy="A backup gets its name as the last step of all, so nothing half-made carries one. Run it again.",
)
_CAUTION = {False: "which hold no values", True: "once you took out the row values they may hold"}


@dataclass(frozen=True)
class Failure:
    """What is shown of an error: message, remedy, further lines, and facts for a report."""

    exit_code: int
    kind: str
    message: str
    remedy: str = ""
    details: tuple[str, ...] = ()
    evidence: Mapping[str, str] = field(default_factory=dict)


def attempt(
    work: Callable[[], Outcome | Failure], *, stopped: Callable[[], bool], tell_all: bool = False
) -> Outcome | Failure:
    """Do the work of a verb and return its outcome, or the failure in its place.

    ``stopped`` says whether a stop was asked for: whatever connection then broke is a cancellation.
    ``tell_all`` lets the text of foreign exceptions through (`show-row-values`).
    """
    try:
        return work()
    except KeyboardInterrupt:
        return _known(_CANCELLED)
    except SupaneonError as error:
        broken_by_stop = stopped() and isinstance(error, (PrimaryError, NeonError))
        return _known(_CANCELLED if broken_by_stop else error)
    except Exception as error:  # noqa: BLE001 the one place where what nobody expected gets its words
        return _known(_CANCELLED) if stopped() else unforeseen(error, tell_all=tell_all)


def _known(error: SupaneonError) -> Failure:
    if type(error) is SupaneonError and error.__cause__ is not None:
        details: tuple[str, ...] = (*_frames(error.__cause__),)
    elif isinstance(error, ConfigError) and error.problems != (str(error),):
        details = error.problems
    else:
        details = ()
    evidence = {name.replace("_", "-"): str(value) for name, value in error.evidence.items()}
    return Failure(error.exit_code, error.failure_kind, error.message, error.remedy, details, evidence)


def unforeseen(error: BaseException, *, tell_all: bool = False) -> Failure:
    """Return what may be told of an exception that nobody foresaw."""
    lines: list[str] = []
    for link in _chain(error):
        lines.append(_name(link) + (f": {_text(link)}" if tell_all else ""))
        lines.extend(f"  at {frame}" for frame in _frames(link))
    return Failure(
        SupaneonError.exit_code,
        SupaneonError.failure_kind,
        f"This is a defect of supaneon-sync: {_name(error)} was not foreseen.",
        f"Report it with the lines below, {_CAUTION[tell_all]}. Earlier backups are as they were.",
        tuple(lines),
        _codes(error),
    )


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links


def _frames(error: BaseException) -> list[str]:
    summary = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    return [f"{_module(frame.filename)}:{frame.lineno} in {frame.name}" for frame in summary]


def _module(filename: str) -> str:
    for root in ("/site-packages/", "/dist-packages/"):
        if root in filename:
            return filename.rsplit(root, maxsplit=1)[-1]
    parts = filename.split("/")
    return "/".join(parts[parts.index("supaneon_sync") :] if "supaneon_sync" in parts else parts[-2:])


def _codes(error: BaseException) -> dict[str, str]:
    codes: dict[str, str] = {}
    for link in _chain(error):
        state = getattr(link, "pgcode", None)
        if isinstance(state, str):
            codes.setdefault("sqlstate", state)
        if isinstance(link, OSError) and link.errno is not None and link.errno in errno.errorcode:
            codes.setdefault("errno", errno.errorcode[link.errno])
    return codes


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    with contextlib.suppress(Exception):  # the text of a foreign exception is a courtesy
        return str(error)
    return "(no text)"
