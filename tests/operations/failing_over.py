"""What the tests of the failover share: a standby with a backup, and ways to look at what came of it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from supaneon_sync.neon_client import NeonClient
from supaneon_sync.policy import failover, names
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.secret import Secret
from tests.tool import perform


class Killed(BaseException):
    """What a process that is killed does: nothing more."""


def kill() -> None:
    raise Killed


def call(sandbox: Sandbox, **flags: Any) -> Outcome:
    """Call a failover and mean it."""
    return perform(sandbox, "failover", yes=True, **flags)


def failovers(sandbox: Sandbox) -> set[str]:
    """Return the names of the failover branches, those over included."""
    return {name for name in sandbox.names() if "failover" in name or name.startswith("rehearsal")}


def uri(outcome: Outcome, name: str = "connection-uri") -> str:
    return outcome.secrets[name].reveal()


def ask(sandbox: Sandbox, address: str, question: str) -> list[tuple[Any, ...]]:
    """Ask a question through a URI as it was handed out, with the sandbox's CA for a root store."""
    session = psycopg2.connect(address, sslrootcert=str(sandbox.ca_file))
    session.autocommit = True
    try:
        with session.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchall() if cursor.description else []
    finally:
        session.close()


def resets(sandbox: Sandbox) -> int:
    """Return how many passwords were reset so far."""
    return sum(one["path"].endswith("/reset_password") and one["status"] == 200 for one in sandbox.requests)


def ledger_rows(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Return subject and verdict of the ledger's rows about failovers."""
    return [
        (subject, verdict)
        for subject, verdict in sandbox.execute(
            names.MIRROR,
            "SELECT subject, verdict FROM supaneon.ledger WHERE kind = 'failover' ORDER BY id",
            "supaneon",
        )
    ]


def clear(sandbox: Sandbox) -> None:
    """Take the failover branches away, and forget faults and requests."""
    sandbox.plane.faults.clear()
    sandbox.settle()
    with NeonClient(Secret(sandbox.key), api_host=sandbox.api_host) as client:
        project = sandbox.environment["NEON_PROJECT_ID"]
        for branch in client.branches(project):
            if failover.is_failover(branch) or branch.name.startswith("rehearsal-"):
                if branch.protected:
                    client.set_protected(project, branch.id, False)
                client.delete_branch(project, branch.id)
    sandbox.plane.faults.clear()


@contextmanager
def with_backup(**choices: Any) -> Iterator[Sandbox]:
    """A sandbox whose primary was backed up once; the backup's name is ``backup_of``'s."""
    with Sandbox(primary="sample", rows_scale=0.05, **choices) as sandbox:
        perform(sandbox, "backup")
        sandbox.plane.faults.clear()
        yield sandbox


def backup_of(sandbox: Sandbox) -> str:
    """Return the newest backup's name."""
    return max(name for name in sandbox.names() if names.backup_moment(name))


Rows = dict[str, Counter[str]]


def rows_of(sandbox: Sandbox, branch: str) -> dict[str, list[str]]:
    """Return every table's rows as COPY writes them, read by the superuser: independent of the tool."""
    found = {}
    with (
        sandbox.plane.clusters.awake(sandbox.branch(branch).id) as server,
        server.session("neondb") as session,
        session.cursor() as cursor,
    ):
        cursor.execute("SET extra_float_digits = 3; SET TimeZone = 'UTC'; SET search_path = pg_catalog")
        cursor.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass"
            "                 AND d.objid = c.oid AND d.deptype = 'e')"
        )
        for (table,) in cursor.fetchall():
            text = io.StringIO()
            cursor.copy_expert(f"COPY {table} TO STDOUT", text)
            found[table] = text.getvalue().splitlines()
    return found
