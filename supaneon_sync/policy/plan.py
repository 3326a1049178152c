"""What is to become of a primary's schema on the copy: the plan, and the decision on each entry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Check, Grant, Relation, Routine, StoredSetting
from supaneon_sync.policy.roots import Root


class Fate(Enum):
    """What becomes of an object of the primary."""

    KEPT = "kept"
    TRANSFORMED = "transformed"
    LEFT_OUT = "left out"


class Topic(Enum):
    """What part of a project an entry belongs to; its value is its name for people."""

    TABLES = "Tables, keys and indexes"
    CODE = "Functions, types and operators"
    VIEWS = "Views"
    TRIGGERS = "Triggers and rules"
    POLICIES = "Row level security"
    GRANTS = "Rights of roles"
    EXTENSIONS = "Extensions"
    DATABASE = "Encoding and other properties of the database"
    LACKING = "Extensions that the copy's server does not offer"
    PLATFORM = "The platform's own machinery"
    REPLICATION = "Publications and subscriptions"
    FOREIGN = "Foreign servers and tables"
    EVENTS = "Event triggers"
    WEBHOOKS = "Database webhooks"
    SUPERUSER = "What only a superuser may make"
    DEFAULTS = "Default privileges"
    OUTSIDE = "What leans on schemas left out"


@dataclass(frozen=True)
class Decision:
    """One entry's fate. ``told`` marks what a reader of the summary has to know.

    ``made`` is what is run on the copy for it: the entry itself where it is kept, another wording of it
    where it is transformed, None where our own statements do its work or nothing is made.
    """

    entry: Entry
    fate: Fate
    reason: str
    told: bool = False
    made: Entry | None = None
    topic: Topic = Topic.TABLES


def kept(entry: Entry) -> Decision:
    """Return the decision to carry an entry as it is."""
    return Decision(entry, Fate.KEPT, "carried as it is", made=entry)


def left_out(entry: Entry, reason: str, topic: Topic, *, told: bool = False) -> Decision:
    """Return the decision to leave an entry out."""
    return Decision(entry, Fate.LEFT_OUT, reason, told, topic=topic)


@dataclass(frozen=True)
class NewRole:
    """A role that the copy needs; it cannot log in."""

    name: str
    inherits: bool
    bypasses_rls: bool
    member_of: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that is to happen to the schema, and which tables' rows go along.

    ``checks`` are made after the rows; ``routines`` get the application's search_path while the copy is
    made. ``large_objects`` says whether there are any to bring, ``degraded`` in what way the copy will be
    less than the primary; ``unbound`` is what roles lose that bypass row security there. Of the ``roots`` the
    planner is to know all rows as one. ``chosen`` limits what is made to the entries of these dump ids (None:
    all), where the rest stands already.
    """

    decisions: tuple[Decision, ...]
    roles: tuple[NewRole, ...]
    grants: tuple[Grant, ...]
    tables: tuple[Relation, ...]
    rowless: tuple[tuple[Relation, str], ...]
    sequences: tuple[Relation, ...]
    materialized_views: tuple[Relation, ...]
    search_path: str
    checks: tuple[Check, ...]
    routines: tuple[Routine, ...]
    settings: tuple[StoredSetting, ...]
    large_objects: bool
    notes: tuple[str, ...]
    unbound: str = ""
    degraded: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    roots: tuple[Root, ...] = ()
    chosen: frozenset[int] | None = None

    def kept(self, *sections: Section) -> tuple[Entry, ...]:
        """Return the entries that make up the copy, in the archive's order."""
        wanted = sections or tuple(Section)
        return tuple(d.made for d in self.decisions if d.made is not None and d.made.section in wanted)

    def to_make(self, *sections: Section) -> tuple[Entry, ...]:
        """Return the entries that are to be run on the mirror, in the archive's order."""
        kept = self.kept(*sections)
        return kept if self.chosen is None else tuple(e for e in kept if e.dump_id in self.chosen)

    def told(self) -> tuple[Decision, ...]:
        """Return the decisions that a reader has to know."""
        return tuple(decision for decision in self.decisions if decision.told)
