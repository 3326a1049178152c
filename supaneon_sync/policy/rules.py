"""The portability table: one rule a row, each with the reason that a reader of the manifest sees.

The first rule that has an answer decides. Sources: restores run as a non-superuser on PostgreSQL 15,
17 and 18, and what Neon lets an owner do.
"""

from __future__ import annotations

from dataclasses import replace

from supaneon_sync.policy.entries import Entry
from supaneon_sync.policy.facts import Inventory, Target
from supaneon_sync.policy.plan import Decision, Fate, Topic, kept, left_out
from supaneon_sync.policy.platform import (
    CUSTOMER,
    EVENT_TRIGGER_FUNCTIONS,
    EVENT_TRIGGERS,
    KEPT,
    NEVER,
    PLATFORM_ROLES,
    PLATFORM_SCHEMAS,
    ROWS,
    SESSION,
    SUPERUSER,
)

_UNLOGGED = ("CREATE UNLOGGED TABLE ", "CREATE UNLOGGED SEQUENCE ")
_CALLED_BY_WEBHOOKS = ("supabase_functions", "net")
_RELATION = 1259


def judge(entry: Entry, inventory: Inventory, target: Target) -> Decision:
    """Return what becomes of one entry, looked at by itself.

    Raises ValueError that names the kind when no rule knows it.
    """
    for rule in _RULES:
        found = rule(entry, inventory, target)
        if found is not None:
            made_or_ours = found.fate is not Fate.LEFT_OUT
            return replace(found, topic=_TOPICS.get(entry.kind, Topic.CODE)) if made_or_ours else found
    raise ValueError(
        f"an archive entry of unknown kind {entry.kind!r} ({entry.name}); nothing passes unclassified"
    )


def is_platform_schema(schema: str, inventory: Inventory) -> bool:
    """Say whether a schema is the platform's own: by its name, unless it is the user's who took that name."""
    owner = inventory.schemas.get(schema, SUPERUSER)
    return schema in PLATFORM_SCHEMAS and owner in PLATFORM_ROLES and owner != CUSTOMER


def _session(entry: Entry, _: Inventory, __: Target) -> Decision | None:
    if entry.kind in SESSION:
        return Decision(entry, Fate.TRANSFORMED, "the copy's database and session are made alike")
    if entry.kind == "COMMENT" and entry.tag.startswith("DATABASE "):
        return left_out(entry, "it is about the primary's database by name", Topic.PLATFORM)
    if entry.kind in ROWS:
        return Decision(entry, Fate.TRANSFORMED, "rows and sequence readings are carried by the copy itself")
    return None


def _platform_schema(entry: Entry, inventory: Inventory, _: Target) -> Decision | None:
    about = entry.tag.removeprefix("SCHEMA ") if entry.kind in ("SCHEMA", "ACL", "COMMENT") else ""
    schema = entry.schema or about
    if is_platform_schema(schema, inventory):
        return left_out(entry, f"schema {schema} is the platform's own machinery", Topic.PLATFORM)
    if entry.kind == "SCHEMA" and entry.tag == "public":
        return Decision(entry, Fate.TRANSFORMED, "every database has it")
    return None


def _never(entry: Entry, _: Inventory, __: Target) -> Decision | None:
    if entry.kind == "ACL":
        return Decision(entry, Fate.TRANSFORMED, "made anew from the catalogs, without the platform's roles")
    if entry.kind not in NEVER:
        return None
    platform = entry.owner in PLATFORM_ROLES and (
        entry.kind == "DEFAULT ACL"
        or (entry.kind == "EVENT TRIGGER" and entry.tag in EVENT_TRIGGERS)
        or entry.tag.startswith("supabase_realtime")
    )
    topic = NEVER_TOPICS.get(entry.kind, Topic.SUPERUSER)
    return left_out(entry, NEVER[entry.kind], topic, told=not platform)


