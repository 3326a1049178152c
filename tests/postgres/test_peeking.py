"""Names of jobs and secrets are read only where nobody's code can run on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from supaneon_sync.postgres import inventory, peeking
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.peeking import Names
from supaneon_sync.postgres.session import Session, connect
from supaneon_sync.postgres.snapshot import export
from supaneon_sync.sandbox.server import Server
from supaneon_sync.secret import Secret
from tests.conftest import PRIMARY_PASSWORD, MakeServer

Peek = Callable[[str], Names]
SPY = """
CREATE TABLE public.spied (who text);
CREATE FUNCTION public.spy() RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'code of the owner ran as %', current_user; END $$;
"""


_READABLE = "GRANT USAGE ON SCHEMA cron TO postgres; GRANT SELECT ON ALL TABLES IN SCHEMA cron TO postgres"


@pytest.fixture(scope="module")
def server(primary_template: MakeServer, make_session_server: MakeServer) -> Iterator[Server]:
    """A primary without an application."""
    return make_session_server(17, copy_of=primary_template(17, False))


@pytest.fixture
def peek(server: Server) -> Iterator[Peek]:
    """A function: what is found once these statements have made a schema ``cron``."""

    def session() -> Session:
        options = {"sslmode": "prefer", "connect_timeout": "5"}
        secret = Secret(PRIMARY_PASSWORD)
        where = Conninfo("127.0.0.1", server.port, "postgres", "postgres", secret, options)
        return connect(where, Side.PRIMARY, purpose="test")

    def of(statements: str) -> Names:
        server.execute(f"CREATE SCHEMA cron; {statements}", "postgres")
        server.execute(_READABLE, "postgres")
        with session() as holder, session() as reader:
            taken = export(holder)
            return peeking.read(reader, taken, inventory.read(holder))

    try:
        yield of
    finally:
        server.execute("DROP SCHEMA cron CASCADE; DROP TABLE IF EXISTS public.spied CASCADE", "postgres")
        server.execute("DROP FUNCTION IF EXISTS public.spy() CASCADE", "postgres")


def test_jobs_are_named_with_their_schedule_and_nothing_of_what_they_do(peek: Peek) -> None:
    names = peek(
        "CREATE TABLE cron.job (jobname text, schedule text, command text);"
        r"INSERT INTO cron.job VALUES (E'tab\there', '@daily', 'canary'), (NULL, '* * * * *', 'canary')"
    )
    assert names.jobs == ("tab\there (@daily)", "without a name (* * * * *)")
    assert "canary" not in repr(names)


def test_without_such_tables_there_is_nothing_to_name(peek: Peek) -> None:
    assert peek("").jobs == ()


@pytest.mark.parametrize(
    "hostile",
    [
        "CREATE VIEW cron.job AS SELECT public.spy() AS jobname, 'x'::text AS schedule",
        "CREATE MATERIALIZED VIEW cron.job AS SELECT 'x'::text AS jobname",
        "CREATE TABLE cron.job (jobname text) PARTITION BY LIST (jobname)",
    ],
)
def test_what_is_no_plain_table_is_not_read_at_all(peek: Peek, hostile: str) -> None:
    assert peek(SPY + hostile).jobs == ()


def test_columns_of_types_that_somebody_made_are_not_read(peek: Peek) -> None:
    names = peek(
        "CREATE TYPE cron.trick AS (a text); CREATE TABLE cron.job (jobname cron.trick, schedule cron.trick);"
        "INSERT INTO cron.job VALUES (ROW('x'), ROW('y'))"
    )
    assert names.jobs is None


def test_row_security_hides_the_names_instead_of_running_its_functions(peek: Peek, server: Server) -> None:
    server.execute("ALTER ROLE postgres NOBYPASSRLS", "postgres")
    try:
        names = peek(
            SPY + "CREATE TABLE cron.job (jobname text, schedule text);"
            "INSERT INTO cron.job VALUES ('x', 'y'); ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY p ON cron.job USING (public.spy() = jobname); GRANT SELECT ON cron.job TO postgres"
        )
    finally:
        server.execute("ALTER ROLE postgres BYPASSRLS", "postgres")
    assert names.jobs is None


def test_an_index_whose_expression_is_the_owners_is_not_planned_over(peek: Peek) -> None:
    names = peek(
        "CREATE TABLE cron.job (jobname text, schedule text);"
        "CREATE FUNCTION public.spy() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
        " IF current_user = 'postgres' THEN RAISE EXCEPTION 'ran'; END IF; RETURN 'a'; END $$;"
        "INSERT INTO cron.job VALUES ('x', 'y');"
        "CREATE INDEX ON cron.job (jobname) WHERE public.spy() = 'a'; GRANT SELECT ON cron.job TO postgres"
    )
    assert names.jobs == ("x (y)",)
