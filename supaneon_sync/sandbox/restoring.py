"""Restoring a branch: another branch's content in place of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from supaneon_sync.sandbox import endpoints, shapes
from supaneon_sync.sandbox.making import ready
from supaneon_sync.sandbox.plane import Plane, Step
from supaneon_sync.sandbox.refusal import ApiError, not_offered
from supaneon_sync.sandbox.seeing import refresh
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Branch, Database, Role, mint


def restore(plane: Plane, branch_id: str, body: Mapping[str, Any]) -> Json:
    """Answer POST restore: the branch's content becomes that of another branch; it keeps its passwords."""
    if body.get("source_timestamp") or body.get("source_lsn"):
        raise not_offered("a restore as of an earlier moment")
    with plane.writing() as state:
        branch, source = state.branch(branch_id), state.branch(str(body.get("source_branch_id")))
        if source.id == branch.id:
            raise not_offered("a restore of a branch to its own past")
        if not (branch.has_data and source.has_data):
            raise ApiError(422, "branch not ready yet")
        if branch.protected:
            raise ApiError(422, "cannot reset protected branch")
        preserved = _preserve(plane, branch, body.get("preserve_under_name"))
        branch.current_state, branch.pending_state = "resetting", "ready"
        steps = [_restoring(plane, source, branch, preserved)]
        endpoint = state.endpoint_of(branch.id)
        if endpoint:
            steps.append(endpoints.starting(plane, endpoint))
        operations = plane.schedule(*steps)
        return {
            "branch": shapes.branch(branch),
            "operations": [shapes.operation(one) for one in operations],
        }


def _preserve(plane: Plane, branch: Branch, name: str | None) -> Branch | None:
    """Record the branch that will hold the content which a restore replaces, and the children with it."""
    children = plane.state.children(branch.id)
    if not name:
        if children:
            raise ApiError(422, "a branch that has children needs preserve_under_name")
        return None
    if plane.state.named(name):
        raise ApiError(409, f'branch already exists; branch_name:"{name}"', "BRANCH_ALREADY_EXISTS")
    now = plane.clock.text()
    preserved = Branch(
        id=mint("br"),
        project_id=branch.project_id,
        name=name,
        created_at=now,
        updated_at=now,
        state_changed_at=now,
        serial=plane.state.serial(),
        parent_id=branch.parent_id,
        current_state="ready",
        pending_state=None,
        roles={one.name: Role(**vars(one)) for one in branch.roles.values()},
        databases={one.name: Database(**vars(one)) for one in branch.databases.values()},
        logical_size=branch.logical_size,
        timeline=branch.timeline,
    )
    plane.state.branches[preserved.id] = preserved
    for child in children:
        child.parent_id = preserved.id
    return preserved


def _restoring(plane: Plane, source: Branch, branch: Branch, preserved: Branch | None) -> Step:
    def work() -> None:
        refresh(plane, source, at_once=True)
        branch.timeline = secrets.token_hex(16)
        plane.clusters.replace(source, branch, plane.state.project, preserved)
        own = {name: one.password for name, one in branch.roles.items() if one.password}
        passwords = {name: own[name] for name in source.roles if name in own}
        plane.clusters.set_passwords(branch.id, passwords)

    def settle() -> None:
        ready(plane, branch)
        branch.last_reset_at = plane.clock.text()
        branch.parent_id = branch.restored_from = source.id
        kept = branch.roles
        branch.roles = {name: kept.get(name) or Role(**vars(one)) for name, one in source.roles.items()}
        branch.databases = {one.name: Database(**vars(one)) for one in source.databases.values()}
        branch.first_position = None

    return Step("create_branch", branch.id, None, work, settle)
