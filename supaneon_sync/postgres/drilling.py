"""What a drill asks a copy: does row security hold, can it be written, are its indexes sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from psycopg2 import errorcodes, sql

from supaneon_sync.errors import NeonError, QuotaError, SupaneonError
from supaneon_sync.policy.checks import Check
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.crew import tolerated
from supaneon_sync.postgres.restore import APPLICATION_PATH
from supaneon_sync.postgres.session import Session

API_ROLES = ("anon", "authenticated")
"""The roles that Supabase's API serves strangers and signed-in users as."""
_STATEMENT_LIMIT = timedelta(minutes=5)
_PERMISSION_DENIED, _CANCELLED = "42501", "57014"
_OWN_RULES = ("23", "P0", "27", "44")
"""SQLSTATE classes by which a table's own constraints and triggers refuse a row."""
_BROKEN = ("25", "53", "54", "58", "XX")
"""SQLSTATE classes by which a server says that it cannot: read-only, full, I/O, corrupt."""

_CORRUPT = ("XX001", "XX002")
_SCHEMA = "supaneon_drill"
"""Made on the drill's own throw-away branch alone."""

REACHING_OUT = frozenset({"dblink", "http", "pg_net", "postgres_fdw", "wrappers"})
"""Extensions by which a trigger can act on other servers, beyond what a rollback takes back."""

_GUARDED = """
SELECT n.nspname, c.relname, r.rolname,
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r')
               AND EXISTS (SELECT FROM unnest(p.polroles) AS o (oid)
                           WHERE o.oid = 0 OR pg_has_role(r.oid, o.oid, 'USAGE'))),
       r.rolbypassrls,
       pg_has_role(current_user, r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                             THEN 'SET' ELSE 'MEMBER' END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN pg_roles r
WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND r.rolname = ANY (%s) AND n.nspname !~ '^pg_'
  AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_any_column_privilege(r.oid, c.oid, 'SELECT')
ORDER BY 1, 2, 3
"""
_BTREES = """
SELECT i.indexrelid, i.indexrelid::regclass::text, pg_relation_size(i.indexrelid)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am a ON a.oid = x.relam
JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE a.amname = 'btree' AND x.relkind = 'i' AND i.indisvalid AND i.indisready
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 3 DESC, 2
"""


@dataclass(frozen=True)
class Guarded:
    """A table under row security, seen as one API role. ``open`` says that a policy lets it read rows."""

    schema: str
    name: str
    role: str
    open: bool
    bypasses: bool
    settable: bool

    @property
    def label(self) -> str:
        """The name for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Index:
    """A B-tree index that amcheck can look through."""

    oid: int
    label: str


@dataclass(frozen=True)
class Answer:
    """What a check gave: its first row's first value, and how many rows."""

    first: object
    rows: int


def others_at_work(session: Session, purpose: str) -> bool:
    """Say whether another session of this tool works on the same server for that purpose."""
    return bool(
        session.value(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND usename = current_user AND application_name LIKE %s)",
            (f"supaneon-sync {purpose}%",),
        )
    )


def guarded(session: Session) -> tuple[Guarded, ...]:
    """Return each table under row security with each API role that may select from it."""
    return tuple(Guarded(*row) for row in session.query(_GUARDED, (list(API_ROLES),)))


def visible(session: Session, one: Guarded) -> bool:
    """Say whether the role sees any row of the table. The role is left again at once, whatever happens.

    Raises NeonError where the server refuses, for example because a policy's function fails.
    """
    with _attempt(session, "READ ONLY"):
        session.execute(
            sql.SQL("SET LOCAL ROLE {}; SET LOCAL row_security = on; SET LOCAL search_path = {}").format(
                sql.Identifier(one.role), sql.SQL(APPLICATION_PATH)
            )
        )
        return bool(
            session.value(
                sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(one.schema, one.name))
            )
        )


def write(session: Session, table: Relation, *, still: bool = False) -> str:
    """Write one row of the table to itself and take it back; return what refused that, '' if nothing.

    ``still`` keeps the table's triggers from firing. An empty table is offered a row of defaults. A
    refusal by the table's own constraints or triggers is no fault: the write got as far as on the
    primary. Raises NeonError where the server itself cannot write, and QuotaError where it is full.
    """
    name = sql.Identifier(table.schema, table.name)
    free = [c.name for c in table.columns if not c.generated and c.identity != "a"]
    try:
        with _attempt(session):
            session.execute(sql.SQL("SET LOCAL search_path = ") + sql.SQL(APPLICATION_PATH))
            if still:
                session.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
            row = session.query(sql.SQL("SELECT ctid::text FROM ONLY {} LIMIT 1").format(name))
            if row and free:
                session.execute(
                    sql.SQL("UPDATE ONLY {0} SET {1} = {1} WHERE ctid = {2}::pg_catalog.tid").format(
                        name, sql.Identifier(free[0]), sql.Literal(row[0][0])
                    )
                )
            else:
                session.execute(sql.SQL("INSERT INTO {} DEFAULT VALUES").format(name))
    except QuotaError:
        raise
    except NeonError as error:
        code = str(error.evidence.get("sqlstate") or "")
        if lost(error) or code[:2] in _BROKEN:
            raise
        return "" if code[:2] in _OWN_RULES else meaning(error)
    return ""


