"""Foreign keys as the mirror has them: which table's rows each holds, and to which table's it holds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from supaneon_sync.policy.entries import Identity
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.session import Session

Names = frozenset[tuple[str, str]]

_TIES = """
SELECT n.nspname, t.relname || ' ' || c.conname,
       (SELECT array_agg(ARRAY[pn.nspname::text, p.relname::text]) FROM pg_class p
        JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE p.oid = c.conrelid OR p.oid IN (SELECT f.relid FROM pg_partition_tree(c.conrelid) f)),
       (SELECT array_agg(ARRAY[pn.nspname::text, p.relname::text]) FROM pg_class p
        JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE p.oid = c.confrelid OR p.oid IN (SELECT f.relid FROM pg_partition_tree(c.confrelid) f)),
       c.convalidated, NOT EXISTS (SELECT FROM pg_trigger g JOIN pg_constraint k ON k.oid = g.tgconstraint
                   WHERE c.oid IN (k.oid, k.conparentid) AND g.tgenabled = 'D')
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0
"""


@dataclass(frozen=True)
class Tie:
    """A foreign key, with the tables (schema, name) on either end; a partitioned one has many.

    ``validated``: every row was held against it, on the primary too. ``enforced``: none of the triggers that
    make it hold is turned off, which no dump would tell.
    """

    identity: Identity
    children: Names
    parents: Names
    validated: bool
    enforced: bool

    @property
    def ends(self) -> Names:
        """The tables on either end."""
        return self.children | self.parents


def read(session: Session) -> tuple[Tie, ...]:
    """Return the foreign keys of the session's database."""
    return tuple(
        Tie(("FK CONSTRAINT", schema, tag), _names(children), _names(parents), validated, enforced)
        for schema, tag, children, parents, validated, enforced in session.query(_TIES)
    )


def _names(rows: list[list[str]]) -> Names:
    return frozenset((schema, name) for schema, name in rows)


def in_the_way(
    ties: Iterable[Tie], changed: Collection[Relation], whole: Collection[Relation]
) -> set[Identity]:
    """Return the keys that cannot stay while rows are changed.

    A key to a table whose rows change would fire its ON DELETE action, or forbid the change; so would one
    of a table that is copied whole be held against every row. A key from changed rows to an unchanged
    table stays: only the changed rows are held against it, unless it is one that old rows need not meet.
    """
    targets = {(table.schema, table.name) for table in changed}
    sources = {(table.schema, table.name) for table in whole}
    return {
        tie.identity
        for tie in ties
        if tie.parents & targets or tie.children & sources or (tie.children & targets and not tie.validated)
    }
