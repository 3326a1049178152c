"""What a reader has to know of a copy that is not the primary's twin in every way, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from supaneon_sync.policy.entries import Entry
from supaneon_sync.policy.facts import Inventory, ObjectId, Target
from supaneon_sync.policy.plan import Decision, Fate, NewRole, Topic
from supaneon_sync.policy.platform import REFILLED_EXTENSIONS, RULES


def unbound(inventory: Inventory, target: Target, roles: tuple[NewRole, ...]) -> str:
    """Return what to say of roles that bypass row security on the primary and cannot on the copy."""
    less = [role.name for role in roles if inventory.roles[role.name].bypasses_rls and not role.bypasses_rls]
    if not less:
        return ""
    return (
        f"On PostgreSQL {target.major} the copy's owner may not create roles that bypass row security:"
        f" {', '.join(less)} read and write there only what policies allow."
    )


def not_dumped(inventory: Inventory) -> str:
    """Return what to say of rows that no dump holds, since their tables belong to extensions."""
    lost = [
        one.label for one in inventory.member_tables if one.pages and one.extension not in REFILLED_EXTENSIONS
    ]
    if not lost:
        return ""
    return (
        "These tables belong to extensions, so that no dump holds their rows, and neither does this backup:"
        f" {', '.join(lost)}."
    )


def empowered(there: Mapping[ObjectId, Entry], inventory: Inventory) -> str:
    """Return what to say of code that gains rights on the copy, where everything has one owner."""
    running = sorted(f"{there[o].name} ({who})" for o, who in inventory.runs_as_owner.items() if o in there)
    if not running:
        return ""
    return (
        "These ran with the rights of a role of yours on the primary, and run with those of the copy's owner,"
        f" whom row security does not bind: {', '.join(running)}."
    )


def lost(decisions: Iterable[Decision]) -> tuple[str, ...]:
    """Return what to say of rules over rows that the copy has to do without."""
    lost = [
        d
        for d in decisions
        if d.fate is Fate.LEFT_OUT and d.told and d.entry.kind in RULES and d.topic is not Topic.OUTSIDE
    ]
    policies = [d for d in lost if d.entry.kind == "POLICY"]
    others = [d for d in lost if d.entry.kind != "POLICY"]
    told = [
        f"{one.entry.label} is not on the copy ({one.reason}): row security may let more through there."
        for one in policies
    ]
    return (*told, *(f"{one.entry.label} is not on the copy ({one.reason})." for one in others))


def loosened(roles: Iterable[NewRole], inventory: Inventory) -> str:
    """Return what to say of memberships that are not carried, because they cannot be carried alike."""
    lost = []
    for role in roles:
        there = inventory.roles[role.name]
        built_in = (name for name in there.member_of if name.startswith("pg_"))
        lost += [f"{role.name} in {name}" for name in sorted({*there.limited_member_of, *built_in})]
    return f"Memberships that are not carried: {', '.join(lost)}." if lost else ""


def notes(there: Mapping[ObjectId, Entry], inventory: Inventory, target: Target) -> tuple[str, ...]:
    """Return what to say of the scope, search paths, owners and calls to the platform."""
    said = []
    if inventory.outside:
        said.append(f"Schemas left out because the settings say so: {', '.join(sorted(inventory.outside))}.")
    lasting = sorted(r.label for r in inventory.routines if r.lasting and r.object in there)
    if lasting and target.major >= 17:
        said.append(
            "These functions keep the application's search_path on the copy, because PostgreSQL 17 and later"
            f" build indexes and materialized views under a path of their own: {', '.join(lasting)}."
        )
    owned = sorted({f"{inventory.owners[o]} ({there[o].name})" for o in inventory.owners if o in there})
    if owned:
        said.append(
            "On the copy everything belongs to its owner role; these roles keep the use of what they own on"
            f" the primary: {', '.join(owned)}."
        )
    callers = sorted(f"{there[o].name} ({schema})" for o, schema in inventory.callers.items() if o in there)
    if callers:
        said.append(
            f"These functions name a part of the platform that is not on the copy: {', '.join(callers)}."
        )
    return tuple(said)
