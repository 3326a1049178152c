"""Roles and databases of a branch, read from its cluster and changed in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from psycopg2 import sql

from supaneon_sync.sandbox import shapes
from supaneon_sync.sandbox.plane import Plane, Step
from supaneon_sync.sandbox.refusal import ApiError, not_found, not_offered, section
from supaneon_sync.sandbox.seeing import refresh
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Branch, Database, Endpoint, Role, new_password


def _seen(plane: Plane, branch_id: str) -> Branch:
    branch = plane.state.branch(branch_id)
    refresh(plane, branch, at_once=True)
    return branch


def _role(branch: Branch, name: str) -> Role:
    if name not in branch.roles:
        raise not_found("role")
    return branch.roles[name]


def _database(branch: Branch, name: str) -> Database:
    if name not in branch.databases:
        raise not_found("database")
    return branch.databases[name]


def _apply(plane: Plane, branch: Branch, work: Callable[[], None]) -> list[Json]:
    """Schedule a change of the cluster and return its operations as JSON."""
    if not branch.has_data:
        raise not_offered("a change of a branch that was seeded without data")
    endpoint = plane.state.endpoint_of(branch.id)

    def work_and_look() -> None:
        with plane.clusters.awake(branch.id):
            work()
            refresh(plane, branch, at_once=True)

    step = Step("apply_config", branch.id, endpoint.id if endpoint else None, work_and_look)
    return [shapes.operation(one) for one in plane.schedule(step)]


def roles(plane: Plane, branch_id: str) -> Json:
    """Answer GET roles."""
    branch = _seen(plane, branch_id)
    return {"roles": [shapes.role(one, branch_id) for one in list(branch.roles.values())]}


def role(plane: Plane, branch_id: str, name: str) -> Json:
    """Answer GET role."""
    return {"role": shapes.role(_role(_seen(plane, branch_id), name), branch_id)}


def create_role(plane: Plane, branch_id: str, body: Mapping[str, Any]) -> Json:
    """Answer POST roles."""
    options = section(body, "role")
    name = str(options.get("name", ""))
    if not 1 <= len(name.encode()) <= 63:
        raise ApiError(400, "role name must have 1 to 63 bytes")
    branch = _seen(plane, branch_id)
    with plane.writing():
        if name in branch.roles:
            raise ApiError(409, f'role already exists; role_name:"{name}"')
        made = Role(name, None if options.get("no_login") else new_password(), plane.clock.text())
        operations = _apply(plane, branch, lambda: plane.clusters.create_role(branch.id, name, made.password))
        branch.roles[name] = made
        return {"role": shapes.role(made, branch_id, with_password=True), "operations": operations}


def delete_role(plane: Plane, branch_id: str, name: str) -> Json | None:
    """Answer DELETE role: what it owns goes to each database's owner. None for an unknown one (204)."""
    branch = _seen(plane, branch_id)
    if name not in branch.roles:
        return None
    if any(one.owner_name == name for one in branch.databases.values()):
        raise ApiError(422, "the role owns a database")
    with plane.writing():
        gone = _role(branch, name)
        old = sql.Identifier(name)

        def work() -> None:
            for one in list(branch.databases.values()):
                heir = sql.Identifier(one.owner_name)
                statement = sql.SQL("reassign owned by {} to {}; drop owned by {}").format(old, heir, old)
                plane.clusters.command(branch.id, statement, one.name)
            plane.clusters.command(branch.id, sql.SQL("drop role {}").format(old))

        return {"role": shapes.role(gone, branch_id), "operations": _apply(plane, branch, work)}


def reveal_password(plane: Plane, branch_id: str, name: str) -> Json:
    """Answer GET reveal_password."""
    found = _role(_seen(plane, branch_id), name)
    if not plane.state.project.overrides.get("store_passwords", True):
        raise ApiError(412, "project does not store passwords")
    if found.password is None:
        raise not_found("role password")
    return {"password": found.password}


def reset_password(plane: Plane, branch_id: str, name: str) -> Json:
    """Answer POST reset_password. The new password counts when the operation has finished."""
    branch = _seen(plane, branch_id)
    with plane.writing():
        changed = _role(branch, name)
        password = new_password()
        operations = _apply(plane, branch, lambda: plane.clusters.set_passwords(branch.id, {name: password}))
        changed.password = password
        return {"role": shapes.role(changed, branch_id, with_password=True), "operations": operations}


def databases(plane: Plane, branch_id: str) -> Json:
    """Answer GET databases."""
    branch = _seen(plane, branch_id)
    return {"databases": [shapes.database(one, branch_id) for one in list(branch.databases.values())]}


