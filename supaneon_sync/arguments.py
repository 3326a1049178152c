"""Options of the command line, made from the table of settings, and the help that shows them."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Sequence
from typing import NoReturn

from supaneon_sync import registry
from supaneon_sync.errors import ConfigError, exit_codes
from supaneon_sync.registry import Verb
from supaneon_sync.setting import Setting, unknown
from supaneon_sync.settings import BY_NAME, DEFAULT_FILE, SETTINGS, of_verb
from supaneon_sync.values import written

HELP = ("-h", "--help")
_WIDTH = 100


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        unquoted = re.sub(r" explicit argument .*", " a value", message, flags=re.DOTALL)
        raise ConfigError(f"{unquoted[:1].upper()}{unquoted[1:]}.", remedy=f"See {self.prog} --help.")


def parse(verb: Verb, arguments: Sequence[str]) -> tuple[dict[str, object], str | None]:
    """Return the flags that were given, by setting, and the file that ``--config`` names.

    Raises ConfigError for unknown flags, with the nearest known one. No value is quoted in it.
    """
    found, extras = _parser(verb).parse_known_args(list(arguments))
    if extras:
        raise ConfigError(
            "The command line was not understood; nothing was touched.",
            problems=tuple(_complaints(verb, extras)),
            remedy=f"See supaneon-sync {verb.command} --help.",
        )
    flags = {row.name: getattr(found, row.field) for row in _flags(verb)}
    return {name: value for name, value in flags.items() if value is not None}, found.config


def _complaints(verb: Verb, extras: Sequence[str]) -> list[str]:
    given = [extra.partition("=")[0] for extra in extras if extra.startswith("-")]
    if not given:
        return ["A value stands there without a flag before it."]
    return [_complaint(verb, flag) for flag in given]


def _complaint(verb: Verb, flag: str) -> str:
    setting = BY_NAME.get(flag.removeprefix("--").removeprefix("no-"))
    if setting is not None and setting.secret:
        return (
            f"{flag} does not exist: every process on a machine can read command lines. "
            f"Set the environment variable {setting.environment}."
        )
    if setting is not None and setting.file_only:
        return f"{flag} is not an option: {setting.name} stands in the settings file alone."
    if setting is not None:
        return f"{flag} is not an option of {verb.command}; it belongs to {', '.join(setting.verbs)}."
    known = ["--config", *(option for row in _flags(verb) for option in _options(row))]
    return unknown(f"{flag} is not an option of {verb.command}", flag, known)


def _flags(verb: Verb) -> tuple[Setting, ...]:
    return tuple(row for row in of_verb(verb.operation) if not row.secret and not row.file_only)


def _options(row: Setting) -> tuple[str, ...]:
    switch_off = (f"--no-{row.name}",) if row.kind == "boolean" else ()
    return (row.flag, *switch_off)


def _parser(verb: Verb) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"supaneon-sync {verb.command}",
        usage=f"supaneon-sync {verb.command} [options]",
        description=verb.summary,
        epilog=_epilog(verb),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, 2, 34, _WIDTH),
        allow_abbrev=False,
        add_help=False,
    )
    group = parser.add_argument_group("options")
    for row in _flags(verb):
        _add(group, row)
    group.add_argument("--config", metavar="FILE", help=f"Settings file (default: {DEFAULT_FILE}, if there).")
    group.add_argument("-h", "--help", action="store_true", help="Show this.")
    return parser


def _add(group: argparse._ArgumentGroup, row: Setting) -> None:
    text = row.help.replace("%", "%%")
    if row.kind == "boolean":
        action = "store_true" if row.command_line_only else argparse.BooleanOptionalAction
        shown = " Default: on." if row.default else ""
        group.add_argument(row.flag, dest=row.field, action=action, default=None, help=text + shown)
        return
    default = f" Default: {written(row.default)}.".replace("%", "%%") if row.default is not None else ""
    metavar = row.kind.upper().replace(" ", "_")
    group.add_argument(row.flag, dest=row.field, metavar=metavar, help=text + default)


def _epilog(verb: Verb) -> str:
    blocks = []
    if verb.examples:
        blocks.append("examples:\n" + _columns([(f"{line}", f"# {what}") for line, what in verb.examples]))
    hidden = [row for row in of_verb(verb.operation) if row.secret and row.environment]
    if hidden:
        named = [
            (row.environment or "", "needed" if verb.operation in row.required else "optional")
            for row in hidden
        ]
        blocks.append("secrets, from the environment alone:\n" + _columns(named))
    return "\n\n".join(blocks)


def _columns(pairs: Sequence[tuple[str, str]]) -> str:
    width = max(len(left) for left, _ in pairs)
    return "\n".join(f"  {left:<{width}}  {right}".rstrip() for left, right in pairs)


def verb_help(verb: Verb) -> str:
    """Return the help of one verb."""
    return _parser(verb).format_help().rstrip()


def welcome() -> str:
    """Return the help of the whole command line."""
    verbs = registry.available()
    known = [(verb.command, verb.summary) for verb in verbs]
    if importlib.util.find_spec(registry.SANDBOX):
        known.append(("sandbox", "Try it all on this machine: a sample primary and a Neon-compatible API."))
    examples = [example for verb in verbs for example in verb.examples[:1]]
    codes = [(str(code), meaning) for code, _, meaning in exit_codes()]
    secrets = ", ".join(row.environment or "" for row in SETTINGS if row.secret)
    sources = (
        f"Settings come from options, then the environment, then {DEFAULT_FILE} (or --config FILE),\n"
        f"then the defaults. Secrets come from the environment alone:\n{secrets}."
    )
    return "\n\n".join(
        (
            "supaneon-sync: your Supabase database as proved, connectable Neon branches.",
            "usage: supaneon-sync VERB [options]\n       supaneon-sync VERB --help",
            "verbs:\n" + _columns(known),
            "examples:\n" + _columns([(line, f"# {what}") for line, what in examples]),
            sources,
            "exit codes:\n" + _columns(codes),
        )
    )
