"""Branches: made as physical copies, listed, changed, deleted, restored, expired."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from typing import Any

from supaneon_sync.sandbox import endpoints, shapes
from supaneon_sync.sandbox.limits import (
    check_deletable,
    check_may_expire,
    check_new_branch,
    check_protected,
    checked_expiry,
)
from supaneon_sync.sandbox.plane import Plane, Step
from supaneon_sync.sandbox.refusal import ApiError, busy, not_offered
from supaneon_sync.sandbox.seeing import refresh
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Branch, Database, Endpoint, Role, mint, new_password
from supaneon_sync.sandbox.wal import first_change, parse_lsn

PAGE = 100
_LSN_SECONDS = 10.0


def create(plane: Plane, body: Mapping[str, Any]) -> Json:
    """Answer POST branches."""
    options = body.get("branch") or {}
    for name, what in (("parent_timestamp", "branches as of a time"), ("archived", "archived branches")):
        if options.get(name):
            raise not_offered(what)
    if options.get("init_source", "parent-data") != "parent-data":
        raise not_offered(f"branches with init_source {options['init_source']}")
    with plane.lock:
        if plane.state.running():
            raise busy()
        parent = _parent(plane, options)
    refresh(plane, parent, at_once=True)
    if options.get("parent_lsn"):
        _check_lsn(plane, parent, str(options["parent_lsn"]))
    with plane.writing():
        branch = _record(plane, parent, options, body.get("annotation_value"))
        plane.state.branches[branch.id] = branch
        try:
            made = [endpoints.record(plane, branch, one) for one in body.get("endpoints") or []]
        except ApiError:
            del plane.state.branches[branch.id]
            _forget_endpoints(plane, branch.id)
            raise
        stale = plane.faults.stale()
        steps = [_copying(plane, parent, branch, options.get("parent_lsn"), stale=stale)]
        steps += [endpoints.starting(plane, one) for one in made]
        operations = plane.schedule(*steps)
        return {
            "branch": shapes.branch(branch),
            "endpoints": [shapes.endpoint(one) for one in made],
            "operations": [shapes.operation(one) for one in operations],
            "roles": [shapes.role(one, branch.id) for one in branch.roles.values()],
            "databases": [shapes.database(one, branch.id) for one in branch.databases.values()],
        } | _uris(branch, made)


def _parent(plane: Plane, options: Mapping[str, Any]) -> Branch:
    parent_id = options.get("parent_id")
    parent = plane.state.branch(str(parent_id)) if parent_id else plane.state.default_branch()
    if not parent.has_data and parent.current_state != "init":
        raise not_offered("a branch of one that was seeded without data")
    return parent


def _uris(branch: Branch, made: list[Endpoint]) -> Json:
    """Return ``connection_uris`` where Neon gives them: one role, one database, and a compute."""
    if len(branch.roles) != 1 or len(branch.databases) != 1 or not made:
        return {}
    (role,), (database,) = branch.roles.values(), branch.databases.values()
    if role.password is None:
        return {}
    return {
        "connection_uris": [
            shapes.connection_details(one, role.name, role.password, database.name) for one in made
        ]
    }


def _check_lsn(plane: Plane, parent: Branch, lsn: str) -> None:
    """Wait until the parent's log has reached the LSN; refuse if its content has changed since."""
    wanted = parse_lsn(lsn)
    with plane.clusters.awake(parent.id) as server:
        deadline = time.monotonic() + _LSN_SECONDS
        while (look := plane.clusters.look(parent.id)).flush_position < wanted:
            if time.monotonic() > deadline:
                raise ApiError(400, f"parent_lsn {lsn} lies ahead of the branch ({look.flush_lsn})")
            time.sleep(0.05)
        change = first_change(server.binaries, server.data, lsn, look.flush_lsn)
    if change:
        raise not_offered(f"a branch as of {lsn}, because its parent was written to afterwards ({change})")


