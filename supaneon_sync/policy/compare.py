"""Is the copy's schema the planned one? Two tables of contents, read by the same pg_dump, compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from supaneon_sync.policy.entries import Entry, Identity
from supaneon_sync.policy.facts import Grant
from supaneon_sync.policy.plan import Plan
from supaneon_sync.policy.platform import NEVER, ROWS, SESSION

_NOT_COMPARED = SESSION | ROWS | {"ACL", *(kind for kind in NEVER if kind == "DEFAULT ACL")}
_HOLDS_QUERIES = frozenset(("FUNCTION", "MATERIALIZED VIEW", "POLICY", "PROCEDURE", "RULE", "VIEW"))
"""Kinds whose text may hold a query, which a server of another major may word differently for the same
object (tried: queries of 15 and 16)."""

_QUERY = re.compile(r"\n    (?:BEGIN ATOMIC|RETURN) ?")

_NAME = re.compile(r' CONSTRAINT (?:"(?:[^"]|"")*"|\w+)(?= NOT NULL)')
"""From 18 on NOT NULL has a name, which is told where it is not the usual one (so for long columns)."""

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_PATH = re.compile(r'\n    SET "search_path" TO [^\n]*')


def differences(
    plan: Plan, copy: Iterable[Entry], *, excused: Iterable[Entry], same_major: bool
) -> tuple[str, ...]:
    """Return a sentence for each way in which the copy's schema is not the planned one.

    ``excused`` are entries that the primary's own rows violate; a check among them needs the table or
    domain whose text holds it on the primary. Across majors, queries and the heads of
    functions, which servers word differently, are compared by presence alone; so is what comes from the
    catalogs instead of the archive (its dump id is below nought).
    """
    spared, extra = _spared(plan, excused)
    wanted = {entry.identity: entry for entry in plan.kept() if counts(entry)}
    found = {entry.identity: entry for entry in copy if counts(entry)}
    lasting = {routine.object for routine in plan.routines if routine.lasting}
    told = [f"{_name(i)} is missing on the copy" for i in wanted if i not in found and i not in spared]
    told += [
        f"{_name(i)} is on the copy but not on the primary"
        for i in found
        if i not in wanted and i not in extra
    ]
    for identity, entry in wanted.items():
        if identity not in found or identity in spared or entry.dump_id < 0:
            continue
        text, planned = found[identity].definition, entry.definition
        if (entry.catalog, entry.oid) in lasting and text != planned:
            text = _PATH.sub("", text, count=1)
        if not same_major:
            text, planned = (in_common(_NAME.sub("", words)) for words in (text, planned))
            if identity[0] in _HOLDS_QUERIES:
                text, planned = (_own_words(identity[0], words) for words in (text, planned))
        if text != planned:
            told.append(f"{_name(identity)} is defined differently on the copy")
    return tuple(sorted(told))


def _spared(plan: Plan, excused: Iterable[Entry]) -> tuple[set[Identity], set[Identity]]:
    """Return what may look otherwise on the copy or be missing, and what may be there beside the plan."""
    by_id = {decision.entry.dump_id: decision.entry.identity for decision in plan.decisions}
    spared, extra = set(), set()
    for entry in excused:
        spared.add(entry.identity)
        if entry.dump_id not in by_id:
            extra.add(entry.identity)
            spared |= {by_id[need] for need in entry.needs}
    return spared, extra


def _own_words(kind: str, definition: str) -> str:
    """Return of a text that may hold a query what no server words: a function's language, settings and body.

    There is no such thing where the body is itself a query, and in what is no function.
    """
    if kind not in ("FUNCTION", "PROCEDURE"):
        return ""
    _, _, words = definition.partition("\n    LANGUAGE ")
    return "" if _QUERY.search(words.partition("\n    AS ")[0]) else words


def in_common(definition: str) -> str:
    """Return a definition as servers of every major word it: json is a word of the language from 17 on.

    A word of the language is never quoted, where all other names are.
    """
    return _QUOTED.sub(lambda found: "json" if found[0] == '"json"' else found[0], definition)


@dataclass(frozen=True, order=True)
class Privilege:
    """One privilege that one grantee ('' is PUBLIC) holds on one object."""

    target: str
    grantee: str
    name: str
    grantable: bool

    @property
    def label(self) -> str:
        """The privilege in words."""
        option = " with grant option" if self.grantable else ""
        return f"{self.name} on {self.target} for {self.grantee or 'PUBLIC'}{option}"


def grant_differences(plan: Plan, found: Iterable[Grant]) -> tuple[str, ...]:
    """Return a sentence for each privilege that a role of the plan, or PUBLIC, has too little or too much."""
    roles = [role.name for role in plan.roles]
    wanted, there = held(plan.grants, roles), held(found, roles)
    return tuple(
        sorted(
            [f"{one.label} is missing on the copy" for one in wanted - there]
            + [f"{one.label} is held on the copy but not on the primary" for one in there - wanted]
        )
    )


def held(grants: Iterable[Grant], roles: Iterable[str]) -> set[Privilege]:
    """Return the privileges that these roles, and PUBLIC, hold by these grants."""
    counted = {"", *roles}
    return {
        Privilege(grant.target, grant.grantee, privilege, grant.grantable)
        for grant in grants
        for privilege in grant.privileges
        if grant.grantee in counted
    }


def counts(entry: Entry) -> bool:
    """Say whether an entry is part of what two schemas have to have in common."""
    return not (
        entry.kind in _NOT_COMPARED
        or (entry.kind == "SCHEMA" and entry.tag == "public")
        or (entry.kind == "COMMENT" and entry.tag.startswith("EXTENSION "))
    )


def _name(identity: Identity) -> str:
    kind, schema, tag = identity
    return f"{kind.lower()} {schema}.{tag}" if schema else f"{kind.lower()} {tag}"
