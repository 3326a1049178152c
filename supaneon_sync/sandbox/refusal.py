"""Answers that are errors, in the shape of Neon's ``GeneralError``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer with an error status. ``code`` is often empty, as the real service leaves it."""

    def __init__(
        self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def not_found(what: str) -> ApiError:
    """Return the 404 for a thing that does not exist."""
    return ApiError(404, f"{what} not found")


def not_offered(what: str) -> ApiError:
    """Return the 400 for something Neon does and this sandbox cannot do honestly."""
    return ApiError(400, f"the sandbox cannot do this: {what}")


def busy() -> ApiError:
    """Return the 423 that every write meets while operations of the project are running."""
    return ApiError(
        423, "project already has running conflicting operations, scheduling of new ones is prohibited"
    )


def section(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object under a name of a body, empty if absent. Raise ApiError (400) for anything else."""
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ApiError(400, f"{name} must be a JSON object")
    return found
