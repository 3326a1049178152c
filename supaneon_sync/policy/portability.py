"""What becomes of each entry of the primary's archive on the copy: kept, transformed, or left out.

Pure: entries and facts in, a plan with a reason per entry out. Nothing unclassified passes. An entry
that needs one left out is left out with it; one that holds rows and needs a missing extension is a
blocker, because a copy without it would not be a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Grant, Inventory, Relation, Target
from supaneon_sync.policy.platform import (
    API_ROLES,
    EVENT_TRIGGER_FUNCTIONS,
    HOLDS_ROWS,
    KEPT,
    NEVER,
    PLATFORM_ROLES,
    PLATFORM_SCHEMAS,
    ROWS,
    SESSION,
    TRANSIENT,
)


class Fate(Enum):
    """What becomes of an object of the primary."""

    KEPT = "kept"
    TRANSFORMED = "transformed"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Decision:
    """One entry's fate. ``told`` marks what a reader of the summary has to know."""

    entry: Entry
    fate: Fate
    reason: str
    told: bool = False


@dataclass(frozen=True)
class NewRole:
    """A role that the copy needs; it cannot log in."""

    name: str
    inherits: bool
    bypasses_rls: bool
    member_of: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that is to happen to the schema, and which tables' rows go along."""

    decisions: tuple[Decision, ...]
    roles: tuple[NewRole, ...]
    grants: tuple[Grant, ...]
    tables: tuple[Relation, ...]
    rowless: tuple[tuple[Relation, str], ...]
    sequences: tuple[Relation, ...]
    materialized_views: tuple[Relation, ...]
    unlogged: tuple[Relation, ...]
    notes: tuple[str, ...]
    blockers: tuple[str, ...] = field(default=())

    def kept(self, *sections: Section) -> tuple[Entry, ...]:
        """Return the entries that are restored as they are, in the archive's order."""
        wanted = sections or tuple(Section)
        return tuple(d.entry for d in self.decisions if d.fate is Fate.KEPT and d.entry.section in wanted)

    def told(self) -> tuple[Decision, ...]:
        """Return the decisions that a reader has to know."""
        return tuple(decision for decision in self.decisions if decision.told)


_CATALOG_CLASS = 1259


def decide(
    entries: Iterable[Entry], inventory: Inventory, target: Target, *, include_auth_sessions: bool = False
) -> Plan:
    """Return the plan for a primary's archive on a target.

    Raises ValueError that names the kind when an entry is of a kind this table does not know.
    """
    decisions: dict[int, Decision] = {}
    blockers: list[str] = []
    for raw in entries:
        entry = _placed(raw, decisions)
        decision = _decide(entry, inventory, target)
        missing = [
            decisions[need]
            for need in sorted(entry.needs)
            if need in decisions and decisions[need].fate is Fate.LEFT_OUT
        ]
        if missing and decision.fate is Fate.KEPT:
            cause = missing[0]
            decision = Decision(
                entry, Fate.LEFT_OUT, f"needs {_named(cause.entry)}, which is left out", cause.told
            )
            if entry.kind in HOLDS_ROWS and _root(cause, decisions).entry.kind == "EXTENSION":
                blockers.append(f"{_named(entry)} needs {_named(_root(cause, decisions).entry)}")
        decisions[entry.dump_id] = decision
    kept = {(d.entry.catalog, d.entry.oid): d.entry for d in decisions.values() if d.fate is Fate.KEPT}
    relations = [
        inventory.relations[oid]
        for catalog, oid in kept
        if catalog == _CATALOG_CLASS and oid in inventory.relations
    ]
    tables, rowless = _rows(relations, include_auth_sessions)
    grants = _grants(kept, inventory)
    return Plan(
        decisions=tuple(decisions.values()),
        roles=_roles(kept.values(), grants, inventory, target),
        grants=grants,
        tables=tables,
        rowless=rowless,
        sequences=tuple(r for r in relations if r.kind == "S"),
        materialized_views=tuple(r for r in relations if r.kind == "m"),
        unlogged=tuple(r for r in relations if r.persistence == "u" and r.kind in "rp"),
        notes=_notes(inventory, target),
        blockers=tuple(blockers),
    )


def _placed(entry: Entry, decisions: dict[int, Decision]) -> Entry:
    """Give an entry without a section of its own (a comment) that of what it is about."""
    sections = [decisions[need].entry.section for need in entry.needs if need in decisions]
    if entry.section is not Section.NONE or not sections:
        return entry
    return replace(entry, section=max(sections))


def _root(decision: Decision, decisions: dict[int, Decision]) -> Decision:
    for need in sorted(decision.entry.needs):
        found = decisions.get(need)
        if found is not None and found.fate is Fate.LEFT_OUT:
            return _root(found, decisions)
    return decision


def _named(entry: Entry) -> str:
    return f"{entry.kind.lower()} {entry.name}"


def _decide(entry: Entry, inventory: Inventory, target: Target) -> Decision:
    for rule in _RULES:
        found = rule(entry, inventory, target)
        if found is not None:
            return found
    raise ValueError(
        f"an archive entry of unknown kind {entry.kind!r} ({entry.name}); nothing passes unclassified"
    )


def _session(entry: Entry, _: Inventory, __: Target) -> Decision | None:
    if entry.kind in SESSION:
        return Decision(entry, Fate.TRANSFORMED, "the copy's database and session are made alike")
    if entry.kind == "COMMENT" and entry.tag.startswith("DATABASE "):
        return Decision(entry, Fate.LEFT_OUT, "it is about the primary's database by name")
    if entry.kind in ROWS:
        return Decision(entry, Fate.TRANSFORMED, "rows and sequence readings are carried by the copy itself")
    return None


