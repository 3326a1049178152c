"""From the schema that stands on the mirror to the planned one, without starting over.

What has changed is dropped with everything that hangs on it, as the mirror's own archive knows, and made
again in the plan's order. A table among that is loaded anew, alone. Comments, enum values, CHECKs and
bodies of functions are changed in place. What cannot be brought along so is a reason to rebuild; what was
brought along is compared with the plan afterwards, so that a mistake here costs time and never truth.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from supaneon_sync.policy import baseline as memory
from supaneon_sync.policy import compare
from supaneon_sync.policy.baseline import Definition
from supaneon_sync.policy.entries import Entry, Identity, Section
from supaneon_sync.policy.plan import Plan

_ROUTINES = ("FUNCTION", "PROCEDURE")
_GO_WITH_TABLE = frozenset(
    (
        *("INDEX", "CONSTRAINT", "CHECK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "ROW SECURITY", "DEFAULT"),
        *("STATISTICS", "TABLE ATTACH", "INDEX ATTACH", "SEQUENCE OWNED BY", "COMMENT"),
    )
)
"""Kinds that vanish with their table, whatever else is dropped."""
_NEED_NO_DROP = frozenset(("COMMENT", "INDEX ATTACH", "TABLE ATTACH", "SEQUENCE OWNED BY", "ROW SECURITY"))
"""Kinds that vanish with what they are about."""
_CHECK_LINE = re.compile(r'\s+CONSTRAINT ("(?:[^"]|"")*"|\w+) (CHECK .*?),?$', re.DOTALL)


class CannotEvolve(Exception):
    """The planned schema cannot be reached from the one that stands; the text says why."""


@dataclass(frozen=True)
class ChangedCheck:
    """A CHECK of what stays: dropped by its quoted ``name``, or made with ``definition``."""

    owner: Entry
    name: str
    definition: str = ""


@dataclass(frozen=True)
class Evolution:
    """What takes the mirror's schema to the plan.

    ``drops``: entries of the mirror's archive, in the order in which they can go. ``in_place``: statements
    that change what stays. ``replaced``: dump ids of the plan's functions whose body changes. ``creates``:
    dump ids of the plan's entries that are made. ``reloads``: tables (schema, name) that lose their rows by
    that. ``grown``: statements that add values to enums, each to be committed by itself. ``reasons``: what
    has changed; ``altered``: what of the mirror something other than a backup has changed. ``late``: dump
    ids of partitions' attachments to tables that stand, which have to wait for the partitions' own indexes:
    a table that has a key would make the partition another one.
    """

    drops: tuple[Entry, ...] = ()
    in_place: tuple[str, ...] = ()
    replaced: frozenset[int] = frozenset()
    creates: frozenset[int] = frozenset()
    reloads: frozenset[tuple[str, str]] = frozenset()
    grown: tuple[str, ...] = ()
    dropped_checks: tuple[ChangedCheck, ...] = ()
    added_checks: tuple[ChangedCheck, ...] = ()
    reasons: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    late: frozenset[int] = frozenset()

    @property
    def any(self) -> bool:
        """Whether anything of the schema changes."""
        return self != Evolution()


@dataclass(frozen=True)
class Standing:
    """The schema that stands on the mirror.

    ``entries`` is its archive; ``owned`` leads from a sequence (schema, name) to the table that owns it.
    """

    entries: tuple[Entry, ...]
    owned: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)


@dataclass
class _Work:
    starts: set[int] = field(default_factory=set)
    in_place: list[str] = field(default_factory=list)
    replaced: set[int] = field(default_factory=set)
    grown: list[str] = field(default_factory=list)
    creates: set[Identity] = field(default_factory=set)
    dropped_checks: list[ChangedCheck] = field(default_factory=list)
    added_checks: list[ChangedCheck] = field(default_factory=list)
    uncomment: list[Entry] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)


def decide(
    plan: Plan,
    standing: Standing,
    known: Mapping[Identity, Definition],
    *,
    again: Iterable[Identity] = (),
    irreplaceable: Iterable[Identity] = (),
) -> Evolution:
    """Return how the mirror's schema becomes the planned one.

    ``known``: the definitions that were proved last; ``again``: objects that are made anew whatever they
    are; ``irreplaceable``: functions that the server does not replace in place. Raises CannotEvolve.
    """
    wanted, found = _by_identity(plan.kept()), _by_identity(standing.entries)
    now = memory.definitions(
        (e for e in plan.kept() if compare.counts(e)), (e for e in standing.entries if compare.counts(e))
    )
    work = _Work()
    again, irreplaceable = set(again), set(irreplaceable)
    for identity in sorted(wanted.keys() | found.keys()):
        if identity in wanted and identity in found:
            if identity not in again and known.get(identity) == now[identity]:
                continue
            if (
                identity in known
                and known[identity].primary == now[identity].primary
                and identity not in again
            ):
                work.altered.append(f"{_label(identity)} is another one")
        elif identity in wanted:
            work.reasons.append(f"new: {_label(identity)}")
            if identity in known and known[identity] == Definition(
                now[identity].primary, known[identity].mirror
            ):
                work.altered += [f"{_label(identity)} is missing"] if known[identity].mirror else []
            _new(identity, found, work)
            continue
        if len(wanted.get(identity, ())) > 1 or len(found[identity]) > 1:
            raise CannotEvolve(f"several objects share the name {_label(identity)}")
        if identity not in wanted and identity not in known:
            work.altered.append(f"{_label(identity)} is not the primary's")
        word = "changed" if identity in wanted else "gone"
        work.reasons.append(f"{word}: {_label(identity)}")
        old = found[identity][0]
        new = wanted[identity][0] if identity in wanted else None
        _differing(old, new, found, work, identity in irreplaceable)
    return _whole(plan, standing, work)


def around(plan: Plan, standing: Standing, starts: Iterable[int]) -> Evolution:
    """Return how these entries of the mirror's archive, with all that hangs on them, are made anew."""
    return _whole(plan, standing, _Work(starts=set(starts)))


