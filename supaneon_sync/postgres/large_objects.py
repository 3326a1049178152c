"""Large objects: read in pieces under the snapshot, written on the copy, compared by size and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from supaneon_sync.errors import PrimaryError
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Snapshot, joined

_PIECE = 1024 * 1024
_GROUP = 200
_LIST = """
SELECT m.oid, obj_description(m.oid, 'pg_largeobject') FROM pg_largeobject_metadata m ORDER BY m.oid
"""


@dataclass(frozen=True)
class LargeObject:
    """What a large object held when it was read: its size in bytes and the SHA-256 of its content."""

    oid: int
    size: int
    digest: str


@dataclass(frozen=True)
class Group:
    """Some large objects that one worker carries in one transaction, with their comments."""

    objects: tuple[tuple[int, str | None], ...]


def groups(session: Session) -> tuple[Group, ...]:
    """Return every large object of the database the session is on, in groups for workers."""
    rows = [(oid, comment) for oid, comment in session.query(_LIST)]
    return tuple(Group(tuple(rows[start : start + _GROUP])) for start in range(0, len(rows), _GROUP))


def transfer(source: Session, target: Session, group: Group, snapshot: Snapshot) -> tuple[LargeObject, ...]:
    """Copy a group of large objects, each under its own OID. Memory holds one piece at a time.

    Raises PrimaryError that says what to grant when one cannot be read.
    """
    carried = []
    with joined(source, snapshot), target.transaction():
        for oid, comment in group.objects:
            carried.append(_carry(source, target, oid))
            if comment is not None:
                _comment(target, oid, comment)
    return tuple(carried)


_SERVED = 64 * 1024 * 1024
"""Bytes up to which a server digests a large object by itself."""
_DIGESTS = """
SELECT s.oid, s.size, CASE WHEN s.size <= {most} THEN encode(sha256(lo_get(s.oid)), 'hex') END
FROM (SELECT o.oid, lo_lseek64(lo_open(o.oid, 262144), 0, 2) AS size
      FROM unnest({oids}::oid[]) AS o (oid) OFFSET 0) AS s
"""


def comments(session: Session) -> dict[int, str | None]:
    """Return every large object of the database the session is on, with its comment."""
    return dict(_pair(row) for row in session.query(_LIST))


def _pair(row: Sequence[Any]) -> tuple[int, str | None]:
    return row[0], row[1]


def bring(
    sessions: tuple[Session, Session], group: Group, snapshot: Snapshot, there: Mapping[int, str | None]
) -> tuple[LargeObject, ...]:
    """Make a group of large objects on the copy what the snapshot shows, fetching those that differ alone.

    ``there`` are the copy's own, with their comments. Raises as `transfer` does.
    """
    source, target = sessions
    oids = [oid for oid, _ in group.objects]
    with joined(source, snapshot), target.transaction():
        wanted = _digests(source, oids)
        found = {one.oid: one for one in _digests(target, [oid for oid in oids if oid in there])}
        brought = []
        for (oid, comment), one in zip(group.objects, wanted, strict=True):
            same = found.get(oid) == one
            if not same and oid in there:
                target.query("SELECT lo_unlink(%s)", (oid,))
            brought.append(one if same else _carry(source, target, oid))
            if comment != (there.get(oid) if same else None):
                _comment(target, oid, comment)
    return tuple(brought)


def remove(target: Session, oids: Iterable[int]) -> None:
    """Take large objects away that the primary does not have."""
    gone = list(oids)
    if gone:
        target.query("SELECT count(lo_unlink(o.oid)) FROM unnest(%s::oid[]) AS o (oid)", (gone,))


def _digests(session: Session, oids: Sequence[int]) -> tuple[LargeObject, ...]:
    """Return size and digest of each, in the order given; large ones are read through."""
    if not oids:
        return ()
    statement = sql.SQL(_DIGESTS).format(most=sql.Literal(_SERVED), oids=sql.Literal(list(oids)))
    try:
        told = {oid: (size, digest) for oid, size, digest in session.query(statement)}
    except PrimaryError as error:
        raise _unreadable(error, "One of them") from None
    found: list[LargeObject] = []
    for oid in oids:
        size, digest = told[oid]
        found += [LargeObject(oid, size, digest)] if digest else measure(session, [oid])
    return tuple(found)


def measure(session: Session, oids: Sequence[int]) -> tuple[LargeObject, ...]:
    """Return what these large objects hold on the copy."""
    found = []
    for oid in oids:
        digest, size = hashlib.sha256(), 0
        for piece in _pieces(session, oid):
            digest.update(piece)
            size += len(piece)
        found.append(LargeObject(oid, size, digest.hexdigest()))
    return tuple(found)


def count(session: Session) -> int:
    """Return how many large objects there are."""
    return int(session.value("SELECT count(*) FROM pg_largeobject_metadata"))


def summary(objects: Sequence[LargeObject]) -> dict[str, object]:
    """Return what the manifest says of them: how many, how many bytes, and one digest over all."""
    lines = "".join(f"{one.oid} {one.size} {one.digest}\n" for one in sorted(objects, key=lambda o: o.oid))
    return {
        "count": len(objects),
        "bytes": sum(one.size for one in objects),
        "digest": hashlib.sha256(lines.encode()).hexdigest(),
    }


def _comment(target: Session, oid: int, comment: str | None) -> None:
    words = sql.SQL("COMMENT ON LARGE OBJECT {} IS {}")
    target.execute(words.format(sql.Literal(oid), sql.Literal(comment)))


def _unreadable(error: PrimaryError, which: str) -> PrimaryError:
    if error.evidence.get("sqlstate") != "42501":
        return error
    return PrimaryError(
        f"{which} of the primary's large objects cannot be read.",
        remedy="As its owner: GRANT SELECT ON LARGE OBJECT … TO the backup's role"
        " (pg_read_all_data does not cover large objects).",
    ).with_evidence(error.evidence)


def _carry(source: Session, target: Session, oid: int) -> LargeObject:
    digest, size = hashlib.sha256(), 0
    target.query("SELECT lo_create(%s)", (oid,))
    try:
        for piece in _pieces(source, oid):
            digest.update(piece)
            target.query("SELECT lo_put(%s, %s, %s)", (oid, size, piece))
            size += len(piece)
    except PrimaryError as error:
        if error.evidence.get("sqlstate") != "42501":
            raise
        raise PrimaryError(
            f"Large object {oid} of the primary cannot be read.",
            remedy=f"As its owner: GRANT SELECT ON LARGE OBJECT {oid} TO the backup's role"
            " (pg_read_all_data does not cover large objects).",
        ).with_evidence(error.evidence) from None
    return LargeObject(oid, size, digest.hexdigest())


def _pieces(session: Session, oid: int) -> Iterator[bytes]:
    offset = 0
    while True:
        piece = bytes(session.value("SELECT lo_get(%s, %s, %s)", (oid, offset, _PIECE)))
        if piece:
            yield piece
        offset += len(piece)
        if len(piece) < _PIECE:
            return


def differing(wanted: Sequence[LargeObject], found: Sequence[LargeObject]) -> list[str]:
    """Return a sentence for each large object that is not on the copy what it was on the primary."""
    return [
        f"large object {one.oid} has {other.size} bytes on the copy and {one.size} on the primary"
        if one.size != other.size
        else f"large object {one.oid} has other contents on the copy"
        for one, other in zip(wanted, found, strict=True)
        if one != other
    ]
