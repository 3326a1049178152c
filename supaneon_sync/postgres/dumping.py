"""The schema of a database as pg_dump sees it: an archive's table of contents, rows never touched."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from supaneon_sync.errors import NeonError, PrimaryError, SnapshotLost, SupaneonError
from supaneon_sync.policy.entries import Entry
from supaneon_sync.postgres import archive, clients
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.run import Stop

_CHANGED = re.compile(
    r"could not open relation|cache lookup failed|relation .* does not exist|could not find tuple"
)

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")
_TYPES = ("char", "bit")
"""Types that are others than those that the words mean without quotes."""
_SIGNED = ("FUNCTION", "PROCEDURE", "AGGREGATE")
"""Kinds whose tag names types, after a bare name."""
_WRITTEN_AS_SQL = ("COMMENT", "ACL", "SECURITY LABEL", "CAST", "TRANSFORM")
"""Kinds whose tag is SQL from its beginning; those of all other kinds are bare names."""


@dataclass(frozen=True)
class Part:
    """What of a database is looked at: as an exported snapshot shows it, without some schemas.

    ``time_zone``: the one in which times in definitions are shown; '' is what the server has for the session.
    """

    snapshot: str | None = None
    without: tuple[str, ...] = ()
    time_zone: str = ""


WHOLE = Part()


def dump_schema(
    where: Conninfo,
    side: Side,
    client: Clients,
    *,
    stop: Stop,
    part: Part = WHOLE,
    lock_wait: timedelta = timedelta(minutes=2),
) -> Archive:
    """Return the schema of a database, or of a part of it; its definitions have every name in quotes.

    A role's or database's default (`quote_all_identifiers`) may have the server quote all of them. pg_dump
    can be told to turn that on in its session, so through any pooler that keeps sessions apart; it cannot be
    told to turn it off. So both sides are read with it on. Tags, being for people, are without.

    Raises PrimaryError or NeonError when pg_dump fails or says anything that is not expected; an
    archive that it leaves behind then is never read.
    """
    kind = PrimaryError if side is Side.PRIMARY else NeonError

    def failure(said: str) -> SupaneonError:
        text = said.replace(where.password.reveal(), "***") if where.password else said
        if side is Side.PRIMARY and _CHANGED.search(text):
            return SnapshotLost("The primary's schema changed while pg_dump read it.", cause=text)
        return kind(
            f"pg_dump {client.version} could not read the schema of {side.value}: {text}",
            remedy=_remedy(text),
        )

    with tempfile.TemporaryDirectory(prefix="supaneon-") as directory:
        path = Path(directory) / "schema.dump"
        arguments = [
            str(client.tool("pg_dump")),
            "--schema-only",
            "--format=custom",
            "--compress=0",
            "--no-password",
            "--no-subscriptions",
            "--quote-all-identifiers",
            f"--lock-wait-timeout={int(lock_wait.total_seconds() * 1000)}",
            f"--file={path}",
        ]
        if part.snapshot is not None:
            arguments.append(f"--snapshot={part.snapshot}")
        arguments += [f"--exclude-schema={_pattern(schema)}" for schema in part.without]
        environment = _environment(where, client) | _in_zone(part.time_zone, where, side)
        clients.run(arguments, environment=environment, stop=stop, failure=failure)
        return _plainly_named(archive.read(path))


def _plainly_named(found: Archive) -> Archive:
    """Return the archive with names for people, as pg_dump gives them where it is not told to quote all."""
    return replace(found, entries=tuple(replace(one, tag=_plain(one)) for one in found.entries))


def _plain(entry: Entry) -> str:
    bare = 0 if entry.kind in _WRITTEN_AS_SQL else entry.tag.find("(") if entry.kind in _SIGNED else -1
    if bare < 0 or (bare and entry.tag.count("(") > 1):  # one is part of a name: no telling which
        return entry.tag

    def plain(name: re.Match[str]) -> str:
        return name[1] if _SIMPLE.fullmatch(name[1]) and name[1] not in _TYPES else name[0]

    return entry.tag[:bare] + _QUOTED.sub(plain, entry.tag[bare:])


def _pattern(name: str) -> str:
    """Return the pattern that matches exactly this name (psql's rules: nothing is special in quotes)."""
    return '"' + name.replace('"', '""') + '"'


def _environment(where: Conninfo, client: Clients) -> dict[str, str]:
    return {"LC_ALL": "C", "PGAPPNAME": "supaneon-sync schema"} | client.environment() | where.environment()


def _in_zone(name: str, where: Conninfo, side: Side) -> dict[str, str]:
    """Return the variables that have pg_dump shown times in a time zone, if one is given.

    Of what a client asks for when it connects, Neon's proxy passes on nothing but options, and poolers in
    front of a primary pass on everything but those.
    """
    if not name:
        return {}
    if side is Side.PRIMARY:
        return {"PGTZ": name}
    escaped = re.sub(r"([\\\s])", r"\\\1", name)
    return {"PGOPTIONS": f"{where.options.get('options', '')} -c TimeZone={escaped}".strip()}


def _remedy(text: str) -> str:
    if "permission denied" in text:
        return "Grant the role what the message names; supaneon-sync validate-config tells what it lacks."
    if "statement timeout" in text or "lock timeout" in text:
        return "A migration holds a table locked. Run it again when that is over, or raise --lock-wait."
    return "Run it again; if it recurs, read the message above."
