"""The doctor on broken set-ups, one a test, on real servers: what it says, and that its remedy is one."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from supaneon_sync.operations.doctor import CHECKS
from supaneon_sync.policy.findings import Status
from supaneon_sync.report import document, terminal
from supaneon_sync.sandbox.server import Server, free_port
from supaneon_sync.sandbox.testing import Sandbox
from tests.conftest import MakeServer
from tests.operations.examined import PASSWORD, Checkup, checked, make_role, pooler, url
from tests.sandbox_fixtures import MakeSandbox
from tests.workflows.rules import ROOT

READS_ALL = "BYPASSRLS IN ROLE pg_read_all_data"


@pytest.fixture(scope="module")
def patient(make_session_server: MakeServer, primary_template: MakeServer) -> Iterator[Server]:
    """A Supabase-shaped primary of 17 for this module; each test brings its own role."""
    server = make_session_server(17, copy_of=primary_template(17, True))
    yield server
    server.stop("immediate")


def apply(server: Server, checkup: Checkup, check: str, role: str) -> None:
    """Run the SQL of a finding's remedy as the role that is to run it."""
    with server.session(role=role) as session, session.cursor() as cursor:
        for statement in checkup[check]["sql"]:
            cursor.execute(statement)


# --- the whole ------------------------------------------------------------------------------------------


def test_a_sound_set_up_passes_every_check_quickly(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="sample", plan="free")
    began = time.monotonic()
    checkup = checked(sandbox=sandbox)
    assert time.monotonic() - began < 3
    assert checkup.failing == []
    assert checkup.outcome.exit_code == 0
    assert checkup.status("primary: TLS") == "ok"
    assert checkup.outcome.outputs["checks-failed"] == "0"


def test_no_secret_is_in_what_it_says(patient: Server, sandbox: Sandbox) -> None:
    address = make_role(patient, "quiet", "CONNECTION LIMIT 3")
    closed = address.replace(f":{patient.port}/", f":{free_port()}/")
    wrong = address.replace("canary-c4f1", "canary-c4f1-wrong")
    for given, flags in ((address, {}), (address, {"jobs": 1}), (closed, {}), (wrong, {})):
        checkup = checked(primary=given, sandbox=sandbox, **flags)
        said = document.text(document.of_outcome(checkup.outcome, {})) + terminal.render(checkup.outcome)
        for secret in (PASSWORD, address, sandbox.key, "canary-c4f1"):
            assert secret not in said


def test_without_a_primary_its_checks_are_skipped_and_nothing_fails(sandbox: Sandbox) -> None:
    checkup = checked(sandbox=sandbox)
    assert checkup.failing == []
    assert checkup.status("primary: rights") == "skipped"
    assert "only backup needs it" in checkup["primary: reachable"]["evidence"]
    assert checkup.status("Neon: compute and password") == "ok"


def test_offline_it_lists_the_client_programs_and_touches_no_network(tmp_path: Path) -> None:
    checkup = checked(
        primary="postgresql://a:b@db.invalid:5432/postgres",
        environment={"NEON_API_KEY": "napi_none", "NEON_API_HOST": "https://neon.invalid/api/v2"},
        offline=True,
    )
    assert [one["check"] for one in checkup.outcome.report["checks"]] == ["settings", "client programs"]  # type: ignore[attr-defined]
    assert "pg_dump 1" in checkup["client programs"]["evidence"]


def test_the_report_is_json_and_names_every_object(patient: Server) -> None:
    address = make_role(patient, "blind")
    report = json.loads(document.text(document.of_outcome(checked(primary=address).outcome, {})))
    rights = next(one for one in report["report"]["checks"] if one["check"] == "primary: rights")
    assert "table auth.users, owned by supabase_auth_admin" in rights["details"]
    assert "table billing.invoices_2026, owned by postgres" in rights["details"] or any(
        "billing." in line for line in rights["details"]
    )


# --- the primary's door ---------------------------------------------------------------------------------


def test_the_transaction_poolers_port_is_refused_as_a_setting(patient: Server) -> None:
    checkup = checked(primary=f"postgresql://a:{'x'}@127.0.0.1:6543/postgres?sslmode=require")
    found = checkup["primary: connection string"]
    assert found["status"] == "failed"
    assert "session pooler" in found["remedy"]
    assert checkup.outcome.exit_code == 2


