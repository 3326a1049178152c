"""The action's door: inputs from the runner's variables; masks, groups, outputs and summary back."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from supaneon_sync import door, registry
from supaneon_sync import workflow_commands as commands
from supaneon_sync.console import Console
from supaneon_sync.errors import ConfigError
from supaneon_sync.failures import Failure, attempt
from supaneon_sync.progress import ActionProgress
from supaneon_sync.redaction import Redactor
from supaneon_sync.registry import Verb
from supaneon_sync.report import markdown, outputs, terminal
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.report.text import harmless
from supaneon_sync.settings import Loaded
from supaneon_sync.signals import stopping

SUMMARY_LIMIT = 1024 * 1024
"""Bytes that GitHub takes of one step's summary; more is thrown away whole."""
REPORT_NAME = "supaneon-report.json"
_ANNOTATIONS = {"good": "notice", "warning": "warning", "bad": "error"}


def main(environment: Mapping[str, str] | None = None) -> int:
    """Run the operations that the step asks for and return the exit code."""
    variables = os.environ if environment is None else environment
    console = Console.standard(Redactor(), in_step=True)
    return door.guarded(console, _Step(console, variables).run)


class _Step:
    def __init__(self, console: Console, environment: Mapping[str, str]) -> None:
        self._console = console
        self._environment = environment
        masking = environment.get("GITHUB_ACTIONS") == "true"
        self._progress = ActionProgress(console, door.TIMES, masking=masking)
        self._run = replace(door.new_run(environment, self._progress), attended=False)
        self._documents: list[dict[str, object]] = []
        self._report: Path | None = None

    def run(self) -> int:
        for value in door.given_secrets(self._environment):
            self._progress.secret(value)
        with stopping(self._run.stop):
            return self._run_all()

    def _run_all(self) -> int:
        loaded: list[Loaded] = []
        verbs: list[Verb] = []

        def prepare() -> Outcome:
            verbs.extend(operations(self._environment.get("INPUT_OPERATION", "")))
            loaded.append(
                door.load(verbs, {"yes": True}, self._environment, self._environment.get("INPUT_CONFIG"))
            )
            self._report = self._report_file(verbs, loaded[0])
            door.check_report_file(self._report)
            return Outcome("", "ok", "")

        ready = door.conceal(attempt(prepare, stopped=self._run.stop.requested), self._console.redactor)
        if isinstance(ready, Failure):
            self._tell("supaneon-sync", ready)
            return ready.exit_code
        for verb in verbs:
            result = door.perform(verb, loaded[0], self._run, self._console.redactor)
            self._tell(verb.operation, result)
            if result.exit_code:
                return result.exit_code
        return 0

    def _report_file(self, verbs: list[Verb], loaded: Loaded) -> Path | None:
        """Return where the report goes: where it was asked for, else into the workspace.

        Verbs that only look leave no file in a workspace, where it could get in a deployment's way.
        """
        workspace = self._environment.get("GITHUB_WORKSPACE")
        if loaded.settings.report_file is not None or not workspace:
            return loaded.settings.report_file
        keeps = any(registry.keeps_report(verb) for verb in verbs)
        return Path(workspace) / REPORT_NAME if keeps else None

    def _tell(self, operation: str, result: door.Result) -> None:
        """Log, annotate, sum up, and hand over. What is secret was masked by ``door.perform``."""
        self._progress.close()
        self._documents.append(door.document_of(operation, result))
        kept = door.keep_report(self._report, self._documents, self._progress.warning)
        if isinstance(result, Outcome):
            handed = {**outputs.plain(result)}
            handed |= {name: secret.reveal() for name, secret in outputs.secret(result).items()}
            self._show(result)
        else:
            handed = {"verdict": "failed", "failure-kind": result.kind}
            self._show_failure(operation, result)
        handed["report"] = self._shown_report() if kept else ""
        self._append("GITHUB_OUTPUT", commands.heredocs(handed, self._run.token))

    def _show(self, outcome: Outcome) -> None:
        self._console.out(terminal.render(outcome))
        annotation = _ANNOTATIONS[terminal.mood(outcome)]
        text = harmless(f"{outcome.verdict}: {outcome.headline}")
        self._console.command(annotation, text, title=outcome.operation)
        self._summarize(markdown.render(outcome))

    def _show_failure(self, operation: str, failure: Failure) -> None:
        self._console.out(door.failure_text(failure))
        text = harmless("\n".join(filter(None, (failure.message, *failure.details, failure.remedy))))
        title = f"{operation}: {failure.kind}"
        self._console.command("error", text, title=title)
        details = (*failure.details, *(f"{key}: {value}" for key, value in failure.evidence.items()))
        self._summarize(markdown.render_failure(operation, failure.message, failure.remedy, details))

    def _summarize(self, text: str) -> None:
        path = self._environment.get("GITHUB_STEP_SUMMARY")
        if not path:
            return
        there = Path(path).stat().st_size if Path(path).exists() else 0
        where = f"the report, {self._shown_report()}" if self._report else "the log"
        pointer = f"*Shortened: GitHub shows 1 MiB of a summary. All of it is in {markdown.escape(where)}.*"
        self._append("GITHUB_STEP_SUMMARY", markdown.shorten(text, SUMMARY_LIMIT - there, pointer))

    def _shown_report(self) -> str:
        """Return the report's path as the following steps see it: they run outside this container."""
        if self._report is None:
            return ""
        workspace = Path(self._environment.get("GITHUB_WORKSPACE") or ".")
        inside = self._report.is_absolute() and self._report.is_relative_to(workspace)
        return str(self._report.relative_to(workspace) if inside else self._report)

    def _append(self, variable: str, text: str) -> None:
        path = self._environment.get(variable)
        if path and text:
            with Path(path).open("a", encoding="utf-8", errors="backslashreplace", newline="") as stream:
                stream.write(text)


def operations(text: str) -> tuple[Verb, ...]:
    """Return the verbs of the input ``operation``, a name or several with commas between.

    Raises ConfigError that names every one that is not there, and the nearest.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        known = ", ".join(verb.operation for verb in registry.available())
        raise ConfigError("The input operation is missing.", remedy=f"Give one or more of: {known}.")
    found = [(name, registry.find(name)) for name in names]
    missing = tuple(
        registry.unknown_verb(f"{name[:40]!r} is not an operation", name)
        for name, verb in found
        if verb is None
    )
    if missing:
        raise ConfigError("The input operation was not understood; nothing was touched.", problems=missing)
    return tuple(verb for _, verb in found if verb is not None)


if __name__ == "__main__":
    sys.exit(main())
