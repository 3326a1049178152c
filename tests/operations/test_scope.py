"""A part of the primary as a backup: the runbook's narrow role, schemas left out, rows left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from supaneon_sync.errors import ConfigError, PrimaryError, Refused
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents, primary_contents
from tests.tool import perform

PASSWORD = "the-narrow-role-0123"
APPLICATION = """
CREATE SCHEMA private;
CREATE TABLE private.members (id uuid PRIMARY KEY);
CREATE FUNCTION private.is_member() RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
CREATE FUNCTION private.log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE public.notes (
  id integer PRIMARY KEY, owner uuid DEFAULT auth.uid() REFERENCES auth.users, body text,
  member uuid REFERENCES private.members);
INSERT INTO public.notes (id, body) SELECT n, 'note ' || n FROM generate_series(1, 50) n;
CREATE TABLE public.replies (id serial PRIMARY KEY, note integer REFERENCES public.notes);
INSERT INTO public.replies (note) SELECT n FROM generate_series(1, 50) n;
CREATE TABLE public.log (at timestamptz DEFAULT now(), what text);
INSERT INTO public.log (what) VALUES ('x');
CREATE VIEW public.people AS SELECT id FROM auth.users;
CREATE VIEW public.bodies AS SELECT body FROM public.notes;
CREATE TRIGGER notes_log BEFORE INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION private.log();
CREATE POLICY own ON public.notes TO authenticated USING (owner = auth.uid());
CREATE POLICY members ON public.notes TO authenticated USING (private.is_member());
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
SELECT lo_from_bytea(0, 'an object');
"""
RUNBOOK = f"""
CREATE ROLE backup_user LOGIN PASSWORD '{PASSWORD}';
GRANT CONNECT ON DATABASE postgres TO backup_user;
GRANT USAGE ON SCHEMA public TO backup_user;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO backup_user;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO backup_user;
"""


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """A small application in public, tied to auth and to a schema of its own, and the runbook's role."""
    with Sandbox(primary="empty") as sandbox:
        assert sandbox.primary_server is not None
        with sandbox.primary_server.session(role="postgres") as session, session.cursor() as cursor:
            cursor.execute(APPLICATION)
        sandbox.primary_server.execute(RUNBOOK, "postgres")
        yield sandbox


def as_runbook_role(sandbox: Sandbox) -> dict[str, str]:
    assert sandbox.primary_server is not None
    where = f"127.0.0.1:{sandbox.primary_server.port}/postgres?sslmode=require"
    return {"SUPABASE_DATABASE_URL": f"postgresql://backup_user:{PASSWORD}@{where}"}


def rows(sandbox: Sandbox, name: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg2.connect(sandbox.uri(name)) as session, session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def left_out(outcome: Outcome) -> list[str]:
    """What the manifest says of each object that is not on the copy."""
    document = outcome.report["manifest"]
    assert isinstance(document, dict)
    return [f"{one['kind']} {one['name']}: left out, {one['reason']}" for one in document["left_out"]]


@pytest.fixture
def bypassing(world: Sandbox) -> Iterator[Callable[[], dict[str, str]]]:
    """The runbook's role with the one right that its grants lack where row security is on."""
    assert world.primary_server is not None
    world.primary_server.execute("ALTER ROLE backup_user BYPASSRLS", "postgres")
    yield lambda: as_runbook_role(world)
    world.primary_server.execute("ALTER ROLE backup_user NOBYPASSRLS", "postgres")


def test_the_runbooks_role_backs_up_public_alone_and_what_it_leaves_out_is_named(
    world: Sandbox, bypassing: Callable[[], dict[str, str]]
) -> None:
    outcome = perform(world, "backup", environment=bypassing(), include_schemas="public")
    name = outcome.outputs["branch-name"]
    wanted, found = primary_contents(world), branch_contents(world, name)
    assert set(found) == {"public.notes", "public.replies", "public.log"}
    assert all(found[table] == wanted[table] for table in found)
    notes = "\n".join((*outcome.notes, *left_out(outcome)))
    for text in (
        "fk constraint public.notes notes_owner_fkey: left out, needs table auth.users",
        "fk constraint public.notes notes_member_fkey: left out, needs table private.members",
        "policy public.notes members: left out, needs function private.is_member()",
        "trigger public.notes notes_log: left out, needs function private.log()",
        "view public.people: left out, needs",
        "Schemas left out because the settings say so: auth,",
    ):
        assert text in notes, text
    assert rows(world, name, "SELECT policyname FROM pg_policies WHERE tablename = 'notes'") == [("own",)]
    default = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'public.notes'::regclass"
    assert rows(world, name, default) == [("auth.uid()",)]
    assert rows(world, name, "SELECT count(*) FROM pg_class WHERE relnamespace = 'auth'::regnamespace") == [
        (0,)
    ]


def test_row_security_never_makes_the_runbooks_role_copy_fewer_rows_in_silence(world: Sandbox) -> None:
    before = world.names()
    with pytest.raises(PrimaryError, match="row-level security"):
        perform(world, "backup", environment=as_runbook_role(world), include_schemas="public")
    assert {name for name in world.names() - before if name.startswith("backup-")} == set()


def test_the_runbooks_role_cannot_read_the_whole_database_and_says_what_it_lacks(world: Sandbox) -> None:
    with pytest.raises(PrimaryError, match="permission denied"):
        perform(world, "backup", environment=as_runbook_role(world))


def test_a_schema_is_left_out_with_all_ties_to_it(world: Sandbox) -> None:
    outcome = perform(world, "backup", exclude_schemas="private")
    found = branch_contents(world, outcome.outputs["branch-name"])
    assert "private.members" not in found
    assert "auth.users" in found
    named = "\n".join(left_out(outcome))
    assert "notes_member_fkey: left out" in named
    assert "notes_owner_fkey" not in named


def test_rows_are_left_out_of_the_tables_that_are_named(world: Sandbox) -> None:
    outcome = perform(world, "backup", exclude_table_data="public.log")
    name = outcome.outputs["branch-name"]
    assert rows(world, name, "SELECT count(*) FROM public.log") == [(0,)]
    assert rows(world, name, "SELECT count(*) FROM public.notes") == [(50,)]
    document = outcome.report["manifest"]
    assert isinstance(document, dict)
    (line,) = (one for one in document["tables_without_rows"] if one["name"] == "log")
    assert "exclude-table-data" in line["reason"]


def test_rows_that_would_dangle_are_refused_with_the_list_and_nothing_is_touched(world: Sandbox) -> None:
    with pytest.raises(Refused, match=r"public\.replies refers to public\.notes \(replies_note_fkey\)"):
        perform(world, "backup", exclude_table_data="public.notes")


def test_a_scope_with_names_that_nobody_knows_is_a_mistake_in_the_settings(world: Sandbox) -> None:
    with pytest.raises(ConfigError, match="did you mean private"):
        perform(world, "backup", exclude_schemas="privat")
