"""Is the copy's schema the planned one? Two tables of contents, read by the same pg_dump, compared."""

from __future__ import annotations

from collections.abc import Iterable

from supaneon_sync.policy.entries import Entry
from supaneon_sync.policy.facts import Grant
from supaneon_sync.policy.platform import NEVER, ROWS, SESSION
from supaneon_sync.policy.portability import Plan

_NOT_COMPARED = SESSION | ROWS | {"ACL", *(kind for kind in NEVER if kind == "DEFAULT ACL")}
_SHOWN_OTHERWISE = frozenset(
    {
        "CHECK CONSTRAINT",
        "CONSTRAINT",
        "DEFAULT",
        "DOMAIN",
        "FUNCTION",
        "INDEX",
        "MATERIALIZED VIEW",
        "POLICY",
    }
    | {"PROCEDURE", "RULE", "STATISTICS", "TABLE", "TRIGGER", "TYPE", "VIEW"}
)
"""Kinds whose text a server of another major may word differently for the same object (tried: view
definitions of 15 and 16)."""


def differences(
    plan: Plan, copy: Iterable[Entry], *, excused: Iterable[Entry], same_major: bool
) -> tuple[str, ...]:
    """Return a sentence for each way in which the copy's schema is not the planned one.

    ``excused`` are planned entries that the primary's own rows violate. Across majors, kinds that
    servers word differently are compared by presence alone.
    """
    spared = {entry.identity for entry in excused} | {
        ("TABLE", table.schema, table.name) for table in plan.unlogged
    }
    wanted = {entry.identity: entry.definition for entry in plan.kept() if not _ignored(entry)}
    found = {entry.identity: entry.definition for entry in copy if not _ignored(entry)}
    told = [f"{_name(i)} is missing on the copy" for i in wanted if i not in found and i not in spared]
    told += [f"{_name(i)} is on the copy but not on the primary" for i in found if i not in wanted]
    for identity, definition in wanted.items():
        exact = same_major or identity[0] not in _SHOWN_OTHERWISE
        if identity in found and exact and identity not in spared and definition != found[identity]:
            told.append(f"{_name(identity)} is defined differently on the copy")
    return tuple(sorted(told))


def grant_differences(plan: Plan, found: Iterable[Grant]) -> tuple[str, ...]:
    """Return a sentence for each privilege that a role of the plan, or PUBLIC, has too little or too much."""
    roles = {role.name for role in plan.roles} | {""}
    wanted, there = _held(plan.grants, roles), _held(found, roles)
    return tuple(
        sorted(
            [f"{_privilege(one)} is missing on the copy" for one in wanted - there]
            + [f"{_privilege(one)} is held on the copy but not on the primary" for one in there - wanted]
        )
    )


def _held(grants: Iterable[Grant], roles: set[str]) -> set[tuple[str, str, str, bool]]:
    return {
        (grant.target, grant.grantee, privilege, grant.grantable)
        for grant in grants
        for privilege in grant.privileges
        if grant.grantee in roles
    }


def _privilege(held: tuple[str, str, str, bool]) -> str:
    target, grantee, privilege, grantable = held
    option = " with grant option" if grantable else ""
    return f"{privilege} on {target} for {grantee or 'PUBLIC'}{option}"


def _ignored(entry: Entry) -> bool:
    return (
        entry.kind in _NOT_COMPARED
        or (entry.kind == "SCHEMA" and entry.tag == "public")
        or (entry.kind == "COMMENT" and entry.tag.startswith("EXTENSION "))
    )


def _name(identity: tuple[str, str, str]) -> str:
    kind, schema, tag = identity
    return f"{kind.lower()} {schema}.{tag}" if schema else f"{kind.lower()} {tag}"
