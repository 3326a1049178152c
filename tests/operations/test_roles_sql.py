"""The SQL for the two roles, run by who is to run it; then the doctor agrees, or says what is left."""

from __future__ import annotations

import os
import subprocess

import psycopg2
import pytest

from supaneon_sync.operations.roles_sql import roles_sql
from supaneon_sync.policy import names, role_scripts
from supaneon_sync.report import terminal
from supaneon_sync.sandbox.server import Server
from tests.conftest import MakeServer
from tests.operations.examined import PASSWORD, Checkup, a_run, checked, settings_of, url
from tests.sandbox_fixtures import MakeSandbox
from tests.tool import perform


def psql(server: Server, script: str, role: str, database: str = "postgres") -> tuple[str, str]:
    """Feed a script to psql as somebody would; return what came out, and what it warned of."""
    done = subprocess.run(
        [
            str(server.binaries.tool("psql")),
            *("-X", "--no-password", "-v", "ON_ERROR_STOP=1", "-h", str(server.sockets)),
            *("-p", str(server.port), "-U", role, "-d", database),
        ],
        input=script,
        capture_output=True,
        text=True,
        env={**server.binaries.environment(), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def printed(environment: dict[str, str], **flags: object) -> str:
    """The text that a terminal shows, whole."""
    return terminal.render(roles_sql(settings_of("roles-sql", environment, **flags), a_run()))


def seen_as_backup_user(server: Server) -> Checkup:
    server.execute(f"ALTER ROLE backup_user PASSWORD '{PASSWORD}'")
    return checked(primary=url(server, "backup_user"))


def as_hosted(server: Server) -> Server:
    """A server as Supabase hosts it from 17 on: `postgres` holds pg_read_all_data with ADMIN OPTION."""
    server.execute("GRANT pg_read_all_data TO postgres WITH ADMIN OPTION")
    return server


@pytest.fixture
def hosted_17(make_primary: MakeServer) -> Server:
    return as_hosted(make_primary(17))


@pytest.mark.parametrize("major", [17, 18])
def test_run_by_postgres_it_makes_every_check_green(make_primary: MakeServer, major: int) -> None:
    server = as_hosted(make_primary(major))
    with server.session(role="postgres") as session, session.cursor() as cursor:
        cursor.execute("SELECT lo_from_bytea(424242, 'a')")
    out, warned = psql(server, printed({}, side="primary"), "postgres")
    assert "(0 rows)" in out
    assert warned == ""
    assert seen_as_backup_user(server).primary_failures == []


def test_it_can_be_run_again(hosted_17: Server) -> None:
    script = printed({}, side="primary")
    psql(hosted_17, script, "postgres")
    out, warned = psql(hosted_17, script, "postgres")
    assert "(0 rows)" in out
    assert warned == ""


def test_tables_made_later_are_read_as_well(hosted_17: Server) -> None:
    psql(hosted_17, printed({}, side="primary"), "postgres")
    hosted_17.execute("CREATE SCHEMA later; CREATE TABLE later.t (id serial)")
    assert seen_as_backup_user(hosted_17).primary_failures == []


def test_on_15_it_says_what_only_a_superuser_can_give_and_the_superuser_gives_it(
    make_primary: MakeServer,
) -> None:
    server = make_primary(15)
    script = printed({}, side="primary")
    out, warned = psql(server, script, "postgres")
    assert "did not get BYPASSRLS" in warned
    assert "rows of public.tasks (row security)" in out
    assert seen_as_backup_user(server).primary_failures == ["primary: row security"]
    psql(server, script, "supabase_admin")
    assert seen_as_backup_user(server).primary_failures == []


def test_where_postgres_may_not_grant_it_the_script_lists_what_is_left(make_primary: MakeServer) -> None:
    server = make_primary(17)
    out, warned = psql(server, printed({}, side="primary"), "postgres")
    assert "did not get pg_read_all_data" in warned
    assert "schema auth" in out
    assert "auth.users" in out
    checkup = seen_as_backup_user(server)
    assert checkup.primary_failures == ["primary: rights"]
    assert not any("public." in line for line in checkup["primary: rights"]["details"])


def test_the_runbooks_grants_alone_are_not_enough_and_the_doctor_says_so(make_primary: MakeServer) -> None:
    server = make_primary(17)
    with server.session(role="postgres") as session, session.cursor() as cursor:
        cursor.execute(
            """CREATE ROLE backup_user WITH LOGIN; GRANT CONNECT ON DATABASE postgres TO backup_user;
            GRANT USAGE ON SCHEMA public TO backup_user;
            GRANT SELECT ON ALL TABLES IN SCHEMA public TO backup_user;
            GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO backup_user;
            ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO backup_user"""
        )
    assert seen_as_backup_user(server).primary_failures == ["primary: rights", "primary: row security"]


@pytest.mark.parametrize("major", [15, 18])
def test_the_words_are_those_of_the_version_at_hand(make_primary: MakeServer, major: int) -> None:
    server = make_primary(major, sample=False)
    server.execute(f"CREATE ROLE looker LOGIN PASSWORD '{PASSWORD}'")
    script = printed({"SUPABASE_DATABASE_URL": url(server, "looker")}, side="primary", insecure_loopback=True)
    assert f"(PostgreSQL {major})" in script
    assert ("Up to PostgreSQL 15" in script) == (major == 15)
    assert ("PRIVILEGES GRANT SELECT ON LARGE OBJECTS" in script) == (major == 18)
    assert PASSWORD not in script


def test_a_server_that_is_not_reached_costs_nothing_but_precision() -> None:
    environment = {
        "SUPABASE_DATABASE_URL": "postgresql://a:canary-c4f1@127.0.0.1:1/postgres",
        "NEON_API_KEY": "napi_canary-c4f1",
        "NEON_API_HOST": "http://127.0.0.1:9/api/v2",
    }
    script = printed(environment)
    assert "Up to PostgreSQL 15" in script
    assert "From PostgreSQL 16 on" in script
    assert "backup_user" in script
    assert "restore_user" in script
    assert "canary-c4f1" not in script


@pytest.mark.parametrize("major", [15, 17])
def test_restore_user_comes_as_far_as_the_version_lets_it(make_sandbox: MakeSandbox, major: int) -> None:
    sandbox = make_sandbox(major=major)
    server = sandbox.plane.clusters.server(sandbox.branch("main").id)
    sandbox.execute(
        "main", "SET ROLE neondb_owner; CREATE TABLE public.t (id int); INSERT INTO t VALUES (1)", "neondb"
    )
    script = printed(sandbox.environment, side="neon")
    for _ in range(2):
        _, warned = psql(server, script, "neondb_owner", "neondb")
        assert ("not a member of the owner" in warned) == (major >= 16)
    sandbox.execute("main", f"ALTER ROLE restore_user PASSWORD '{PASSWORD}'")
    with server.session("neondb", role="restore_user") as session, session.cursor() as cursor:
        cursor.execute("SELECT id FROM public.t")
        assert cursor.fetchall() == [(1,)]
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("CREATE DATABASE mine")
    found = checked(
        sandbox=sandbox,
        environment={
            "NEON_DB_USER": "restore_user",
            "NEON_DB_PASSWORD": PASSWORD,
            "NEON_DATABASE": "the_copy",  # neondb holds what this test made
        },
    )
    assert found.status("Neon: compute and password") == "ok"
    assert "CREATEDB and CREATEROLE" in found["Neon: role"]["evidence"]
    assert "list and resolve work" in found["Neon: role"]["remedy"]


def test_no_part_of_the_sql_holds_a_password() -> None:
    for major in (None, 15, 16, 17, 18):
        for script in (role_scripts.backup_user(major), role_scripts.restore_user(major)):
            passwords = [line for line in script.splitlines() if "PASSWORD '" in line]
            assert passwords
            assert all(line.startswith("--") and "'…'" in line for line in passwords)


def test_restore_user_lists_and_resolves_once_it_may_read_the_manifests(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(major=17, primary="empty")
    perform(sandbox, "backup")
    owner = sandbox.plane.clusters.server(sandbox.branch(names.MIRROR).id)
    psql(owner, printed(sandbox.environment, side="neon"), "neondb_owner", "neondb")
    sandbox.execute(names.MIRROR, f"ALTER ROLE restore_user PASSWORD '{PASSWORD}'")
    moved = checked(sandbox=sandbox, environment={"NEON_DATABASE": "the_copy"})
    assert "NEON_DATABASE=neondb" in moved["Neon: compute and password"]["remedy"]
    assert moved.outcome.exit_code == 7
    as_restore_user = {"NEON_DB_USER": "restore_user", "NEON_DB_PASSWORD": PASSWORD}
    found = checked(sandbox=sandbox, environment=as_restore_user)["Neon: role"]
    assert "once this was run in database supaneon" in found["remedy"]
    psql(owner, "\n".join(found["sql"]), "neondb_owner", "supaneon")
    found = checked(sandbox=sandbox, environment=as_restore_user)["Neon: role"]
    assert "list and resolve work with the role as it is" in found["remedy"]
    perform(sandbox, "backup")
    assert perform(sandbox, "list", environment=as_restore_user).exit_code == 0
    resolved = perform(sandbox, "resolve", environment=as_restore_user)
    assert resolved.outputs["role"] == "restore_user"
    assert resolved.secrets["connection-uri"].reveal().startswith("postgresql://restore_user:")
