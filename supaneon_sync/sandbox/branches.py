"""Branches listed, looked at, changed, deleted, expired."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from supaneon_sync.sandbox import endpoints, shapes
from supaneon_sync.sandbox.limits import check_deletable, check_may_expire, check_protected, checked_expiry
from supaneon_sync.sandbox.plane import Plane, Step
from supaneon_sync.sandbox.refusal import ApiError
from supaneon_sync.sandbox.seeing import refresh
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Branch

PAGE = 100


def listing(plane: Plane, query: Mapping[str, str]) -> Json:
    """Answer GET branches: at most 100 a page, with an opaque cursor to the next."""
    field = query.get("sort_by", "updated_at")
    order = query.get("sort_order", "desc").lower()
    if field not in {"name", "created_at", "updated_at"} or order not in {"asc", "desc"}:
        raise ApiError(400, "sort_by must be name, created_at or updated_at; sort_order asc or desc")
    for one in list(plane.state.branches.values()):
        refresh(plane, one)
    with plane.lock:
        found = _matching(plane, query)
        found.sort(key=lambda one: (getattr(one, field), one.serial), reverse=order == "desc")
        start = _position(query.get("cursor"))
        page = found[start : start + _page_size(query.get("limit"))]
        pagination: Json = {"sort_by": field, "sort_order": order.upper()}
        if start + len(page) < len(found):
            pagination["next"] = base64.urlsafe_b64encode(str(start + len(page)).encode()).decode()
        return {
            "branches": [shapes.branch(one) for one in page],
            "annotations": {one.id: shapes.annotation(one) for one in page if one.annotation},
            "pagination": pagination,
        }


def _matching(plane: Plane, query: Mapping[str, str]) -> list[Branch]:
    wanted = query.get("search", "").lower()
    return [one for one in plane.state.branches.values() if wanted in one.name.lower() or wanted in one.id]


def _position(cursor: str | None) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor).decode()) if cursor else 0
    except (ValueError, binascii.Error) as error:
        raise ApiError(400, "cursor is not one of ours") from error


def _page_size(limit: str | None) -> int:
    if limit is None:
        return PAGE
    if not limit.isdigit() or not 1 <= int(limit) <= 10000:
        raise ApiError(400, "limit must be between 1 and 10000")
    return min(int(limit), PAGE)


def count(plane: Plane, query: Mapping[str, str]) -> Json:
    """Answer GET branches/count."""
    with plane.lock:
        return {"count": len(_matching(plane, query))}


def get(plane: Plane, branch_id: str) -> Json:
    """Answer GET branch."""
    branch = plane.state.branch(branch_id)
    refresh(plane, branch)
    with plane.lock:
        return {"branch": shapes.branch(branch), "annotation": shapes.annotation(branch)}


def update(plane: Plane, branch_id: str, body: Mapping[str, Any]) -> Json:
    """Answer PATCH branch: name, protected, expires_at (null takes it off)."""
    changes = body.get("branch")
    if not isinstance(changes, Mapping):
        raise ApiError(400, "branch is required")
    with plane.writing() as state:
        branch = state.branch(branch_id)
        name = changes.get("name", branch.name)
        other = state.named(str(name))
        if other and other.id != branch.id:
            raise ApiError(409, f'branch already exists; branch_name:"{name}"', "BRANCH_ALREADY_EXISTS")
        if not 1 <= len(str(name)) <= 256:
            raise ApiError(400, "branch name must have 1 to 256 characters")
        protected = bool(changes.get("protected", branch.protected))
        if protected and not branch.protected:
            check_protected(state, plane.plan)
        expires_at = branch.expires_at
        if "expires_at" in changes:
            expires_at = changes["expires_at"] and checked_expiry(changes["expires_at"], plane.clock.now())
            if expires_at:
                check_may_expire(state, branch)
        if protected and expires_at:
            raise ApiError(422, "a protected branch cannot expire")
        branch.name, branch.protected, branch.expires_at = str(name), protected, expires_at or None
        branch.updated_at, branch.serial = plane.clock.text(), state.serial()
        return {"branch": shapes.branch(branch), "operations": []}


def delete(plane: Plane, branch_id: str) -> Json | None:
    """Answer DELETE branch; None where there is no such branch (204)."""
    with plane.lock:
        if branch_id not in plane.state.branches:
            return None
    with plane.writing() as state:
        branch = state.branch(branch_id)
        check_deletable(state, branch)
        operations = plane.schedule(*_deleting(plane, branch))
        branch.pending_state = "storage_deleted"
        return {
            "branch": shapes.branch(branch),
            "operations": [shapes.operation(one) for one in operations],
        }


def _deleting(plane: Plane, branch: Branch) -> list[Step]:
    def forget() -> None:
        plane.state.branches.pop(branch.id, None)
        endpoints.forget_all(plane, branch.id)

    steps = []
    endpoint = plane.state.endpoint_of(branch.id)
    if endpoint:
        steps.append(Step("suspend_compute", branch.id, endpoint.id, lambda: plane.clusters.stop(branch.id)))
    steps.append(Step("delete_timeline", branch.id, None, lambda: plane.clusters.remove(branch.id), forget))
    return steps


def expire(plane: Plane) -> None:
    """Delete the branches whose time has come, as Neon's background job does."""
    with plane.lock:
        now = plane.clock.text()
        due = [one for one in plane.state.branches.values() if one.expires_at and one.expires_at <= now]
        if not due or plane.state.running():
            return
    for one in due:
        plane.perform(*_deleting(plane, one))


def set_as_default(plane: Plane, branch_id: str) -> Json:
    """Answer POST set_as_default."""
    with plane.writing() as state:
        branch = state.branch(branch_id)
        if branch.expires_at:
            raise ApiError(422, "a branch that expires cannot be the default branch")
        state.default_branch().default = False
        branch.default = True
        branch.updated_at, branch.serial = plane.clock.text(), state.serial()
        return {"branch": shapes.branch(branch), "operations": []}
