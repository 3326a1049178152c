"""Endpoints: made, changed, started, suspended, woken by a knock, put to sleep when idle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supaneon_sync.sandbox import shapes
from supaneon_sync.sandbox.cluster import free_port
from supaneon_sync.sandbox.limits import check_suspend_timeout
from supaneon_sync.sandbox.plane import Plane, Step
from supaneon_sync.sandbox.refusal import ApiError, busy, not_offered, section
from supaneon_sync.sandbox.seeing import refresh
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Branch, Endpoint, mint


def record(plane: Plane, branch: Branch, options: Mapping[str, Any]) -> Endpoint:
    """Return a new endpoint for a branch, checked against the rules and recorded. Call it while writing."""
    kind = options.get("type", "read_write")
    if kind not in {"read_write", "read_only"}:
        raise ApiError(400, f"no endpoint type: {kind}")
    if kind == "read_only":
        raise not_offered("read_only endpoints")
    if plane.state.endpoint_of(branch.id):
        raise ApiError(409, "read_write endpoint already exists")
    check_suspend_timeout(plane.plan, options.get("suspend_timeout_seconds"))
    settings = options.get("settings")
    if isinstance(settings, dict) and settings and "pg_settings" not in settings:
        raise ApiError(400, "settings must not be nil")
    now = plane.clock.text()
    endpoint = Endpoint(
        id=mint("ep"),
        project_id=plane.state.project.id,
        branch_id=branch.id,
        port=free_port(),
        created_at=now,
        updated_at=now,
        suspend_timeout_seconds=options.get("suspend_timeout_seconds") or 0,
        min_cu=options.get("autoscaling_limit_min_cu", 0.25),
        max_cu=options.get("autoscaling_limit_max_cu", 0.25),
        settings=settings or {},
        name=options.get("name"),
        disabled=bool(options.get("disabled", False)),
    )
    plane.state.endpoints[endpoint.id] = endpoint
    return endpoint


def starting(plane: Plane, endpoint: Endpoint, action: str = "start_compute") -> Step:
    """Return the step that starts an endpoint's server."""

    def work() -> None:
        branch = plane.state.branch(endpoint.branch_id)
        if not branch.has_data:
            raise not_offered("a compute on a branch that was seeded without data")
        bring_up(plane, endpoint)
        refresh(plane, branch, at_once=True)

    return Step(action, endpoint.branch_id, endpoint.id, work, lambda: _settle(plane, endpoint))


def bring_up(plane: Plane, endpoint: Endpoint) -> None:
    """Start an endpoint's server, behind a door if it will be suspended unasked."""
    door = None if plane.suspend_after is None else lambda: wake(plane, endpoint.id)
    plane.clusters.start(endpoint.branch_id, endpoint.port, door)


def suspending(plane: Plane, endpoint: Endpoint) -> Step:
    """Return the step that suspends an endpoint's server, to be woken by the next connection."""

    def work() -> None:
        refresh(plane, plane.state.branch(endpoint.branch_id), at_once=True)
        plane.clusters.suspend(endpoint.branch_id, endpoint.port, lambda: wake(plane, endpoint.id))

    return Step("suspend_compute", endpoint.branch_id, endpoint.id, work, lambda: _settle(plane, endpoint))


def wake(plane: Plane, endpoint_id: str) -> int:
    """Start a suspended endpoint because somebody connects. Return the port its server listens on.

    Raises RuntimeError where nobody may connect.
    """
    endpoint = plane.state.endpoints.get(endpoint_id)
    if endpoint is None or endpoint.disabled:
        raise RuntimeError("endpoint is disabled or gone")
    with plane.clusters.holding(endpoint.branch_id):
        if not plane.clusters.running(endpoint.branch_id):
            plane.perform(starting(plane, endpoint))
        if not plane.clusters.running(endpoint.branch_id):
            raise RuntimeError("the compute did not start")
        return plane.clusters.server(endpoint.branch_id).port


def _settle(plane: Plane, endpoint: Endpoint) -> None:
    """Put down what became of the endpoint's server."""
    now = plane.clock.text()
    runs = plane.clusters.running(endpoint.branch_id)
    endpoint.current_state = "active" if runs else "idle"
    endpoint.pending_state = None
    endpoint.updated_at = endpoint.last_active = now
    if runs:
        endpoint.started_at, endpoint.suspended_at = now, None
    else:
        endpoint.suspended_at = now


def suspend_idle(plane: Plane) -> None:
    """Suspend the endpoints whose clients have done nothing for long enough."""
    if plane.suspend_after is None:
        return
    for endpoint in list(plane.state.endpoints.values()):
        if endpoint.current_state == "active" and plane.clusters.running(endpoint.branch_id):
            idle = plane.clusters.idle_seconds(endpoint.branch_id)
            if idle >= plane.suspend_after and not plane.state.running():
                plane.perform(suspending(plane, endpoint))