def test_a_transaction_pooler_on_another_port_is_found_live(
    patient: Server, server_directory: Path, tmp_path: Path
) -> None:
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    make_role(patient, "pooled", READS_ALL)
    port = free_port()
    directory = server_directory / "pgbouncer"
    directory.mkdir()
    with pooler(Path(program), patient, directory, port):
        checkup = checked(primary=url(patient, "pooled", port=port))
    found = checkup["primary: session mode"]
    assert found["status"] == "failed"
    assert "one backend" in found["evidence"]
    assert "port 5432" in found["remedy"]
    assert checkup.outcome.exit_code == 3
    assert checked(primary=url(patient, "pooled")).status("primary: session mode") == "ok"


def test_a_wrong_password_is_told_with_its_remedy(patient: Server) -> None:
    make_role(patient, "forgetful", READS_ALL)
    address = url(patient, "forgetful").replace("canary", "wrong")
    found = checked(primary=address)["primary: reachable"]
    assert found["failure-kind"] == "primary"
    assert "password" in found["evidence"]
    assert "secret" in found["remedy"]


def test_nothing_that_listens_is_a_primary_out_of_reach() -> None:
    checkup = checked(
        primary=f"postgresql://a:b@127.0.0.1:{free_port()}/postgres?sslmode=disable",
        environment={"NEON_API_KEY": ""},
    )
    assert checkup.status("primary: reachable") == "failed"
    assert "project is running" in checkup["primary: reachable"]["remedy"]


def test_an_address_that_github_cannot_reach_is_named_even_where_it_can_be_reached_from_here() -> None:
    checkup = checked(
        primary="postgresql://a:b@[2001:db8::1]:5432/postgres?sslmode=require&connect_timeout=2"
    )
    found = checkup["primary: address"]
    assert found["status"] == "warning"
    assert "IPv6" in found["evidence"]
    assert "session pooler" in found["remedy"]
    assert checkup.status("primary: reachable") == "failed"