def in_time(plan: Plan, change: Evolution) -> Plan:
    """Return the plan with what is late among what is made after rows."""
    return replace(
        plan,
        decisions=tuple(
            replace(one, made=replace(one.made, section=Section.POST_DATA))
            if one.made is not None and one.made.dump_id in change.late
            else one
            for one in plan.decisions
        ),
    )


def _by_identity(entries: Iterable[Entry]) -> dict[Identity, list[Entry]]:
    found: defaultdict[Identity, list[Entry]] = defaultdict(list)
    for entry in entries:
        if compare.counts(entry):
            found[entry.identity].append(entry)
    return dict(found)


def _new(identity: Identity, found: Mapping[Identity, Sequence[Entry]], work: _Work) -> None:
    """Have it made; a table that becomes a partition is made and loaded anew."""
    work.creates.add(identity)
    kind, schema, tag = identity
    if kind == "TABLE ATTACH":
        work.starts |= {entry.dump_id for entry in found.get(("TABLE", schema, tag), ())}


def _differing(
    old: Entry, new: Entry | None, found: Mapping[Identity, Sequence[Entry]], work: _Work, irreplaceable: bool
) -> None:
    kind, schema, tag = old.identity
    if kind == "COMMENT":
        if new is None:
            work.uncomment.append(old)
        else:
            work.creates.add(new.identity)
    elif kind == "ROW SECURITY" and new is None:
        work.in_place.append(old.definition.replace(" ENABLE ROW LEVEL", " DISABLE ROW LEVEL", 1))
    elif kind == "SEQUENCE OWNED BY" and new is not None:
        work.creates.add(new.identity)
    elif kind in ("SEQUENCE OWNED BY", "TABLE ATTACH"):
        owner = "SEQUENCE" if kind == "SEQUENCE OWNED BY" else "TABLE"
        work.starts |= {entry.dump_id for entry in found.get((owner, schema, tag), ())}
    elif kind in _ROUTINES and new is not None and not irreplaceable and _replaceable(new):
        work.replaced.add(new.dump_id)
        work.starts |= _built_with(old, found)
    elif kind == "TYPE" and new is not None and _grows(old, new):
        work.grown += _growth(old, new)
    elif kind in ("TABLE", "DOMAIN") and new is not None and _only_checks(old, new):
        _change_checks(old, new, work)
    elif kind == "SEQUENCE" and not old.drop:  # of an identity column: its table is made anew
        work.starts |= {entry.dump_id for entry in _tables(found) if entry.dump_id in old.needs}
    elif kind == "EXTENSION" and new is not None:
        raise CannotEvolve(f"{_label(old.identity)} has changed")
    else:
        work.starts.add(old.dump_id)