def _platform_schema(entry: Entry, _: Inventory, __: Target) -> Decision | None:
    about = entry.tag.removeprefix("SCHEMA ") if entry.kind in ("SCHEMA", "ACL", "COMMENT") else ""
    schema = entry.schema or about
    if schema in PLATFORM_SCHEMAS:
        return Decision(entry, Fate.LEFT_OUT, f"schema {schema} is the platform's own machinery")
    if entry.kind == "SCHEMA" and entry.tag == "public":
        return Decision(entry, Fate.TRANSFORMED, "every database has it")
    return None


def _never(entry: Entry, _: Inventory, __: Target) -> Decision | None:
    if entry.kind == "ACL":
        return Decision(entry, Fate.TRANSFORMED, "made anew from the catalogs, without the platform's roles")
    if entry.kind not in NEVER:
        return None
    platform = entry.owner in PLATFORM_ROLES and (
        entry.kind in ("DEFAULT ACL", "EVENT TRIGGER") or entry.tag.startswith("supabase_realtime")
    )
    return Decision(entry, Fate.LEFT_OUT, NEVER[entry.kind], told=not platform)


def _extension(entry: Entry, _: Inventory, target: Target) -> Decision | None:
    if entry.kind == "COMMENT" and entry.tag.startswith("EXTENSION "):
        return Decision(entry, Fate.LEFT_OUT, "only an extension's owner may comment on it")
    if entry.kind != "EXTENSION" or entry.tag in target.extensions:
        return None
    return Decision(entry, Fate.LEFT_OUT, "the target does not offer it", told=True)


def _trigger(entry: Entry, inventory: Inventory, _: Target) -> Decision | None:
    if entry.kind != "TRIGGER":
        return None
    schema, function = inventory.trigger_functions.get(entry.oid, ("", ""))
    if schema not in ("supabase_functions", "net"):
        return None
    reason = f"it calls {schema}.{function}, which is not on the copy: every write would fail"
    return Decision(entry, Fate.LEFT_OUT, reason, told=True)


def _function(entry: Entry, inventory: Inventory, _: Target) -> Decision | None:
    if entry.kind not in ("FUNCTION", "PROCEDURE"):
        return None
    if entry.schema == "extensions" and entry.tag.split("(")[0] in EVENT_TRIGGER_FUNCTIONS:
        return Decision(entry, Fate.LEFT_OUT, "it serves the platform's event triggers alone")
    privileged = inventory.privileged_settings.get(entry.oid)
    if not privileged:
        return None
    return Decision(
        entry, Fate.LEFT_OUT, f"it sets {', '.join(privileged)}, which only a superuser may", told=True
    )


def _kept(entry: Entry, _: Inventory, __: Target) -> Decision | None:
    return Decision(entry, Fate.KEPT, "carried as it is") if entry.kind in KEPT else None


_RULES = (_session, _platform_schema, _never, _extension, _trigger, _function, _kept)
"""The first rule that has an answer decides."""


def _rows(
    relations: list[Relation], include_auth_sessions: bool
) -> tuple[tuple[Relation, ...], tuple[tuple[Relation, str], ...]]:
    tables: list[Relation] = []
    rowless: list[tuple[Relation, str]] = []
    for relation in (r for r in relations if r.kind == "r"):
        if relation.schema == "realtime":
            rowless.append((relation, "messages in flight, of no use on a copy"))
        elif relation.schema == "auth" and relation.name in TRANSIENT and not include_auth_sessions:
            rowless.append(
                (relation, "live login secrets, of no use on a copy (include-auth-sessions brings them)")
            )
        else:
            tables.append(relation)
    return tuple(tables), tuple(rowless)


def _grants(kept: dict[tuple[int, int], Entry], inventory: Inventory) -> tuple[Grant, ...]:
    return tuple(
        grant
        for grant in inventory.grants
        if grant.grantee not in PLATFORM_ROLES
        and (grant.object in kept or grant.target == "SCHEMA public")
        and grant.object not in inventory.extension_members
    )


def _roles(
    kept: Iterable[Entry], grants: tuple[Grant, ...], inventory: Inventory, target: Target
) -> tuple[NewRole, ...]:
    named = {
        role for entry in kept if entry.kind == "POLICY" for role in inventory.policy_roles.get(entry.oid, ())
    }
    named |= {grant.grantee for grant in grants if grant.grantee}
    named |= {name for name in API_ROLES if name in inventory.roles}
    named -= {target.owner}
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


def _notes(inventory: Inventory, target: Target) -> tuple[str, ...]:
    notes = []
    if inventory.large_objects:
        notes.append(f"{inventory.large_objects} large objects are not carried by this version.")
    if not target.can_create_bypassrls and any(
        inventory.roles[name].bypasses_rls for name in API_ROLES if name in inventory.roles
    ):
        notes.append(
            f"On PostgreSQL {target.major} the copy's owner may not create roles that bypass row security:"
            " service_role reads there only what policies allow."
        )
    if inventory.database_settings or inventory.role_settings:
        names = sorted(
            {*inventory.database_settings, *(f"{role}: {name}" for role, name in inventory.role_settings)}
        )
        notes.append("Settings of the database and of roles are not re-applied: " + ", ".join(names) + ".")
    return tuple(notes)
