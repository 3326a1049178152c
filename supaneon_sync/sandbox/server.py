"""One PostgreSQL server of the sandbox: a data directory and its postmaster, on 127.0.0.1.

Made to be thrown away: it does not wait for the disk. Over TCP only SCRAM passwords count (over TLS
where a certificate is given); over the unix socket, in a directory that only its user can enter,
the superuser needs none. As root the server runs as ``postgres`` (or ``nobody``), since PostgreSQL
refuses root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg2
from psycopg2.extensions import connection

from supaneon_sync.sandbox import cluster_copy
from supaneon_sync.sandbox.binaries import (
    MAJORS,
    Binaries,
    SandboxError,
    client_directories,
    default_cache,
    find_or_fetch,
)
from supaneon_sync.sandbox.identity import check_entry, give, identity, owner
from supaneon_sync.sandbox.postmaster import Postmaster

__all__ = [
    "MAJORS",
    "TLS",
    "Binaries",
    "SandboxError",
    "Server",
    "client_directories",
    "default_cache",
    "find_or_fetch",
    "free_port",
]

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "off",
        "full_page_writes": "off",  # a backup in progress forces them anyway
        "shared_buffers": "32MB",
        "max_connections": "100",
        "max_wal_size": "256MB",
        "min_wal_size": "8MB",
        "wal_level": "replica",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "listen_addresses": "127.0.0.1",
    }
)
"""What a throw-away server needs; ``Server.create`` takes others on top."""

_SOCKET_LIMIT = 103  # bytes of a socket's path that every system takes (Linux: 107)
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass(frozen=True)
class TLS:
    """Files in PEM: the server's certificate (with its chain) and its private key."""

    certificate: Path
    key: Path


