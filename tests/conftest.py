"""What every test may ask for: PostgreSQL of a major, and servers that are gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supaneon_sync.sandbox import primary
from supaneon_sync.sandbox.server import TLS, Binaries, Server, find_or_fetch, free_port
from tests.sandbox_fixtures import make_sandbox, sandbox, shared_sandbox

__all__ = ["make_sandbox", "sandbox", "shared_sandbox"]

MakeServer = Callable[..., Server]
PRIMARY_PASSWORD = "a password, only in tests: %/@"
"""Of the role ``postgres`` on every primary that ``make_primary`` makes."""


@pytest.fixture(scope="session")
def binaries() -> Callable[[int], Binaries]:
    """A function: PostgreSQL of a major, looked for once."""
    known: dict[int, Binaries] = {}

    def of(major: int) -> Binaries:
        if major not in known:
            known[major] = find_or_fetch(major)
        return known[major]

    return of


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A directory that another user may enter (pytest's own are closed to the servers' user)."""
    directory = Path(tempfile.mkdtemp(prefix="supaneon-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def _factory(binaries: Callable[[int], Binaries], directory: Path) -> Iterator[MakeServer]:
    servers: list[Server] = []

    def make(
        major: int,
        *,
        tls: TLS | None = None,
        copy_of: Server | None = None,
        **options: object,
    ) -> Server:
        """A server, started: a copy of another one, or a new one with the options of ``create``."""
        data = Path(tempfile.mkdtemp(dir=directory)) / "data"
        data.parent.chmod(0o755)
        if copy_of is not None:
            server = copy_of.copy_to(data, free_port())
            if tls is not None:
                server.use_certificate(tls)
        else:
            server = Server.create(binaries(major), data, free_port(), tls=tls, **options)
        servers.append(server)
        server.start()
        return server

    try:
        yield make
    finally:
        for server in servers:
            server.stop("immediate")
            shutil.rmtree(server.data.parent)


@pytest.fixture
def make_server(binaries: Callable[[int], Binaries], server_directory: Path) -> Iterator[MakeServer]:
    """A function: a started server of a major, gone at the end of the test."""
    yield from _factory(binaries, server_directory)


@pytest.fixture(scope="session")
def make_session_server(binaries: Callable[[int], Binaries], server_directory: Path) -> Iterator[MakeServer]:
    """The same for servers that a whole session shares; for fixtures of wider scope."""
    yield from _factory(binaries, server_directory)


@pytest.fixture(scope="session")
def primary_template(make_session_server: MakeServer) -> MakeServer:
    """A function: the stopped original of a sample (or empty) primary of a major, made once."""
    known: dict[tuple[int, bool], Server] = {}

    def of(major: int, sample: bool) -> Server:
        if (major, sample) not in known:
            made = make_session_server(major, superuser=primary.SUPERUSER, settings=primary.SETTINGS)
            primary.create_primary(made, password=PRIMARY_PASSWORD, sample=sample)
            made.stop()
            known[major, sample] = made
        return known[major, sample]

    return of


@pytest.fixture
def make_primary(make_server: MakeServer, primary_template: MakeServer) -> MakeServer:
    """A function: a started Supabase-shaped primary of the test's own, as a copy of one made before."""

    def make(major: int, *, tls: TLS | None = None, sample: bool = True) -> Server:
        return make_server(major, tls=tls, copy_of=primary_template(major, sample))

    return make
