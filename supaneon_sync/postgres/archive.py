"""The table of contents of a pg_dump archive (custom format), read from its own bytes.

``pg_restore -l`` prints names with spaces and line breaks flattened, and the text of a definition can
be made to look like a header; the archive itself is exact. Layout: PostgreSQL source,
``src/bin/pg_dump/pg_backup_archiver.c`` (ReadHead, ReadToc), archive versions 1.14 (PostgreSQL 14,
15), 1.15 (16) and 1.16 (17, 18).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from supaneon_sync.errors import SupaneonError
from supaneon_sync.policy.entries import Entry, Section

_OLDEST = (1, 14)
_NEWEST = (1, 16)
_CUSTOM = 1


@dataclass(frozen=True)
class Archive:
    """A schema-only archive: its entries in the order in which they must be restored."""

    entries: tuple[Entry, ...]
    server_version: str
    client_version: str

    def digest(self) -> str:
        """Return the SHA-256 of what the archive would make, free of dump ids and dates."""
        return digest(self.entries)


def digest(entries: Iterable[Entry]) -> str:
    """Return the SHA-256 of the entries' kinds, names and definitions, whatever their order."""
    texts = sorted("\0".join((e.kind, e.schema, e.tag, e.definition)) for e in entries)
    return hashlib.sha256("\1".join(texts).encode()).hexdigest()


def read(path: Path) -> Archive:
    """Return the table of contents of the archive at ``path``.

    Raises SupaneonError for a file that is no archive of a version known here.
    """
    return parse(path.read_bytes())


def parse(content: bytes) -> Archive:
    """Return the table of contents of an archive held in memory. Raises as `read` does."""
    try:
        return _Reader(content).archive()
    except (EOFError, UnicodeError, ValueError) as error:
        raise SupaneonError(f"The schema archive cannot be read: {error}.") from None


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0
        self._version = (0, 0)
        self._int_size = 4
        self._offset_size = 8

    def archive(self) -> Archive:
        if self._bytes(5) != b"PGDMP":
            raise ValueError("it does not begin as a custom-format archive does")
        major, minor, _ = self._bytes(3)
        self._version = (major, minor)
        if not _OLDEST <= self._version <= _NEWEST:
            raise ValueError(f"archive version {major}.{minor} is not one that is known here")
        self._int_size, self._offset_size, layout = self._bytes(3)
        if self._int_size not in (4, 8):
            raise ValueError(f"its numbers have {self._int_size} bytes")
        if layout != _CUSTOM:
            raise ValueError("it is not in custom format")
        if self._version >= (1, 15):
            self._bytes(1)
        else:
            self._integer()
        for _ in range(7):
            self._integer()
        self._text()
        server, client = self._text() or "", self._text() or ""
        count = self._integer()
        if count < 0:
            raise ValueError(f"it says that it has {count} entries")
        entries = tuple(self._entry() for _ in range(count))
        return Archive(entries, server, client)

    def _entry(self) -> Entry:
        dump_id = self._integer()
        self._integer()
        catalog, oid = int(self._text() or 0), int(self._text() or 0)
        tag, kind = self._text() or "", self._text() or ""
        section = Section(self._integer())
        definition = self._text() or ""
        drop = self._text() or ""
        copy_statement = self._text() or ""
        schema = self._text() or ""
        self._text()
        access_method = self._text() or ""
        if self._version >= (1, 16):
            self._integer()
        owner = self._text() or ""
        self._text()
        needs = []
        while (needed := self._text()) is not None:
            needs.append(int(needed))
        self._bytes(1 + self._offset_size)
        return Entry(
            dump_id=dump_id,
            catalog=catalog,
            oid=oid,
            kind=kind,
            schema=schema,
            tag=tag,
            section=section,
            definition=definition,
            owner=owner,
            access_method=access_method,
            copy_statement=copy_statement,
            needs=frozenset(needs),
            drop=drop,
        )

    def _bytes(self, count: int) -> bytes:
        begin = self._position
        self._position = begin + count
        if self._position > len(self._content):
            raise EOFError("it ends too early")
        return self._content[begin : self._position]

    def _integer(self) -> int:
        taken = self._bytes(1 + self._int_size)
        number = int.from_bytes(taken[1:], "little")
        return -number if taken[0] else number

    def _text(self) -> str | None:
        length = self._integer()
        return None if length < 0 else self._bytes(length).decode()
