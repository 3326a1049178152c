"""Making a branch: the rules, the record, the physical copy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from supaneon_sync.sandbox import endpoints, shapes
from supaneon_sync.sandbox.limits import check_new_branch, check_protected, checked_expiry
from supaneon_sync.sandbox.plane import Plane, Step
from supaneon_sync.sandbox.refusal import ApiError, busy, not_offered, section
from supaneon_sync.sandbox.seeing import refresh
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Branch, Database, Endpoint, Role, mint, new_password
from supaneon_sync.sandbox.wal import first_change, parse_lsn

_LSN_SECONDS = 10.0


def create(plane: Plane, body: Mapping[str, Any]) -> Json:
    """Answer POST branches."""
    options = section(body, "branch")
    for name, what in (("parent_timestamp", "branches as of a time"), ("archived", "archived branches")):
        if options.get(name):
            raise not_offered(what)
    if options.get("init_source", "parent-data") != "parent-data":
        raise not_offered(f"branches with init_source {options['init_source']}")
    with plane.lock:
        if plane.state.running():
            raise busy()
        parent = _parent(plane, options)
    if parent.current_state == "init":
        raise ApiError(422, "branch not ready yet")
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
            endpoints.forget_all(plane, branch.id)
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
        if lsn and not stale:
            _check_lsn(plane, parent, lsn)
        if parent.protected:
            passwords = {one.name: one.password for one in branch.roles.values() if one.password}
            plane.clusters.set_passwords(branch.id, passwords)

    def settle() -> None:
        branch.has_data = True
        ready(plane, branch)

    return Step("create_branch", branch.id, None, work, settle)


def ready(plane: Plane, branch: Branch) -> None:
    """Mark a branch as ready for use."""
    branch.current_state, branch.pending_state = "ready", None
    branch.state_changed_at = branch.updated_at = plane.clock.text()
