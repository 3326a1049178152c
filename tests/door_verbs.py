"""Verbs for the tests of the two doors: each does one thing that a verb may do to its door."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from urllib.parse import quote

import psycopg2
import pytest

from supaneon_sync import registry
from supaneon_sync.errors import DataDiffers, PrimaryError
from supaneon_sync.registry import Verb
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.run import Run
from supaneon_sync.secret import Secret
from supaneon_sync.settings import Settings

PASSWORD = 'canary p%/s_s:w*o|r<d>"`'
ENCODED = quote(PASSWORD, safe="")
URI = f"postgresql://neondb_owner:{ENCODED}@ep-x.neon.tech/neondb"
ROW = "canary-of-a-row"
OUTCOME = Outcome(
    operation="backup",
    verdict="ok",
    headline="backup-20260131T020000Z is proved and ready.",
    facts=(("Branch", "backup-20260131T020000Z"), ("Rows", "42")),
    tables=(Table("Tables", ("Name", "Rows"), (("public.a|b", "40"), ("<b>`x`", "2")), frozenset({"Rows"})),),
    notes=("Passwords of roles are not covered.",),
    outputs={"branch-name": "backup-20260131T020000Z", "host": "ep-x.neon.tech", "connection-uri": ""},
    secrets={"connection-uri": Secret(URI), "pooled-connection-uri": Secret("")},
    report={"tables": 2},
)


def works(_settings: Settings, run: Run) -> Outcome:
    """Do well, with progress of every kind."""
    run.progress.step("Copy the rows")
    run.progress.note("a note")
    run.progress.warning("a warning")
    run.progress.advance("tables", 1, 2, 2048)
    run.progress.advance("tables", 2, 2, 4096)
    return OUTCOME


def talks(_settings: Settings, run: Run) -> Outcome:
    """Tell a secret in every place where words come out."""
    run.progress.secret(PASSWORD)
    run.progress.step(f"step {PASSWORD}")
    run.progress.note(f"note {PASSWORD}")
    run.progress.warning(f"warning {PASSWORD}")
    run.progress.advance(PASSWORD, 1, 1)
    logging.getLogger("somebody").warning("log %s", PASSWORD)
    warnings.warn(f"warn {PASSWORD}", stacklevel=1)
    thread = threading.Thread(target=_fails_in_a_thread)
    thread.start()
    thread.join()
    return Outcome(
        operation="backup",
        verdict="degraded",
        headline=f"headline {PASSWORD}",
        facts=((f"fact {PASSWORD}", PASSWORD),),
        tables=(Table(PASSWORD, (PASSWORD,), ((PASSWORD,),)),),
        notes=(PASSWORD,),
        outputs={"branch-name": PASSWORD},
        report={PASSWORD: [PASSWORD, 7]},
        script=f"SELECT '{PASSWORD}';",
    )


def _fails_in_a_thread() -> None:
    raise RuntimeError(PASSWORD + ROW)


def fails(_settings: Settings, run: Run) -> Outcome:
    """Fail as a verb may."""
    run.progress.step("Compare")
    raise DataDiffers("Table public.orders differs.", remedy="Look at it.", sqlstate="23514")


def breaks(settings: Settings, _run: Run) -> Outcome:
    """Meet an exception whose text holds a row and a password."""
    url = settings.supabase_database_url
    local_value = f"{ROW}-local"
    try:
        raise psycopg2.errors.CheckViolation(f"DETAIL: Failing row contains ({ROW}, {url and url.reveal()}).")
    except psycopg2.Error as error:
        raise ValueError(local_value) from error


def bad_news(_settings: Settings, _run: Run) -> Outcome:
    """Finish the work, and the answer is no."""
    return Outcome("list", "stale", "The newest backup is 40 h old.", exit_code=6, failure_kind="data")


def waits(_settings: Settings, run: Run) -> Outcome:
    """Work in pieces until somebody asks for a stop."""
    run.progress.step("waiting")
    while True:
        run.stop.wait(60)


def waits_in_c(_settings: Settings, run: Run) -> Outcome:
    """Sit in C code as a long query does, until a stop's hook ends it; then the connection breaks."""
    ended = threading.Event()
    with run.stop.calling(ended.set):
        run.progress.step("waiting")
        ended.wait()
        raise PrimaryError("The query was cancelled.")


def deaf(_settings: Settings, run: Run) -> Outcome:
    """Not listen to a stop at all."""
    run.progress.step("waiting")
    while True:
        time.sleep(60)


def deaf_and_stubborn(_settings: Settings, run: Run) -> Outcome:
    """Not even listen to an interruption."""
    word = "waiting"
    while True:
        try:
            run.progress.step(word)
            time.sleep(60)
        except KeyboardInterrupt:
            word = "no"


TABLE = (
    Verb("backup", "backup-run", "Works.", "tests.door_verbs", "works", examples=(("supaneon-sync x", "y"),)),
    Verb("restore-test", "restore-test", "Fails.", "tests.door_verbs", "fails"),
    Verb("prune", "prune", "Is not there.", "tests.no_such_module", "prune"),
    Verb("validate-config", "validate-config", "Breaks.", "tests.door_verbs", "breaks", aliases=("doctor",)),
    Verb("list", "list", "Bad news.", "tests.door_verbs", "bad_news"),
    Verb("resolve", "resolve", "Hands over.", "tests.door_verbs", "works", hands_over=True),
    Verb("config", "config", "Shows.", "", ""),
)


def install(monkeypatch: pytest.MonkeyPatch, **functions: str) -> None:
    """Put these verbs in the place of the real ones, some with another function."""
    table = tuple(
        Verb(
            verb.operation,
            verb.command,
            verb.summary,
            verb.module,
            function,
            verb.aliases,
            hands_over=verb.hands_over,
        )
        if (function := functions.get(verb.operation.replace("-", "_")))
        else verb
        for verb in TABLE
    )
    monkeypatch.setattr(registry, "_TABLE", table)
