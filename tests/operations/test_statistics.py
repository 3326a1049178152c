"""A backup has what a busy server wants of its tables: statistics, and pages marked visible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from psycopg2.extensions import connection

from supaneon_sync.sandbox.server import Server
from supaneon_sync.sandbox.testing import Sandbox
from tests.tool import perform

TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.small (id int PRIMARY KEY, word text);
INSERT INTO app.small SELECT g, md5(g::text) FROM generate_series(1, 500) g;
CREATE INDEX ON app.small (word);
CREATE TABLE app.large (id int PRIMARY KEY, body text, scan text);
ALTER TABLE app.large ALTER scan SET STORAGE EXTERNAL;
INSERT INTO app.large SELECT g, repeat(md5(g::text), 30), repeat(md5(g::text), 100) FROM generate_series(1, 6000) g;
CREATE INDEX ON app.large (lower(body));
CREATE TABLE app.parent (id int, kind text);
CREATE TABLE app.child () INHERITS (app.parent);
INSERT INTO app.parent VALUES (1, 'a'); INSERT INTO app.child SELECT g, 'b' FROM generate_series(1, 300) g;
CREATE TABLE app.linked (one int, two int);
INSERT INTO app.linked SELECT g % 10, g % 10 FROM generate_series(1, 400) g;
CREATE STATISTICS app.both (dependencies) ON one, two FROM app.linked;
CREATE TABLE app.nothing (id int PRIMARY KEY);
CREATE MATERIALIZED VIEW app.words AS SELECT word FROM app.small;
ANALYZE
"""  # noqa: E501 -- SQL as it is written
HEIRS = """
CREATE SCHEMA app;
CREATE TABLE app.parent (id int PRIMARY KEY, kind text, what regclass);
CREATE TABLE app.child (PRIMARY KEY (id)) INHERITS (app.parent);
INSERT INTO app.parent SELECT g, 'a' FROM generate_series(1, 100) g;
INSERT INTO app.child SELECT g, 'b' FROM generate_series(1000, 1300) g
"""
KNOWN = """
SELECT c.relname::text, c.relpages, c.relallvisible, c.reltuples::bigint FROM pg_class c
WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'm') ORDER BY 1
"""
ROWS = {
    "child": 300,
    "large": 6000,
    "linked": 400,
    "nothing": 0,
    "parent": 1,
    "small": 500,
    "words": 500,
}


def run(server: Server, statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    for statement in filter(str.strip, statements.split(";\n")):
        server.execute(statement)


@contextmanager
def copy(sandbox: Sandbox, branch: str) -> Iterator[connection]:
    session = psycopg2.connect(sandbox.uri(branch))
    try:
        yield session
    finally:
        session.close()


@pytest.mark.parametrize(("source", "target"), [(15, 17), (18, 18)])
def test_a_backup_has_statistics_of_every_kind_and_every_page_marked_visible(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    sandbox = make_sandbox(primary="empty", primary_major=source, major=target)
    assert sandbox.primary_server is not None
    run(sandbox.primary_server, TABLES)
    outcome = perform(sandbox, "backup")
    assert outcome.verdict == "ok"
    with copy(sandbox, outcome.outputs["branch-name"]) as session, session.cursor() as cursor:
        cursor.execute(KNOWN)
        found = cursor.fetchall()
        assert {name: rows for name, _, _, rows in found} == ROWS
        assert [name for name, pages, visible, _ in found if pages != visible] == []
        cursor.execute("SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname = 'app'")
        with_statistics = {name for (name,) in cursor.fetchall()}
        assert with_statistics >= set(ROWS) - {"nothing"} | {"large_lower_idx"}
        cursor.execute(
            "SELECT count(*) FROM pg_stats WHERE schemaname = 'app' AND tablename = 'parent' AND inherited"
            " AND 'b' = ANY (most_common_vals::text::text[])"
        )
        assert cursor.fetchall() == [(1,)]
        cursor.execute("SELECT dependencies IS NOT NULL FROM pg_stats_ext WHERE schemaname = 'app'")
        assert cursor.fetchall() == [(True,)]


@pytest.mark.parametrize(("source", "target"), [(15, 17), (18, 18)])
def test_a_parent_that_changed_is_analysed_while_its_heirs_are_held_still(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    """Heirs that are equal are locked until the branch is cut; nobody may wait for that lock."""
    sandbox = make_sandbox(primary="empty", primary_major=source, major=target)
    assert sandbox.primary_server is not None
    run(sandbox.primary_server, HEIRS)
    perform(sandbox, "backup")
    sandbox.primary_server.execute("UPDATE ONLY app.parent SET kind = 'c'")
    outcome = perform(sandbox, "backup")
    assert outcome.verdict == "ok"
    with copy(sandbox, outcome.outputs["branch-name"]) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT inherited FROM pg_stats WHERE schemaname = 'app' AND tablename = 'parent'"
            " AND attname = 'kind' AND 'c' = ANY (most_common_vals::text::text[]) ORDER BY 1"
        )
        assert cursor.fetchall() == [(False,), (True,)]