def _tables(found: Mapping[Identity, Sequence[Entry]]) -> list[Entry]:
    return [entry for (kind, *_), entries in found.items() if kind == "TABLE" for entry in entries]


def _replaceable(entry: Entry) -> bool:
    return entry.definition.startswith(f"CREATE {entry.kind} ")


def in_other_words(entry: Entry) -> Entry:
    """Return a function's entry with a definition that changes the one that is there."""
    return replace(entry, definition=entry.definition.replace("CREATE ", "CREATE OR REPLACE ", 1))


def _built_with(routine: Entry, found: Mapping[Identity, Sequence[Entry]]) -> set[int]:
    """Return what holds values that a function has computed: indexes and constraints made of them."""
    every = (entry for entries in found.values() for entry in entries)
    return {e.dump_id for e in every if e.kind in ("INDEX", "CONSTRAINT") and routine.dump_id in e.needs}


_ENUM = re.compile(r"CREATE TYPE (?P<name>.+) AS ENUM \(\n    (?P<labels>.*)\n\);\n", re.DOTALL)


def steady_enums(plan: Plan, standing: Standing, known: Mapping[Identity, Definition]) -> frozenset[str]:
    """Return the enums that are on both sides what they were at the last proof, by their names as `quoted`.

    One that grew may have had a value renamed before: its rows then show another label and are no newer.
    """
    here, there = memory.digests(plan.kept()), memory.digests(standing.entries)
    found = set()
    for entry in plan.kept():
        enum = _ENUM.fullmatch(entry.definition) if entry.kind == "TYPE" else None
        one = entry.identity
        if enum and known.get(one) == Definition(here[one], there.get(one, "")):
            found.add(enum["name"])
    return frozenset(found)


_WORD = re.compile(r'"(?:[^"]|"")*"|\w+')


def quoted(type_name: str) -> str:
    """Return the name of a column's type as definitions write it, every part of it in quotes."""
    return _WORD.sub(lambda word: word[0] if word[0].startswith('"') else f'"{word[0]}"', type_name)


def _labels(entry: Entry) -> list[str]:
    """Return the labels of an enum as pg_dump writes them, quoted and a line each; none for other types."""
    found = _ENUM.fullmatch(entry.definition)
    return found["labels"].split(",\n    ") if found else []


def _grows(old: Entry, new: Entry) -> bool:
    """Say whether the new type's values are the old enum's with some added, none removed or moved.

    Whether one was renamed besides, values cannot tell: rows of the type are compared then.
    """
    before, rest = _labels(old), iter(_labels(new))
    return bool(before) and all(label in rest for label in before)


