"""A table's owner who lays traps: none of their code may run as the role that reads everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supaneon_sync.errors import PrimaryError
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.test_backup import at, backups, on_primary
from tests.tool import Watching, perform

MakeSandbox = Callable[..., Sandbox]

# The trap tells in the server's log who sprang it. Only SQL that the tool sends as its own role counts.
TRAP = """
CREATE ROLE mallory LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO mallory;
CREATE FUNCTION public.trap(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RAISE LOG 'TRAP % sprung by % (session %)', what, current_user, session_user;
  RETURN what;
END $$;
ALTER FUNCTION public.trap(text) OWNER TO mallory;
"""


@pytest.fixture
def trapped(make_sandbox: MakeSandbox) -> Sandbox:
    sandbox = make_sandbox(primary="empty")
    on_primary(sandbox, TRAP)
    return sandbox


def sprung(sandbox: Sandbox) -> list[str]:
    """What the tool's role sprang: the log lines that name `postgres` as the victim."""
    assert sandbox.primary_server is not None
    lines = sandbox.primary_server.log.read_text(errors="replace").splitlines()
    return [line for line in lines if "TRAP" in line and "sprung by postgres" in line]


def lay(sandbox: Sandbox, statements: str) -> None:
    assert sandbox.primary_server is not None
    with sandbox.primary_server.session("postgres", role="mallory") as session, session.cursor() as cursor:
        cursor.execute(statements)


def test_the_trap_itself_works(trapped: Sandbox) -> None:
    """Otherwise the tests below could not fail."""
    assert trapped.primary_server is not None
    lay(trapped, "CREATE VIEW public.bait AS SELECT public.trap('view') AS a")
    with trapped.primary_server.session("postgres", role="postgres") as session, session.cursor() as cursor:
        cursor.execute("SELECT * FROM public.bait")
    assert sprung(trapped)


def test_a_table_swapped_for_a_view_is_not_read(trapped: Sandbox) -> None:
    lay(trapped, "CREATE TABLE public.bait AS SELECT 'x'::text AS a")

    def swap() -> None:
        lay(trapped, "DROP TABLE public.bait; CREATE VIEW public.bait AS SELECT public.trap('swap') AS a")

    progress = at("Copy the rows", swap)
    perform(trapped, "backup", progress=progress)
    assert any("public.bait" in warning for warning in progress.warnings)
    assert not sprung(trapped)


def test_a_sequence_swapped_for_a_view_is_not_read(trapped: Sandbox) -> None:
    lay(trapped, "CREATE SEQUENCE public.bait; CREATE TABLE public.last_one AS SELECT 1 AS a")
    swapped: list[str] = []

    def advance(label: str) -> None:
        if not swapped:
            swapped.append(label)
            columns = "length(public.trap('sequence'))::bigint AS last_value, true AS is_called"
            lay(trapped, f"DROP SEQUENCE public.bait; CREATE VIEW public.bait AS SELECT {columns}")

    class Swapping(Watching):
        def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
            advance(label)

    progress = Swapping()
    perform(trapped, "backup", progress=progress)
    assert swapped
    assert any("public.bait" in warning for warning in progress.warnings)
    assert not sprung(trapped)


def test_casts_on_row_types_and_enums_are_not_used(trapped: Sandbox) -> None:
    lay(
        trapped,
        """
        CREATE TYPE public.mood AS ENUM ('ok', 'bad');
        CREATE TABLE public.bait (a int, m public.mood, d text);
        INSERT INTO public.bait VALUES (1, 'ok', 'x');
        CREATE FUNCTION public.as_text(public.bait) RETURNS text LANGUAGE sql
          AS $$SELECT public.trap('row')$$;
        CREATE CAST (public.bait AS text) WITH FUNCTION public.as_text(public.bait) AS IMPLICIT;
        CREATE FUNCTION public.as_text(public.mood) RETURNS text LANGUAGE sql
          AS $$SELECT public.trap('enum')$$;
        CREATE CAST (public.mood AS text) WITH FUNCTION public.as_text(public.mood) AS IMPLICIT;
        CREATE TABLE public.holder (whole public.bait, moods public.mood[]);
        INSERT INTO public.holder VALUES (ROW(1, 'ok', 'y'), ARRAY['bad']::public.mood[]);
        """,
    )
    perform(trapped, "backup")
    assert not sprung(trapped)


def test_functions_in_checks_indexes_defaults_and_policies_are_not_run(trapped: Sandbox) -> None:
    lay(
        trapped,
        """
        CREATE TABLE public.bait (
          a text CHECK (public.trap(a) IS NOT NULL), b text DEFAULT public.trap('default'),
          c text GENERATED ALWAYS AS (public.trap(a)) STORED);
        INSERT INTO public.bait (a) VALUES ('x');
        CREATE INDEX ON public.bait (public.trap(a));
        CREATE INDEX ON public.bait (a) WHERE public.trap(a) = 'x';
        CREATE STATISTICS public.bait_stats ON public.trap(a), a FROM public.bait;
        ALTER TABLE public.bait ENABLE ROW LEVEL SECURITY;
        ALTER TABLE public.bait FORCE ROW LEVEL SECURITY;
        CREATE POLICY bait_policy ON public.bait USING (public.trap(a) IS NOT NULL);
        CREATE RULE bait_rule AS ON UPDATE TO public.bait DO ALSO SELECT public.trap('rule');
        """,
    )
    perform(trapped, "backup")
    assert not sprung(trapped)


def test_constant_calls_in_index_expressions_are_not_folded_as_our_role(trapped: Sandbox) -> None:
    """Planning a query folds immutable calls with constant arguments in the table's indexes and checks."""
    lay(
        trapped,
        """
        CREATE TABLE public.bait (a text);
        INSERT INTO public.bait VALUES ('x');
        CREATE INDEX ON public.bait ((a || public.trap('index')));
        CREATE INDEX ON public.bait (a) WHERE public.trap('predicate') = 'predicate';
        CREATE STATISTICS public.bait_stats ON (a || public.trap('statistics')), a FROM public.bait;
        """,
    )
    perform(trapped, "backup")
    assert not sprung(trapped)


def test_partition_bounds_and_keys_of_a_hostile_owner_are_not_run(trapped: Sandbox) -> None:
    lay(
        trapped,
        """
        CREATE TABLE public.bait (a text) PARTITION BY LIST (public.trap(a));
        CREATE TABLE public.bait_x PARTITION OF public.bait FOR VALUES IN ('x');
        INSERT INTO public.bait VALUES ('x');
        CREATE MATERIALIZED VIEW public.bait_view AS SELECT public.trap('matview') AS a;
        """,
    )
    perform(trapped, "backup")
    assert not sprung(trapped)


def test_a_role_that_row_security_would_blind_is_told_and_copies_nothing(trapped: Sandbox) -> None:
    on_primary(
        trapped,
        "CREATE TABLE public.rows AS SELECT 1 AS a; ALTER TABLE public.rows ENABLE ROW LEVEL SECURITY;"
        "CREATE ROLE blind LOGIN PASSWORD 'blind-blind'; GRANT pg_read_all_data TO blind",
    )
    url = trapped.primary_url.replace("postgres:" + trapped.primary_password, "blind:blind-blind")
    with pytest.raises(PrimaryError) as failure:
        perform(trapped, "backup", environment={"SUPABASE_DATABASE_URL": url})
    assert "row-level security" in str(failure.value)
    assert not backups(trapped)