def _answer(plane: Plane, endpoint: Endpoint, *steps: Step) -> Json:
    operations = plane.schedule(*steps)
    return {
        "endpoint": shapes.endpoint(endpoint),
        "operations": [shapes.operation(one) for one in operations],
    }


def create(plane: Plane, body: Mapping[str, Any]) -> Json:
    """Answer POST endpoints."""
    options = section(body, "endpoint")
    with plane.writing() as state:
        branch = state.branch(str(options.get("branch_id")))
        if not branch.has_data:
            raise not_offered("a compute on a branch that was seeded without data")
        endpoint = record(plane, branch, options)
        return _answer(plane, endpoint, starting(plane, endpoint))


def listing(plane: Plane, branch_id: str | None = None) -> Json:
    """Answer GET endpoints, of the project or of one branch."""
    with plane.lock:
        if branch_id:
            plane.state.branch(branch_id)
        chosen = [one for one in plane.state.endpoints.values() if branch_id in {None, one.branch_id}]
        return {"endpoints": [shapes.endpoint(one) for one in chosen]}


def get(plane: Plane, endpoint_id: str) -> Json:
    """Answer GET endpoint."""
    with plane.lock:
        return {"endpoint": shapes.endpoint(plane.state.endpoint(endpoint_id))}


def update(plane: Plane, endpoint_id: str, body: Mapping[str, Any]) -> Json:
    """Answer PATCH endpoint."""
    changes = section(body, "endpoint")
    with plane.writing() as state:
        endpoint = state.endpoint(endpoint_id)
        check_suspend_timeout(plane.plan, changes.get("suspend_timeout_seconds"))
        endpoint.suspend_timeout_seconds = changes.get(
            "suspend_timeout_seconds", endpoint.suspend_timeout_seconds
        )
        endpoint.min_cu = changes.get("autoscaling_limit_min_cu", endpoint.min_cu)
        endpoint.max_cu = changes.get("autoscaling_limit_max_cu", endpoint.max_cu)
        endpoint.settings = changes.get("settings", endpoint.settings)
        endpoint.name = changes.get("name", endpoint.name)
        endpoint.disabled = bool(changes.get("disabled", endpoint.disabled))
        endpoint.updated_at = plane.clock.text()
        if endpoint.disabled and endpoint.current_state == "active":
            return _answer(plane, endpoint, suspending(plane, endpoint))
        return _answer(plane, endpoint, Step("apply_config", endpoint.branch_id, endpoint.id))


def delete(plane: Plane, endpoint_id: str) -> Json | None:
    """Answer DELETE endpoint; None where there is no such endpoint (204)."""
    with plane.lock:
        if endpoint_id not in plane.state.endpoints:
            return None
    with plane.writing() as state:
        endpoint = state.endpoint(endpoint_id)
        if state.branch(endpoint.branch_id).protected:
            raise ApiError(422, "cannot delete the endpoint of a protected branch")

        def work() -> None:
            refresh(plane, state.branch(endpoint.branch_id), at_once=True)
            plane.clusters.stop(endpoint.branch_id)

        def forget() -> None:
            state.endpoints.pop(endpoint.id, None)

        step = Step(
            "suspend_compute",
            endpoint.branch_id,
            endpoint.id,
            work,
            forget,
        )
        endpoint.pending_state = "idle"
        return _answer(plane, endpoint, step)


def start(plane: Plane, endpoint_id: str) -> Json:
    """Answer POST start."""
    with plane.writing() as state:
        endpoint = state.endpoint(endpoint_id)
        if endpoint.disabled:
            raise ApiError(422, "endpoint is disabled")
        endpoint.pending_state = "active"
        return _answer(plane, endpoint, starting(plane, endpoint))


def suspend(plane: Plane, endpoint_id: str) -> Json:
    """Answer POST suspend. An idle endpoint needs no operation."""
    with plane.writing() as state:
        endpoint = state.endpoint(endpoint_id)
        if endpoint.current_state == "idle":
            return _answer(plane, endpoint)
        if endpoint.current_state == "init":
            raise busy()
        endpoint.pending_state = "idle"
        return _answer(plane, endpoint, suspending(plane, endpoint))


def restart(plane: Plane, endpoint_id: str) -> Json:
    """Answer POST restart."""
    with plane.writing() as state:
        endpoint = state.endpoint(endpoint_id)
        endpoint.pending_state = "active"
        return _answer(plane, endpoint, suspending(plane, endpoint), starting(plane, endpoint))


def forget_all(plane: Plane, branch_id: str) -> None:
    """Drop the records of a branch's endpoints."""
    for one in [one for one in plane.state.endpoints.values() if one.branch_id == branch_id]:
        del plane.state.endpoints[one.id]
