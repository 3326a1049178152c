"""What takes a primary of its own: refusals by name, and a mirror that follows its primary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supaneon_sync.errors import PrimaryError, Refused
from supaneon_sync.policy import names
from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents
from tests.fixtures import everything
from tests.tool import perform


@pytest.fixture
def world() -> Iterator[Sandbox]:
    """A sandbox whose primary is a fresh project."""
    with Sandbox(primary="empty") as sandbox:
        yield sandbox


def on_primary(sandbox: Sandbox, statements: str) -> list[tuple[Any, ...]]:
    assert sandbox.primary_server is not None
    return sandbox.primary_server.execute(statements, "postgres")


BASE_TYPE = """
CREATE TYPE public.odd;
CREATE FUNCTION public.odd_in(cstring) RETURNS public.odd LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION public.odd_out(public.odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE public.odd (INPUT = public.odd_in, OUTPUT = public.odd_out, LIKE = text);
"""


@pytest.mark.parametrize(("source", "target"), [(15, 17), (18, 18)])
def test_a_column_type_unknown_to_the_target_is_refused_by_name_and_the_mirror_is_left_as_it_is(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    world = make_sandbox(primary="empty", primary_major=source, major=target)
    on_primary(world, "CREATE TABLE public.fine (id integer); INSERT INTO public.fine VALUES (1)")
    first = perform(world, "backup").outputs["branch-name"]
    before = branch_contents(world, names.MIRROR)

    def refusal(**flags: str) -> str:
        with pytest.raises(Refused) as failure:
            perform(world, "backup", **flags)
        assert failure.value.exit_code == 7
        assert "give such a column another type" in failure.value.remedy
        assert "An extension that Neon does not offer" in failure.value.remedy
        assert {name for name in world.names() if name.startswith(("backup-", "staging-"))} == {first}
        assert branch_contents(world, names.MIRROR) == before
        return failure.value.message

    on_primary(
        world,
        "CREATE EXTENSION dblink SCHEMA extensions;"
        "CREATE TABLE public.needy (id integer, ok text, pair extensions.dblink_pkey_results)",
    )
    assert "table public.needy needs extension dblink (column pair)" in refusal()
    on_primary(
        world,
        f"DROP EXTENSION dblink CASCADE; {BASE_TYPE}"
        "CREATE TABLE public.holder (id integer, one public.odd, many public.odd[], ok text);"
        "INSERT INTO public.holder VALUES (1, 'x', '{a,b}')",
    )
    assert "table public.holder needs type public.odd (column many, one)" in refusal()
    assert "table public.holder needs type public.odd (column many, one)" in refusal(strategy="rebuild")


def test_a_target_that_holds_a_schema_auth_already_is_refused_and_left_as_it_is(world: Sandbox) -> None:
    world.execute("main", "CREATE SCHEMA auth; CREATE TABLE auth.jwks (id integer)")
    with pytest.raises(Refused, match="holds objects"):
        perform(world, "backup")
    assert world.execute(names.MIRROR, "SELECT count(*) FROM auth.jwks") == [(0,)]


def test_an_extension_that_nothing_needs_is_left_out_and_the_rest_is_copied(world: Sandbox) -> None:
    on_primary(world, "CREATE EXTENSION dblink SCHEMA extensions; CREATE TABLE public.free (id integer)")
    document = perform(world, "backup").report["manifest"]
    assert isinstance(document, dict)
    lines = {line["surface"]: line for line in document["coverage"]}
    assert lines["Extensions that the copy's server does not offer"]["names"] == ["extension dblink"]


def test_roles_of_the_mirror_follow_those_of_the_primary(world: Sandbox) -> None:
    on_primary(
        world,
        "CREATE ROLE one NOLOGIN; CREATE ROLE two NOLOGIN NOINHERIT IN ROLE one; CREATE ROLE three NOLOGIN;"
        "CREATE TABLE public.t (id integer); GRANT SELECT ON public.t TO one WITH GRANT OPTION",
    )
    perform(world, "backup")
    on_primary(
        world,
        "REVOKE one FROM two; GRANT two TO three; ALTER ROLE two INHERIT BYPASSRLS;"
        "REVOKE GRANT OPTION FOR SELECT ON public.t FROM one",
    )
    perform(world, "backup")
    query = "SELECT rolname, rolinherit, rolbypassrls FROM pg_roles WHERE rolname = 'two'"
    assert world.execute(names.MIRROR, query) == [("two", True, True)]
    query = """
        SELECT g.rolname, r.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        JOIN pg_roles r ON r.oid = m.member WHERE r.rolname IN ('one', 'two', 'three')
    """
    assert world.execute(names.MIRROR, query) == [("two", "three")]


def test_a_large_object_that_the_role_may_not_read_is_refused_with_the_grant_that_mends_it(
    world: Sandbox,
) -> None:
    on_primary(world, "SELECT lo_from_bytea(4711, 'the superuser''s')")
    with pytest.raises(PrimaryError) as failure:
        perform(world, "backup")
    assert "Large object 4711" in failure.value.message
    assert "GRANT SELECT ON LARGE OBJECT 4711" in failure.value.remedy
    on_primary(world, "GRANT SELECT ON LARGE OBJECT 4711 TO postgres")
    assert perform(world, "backup").verdict == "ok"


def test_a_search_path_of_the_users_own_is_the_one_that_the_copy_has(world: Sandbox) -> None:
    on_primary(
        world,
        'CREATE SCHEMA "odd Schema"; ALTER DATABASE postgres SET search_path = "odd Schema", public;'
        'CREATE FUNCTION "odd Schema".inner_rule(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$;'
        'CREATE FUNCTION "odd Schema".rule(text) RETURNS text LANGUAGE plpgsql IMMUTABLE'
        " AS $$ BEGIN RETURN inner_rule($1); END $$;"
        "CREATE TABLE public.t (v text); INSERT INTO public.t VALUES ('x');"
        'CREATE TABLE public.ruled (v text, CHECK ("odd Schema".rule(v) = v));',
    )
    on_primary(world, "SET search_path = \"odd Schema\", public; INSERT INTO public.ruled VALUES ('a')")
    assert perform(world, "backup").verdict == "ok"
    assert world.execute(names.MIRROR, "SELECT count(*) FROM public.ruled") == [(1,)]
    query = "SELECT array_to_string(setconfig, ',') FROM pg_db_role_setting WHERE setrole = 0"
    assert ('search_path="odd Schema", public',) in world.execute(names.MIRROR, query)


@pytest.mark.slow
def test_thousands_of_tables_are_carried_like_a_few(world: Sandbox) -> None:
    assert world.primary_server is not None
    everything.many_tables(world.primary_server, 2000)
    outcome = perform(world, "backup")
    assert outcome.verdict == "ok"
    assert int(outcome.outputs["tables"]) >= 2000
    query = (
        "SELECT count(*) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relname ~ '^t[0-9]+$'"
    )
    assert world.execute(names.MIRROR, query) == [(2000,)]
