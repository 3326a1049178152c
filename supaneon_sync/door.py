"""What both doors do alike: learn the secrets, read the settings, run a verb, keep the report."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from supaneon_sync import effective, settings_file
from supaneon_sync.console import Console, LogLines
from supaneon_sync.discretion import Discreet, discreet
from supaneon_sync.errors import Cancelled, ConfigError, SupaneonError
from supaneon_sync.failures import Failure, attempt, unforeseen
from supaneon_sync.progress import Times
from supaneon_sync.redaction import Redactor
from supaneon_sync.registry import Verb
from supaneon_sync.report import document, outputs
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.report.text import harmless
from supaneon_sync.run import Progress, Run
from supaneon_sync.settings import SETTINGS, Loaded
from supaneon_sync.settings import load as load_settings
from supaneon_sync.values import parse_path

TIMES = Times(clock=lambda: datetime.now(UTC), monotonic=time.monotonic)

Result = Outcome | Failure


def given_secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of the variables that hold secrets, read or not by the verb of this run."""
    for setting in SETTINGS:
        if setting.secret:
            for variable in (setting.input_variable, setting.environment or ""):
                value = environment.get(variable, "")
                if value.strip():
                    yield value


def new_run(environment: Mapping[str, str], progress: Progress) -> Run:
    """Return what a verb is handed: clocks, chance, progress, and the workflow run's address."""
    return Run(
        clock=TIMES.clock,
        monotonic=TIMES.monotonic,
        token=secrets.token_bytes,
        progress=progress,
        url=_workflow_run(environment),
        image=environment.get("SUPANEON_IMAGE", ""),
    )


def _workflow_run(environment: Mapping[str, str]) -> str | None:
    parts = [environment.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if not all(parts):
        return None
    attempt_number = environment.get("GITHUB_RUN_ATTEMPT", "1")
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}/attempts/{attempt_number}"


def load(
    verbs: Sequence[Verb],
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    chosen_file: str | None,
) -> Loaded:
    """Return the settings for the verbs of this run. Raises ConfigError with every problem."""
    given = settings_file.read(_path(chosen_file), Path())
    names = [verb.operation for verb in verbs]
    return load_settings(names, flags=flags, environment=environment, file=given)


def _path(chosen_file: str | None) -> Path | None:
    if not chosen_file or not chosen_file.strip():
        return None
    try:
        return parse_path(chosen_file)
    except ValueError as error:
        raise ConfigError(f"The settings file (config) {error}.") from None


def perform(verb: Verb, loaded: Loaded, run: Run, redactor: Redactor) -> Result:
    """Run one verb and return what came of it, known secrets replaced; nothing is raised.

    The secrets that it hands back are told to the run's progress first, which masks them.
    """

    hidden = loaded.settings.hide_names
    seen = replace(run, progress=Discreet(run.progress)) if hidden else run

    def work() -> Outcome:
        run.stop.check()
        outcome = verb.load()(loaded.settings, seen) if verb.module else effective.describe(loaded)
        for secret in outputs.secret(outcome).values():
            run.progress.secret(secret.reveal())
        return _concealed(outcome, redactor)

    result = attempt(work, stopped=run.stop.requested, tell_all=loaded.settings.show_row_values)
    told = discreet(verb.operation, result) if hidden else result
    return conceal(told, redactor)


def conceal(result: Result, redactor: Redactor) -> Result:
    """Return a failure with known secrets replaced; an outcome of ``perform`` is concealed already.

    This comes before any rendering: once escaped for Markdown or a command, a secret is not known
    again.
    """
    if isinstance(result, Outcome):
        return result
    hide = redactor.hide
    return replace(
        result,
        message=hide(result.message),
        remedy=hide(result.remedy),
        details=tuple(map(hide, result.details)),
        evidence={hide(name): hide(value) for name, value in result.evidence.items()},
    )


