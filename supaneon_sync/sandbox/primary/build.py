"""Make a Supabase-shaped database on a server of the sandbox.

Roles, schemas, names and the order of things are Supabase's as its documentation tells them; every
statement is our own, and only what an application or a backup can notice is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from psycopg2 import sql
from psycopg2.extensions import connection, encrypt_password

from supaneon_sync.sandbox.server import Server
from supaneon_sync.secret import Secret

SUPERUSER = "supabase_admin"
"""The name to give to ``Server.create``: the platform's own role, which no customer gets."""

SETTINGS: Mapping[str, str] = MappingProxyType(
    {"wal_level": "logical", "extra_float_digits": "0", "row_security": "on", "max_slot_wal_keep_size": "1GB"}
)
"""What the platform sets otherwise than PostgreSQL, for ``Server.create``."""

PLATFORM = ("platform_roles.sql", "platform_auth.sql", "platform_storage.sql", "platform_rest.sql")
SAMPLE = ("sample_types.sql", "sample_rules.sql", "sample_rows.sql")


def create_primary(server: Server, *, password: str | Secret, sample: bool, rows_scale: float = 1.0) -> None:
    """Make database ``postgres`` of a fresh, running server look like a Supabase project's.

    ``password`` is given to the role ``postgres``; no other role can log in over TCP. ``sample`` adds
    an application with about 50,000 rows times ``rows_scale``, the same rows on every machine.
    """
    if server.superuser != SUPERUSER:
        server.execute(f"CREATE ROLE {SUPERUSER} SUPERUSER LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS")
    with server.session(role=SUPERUSER) as session:
        _run(session, PLATFORM)
        _set_password(session, "postgres", password)
        if sample:
            _run(session, ("sample_platform.sql",))
    if sample:
        with server.session(role="postgres") as session:
            _run(session, SAMPLE, {"sandbox.scale": str(rows_scale)})


def create_backup_role(server: Server, *, password: str | Secret, name: str = "backup_full") -> None:
    """Make the login role that a careful operator gives to the backup: it reads all and writes nothing."""
    role = sql.Identifier(name)
    with server.session(role=SUPERUSER) as session, session.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN BYPASSRLS IN ROLE pg_read_all_data").format(role))
        _set_password(session, name, password)


def day_of_changes(server: Server, day: int = 1) -> None:
    """Do a day's work on the sample: some hundred rows come, change and go, and one table is new."""
    with server.session(role="postgres") as session:
        _run(session, ("day_of_changes.sql",), {"sandbox.day": str(day)})


def _run(
    session: connection, names: Iterable[str], settings: Mapping[str, str] = MappingProxyType({})
) -> None:
    with session.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
        for name in names:
            cursor.execute((Path(__file__).parent / name).read_text(encoding="utf-8"))


def _set_password(session: connection, role: str, password: str | Secret) -> None:
    """Send the verifier, never the password: a statement may end in the server's log."""
    plain = password.reveal() if isinstance(password, Secret) else password
    verifier = encrypt_password(plain, role, session, "scram-sha-256")
    with session.cursor() as cursor:
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
        cursor.execute(statement)
