"""What a backup costs where each round trip takes its time: sessions opened, answers waited for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench.slow_line import SlowLine, Talk, slow_line
from supaneon_sync.sandbox.server import Server

JOBS = 4
_ROOT = Path(__file__).parents[2]
_DATABASE = "bench"
_PG_DUMP = b"supaneon-sync schema"
_TABLES = """
CREATE TABLE public.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL);
INSERT INTO public.orders (note) SELECT repeat(md5(g::text), 4) FROM generate_series(1, 20000) g;
CREATE TABLE public.lines (id bigint PRIMARY KEY, item bigint REFERENCES public.orders, note text);
INSERT INTO public.lines SELECT g, g, repeat(md5(g::text), 4) FROM generate_series(1, 20000) g;
"""


@dataclass(frozen=True)
class Cost:
    """What went to one server: the engine's connections, without pg_dump's, and all their round trips."""

    connections: int
    round_trips: int


@dataclass(frozen=True)
class Stage:
    """Two servers, and a line to each that counts."""

    primary: SlowLine
    mirror: SlowLine
    order: dict[str, Any]

    def backup(self) -> tuple[Cost, Cost]:
        """Bring the mirror along once; return what that cost on the primary and on the mirror.

        In a process of its own: whoever cancels lets nobody else of its process run, not even the lines.
        """
        before = [len(line.talks) for line in (self.primary, self.mirror)]
        command = (sys.executable, "-m", "bench.ours", json.dumps(self.order))
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        both = zip((self.primary, self.mirror), before, strict=True)
        primary, mirror = (_cost(line.talks[start:]) for line, start in both)
        return primary, mirror


def _cost(talks: list[Talk]) -> Cost:
    mine = [talk for talk in talks if _PG_DUMP not in talk.opening]
    return Cost(len(mine), sum(talk.round_trips + 1 for talk in mine))


@pytest.fixture(scope="module", params=[17, 18])
def servers(
    request: pytest.FixtureRequest, make_session_server: Callable[..., Server]
) -> tuple[Server, Server]:
    """A primary with two tables, and a server for the mirror."""
    source, target = make_session_server(request.param), make_session_server(request.param)
    for server in (source, target):
        server.execute(f"ALTER ROLE {server.superuser} PASSWORD 'pw-pw-pw'")
        server.execute(f"CREATE DATABASE {_DATABASE}")
    source.execute(_TABLES, _DATABASE)
    source.execute("VACUUM (ANALYZE)", _DATABASE)
    return source, target


@pytest.fixture(scope="module")
def stage(servers: tuple[Server, Server]) -> Iterator[Stage]:
    source, target = servers
    with slow_line(source.port, 0) as primary, slow_line(target.port, 0) as mirror:
        order = {
            "source": primary.port,
            "target": mirror.port,
            "jobs": JOBS,
            "proof": True,
            "user": source.superuser,
            "password": "pw-pw-pw",
            "major": source.binaries.major,
            "clients": str(source.binaries.bin_directory),
        }
        yield Stage(primary, mirror, order)


def test_a_second_backup_with_nothing_changed_waits_for_few_answers(stage: Stage) -> None:
    stage.backup()
    primary, mirror = stage.backup()
    assert primary.connections <= 3
    assert primary.round_trips <= 66
    assert mirror.connections <= 6
    assert mirror.round_trips <= 80


def test_a_run_never_needs_more_connections_than_are_at_work_at_once(
    stage: Stage, servers: tuple[Server, Server]
) -> None:
    """On the primary the snapshot and one that reads; on the mirror the lock, two at work, and pg_dump."""
    for server, limit in zip(servers, (2, 4), strict=True):
        server.execute(
            f"CREATE ROLE scarce LOGIN CREATEROLE CREATEDB PASSWORD 'pw-pw-pw' CONNECTION LIMIT {limit}"
        )
    source, target = servers
    source.execute("GRANT pg_read_all_data TO scarce")
    target.execute("DROP DATABASE bench")
    target.execute("DROP SCHEMA IF EXISTS supaneon CASCADE; GRANT CREATE ON DATABASE postgres TO scarce")
    scarce = replace(stage, order=stage.order | {"user": "scarce", "jobs": 1})
    for _ in range(2):
        scarce.backup()
        source.execute("UPDATE public.orders SET note = reverse(note) WHERE id % 100 = 7", _DATABASE)
        source.execute("CREATE TABLE IF NOT EXISTS public.more (id int PRIMARY KEY)", _DATABASE)
    scarce.backup()
