"""What becomes of each entry of the primary's archive on the copy: kept, transformed, or left out.

Pure: entries and facts in, a plan with a reason per entry out. Nothing unclassified passes. An entry
that needs one left out is left out with it; where that would cost rows, or an extension's absence
would cost a column, default, index or constraint, it is a blocker: such a copy would be none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from supaneon_sync.policy import remarks, roots
from supaneon_sync.policy import scope as scoping
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Grant, Inventory, ObjectId, Relation, StoredSetting, Target
from supaneon_sync.policy.plan import Decision, Fate, NewRole, Plan, Topic, kept, left_out
from supaneon_sync.policy.platform import (
    API_ROLES,
    HOLDS_ROWS,
    TRANSIENT,
    is_platform_role,
)
from supaneon_sync.policy.rules import judge
from supaneon_sync.policy.scope import Scope

__all__ = ["APPLICATION_PATH", "Decision", "Fate", "NewRole", "Plan", "decide", "kept"]

APPLICATION_PATH = '"$user", public, extensions'
"""The search_path under which Supabase runs an application's SQL, where nothing else is stored."""

_RELATION = 1259
_NOT_STORED = (
    *("search_path", "role", "session_authorization", "client_encoding"),
    *("default_transaction_read_only", "transaction_read_only", "transaction_isolation"),
)
"""Settings that are not put on the copy as they are: the first has a place of its own, the others would
change who a session is or keep the copy from taking traffic."""


def decide(
    entries: Iterable[Entry],
    inventory: Inventory,
    target: Target,
    *,
    scope: Scope = scoping.WHOLE,
    include_auth_sessions: bool = False,
) -> Plan:
    """Return the plan for a primary's archive on a target.

    Raises ValueError that names the kind when an entry is of a kind this table does not know.
    """
    helpers = scoping.helpers(inventory)
    decisions, blockers = _decisions((*helpers, *entries), inventory, target)
    there = {(d.entry.catalog, d.entry.oid): d.entry for d in decisions if d.made is not None}
    relations = [
        inventory.relations[oid]
        for catalog, oid in there
        if catalog == _RELATION and oid in inventory.relations
    ]
    tables, rowless = _rows(relations, include_auth_sessions)
    asked = [table for table in tables if scoping.without_rows(table, scope, inventory)]
    tables = tuple(table for table in tables if table not in asked)
    rowless += tuple((table, "exclude-table-data names it") for table in asked)
    dangling = scoping.dangling(inventory, tables, scope)
    large_objects = bool(inventory.large_objects) and not scope.include
    grants = _grants(there, inventory, large_objects)
    roles = _roles(there.values(), grants, inventory, target)
    unbound = remarks.unbound(inventory, target, roles)
    return Plan(
        decisions=decisions,
        roles=roles,
        grants=grants,
        tables=tables,
        rowless=rowless,
        sequences=tuple(r for r in relations if r.kind == "S"),
        materialized_views=tuple(r for r in relations if r.kind == "m"),
        search_path=inventory.search_path or APPLICATION_PATH,
        checks=tuple(check for check in inventory.checks if check.object in there),
        routines=tuple(routine for routine in inventory.routines if routine.object in there),
        settings=_settings(inventory.settings, roles),
        large_objects=large_objects,
        notes=remarks.notes(there, inventory, target),
        unbound=unbound,
        roots=roots.find(relations, tables, inventory.partition_of),
        degraded=tuple(
            filter(
                None,
                (
                    unbound,
                    *remarks.lost(decisions),
                    remarks.loosened(roles, inventory),
                    remarks.empowered(there, inventory),
                    remarks.not_dumped(inventory),
                ),
            )
        ),
        blockers=(*blockers, *(f"{text}, whose rows are not copied" for text in dangling)),
    )


def _decisions(
    entries: Iterable[Entry], inventory: Inventory, target: Target
) -> tuple[tuple[Decision, ...], tuple[str, ...]]:
    decisions: dict[int, Decision] = {}
    blockers: list[str] = []
    entries = tuple(entries)
    borrowed = {(entry.catalog, entry.oid) for entry in entries if entry.dump_id < 0}
    for raw in entries:
        entry = _placed(raw, decisions)
        decision = judge(entry, inventory, target)
        gaps = scoping.missing(entry, inventory, borrowed)
        if gaps and decision.made is not None:
            gap = min(gaps, key=lambda need: (not need.label.startswith("table "), need.label))
            reason = f"needs {gap.label}, in a schema that is left out"
            decision = left_out(entry, reason, Topic.OUTSIDE, told=True)
            if scoping.is_hard(entry):
                blockers.append(f"{entry.label} {reason}")
        causes = [
            decisions[need]
            for need in sorted(entry.needs)
            if need in decisions and decisions[need].fate is Fate.LEFT_OUT
        ]
        if causes and decision.made is not None:
            told = entry.kind != "COMMENT" or any(cause.told for cause in causes)
            reason = f"needs {causes[0].entry.label}, which is left out"
            decision = left_out(entry, reason, causes[0].topic, told=told)
            root = _root(causes[0], decisions).entry
            if entry.kind == "TABLE" or (entry.kind in HOLDS_ROWS and root.kind == "EXTENSION"):
                blockers.append(f"{entry.label} needs {_with_columns(entry, root, inventory)}")
        decisions[entry.dump_id] = decision
    return tuple(decisions.values()), tuple(blockers)


