"""The Supabase-shaped primary: what a backup will find there."""

from __future__ import annotations

import json
import subprocess

import psycopg2
import pytest

from supaneon_sync.sandbox import primary
from supaneon_sync.sandbox.server import Server
from supaneon_sync.secret import Secret
from tests.conftest import PRIMARY_PASSWORD, MakeServer

COUNTS = {
    "auth.users": 2000,
    "auth.identities": 2000,
    "storage.objects": 1200,
    "public.profiles": 2000,
    "public.organizations": 100,
    "public.members": 2000,
    "public.tasks": 9000,
    "public.comments": 12000,
    "public.task_history": 3000,
    "public.activity": 10000,
    "billing.invoices": 1500,
    'public."Größe & Maße"': 200,
    "public.every_type": 4,
    "public.feature_flags": 0,
}
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
  AND n.nspname IN ('auth', 'storage', 'realtime', 'public', 'billing', 'supabase_migrations')
ORDER BY 1
"""


def digests(server: Server) -> dict[str, str]:
    """An order-independent digest of every table's rows."""
    digest = "SELECT md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {} t"
    return {table: server.execute(digest.format(table))[0][0] for (table,) in server.execute(TABLES)}


def rows_seen(server: Server, table: str, role: str, claims: dict[str, str] | None) -> int:
    """How many rows of a table the API would show to somebody with these claims."""
    with server.session(role="authenticator") as session, session.cursor() as cursor:
        session.autocommit = False
        cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute("SELECT set_config('request.jwt.claims', %s, true)", (json.dumps(claims or {}),))
        cursor.execute(f"SELECT count(*) FROM {table}")
        (count,) = cursor.fetchone() or (-1,)
        return int(count)


@pytest.mark.parametrize("major", [15, 17, 18])
def test_the_sample_has_the_rows_it_promises_and_row_level_security_holds(
    major: int, make_primary: MakeServer
) -> None:
    server = make_primary(major)
    assert {table: server.execute(f"SELECT count(*) FROM {table}")[0][0] for table in COUNTS} == COUNTS
    ((user, organization, mine),) = server.execute(
        "SELECT user_id, m.organization_id, count(*) FROM members m JOIN tasks t USING (organization_id)"
        " WHERE m.id = 1234 GROUP BY m.id"
    )
    claims = {"sub": user, "role": "authenticated", "email": "user1234@example.com"}
    assert 0 < mine < COUNTS["public.tasks"]
    assert rows_seen(server, "public.tasks", "authenticated", claims) == mine
    assert rows_seen(server, "public.open_tasks", "authenticated", claims) < mine
    assert rows_seen(server, "public.organizations", "authenticated", claims) == 1
    assert (
        rows_seen(
            server, f"public.members WHERE organization_id <> '{organization}'", "authenticated", claims
        )
        == 0
    )
    assert rows_seen(server, "public.tasks", "authenticated", None) == 0
    assert rows_seen(server, "public.tasks", "anon", None) == 0
    assert rows_seen(server, "public.tasks", "service_role", None) == COUNTS["public.tasks"]
    assert (
        rows_seen(server, "(SELECT 1 WHERE auth.email() LIKE 'user1234@%') x", "authenticated", claims) == 1
    )


def test_two_majors_hold_the_same_rows_of_the_sample(
    primary_template: MakeServer, make_primary: MakeServer
) -> None:
    first, second = digests(make_primary(15)), digests(make_primary(18))
    assert len(first) > 50
    assert first == second


@pytest.mark.parametrize("major", [15, 16])
def test_the_platform_alone_has_supabases_roles_schemas_and_event_triggers(
    major: int, make_primary: MakeServer
) -> None:
    server = make_primary(major, sample=False)
    roles = {
        name: attributes
        for name, *attributes in server.execute(
            "SELECT rolname, rolsuper, rolcanlogin, rolbypassrls FROM pg_roles WHERE rolname !~ '^pg_'"
        )
    }
    assert roles["postgres"] == [False, True, True]
    assert roles["authenticated"] == [False, False, False]
    assert roles["service_role"] == [False, False, True]
    assert [name for name, (is_super, *_) in roles.items() if is_super] == ["supabase_admin"]
    assert {"supabase_auth_admin", "supabase_storage_admin", "supabase_realtime_admin", "pgbouncer"} <= set(
        roles
    )
    schemas = {name for (name,) in server.execute("SELECT nspname FROM pg_namespace")}
    assert {
        "auth",
        "storage",
        "realtime",
        "extensions",
        "vault",
        "graphql_public",
        "supabase_migrations",
    } <= schemas
    assert "billing" not in schemas
    assert server.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'auth'::regnamespace AND relkind = 'r'"
    ) == [(23,)]
    assert server.execute("SELECT count(*) FROM pg_event_trigger") == [(6,)]
    assert server.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [
        (0,)
    ]
    assert server.execute("SELECT pubname FROM pg_publication") == [("supabase_realtime",)]


