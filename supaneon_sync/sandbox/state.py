"""What the sandbox knows: project, branches, endpoints, operations. Plain records, kept as JSON.

Times are Neon's text form (``YYYY-MM-DDTHH:MM:SSZ``), which sorts as time does. ``serial`` numbers
records in the order they were made or changed, because a second is too coarse to sort by.
"""

from __future__ import annotations

import dataclasses
import json
import random
import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supaneon_sync.sandbox.refusal import not_found

REGION = "aws-eu-central-1"
DOMAIN = "eu-central-1.sandbox.localhost"
"""Hosts of endpoints end in this. ``localhost`` is reserved, so no real host can be meant."""

_ADJECTIVES = (
    "amber",
    "bold",
    "calm",
    "cool",
    "crisp",
    "dark",
    "fancy",
    "gentle",
    "green",
    "lively",
    "misty",
)
_NOUNS = ("bird", "cloud", "dawn", "field", "fire", "forest", "lake", "leaf", "moon", "rain", "river", "sea")
_ALPHABET = string.ascii_lowercase + string.digits

RUNNING_STATUSES = frozenset({"scheduling", "running", "cancelling"})


def mint(prefix: str = "") -> str:
    """Return a new id of Neon's form, for example ``br-cool-bird-a1b2c3d4``."""
    words = (random.choice(_ADJECTIVES), random.choice(_NOUNS))  # noqa: S311 - names, not secrets
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return "-".join(filter(None, (prefix, *words, tail)))


def new_password() -> str:
    """Return a password of the form that Neon generates."""
    return "npg_" + secrets.token_urlsafe(18).replace("-", "x").replace("_", "y")


@dataclass
class Role:
    """A role of a branch. ``password`` is None for roles that were made with SQL."""

    name: str
    password: str | None
    created_at: str
    protected: bool = False


@dataclass
class Database:
    """A database of a branch, as last seen in its cluster."""

    id: int
    name: str
    owner_name: str
    created_at: str


@dataclass
class Branch:
    """A Neon branch: a record, and (unless it was seeded for a test) a data directory."""

    id: str
    project_id: str
    name: str
    created_at: str
    updated_at: str
    state_changed_at: str
    serial: int
    parent_id: str | None = None
    parent_lsn: str | None = None
    parent_timestamp: str | None = None
    current_state: str = "init"
    pending_state: str | None = "ready"
    default: bool = False
    protected: bool = False
    expires_at: str | None = None
    annotation: dict[str, str] = field(default_factory=dict)
    has_data: bool = True
    roles: dict[str, Role] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    logical_size: int = 0
    written_bytes: int = 0
    first_position: int | None = None
    timeline: str = field(default_factory=lambda: secrets.token_hex(16))
    last_reset_at: str | None = None
    restored_from: str | None = None


@dataclass
class Endpoint:
    """A compute: one postmaster, reachable on ``port`` of the loopback interface."""

    id: str
    project_id: str
    branch_id: str
    port: int
    created_at: str
    updated_at: str
    type: str = "read_write"
    current_state: str = "init"
    pending_state: str | None = "active"
    suspend_timeout_seconds: int = 0
    min_cu: float = 0.25
    max_cu: float = 0.25
    settings: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    disabled: bool = False
    started_at: str | None = None
    suspended_at: str | None = None
    last_active: str | None = None

    @property
    def host(self) -> str:
        """Return the direct host name."""
        return f"{self.id}.{DOMAIN}"

    @property
    def pooler_host(self) -> str:
        """Return the pooled host name. In the sandbox the same server answers behind both."""
        return f"{self.id}-pooler.{DOMAIN}"


@dataclass
class Operation:
    """One step of the control plane's work."""

    id: str
    project_id: str
    branch_id: str | None
    endpoint_id: str | None
    action: str
    status: str
    created_at: str
    updated_at: str
    serial: int
    error: str | None = None
    failures_count: int = 0
    total_duration_ms: int = 0


@dataclass
class Project:
    """A project. Only the first one has branches; others exist to be listed."""

    id: str
    name: str
    pg_version: int
    created_at: str
    tenant: str = field(default_factory=lambda: secrets.token_hex(16))
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class State:
    """Everything the sandbox remembers. Reading needs no lock: each look at a collection is of a copy."""

    project: Project
    other_projects: list[Project] = field(default_factory=list)
    branches: dict[str, Branch] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    counter: int = 0

    def serial(self) -> int:
        """Return the next number in order."""
        self.counter += 1
        return self.counter

    def branch(self, branch_id: str) -> Branch:
        """Return a branch by id. Raise ApiError (404) if there is none."""
        if branch_id not in self.branches:
            raise not_found("branch")
        return self.branches[branch_id]

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint by id. Raise ApiError (404) if there is none."""
        if endpoint_id not in self.endpoints:
            raise not_found("endpoint")
        return self.endpoints[endpoint_id]

    def default_branch(self) -> Branch:
        """Return the project's default branch."""
        return next(branch for branch in list(self.branches.values()) if branch.default)

    def named(self, name: str) -> Branch | None:
        """Return the branch of that name, if any."""
        return next((branch for branch in list(self.branches.values()) if branch.name == name), None)

    def children(self, branch_id: str) -> list[Branch]:
        """Return the branches made from a branch."""
        return [branch for branch in list(self.branches.values()) if branch.parent_id == branch_id]

    def endpoint_of(self, branch_id: str) -> Endpoint | None:
        """Return the branch's read_write endpoint, if it has one."""
        return next((one for one in list(self.endpoints.values()) if one.branch_id == branch_id), None)

    def running(self) -> bool:
        """Return whether any operation of the project is still going."""
        return any(one.status in RUNNING_STATUSES for one in list(self.operations.values()))

    def new_operation(
        self, action: str, now: str, branch_id: str | None, endpoint_id: str | None
    ) -> Operation:
        """Record and return a new operation that waits for its turn."""
        operation = Operation(
            id=str(uuid.uuid4()),
            project_id=self.project.id,
            branch_id=branch_id,
            endpoint_id=endpoint_id,
            action=action,
            status="scheduling",
            created_at=now,
            updated_at=now,
            serial=self.serial(),
        )
        self.operations[operation.id] = operation
        return operation

    def save(self, path: Path) -> None:
        """Write everything to a file that only the owner reads, whole or not at all."""
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(dataclasses.asdict(self)))
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> State:
        """Return what ``save`` wrote."""
        raw: Mapping[str, Any] = json.loads(path.read_text())
        branches = {}
        for key, value in raw["branches"].items():
            roles = {name: Role(**role) for name, role in value.pop("roles").items()}
            databases = {name: Database(**one) for name, one in value.pop("databases").items()}
            branches[key] = Branch(**value, roles=roles, databases=databases)
        return cls(
            project=Project(**raw["project"]),
            other_projects=[Project(**one) for one in raw["other_projects"]],
            branches=branches,
            endpoints={key: Endpoint(**value) for key, value in raw["endpoints"].items()},
            operations={key: Operation(**value) for key, value in raw["operations"].items()},
            counter=raw["counter"],
        )
