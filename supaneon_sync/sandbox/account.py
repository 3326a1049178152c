"""What the API says about the caller and the projects, and the log of operations."""

from __future__ import annotations

from collections.abc import Mapping

from supaneon_sync.sandbox import shapes
from supaneon_sync.sandbox.plane import Plane
from supaneon_sync.sandbox.refusal import ApiError, not_found
from supaneon_sync.sandbox.shapes import Json
from supaneon_sync.sandbox.state import Project

_ADDRESS = (
    "address_city",
    "address_country",
    "address_line1",
    "address_line2",
    "address_postal_code",
    "address_state",
)


def auth() -> Json:
    """Answer GET /auth."""
    return {"account_id": "sandbox-account", "auth_method": "api_key_user"}


def me(plane: Plane) -> Json:
    """Answer GET /users/me."""
    return {
        "active_seconds_limit": 0,
        "billing_account": {
            "state": "active",
            "payment_source": {"type": ""},
            "subscription_type": plane.plan.subscription,
            "payment_method": "none",
            "quota_reset_at_last": plane.state.project.created_at,
            "name": "Sandbox",
            "email": "sandbox@example.com",
            **dict.fromkeys(_ADDRESS, ""),
        },
        "auth_accounts": [],
        "email": "sandbox@example.com",
        "id": "sandbox-account",
        "image": "",
        "login": "sandbox",
        "name": "Sandbox",
        "last_name": "Sandbox",
        "projects_limit": 1,
        "branches_limit": plane.plan.branches,
        "max_autoscaling_limit": 2,
        "plan": plane.plan.subscription,
    }


def organizations() -> Json:
    """Answer GET /users/me/organizations."""
    return {"organizations": []}


def projects(plane: Plane, query: Mapping[str, str]) -> Json:
    """Answer GET /projects."""
    known = [plane.state.project, *plane.state.other_projects]
    wanted = query.get("search", "").lower()
    found = [one for one in known if wanted in one.name.lower() or wanted in one.id]
    ids = [one.id for one in found]
    start = ids.index(query["cursor"]) + 1 if query.get("cursor") in ids else 0
    limit = query.get("limit", "10")
    if not limit.isdigit() or not 1 <= int(limit) <= 400:
        raise ApiError(400, "limit must be between 1 and 400")
    page = found[start : start + int(limit)]
    now = plane.clock.text()
    answer: Json = {
        "projects": [shapes.project(one, plane.plan, now, listed=True) for one in page],
        "applications": {},
        "integrations": {},
    }
    if page:
        answer["pagination"] = {"cursor": page[-1].id}
    return answer


def shared_projects() -> Json:
    """Answer GET /projects/shared."""
    return {"projects": []}


def project(plane: Plane, project_id: str) -> Json:
    """Answer GET project."""
    return {"project": shapes.project(known_project(plane, project_id), plane.plan, plane.clock.text())}


def known_project(plane: Plane, project_id: str) -> Project:
    """Return a project by id. Raise ApiError (404) if the caller has no such project."""
    for one in (plane.state.project, *plane.state.other_projects):
        if one.id == project_id:
            return one
    raise not_found("project")


def operations(plane: Plane, query: Mapping[str, str]) -> Json:
    """Answer GET operations, newest first; the cursor is there even on the last page."""
    limit = query.get("limit", "1000")
    if not limit.isdigit() or not 1 <= int(limit) <= 1000:
        raise ApiError(400, "limit must be between 1 and 1000")
    with plane.lock:
        found = sorted(plane.state.operations.values(), key=lambda one: one.serial, reverse=True)
        cursor = query.get("cursor", "")
        if cursor.isdigit():
            found = [one for one in found if one.serial < int(cursor)]
        page = found[: int(limit)]
        answer: Json = {"operations": [shapes.operation(one) for one in page]}
        if page:
            answer["pagination"] = {"cursor": str(page[-1].serial)}
        return answer


def operation(plane: Plane, operation_id: str) -> Json:
    """Answer GET operation."""
    with plane.lock:
        if operation_id not in plane.state.operations:
            raise not_found("operation")
        return {"operation": shapes.operation(plane.state.operations[operation_id])}