def _growth(old: Entry, new: Entry) -> list[str]:
    """Return the statements that add each new value after the one before it on the primary."""
    there, wanted = _labels(old), _labels(new)
    name = new.definition.removeprefix("CREATE TYPE ").split(" AS ENUM (\n")[0]
    statements = []
    for position, label in enumerate(wanted):
        if label not in there:
            place = f"AFTER {wanted[position - 1]}" if position else f"BEFORE {there[0]}"
            statements.append(f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {label} {place}")
            there.insert(position, label)
    return statements


def _lines(entry: Entry) -> tuple[list[str], dict[str, str]]:
    """Return the definition of a table or domain without its CHECKs, and these by their quoted names."""
    rest, checks = [], {}
    text = entry.definition if entry.kind == "TABLE" else entry.definition.rstrip().removesuffix(";")
    for line in text.split("\n"):
        check = _CHECK_LINE.fullmatch(line)
        if check:
            checks[check[1]] = check[2]
        else:
            rest.append(compare.in_common(line.rstrip(",")))
    return rest, checks


def _only_checks(old: Entry, new: Entry) -> bool:
    before, after = _lines(old), _lines(new)
    return before[0] == after[0] and before[1] != after[1]


def _change_checks(old: Entry, new: Entry, work: _Work) -> None:
    before, after = _lines(old)[1], _lines(new)[1]
    for name in before:
        if before[name] != after.get(name):
            work.dropped_checks.append(ChangedCheck(new, name))
    for name, definition in after.items():
        if definition != before.get(name):
            work.added_checks.append(ChangedCheck(new, name, definition))


def _whole(plan: Plan, standing: Standing, work: _Work) -> Evolution:
    """Close what goes under what hangs on it, and put what is made again beside it."""
    gone = _closure(standing, work.starts)
    entries = [entry for entry in standing.entries if entry.dump_id in gone and compare.counts(entry)]
    creates = work.creates | {entry.identity for entry in entries}
    made = [entry for entry in plan.kept() if entry.identity in creates]
    reloads = {(entry.schema, entry.tag) for entry in made if entry.kind == "TABLE"}
    fresh = {entry.dump_id for entry in made}
    tables = {entry.dump_id for entry in plan.kept() if entry.kind == "TABLE"}
    silenced = [_without_comment(entry) for entry in work.uncomment if entry.dump_id not in gone]
    return Evolution(
        drops=_drops(standing, gone),
        in_place=(*work.in_place, *silenced),
        replaced=frozenset(work.replaced),
        creates=frozenset(entry.dump_id for entry in made),
        reloads=frozenset(reloads),
        grown=tuple(work.grown),
        dropped_checks=tuple(one for one in work.dropped_checks if not _in(one.owner, reloads)),
        added_checks=tuple(one for one in work.added_checks if not _in(one.owner, reloads)),
        reasons=tuple(work.reasons),
        altered=tuple(work.altered),
        late=frozenset(e.dump_id for e in made if e.kind == "TABLE ATTACH" and (e.needs & tables) - fresh),
    )


def _in(owner: Entry, reloads: Iterable[tuple[str, str]]) -> bool:
    return owner.kind == "TABLE" and (owner.schema, owner.tag) in reloads


def _closure(standing: Standing, starts: Iterable[int]) -> set[int]:
    hanging: defaultdict[int, set[int]] = defaultdict(set)
    for entry in standing.entries:
        for need in entry.needs:
            hanging[need].add(entry.dump_id)
    tables = {(e.schema, e.tag): e.dump_id for e in standing.entries if e.kind == "TABLE"}
    for entry in standing.entries:
        owner = standing.owned.get((entry.schema, entry.tag)) if entry.kind == "SEQUENCE" else None
        if owner in tables:
            hanging[tables[owner]].add(entry.dump_id)
    found: set[int] = set()
    edge = set(starts)
    while edge:
        found |= edge
        edge = set().union(*(hanging[one] for one in edge)) - found
    return found


def _drops(standing: Standing, gone: set[int]) -> tuple[Entry, ...]:
    """Return what has to be dropped by name, in an order that lets it; the rest goes along.

    Raises CannotEvolve for what has no statement that takes it away.
    """
    tables = {(e.schema, e.tag): e.dump_id for e in standing.entries if e.kind == "TABLE"}
    attached = {need for e in standing.entries if e.kind == "INDEX ATTACH" for need in e.needs}
    drops = []
    for entry in reversed(standing.entries):
        if entry.dump_id not in gone or not compare.counts(entry):
            continue
        owner = tables.get(standing.owned.get((entry.schema, entry.tag), ("", "")))
        goes = entry.kind in _GO_WITH_TABLE and entry.needs & gone & set(tables.values())
        part = (
            entry.kind in ("INDEX", "CONSTRAINT")
            and entry.dump_id in attached
            and entry.needs & gone & attached
        )
        if (
            goes
            or part
            or (entry.kind == "SEQUENCE" and (owner in gone or (not entry.drop and entry.needs & gone)))
        ):
            continue
        if entry.drop:
            drops.append(entry)
        elif entry.kind not in _NEED_NO_DROP:
            raise CannotEvolve(f"{_label(entry.identity)} cannot be dropped by itself")
    return tuple(drops)


def _without_comment(entry: Entry) -> str:
    """Return the statement that takes a comment away: its own, with NULL for the text at its end."""
    text = entry.definition.rstrip().removesuffix(";")
    position = len(text) - 2
    while position > 0 and (text[position] != "'" or text[position - 1] == "'"):
        position -= 2 if text[position] == "'" else 1
    head = text[:position].removesuffix("E").rstrip()
    if not text.endswith("'") or not head.endswith(" IS"):
        raise CannotEvolve(f"{_label(entry.identity)} is gone and cannot be taken away by itself")
    return head + " NULL"


def _label(identity: Identity) -> str:
    kind, schema, tag = identity
    return f"{kind.lower()} {schema}.{tag}" if schema else f"{kind.lower()} {tag}"
