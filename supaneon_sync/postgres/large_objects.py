"""Large objects: read in pieces under the snapshot, written on the copy, compared by size and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
                target.execute(
                    sql.SQL("COMMENT ON LARGE OBJECT {} IS {}").format(sql.Literal(oid), sql.Literal(comment))
                )
    return tuple(carried)


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