def _with_columns(entry: Entry, root: Entry, inventory: Inventory) -> str:
    """Say what a table or another entry cannot be without, and for which of its columns."""
    label = root.label.removeprefix("shell ")
    names = inventory.bound_columns.get((entry.oid, label), ())
    return f"{label} (column {', '.join(names)})" if names else label


def _placed(entry: Entry, decisions: Mapping[int, Decision]) -> Entry:
    """Give an entry without a section of its own (a comment) that of what it is about."""
    sections = [decisions[need].entry.section for need in entry.needs if need in decisions]
    if entry.section is not Section.NONE or not sections:
        return entry
    return replace(entry, section=max(sections))


def _root(decision: Decision, decisions: Mapping[int, Decision]) -> Decision:
    """Return the first cause of an entry's being left out, also where entries need each other in a ring."""
    seen: set[int] = set()
    while decision.entry.dump_id not in seen:
        seen.add(decision.entry.dump_id)
        causes = (decisions.get(need) for need in sorted(decision.entry.needs - seen))
        decision = next((one for one in causes if one and one.fate is Fate.LEFT_OUT), decision)
    return decision


def _rows(
    relations: list[Relation], include_auth_sessions: bool
) -> tuple[tuple[Relation, ...], tuple[tuple[Relation, str], ...]]:
    tables: list[Relation] = []
    rowless: list[tuple[Relation, str]] = []
    for relation in (r for r in relations if r.kind == "r"):
        if relation.schema == "realtime" and relation.name != "schema_migrations":
            rowless.append((relation, "messages in flight, of no use on a copy"))
        elif relation.schema == "cron" and relation.name in ("job", "job_run_details"):
            rowless.append((relation, "a copy must not run the primary's jobs"))
        elif relation.schema == "auth" and relation.name in TRANSIENT and not include_auth_sessions:
            rowless.append(
                (relation, "live login secrets, of no use on a copy (include-auth-sessions brings them)")
            )
        else:
            tables.append(relation)
    return tuple(tables), tuple(rowless)


def _grants(there: Mapping[ObjectId, Entry], inventory: Inventory, large_objects: bool) -> tuple[Grant, ...]:
    return tuple(
        grant
        for grant in inventory.grants
        if not is_platform_role(grant.grantee)
        and (
            grant.object in there
            or (large_objects and grant.object[0] == _LARGE_OBJECT)
            or (grant.target == _PUBLIC and "public" not in inventory.outside)
        )
        and grant.object not in inventory.extension_members
    )


_PUBLIC = "SCHEMA public"
_LARGE_OBJECT = 2613


def _roles(
    made: Iterable[Entry], grants: tuple[Grant, ...], inventory: Inventory, target: Target
) -> tuple[NewRole, ...]:
    named = {
        role for entry in made if entry.kind == "POLICY" for role in inventory.policy_roles.get(entry.oid, ())
    }
    named |= {grant.grantee for grant in grants if grant.grantee}
    named |= {name for name in API_ROLES if name in inventory.roles}
    named |= {name for name, role in inventory.roles.items() if role.custom and not is_platform_role(name)}
    named -= {target.owner, *target.reserved_roles}
    return tuple(
        NewRole(
            name=name,
            inherits=inventory.roles[name].inherits,
            bypasses_rls=inventory.roles[name].bypasses_rls and target.can_create_bypassrls,
            member_of=tuple(role for role in inventory.roles[name].member_of if role in named),
        )
        for name in sorted(named)
        if name in inventory.roles
    )


def _settings(settings: tuple[StoredSetting, ...], roles: tuple[NewRole, ...]) -> tuple[StoredSetting, ...]:
    names = {"", *(role.name for role in roles)}
    return tuple(
        one
        for one in settings
        if one.role in names and one.name not in _NOT_STORED and (one.role or one.here)
    )