def test_an_unverified_certificate_is_a_warning_that_names_the_setting(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty")
    found = checked(sandbox=sandbox, primary=sandbox.primary_url)["primary: TLS"]
    assert found["status"] == "warning"
    assert "SUPABASE_CA_FILE" in found["remedy"]
    cured = checked(sandbox=sandbox)["primary: TLS"]
    assert cured["status"] == "ok"


def test_too_few_connections_are_counted_and_the_fitting_number_of_jobs_is_named(patient: Server) -> None:
    address = make_role(patient, "narrow", f"CONNECTION LIMIT 4 {READS_ALL}")
    checkup = checked(primary=address)
    found = checkup["primary: connections"]
    assert found["status"] == "failed"
    assert "4 of 6 sessions" in found["evidence"]
    assert "--jobs 2" in found["remedy"]
    assert checked(primary=address, jobs=2).status("primary: connections") == "ok"
    apply(patient, checkup, "primary: connections", "supabase_admin")
    assert checked(primary=address).status("primary: connections") == "ok"


def test_a_replica_is_named(make_server: MakeServer, patient: Server, server_directory: Path) -> None:
    address = make_role(patient, "at_replica", READS_ALL)
    replica = patient.copy_to(server_directory / "replica" / "data", free_port())
    (replica.data / "standby.signal").touch()
    try:
        replica.start()
        checkup = checked(primary=address.replace(f":{patient.port}/", f":{replica.port}/"))
    finally:
        replica.stop("immediate")
        shutil.rmtree(replica.data.parent)
    found = checkup["primary: not a replica"]
    assert found["status"] == "warning"
    assert "replica" in found["evidence"]
    assert "SUPABASE_DATABASE_URL" in found["remedy"]
    assert checkup.status("primary: rights") == "ok"


def test_a_database_in_read_only_mode_is_named(patient: Server) -> None:
    address = make_role(patient, "full", READS_ALL)
    patient.execute("ALTER ROLE full SET default_transaction_read_only = on")
    found = checked(primary=address)["primary: not a replica"]
    assert found["status"] == "warning"
    assert "disk" in found["remedy"]


def test_a_password_that_ends_soon_is_named(patient: Server) -> None:
    address = make_role(patient, "leaving", READS_ALL)
    patient.execute("ALTER ROLE leaving VALID UNTIL 'tomorrow'")
    checkup = checked(primary=address)
    assert checkup.status("primary: role") == "warning"
    apply(patient, checkup, "primary: role", "supabase_admin")
    assert checked(primary=address).status("primary: role") == "ok"


def test_time_limits_of_the_role_are_told_and_do_not_hold_our_sessions(patient: Server) -> None:
    address = make_role(patient, "hurried", READS_ALL)
    patient.execute(
        "ALTER ROLE hurried SET statement_timeout = '2s'; ALTER ROLE hurried SET transaction_timeout = '9s'"
    )
    found = checked(primary=address)["primary: time limits"]
    assert found["status"] == "ok"
    assert "statement_timeout 2 s" in found["evidence"]
    assert "transaction_timeout 9 s" in found["evidence"]


def test_another_encoding_than_utf8_is_refused(make_server: MakeServer) -> None:
    server = make_server(17, superuser="postgres")
    server.execute("CREATE ROLE reader LOGIN SUPERUSER PASSWORD '" + PASSWORD + "'")
    server.execute("CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    address = url(server, "reader").replace("/postgres?", "/old?")
    found = checked(primary=address)["primary: encoding"]
    assert found["status"] == "failed"
    assert "LATIN1" in found["evidence"]
    assert "UTF8" in found["remedy"]


# --- what the role may read -----------------------------------------------------------------------------


def test_a_role_that_lacks_one_table_is_told_the_grant_that_gives_it(patient: Server) -> None:
    address = make_role(patient, "nearly", "BYPASSRLS")
    patient.execute(
        'CREATE SCHEMA "odd ""schema"; CREATE TABLE "odd ""schema"."tab\nle; --" (id int);'
        ' ALTER SCHEMA "odd ""schema" OWNER TO postgres;'
        ' ALTER TABLE "odd ""schema"."tab\nle; --" OWNER TO postgres;'
        ' GRANT USAGE ON SCHEMA "odd ""schema" TO nearly'
    )
    grant_all_but(patient, "nearly", 'odd "schema')
    checkup = checked(primary=address)
    found = checkup["primary: rights"]
    assert found["status"] == "failed"
    assert "1 table without SELECT" in found["evidence"]
    assert len(found["sql"]) == 1
    assert "postgres" in found["remedy"]
    assert checkup.outcome.script.endswith(found["sql"][0])
    apply(patient, checkup, "primary: rights", "postgres")
    assert checked(primary=address).status("primary: rights") == "ok"
    patient.execute('DROP SCHEMA "odd ""schema" CASCADE')


def test_what_is_not_asked_for_need_not_be_readable(patient: Server) -> None:
    address = make_role(patient, "aside_reader", "BYPASSRLS")
    patient.execute("CREATE SCHEMA aside; CREATE TABLE aside.unread (id int)")
    grant_all_but(patient, "aside_reader", "aside")
    assert checked(primary=address).status("primary: rights") == "failed"
    assert checked(primary=address, exclude_schemas="aside").status("primary: rights") == "ok"
    patient.execute("DROP SCHEMA aside CASCADE")


def grant_all_but(server: Server, role: str, left_out: str) -> None:
    """Give SELECT on everything outside one schema, object by object, as a careful person would."""
    ((statements,),) = server.execute(
        f"""SELECT string_agg(format('GRANT USAGE ON SCHEMA %I TO {role};'
                   'GRANT SELECT ON ALL TABLES IN SCHEMA %I TO {role};'
                   'GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO {role}', nspname, nspname, nspname), ';')
            FROM pg_namespace
            WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '{left_out}')"""
    )
    server.execute(statements)


def test_a_grant_that_only_warned_is_recognised_and_the_one_that_works_is_named(patient: Server) -> None:
    address = make_role(patient, "hopeful", "BYPASSRLS")
    grant_all_but(patient, "hopeful", "auth")
    with patient.session(role="postgres") as session, session.cursor() as cursor:
        cursor.execute("GRANT USAGE ON SCHEMA auth TO hopeful")  # succeeds, and changes nothing
        assert any("no privileges were granted" in notice for notice in session.notices)
    checkup = checked(primary=address)
    found = checkup["primary: rights"]
    assert found["status"] == "failed"
    assert "auth.users" in str(found["details"])
    assert "no privileges were granted" in found["remedy"]
    assert found["sql"] == ["GRANT pg_read_all_data TO hopeful;"]
    assert "superuser" in found["remedy"]  # this postgres has no ADMIN OPTION on pg_read_all_data
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        apply(patient, checkup, "primary: rights", "postgres")
    apply(patient, checkup, "primary: rights", "supabase_admin")
    assert checked(primary=address).status("primary: rights") == "ok"


def test_where_postgres_may_grant_it_the_remedy_says_so(make_primary: MakeServer) -> None:
    server = make_primary(15)
    address = make_role(server, "hopeful", "BYPASSRLS")
    checkup = checked(primary=address)
    assert checkup["primary: rights"]["remedy"].endswith("as postgres.")
    apply(server, checkup, "primary: rights", "postgres")
    assert checked(primary=address).primary_failures == []


def test_row_security_that_hides_rows_is_found_and_cured(patient: Server) -> None:
    address = make_role(patient, "held_back", "IN ROLE pg_read_all_data")
    checkup = checked(primary=address)
    found = checkup["primary: row security"]
    assert found["status"] == "failed"
    assert "public.tasks" in found["details"]
    assert found["sql"] == ["ALTER ROLE held_back BYPASSRLS;"]
    assert "ADMIN OPTION" in found["remedy"]  # a role that a superuser made is not postgres' to alter
    apply(patient, checkup, "primary: row security", "supabase_admin")
    assert checked(primary=address).primary_failures == []


def test_on_15_only_a_superuser_gives_bypassrls_and_the_remedy_says_so(make_primary: MakeServer) -> None:
    server = make_primary(15)
    address = make_role(server, "held_back", "IN ROLE pg_read_all_data")
    found = checked(primary=address)["primary: row security"]
    assert "On PostgreSQL 15 only a superuser" in found["remedy"]


def test_large_objects_out_of_reach_are_named_with_their_grants(patient: Server) -> None:
    address = make_role(patient, "small", READS_ALL)
    with patient.session(role="postgres") as session, session.cursor() as cursor:
        cursor.execute("SELECT lo_from_bytea(424242, 'a')")
    try:
        checkup = checked(primary=address)
        found = checkup["primary: large objects"]
        assert found["status"] == "failed"
        assert found["sql"] == ["GRANT SELECT ON LARGE OBJECT 424242 TO small;"]
        apply(patient, checkup, "primary: large objects", "postgres")
        assert checked(primary=address).status("primary: large objects") == "ok"
    finally:
        patient.execute("SELECT lo_unlink(424242)")


def test_the_doctor_reads_no_row_and_runs_nobodys_code(patient: Server) -> None:
    address = make_role(patient, "careful", READS_ALL)
    patient.execute("CREATE ROLE mallory; GRANT CREATE ON SCHEMA public TO mallory")
    try:
        patient.execute(
            "SET ROLE mallory; CREATE FUNCTION public.boom() RETURNS int LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'ran'; END $$;"
            "CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS 'SELECT public.boom()';"
            "CREATE FUNCTION public.pg_has_role(oid, text) RETURNS boolean LANGUAGE sql AS"
            " 'SELECT public.boom() = 1';"
            "CREATE TABLE public.trap (a int); ALTER TABLE public.trap ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY trap ON public.trap USING (public.boom() = 1)"
        )
        with patient.session(role="supabase_admin") as session, session.cursor() as cursor:
            cursor.execute(
                "BEGIN; DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT c.oid FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
                " AND n.nspname !~ '^(pg_|information_schema)' LOOP"
                " EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', t); END LOOP; END $$"
            )  # whoever opens one of them now waits for ever
            checkup = checked(primary=address)
            cursor.execute("ROLLBACK")
        assert checkup.primary_failures == []
    finally:
        patient.execute("RESET ROLE; DROP OWNED BY mallory; DROP ROLE mallory")


# --- what others do there, and what is in it ------------------------------------------------------------


def test_a_table_that_a_migration_holds_locked_is_named(patient: Server) -> None:
    address = make_role(patient, "waiting", READS_ALL)
    with patient.session(role="supabase_admin") as session, session.cursor() as cursor:
        cursor.execute("BEGIN; ALTER TABLE public.tasks ADD COLUMN soon int")
        blocked = threading.Thread(target=_try_to_read, args=(patient,))
        blocked.start()
        _until(lambda: patient.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0] == 1)
        found = checked(primary=address)["primary: locks and long transactions"]
        cursor.execute("ROLLBACK")
        blocked.join()
    assert found["status"] == "warning"
    assert "public.tasks" in found["evidence"]
    assert "1 session waiting" in found["evidence"]
    assert "--lock-wait" in found["remedy"]
    assert checked(primary=address).status("primary: locks and long transactions") == "ok"


def _try_to_read(server: Server) -> None:
    server.execute("SELECT count(*) FROM public.tasks WHERE false")


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_will_not_work_on_the_copy_is_named(make_primary: MakeServer, sandbox: Sandbox) -> None:
    server = make_primary(17)
    address = make_role(server, "curious", READS_ALL)
    server.execute(
        """
        CREATE SCHEMA net; CREATE FUNCTION net.http_post(url text) RETURNS bigint LANGUAGE sql AS 'SELECT 1';
        CREATE SCHEMA supabase_functions;
        CREATE FUNCTION supabase_functions.http_request() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER "tell them" AFTER INSERT ON public.tasks FOR EACH ROW
          EXECUTE FUNCTION supabase_functions.http_request('https://example.invalid', 'POST',
                                                           '{"Authorization":"Bearer canary-c4f1"}');
        CREATE FUNCTION public.notify_hook() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM net.http_post('https://planet.org/?x=canary-c4f1'); RETURN NEW; END $$;
        CREATE TRIGGER notify AFTER UPDATE ON public.comments FOR EACH ROW
          EXECUTE FUNCTION public.notify_hook();
        CREATE FUNCTION public.innocent() RETURNS text LANGUAGE sql AS $$ SELECT 'see planet.org, x.net.y' $$;
        CREATE FUNCTION public.helper(t text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower(t)';
        CREATE FUNCTION public.slugged(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
          $$ BEGIN RETURN helper(t); END $$;
        ALTER TABLE public.tasks ADD CONSTRAINT slug CHECK (public.slugged(title) IS NOT NULL);
        CREATE FUNCTION public.fixed(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql
          SET search_path = public AS $$ BEGIN RETURN helper(t); END $$;
        CREATE INDEX tasks_fixed ON public.tasks (public.fixed(title));
        CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
        CREATE EVENT TRIGGER my_watch ON ddl_command_end EXECUTE FUNCTION public.watch();
        CREATE PUBLICATION to_the_warehouse FOR TABLE public.tasks;
        """
    )
    checkup = checked(primary=address, sandbox=sandbox)
    assert '"tell them" on public.tasks' in checkup["copy: triggers"]["evidence"]
    functions = checkup["copy: functions"]
    assert functions["details"] == ["public.notify_hook: net"]
    assert "writes to public.comments fail" in functions["evidence"]
    path = checkup["copy: search_path"]
    assert path["sql"] == ["ALTER FUNCTION public.slugged(t text) SET search_path = public, extensions;"]
    assert "names helper" in path["evidence"]
    unmoved = checkup["copy: what stays behind"]["details"]
    assert unmoved == ["event trigger my_watch", "publication to_the_warehouse"]
    assert "canary-c4f1" not in document.text(document.of_outcome(checkup.outcome, {}))
    apply(server, checkup, "copy: search_path", "supabase_admin")
    assert checked(primary=address, sandbox=sandbox).status("copy: search_path") == "ok"


def test_an_extension_that_a_column_needs_and_the_target_lacks_stops_it(
    make_primary: MakeServer, sandbox: Sandbox
) -> None:
    server = make_primary(17)
    address = make_role(server, "curious", READS_ALL)
    server.execute("CREATE EXTENSION hstore SCHEMA extensions; CREATE EXTENSION isn SCHEMA extensions")
    sandbox.execute(
        "main",
        "ALTER DATABASE postgres SET neon.allowed_extensions ="
        " 'pgcrypto,citext,pg_trgm,btree_gist,pg_stat_statements,plpgsql'",
    )
    checkup = checked(primary=address, sandbox=sandbox)
    found = checkup["copy: extensions"]
    assert found["status"] == "warning"
    assert "hstore, isn" in found["evidence"]
    server.execute("CREATE TABLE public.bags (id int, things extensions.hstore[])")
    checkup = checked(primary=address, sandbox=sandbox)
    found = checkup["copy: extensions"]
    assert found["status"] == "failed"
    assert found["failure-kind"] == "refused"
    assert "hstore: column things of table public.bags" in found["details"]
    assert "isn" not in found["evidence"]
    assert checkup.outcome.exit_code == 7


def test_a_target_older_than_the_primary_is_refused(
    make_primary: MakeServer, make_sandbox: MakeSandbox
) -> None:
    address = make_role(make_primary(17, sample=False), "curious", READS_ALL)
    older = make_sandbox(major=15)
    checkup = checked(primary=address, sandbox=older)
    found = checkup["copy: major versions"]
    assert found["status"] == "failed"
    assert "PostgreSQL 17 or newer" in found["remedy"]
    assert checkup.outcome.exit_code == 7


def test_every_check_is_explained_in_the_doctors_page() -> None:
    page = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert [name for name in explained if name not in {status.value for status in Status}] == [
        check.name for check in CHECKS
    ]
