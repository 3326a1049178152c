"""Fingerprints taken while the mirror is made ready are those of the snapshot, or are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest

from supaneon_sync.operations import ahead
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import inventory, session
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Seed, fingerprint, method_for
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import export
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.server import Server

SEED = Seed(5, -6)


@pytest.fixture(scope="module")
def server(make_session_server: Callable[..., Server]) -> Iterator[Server]:
    made = make_session_server(17)
    made.execute(
        "CREATE TABLE public.plain (id int, word text);"
        "CREATE TABLE public.made (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);"
        "CREATE TABLE public.empty (id int);"
        "INSERT INTO public.plain SELECT g, md5(g::text) FROM generate_series(1, 100) g;"
        "INSERT INTO public.made VALUES (1)"
    )
    yield made
    made.stop("immediate")


class Bench:
    """As much of a workshop as is asked for here."""

    def __init__(self, server: Server) -> None:
        self.run = SimpleNamespace(stop=Stop())
        self.door = Conninfo(str(server.sockets), server.port, "postgres", server.superuser, None, {})

    def on_primary(self, purpose: str) -> Session:
        return session.connect(self.door, Side.PRIMARY, purpose=purpose)


@contextmanager
def snapshot(bench: Bench) -> Iterator[tuple[Reader, dict[str, Relation]]]:
    with bench.on_primary("snapshot") as holder:
        taken = export(holder)
        found = inventory.read(holder).relations.values()
        tables = {one.name: one for one in found if one.schema == "public" and one.kind == "r"}
        yield Reader(taken, SEED, timedelta(seconds=1)), tables


def known(bench: Bench, reader: Reader, tables: Sequence[Relation]) -> dict[str, object]:
    """What is known when all that can be is."""
    with ahead.fingerprinting(bench, tables, reader) as informed:  # type: ignore[arg-type]
        for thread in ahead.threading.enumerate():
            if thread.name == "fingerprints ahead":
                thread.join(30)
    return {table.name: taken for table, (taken, _) in informed.known.items()}


def test_small_tables_are_known_by_the_fingerprint_that_their_rows_have(server: Server) -> None:
    bench = Bench(server)
    with snapshot(bench) as (reader, tables):
        server.execute("INSERT INTO public.plain VALUES (0, 'after the snapshot')")
        found = known(bench, reader, list(tables.values()))
        server.execute("DELETE FROM public.plain WHERE id = 0")
    with bench.on_primary("judge") as judge:
        plain = tables["plain"]
        assert found == {"plain": fingerprint(judge, plain, SEED, method_for(plain))}


def test_a_locked_table_costs_its_fingerprint_and_nothing_else(server: Server) -> None:
    bench = Bench(server)
    with snapshot(bench) as (reader, tables), server.session() as other, other.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE public.plain IN ACCESS EXCLUSIVE MODE")
        assert known(bench, reader, [tables["plain"]]) == {}


def test_a_table_truncated_since_the_snapshot_is_not_known(server: Server) -> None:
    bench = Bench(server)
    server.execute("CREATE TABLE public.gone (id int); INSERT INTO public.gone VALUES (1)")
    with snapshot(bench) as (reader, tables):
        server.execute("TRUNCATE public.gone")
        assert known(bench, reader, [tables["gone"]]) == {}
    server.execute("DROP TABLE public.gone")
