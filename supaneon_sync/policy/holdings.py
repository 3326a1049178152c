"""What a backup holds, in numbers: kept beside the mirror, so that the next backup can be held against it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.policy.scope import Scope

FORMAT = 1
"""Version of the written form. Numbers of another one are not compared."""


class Counted(NamedTuple):
    """A table's rows, and its OID on the primary, by which it is known again under another name."""

    rows: int
    oid: int


@dataclass(frozen=True)
class Holding:
    """What one backup holds. A partitioned table counts once, with the rows of all its partitions.

    ``scope`` is the digest of what was asked for, ``cluster`` the primary's system identifier, ``dumper``
    the program that wrote the definitions and for which server: other versions word them otherwise.
    ``tables`` are those with their rows, ``rowless`` those without, by label; ``objects`` is the digest
    of each object's definition, by kind and name.
    """

    backup: str
    scope: str
    cluster: str
    dumper: str
    tables: Mapping[str, Counted]
    rowless: frozenset[str]
    objects: Mapping[str, str]


def written(holding: Holding) -> str:
    """Return a holding as text; ``read`` is the way back."""
    fields: dict[str, Any] = {"format": FORMAT, **vars(holding), "rowless": sorted(holding.rowless)}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read(text: str) -> Holding | None:
    """Return the holding that was written, None where it is of another format. Raises ValueError."""
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            return None
        tables = {str(label): Counted(int(rows), int(oid)) for label, (rows, oid) in found["tables"].items()}
        names = {name: str(found[name]) for name in ("backup", "scope", "cluster", "dumper")}
        objects = {str(label): str(digest) for label, digest in found["objects"].items()}
        return Holding(**names, tables=tables, rowless=frozenset(found["rowless"]), objects=objects)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("these are not the numbers of a backup") from error


def scope_digest(scope: Scope, *, include_auth_sessions: bool) -> str:
    """Return a digest of what is asked for; the order of names makes no difference."""
    lists = [sorted(set(map(str, names))) for names in (scope.include, scope.exclude, scope.rowless)]
    return _digest(json.dumps([*lists, include_auth_sessions]))


def heading(relation: Relation, inventory: Inventory) -> Relation:
    """Return the table under which a relation is counted: the root of its partitions, or itself."""
    while True:
        parent = inventory.relations.get(inventory.partition_of.get(relation.oid, 0))
        if parent is None:
            return relation
        relation = parent


def counted(rows: Mapping[Relation, int], inventory: Inventory) -> dict[str, Counted]:
    """Return each table with the rows of all its partitions, by label."""
    found: dict[str, Counted] = {}
    for relation, count in rows.items():
        root = heading(relation, inventory)
        before = found.get(root.label, Counted(0, root.oid))
        found[root.label] = before._replace(rows=before.rows + count)
    return found


def objects(entries: Iterable[Entry]) -> dict[str, str]:
    """Return a digest of each object's definition, by kind and name; what shares a name counts as one."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        if entry.section in (Section.PRE_DATA, Section.POST_DATA):
            found[entry.label].append(entry.definition)
    return {label: _digest("\0".join(sorted(definitions))) for label, definitions in found.items()}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
