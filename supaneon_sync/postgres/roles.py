"""The copy's roles, who is a member of whom, and the settings stored for them and for the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg2 import sql

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.facts import StoredSetting
from supaneon_sync.policy.plan import NewRole
from supaneon_sync.postgres.crew import tolerated
from supaneon_sync.postgres.failures import refused
from supaneon_sync.postgres.session import Session

_ROLES = """
SELECT r.rolname, r.rolinherit, r.rolbypassrls, ARRAY(
  SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
FROM pg_roles r
"""
_NOT_ALLOWED = ("42501", "42704", "22023", "0A000", "55P02")


def make(session: Session, roles: Sequence[NewRole], owner: str, major: int) -> None:
    """Make the roles that are missing and the others alike; none is made to log in.

    The owner may become each of them.

    Raises NeonError where a role that is there already cannot be made alike.
    """
    there, found = _there(session, roles)
    statements: list[sql.Composable] = []
    for role in roles:
        name = sql.Identifier(role.name)
        words = "INHERIT" if role.inherits else "NOINHERIT"
        if role.name not in there:
            words = f"NOLOGIN {words}" + (" BYPASSRLS" if role.bypasses_rls else "")
            statements.append(sql.SQL("CREATE ROLE {} " + words).format(name))
        elif there[role.name] != (role.inherits, role.bypasses_rls):
            bypass = role.bypasses_rls != there[role.name][1]
            words += (" BYPASSRLS" if role.bypasses_rls else " NOBYPASSRLS") if bypass else ""
            statements.append(sql.SQL("ALTER ROLE {} " + words).format(name))
        if role.name in there:
            statements.append(sql.SQL("ALTER ROLE {} RESET ALL").format(name))
        become = " WITH INHERIT FALSE, SET TRUE" if major >= 16 else ""
        statements.append(sql.SQL("GRANT {} TO {}" + become).format(name, sql.Identifier(owner)))
    wanted = {(parent, role.name) for role in roles for parent in role.member_of}
    for words, pairs in (("REVOKE {} FROM {}", found - wanted), ("GRANT {} TO {}", wanted - found)):
        for parent, member in sorted(pairs):
            statements.append(sql.SQL(words).format(sql.Identifier(parent), sql.Identifier(member)))
    if statements:
        session.execute(sql.SQL("; ").join(statements))


def _there(
    session: Session, roles: Sequence[NewRole]
) -> tuple[dict[str, tuple[bool, bool]], set[tuple[str, str]]]:
    """Return the attributes of the copy's roles, and who among the planned ones is a member of which."""
    rows = session.query(_ROLES)
    names = {role.name for role in roles}
    members = {(parent, name) for name, _, _, parents in rows if name in names for parent in parents}
    return (
        {name: (inherits, bypasses) for name, inherits, bypasses, _ in rows},
        {(parent, member) for parent, member in members if parent in names},
    )


def differences(session: Session, roles: Sequence[NewRole]) -> list[str]:
    """Return a sentence for each way in which the copy's roles are not the planned ones."""
    there, found = _there(session, roles)
    told = [f"role {role.name} is missing on the copy" for role in roles if role.name not in there]
    told += [
        f"role {role.name} has other attributes on the copy"
        for role in roles
        if role.name in there and there[role.name] != (role.inherits, role.bypasses_rls)
    ]
    wanted = {(parent, role.name) for role in roles for parent in role.member_of}
    for parent, member in sorted(wanted ^ found):
        told.append(f"role {member}'s membership in {parent} is not what was planned")
    return told


def forget_settings(session: Session, database: str, roles: Sequence[NewRole]) -> None:
    """Forget every setting that is stored for the database, and for these roles in it."""
    name = sql.Identifier(database)
    statements = [sql.SQL("ALTER DATABASE {} RESET ALL").format(name)]
    statements += [
        sql.SQL("ALTER ROLE {} IN DATABASE {} RESET ALL").format(sql.Identifier(role.name), name)
        for role in roles
    ]
    session.execute(sql.SQL("; ").join(statements))


def store_settings(session: Session, database: str, settings: Iterable[StoredSetting]) -> tuple[str, ...]:
    """Store the settings on the copy as they are on the primary; return the names that the target refuses.

    From PostgreSQL 15 on only a superuser may store settings that the server does not know (``app.x``).
    """
    statements = [(one, _storing(one, database)) for one in settings]
    if not statements:
        return ()
    try:
        session.execute(sql.SQL("; ").join(alone for _, alone in statements))
    except NeonError as error:
        if not refused(error):
            raise
    else:
        return ()
    return tuple(one.label for one, alone in statements if not _is_allowed(session, alone))


def _is_allowed(session: Session, storing: sql.Composable) -> bool:
    try:
        session.execute(storing)
    except NeonError as error:
        if not tolerated(error, *_NOT_ALLOWED):
            raise
        return False
    return True


def _storing(one: StoredSetting, database: str) -> sql.Composable:
    """Return what stores a setting: made the transaction's own first, it is quoted by the server."""
    return sql.SQL("SELECT pg_catalog.set_config({}, {}, true); ALTER {} SET {} FROM CURRENT").format(
        sql.Literal(one.name),
        sql.Literal(one.value.reveal()),
        _whose(one, database),
        sql.SQL(".").join(map(sql.Identifier, one.name.split("."))),
    )


def _whose(one: StoredSetting, database: str) -> sql.Composable:
    role = sql.SQL("ROLE {}").format(sql.Identifier(one.role))
    here = sql.SQL("DATABASE {}").format(sql.Identifier(database))
    if not one.role:
        return here
    return role + sql.SQL(" IN ") + here if one.here else role