def database(plane: Plane, branch_id: str, name: str) -> Json:
    """Answer GET database."""
    return {"database": shapes.database(_database(_seen(plane, branch_id), name), branch_id)}


def create_database(plane: Plane, branch_id: str, body: Mapping[str, Any]) -> Json:
    """Answer POST databases."""
    options = section(body, "database")
    name, owner = str(options.get("name", "")), str(options.get("owner_name", ""))
    if not 1 <= len(name.encode()) <= 63:
        raise ApiError(400, "database name must have 1 to 63 bytes")
    branch = _seen(plane, branch_id)
    with plane.writing() as state:
        if name in branch.databases:
            raise ApiError(409, f'database already exists; database_name:"{name}"')
        _role(branch, owner)
        made = Database(state.serial(), name, owner, plane.clock.text())
        operations = _apply(plane, branch, lambda: plane.clusters.create_database(branch.id, name, owner))
        branch.databases[name] = made
        return {"database": shapes.database(made, branch_id), "operations": operations}


def update_database(plane: Plane, branch_id: str, name: str, body: Mapping[str, Any]) -> Json:
    """Answer PATCH database: another name, another owner."""
    changes = section(body, "database")
    branch = _seen(plane, branch_id)
    with plane.writing():
        old = _database(branch, name)
        new = Database(
            old.id, changes.get("name", name), changes.get("owner_name", old.owner_name), old.created_at
        )
        _role(branch, new.owner_name)
        if new.name != name and new.name in branch.databases:
            raise ApiError(409, f'database already exists; database_name:"{new.name}"')

        def work() -> None:
            if new.name != name:
                statement = sql.SQL("alter database {} rename to {}")
                names = sql.Identifier(name), sql.Identifier(new.name)
                plane.clusters.command(branch.id, statement.format(*names))
            owner = sql.SQL("alter database {} owner to {}")
            plane.clusters.command(
                branch.id, owner.format(sql.Identifier(new.name), sql.Identifier(new.owner_name))
            )

        return {"database": shapes.database(new, branch_id), "operations": _apply(plane, branch, work)}


def delete_database(plane: Plane, branch_id: str, name: str) -> Json | None:
    """Answer DELETE database; None for an unknown one (204)."""
    branch = _seen(plane, branch_id)
    if name not in branch.databases:
        return None
    with plane.writing():
        gone = _database(branch, name)
        statement = sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
        operations = _apply(plane, branch, lambda: plane.clusters.command(branch.id, statement))
        return {"database": shapes.database(gone, branch_id), "operations": operations}


def schema(plane: Plane, branch_id: str, query: Mapping[str, str]) -> Json:
    """Answer GET schema: what pg_dump says of a database now."""
    if query.get("lsn") or query.get("timestamp") or query.get("format", "sql") != "sql":
        raise not_offered("a schema of an earlier moment or in another format")
    if not query.get("db_name"):
        raise ApiError(400, "db_name is required")
    branch = _seen(plane, branch_id)
    name = _database(branch, query["db_name"]).name
    with plane.clusters.awake(branch.id) as server:
        command = (str(server.binaries.tool("pg_dump")), "--schema-only", "--no-password")
        environment = server.binaries.environment() | {
            "PGHOST": str(server.sockets),
            "PGPORT": str(server.port),
            "PGUSER": server.superuser,
            "PGDATABASE": name,
        }
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise ApiError(500, f"pg_dump failed: {done.stderr.strip()[-300:]}")
    return {"sql": done.stdout}


def connection_uri(plane: Plane, query: Mapping[str, str]) -> Json:
    """Answer GET connection_uri."""
    for needed in ("database_name", "role_name"):
        if not query.get(needed):
            raise ApiError(400, f"{needed} is required")
    branch_id = query.get("branch_id") or plane.state.default_branch().id
    branch = _seen(plane, branch_id)
    endpoint = _endpoint(plane, branch, query.get("endpoint_id"))
    found = _role(branch, query["role_name"])
    database_name = _database(branch, query["database_name"]).name
    if found.password is None:
        raise not_found("role password")
    pooled = query.get("pooled", "").lower() in {"true", "1"}
    return {"uri": shapes.connection_uri(endpoint, found.name, found.password, database_name, pooled=pooled)}


def _endpoint(plane: Plane, branch: Branch, endpoint_id: str | None) -> Endpoint:
    endpoint = plane.state.endpoint(endpoint_id) if endpoint_id else plane.state.endpoint_of(branch.id)
    if endpoint is None or endpoint.branch_id != branch.id:
        raise not_found("endpoint")
    return endpoint
