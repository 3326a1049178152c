"""The data under the branches: one directory a branch, one postmaster an endpoint, roles as Neon's.

Sources: neondatabase/neon ``compute_tools`` (``spec_apply.rs``, ``create_privileged_role.sql``, migrations
0003, 0004, 0012, ``default_grants.sql``).
"""

from __future__ import annotations

import random
import re
import shutil
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from supaneon_sync.sandbox.binaries import Binaries, SandboxError
from supaneon_sync.sandbox.door import Door
from supaneon_sync.sandbox.looking import Look, idle_seconds, look
from supaneon_sync.sandbox.server import TLS, Server
from supaneon_sync.sandbox.state import Branch, Project

_SETTINGS = {
    "synchronous_commit": "on",  # so that the flush LSN read after a COMMIT covers that COMMIT
    "wal_keep_size": "128MB",  # so that what was written since `parent_lsn` can be looked up
    "autovacuum": "off",  # its ANALYZE commits: content would seem to change by itself
    "max_connections": "112",
}
_SUPERUSER = """
create role neon_superuser createdb createrole nologin replication bypassrls
    in role pg_read_all_data, pg_write_all_data;
grant pg_monitor, pg_signal_backend to neon_superuser with admin option;
"""
_ROLE_OPTIONS = "inherit createrole createdb bypassrls replication in role neon_superuser"
_GRANTS = """
alter default privileges in schema public grant all on tables to neon_superuser with grant option;
alter default privileges in schema public grant all on sequences to neon_superuser with grant option;
"""


