"""The coverage ledger: every surface of a Supabase project, each with exactly one status.

So that "backup OK" cannot mean "minus your logins": what was copied, what is otherwise on the copy,
what was left out and why, and what no database holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from supaneon_sync.policy.facts import Inventory
from supaneon_sync.policy.plan import Decision, Fate, Plan, Topic
from supaneon_sync.policy.platform import TRANSIENT
from supaneon_sync.report.outcome import Table

_SHOWN = 6
_REASONS_SHOWN = 3


class Status(Enum):
    """What became of a surface."""

    COPIED = "copied"
    TRANSFORMED = "transformed"
    LEFT_OUT = "left out"
    OUTSIDE = "not in the database"
    NONE = "none on the primary"


@dataclass(frozen=True)
class Line:
    """One surface: its status, what there is to say, and the names of what it is about."""

    surface: str
    status: Status
    said: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What the run came upon beside the plan. ``jobs`` and ``secrets`` None: they could not be read."""

    rows: int
    large_objects: int
    large_bytes: int
    jobs: tuple[str, ...] | None
    secrets: tuple[str, ...] | None
    refused_settings: tuple[str, ...]
    violations: tuple[tuple[str, str], ...]


def coverage(plan: Plan, inventory: Inventory, found: Found) -> tuple[Line, ...]:
    """Return the ledger: every decision of the plan is in exactly one of its lines."""
    return (
        *_rows(plan, inventory, found),
        *(_topic(plan, topic) for topic in Topic),
        *_made_otherwise(plan, found),
        *_left_behind(plan, inventory, found),
        *(Line(what, Status.OUTSIDE, why) for what, why in NOT_IN_THE_DATABASE),
    )


NOT_IN_THE_DATABASE = (
    ("Storage files", "the rows of storage.objects are here, the files are in Supabase's object store"),
    ("Edge Functions and their secrets", "they are deployed to Supabase's edge runtime"),
    ("Auth settings, providers and e-mail templates", "they are the project's configuration; users are here"),
    ("Realtime, API and network settings", "they are the project's configuration"),
)
"""What a Supabase project has outside its database, and where: no copy of the database can hold it."""


def table(lines: Iterable[Line]) -> Table:
    """Return the ledger for people: few words a line, what the primary has none of in one line."""
    listed = list(lines)
    rows = [(one.surface, one.status.value, _shown(one)) for one in listed if one.status is not Status.NONE]
    none = [one.surface for one in listed if one.status is Status.NONE]
    if none:
        rows.append((f"{len(none)} more", Status.NONE.value, ", ".join(none)))
    return Table(
        "What this backup holds, and what it does not", ("surface", "status", "details"), tuple(rows)
    )


def document(lines: Iterable[Line]) -> list[dict[str, object]]:
    """Return the ledger for the manifest: every name."""
    return [
        {"surface": one.surface, "status": one.status.value, "said": one.said, "names": list(one.names)}
        for one in lines
    ]


def _shown(line: Line) -> str:
    names = ", ".join(line.names[:_SHOWN])
    more = len(line.names) - _SHOWN
    text = f"{names} and {more} more" if more > 0 else names
    return ": ".join(filter(None, (line.said, text)))


def _line(surface: str, status: Status, said: str, names: Iterable[str]) -> Line:
    listed = tuple(names)
    return Line(surface, status, said, listed) if listed else Line(surface, Status.NONE, "")


def _rows(plan: Plan, inventory: Inventory, found: Found) -> tuple[Line, ...]:
    labels = {one.label for one in plan.tables}
    on_primary = {one.label for one in inventory.relations.values() if one.kind in "rp"}
    lines = [Line("Rows", Status.COPIED, f"{found.rows} rows of {len(labels)} tables, proved equal")]
    for surface, tables in _PLATFORM_ROWS:
        there = [name for name in tables if name in on_primary]
        if not there:
            lines.append(Line(surface, Status.NONE, ""))
        elif labels.issuperset(there):
            lines.append(Line(surface, Status.COPIED, "", tuple(there)))
        else:
            lines.append(Line(surface, Status.LEFT_OUT, "the settings say so", tuple(there)))
    secrets = [f"auth.{name}" for name in sorted(TRANSIENT) if f"auth.{name}" in on_primary]
    if labels.issuperset(secrets):
        lines.append(_line("Live login secrets", Status.COPIED, "include-auth-sessions", secrets))
    else:
        said = "of no use on a copy; users log in anew (include-auth-sessions brings them)"
        lines.append(_line("Live login secrets", Status.LEFT_OUT, said, secrets))
    others = [(one.label, why) for one, why in plan.rowless if one.label not in secrets]
    reasons = _reasons(why for _, why in others)
    lines.append(
        _line("Other tables without their rows", Status.LEFT_OUT, reasons, (name for name, _ in others))
    )
    return tuple(lines)


