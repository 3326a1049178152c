"""Carrying out an evolution of the mirror's schema: all of it before the rows, or none of it."""

from __future__ import annotations

from collections.abc import Sequence

from supaneon_sync.errors import NeonError
from supaneon_sync.policy import evolution
from supaneon_sync.policy.entries import Entry, Identity, Section
from supaneon_sync.policy.evolution import Evolution, Standing
from supaneon_sync.policy.facts import Check
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import restore
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.violations import naming

_OWNED = """
SELECT sn.nspname, s.relname, tn.nspname, t.relname FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
"""
_IRREPLACEABLE = "42P13"
"""SQLSTATE of CREATE OR REPLACE where the result or the arguments are of another type now."""


class Irreplaceable(Exception):
    """A function does not let itself be replaced in place: it has to be made anew with what uses it."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self.identity = identity


def standing(session: Session, archive: Archive) -> Standing:
    """Return the schema that stands on the mirror, by its archive and its catalogs."""
    owned = {(row[0], row[1]): (row[2], row[3]) for row in session.query(_OWNED)}
    return Standing(archive.entries, owned)


def before_rows(session: Session, plan: Plan, change: Evolution) -> None:
    """Drop what goes and make what has to stand before rows, in one transaction.

    ``plan`` makes what the evolution creates. Raises Irreplaceable, and NeonError that names the entry for
    any other refusal: nothing has changed then, but enums may have grown.
    """
    for text in change.grown:  # a new value may be used only when it is committed
        session.execute(text)
    made = {entry.dump_id for entry in plan.to_make(Section.PRE_DATA, Section.NONE)}
    entries = [
        evolution.in_other_words(entry) if entry.dump_id in change.replaced else entry
        for entry in plan.kept(Section.PRE_DATA, Section.NONE)
        if entry.dump_id in made | change.replaced
    ]
    with session.transaction():
        for entry in change.drops:
            with naming(entry, "dropped from"):
                session.execute(entry.drop)
        for one in change.dropped_checks:
            session.execute(f"ALTER {_target(one.owner)} DROP CONSTRAINT IF EXISTS {one.name}")
        for text in change.in_place:
            session.execute(text)
        _replace_or_make(session, entries, change)


def _replace_or_make(session: Session, entries: Sequence[Entry], change: Evolution) -> None:
    try:
        restore.run_inside(session, entries)
    except NeonError as error:
        if error.evidence.get("sqlstate") != _IRREPLACEABLE:
            raise
        refused = next((e for e in entries if e.dump_id in change.replaced and e.name in error.message), None)
        if refused is None:
            raise
        raise Irreplaceable(refused.identity) from None


def checks(change: Evolution) -> tuple[Check, ...]:
    """Return the CHECKs that are to be made when the rows are there."""
    return tuple(
        Check(
            object=(one.owner.catalog, one.owner.oid),
            target=_target(one.owner),
            schema=one.owner.schema,
            owner_name=one.owner.tag,
            name=_plain(one.name),
            definition=one.definition,
        )
        for one in change.added_checks
    )


def _plain(quoted: str) -> str:
    return quoted[1:-1].replace('""', '"') if quoted.startswith('"') else quoted


def _target(owner: Entry) -> str:
    """Return a table or domain as ALTER names it."""
    names = (part.replace('"', '""') for part in (owner.schema, owner.tag))
    return owner.kind + " " + ".".join(f'"{name}"' for name in names)
