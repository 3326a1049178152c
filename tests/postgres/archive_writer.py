"""Archives written byte by byte, as ``pg_backup_archiver.c`` lays them out: for tests of the reader."""

from __future__ import annotations

from collections.abc import Iterable

from supaneon_sync.policy.entries import Entry

VERSIONS = ((1, 14), (1, 15), (1, 16))


class Writer:
    """Writes archives of one version with numbers of one size."""

    def __init__(self, version: tuple[int, int], int_size: int = 4) -> None:
        self._version = version
        self._size = int_size

    def archive(self, entries: Iterable[Entry]) -> bytes:
        """Return a custom-format archive that holds no rows."""
        listed = list(entries)
        head = b"PGDMP" + bytes((*self._version, 0, self._size, 8, 1))
        head += b"\0" if self._version >= (1, 15) else self._integer(0)
        head += b"".join(self._integer(part) for part in (1, 2, 3, 4, 5, 126, 0))
        head += self._text("a database") + self._text("17.1") + self._text("18.2")
        return head + self._integer(len(listed)) + b"".join(map(self._entry, listed))

    def _entry(self, entry: Entry) -> bytes:
        texts = (str(entry.catalog), str(entry.oid), entry.tag, entry.kind)
        content = self._integer(entry.dump_id) + self._integer(0) + b"".join(map(self._text, texts))
        content += (
            self._integer(entry.section) + self._text(entry.definition) + self._text(entry.drop or None)
        )
        content += self._text(entry.copy_statement or None) + self._text(entry.schema or None)
        content += self._text(None) + self._text(entry.access_method or None)
        if self._version >= (1, 16):
            content += self._integer(0)
        content += self._text(entry.owner) + self._text("false")
        content += b"".join(self._text(str(need)) for need in sorted(entry.needs)) + self._text(None)
        return content + b"\1" + bytes(8)

    def _integer(self, number: int) -> bytes:
        return (b"\1" if number < 0 else b"\0") + abs(number).to_bytes(self._size, "little")

    def _text(self, text: str | None) -> bytes:
        if text is None:
            return self._integer(-1)
        content = text.encode()
        return self._integer(len(content)) + content
