"""An entry of a pg_dump archive's table of contents, as a plain noun that policy can judge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

Identity = tuple[str, str, str]
"""What names an object in any dump of the same database: kind, schema, tag."""


class Section(IntEnum):
    """When pg_restore would restore an entry (PostgreSQL's ``teSection``)."""

    NONE = 1
    PRE_DATA = 2
    DATA = 3
    POST_DATA = 4


@dataclass(frozen=True)
class Entry:
    """One TOC entry. ``catalog`` and ``oid`` name the object in the dumped server's catalogs (0: none);
    ``needs`` are the dump ids it depends on, ``drop`` the statement that takes it away ('' where it has
    none of its own)."""

    dump_id: int
    catalog: int
    oid: int
    kind: str
    schema: str
    tag: str
    section: Section
    definition: str
    owner: str = ""
    access_method: str = ""
    copy_statement: str = ""
    needs: frozenset[int] = frozenset()
    drop: str = ""

    @property
    def identity(self) -> Identity:
        """What names the object in any dump of the same database."""
        return (self.kind, self.schema, self.tag)

    @property
    def name(self) -> str:
        """The name for people."""
        return f"{self.schema}.{self.tag}" if self.schema else self.tag

    @property
    def label(self) -> str:
        """Kind and name for people."""
        return f"{self.kind.lower()} {self.name}"
