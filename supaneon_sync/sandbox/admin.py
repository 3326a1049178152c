"""Routes under ``/sandbox``: what tests may do to the sandbox that nobody can do to Neon."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from supaneon_sync.sandbox import shapes
from supaneon_sync.sandbox.clock import parse_time, timestamp
from supaneon_sync.sandbox.making import checked_annotation
from supaneon_sync.sandbox.plane import Plane
from supaneon_sync.sandbox.refusal import ApiError
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Branch, Database, Project, Role, mint


def order_faults(plane: Plane, body: object) -> Json:
    """Answer POST /sandbox/faults: a rule or a list of them."""
    rules = body if isinstance(body, list) else [body]
    if not all(isinstance(one, Mapping) for one in rules):
        raise ApiError(400, "a fault is a JSON object")
    plane.faults.add(*rules)
    return faults(plane)


def faults(plane: Plane) -> Json:
    """Answer GET /sandbox/faults: the rules, how often each has happened, and the log of requests."""
    return {
        "rules": [one.shape() for one in list(plane.faults.rules)],
        "requests": list(plane.faults.requests),
    }


def clear_faults(plane: Plane) -> Json:
    """Answer DELETE /sandbox/faults."""
    plane.faults.clear()
    return faults(plane)


def move_clock(plane: Plane, body: Mapping[str, Any]) -> Json:
    """Answer POST /sandbox/clock: ``{"advance_seconds": n}``; branches look older by that much."""
    plane.clock.ahead += timedelta(seconds=float(body.get("advance_seconds", 0)))
    return {"now": plane.clock.text()}


def seed(plane: Plane, body: object) -> Json:
    """Answer POST /sandbox/branches: records without data, to list and to prune; no limit applies.

    Each has ``name`` and, as wanted, ``parent_id`` (default: the default branch), ``created_at``,
    ``expires_at``, ``protected``, ``annotation``, ``logical_size``, ``current_state``.
    """
    wanted: list[Any] = body if isinstance(body, list) else [body]
    with plane.lock:
        made = [_seeded(plane, one) for one in wanted]
        plane.save()
        return {"branches": [shapes.branch(one) for one in made]}


def _seeded(plane: Plane, raw: Mapping[str, Any]) -> Branch:
    state = plane.state
    parent = state.branch(raw["parent_id"]) if raw.get("parent_id") else state.default_branch()
    name = str(raw["name"])
    if state.named(name):
        raise ApiError(409, f'branch already exists; branch_name:"{name}"', "BRANCH_ALREADY_EXISTS")
    created = parse_time(raw.get("created_at", plane.clock.text()), "created_at")
    text = timestamp(created)
    branch = Branch(
        id=mint("br"),
        project_id=state.project.id,
        name=name,
        created_at=text,
        updated_at=text,
        state_changed_at=text,
        serial=state.serial(),
        parent_id=parent.id,
        parent_lsn=raw.get("parent_lsn"),
        current_state=str(raw.get("current_state", "ready")),
        pending_state=None,
        protected=bool(raw.get("protected", False)),
        expires_at=raw.get("expires_at") and timestamp(parse_time(raw["expires_at"], "expires_at")),
        annotation=checked_annotation(raw.get("annotation")),
        has_data=False,
        roles={one.name: Role(**vars(one)) for one in parent.roles.values()},
        databases={one.name: Database(**vars(one)) for one in parent.databases.values()},
        logical_size=int(raw.get("logical_size", parent.logical_size)),
    )
    state.branches[branch.id] = branch
    return branch


def change_branch(plane: Plane, branch_id: str, body: Mapping[str, Any]) -> Json:
    """Answer PATCH /sandbox/branches/{id}: what the API cannot change, for example ``created_at``."""
    allowed = {"created_at", "updated_at", "expires_at", "annotation", "current_state", "parent_id"}
    if unknown := set(body) - allowed:
        raise ApiError(400, f"cannot change {', '.join(sorted(unknown))}")
    with plane.lock:
        branch = plane.state.branch(branch_id)
        for name, value in body.items():
            setattr(branch, name, value)
        plane.save()
        return {"branch": shapes.branch(branch)}


def keep(plane: Plane, branch_id: str) -> Json:
    """Answer POST /sandbox/branches/{id}/keep: put its present content aside for ``stale-cut``."""
    branch = plane.state.branch(branch_id)
    plane.clusters.keep(branch.id)
    return {"branch": shapes.branch(branch)}


def change_project(plane: Plane, body: Mapping[str, Any]) -> Json:
    """Answer PATCH /sandbox/project: fields that the project's answers shall have from now on."""
    with plane.lock:
        plane.state.project.overrides.update(body)
        plane.save()
        return {"project": shapes.project(plane.state.project, plane.plan, plane.clock.text())}


def add_project(plane: Plane, body: Mapping[str, Any]) -> Json:
    """Answer POST /sandbox/projects: one more project to be listed; it has no branches."""
    with plane.lock:
        first = plane.state.project
        made = Project(mint(), str(body.get("name", "other")), first.pg_version, plane.clock.text())
        plane.state.other_projects.append(made)
        plane.save()
        return {"project": shapes.project(made, plane.plan, plane.clock.text())}
