"""The command line: ``supaneon-sync VERB [options]``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence

from supaneon_sync import __version__, door, registry
from supaneon_sync.arguments import HELP, parse, verb_help, welcome
from supaneon_sync.console import Console
from supaneon_sync.errors import ConfigError, SupaneonError
from supaneon_sync.failures import Failure, attempt
from supaneon_sync.progress import Face, LiveProgress, LogProgress
from supaneon_sync.redaction import Redactor
from supaneon_sync.registry import Verb
from supaneon_sync.report import document, outputs, terminal
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.signals import stopping


def main(argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    variables = os.environ if environment is None else environment
    console = Console.standard(Redactor())
    for value in door.given_secrets(variables):
        console.redactor.add(value)
    if arguments and arguments[0] == "sandbox":
        return _sandbox(arguments[1:], console)
    line = _CommandLine(console, variables, "--json" in arguments)
    return door.guarded(console, lambda: line.run(arguments))


class _CommandLine:
    def __init__(self, console: Console, environment: Mapping[str, str], as_json: bool) -> None:
        self._console = console
        self._environment = environment
        self._json = as_json

    def run(self, arguments: list[str]) -> int:
        first = arguments[0] if arguments else ""
        if first in (*HELP, "help", ""):
            self._console.out(welcome())
            return 0 if first else ConfigError.exit_code
        if first == "--version":
            self._console.out(f"supaneon-sync {__version__}")
            return 0
        verb = registry.find(first)
        if verb is not None and any(argument in HELP for argument in arguments[1:]):
            self._console.out(verb_help(verb))
            return 0
        return self._perform(verb, first, arguments[1:])

    def _perform(self, verb: Verb | None, name: str, arguments: list[str]) -> int:
        progress = self._face()
        run = door.new_run(self._environment, progress)

        def whole() -> Outcome | Failure:
            if verb is None:
                raise _unknown_verb(name)
            flags, file = parse(verb, arguments)
            loaded = door.load([verb], flags, self._environment, file)
            door.check_report_file(loaded.settings.report_file)
            result = door.perform(verb, loaded, run, self._console.redactor)
            progress.close()
            shown = [door.document_of(verb.operation, result)]
            door.keep_report(loaded.settings.report_file, shown, progress.warning)
            return result

        with stopping(run.stop):
            result = door.conceal(attempt(whole, stopped=run.stop.requested), self._console.redactor)
        progress.close()
        self._show(verb, name, result)
        return result.exit_code

    def _face(self) -> Face:
        plain = self._environment.get("TERM") == "dumb"
        face = LiveProgress if self._console.interactive and not plain else LogProgress
        return face(self._console, door.TIMES)

    def _show(self, verb: Verb | None, name: str, result: door.Result) -> None:
        if isinstance(result, Failure):
            self._console.err(door.failure_text(result))
        if self._json:
            self._show_json(verb, name, result)
        elif isinstance(result, Outcome):
            colour = (
                self._console.out_is_terminal
                and not self._environment.get("NO_COLOR")
                and self._environment.get("TERM") != "dumb"
            )
            self._console.out(terminal.render(result, terminal.Style(colour)))
            self._show_secrets(verb, result)

    def _show_json(self, verb: Verb | None, name: str, result: door.Result) -> None:
        operation = verb.operation if verb else self._console.redactor.hide(name)
        handing_over = verb is not None and verb.hands_over
        shown = door.document_of(operation, result, handing_over=handing_over)
        self._console.handed_over(document.text(shown))

    def _show_secrets(self, verb: Verb | None, outcome: Outcome) -> None:
        found = outputs.secret(outcome)
        if not found or verb is None:
            return
        if verb.hands_over:
            shown = tuple((key, value.reveal()) for key, value in found.items())
            self._console.handed_over("\n" + terminal.pairs(shown))
        elif "branch-name" in outcome.outputs:
            self._console.out(
                f"\nIts connection URIs: supaneon-sync resolve --backup {outcome.outputs['branch-name']}"
            )


def _unknown_verb(name: str) -> ConfigError:
    if name.startswith("-"):
        return ConfigError(
            "Options come after the verb.", remedy="supaneon-sync VERB [options]; see supaneon-sync --help."
        )
    shown = name if len(name) <= 40 else name[:40] + "…"
    return ConfigError(
        registry.unknown_verb(f"{shown!r} is not a verb", name, "sandbox"), remedy="See supaneon-sync --help."
    )


def _sandbox(arguments: list[str], console: Console) -> int:
    """Hand over to the sandbox's own commands, which are an extra and imported by this verb alone."""
    missing = [name for name in registry.SANDBOX_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        console.err(
            f"error (config, exit code 2): the sandbox needs {', '.join(missing)}, which is not installed.\n"
            "What to do now: pip install 'supaneon-sync[sandbox]'"
        )
        return ConfigError.exit_code
    try:
        return int(importlib.import_module(registry.SANDBOX).main(arguments))
    except SupaneonError as error:
        console.err(f"error ({error.failure_kind}, exit code {error.exit_code}): {error}")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