@dataclass
class Server:
    """One data directory and its postmaster, on 127.0.0.1."""

    binaries: Binaries
    data: Path
    port: int
    sockets: Path
    superuser: str = "cloud_admin"
    _postmaster: Postmaster = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._postmaster = Postmaster(self.data)

    @classmethod
    def create(
        cls,
        binaries: Binaries,
        data: Path,
        port: int,
        *,
        tls: TLS | None,
        settings: Mapping[str, str] = MappingProxyType({}),
        superuser: str = "cloud_admin",
    ) -> Server:
        """Make a new data directory (UTF8, C.UTF-8) with one superuser; the server is not started.

        With ``tls`` a TCP connection without TLS is refused. Raises SandboxError where initdb fails.
        """
        data = data.absolute()
        data.parent.mkdir(parents=True, exist_ok=True)
        check_entry(data.parent, binaries.bin_directory)
        data.mkdir(mode=0o700)
        give(data)
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        command = (str(binaries.tool("initdb")), "-D", str(data), "-U", superuser, "-A", "trust")
        options = ("-E", "UTF8", f"--locale={locale}", "--wal-segsize=1", "--no-sync")
        done = subprocess.run(
            (*command, *options),
            capture_output=True,
            text=True,
            check=False,
            cwd=data,
            env=binaries.environment(),
            **identity(),
        )
        if done.returncode != 0:
            shutil.rmtree(data)
            raise SandboxError(f"initdb of PostgreSQL {binaries.major} failed: {done.stderr.strip()[-600:]}")
        server = cls(binaries, data, port, _socket_directory(data), superuser)
        server._configure({**SETTINGS, **settings})
        server._admit("host")
        if tls is not None:
            server.use_certificate(tls)
        return server

    @classmethod
    def open(cls, binaries: Binaries, data: Path, port: int, superuser: str = "cloud_admin") -> Server:
        """Return the server of an existing data directory, whoever started it."""
        data = data.absolute()
        return cls(binaries, data, port, _socket_directory(data), superuser)

    def use_certificate(self, tls: TLS) -> None:
        """From the next start on, show this certificate and refuse TCP connections without TLS."""
        for source, name in ((tls.certificate, "server.crt"), (tls.key, "server.key")):
            self._write(name, source.read_text())
        self._write("tls.conf", "ssl = on\n")
        self._admit("hostssl")

    def start(self, timeout: float = 30) -> None:
        """Start the server and return when it takes connections; nothing where it runs already.

        Raises SandboxError with the last lines of its log where it ends or is not ready in
        ``timeout`` seconds; no process is left then.
        """
        if self.running():
            return
        self._make_socket_directory()
        places = ("-c", f"port={self.port}", "-c", f"unix_socket_directories={self.sockets}")
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                (str(self.binaries.tool("postgres")), "-D", str(self.data), *places),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.binaries.environment(),
                cwd=self.data,
                start_new_session=True,
                **identity(),
            )
        self._postmaster.child = process
        try:
            if not self._postmaster.await_ready(process, time.monotonic() + timeout):
                said = "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
                raise SandboxError(
                    f"PostgreSQL {self.binaries.major} did not start on port {self.port}:\n{said}"
                )
        except BaseException:
            self._postmaster.end(process.pid, signal.SIGQUIT)
            raise

    def stop(self, mode: str = "fast") -> None:
        """End the server (``smart``, ``fast`` or ``immediate``) and return when it is gone."""
        pid = self._postmaster.pid()
        if pid is not None:
            self._postmaster.end(pid, _SIGNALS[mode])
        if self.sockets.parent != self.data:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def running(self) -> bool:
        """Tell whether the postmaster of this data directory is alive, whoever started it."""
        return self._postmaster.pid() is not None

    @property
    def log(self) -> Path:
        """The file with the server's messages."""
        return self.data / "server.log"

    @contextmanager
    def session(self, database: str = "postgres", role: str | None = None) -> Iterator[connection]:
        """Open an autocommitting session over the private socket, as the superuser or another role."""
        with closing(
            psycopg2.connect(
                host=str(self.sockets), port=self.port, dbname=database, user=role or self.superuser
            )
        ) as opened:
            opened.autocommit = True
            yield opened

    def execute(self, statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the superuser over the unix socket; return the rows of the last one."""
        with self.session(database) as opened, opened.cursor() as cursor:
            cursor.execute(statements)
            return cursor.fetchall() if cursor.description else []

    def copy_to(self, data: Path, port: int) -> Server:
        """Copy this server, running or not, into a new data directory; the copy is not started.

        Everything committed before the call is in the copy; certificates and passwords come along,
        replication slots do not. Raises FileExistsError where ``data`` exists.
        """
        data = data.absolute()
        data.mkdir(parents=True)
        data.rmdir()
        try:
            if self.running():
                with self.session() as opened:
                    cluster_copy.copy_running(opened, self.data, data)
            else:
                cluster_copy.copy_stopped(self.data, data)
        except BaseException:
            shutil.rmtree(data, ignore_errors=True)
            raise
        return Server(self.binaries, data, port, _socket_directory(data), self.superuser)

    def _configure(self, settings: Mapping[str, str]) -> None:
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        self._write("sandbox.conf", "".join(lines))
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as main:
            main.write("\ninclude 'sandbox.conf'\ninclude_if_exists 'tls.conf'\n")

    def _admit(self, kind: str) -> None:
        """Say who may come in: over TCP (``host``, ``hostssl``) with a password, over the socket without."""
        rules = ["local all all trust", "local replication all trust"]
        rules += [f"{kind} {what} all 127.0.0.1/32 scram-sha-256" for what in ("all", "replication")]
        self._write("pg_hba.conf", "\n".join(rules) + "\n")

    def _write(self, name: str, text: str) -> None:
        path = self.data / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        give(path)

    def _make_socket_directory(self) -> None:
        """Make the directory of the socket, or make sure that it is ours and that nobody else can enter."""
        try:
            self.sockets.mkdir(mode=0o700)
        except FileExistsError:
            found = self.sockets.lstat()
            if found.st_uid != (owner() or (os.geteuid(),))[0] or found.st_mode & 0o077:
                raise SandboxError(f"{self.sockets} belongs to somebody else.") from None
        else:
            give(self.sockets)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _socket_directory(data: Path) -> Path:
    """Return where the socket goes: inside the data directory, or a short place where that is too long."""
    inside = data / "sockets"
    if len(os.fsencode(inside / ".s.PGSQL.65535")) <= _SOCKET_LIMIT:
        return inside
    return Path("/tmp") / f"supaneon-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"  # noqa: S108


def _main(arguments: list[str]) -> int:
    if arguments[:1] != ["fetch"] or not all(word.isdigit() for word in arguments[1:]):
        sys.stderr.write("usage: python -m supaneon_sync.sandbox.server fetch [MAJOR...]\n")
        return 2
    for major in [int(word) for word in arguments[1:]] or MAJORS:
        sys.stdout.write(f"PostgreSQL {major}: {find_or_fetch(major).bin_directory}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(_main(sys.argv[1:]))
    except SandboxError as error:
        sys.exit(str(error))
