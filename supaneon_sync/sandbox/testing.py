"""A sandbox inside a test's own process."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supaneon_sync.sandbox import admin, shapes
from supaneon_sync.sandbox.binaries import SandboxError
from supaneon_sync.sandbox.service import Choices, Service
from supaneon_sync.sandbox.state import Branch

_QUICK = Choices(primary="none", plan="launch", operation_seconds=0.02)


class Sandbox(Service):
    """``with Sandbox(primary="empty", major=17) as sandbox: …``; everything is gone afterwards.

    The keywords are the fields of ``Choices``; without any, there is no primary, operations are quick
    and the plan is ``launch`` (5000 branches). ``directory`` is made if absent; one that holds a
    stopped sandbox is taken up again.
    """

    def __init__(self, directory: Path | None = None, **choices: Any) -> None:
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="supaneon-sandbox-"))
            directory.chmod(0o711)
        super().__init__(directory, dataclasses.replace(_QUICK, **choices))

    def inject(self, *rules: Mapping[str, Any]) -> None:
        """Order faults; see ``faults.py`` for what a rule is."""
        self.plane.faults.add(*rules)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests so far: method, path, query, status, fault, request_id."""
        return list(self.plane.faults.requests)

    def fired(self) -> int:
        """Return how often ordered faults have happened."""
        return sum(rule.fired for rule in self.plane.faults.rules)

    def seed(self, *branches: Mapping[str, Any]) -> list[Branch]:
        """Record branches without data, for tests of listing and retention; see ``admin.seed``."""
        made = admin.seed(self.plane, list(branches))["branches"]
        return [self.plane.state.branches[one["id"]] for one in made]

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock on."""
        admin.move_clock(self.plane, {"advance_seconds": seconds})

    def names(self) -> set[str]:
        """Return the names of all branches."""
        return {one.name for one in list(self.plane.state.branches.values())}

    def branch(self, name: str) -> Branch:
        """Return the branch of a name. Raise KeyError if there is none."""
        found = self.plane.state.named(name)
        if found is None:
            raise KeyError(name)
        return found

    def uri(self, name: str, *, database: str = "neondb", role: str = "neondb_owner") -> str:
        """Return the connection URI of a branch that has a compute, verified against the sandbox's CA."""
        branch = self.branch(name)
        endpoint = self.plane.state.endpoint_of(branch.id)
        password = branch.roles[role].password
        if endpoint is None or password is None:
            raise SandboxError(f"{name} has no compute, or {role} no password")
        uri = shapes.connection_uri(endpoint, role, password, database, pooled=False)
        return uri.replace("sslmode=require", "sslmode=verify-full") + f"&sslrootcert={self.ca_file}"

    def execute(self, name: str, statements: str, database: str = "neondb") -> list[tuple[Any, ...]]:
        """Run statements in a branch as the superuser, whether or not it has a compute."""
        with self.plane.clusters.awake(self.branch(name).id) as server:
            return server.execute(statements, database)

    def settle(self, timeout: float = 20) -> None:
        """Wait until no operation is running. Raise SandboxError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.plane.state.running():
            if time.monotonic() > deadline:
                raise SandboxError("operations are still running")
            time.sleep(0.01)
