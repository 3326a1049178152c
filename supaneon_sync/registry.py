"""The verbs: their names at both doors, and where the function of each is. Only what is there is listed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run
from supaneon_sync.setting import unknown
from supaneon_sync.settings import BY_NAME, Settings

Perform = Callable[[Settings, Run], Outcome]


@dataclass(frozen=True)
class Verb:
    """One verb. ``module`` is empty for what the door does itself.

    ``hands_over`` is set where the very purpose is to give out secrets: then the command line prints
    them too. ``examples`` are pairs of a command line and what it does.
    """

    operation: str
    command: str
    summary: str
    module: str
    function: str
    aliases: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    hands_over: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the verb answers to, the documented ones first."""
        return tuple(dict.fromkeys((self.command, self.operation, *self.aliases)))

    def present(self) -> bool:
        """Say whether this installation has the verb."""
        return not self.module or importlib.util.find_spec(self.module) is not None

    def load(self) -> Perform:
        """Return the function that does it, imported now."""
        function: Perform = getattr(importlib.import_module(self.module), self.function)
        return function


_OPERATIONS = "supaneon_sync.operations"

_TABLE = (
    Verb(
        "backup",
        "backup-run",
        "Copy the primary, prove the copy equal, and publish it as a new backup branch.",
        f"{_OPERATIONS}.backup",
        "backup",
        examples=(
            ("supaneon-sync backup-run", "a backup now"),
            ("supaneon-sync backup-run --jobs 2 --json", "gentler on the primary; the result as JSON"),
        ),
    ),
    Verb(
        "restore-test",
        "restore-test",
        "Drill: prove on a throw-away branch that the newest backup (or a named one) can be used.",
        f"{_OPERATIONS}.restore_test",
        "restore_test",
        examples=(
            ("supaneon-sync restore-test", "drill the newest backup"),
            ("supaneon-sync restore-test --backup backup-20260131T020000Z", "drill that one"),
        ),
    ),
    Verb(
        "self-test",
        "self-test",
        "Try the drill's alarm: damage throw-away branches in every known way, and see each damage caught.",
        f"{_OPERATIONS}.self_test",
        "self_test",
        examples=(("supaneon-sync self-test", "once a month: does the alarm still ring?"),),
    ),
    Verb(
        "prune",
        "prune",
        "Remove the backups that the retention policy no longer keeps.",
        f"{_OPERATIONS}.prune",
        "prune",
        examples=(
            ("supaneon-sync prune", "show what would be removed, and why the rest stays"),
            ("supaneon-sync prune --yes", "remove it"),
        ),
    ),
    Verb(
        "pin",
        "pin",
        "Keep a backup whatever the retention policy says: the newest healthy one, or a named one.",
        f"{_OPERATIONS}.pinning",
        "pin",
        examples=(("supaneon-sync pin --backup backup-20260131T020000Z", "before a risky migration"),),
    ),
    Verb(
        "unpin",
        "unpin",
        "Let the retention policy decide about a pinned backup again.",
        f"{_OPERATIONS}.pinning",
        "unpin",
        examples=(("supaneon-sync unpin --backup backup-20260131T020000Z", "when it has gone well"),),
    ),
    Verb(
        "validate-config",
        "validate-config",
        "The doctor: check settings, primary, Neon and client programs, with a remedy for each finding.",
        f"{_OPERATIONS}.doctor",
        "validate_config",
        aliases=("doctor",),
        examples=(("supaneon-sync validate-config", "before the first backup, and when one failed"),),
    ),
    Verb(
        "roles-sql",
        "roles-sql",
        "Print the SQL that makes backup_user on the primary and restore_user on Neon, to be read, then run.",
        f"{_OPERATIONS}.roles_sql",
        "roles_sql",
        examples=(
            ("supaneon-sync roles-sql", "both, with what each role cannot do"),
            (
                "supaneon-sync roles-sql --side primary | psql",
                "run the primary's part where PG* variables point",
            ),
        ),
    ),
    Verb(
        "list",
        "list",
        "List the backups, newest first, with age, health and last drill.",
        f"{_OPERATIONS}.listing",
        "list_backups",
        examples=(
            ("supaneon-sync list", "all backups"),
            ("supaneon-sync list --max-age 26h", "fail when the newest healthy one is older than that"),
        ),
    ),
    Verb(
        "resolve",
        "resolve",
        "Give the connection URIs of the newest healthy backup (or a named one). Works while the primary is "
        "down.",
        f"{_OPERATIONS}.resolve",
        "resolve",
        examples=(
            ("supaneon-sync resolve", "where to point the application"),
            (
                "supaneon-sync resolve --json | jq -r '.outputs[\"connection-uri\"]'",
                "the URI alone, for a script",
            ),
        ),
        hands_over=True,
    ),
    Verb(
        "failover",
        "failover",
        "Cut a branch of the newest healthy backup (or a named one), ready to take traffic, and give its "
        "URIs. Works while the primary is down.",
        f"{_OPERATIONS}.failover",
        "failover",
        examples=(
            ("supaneon-sync failover", "what would be done, and what would be lost"),
            ("supaneon-sync failover --yes", "do it"),
            ("supaneon-sync failover --yes --role app", "hand out the application role's URIs"),
            ("supaneon-sync failover --diff", "what has been written there since"),
            ("supaneon-sync failover --end --yes", "the failover is over; backups run again"),
            ("supaneon-sync failover --rehearse --yes", "practise, measure, leave nothing behind"),
        ),
        hands_over=True,
    ),
    Verb(
        "config",
        "config",
        "Show the settings in effect and where each comes from. Secrets stay hidden.",
        "",
        "",
        examples=(("supaneon-sync config", "what would a run use?"),),
    ),
)


def available() -> tuple[Verb, ...]:
    """Return the verbs that this installation has, in the order of the documentation."""
    return tuple(verb for verb in _TABLE if verb.present())


def find(name: str) -> Verb | None:
    """Return the verb that answers to a name, of those that are there."""
    return next((verb for verb in available() if name in verb.names), None)


def keeps_report(verb: Verb) -> bool:
    """Say whether the verb changes something, so that a report of it is kept."""
    return verb.operation in BY_NAME["report-file"].verbs


SANDBOX = "supaneon_sync.sandbox.commands"
"""Where the verb `sandbox` is, which has commands of its own."""
SANDBOX_NEEDS = ("starlette", "uvicorn", "trustme")
"""The packages of the extra ``sandbox``."""


def unknown_verb(what: str, name: str, *others: str) -> str:
    """Return the sentence about a verb that is not there, with the nearest one that is."""
    return unknown(what, name, [*(known for verb in available() for known in verb.names), *others])