def free_port() -> int:
    """Return a free loopback port below the range that the system hands out by itself."""
    while True:
        port = random.randrange(20000, 32000)  # noqa: S311 - a port is no secret
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Clusters:
    """The clusters of all branches, by branch id. Safe to use from several threads."""

    def __init__(self, binaries: Binaries, directory: Path, tls: TLS) -> None:
        self.binaries = binaries
        self.directory = directory
        self._tls = tls
        self._servers: dict[str, Server] = {}
        self._doors: dict[str, Door] = {}
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._closed = False

    def create(self, branch: Branch, project: Project) -> None:
        """Make the first cluster of a project, with its roles and databases as the branch lists them."""
        server = Server.create(
            self.binaries, self._data(branch.id), free_port(), tls=self._tls, settings=_SETTINGS
        )
        self._servers[branch.id] = server
        self._sign(branch, project)
        with self.awake(branch.id):
            server.execute(_SUPERUSER)
            if self.binaries.major >= 16:
                server.execute("grant pg_create_subscription to neon_superuser")
            for role in branch.roles.values():
                self.create_role(branch.id, role.name, role.password)
            for database in branch.databases.values():
                self.create_database(branch.id, database.name, database.owner_name)

    def forget_all(self) -> None:
        """Begin with an empty directory; what a broken start left there is stopped and removed."""
        for data in self.directory.glob("*"):
            Server.open(self.binaries, data, 0).stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(mode=0o711)

    def open(self, branch: Branch) -> None:
        """Take over the cluster of a branch that a former process made."""
        server = Server.open(self.binaries, self._data(branch.id), free_port())
        server.stop("fast")
        self._servers[branch.id] = server

    def copy(self, source: Branch, branch: Branch, project: Project, *, stale: bool = False) -> None:
        """Make the branch's cluster a physical copy of the source's, or of what was kept of it."""
        data = self._data(branch.id)
        with self._locks[source.id]:
            server = self._servers[source.id]
            if stale:
                kept = Server.open(self.binaries, self._kept(source.id), free_port())
                self._servers[branch.id] = kept.copy_to(data, free_port())
            else:
                self._servers[branch.id] = server.copy_to(data, free_port())
        self._sign(branch, project)

    def keep(self, branch_id: str) -> None:
        """Put aside a copy of the branch as it is now, for stale copies."""
        shutil.rmtree(self._kept(branch_id), ignore_errors=True)
        with self._locks[branch_id]:
            self._servers[branch_id].copy_to(self._kept(branch_id), free_port())

    def replace(self, source: Branch, branch: Branch, project: Project, preserved: Branch | None) -> None:
        """Put a copy of the source in place of the branch's content, which goes to ``preserved`` or away."""
        fresh = self.directory / f"{branch.id}.new"
        with self._locks[branch.id]:
            with self._locks[source.id]:
                self._servers[source.id].copy_to(fresh, free_port())
            self._servers[branch.id].stop("fast")
            if preserved:
                self._data(branch.id).rename(self._data(preserved.id))
                self.open(preserved)
                self._sign(preserved, project)
            else:
                shutil.rmtree(self._data(branch.id))
            fresh.rename(self._data(branch.id))
            self.open(branch)
            self._sign(branch, project)

    def remove(self, branch_id: str) -> None:
        """Stop the branch's server and delete its directory."""
        with self._locks[branch_id]:
            self.close_door(branch_id)
            server = self._servers.pop(branch_id, None)
            if server:
                server.stop("immediate")
            shutil.rmtree(self._data(branch_id), ignore_errors=True)
            shutil.rmtree(self._kept(branch_id), ignore_errors=True)

    def start(self, branch_id: str, port: int, wake: Callable[[], int] | None = None) -> None:
        """Start the branch's server on a port, or behind the door that holds that port.

        ``wake`` puts up a door at once, for a server that will be suspended unasked.
        """
        with self._locks[branch_id]:
            server = self._servers[branch_id]
            if self._closed:
                raise SandboxError("the sandbox is going down")
            if wake and branch_id not in self._doors and not server.running():
                self._doors[branch_id] = Door(port, wake)
            if not server.running():
                server.port = free_port() if branch_id in self._doors else port
                server.start()

    def suspend(self, branch_id: str, port: int, wake: Callable[[], int]) -> None:
        """Stop the branch's server. From now on a connection to the port calls ``wake``."""
        with self._locks[branch_id]:
            self._servers[branch_id].stop("fast")
            if branch_id not in self._doors:
                self._doors[branch_id] = Door(port, wake)

    def stop(self, branch_id: str) -> None:
        """Stop the branch's server for good, and free its port."""
        with self._locks[branch_id]:
            self.close_door(branch_id)
            if branch_id in self._servers:
                self._servers[branch_id].stop("fast")

    def close_door(self, branch_id: str) -> None:
        """Free the port that a door holds."""
        door = self._doors.pop(branch_id, None)
        if door:
            door.close()

    def running(self, branch_id: str) -> bool:
        """Return whether the branch's server runs."""
        return branch_id in self._servers and self._servers[branch_id].running()

    def server(self, branch_id: str) -> Server:
        """Return the branch's server. Raise KeyError for a branch without data."""
        return self._servers[branch_id]

    @contextmanager
    def holding(self, branch_id: str) -> Iterator[None]:
        """Keep everybody else from starting, stopping or copying the branch's server."""
        with self._locks[branch_id]:
            yield

    @contextmanager
    def awake(self, branch_id: str) -> Iterator[Server]:
        """Give the branch's server running, and stop it afterwards if it did not run before."""
        with self._locks[branch_id]:
            server = self._servers[branch_id]
            if server.running():
                yield server
                return
            server.port = free_port()
            server.start()
            try:
                yield server
            finally:
                server.stop("fast")

    def look(self, branch_id: str) -> Look:
        """Return what the branch's running cluster holds."""
        return look(self._servers[branch_id])

    def idle_seconds(self, branch_id: str) -> float:
        """Return for how long no client has worked in the branch's server."""
        return idle_seconds(self._servers[branch_id])

    def create_role(self, branch_id: str, name: str, password: str | None) -> None:
        """Make a role as Neon's API makes it; without a password it cannot log in."""
        login = "login" if password else "nologin"
        statement = sql.SQL(f"create role {{}} {login} {_ROLE_OPTIONS}").format(sql.Identifier(name))
        self.command(branch_id, statement)
        if password:
            self.set_passwords(branch_id, {name: password})

    def set_passwords(self, branch_id: str, passwords: Mapping[str, str]) -> None:
        """Give roles their passwords and end their sessions."""
        statement = sql.SQL("alter role {} password {}")
        ended = sql.SQL(
            "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where usename = {}"
        )
        with self.awake(branch_id) as server, server.session() as opened, opened.cursor() as cursor:
            for name, password in passwords.items():
                verifier = encrypt_password(password, name, opened, "scram-sha-256")
                cursor.execute(statement.format(sql.Identifier(name), sql.Literal(verifier)))
                cursor.execute(ended.format(sql.Literal(name)))

    def create_database(self, branch_id: str, name: str, owner: str) -> None:
        """Make a database whose owner also owns its schema ``public``."""
        to = sql.Identifier(owner)
        self.command(branch_id, sql.SQL("create database {} owner {}").format(sql.Identifier(name), to))
        self.command(branch_id, sql.SQL("alter schema public owner to {};" + _GRANTS).format(to), name)

    def command(self, branch_id: str, statement: sql.Composable, database: str = "postgres") -> None:
        """Run a statement as the superuser in the branch's server, awake for as long as it takes."""
        with self.awake(branch_id) as server, server.session(database) as opened, opened.cursor() as cursor:
            cursor.execute(statement)

    def close(self, mode: str = "fast") -> None:
        """Stop everything, several servers at once; nothing can be started any more."""
        self._closed = True
        for branch_id in list(self._doors):
            self.close_door(branch_id)
        with ThreadPoolExecutor(8) as crew:
            list(crew.map(lambda server: server.stop(mode), list(self._servers.values())))

    def _data(self, branch_id: str) -> Path:
        return self.directory / branch_id

    def _kept(self, branch_id: str) -> Path:
        return self.directory / f"{branch_id}.kept"

    def _sign(self, branch: Branch, project: Project) -> None:
        """Write the ids that Neon's computes show into the cluster."""
        path = self._data(branch.id) / "postgresql.auto.conf"
        rest = re.sub(r"(?m)^neon\..*\n", "", path.read_text())
        signs = {
            "neon.tenant_id": project.tenant,
            "neon.timeline_id": branch.timeline,
            "neon.project_id": project.id,
            "neon.branch_id": branch.id,
        }
        path.write_text(rest + "".join(f"{name} = '{value}'\n" for name, value in signs.items()))
