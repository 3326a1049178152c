"""The schema on the mirror: the archive's own definitions, run entry by entry, every refusal named.

The definitions come from the archive's table of contents and go to the server as pg_restore would
send them; running them here gives each refusal's SQLSTATE and object, keeps row values out of
messages, and lets indexes be built in parallel. What the primary's own data violates does not stop
a copy: it is made as far as it can be, and named.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2 import sql

from supaneon_sync.errors import NeonError, SupaneonError
from supaneon_sync.policy import compare
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Check, Grant
from supaneon_sync.policy.plan import Plan
from supaneon_sync.policy.portability import APPLICATION_PATH
from supaneon_sync.postgres import building, deferring, foreign_keys, inventory
from supaneon_sync.postgres.crew import Crew
from supaneon_sync.postgres.foreign_keys import Validation
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.violations import Violation, naming

__all__ = ["APPLICATION_PATH", "Violation"]

_BATCH = 50
_FOREIGN_KEY = "FK CONSTRAINT"
DEFINING = """
SET check_function_bodies = off; SET default_table_access_method = heap; SET default_tablespace = '';
SET client_min_messages = error; SET standard_conforming_strings = on;
SELECT set_config(s.name, v.value, false)
FROM (VALUES ('restrict_nonsystem_relation_kind', ''),
             ('default_toast_compression', 'lz4')) AS v (name, value)
JOIN pg_settings s ON s.name = v.name AND v.value = ANY (coalesce(s.enumvals, ARRAY[v.value]));
"""
"""Sets what definitions rely on, as pg_restore does, and lets the user's own functions read views.

Large values are compressed by lz4 where the server has it: they are compressed anew on the way in, and most
of such a table's time is that. What compresses badly (texts of digests, base64) costs pglz four times what it
costs lz4. A column that asks for one of them by name keeps its own.
"""


def run_entries(session: Session, entries: Sequence[Entry]) -> None:
    """Run the entries' definitions in order, many a round trip, in one transaction.

    Raises NeonError that names the entry whose definition was refused.
    """
    with session.transaction():
        run_inside(session, entries)


def run_inside(session: Session, entries: Sequence[Entry]) -> None:
    """Run the entries' definitions in the transaction that is open. Raises as `run_entries` does."""
    for start in range(0, len(entries), _BATCH):
        _run_batch(session, entries[start : start + _BATCH])


def _run_batch(session: Session, entries: Sequence[Entry]) -> None:
    session.execute("SAVEPOINT batch")
    try:
        session.execute("\n".join(entry.definition for entry in entries) or "SELECT")
    except SupaneonError:
        session.execute("ROLLBACK TO SAVEPOINT batch")
        for entry in entries:
            with naming(entry):
                session.execute(entry.definition or "SELECT")
    session.execute("RELEASE SAVEPOINT batch")


def finish(
    session: Session, crew: Crew[Validation, tuple[Violation, ...]], plan: Plan, built: Sequence[Violation]
) -> tuple[Violation, ...]:
    """Make what comes after rows and indexes; foreign keys last, their rows checked in parallel.

    ``built`` are the violations met while building indexes. Returns all that the primary's own rows
    contradict. Raises NeonError for any other refusal.
    """
    entries = plan.to_make(Section.POST_DATA)
    indexes = {entry.dump_id for entry in building.entries(plan)}
    violations = list(built)
    missing = {violation.entry.dump_id for violation in violations}
    keys = [entry for entry in entries if entry.kind == _FOREIGN_KEY]
    later = {entry.dump_id for entry in keys}
    rest = [entry for entry in entries if entry.dump_id not in indexes | later]
    run_entries(session, [entry for entry in rest if not entry.needs & (missing | later)])
    violations += [
        Violation(key, "left out: the unique index it refers to could not be built")
        for key in keys
        if key.needs & missing
    ]
    violations += foreign_keys.add(session, crew, [key for key in keys if not key.needs & missing])
    missing |= {
        violation.entry.dump_id for violation in violations if violation.outcome.startswith("left out")
    }
    run_entries(session, [entry for entry in rest if entry.needs & later and not entry.needs & missing])
    violations += [
        Violation(entry, "left out with what it belongs to") for entry in rest if entry.needs & missing
    ]
    return tuple(violations)


