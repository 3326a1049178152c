"""The doctor's look at the primary: catalogs alone, a few quick statements, no row of any table.

Every statement runs in the pinned, READ ONLY session of ``session.py`` with a time limit; no function of
a user's runs, no table of a user's is opened.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from psycopg2.extensions import connection

from supaneon_sync.policy.examined import (
    Activity,
    Admin,
    Contents,
    Denied,
    Door,
    Primary,
    Reader,
    Rights,
    Sticking,
    Wandering,
)
from supaneon_sync.postgres import examination_queries as queries
from supaneon_sync.postgres.conninfo import Conninfo, is_loopback
from supaneon_sync.postgres.session import Session

TIME_LIMIT = 15_000
"""Milliseconds that one statement of the examination may take."""

TIMEOUTS = (
    "statement_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)


def door(where: Conninfo) -> Door:
    """Return how the primary is reached; the name service is asked which addresses it has."""
    mode = where.options.get("sslmode", "require")
    literal = where.options.get("hostaddr") or where.host
    families = frozenset() if is_loopback(literal) else _families(literal, where.port)
    return Door(where.host, where.port, where.user, mode, where.loopback, families)


def _families(host: str, port: int) -> frozenset[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    names = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
    return frozenset(names[entry[0]] for entry in found if entry[0] in names)


def examine(session: Session, sticking: Sticking, missing: Sequence[str] | None) -> Primary:
    """Return what the primary's catalogs say.

    ``missing``: names of extensions that the target lacks, whose dependents are looked for; None where
    the target is not known. Raises PrimaryError when a catalog cannot be read in time.
    """
    timeouts = session.query(queries.TIMEOUTS, (list(TIMEOUTS),))
    with session.transaction("READ ONLY"):
        session.execute(queries.PINNED_HERE.format(TIME_LIMIT))
        return _examined(session, sticking, missing, timeouts)


def _examined(
    session: Session,
    sticking: Sticking,
    missing: Sequence[str] | None,
    timeouts: list[tuple[str, str, str]],
) -> Primary:
    facts = session.one(queries.SERVER)
    version, database, encoding, size, in_recovery, lag, read_only = facts
    major = session.connection.server_version // 10000
    return Primary(
        version=version,
        major=major,
        database=database,
        encoding=encoding,
        size=size,
        tls=_tls(session.connection),
        in_recovery=in_recovery,
        lag=lag,
        read_only=read_only,
        timeouts={name: (int(own), int(ours)) for name, own, ours in timeouts},
        reader=reader(session),
        admin=admin(session),
        rights=rights(session),
        activity=_activity(session),
        contents=_contents(session, missing),
        sticking=sticking,
    )


def reader(session: Session, name: str | None = None) -> Reader:
    """Return the role of the session, or the one of that name."""
    return Reader(*session.one(queries.READER, (name,)))


def admin(session: Session) -> Admin:
    """Return the role that grants here: ``postgres``, else the database's owner."""
    return Admin(*session.one(queries.ADMIN))


def rights(session: Session) -> Rights:
    """Return what the session's role cannot read."""
    objects = session.query(queries.LARGE_OBJECTS)
    return Rights(
        denied=tuple(Denied(*row) for row in session.query(queries.DENIED)),
        row_secured=tuple(row[0] for row in session.query(queries.ROW_SECURED)),
        large_objects=session.value("SELECT count(*) FROM pg_largeobject_metadata"),
        large_objects_denied=tuple(int(oid) for oid, _ in objects),
        large_objects_grantable=all(grantable for _, grantable in objects),
    )


def extensions(session: Session) -> dict[str, str]:
    """Return the primary's extensions and their versions."""
    return dict(session.query(queries.EXTENSIONS))


def powers(session: Session) -> tuple[str, bool, bool]:
    """Return the session's role as SQL writes it, and whether it may create databases, and roles."""
    role, databases, roles = session.one(
        "SELECT format('%I', rolname), rolsuper OR rolcreatedb, rolsuper OR rolcreaterole"
        " FROM pg_roles WHERE rolname = current_user"
    )
    return str(role), bool(databases), bool(roles)


def _tls(opened: connection) -> str:
    """Return the protocol of the connection, '' where there is none."""
    return str(opened.info.ssl_attribute("protocol") or "") if opened.info.ssl_in_use else ""


def _activity(session: Session) -> Activity:
    waiting, hidden = session.one(queries.WAITING)
    return Activity(
        locked=tuple((name, age) for name, age in session.query(queries.LOCKED)),
        waiting=waiting,
        long_transactions=tuple((pid, who, age) for pid, who, age in session.query(queries.LONG)),
        hidden=hidden,
        prepared=tuple((gid, age) for gid, age in session.query(queries.PREPARED)),
    )


def _contents(session: Session, missing: Sequence[str] | None) -> Contents:
    tables, pages, capacity = session.one(queries.TABLES)
    needing: defaultdict[str, list[str]] = defaultdict(list)
    for extension, what in session.query(queries.NEEDING, (list(missing or ()),)):
        needing[extension].append(what)
    unmoved: defaultdict[str, list[str]] = defaultdict(list)
    for kind, name in session.query(queries.UNMOVED):
        unmoved[kind].append(name)
    return Contents(
        tables=tables,
        pages=pages,
        lock_capacity=capacity,
        extensions=extensions(session),
        needing={name: tuple(found) for name, found in needing.items()},
        webhooks=tuple(row[0] for row in session.query(queries.WEBHOOKS)),
        calling=dict(session.query(queries.CALLING)),
        calling_triggers=tuple((table, name) for table, name in session.query(queries.CALLING_TRIGGERS)),
        wandering=tuple(Wandering(*row) for row in session.query(queries.WANDERING)),
        unmoved={kind: tuple(names) for kind, names in unmoved.items()},
    )


def stuck(sessions: Sequence[Session], sticking: Sticking, token: str) -> Sticking:
    """Ask sessions that are open at once, in turn, whether each is still what it was.

    Behind a transaction pooler two of them are served by one backend, or a session's settings and
    backend change between two of its transactions. Nothing blocks: no transaction is left open.
    """
    moved: list[str] = []
    first: dict[int, tuple[object, ...]] = {}
    for number, session in enumerate(sessions):
        session.query("SELECT pg_catalog.set_config('supaneon.probe', %s, false)", (f"{token}{number}",))
    for _ in range(3):
        for number, session in enumerate(sessions):
            now = session.one(queries.PROBE)
            if first.setdefault(number, now) != now or now[1] != f"{token}{number}":
                moved.append("a session's backend or its settings changed between two transactions")
    if len({seen[0] for seen in first.values()}) < len(sessions):
        moved.append("two open sessions were served by one backend")
    return replace(sticking, moved=tuple(dict.fromkeys(moved)))
