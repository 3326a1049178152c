"""Small primaries, written down: entries, facts and targets for tests of the portability table."""

from __future__ import annotations

import dataclasses
from typing import Any

from supaneon_sync.policy import portability
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Inventory, Locale, Relation, Role, Target
from supaneon_sync.policy.plan import Decision, Plan

POST = (
    *("INDEX", "CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "POLICY", "RULE", "ROW SECURITY", "INDEX ATTACH"),
    *("STATISTICS", "PUBLICATION", "PUBLICATION TABLE", "EVENT TRIGGER", "CHECK CONSTRAINT"),
)


def entry(number: int, kind: str, tag: str, schema: str = "public", **fields: Any) -> Entry:
    """An entry whose OID is its dump id; ``needs`` are dump ids."""
    section = Section.POST_DATA if kind in POST else Section.PRE_DATA
    values: dict[str, Any] = {
        "dump_id": number,
        "catalog": 1259 if kind in ("TABLE", "VIEW", "SEQUENCE", "MATERIALIZED VIEW") else 1,
        "oid": number,
        "kind": kind,
        "schema": schema,
        "tag": tag,
        "section": section,
        "definition": f"CREATE {kind} {tag};\n",
        "owner": "postgres",
    }
    return Entry(**values | fields | {"needs": frozenset(fields.get("needs", ()))})


def relation(number: int, name: str, schema: str = "public", **fields: Any) -> Relation:
    """A plain table."""
    values: dict[str, Any] = {"kind": "r", "persistence": "p", "file": number, "columns": ()}
    return Relation(oid=number, schema=schema, name=name, **values | fields)


def facts(*relations: Relation, **fields: Any) -> Inventory:
    """What the catalogs of a primary of PostgreSQL 17 say, empty where not given."""
    values: dict[str, Any] = {
        one.name: {} for one in dataclasses.fields(Inventory) if one.default is dataclasses.MISSING
    } | {
        "database": "postgres",
        "version": "17.6",
        "locale": Locale("UTF8", "c", "C", "C", ""),
        "size": 0,
        "system_identifier": "1",
        "relations": {one.oid: one for one in relations},
        "extension_members": frozenset(),
        "grants": (),
        "roles": {name: Role(name, True, name == "service_role") for name in ROLES},
        "large_objects": 0,
        "database_settings": (),
        "role_settings": (),
    }
    return Inventory(**values | fields)


ROLES = ("anon", "authenticated", "service_role", "postgres", "supabase_admin", "app_reporting")
TARGET = Target(17, frozenset(("pgcrypto", "citext")), "neondb_owner", can_create_bypassrls=True)


def decided(entries: list[Entry], inventory: Inventory | None = None, **options: Any) -> Plan:
    """The plan for these entries on a target of PostgreSQL 17."""
    target = options.pop("target", TARGET)
    return portability.decide(entries, inventory or facts(), target, **options)


def fate(plan: Plan, tag: str) -> Decision:
    """The decision on the one entry with this tag."""
    (found,) = (decision for decision in plan.decisions if decision.entry.tag == tag)
    return found
