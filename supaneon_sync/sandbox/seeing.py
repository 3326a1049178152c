"""Keeping the records true to the running clusters: roles, databases, sizes."""

from __future__ import annotations

import logging
import time

import psycopg2

from supaneon_sync.errors import SupaneonError
from supaneon_sync.sandbox.plane import Plane
from supaneon_sync.sandbox.state import Branch, Database, Role

_log = logging.getLogger(__name__)
_FRESH_SECONDS = 1.0


def refresh(plane: Plane, branch: Branch, *, at_once: bool = False) -> None:
    """Read roles, databases and sizes from the branch's server if it runs; SQL may have changed them.

    A reading younger than a second is good enough unless ``at_once``.
    """
    fresh = time.monotonic() - plane.looked_at.get(branch.id, -_FRESH_SECONDS) < _FRESH_SECONDS
    if (fresh and not at_once) or not plane.clusters.running(branch.id):
        return
    try:
        look = plane.clusters.look(branch.id)
    except (psycopg2.Error, SupaneonError, KeyError) as error:
        _log.debug("%s cannot be read now: %s", branch.id, error)
        return
    with plane.lock:
        now = plane.clock.text()
        plane.looked_at[branch.id] = time.monotonic()
        roles = {name: branch.roles.get(name) or Role(name, None, now) for name in look.roles}
        branch.roles = roles
        known = {one.name: one.created_at for one in branch.databases.values()}
        branch.databases = {
            name: Database(oid, name, owner, known.get(name, now)) for oid, name, owner in look.databases
        }
        branch.logical_size = look.logical_size
        if branch.first_position is None:
            branch.first_position = look.flush_position
        branch.written_bytes = max(0, look.flush_position - branch.first_position)