def _extension(entry: Entry, inventory: Inventory, target: Target) -> Decision | None:
    if entry.kind == "COMMENT" and entry.tag.startswith("EXTENSION "):
        return left_out(entry, "only an extension's owner may comment on it", Topic.PLATFORM)
    if entry.kind != "EXTENSION":
        return None
    if entry.tag == "pg_cron":
        return left_out(entry, "a copy must not run the primary's jobs", Topic.LACKING, told=True)
    if entry.tag in target.extensions:
        return None
    version = inventory.extensions.get(entry.tag)
    reason = f"the target does not offer it (the primary has {version})"
    return left_out(entry, reason, Topic.LACKING, told=True)


def _trigger(entry: Entry, inventory: Inventory, _: Target) -> Decision | None:
    if entry.kind != "TRIGGER":
        return None
    schema, function = inventory.trigger_functions.get(entry.oid, ("", ""))
    if schema not in _CALLED_BY_WEBHOOKS:
        return None
    reason = f"it calls {schema}.{function}, which is not on the copy: every write would fail"
    return left_out(entry, reason, Topic.WEBHOOKS, told=True)


def _function(entry: Entry, inventory: Inventory, _: Target) -> Decision | None:
    if entry.kind not in ("FUNCTION", "PROCEDURE"):
        return None
    if entry.schema == "extensions" and entry.tag.split("(")[0] in EVENT_TRIGGER_FUNCTIONS:
        return left_out(entry, "it serves the platform's event triggers alone", Topic.PLATFORM)
    privileged = inventory.privileged_settings.get(entry.oid)
    if not privileged:
        return None
    platform = entry.schema == "realtime"
    reason = f"it sets {', '.join(privileged)}, which only a superuser may"
    return left_out(entry, reason, Topic.PLATFORM if platform else Topic.SUPERUSER, told=not platform)


def _unlogged(entry: Entry, inventory: Inventory, _: Target) -> Decision | None:
    relation = inventory.relations.get(entry.oid) if entry.catalog == _RELATION else None
    if relation is None or relation.persistence != "u" or not entry.definition.startswith(_UNLOGGED):
        return None
    made = replace(entry, definition=entry.definition.replace("UNLOGGED ", "", 1))
    reason = "made logged: on Neon the rows of an unlogged table vanish when its compute stops"
    return Decision(entry, Fate.TRANSFORMED, reason, told=entry.kind == "TABLE", made=made)


def _kept(entry: Entry, _: Inventory, __: Target) -> Decision | None:
    return kept(entry) if entry.kind in KEPT else None


_RULES = (_session, _platform_schema, _never, _extension, _trigger, _function, _unlogged, _kept)
"""The first rule that has an answer decides."""

_KINDS: dict[Topic, tuple[str, ...]] = {
    Topic.TABLES: (
        *("TABLE", "TABLE ATTACH", "DEFAULT", "INDEX", "INDEX ATTACH", "CONSTRAINT", "FK CONSTRAINT"),
        *("CHECK CONSTRAINT", "SEQUENCE", "SEQUENCE OWNED BY", "STATISTICS", "SCHEMA", "COMMENT", *ROWS),
    ),
    Topic.VIEWS: ("VIEW", "MATERIALIZED VIEW"),
    Topic.TRIGGERS: ("TRIGGER", "RULE"),
    Topic.POLICIES: ("POLICY", "ROW SECURITY"),
    Topic.GRANTS: ("ACL",),
    Topic.EXTENSIONS: ("EXTENSION",),
    Topic.DATABASE: tuple(SESSION),
}
_TOPICS = {kind: topic for topic, kinds in _KINDS.items() for kind in kinds}
"""What kinds belong to; all others are code."""

NEVER_TOPICS = {
    "DEFAULT ACL": Topic.DEFAULTS,
    "EVENT TRIGGER": Topic.EVENTS,
    **dict.fromkeys(("FOREIGN DATA WRAPPER", "SERVER", "USER MAPPING", "FOREIGN TABLE"), Topic.FOREIGN),
    **dict.fromkeys(("PUBLICATION", "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA"), Topic.REPLICATION),
    **dict.fromkeys(("SUBSCRIPTION", "SUBSCRIPTION TABLE"), Topic.REPLICATION),
}
"""What the kinds belong to that no copy gets; all others only a superuser may make."""
