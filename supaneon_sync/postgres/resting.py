"""Rows on the mirror that rest on an earlier proof: its own row versions say that nobody wrote to them since.

Every change of a row takes its version away, so as many old versions as were proved, less what a backup
took away itself, are the very rows that were proved; what is new beside them is hashed. What is remembered
of the last proof lies on the same server and is on disk: whatever takes the mirror back to an older state
takes the memory back with it, so that no number of a transaction is given out twice between the two. This
finds whatever anybody has done by SQL. It does not find what a disk does to rows: that is why every row is
hashed again after a while (``prove-every``), and in every drill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from supaneon_sync.policy.baseline import Horizon
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import history
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed, Tally, statement_of_some
from supaneon_sync.postgres.session import Session

_NOW = f"SELECT d.oid::text, {history.OPEN} FROM pg_database d WHERE d.datname = current_database()"
_PLACES = """
SELECT n.nspname, c.relname, concat_ws(' ', c.oid, pg_relation_filenode(c.oid), md5(string_agg(
         concat_ws(' ', a.attnum, quote_ident(a.attname), a.atttypid, a.atttypmod, a.attisdropped,
                   a.atthasmissing), ',' ORDER BY a.attnum)))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind = 'r' AND c.relam = 2 AND c.relpersistence = 'p' AND n.nspname !~ '^pg_'
GROUP BY n.nspname, c.relname, c.oid
"""


@dataclass(frozen=True)
class Rest:
    """What the mirror has to hold still of a table that was proved: the rows ``kept``, in their ``place``.

    None of them was written after ``horizon`` (the mirror's own). ``hashed_at``: when every row was hashed.
    """

    kept: Tally
    method: Method
    place: str
    horizon: Horizon
    hashed_at: datetime


@dataclass(frozen=True)
class Here:
    """The mirror at a moment: its horizon, its next transaction, and where each table's rows lie."""

    horizon: Horizon
    next: int
    places: Mapping[tuple[str, str], str]

    def bears(self, table: Relation, rest: Rest) -> bool:
        """Say whether the row versions of a table can be asked: same file, same columns, no number twice."""
        place = self.places.get((table.schema, table.name), "")
        return place == rest.place and history.unbroken(rest.horizon, self.horizon.run, self.next)


def here(session: Session) -> Here:
    """Return where the mirror stands: to be asked while nobody can write to the tables."""
    run, oldest, following = session.one(_NOW)
    places = {(schema, name): place for schema, name, place in session.query(_PLACES)}
    return Here(Horizon(run, oldest), following, places)


def fingerprints(session: Session, rests: Mapping[Relation, Rest], seed: Seed) -> dict[Relation, Fingerprint]:
    """Return the fingerprints of tables that rest, without those of which rows have gone untold."""
    asked = [
        statement_of_some(table, seed, history.written(rest.horizon, history.NEW), rest.method)
        for table, rest in rests.items()
    ]
    found = {}
    for (table, rest), (rows, *sums) in zip(rests.items(), session.ones(asked), strict=True):
        new = Tally.read(*sums)
        if rows - new.rows == rest.kept.rows:
            found[table] = (rest.kept + new).fingerprint(rest.method)
    return found
