"""The SQL that gives the reading role what it lacks, and who has to run it for it to work.

A GRANT by a role that neither owns the object nor holds the right to hand it on prints ``WARNING: no
privileges were granted``, changes nothing, and counts as a success: so who can grant what is looked at
before a GRANT is recommended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from supaneon_sync.policy.examined import Admin, Denied, Rights

READ_ALL = "GRANT pg_read_all_data TO {role};"
BYPASS = "ALTER ROLE {role} BYPASSRLS;"


def grants(denied: Sequence[Denied], role: str) -> tuple[str, ...]:
    """Return the GRANTs that cover exactly these objects. ``role`` is quoted."""
    statements = [f"GRANT USAGE ON SCHEMA {one.target} TO {role};" for one in denied if one.kind == "SCHEMA"]
    by_schema: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in denied:
        if one.kind != "SCHEMA":
            by_schema[one.kind, one.schema].append(one.target)
    for (kind, _), targets in by_schema.items():
        statements.append(f"GRANT SELECT ON {kind} {', '.join(targets)} TO {role};")
    return tuple(statements)


def reading(rights: Rights, role: str, admin: Admin) -> tuple[tuple[str, ...], str]:
    """Return the SQL by which ``role`` can read everything, and the sentence that goes with it."""
    stubborn = [one for one in rights.denied if not (one.grantable or admin.superuser)]
    if not stubborn:
        return grants(rights.denied, role), f"Run this as {admin.name}."
    owners = ", ".join(sorted({one.owner for one in stubborn}))
    why = (
        f'A GRANT by {admin.name} on {_objects(stubborn)} would only warn ("no privileges were granted") and'
        f" change nothing: they belong to {owners}. Grant pg_read_all_data instead"
    )
    if admin.may_grant_read_all:
        return (READ_ALL.format(role=role),), f"{why}, as {admin.name}."
    why += (
        f"; that too needs a superuser here, since {admin.name} has no ADMIN OPTION on it. Without one, let"
        f" SUPABASE_DATABASE_URL name {admin.name} itself, which reads everything on Supabase."
    )
    return (READ_ALL.format(role=role),), why


def bypassing(role: str, admin: Admin, major: int) -> tuple[tuple[str, ...], str]:
    """Return the SQL by which row security stops hiding rows from ``role``, and who can run it."""
    statement = (BYPASS.format(role=role),)
    if admin.may_give_bypassrls or admin.superuser:
        return statement, f"Run this as {admin.name}."
    if admin.supautils:
        return statement, f"Run this as {admin.name}: Supabase's supautils lends it the right."
    needed = "a superuser" if major < 16 else f"a superuser, or {admin.name} with ADMIN OPTION on the role"
    who = f"On PostgreSQL {major} only {needed} may run this. Without one, let SUPABASE_DATABASE_URL name"
    return statement, f"{who} {admin.name} itself."


def large_objects(oids: Iterable[int], role: str) -> tuple[str, ...]:
    """Return the GRANTs on large objects; pg_read_all_data does not cover those."""
    return tuple(f"GRANT SELECT ON LARGE OBJECT {oid} TO {role};" for oid in oids)


def _objects(denied: Sequence[Denied]) -> str:
    schemas = sorted({one.schema for one in denied})
    return ("schema " if len(schemas) == 1 else "schemas ") + ", ".join(schemas)