_PLATFORM_ROWS = (
    ("Users and their identities", ("auth.users", "auth.identities")),
    ("Storage buckets and the list of files", ("storage.buckets", "storage.objects")),
    ("History of migrations", ("supabase_migrations.schema_migrations",)),
)


def _topic(plan: Plan, topic: Topic) -> Line:
    decisions = [one for one in plan.decisions if one.topic is topic]
    if not decisions:
        return Line(topic.value, Status.NONE, "")
    gone = [one for one in decisions if one.fate is Fate.LEFT_OUT]
    if gone:
        return _left_out(topic, gone)
    said = {
        Topic.GRANTS: f"{len(plan.grants)} sets of rights made anew; the platform's roles are not needed",
        Topic.DATABASE: f"made alike; search_path {plan.search_path}",
    }.get(topic, f"{len(decisions)} definitions")
    if topic is Topic.POLICIES and plan.unbound:
        return Line(topic.value, Status.TRANSFORMED, f"{said}; {plan.unbound}")
    status = Status.TRANSFORMED if topic in (Topic.GRANTS, Topic.DATABASE) else Status.COPIED
    names = tuple(one.entry.tag for one in decisions) if topic is Topic.EXTENSIONS else ()
    return Line(topic.value, status, said, names)


def _left_out(topic: Topic, gone: list[Decision]) -> Line:
    told = [one for one in gone if one.told]
    quiet = len(gone) - len(told)
    parts = [_reasons(one.reason for one in told if "which is left out" not in one.reason)]
    if quiet:
        parts.append(f"{quiet} of the platform's own")
    names = tuple(f"{one.entry.kind.lower()} {one.entry.name}" for one in told)
    return Line(topic.value, Status.LEFT_OUT, "; ".join(filter(None, parts)), names)


def _reasons(reasons: Iterable[str]) -> str:
    counted = Counter(reasons).most_common()
    shown = [reason for reason, _ in counted[:_REASONS_SHOWN]]
    return "; ".join(shown + (["and others"] if len(counted) > len(shown) else []))


def _made_otherwise(plan: Plan, found: Found) -> tuple[Line, ...]:
    unlogged = [
        f"{one.entry.kind.lower()} {one.entry.name}"
        for one in plan.decisions
        if one.made is not None and one.made != one.entry and one.made.definition != one.entry.definition
    ]
    lasting = [one.label for one in plan.routines if one.lasting]
    return (
        _line(
            *("Roles", Status.TRANSFORMED, "made without passwords and without the right to log in"),
            (one.name for one in plan.roles),
        ),
        _line(
            "Unlogged tables",
            Status.TRANSFORMED,
            "made logged: Neon loses the rows of unlogged ones",
            unlogged,
        ),
        _line("Functions of indexes and views", Status.TRANSFORMED, "run under the search_path", lasting),
        _line(
            *("Materialized views", Status.TRANSFORMED, "filled anew on the copy; outside the proof"),
            (one.label for one in plan.materialized_views),
        ),
        _line("Sequences", Status.COPIED, "each at the value read", (one.label for one in plan.sequences)),
        _line(
            *("What the primary's own rows contradict", Status.TRANSFORMED, "all rows are there"),
            (name for name, _ in found.violations),
        ),
        _line(
            *("Settings stored for database and roles", Status.COPIED, ""),
            (one.label for one in plan.settings if one.label not in found.refused_settings),
        ),
        _line(
            *(
                "Settings that only a superuser may store",
                Status.LEFT_OUT,
                "names alone, values are not shown",
            ),
            found.refused_settings,
        ),
    )


def _left_behind(plan: Plan, inventory: Inventory, found: Found) -> tuple[Line, ...]:
    members = tuple(f"{one.label} ({one.extension})" for one in inventory.member_tables if one.pages)
    volume = f"{found.large_objects} with {found.large_bytes} bytes, proved equal"
    objects = Line("Large objects", Status.NONE, "")
    if plan.large_objects:
        objects = Line("Large objects", Status.COPIED, volume)
    elif inventory.large_objects:
        objects = Line(
            "Large objects", Status.LEFT_OUT, f"{inventory.large_objects}, since include-schemas is set"
        )
    return (
        objects,
        _hidden("Scheduled jobs", found.jobs, "a copy must not run them; make them anew after a failover"),
        _hidden("Secrets of the vault", found.secrets, "their key is outside the database; enter them anew"),
        _line(
            *("Rows that belong to extensions", Status.LEFT_OUT, "no dump holds them (queues and the like)"),
            members,
        ),
        _line("Subscriptions", Status.LEFT_OUT, "a copy must not pull", inventory.subscriptions),
        _line(
            "Schemas left out on request", Status.LEFT_OUT, "the settings say so", sorted(inventory.outside)
        ),
    )


def _hidden(surface: str, names: tuple[str, ...] | None, why: str) -> Line:
    if names is None:
        return Line(surface, Status.LEFT_OUT, f"{why}; this role may not read their names")
    return _line(surface, Status.LEFT_OUT, why, names)
