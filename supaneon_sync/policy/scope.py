"""Which part of the primary is copied: the whole database, or what a user names.

What is kept may lean on what is not. Soft ties (foreign keys, policies, triggers, views, functions)
are left out by name; hard ones (a column's type or default, a parent table) stop the run with the
list, as do foreign keys into tables whose rows are not copied.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Inventory, Need, ObjectId, Relation


class TableName(NamedTuple):
    """A table's name, told apart from its schema's."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


HELPERS: Mapping[str, frozenset[str]] = {
    "auth": frozenset(("uid", "role", "email", "jwt")),
    "storage": frozenset(("extension", "filename", "foldername")),
}
"""Functions of the platform that read no table: they come along by themselves when policies, defaults or
views of what is copied call them."""

_HARD = ("TABLE", "TYPE", "DOMAIN", "SEQUENCE", "DEFAULT", "TABLE ATTACH")
_FUNCTION = 1255
_SCHEMA = 2615


@dataclass(frozen=True)
class Scope:
    """What is asked for. ``include`` and ``exclude`` are schemas, ``rowless`` tables; empty: everything."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rowless: tuple[TableName, ...] = ()

    def outside(self, schemas: Iterable[str], needed: Iterable[str] = ()) -> frozenset[str]:
        """Return the schemas that are left out. Those in ``needed`` stay unless they are excluded by name."""
        kept = {*self.include, *needed}
        unnamed = {schema for schema in schemas if self.include and schema not in kept}
        return frozenset(unnamed | set(self.exclude))

    def covers(self, schema: str) -> bool:
        """Say whether what is in this schema is asked for."""
        return schema not in self.exclude and (not self.include or schema in self.include)

    def problems(self, inventory: Inventory) -> tuple[str, ...]:
        """Return a sentence for each name that the primary does not have."""
        tables = {f"{r.schema}.{r.name}" for r in inventory.relations.values() if r.kind in "rp"}
        named = [("include-schemas", name, inventory.schemas) for name in self.include]
        named += [("exclude-schemas", name, inventory.schemas) for name in self.exclude]
        found = [_unknown(setting, name, known) for setting, name, known in named if name not in known]
        rowless = [("exclude-table-data", str(name), tables) for name in self.rowless]
        found += [_unknown(setting, name, known) for setting, name, known in rowless if name not in known]
        found += [
            f"exclude-schemas names {name}, where extensions live that other schemas need"
            for name in self.exclude
            if name in inventory.extension_schemas
        ]
        return tuple(found)


WHOLE = Scope()


def _unknown(setting: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, tuple(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{setting} names {name}, which the primary does not have{hint}"


def helpers(inventory: Inventory) -> tuple[Entry, ...]:
    """Return entries for the platform's helpers that kept objects call, and for the schemas they live in."""
    called = {need.object for needs in inventory.needs.values() for need in needs}
    borrowed = [
        one for one in inventory.helpers if one.object in called and one.name in HELPERS.get(one.schema, ())
    ]
    entries = []
    for number, schema in enumerate(sorted({one.schema for one in borrowed}), 1):
        oid = next(one.schema_oid for one in borrowed if one.schema == schema)
        text = f'CREATE SCHEMA "{schema}";\n'
        entries.append(Entry(-number, _SCHEMA, oid, "SCHEMA", "", schema, Section.PRE_DATA, text))
    for number, one in enumerate(borrowed, len(entries) + 1):
        tag = f"{one.name}({one.arguments})"
        entries.append(
            Entry(
                -number,
                _FUNCTION,
                one.object[1],
                "FUNCTION",
                one.schema,
                tag,
                Section.PRE_DATA,
                one.definition,
            )
        )
    return tuple(entries)


def missing(entry: Entry, inventory: Inventory, borrowed: Iterable[ObjectId]) -> tuple[Need, ...]:
    """Return what an entry leans on outside the scope and will not find on the copy."""
    there = set(borrowed)
    needs = inventory.needs.get((entry.catalog, entry.oid), ())
    return tuple(need for need in needs if need.object not in there)


def is_hard(entry: Entry) -> bool:
    """Say whether rows are lost, or are no longer what they were, without this entry."""
    return entry.kind in _HARD


def without_rows(relation: Relation, scope: Scope, inventory: Inventory) -> bool:
    """Say whether a table's rows were asked to be left out, by its own name or a partitioned parent's."""
    asked = set(scope.rowless)
    seen: Relation | None = relation
    while seen is not None:
        if TableName(seen.schema, seen.name) in asked:
            return True
        seen = inventory.relations.get(inventory.partition_of.get(seen.oid, 0))
    return False


def dangling(inventory: Inventory, tables: Iterable[Relation], scope: Scope) -> tuple[str, ...]:
    """Return a sentence for each foreign key whose rows would point to rows that were left out on request."""
    with_rows = {table.oid for table in tables}
    with_rows |= {inventory.partition_of[oid] for oid in with_rows if oid in inventory.partition_of}
    found = []
    for key in inventory.references:
        child, parent = inventory.relations.get(key.child), inventory.relations.get(key.parent)
        if child is None or parent is None or child.oid not in with_rows or child.oid == parent.oid:
            continue
        if without_rows(parent, scope, inventory):
            found.append(f"{child.label} refers to {parent.label} ({key.name})")
    return tuple(sorted(found))
