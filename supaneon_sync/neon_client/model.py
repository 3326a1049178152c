"""Neon's nouns as we use them: typed, frozen, with times that know their zone.

Field names are those of the OpenAPI document. Sizes are bytes. ``read`` makes each from one JSON object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from supaneon_sync.neon_client.fields import Fields
from supaneon_sync.secret import Secret

REQUEST_ANNOTATION = "supaneon-request-id"
"""The annotation by which this client knows a branch that its own lost write made."""

_SUCCEEDED = frozenset({"finished", "skipped"})
_FAILED = frozenset({"failed", "error", "cancelled"})


@dataclass(frozen=True)
class Project:
    """A Neon project. ``branch_size_limit`` in bytes; None or 0 means that Neon names no limit.

    ``branches_limit`` is the owner's, None where Neon does not tell it (lists of projects never do).
    """

    id: str
    name: str
    pg_version: int | None
    region_id: str | None
    branch_size_limit: int | None
    store_passwords: bool
    history_retention_seconds: int | None
    allowed_ips: tuple[str, ...]
    allowed_ips_protected_only: bool
    block_public_connections: bool
    branches_limit: int | None = None

    @classmethod
    def read(cls, fields: Fields) -> Project:
        """Read ``Project`` or ``ProjectListItem``."""
        settings = fields.inner("settings")
        allowed = settings.inner("allowed_ips")
        return cls(
            id=fields.text("id"),
            name=fields.maybe_text("name") or "",
            pg_version=fields.maybe_integer("pg_version"),
            region_id=fields.maybe_text("region_id"),
            branch_size_limit=fields.maybe_integer("branch_logical_size_limit_bytes"),
            store_passwords=fields.flag("store_passwords", default=True),
            history_retention_seconds=fields.maybe_integer("history_retention_seconds"),
            allowed_ips=allowed.texts("ips"),
            allowed_ips_protected_only=allowed.flag("protected_branches_only", default=False),
            block_public_connections=settings.flag("block_public_connections", default=False),
            branches_limit=fields.inner("owner").maybe_integer("branches_limit"),
        )


@dataclass(frozen=True)
class Branch:
    """A branch. ``annotations`` are the ones given at its creation, without this client's own.

    ``created_by_request`` is this client's own annotation: which create call made the branch.
    """

    id: str
    project_id: str
    name: str
    parent_id: str | None
    parent_lsn: str | None
    current_state: str
    pending_state: str | None
    default: bool
    protected: bool
    created_at: datetime
    updated_at: datetime | None
    expires_at: datetime | None
    logical_size: int | None
    written_data_bytes: int | None
    annotations: dict[str, str] = field(default_factory=dict, hash=False)
    created_by_request: str | None = None

    @property
    def ready(self) -> bool:
        """Whether queries can be answered; an archived branch answers too, more slowly."""
        return self.current_state in {"ready", "archived"} and self.pending_state is None

    @classmethod
    def read(cls, fields: Fields, annotation: Fields) -> Branch:
        """Read ``Branch`` and its ``AnnotationData`` (an empty object where it has none)."""
        pairs = annotation.inner("value").text_pairs()
        return cls(
            id=fields.text("id"),
            project_id=fields.text("project_id"),
            name=fields.text("name"),
            parent_id=fields.maybe_text("parent_id"),
            parent_lsn=fields.maybe_text("parent_lsn"),
            current_state=fields.text("current_state"),
            pending_state=fields.maybe_text("pending_state"),
            default=fields.flag("default"),
            protected=fields.flag("protected"),
            created_at=fields.moment("created_at"),
            updated_at=fields.maybe_moment("updated_at"),
            expires_at=fields.maybe_moment("expires_at"),
            logical_size=fields.maybe_integer("logical_size"),
            written_data_bytes=fields.maybe_integer("written_data_bytes"),
            created_by_request=pairs.pop(REQUEST_ANNOTATION, None),
            annotations=pairs,
        )


@dataclass(frozen=True)
class Endpoint:
    """A compute endpoint. Sizes in compute units, ``suspend_timeout_seconds`` 0 = the plan's default.

    ``last_active`` is when it was last in use, None where Neon does not tell.
    """

    id: str
    project_id: str
    branch_id: str
    host: str
    type: str
    current_state: str
    pending_state: str | None
    disabled: bool
    autoscaling_limit_min_cu: float | None
    autoscaling_limit_max_cu: float | None
    suspend_timeout_seconds: int | None
    last_active: datetime | None = None

    @property
    def pooled_host(self) -> str:
        """The host of Neon's pooler: ``-pooler`` after the endpoint's id, the first label."""
        label, dot, rest = self.host.partition(".")
        return f"{label}-pooler{dot}{rest}"

    @classmethod
    def read(cls, fields: Fields) -> Endpoint:
        """Read ``Endpoint``."""
        return cls(
            id=fields.text("id"),
            project_id=fields.text("project_id"),
            branch_id=fields.text("branch_id"),
            host=fields.text("host"),
            type=fields.text("type"),
            current_state=fields.text("current_state"),
            pending_state=fields.maybe_text("pending_state"),
            disabled=fields.flag("disabled", default=False),
            autoscaling_limit_min_cu=fields.maybe_number("autoscaling_limit_min_cu"),
            autoscaling_limit_max_cu=fields.maybe_number("autoscaling_limit_max_cu"),
            suspend_timeout_seconds=fields.maybe_integer("suspend_timeout_seconds"),
            last_active=fields.maybe_moment("last_active"),
        )


@dataclass(frozen=True)
class Database:
    """A database of a branch."""

    name: str
    owner_name: str
    branch_id: str

    @classmethod
    def read(cls, fields: Fields) -> Database:
        """Read ``Database``."""
        return cls(fields.text("name"), fields.text("owner_name"), fields.text("branch_id"))


@dataclass(frozen=True)
class Role:
    """A role of a branch; ``password`` only where an answer carried it."""

    name: str
    branch_id: str
    protected: bool
    password: Secret | None

    @classmethod
    def read(cls, fields: Fields) -> Role:
        """Read ``Role``."""
        password = fields.maybe_text("password")
        return cls(
            name=fields.text("name"),
            branch_id=fields.text("branch_id"),
            protected=fields.flag("protected", default=False),
            password=None if password is None else Secret(password),
        )


@dataclass(frozen=True)
class Operation:
    """Something that Neon does after it answered. Actions are an open set, and so are statuses."""

    id: str
    project_id: str
    branch_id: str | None
    endpoint_id: str | None
    action: str
    status: str
    error: str | None
    created_at: datetime | None
    total_duration_ms: int | None

    @property
    def succeeded(self) -> bool:
        """``finished``, or ``skipped``: there was nothing left to do."""
        return self.status in _SUCCEEDED

    @property
    def failed(self) -> bool:
        """It ended, and not well. A status that is not known counts as still going on."""
        return self.status in _FAILED

    @classmethod
    def read(cls, fields: Fields) -> Operation:
        """Read ``Operation``."""
        return cls(
            id=fields.text("id"),
            project_id=fields.text("project_id"),
            branch_id=fields.maybe_text("branch_id"),
            endpoint_id=fields.maybe_text("endpoint_id"),
            action=fields.text("action"),
            status=fields.text("status"),
            error=fields.maybe_text("error"),
            created_at=fields.maybe_moment("created_at"),
            total_duration_ms=fields.maybe_integer("total_duration_ms"),
        )


@dataclass(frozen=True)
class EndpointRequest:
    """The compute that is asked for. What is None is left to the project's defaults.

    An explicit ``suspend_timeout_seconds`` is refused by some plans; it is then left out.
    """

    type: str = "read_write"
    autoscaling_limit_min_cu: float | None = None
    autoscaling_limit_max_cu: float | None = None
    suspend_timeout_seconds: int | None = None

    def body(self) -> dict[str, object]:
        """Return the JSON object, without what is left to defaults."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class BranchRequest:
    """The branch that is asked for. ``parent_id`` None = the project's default branch.

    ``annotations``: at most 49 pairs (Neon allows 50 and one is this client's own).
    ``expires_at``: at most 30 days ahead, cut to the second.
    """

    name: str
    parent_id: str | None = None
    parent_lsn: str | None = None
    expires_at: datetime | None = None
    protected: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    with_endpoint: bool | EndpointRequest = False

    @property
    def endpoint(self) -> EndpointRequest | None:
        """The compute that goes with it, None for a branch without one."""
        if isinstance(self.with_endpoint, EndpointRequest):
            return self.with_endpoint
        return EndpointRequest() if self.with_endpoint else None


@dataclass(frozen=True)
class CreatedBranch:
    """A new branch whose operations have ended well, and its endpoint if one was asked for."""

    branch: Branch
    endpoint: Endpoint | None
