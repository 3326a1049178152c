"""What has to be out of the way while rows are loaded: checks that look further than their row, and
functions that lean on the search path.

pg_restore and servers from 17 on run such functions with next to no search_path. A function that has
one of its own does not mind, and neither do those it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg2 import sql

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Check, Routine
from supaneon_sync.postgres.crew import tolerated
from supaneon_sync.postgres.session import Session

_STATEMENTS = 200
_RAN_INTO_TROUBLE = ("21", "22", "23", "2F", "38", "42", "P0", "0A")
"""SQLSTATE classes of what a user's own expression may end in."""


def give_path(session: Session, routines: Sequence[Routine], path: str) -> None:
    """Give the functions the application's search_path as their own."""
    _alter(session, routines, path, "SET search_path FROM CURRENT")


def take_path_back(session: Session, routines: Sequence[Routine], major: int) -> None:
    """Leave the functions as they were, but those that a server from 17 on needs with a path."""
    _alter(session, [one for one in routines if not (one.lasting and major >= 17)], "", "RESET search_path")


def _alter(session: Session, routines: Sequence[Routine], path: str, what: str) -> None:
    if not routines:
        return
    with session.transaction():
        if path:
            session.query("SELECT set_config('search_path', %s, true)", (path,))
        for start in range(0, len(routines), _STATEMENTS):
            part = routines[start : start + _STATEMENTS]
            session.execute(sql.SQL("; ").join(sql.SQL(f"ALTER {one.target} {what}") for one in part))


def take_checks_away(session: Session, checks: Sequence[Check]) -> None:
    """Drop the checks from tables and domains that have just been made; parents come first."""
    statements = [
        sql.SQL(f"ALTER {one.target} DROP CONSTRAINT IF EXISTS ") + sql.Identifier(one.name) for one in checks
    ]
    if statements:
        with session.transaction():
            session.execute(sql.SQL("; ").join(statements))


def put_checks_back(session: Session, checks: Sequence[Check], told: Callable[[Check, str], None]) -> None:
    """Make the checks again, now that all rows are there.

    ``told`` learns of each that the primary's own rows do not pass, and of what became of it. Raises
    NeonError for a refusal that has another cause.
    """
    for one in checks:
        add = sql.SQL(f"ALTER {one.target} ADD CONSTRAINT ") + sql.Identifier(one.name)
        words = add + sql.SQL(" " + one.definition)
        try:
            session.execute(words)
        except NeonError as error:
            if not failed_by_itself(error):
                raise
            try:
                session.execute(words + sql.SQL(" NOT VALID"))
            except NeonError as again:
                if not failed_by_itself(again):
                    raise
                told(one, "left out: neither rows nor server take it")
            else:
                told(one, _outcome(error))


def entry(check: Check, owner: int) -> Entry:
    """Return the archive entry that pg_dump would make for a check that stands by itself."""
    return Entry(
        dump_id=0,
        catalog=2606,
        oid=0,
        kind="CHECK CONSTRAINT",
        schema=check.schema,
        tag=f"{check.owner_name} {check.name}",
        section=Section.POST_DATA,
        definition="",
        needs=frozenset((owner,)),
    )


def failed_by_itself(error: NeonError) -> bool:
    """Say whether a statement failed for what the user's own expressions or rows are, not by accident."""
    return str(error.evidence.get("sqlstate", ""))[:2] in _RAN_INTO_TROUBLE


def _outcome(error: NeonError) -> str:
    if tolerated(error, "0A000"):
        return "made NOT VALID: an array or a row type uses the domain, so the server cannot check it"
    return "made NOT VALID: the primary's own rows do not pass it"
