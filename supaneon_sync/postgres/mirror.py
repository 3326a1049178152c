"""The user's database on the mirror: made anew, alike where the target allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from psycopg2 import sql

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.facts import Inventory, Locale, Relation, Target
from supaneon_sync.postgres.crew import tolerated
from supaneon_sync.postgres.failures import refused
from supaneon_sync.postgres.session import Session

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_OBJECTS = """
SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
          SELECT FROM pg_depend d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
     + (SELECT count(*) FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public'))
"""
_CREATABLE = """
SELECT DISTINCT name FROM pg_available_extension_versions
WHERE trusted OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
"""
_VERSIONS = """
SELECT (SELECT json_object_agg(extname, extversion) FROM pg_extension),
       coalesce(pg_database_collation_actual_version(oid), '')
FROM pg_database WHERE datname = current_database()
"""
_NOT_OFFERED = ("22023", "42704", "42809", "0A000", "42602")


def is_empty(session: Session) -> bool:
    """Say whether the session's database holds no relation and no schema of anybody's making."""
    return bool(session.value(_OBJECTS) == 0)


def describe(session: Session, owner: str) -> Target:
    """Return what the target offers: its major, its extensions, what its owner may create.

    Neon marks what it allows as trusted in its own builds, and names an allow-list besides.
    """
    major, bypass, allowed = session.one(
        "SELECT current_setting('server_version_num')::int / 10000,"
        " (SELECT rolsuper OR rolbypassrls AND current_setting('server_version_num')::int >= 160000"
        "  FROM pg_roles WHERE rolname = current_user),"
        " current_setting('neon.allowed_extensions', true)"
    )
    there = {row[0] for row in session.query(_CREATABLE)}
    names = there & {name.strip() for name in allowed.split(",")} if allowed else there
    return Target(major=major, extensions=frozenset(names), owner=owner, can_create_bypassrls=bool(bypass))


def make_anew(session: Session, database: str, locale: Locale, search_path: str) -> str:
    """Drop and create the database; return what differs from the primary's locale ('' if nothing).

    ``session`` is on another database of the same server. ``search_path`` is as the server stores it.
    """
    name = sql.Identifier(database)
    _drop(session, name)
    difference = ""
    try:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ").format(name) + _alike(locale))
    except NeonError as error:
        if not tolerated(error, *_NOT_OFFERED):
            raise
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))
        difference = (
            f"The target does not offer the primary's locale ({locale.collate}); the copy sorts text by the"
            " target's default. Its indexes are built for that; only the order of text may differ."
        )
    use_path(session, database, search_path)
    return difference


_EVERYWHERE = ("UTC", "GMT", "Etc/UTC")
"""Time zones that every server has."""


def time_zone(name: str, opening: Callable[[], AbstractContextManager[Session]]) -> str:
    """Return a time zone if the server has it, else '': not all have what only older or newer lists name.

    ``opening`` lends a session to ask with, where that is in question at all.
    """
    if name in _EVERYWHERE:
        return name
    try:
        with opening() as session, session.trial():
            session.execute("SET LOCAL TimeZone = %s", (name,))
    except NeonError as error:
        if not refused(error):
            raise
        return ""
    return name


def take_public(session: Session) -> None:
    """Take from schema public what it has in a new database: the primary's may have been remade.

    That is its comment, and what PUBLIC may do there. What the primary has of both is made with all else.
    """
    session.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC; COMMENT ON SCHEMA public IS NULL")


def use_path(session: Session, database: str, search_path: str) -> None:
    """Store the search_path that sessions on the database begin with; it is as the server stores it."""
    words = sql.SQL(
        "SELECT set_config('search_path', {}, true); ALTER DATABASE {} SET search_path FROM CURRENT"
    )
    session.execute(words.format(sql.Literal(search_path), sql.Identifier(database)))  # one transaction


def filled(session: Session, tables: Sequence[Relation]) -> list[Relation]:
    """Return those of the tables that have a row of their own."""
    asked = [
        sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format(sql.Identifier(table.schema, table.name))
        for table in tables
    ]
    return [table for table, (some,) in zip(tables, session.ones(asked), strict=True) if some]


def _drop(session: Session, name: sql.Identifier) -> None:
    """Drop the database, ending the sessions in it; a superuser's (autovacuum's, say) are waited for."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {}").format(name)
    try:
        session.execute(drop + sql.SQL(" WITH (FORCE)"))
    except NeonError as error:
        if not tolerated(error, "42501"):
            raise
        session.execute(drop)


def _alike(locale: Locale) -> sql.Composable:
    words = sql.SQL("ENCODING {} LC_COLLATE {} LC_CTYPE {} LOCALE_PROVIDER {}").format(
        sql.Literal(locale.encoding),
        sql.Literal(locale.collate),
        sql.Literal(locale.ctype),
        sql.SQL(_PROVIDERS.get(locale.provider, "libc")),
    )
    option = {"i": " ICU_LOCALE {}", "b": " BUILTIN_LOCALE {}"}.get(locale.provider)
    return words + sql.SQL(option).format(sql.Literal(locale.locale)) if option else words


def has_database(session: Session, name: str) -> bool:
    """Say whether the server has a database of this name."""
    return bool(session.value("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (name,)))


def unexpected_rows(session: Session, tables: Sequence[Relation]) -> list[str]:
    """Return a sentence for each table that should have come without rows and has some."""
    return [f"{table.label} should be empty on the copy and is not" for table in filled(session, tables)]


def version_differences(session: Session, facts: Inventory) -> list[str]:
    """Return a sentence for each version that is another on the copy: of extensions, of collations."""
    notes = []
    there, actual = session.one(_VERSIONS)
    there = there or {}
    other = [
        f"{name} ({there[name]}, on the primary {version})"
        for name, version in facts.extensions.items()
        if name in there and there[name] != version
    ]
    if other:
        notes.append(f"Extensions that have another version on the copy: {', '.join(other)}.")
    if actual != facts.locale.version:
        notes.append(
            f"The copy's server sorts text by version {actual or 'none'} of the database's collation, the"
            f" primary's by {facts.locale.version or 'none'}: the order of some text may differ, its indexes"
            " are built for that."
        )
    return notes


def forbid_writing(session: Session, tables: Sequence[Relation]) -> None:
    """Begin a transaction that locks the tables against everybody's writing until it ends; all may read."""
    names = sql.SQL(", ").join(sql.SQL("ONLY ") + sql.Identifier(one.schema, one.name) for one in tables)
    session.execute(sql.SQL("BEGIN; LOCK TABLE {} IN SHARE MODE").format(names))