def _record(
    plane: Plane, parent: Branch, options: Mapping[str, Any], annotation: Mapping[str, Any] | None
) -> Branch:
    state, now = plane.state, plane.clock.text()
    branch_id = mint("br")
    name = str(options.get("name") or branch_id)
    check_new_branch(state, plane.plan, name, parent)
    protected = bool(options.get("protected", False))
    if protected:
        check_protected(state, plane.plan)
    expires_at = None
    if options.get("expires_at"):
        expires_at = checked_expiry(options["expires_at"], plane.clock.now())
        if protected:
            raise ApiError(422, "a protected branch cannot expire")
    return Branch(
        id=branch_id,
        project_id=state.project.id,
        name=name,
        created_at=now,
        updated_at=now,
        state_changed_at=now,
        serial=state.serial(),
        parent_id=parent.id,
        parent_lsn=options.get("parent_lsn"),
        protected=protected,
        expires_at=expires_at,
        annotation=checked_annotation(annotation),
        has_data=False,
        roles=_inherited(parent),
        databases={one.name: Database(**vars(one)) for one in parent.databases.values()},
        logical_size=parent.logical_size,
    )


def checked_annotation(raw: Mapping[str, Any] | None) -> dict[str, str]:
    """Return an annotation. Raise ApiError (400) if it is not up to 50 pairs of strings."""
    pairs = dict(raw or {})
    if len(pairs) > 50 or not all(isinstance(value, str) for value in pairs.values()):
        raise ApiError(400, "annotation_value must be at most 50 pairs of strings")
    return pairs


def _inherited(parent: Branch) -> dict[str, Role]:
    """Return the parent's roles as a child has them: with new passwords if the parent is protected."""
    roles = {}
    for one in parent.roles.values():
        password = new_password() if parent.protected and one.password else one.password
        roles[one.name] = Role(one.name, password, one.created_at, one.protected)
    return roles


def _copying(plane: Plane, parent: Branch, branch: Branch, lsn: str | None, *, stale: bool) -> Step:
    """Return the step that makes the branch's data."""

    def work() -> None:
        plane.clusters.copy(parent, branch, plane.state.project, stale=stale)
        if lsn:
            _check_lsn(plane, parent, lsn)
        if parent.protected:
            passwords = {one.name: one.password for one in branch.roles.values() if one.password}
            plane.clusters.set_passwords(branch.id, passwords)

    def settle() -> None:
        branch.has_data = True
        _ready(plane, branch)

    return Step("create_branch", branch.id, None, work, settle)


def _ready(plane: Plane, branch: Branch) -> None:
    branch.current_state, branch.pending_state = "ready", None
    branch.state_changed_at = branch.updated_at = plane.clock.text()


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
        _forget_endpoints(plane, branch.id)

    steps = []
    endpoint = plane.state.endpoint_of(branch.id)
    if endpoint:
        steps.append(Step("suspend_compute", branch.id, endpoint.id, lambda: plane.clusters.stop(branch.id)))
    steps.append(Step("delete_timeline", branch.id, None, lambda: plane.clusters.remove(branch.id), forget))
    return steps


def _forget_endpoints(plane: Plane, branch_id: str) -> None:
    for one in [one for one in plane.state.endpoints.values() if one.branch_id == branch_id]:
        del plane.state.endpoints[one.id]


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
        plane.clusters.replace(source, branch, plane.state.project, preserved.id if preserved else None)
        own = {name: one.password for name, one in branch.roles.items() if one.password}
        passwords = {name: own[name] for name in source.roles if name in own}
        plane.clusters.set_passwords(branch.id, passwords)

    def settle() -> None:
        _ready(plane, branch)
        branch.last_reset_at = plane.clock.text()
        branch.parent_id = branch.restored_from = source.id
        kept = branch.roles
        branch.roles = {name: kept.get(name) or Role(**vars(one)) for name, one in source.roles.items()}
        branch.databases = {one.name: Database(**vars(one)) for one in source.databases.values()}
        branch.first_position = None

    return Step("create_branch", branch.id, None, work, settle)
