"""What the doctor saw, as plain nouns: the primary, the standby project, the clients, and what went wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from supaneon_sync.errors import SupaneonError
from supaneon_sync.policy.backups import DEFAULT, Policy
from supaneon_sync.policy.facts import Target
from supaneon_sync.policy.scope import Scope


@dataclass(frozen=True)
class Door:
    """How the primary is reached. ``families`` are the kinds of addresses that its host name has."""

    host: str
    port: int
    user: str
    sslmode: str
    loopback: bool
    families: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reader:
    """The role that reads the primary. ``name`` is quoted as SQL writes it; a limit of -1 is none."""

    name: str
    superuser: bool
    bypasses_rls: bool
    connection_limit: int
    valid_until: datetime | None


@dataclass(frozen=True)
class Admin:
    """The role that grants on this primary, and what its grants can do (``supautils`` lends it more)."""

    name: str
    superuser: bool
    may_grant_read_all: bool
    may_give_bypassrls: bool
    supautils: bool


@dataclass(frozen=True)
class Denied:
    """An object that the role cannot read: ``kind`` as GRANT names it, ``target`` quoted by the server."""

    kind: str
    target: str
    schema: str
    owner: str
    grantable: bool


@dataclass(frozen=True)
class Rights:
    """What the role lacks: privileges, row security in its way, large objects it may not read."""

    denied: tuple[Denied, ...]
    row_secured: tuple[str, ...]
    large_objects: int
    large_objects_denied: tuple[int, ...]
    large_objects_grantable: bool

    def within(self, scope: Scope) -> Rights:
        """Return what the role lacks for the part of the primary that is asked for."""
        return replace(
            self,
            denied=tuple(one for one in self.denied if scope.covers(one.schema)),
            row_secured=tuple(name for name in self.row_secured if scope.covers(_schema_of(name))),
            large_objects_denied=() if scope.include else self.large_objects_denied,
        )


def _schema_of(target: str) -> str:
    """Return the schema of a table's name as the server quotes it."""
    quoted = re.match(r'"((?:[^"]|"")*)"\.', target)
    return quoted.group(1).replace('""', '"') if quoted else target.split(".", 1)[0]


@dataclass(frozen=True)
class Sticking:
    """How sessions behaved when several were open: asked for, opened, and what moved under them."""

    wanted: int
    opened: int
    refusal: SupaneonError | None
    moved: tuple[str, ...]


@dataclass(frozen=True)
class Activity:
    """What others do on the primary at this moment. ``hidden`` sessions show nothing to this role."""

    locked: tuple[tuple[str, float | None], ...]
    waiting: int
    long_transactions: tuple[tuple[int, str, float], ...]
    hidden: int
    prepared: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Wandering:
    """A function (quoted, with its arguments) whose names are found by the caller's search_path alone.

    ``used_by`` runs it while a copy is made; ``names`` are those without a schema; ``path`` would do.
    """

    name: str
    used_by: str
    names: str
    path: str


@dataclass(frozen=True)
class Contents:
    """What of the primary's contents decides whether and how a copy works.

    ``needing`` maps an extension to what depends on it; ``calling`` a function to the platform schemas
    that its body names.
    """

    tables: int
    pages: int
    lock_capacity: int
    extensions: Mapping[str, str]
    needing: Mapping[str, tuple[str, ...]]
    webhooks: tuple[str, ...]
    calling: Mapping[str, str]
    calling_triggers: tuple[tuple[str, str], ...]
    wandering: tuple[Wandering, ...]
    unmoved: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Primary:
    """The primary as its catalogs tell. Sizes in bytes; timeouts in milliseconds as (own, ours)."""

    version: str
    major: int
    database: str
    encoding: str
    size: int
    tls: str
    in_recovery: bool
    lag: float | None
    read_only: bool
    timeouts: Mapping[str, tuple[int, int]]
    reader: Reader
    admin: Admin
    rights: Rights
    activity: Activity
    contents: Contents
    sticking: Sticking


@dataclass(frozen=True)
class MirrorSeen:
    """The branch of the mirror's name. ``ours`` says whether this tool made it."""

    ours: bool
    protected: bool
    default: bool
    expires_at: datetime | None


@dataclass(frozen=True)
class Project:
    """The standby project as Neon's API tells. Sizes in bytes."""

    id: str
    name: str
    major: int | None
    key_kind: str
    visible_projects: int | None
    size_limit: int | None
    stores_passwords: bool
    allowed_addresses: tuple[str, ...]
    protected_addresses_only: bool
    blocks_public: bool
    branches: int
    branches_limit: int | None
    mirror: MirrorSeen | None


@dataclass(frozen=True)
class Compute:
    """What a compute of the standby project said to the role that owns the copies.

    ``reads_house`` is False where database ``supaneon`` is there and keeps its manifests from the role.
    """

    branch: str
    role: str
    target: Target
    may_create_databases: bool
    may_create_roles: bool
    reads_house: bool = True
    filled_by_others: bool = False
    other_database: str = ""


@dataclass(frozen=True)
class Wanted:
    """What the settings ask for, as far as a check depends on it."""

    offline: bool = False
    primary: bool = True
    jobs: int = 4
    lock_wait: timedelta = timedelta(seconds=30)
    database: str = "neondb"
    role: str = "neondb_owner"
    retention: Policy = DEFAULT
    make_room: bool = True


@dataclass(frozen=True)
class Seen:
    """Everything that was looked at; what is None was not, and ``troubles`` says why, by subject."""

    wanted: Wanted
    now: datetime
    clients: Mapping[int, str]
    door: Door | None = None
    primary: Primary | None = None
    project: Project | None = None
    compute: Compute | None = None
    troubles: Mapping[str, SupaneonError] = field(default_factory=dict)
