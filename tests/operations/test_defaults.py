"""Servers whose own defaults have pg_dump tell a schema otherwise: it is read in the same words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supaneon_sync.errors import DataDiffers
from supaneon_sync.policy import names
from supaneon_sync.sandbox.testing import Sandbox
from tests.tool import perform

QUOTED = "SET quote_all_identifiers = on"


@pytest.mark.parametrize(("source", "target"), [(15, 17), (18, 18)])
def test_a_default_that_quotes_all_names_on_either_side_changes_nothing(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    sandbox = make_sandbox(primary="sample", primary_major=source, major=target, rows_scale=0.1)
    assert sandbox.primary_server is not None
    perform(sandbox, "backup")
    sandbox.primary_server.execute(f"ALTER ROLE postgres {QUOTED}")
    assert moved(sandbox) == set()
    sandbox.execute(names.MIRROR, f"ALTER ROLE neondb_owner {QUOTED}")
    assert moved(sandbox) == set()
    sandbox.primary_server.execute("ALTER ROLE postgres RESET ALL")
    assert moved(sandbox) == set()
    sandbox.primary_server.execute(f"ALTER DATABASE postgres {QUOTED}")
    assert moved(sandbox) == set()
    outcome = perform(sandbox, "backup", strategy="rebuild")
    assert outcome.verdict == "ok"
    assert perform(sandbox, "restore-test").verdict == "pass"


NEW_YORK = "SET TimeZone = 'America/New_York'"
TIMES = """
CREATE TABLE public.seen (at timestamptz NOT NULL DEFAULT '2024-02-03 04:05:06+00', what text)
  PARTITION BY RANGE (at);
CREATE TABLE public.seen_2024 PARTITION OF public.seen
  FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2025-01-01 00:00+00');
INSERT INTO public.seen VALUES (DEFAULT, 'a'), ('2024-07-01 12:00+00', 'b')
"""


@pytest.mark.parametrize(("source", "target"), [(15, 17), (18, 18)])
def test_a_time_zone_of_a_role_or_database_changes_no_definition(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    sandbox = make_sandbox(primary="sample", primary_major=source, major=target, rows_scale=0.1)
    assert sandbox.primary_server is not None
    sandbox.primary_server.execute(TIMES)
    sandbox.primary_server.execute(f"ALTER ROLE postgres {NEW_YORK}")
    perform(sandbox, "backup")
    assert moved(sandbox) == set()
    assert perform(sandbox, "restore-test").verdict == "pass"
    sandbox.primary_server.execute(f"ALTER ROLE postgres RESET ALL; ALTER DATABASE postgres {NEW_YORK}")
    assert moved(sandbox) == set()
    sandbox.execute(names.MIRROR, "ALTER ROLE neondb_owner SET TimeZone = 'Asia/Tokyo'")
    assert moved(sandbox) == set()
    sandbox.primary_server.execute("ALTER DATABASE postgres RESET ALL")
    assert moved(sandbox) == {"public.seen_2024", *(f"public.activity_2026_0{month}" for month in (1, 2, 3))}
    outcome = perform(sandbox, "backup", strategy="rebuild")
    assert outcome.verdict == "ok"
    assert perform(sandbox, "restore-test").verdict == "pass"


def moved(sandbox: Sandbox) -> set[str]:
    """Bring the mirror along, and return the tables that anything was done to."""
    outcome = perform(sandbox, "backup", strategy="delta")
    assert outcome.verdict == "ok"
    tables = outcome.report["moved"]
    assert isinstance(tables, list)
    return {one["table"] for one in tables if one["state"] != "unchanged"}


def test_the_comment_of_schema_public_is_the_primarys_and_none_where_it_has_none(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    sandbox = make_sandbox(primary="sample", rows_scale=0.1)
    asked = "SELECT obj_description('public'::regnamespace)"
    assert sandbox.primary_server is not None
    for comment in ("standard public schema", "ours", None, "standard public schema"):
        words = "NULL" if comment is None else f"'{comment}'"
        sandbox.primary_server.execute(f"COMMENT ON SCHEMA public IS {words}")
        for strategy in ("auto", "rebuild"):
            assert perform(sandbox, "backup", strategy=strategy).verdict == "ok"
            assert sandbox.execute(names.MIRROR, asked) == [(comment,)]


LATE = """
CREATE TABLE public.shown (id int);
REVOKE ALL ON public.shown FROM anon;
CREATE FUNCTION public.flag() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.change() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE $x$CREATE OR REPLACE FUNCTION public.flag() RETURNS int LANGUAGE sql AS 'SELECT 2'$x$;
  RETURN 1;
END $$;
CREATE MATERIALIZED VIEW public.late AS SELECT public.change() AS one WITH NO DATA
"""
BACK = "CREATE OR REPLACE FUNCTION public.flag() RETURNS int LANGUAGE sql AS 'SELECT 1'"


@pytest.fixture
def backed_up(make_sandbox: Callable[..., Sandbox]) -> Callable[[str], Sandbox]:
    """A function: a world with a backup, before something was done on its primary."""

    def make(after: str) -> Sandbox:
        sandbox = make_sandbox(primary="sample", rows_scale=0.1)
        assert sandbox.primary_server is not None
        sandbox.primary_server.execute(LATE)
        perform(sandbox, "backup")
        sandbox.primary_server.execute(after)
        return sandbox

    return make


def test_what_is_recorded_of_the_schema_was_read_after_rights_were_changed(
    backed_up: Callable[[str], Sandbox],
) -> None:
    sandbox = backed_up("GRANT SELECT ON public.shown TO anon")
    assert moved(sandbox) == set()
    assert perform(sandbox, "restore-test").verdict == "pass"


def test_what_the_query_of_a_view_does_to_the_schema_is_not_published(
    backed_up: Callable[[str], Sandbox],
) -> None:
    sandbox = backed_up(f"REFRESH MATERIALIZED VIEW public.late; {BACK}")
    with pytest.raises(DataDiffers, match="flag"):
        perform(sandbox, "backup")