def test_the_role_postgres_logs_in_with_its_password_and_finds_the_extensions(
    make_primary: MakeServer,
) -> None:
    server = make_primary(17)
    place = {"host": "127.0.0.1", "port": server.port, "dbname": "postgres", "user": "postgres"}
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(**place, password="another")
    session = psycopg2.connect(**place, password=PRIMARY_PASSWORD)
    with session.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('search_path'), current_setting('is_superuser'), public.new_invite_code()"
        )
        path, is_superuser, _ = cursor.fetchone() or ("", "", "")
    session.close()
    assert (path, is_superuser) == ('"$user", public, extensions', "off")


def test_a_new_user_gets_a_profile_and_files_cannot_be_deleted_in_sql(make_primary: MakeServer) -> None:
    server = make_primary(15)
    with server.session(role="postgres") as session, session.cursor() as cursor:
        cursor.execute(
            "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'Ada@example.com') RETURNING id"
        )
        (user,) = cursor.fetchone() or (None,)
        cursor.execute(
            "SELECT display_name FROM profiles WHERE id = %s AND email = 'ada@EXAMPLE.com'", (user,)
        )
        assert cursor.fetchall() == [("Ada",)]
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="storage API"):
            cursor.execute("DELETE FROM storage.objects")


@pytest.mark.parametrize("role", ["postgres", "backup_full"])
def test_the_whole_database_can_be_dumped_without_a_superuser(role: str, make_primary: MakeServer) -> None:
    server = make_primary(18)
    primary.create_backup_role(server, password=Secret("theirs"))
    command = (
        server.binaries.tool("pg_dump"),
        "-Fc",
        "-h",
        server.sockets,
        "-p",
        str(server.port),
        "-U",
        role,
    )
    done = subprocess.run(
        (*command, "postgres"), capture_output=True, check=False, env=server.binaries.environment()
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout) > 1_000_000


def test_a_day_of_changes_adds_changes_deletes_and_makes_a_table_and_another_day_does_so_again(
    make_primary: MakeServer,
) -> None:
    server = make_primary(17)
    before = digests(server)
    primary.day_of_changes(server)
    after = digests(server)
    assert set(after) - set(before) == {"public.announcements_1"}
    changed = {table for table in before if before[table] != after[table]}
    assert {
        "auth.users",
        "public.profiles",
        "public.tasks",
        "public.comments",
        "billing.invoices_eu_0",
    } <= changed
    assert {
        "public.organizations",
        "storage.objects",
        "public.activity_2026_01",
        "public.every_type",
    }.isdisjoint(changed)
    ((users, profiles, old_tasks, old_comments),) = server.execute(
        "SELECT (SELECT count(*) FROM auth.users), (SELECT count(*) FROM profiles),"
        " (SELECT count(*) FROM tasks WHERE id <= 9000),"
        " (SELECT count(*) FROM comments WHERE created_at < '2026-03-01')"
    )
    assert users == profiles == 2030
    assert old_tasks < 9000
    assert old_comments < COUNTS["public.comments"] - 30
    primary.day_of_changes(server, day=2)
    assert server.execute("SELECT count(*) FROM announcements_2") == [(12,)]


def test_the_scale_multiplies_the_rows(make_server: MakeServer) -> None:
    server = make_server(16)
    primary.create_primary(server, password="x", sample=True, rows_scale=0.05)
    assert server.execute("SELECT count(*) FROM public.tasks") == [(450,)]
    assert server.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'supabase_admin'") == [(True,)]


def test_the_password_never_stands_in_the_servers_log(make_server: MakeServer) -> None:
    server = make_server(15, superuser=primary.SUPERUSER, settings={"log_statement": "all"})
    primary.create_primary(server, password="canary-7f3a", sample=False)
    log = server.log.read_text()
    assert "ALTER ROLE" in log
    assert "canary-7f3a" not in log