def answer(session: Session, check: Check) -> Answer:
    """Run a check in a transaction that cannot write, one SELECT as a cursor; return what it gave.

    Raises NeonError for what the server refuses, also for a check that exceeds its time.
    """
    session.execute("SET default_transaction_read_only = on")
    with _attempt(session, "READ ONLY", check.timeout):
        session.execute(sql.SQL("SET LOCAL search_path = ") + sql.SQL(APPLICATION_PATH))
        session.execute(sql.SQL("DECLARE answer NO SCROLL CURSOR FOR ") + sql.SQL(check.sql))
        found = session.query("FETCH 1 FROM answer")
        with session.errors(), session.connection.cursor() as cursor:
            cursor.execute("MOVE FORWARD ALL IN answer")
            further = max(0, cursor.rowcount)
    return Answer(found[0][0] if found and found[0] else None, len(found) + further)


def timed_out(error: SupaneonError) -> bool:
    """Say whether the server ended a statement because its time was over."""
    return tolerated(error, _CANCELLED)


def install_amcheck(session: Session) -> tuple[str, str]:
    """Return the schema of the extension amcheck, made on this throw-away copy if need be; else why not."""
    there = session.query(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'amcheck'"
    )
    schema = there[0][0] if there else _SCHEMA
    function = sql.Identifier(schema, "bt_index_check").as_string(session.connection)
    try:
        if not there:
            session.execute(f"CREATE SCHEMA {_SCHEMA}; CREATE EXTENSION amcheck SCHEMA {_SCHEMA}")
        usable = session.value(
            "SELECT has_function_privilege(%s, 'EXECUTE')", (f"{function}(regclass, boolean)",)
        )
    except NeonError as error:
        if lost(error):
            raise
        return "", f"the copy's owner may not create the extension amcheck ({meaning(error)})"
    return (schema, "") if usable else ("", "the copy's owner may not call amcheck's functions")


def remove_amcheck(session: Session) -> None:
    """Take away what ``install_amcheck`` made."""
    session.execute(f"SET client_min_messages = error; DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")


def btrees(session: Session) -> tuple[Index, ...]:
    """Return the B-tree indexes, the largest first."""
    return tuple(Index(oid, label) for oid, label, _ in session.query(_BTREES))


def sound(session: Session, schema: str, index: Index) -> str:
    """Look through an index and its table with amcheck; return what is wrong, '' if nothing.

    Raises NeonError where amcheck cannot look.
    """
    try:
        session.query(
            sql.SQL("SELECT {}(%s::oid::regclass, true)").format(sql.Identifier(schema, "bt_index_check")),
            (index.oid,),
        )
    except NeonError as error:
        if str(error.evidence.get("sqlstate")) not in _CORRUPT:
            raise
        return meaning(error)
    return ""


def lost(error: SupaneonError) -> bool:
    """Say whether an error of a copy's server is about reaching it, not about what it holds."""
    code = str(error.evidence.get("sqlstate") or "")
    return isinstance(error, NeonError) and (not code or code.startswith(("08", "57P")))


def meaning(error: SupaneonError) -> str:
    """Return an error's SQLSTATE and PostgreSQL's name for it: what may be told without quoting rows."""
    code = str(error.evidence.get("sqlstate") or "")
    try:
        return f"{code} {errorcodes.lookup(code).lower()}"
    except KeyError:
        return code or "no SQLSTATE"


@contextmanager
def _attempt(session: Session, mode: str = "", limit: timedelta = _STATEMENT_LIMIT) -> Iterator[None]:
    """Run the block in a transaction that is always rolled back, its statements limited in time."""
    with session.trial(mode):
        session.execute(f"SET LOCAL statement_timeout = {int(limit.total_seconds() * 1000)}")
        session.execute("SET LOCAL lock_timeout = '30s'")
        yield


def filled(session: Session, tables: Sequence[tuple[str, str]]) -> list[str]:
    """Return the names of the tables that hold rows."""
    return [
        f"{schema}.{name}"
        for schema, name in tables
        if session.value(sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format(sql.Identifier(schema, name)))
    ]
