"""What a running cluster says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from supaneon_sync.sandbox.server import Server

_ROLES = """
select rolname from pg_catalog.pg_roles
 where rolname !~ '^pg_' and rolname not in ('cloud_admin', 'neon_superuser') order by oid
"""
_DATABASES = """
select oid::bigint, datname, pg_catalog.pg_get_userbyid(datdba) from pg_catalog.pg_database
 where not datistemplate and datname <> 'postgres' order by oid
"""
_SIZES = """
select (select sum(pg_catalog.pg_database_size(oid))::bigint from pg_catalog.pg_database),
       pg_catalog.pg_current_wal_flush_lsn()::text,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(), '0/0')::bigint
"""
_ACTIVITY = """
select count(*) filter (where state <> 'idle'),
       extract(epoch from pg_catalog.now() - max(state_change))::float8,
       extract(epoch from pg_catalog.now() - pg_catalog.pg_postmaster_start_time())::float8
  from pg_catalog.pg_stat_activity where backend_type in ('client backend', 'walsender')
   and usename <> 'cloud_admin'
"""


@dataclass(frozen=True)
class Look:
    """What a running cluster says of itself. Sizes in bytes."""

    roles: tuple[str, ...]
    databases: tuple[tuple[int, str, str], ...]
    logical_size: int
    flush_lsn: str
    flush_position: int


def look(server: Server) -> Look:
    """Return what a running server holds."""
    with server.session() as opened, opened.cursor() as cursor:
        cursor.execute(_ROLES)
        roles = tuple(row[0] for row in cursor.fetchall())
        cursor.execute(_DATABASES)
        databases = tuple((row[0], row[1], row[2]) for row in cursor.fetchall())
        cursor.execute(_SIZES)
        size, lsn, position = cursor.fetchall()[0]
    return Look(roles, databases, int(size), lsn, int(position))


def idle_seconds(server: Server) -> float:
    """Return for how long no client has worked in a server."""
    ((busy, since, up),) = server.execute(_ACTIVITY)
    return 0.0 if busy else float(min(up, since if since is not None else up))
