"""The doctor as its tests call it, and a patient of their own for each broken set-up."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from supaneon_sync.operations.doctor import validate_config
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run, Silent
from supaneon_sync.sandbox.server import Server
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.settings import load

PASSWORD = "canary-c4f1 %:/@?#"
"""Of every role that reads a primary in these tests; it must turn up in no output."""


def a_run() -> Run:
    return Run(
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        token=secrets.token_bytes,
        progress=Silent(),
    )


def settings_of(verb: str, environment: Mapping[str, str], **flags: object) -> Any:
    given = {name.replace("_", "-"): value for name, value in flags.items()}
    return load([verb], flags=given, environment=environment, file={}).settings


def url(server: Server, role: str, *, port: int | None = None, sslmode: str = "disable") -> str:
    """The address of a server for a role that has the tests' password."""
    login = f"{quote(role, safe='')}:{quote(PASSWORD, safe='')}"
    return f"postgresql://{login}@127.0.0.1:{port or server.port}/postgres?sslmode={sslmode}"


@dataclass(frozen=True)
class Checkup:
    """What the doctor said."""

    outcome: Outcome

    def __getitem__(self, check: str) -> dict[str, Any]:
        checks: Any = self.outcome.report["checks"]
        return next(one for one in checks if one["check"] == check)

    def status(self, check: str) -> str:
        return str(self[check]["status"])

    @property
    def failing(self) -> list[str]:
        checks: Any = self.outcome.report["checks"]
        return [one["check"] for one in checks if one["status"] == "failed"]

    @property
    def primary_failures(self) -> list[str]:
        return [name for name in self.failing if name.startswith("primary")]


def checked(
    *,
    primary: str = "",
    sandbox: Sandbox | None = None,
    environment: Mapping[str, str] | None = None,
    **flags: object,
) -> Checkup:
    """Have the doctor look at a primary, a sandbox, or both; without TLS where that is what there is."""
    variables = dict(sandbox.environment) if sandbox else {}
    if primary:
        variables["SUPABASE_DATABASE_URL"] = primary
        variables.pop("SUPABASE_CA_FILE", None)
    variables |= environment or {}
    loose = {"insecure_loopback": True} if "sslmode=disable" in primary else {}
    return Checkup(validate_config(settings_of("validate-config", variables, **loose, **flags), a_run()))


def make_role(server: Server, name: str, options: str = "") -> str:
    """Make a login role with the tests' password; return the URL by which it reads."""
    server.execute(f"CREATE ROLE {name} LOGIN {options} PASSWORD '{PASSWORD}'")
    return url(server, name)


@contextmanager
def pooler(program: Path, server: Server, directory: Path, port: int) -> Iterator[None]:
    """Run PgBouncer in transaction mode before a server, as Supabase runs its pooler."""
    import os
    import subprocess

    from supaneon_sync.sandbox.identity import give, identity

    users = directory / "users.txt"
    users.write_text(f'"pooled" "{PASSWORD}"\n')
    config = directory / "pgbouncer.ini"
    config.write_text(
        "[databases]\n"
        f"postgres = host=127.0.0.1 port={server.port} dbname=postgres\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = scram-sha-256\nauth_file = {users}\n"
        "pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 50\nunix_socket_dir =\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    for path in (directory, users, config):
        give(path)
    process = subprocess.Popen(
        [str(program), str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
        **identity(),
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "process up" in line:
                break
        yield
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()
