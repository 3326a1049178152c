"""A branch about to take an application's traffic: a quick look, its turn, and the role that logs in."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from supaneon_sync.errors import NeonError, PrimaryError
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.policy.shape import Shape, differences
from supaneon_sync.postgres import drilling, inventory
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.shape import asked_alike
from supaneon_sync.postgres.shape import read as read_shape
from supaneon_sync.secret import Secret

_TURN = 0x7375_7061_6661_696C
_BATCH = 50
_WRITES = 3
_ROLE = """
SELECT r.rolcanlogin, r.rolbypassrls OR r.rolsuper, r.rolname = current_user FROM pg_roles r
WHERE r.rolname = %s
"""


@dataclass(frozen=True)
class Look:
    """What the quick look saw. ``wrong`` are sentences without their full stops; nothing good if any."""

    objects: int
    guarded: int
    tables: int
    counted: int
    rows: int
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoginRole:
    """A role as it is on the branch."""

    can_login: bool
    unrestrained: bool
    owner: bool


def look(session: Session, document: Mapping[str, Any], seconds: float, clock: Callable[[], float]) -> Look:
    """Compare schema and row security with the manifest, and row counts for about so many seconds.

    The branch is a copy-on-write child of the backup, so this is no drill: it catches a branch that is
    not what it should be, in seconds. Tables are counted from the smallest up.
    """
    deadline = clock() + seconds
    with session.transaction("READ ONLY"):
        found = read_shape(session, document["roles"])
    kinds, _ = asked_alike(document["shape_queries"])
    recorded = Shape(document["shape"]).only(kinds)
    wrong = [text for text in differences(recorded, found.only(kinds)) if not _is_login(text)]
    tables = sorted(document["tables"], key=lambda table: int(table["rows"]))
    counted, rows, miscounts = _count(session, tables, deadline, clock)
    return Look(
        objects=sum(len(names) for names in found.kinds.values()),
        guarded=sum(bool(one.get("row security")) for one in found.kinds["relation"].values()),
        tables=len(tables),
        counted=counted,
        rows=rows,
        wrong=(*wrong, *miscounts),
    )


def _is_login(difference: str) -> bool:
    """Say whether a difference is only that a role may log in, which a failover itself brings about."""
    return difference.startswith("role ") and ": can log in is " in difference


def _count(
    session: Session, tables: Sequence[Mapping[str, Any]], deadline: float, clock: Callable[[], float]
) -> tuple[int, int, list[str]]:
    counted, rows, wrong = 0, 0, []
    for start in range(0, len(tables), _BATCH):
        batch = tables[start : start + _BATCH]
        left = deadline - clock()
        if left <= 0:
            break
        try:
            session.execute(f"SET statement_timeout = {max(1, int(left * 1000))}")
            found = dict(session.query(_counts(batch)))
        except NeonError as error:
            if not drilling.timed_out(error):
                raise
            break
        finally:
            session.execute("SET statement_timeout = 0")
        for number, table in enumerate(batch):
            counted, rows = counted + 1, rows + found[number]
            if found[number] != table["rows"]:
                wrong.append(
                    f"{table['schema']}.{table['name']} has {found[number]} rows, recorded {table['rows']}"
                )
    return counted, rows, wrong


def _counts(batch: Sequence[Mapping[str, Any]]) -> sql.Composed:
    return sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}::int, count(*) FROM ONLY {}").format(
            sql.Literal(number), sql.Identifier(table["schema"], table["name"])
        )
        for number, table in enumerate(batch)
    )


def write_and_take_back(session: Session) -> str:
    """Write something and take it back; return what was written to.

    A row of the smallest filled tables is written to itself; a table's own rules may refuse that, then
    the next is tried. Raises NeonError where the server cannot write, QuotaError where it is full.
    """
    with session.transaction("READ ONLY"):
        facts = inventory.read(session)
    for table in _smallest(facts)[:_WRITES]:
        if not drilling.write(session, table):
            return table.label
    with session.trial():
        session.execute("CREATE SCHEMA supaneon_write; CREATE TABLE supaneon_write.probe (a int)")
        session.execute("INSERT INTO supaneon_write.probe VALUES (1)")
    return "a table of its own"


def _smallest(facts: Inventory) -> list[Relation]:
    filled = [one for one in facts.relations.values() if one.kind == "r" and one.columns and one.rows > 0]
    return sorted(filled, key=lambda one: (one.pages, one.label))


def take_turn(session: Session, wait: Callable[[float], None], until: Callable[[], bool]) -> bool:
    """Take the lock that lets one call at a time prepare this branch; False where ``until`` gave up.

    The lock ends with the session, so a call that was killed holds up nobody.
    """
    while not session.value("SELECT pg_try_advisory_lock(%s)", (_TURN,)):
        if until():
            return False
        wait(0.2)
    return True


def login_role(session: Session, name: str) -> LoginRole | None:
    """Return what the branch knows of a role, None where it has none of that name."""
    rows = session.query(_ROLE, (name,))
    return LoginRole(*rows[0]) if rows else None


def derived_password(owner: Secret, branch_id: str, role: str) -> Secret:
    """Return the application role's password: made from the owner's new one, for this branch and role.

    So every call comes to the same one, without anything being stored; and whoever knows it learns
    nothing of the owner's (HMAC-SHA-256). Its strength is that of the password that Neon made.
    """
    message = f"supaneon-sync application role\0{branch_id}\0{role}".encode()
    made = hmac.new(owner.reveal().encode(), message, hashlib.sha256).digest()
    return Secret(base64.urlsafe_b64encode(made).decode().rstrip("="))


def let_in(session: Session, role: str, password: Secret) -> None:
    """Let a role log in with a password. Neon wants it in plain text (docs: manage/roles)."""
    session.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(password.reveal())
        )
    )


def serves(session: Session) -> str:
    """Ask a first query as the application would; return the role that it works as."""
    return str(session.value("SELECT current_user::text"))


def make_read_only(session: Session) -> str:
    """Make new transactions on the primary's database read-only by default; return the database's name.

    Sessions that are open keep what they have, and a client can set it otherwise: this stops an
    application that comes back unawares, not one that wants to write. Raises PrimaryError.
    """
    name = str(session.value("SELECT current_database()::text"))
    with session.transaction("READ WRITE"):
        session.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(name))
        )
    setting = session.value(
        "SELECT EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE d.datname = current_database() AND s.setrole = 0"
        " AND 'default_transaction_read_only=on' = ANY (s.setconfig))"
    )
    if not setting:
        raise PrimaryError("The primary took the setting and does not show it.")
    return name
