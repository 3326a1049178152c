"""The doctor's rules about the role that reads the primary: does it see every row of every table?"""

from __future__ import annotations

from datetime import timedelta

from supaneon_sync.errors import PrimaryError
from supaneon_sync.policy import repairs
from supaneon_sync.policy.examined import Seen
from supaneon_sync.policy.findings import Finding, counted, failed, ok, some, warning
from supaneon_sync.policy.primary_checks import primary_of

_SOON = timedelta(days=14)


def role(seen: Seen) -> Finding:
    """The role that reads will still be able to log in."""
    reader = primary_of(seen).reader
    rls = "bypasses row security" if reader.bypasses_rls or reader.superuser else "is held by row security"
    if reader.valid_until is not None and reader.valid_until - seen.now < _SOON:
        return warning(
            f"the password of {reader.name} ends on {reader.valid_until:%Y-%m-%d}",
            "Give it a new one, update the secret SUPABASE_DATABASE_URL, and move the date.",
            sql=(f"ALTER ROLE {reader.name} VALID UNTIL 'infinity';",),
        )
    if reader.superuser:
        return warning(
            f"{reader.name} is a superuser: far more than reading needs",
            "Use a role that only reads; supaneon-sync roles-sql prints it.",
        )
    return ok(f"{reader.name} {rls}")


def rights(seen: Seen) -> Finding:
    """The role can read every table and sequence of the database."""
    one = primary_of(seen)
    denied = one.rights.denied
    if not denied:
        return ok(f"all {counted(one.contents.tables, 'table')} and every sequence")
    sql, sentence = repairs.reading(one.rights, one.reader.name, one.admin)
    tables = [item.target for item in denied if item.kind == "TABLE"]
    others = [f"{item.kind.lower()} {item.target}" for item in denied if item.kind != "TABLE"]
    evidence = "; ".join(
        part
        for part in (
            f"{counted(len(tables), 'table')} without SELECT: {some(tables)}" if tables else "",
            f"no access to {some(others)}" if others else "",
        )
        if part
    )
    return failed(
        PrimaryError,
        f"{one.reader.name} cannot read everything: {evidence}",
        sentence,
        sql=sql,
        details=[f"{item.kind.lower()} {item.target}, owned by {item.owner}" for item in denied],
    )


def row_security(seen: Seen) -> Finding:
    """No row is hidden from the role."""
    one = primary_of(seen)
    hidden = one.rights.row_secured
    if not hidden:
        return ok("hides nothing from this role")
    sql, sentence = repairs.bypassing(one.reader.name, one.admin, one.major)
    return failed(
        PrimaryError,
        f"hides rows of {counted(len(hidden), 'table')} from {one.reader.name}: {some(hidden)}",
        f"The run would stop rather than copy a part. {sentence}",
        sql=sql,
        details=hidden,
    )


def large_objects(seen: Seen) -> Finding:
    """The role can read every large object."""
    one = primary_of(seen)
    denied = one.rights.large_objects_denied
    if not denied:
        return ok(f"{counted(one.rights.large_objects, 'large object')}")
    who = (
        f"Run this as {one.admin.name}."
        if one.rights.large_objects_grantable
        else "Run this as their owners."
    )
    return failed(
        PrimaryError,
        f"{one.reader.name} cannot read {len(denied)} of {counted(one.rights.large_objects, 'large object')}",
        f"pg_read_all_data does not cover large objects. {who}",
        sql=repairs.large_objects(denied, one.reader.name),
    )