def grant(session: Session, grants: Sequence[Grant]) -> None:
    """Give the copy's roles what they hold on the primary, and PUBLIC no more than there.

    Targets and columns come quoted (``%I``) from the primary's server.
    """
    with session.transaction():
        _grant(session, grants)


def _grant(session: Session, grants: Sequence[Grant]) -> None:
    statements: list[sql.Composable] = []
    for one in grants:
        if not one.grantee:
            statements.append(sql.SQL("REVOKE ALL ON ") + sql.SQL(one.target) + sql.SQL(" FROM PUBLIC"))
        if one.privileges:
            who = sql.Identifier(one.grantee) if one.grantee else sql.SQL("PUBLIC")
            words = (
                sql.SQL("GRANT "),
                sql.SQL(", ".join(one.privileges)),
                sql.SQL(" ON "),
                sql.SQL(one.target),
            )
            option = sql.SQL(" WITH GRANT OPTION" if one.grantable else "")
            statements.append(sql.Composed([*words, sql.SQL(" TO "), who, option]))
    for start in range(0, len(statements), _BATCH * 4):
        session.execute(sql.SQL(";\n").join(statements[start : start + _BATCH * 4]))


def regrant(session: Session, plan: Plan) -> tuple[str, ...]:
    """Put right what the copy's roles and PUBLIC hold where it is not what they hold on the primary.

    Returns the objects concerned, as SQL writes them after ON.
    """
    roles = [role.name for role in plan.roles]
    wanted, found = compare.held(plan.grants, roles), compare.held(inventory.grants(session), roles)
    targets = {privilege.target for privilege in wanted ^ found}
    if not targets:
        return ()
    names = sql.SQL(", ").join([*map(sql.Identifier, roles), sql.SQL("PUBLIC")])
    with session.transaction():
        for target in sorted(targets):
            session.execute(
                sql.SQL("REVOKE ALL ON ") + sql.SQL(target) + sql.SQL(" FROM {} CASCADE").format(names)
            )
        _grant(session, [one for one in plan.grants if one.target in targets])
    return tuple(sorted(targets))


def put_checks_back(session: Session, plan: Plan) -> tuple[Violation, ...]:
    """Make the checks that waited for the rows; return those that the primary's own rows do not pass."""
    owners = {(d.entry.catalog, d.entry.oid): d.entry.dump_id for d in plan.decisions if d.made is not None}
    violations: list[Violation] = []

    def told(check: Check, outcome: str) -> None:
        violations.append(Violation(deferring.entry(check, owners[check.object]), outcome))

    deferring.put_checks_back(session, plan.checks, told)
    return tuple(violations)


_FILLED = "SELECT schemaname, matviewname FROM pg_matviews WHERE ispopulated"


def are_filled_otherwise(session: Session, plan: Plan) -> bool:
    """Say whether a materialized view is filled on one side and not on the other."""
    filled = {(schema, name) for schema, name in session.query(_FILLED)}
    return any(view.populated != ((view.schema, view.name) in filled) for view in plan.materialized_views)


def refresh(session: Session, plan: Plan) -> tuple[Violation, ...]:
    """Fill the materialized views that are filled on the primary; return those that do not let themselves.

    They are derived: a view that fails to compute costs no row of the copy.
    """
    failed = []
    entries = {entry.oid: entry for entry in plan.kept() if entry.kind == "MATERIALIZED VIEW"}
    for view in plan.materialized_views:
        words = "REFRESH MATERIALIZED VIEW {}" + ("" if view.populated else " WITH NO DATA")
        try:
            session.execute(sql.SQL(words).format(sql.Identifier(view.schema, view.name)))
        except NeonError as error:
            if not deferring.failed_by_itself(error):
                raise
            failed.append(
                Violation(entries[view.oid], "left unfilled: its query fails on the primary's rows")
            )
    return tuple(failed)