def _concealed(outcome: Outcome, redactor: Redactor) -> Outcome:
    hide = redactor.hide
    handed = outputs.secret(outcome)
    report = redactor.hide_in(document.plain(outcome.report))
    return replace(
        outcome,
        verdict=hide(outcome.verdict),
        headline=hide(outcome.headline),
        facts=tuple((hide(name), hide(value)) for name, value in outcome.facts),
        tables=tuple(_concealed_table(table, hide) for table in outcome.tables),
        notes=tuple(map(hide, outcome.notes)),
        outputs={name: hide(value) for name, value in outputs.plain(outcome).items()},
        secrets=handed,
        report=report if isinstance(report, dict) else {},
        script=hide(outcome.script),
    )


def _concealed_table(table: Table, hide: Callable[[str], str]) -> Table:
    return Table(
        hide(table.title),
        tuple(map(hide, table.columns)),
        tuple(tuple(map(hide, row)) for row in table.rows),
        frozenset(map(hide, table.numeric)),
    )


def document_of(operation: str, result: Result, *, handing_over: bool = False) -> dict[str, object]:
    """Return the JSON document of a result, its secrets among the outputs only when handing them over."""
    if isinstance(result, Outcome):
        secret = outputs.secret(result) if handing_over else {}
        return document.of_outcome(result, {name: value.reveal() for name, value in secret.items()})
    told = {
        "message": result.message,
        "remedy": result.remedy,
        "details": list(result.details),
        "evidence": dict(result.evidence),
    }
    return document.of_failure(operation, result.exit_code, result.kind, told)


def failure_text(failure: Failure) -> str:
    """Return a failure as lines for people."""
    lines = [f"error ({failure.kind}, exit code {failure.exit_code}): {failure.message}"]
    lines.extend(f"  - {detail}" for detail in failure.details)
    if failure.evidence:
        lines.append("  " + ", ".join(f"{key}: {value}" for key, value in failure.evidence.items()))
    if failure.remedy:
        lines.append(f"What to do now: {failure.remedy}")
    return harmless("\n".join(lines))


def check_report_file(path: Path | None) -> None:
    """Raise ConfigError where the report could not be written: now, not after an hour's work."""
    if path is None:
        return
    try:
        document.try_place(path)
    except OSError as error:
        raise ConfigError(
            f"The report cannot be written to {path}: {error.strerror}.",
            remedy="Set report-file to a file in a directory that this run may write to.",
        ) from None


def keep_report(
    path: Path | None, documents: Sequence[Mapping[str, object]], warn: Callable[[str], None]
) -> bool:
    """Write the report of the verbs so far, where one is wanted; say whether it is there.

    A report that cannot be written takes nothing back of what was done, so it is a warning.
    """
    if path is None:
        return False
    content = document.text({"version": document.VERSION, "operations": documents})
    try:
        document.write(path, content + "\n")
    except OSError as error:
        warn(f"The report could not be written to {path}: {error.strerror}.")
        return False
    return True


def guarded(console: Console, work: Callable[[], int]) -> int:
    """Do the work and return its exit code; nothing is said but through the console.

    What libraries log, what threads die of, and what even the door itself did not foresee would
    otherwise be printed by Python, with values in it.
    """
    with _hooks(console):
        try:
            return work()
        except KeyboardInterrupt:
            return Cancelled.exit_code
        except Exception as error:  # noqa: BLE001 the last one to see it; Python would print its text
            _tell(console, error)
            return SupaneonError.exit_code


@contextmanager
def _hooks(console: Console) -> Iterator[None]:
    former = threading.excepthook, sys.unraisablehook
    lines = LogLines(console)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            _tell(console, args.exc_value)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            _tell(console, args.exc_value)

    threading.excepthook, sys.unraisablehook = in_thread, unraisable
    logging.getLogger().addHandler(lines)
    with warnings.catch_warnings():
        logging.captureWarnings(True)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            logging.getLogger().removeHandler(lines)
            threading.excepthook, sys.unraisablehook = former


def _tell(console: Console, error: BaseException) -> None:
    failure = unforeseen(error)
    console.err("\n".join((failure.message, *failure.details)))
