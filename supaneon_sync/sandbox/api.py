"""The HTTP face: which route is which verb, bodies in, JSON and errors out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from supaneon_sync.sandbox import account, admin, branches, catalog, endpoints, making, restoring
from supaneon_sync.sandbox.gate import Gate, error_shape
from supaneon_sync.sandbox.plane import Plane
from supaneon_sync.sandbox.refusal import ApiError, not_found

PREFIX = "/api/v2"
_ID = re.compile(r"[a-z0-9-]{1,60}")


@dataclass(frozen=True)
class Call:
    """One request, as the verbs need it."""

    plane: Plane
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    @property
    def fields(self) -> Mapping[str, Any]:
        """Return the body as an object. Raise ApiError (400) if it is something else."""
        if not isinstance(self.body, Mapping):
            raise ApiError(400, "the body must be a JSON object")
        return self.body


Verb = Callable[[Call], dict[str, Any] | None]

_P = "/projects/{project}"
_B = _P + "/branches/{branch}"
_E = _P + "/endpoints/{endpoint}"
_R = _B + "/roles/{role:path}"
_D = _B + "/databases/{database:path}"


def _verbs() -> list[tuple[str, str, Verb]]:
    return [
        ("GET", "/auth", lambda _: account.auth()),
        ("GET", "/users/me", lambda c: account.me(c.plane)),
        ("GET", "/users/me/organizations", lambda _: account.organizations()),
        ("GET", "/projects", lambda c: account.projects(c.plane, c.query)),
        ("GET", "/projects/shared", lambda _: account.shared_projects()),
        ("GET", _P, lambda c: account.project(c.plane, c.path["project"])),
        ("GET", _P + "/operations", lambda c: account.operations(c.plane, c.query)),
        ("GET", _P + "/operations/{operation}", lambda c: account.operation(c.plane, c.path["operation"])),
        ("GET", _P + "/connection_uri", lambda c: catalog.connection_uri(c.plane, c.query)),
        ("GET", _P + "/branches", lambda c: branches.listing(c.plane, c.query)),
        ("POST", _P + "/branches", lambda c: making.create(c.plane, c.fields)),
        ("GET", _P + "/branches/count", lambda c: branches.count(c.plane, c.query)),
        ("GET", _B, lambda c: branches.get(c.plane, c.path["branch"])),
        ("PATCH", _B, lambda c: branches.update(c.plane, c.path["branch"], c.fields)),
        ("DELETE", _B, lambda c: branches.delete(c.plane, c.path["branch"])),
        ("POST", _B + "/restore", lambda c: restoring.restore(c.plane, c.path["branch"], c.fields)),
        ("POST", _B + "/set_as_default", lambda c: branches.set_as_default(c.plane, c.path["branch"])),
        ("GET", _B + "/schema", lambda c: catalog.schema(c.plane, c.path["branch"], c.query)),
        ("GET", _B + "/endpoints", lambda c: endpoints.listing(c.plane, c.path["branch"])),
        ("GET", _B + "/roles", lambda c: catalog.roles(c.plane, c.path["branch"])),
        ("POST", _B + "/roles", lambda c: catalog.create_role(c.plane, c.path["branch"], c.fields)),
        (
            "GET",
            _R + "/reveal_password",
            lambda c: catalog.reveal_password(c.plane, c.path["branch"], c.path["role"]),
        ),
        (
            "POST",
            _R + "/reset_password",
            lambda c: catalog.reset_password(c.plane, c.path["branch"], c.path["role"]),
        ),
        ("GET", _R, lambda c: catalog.role(c.plane, c.path["branch"], c.path["role"])),
        ("DELETE", _R, lambda c: catalog.delete_role(c.plane, c.path["branch"], c.path["role"])),
        ("GET", _B + "/databases", lambda c: catalog.databases(c.plane, c.path["branch"])),
        ("POST", _B + "/databases", lambda c: catalog.create_database(c.plane, c.path["branch"], c.fields)),
        ("GET", _D, lambda c: catalog.database(c.plane, c.path["branch"], c.path["database"])),
        (
            "PATCH",
            _D,
            lambda c: catalog.update_database(c.plane, c.path["branch"], c.path["database"], c.fields),
        ),
        ("DELETE", _D, lambda c: catalog.delete_database(c.plane, c.path["branch"], c.path["database"])),
        ("GET", _P + "/endpoints", lambda c: endpoints.listing(c.plane)),
        ("POST", _P + "/endpoints", lambda c: endpoints.create(c.plane, c.fields)),
        ("GET", _E, lambda c: endpoints.get(c.plane, c.path["endpoint"])),
        ("PATCH", _E, lambda c: endpoints.update(c.plane, c.path["endpoint"], c.fields)),
        ("DELETE", _E, lambda c: endpoints.delete(c.plane, c.path["endpoint"])),
        ("POST", _E + "/start", lambda c: endpoints.start(c.plane, c.path["endpoint"])),
        ("POST", _E + "/suspend", lambda c: endpoints.suspend(c.plane, c.path["endpoint"])),
        ("POST", _E + "/restart", lambda c: endpoints.restart(c.plane, c.path["endpoint"])),
    ]


def _admin_verbs() -> list[tuple[str, str, Verb]]:
    return [
        ("GET", "/sandbox/faults", lambda c: admin.faults(c.plane)),
        ("POST", "/sandbox/faults", lambda c: admin.order_faults(c.plane, c.body)),
        ("DELETE", "/sandbox/faults", lambda c: admin.clear_faults(c.plane)),
        ("POST", "/sandbox/clock", lambda c: admin.move_clock(c.plane, c.fields)),
        ("POST", "/sandbox/branches", lambda c: admin.seed(c.plane, c.body)),
        (
            "PATCH",
            "/sandbox/branches/{branch}",
            lambda c: admin.change_branch(c.plane, c.path["branch"], c.fields),
        ),
        ("POST", "/sandbox/branches/{branch}/keep", lambda c: admin.keep(c.plane, c.path["branch"])),
        ("PATCH", "/sandbox/project", lambda c: admin.change_project(c.plane, c.fields)),
        ("POST", "/sandbox/projects", lambda c: admin.add_project(c.plane, c.fields)),
    ]


def application(plane: Plane, key: str) -> ASGIApp:
    """Return the ASGI application that answers for a control plane, to holders of the key."""
    routes = [_route(plane, method, PREFIX + path, verb) for method, path, verb in _verbs()]
    routes += [_route(plane, method, path, verb) for method, path, verb in _admin_verbs()]
    handlers: dict[Any, Any] = {ApiError: _refuse, HTTPException: _refuse_route, Exception: _admit}
    return Gate(Starlette(routes=routes, exception_handlers=handlers), plane.faults, key)


def _route(plane: Plane, method: str, path: str, verb: Verb) -> Route:
    created = {"/branches", "/roles", "/databases", "/endpoints"}
    status = 201 if method == "POST" and any(path.endswith(end) for end in created) else 200

    async def answer(request: Request) -> Response:
        body = await _body(request)
        _check_path(plane, path, request.path_params)
        call = Call(plane, request.path_params, dict(request.query_params), body)
        shape = await run_in_threadpool(verb, call)
        return Response(status_code=204) if shape is None else JSONResponse(shape, status)

    return Route(path, answer, methods=[method])


def _check_path(plane: Plane, route: str, path: Mapping[str, str]) -> None:
    for name in ("project", "branch", "endpoint", "operation"):
        if name in path and not _ID.fullmatch(path[name]):
            raise ApiError(404, "this route does not exist")
    if "project" not in path:
        return
    project = account.known_project(plane, path["project"])
    if route != PREFIX + _P and project is not plane.state.project:
        raise not_found("project")  # the others exist to be listed and looked at


async def _body(request: Request) -> Any:
    raw = await request.body()
    try:
        return json.loads(raw) if raw.strip() else {}
    except ValueError as error:
        raise ApiError(400, "the body is not JSON") from error


def _refuse(request: Request, error: ApiError) -> Response:
    response = error_shape(error.status, error.message, error.code, request.scope["request_id"])
    response.headers.update(error.headers)
    return response


def _admit(request: Request, _: Exception) -> Response:
    """Answer for a defect of the sandbox itself; its traceback is in the log."""
    return error_shape(500, "internal error of the sandbox", "", request.scope["request_id"])


def _refuse_route(request: Request, error: HTTPException) -> Response:
    return error_shape(error.status_code, "this route does not exist", "", request.scope["request_id"])
