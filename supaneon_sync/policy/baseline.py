"""What is remembered of the mirror between two runs: how it was made, so that the next can go on from it.

Every object of the schema is remembered by two digests: of its definition on the primary when it was made,
and of what the mirror's own pg_dump said when it was proved. The first tells what has changed on the
primary since; the second what somebody, or a run that was killed, has changed on the mirror. It is a
memory of what was proved, never a proof: whatever it says, the next backup is proved by itself.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime
from typing import Any

from supaneon_sync.policy.entries import Entry, Identity
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.roots import Analysed

FORMAT = 3
"""Version of the document. Another one is as good as none: the mirror is rebuilt."""


@dataclass(frozen=True)
class Horizon:
    """A snapshot of the primary as a later one can refer to it.

    ``run`` names the unbroken run of the server, ``oldest`` the oldest transaction that was open then.
    """

    run: str
    oldest: int


@dataclass(frozen=True)
class Content:
    """What a table held when it was proved: rows, the two sums of their hashes, how they were hashed.

    ``file`` is the file of the primary that it was read from: another one may hold anything. ``columns`` is
    their digest by number: one that was dropped and made again holds other values in rows that are no newer.
    ``place`` tells both of the table on the mirror ('': not known), ``hashed_at`` when every row was hashed
    there last, ``stirred`` how many rows have come or gone since it was vacuumed and analysed.
    """

    rows: int
    digest: str
    method: str
    file: int
    columns: str
    place: str
    hashed_at: datetime
    stirred: int = 0


def columns(table: Relation) -> str:
    """Return the digest of a table's columns: number, name and type of each."""
    return _digest([f"{one.number} {one.name} {one.type}" for one in table.columns])


@dataclass(frozen=True)
class Definition:
    """One object's digests: as the primary defines it, and as the mirror does."""

    primary: str
    mirror: str


@dataclass(frozen=True)
class Baseline:
    """The mirror as the last proof left it.

    ``rebuilt_at`` is when it was last made from nothing; ``client`` and ``locale`` are what its schema was
    read with and made for, ``locale_note`` what of that the target did not offer. ``violated``: the objects
    that could not be made as planned and are tried again. ``contents``, under ``seed``, and ``full_bytes``
    (what a whole copy of a table sends) are by a table's label, as is what is known of the ``roots``;
    ``horizon`` is the snapshot of all that, ``mirror`` the mirror's own moment when it was proved.
    ``finished`` is false where a run that has not ended has been at the mirror since; it is not stored.
    """

    rebuilt_at: datetime
    client: str
    locale: str
    locale_note: str
    definitions: Mapping[Identity, Definition]
    violated: frozenset[Identity] = frozenset()
    horizon: Horizon | None = None
    mirror: Horizon | None = None
    seed: tuple[int, int] = (0, 0)
    contents: Mapping[str, Content] = field(default_factory=dict)
    full_bytes: Mapping[str, int] = field(default_factory=dict)
    roots: Mapping[str, Analysed] = field(default_factory=dict)
    finished: bool = True


def digests(entries: Iterable[Entry]) -> dict[Identity, str]:
    """Return a digest of the definitions under each identity (several objects may share one)."""
    texts: defaultdict[Identity, list[str]] = defaultdict(list)
    for entry in entries:
        texts[entry.identity].append(entry.definition)
    return {identity: _digest(found) for identity, found in texts.items()}


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()[:32]


def definitions(planned: Iterable[Entry], found: Iterable[Entry]) -> dict[Identity, Definition]:
    """Return the digests of what was planned and of what stands there, by identity."""
    primary, mirror = digests(planned), digests(found)
    return {
        one: Definition(primary.get(one, ""), mirror.get(one, "")) for one in primary.keys() | mirror.keys()
    }


def pack(baseline: Baseline) -> bytes:
    """Return the baseline as it is stored: JSON, compressed."""
    document = {
        "format": FORMAT,
        "rebuilt_at": baseline.rebuilt_at.isoformat(),
        "client": baseline.client,
        "locale": baseline.locale,
        "locale_note": baseline.locale_note,
        "definitions": [
            [*one, text.primary, text.mirror] for one, text in sorted(baseline.definitions.items())
        ],
        "violated": sorted(baseline.violated),
        "horizon": _packed(baseline.horizon),
        "mirror": _packed(baseline.mirror),
        "seed": list(baseline.seed),
        "contents": {
            label: [*astuple(one)[:-2], one.hashed_at.isoformat(), one.stirred]
            for label, one in baseline.contents.items()
        },
        "full_bytes": dict(baseline.full_bytes),
        "roots": {label: astuple(one) for label, one in baseline.roots.items()},
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode())


def unpack(body: bytes) -> Baseline | None:
    """Return what `pack` made, None for anything that this version does not know."""
    try:
        document: dict[str, Any] = json.loads(zlib.decompress(body))
        if document["format"] != FORMAT:
            return None
        return Baseline(
            rebuilt_at=datetime.fromisoformat(document["rebuilt_at"]),
            client=document["client"],
            locale=document["locale"],
            locale_note=document["locale_note"],
            definitions={
                (kind, schema, tag): Definition(primary, mirror)
                for kind, schema, tag, primary, mirror in document["definitions"]
            },
            violated=frozenset((kind, schema, tag) for kind, schema, tag in document["violated"]),
            horizon=_unpacked(document["horizon"]),
            mirror=_unpacked(document["mirror"]),
            seed=(document["seed"][0], document["seed"][1]),
            contents={label: _content(*one) for label, one in document["contents"].items()},
            full_bytes=document["full_bytes"],
            roots={label: Analysed(*one) for label, one in document["roots"].items()},
        )
    except (zlib.error, ValueError, KeyError, TypeError):
        return None


def _content(*stored: Any) -> Content:
    *first, hashed_at, stirred = stored
    return Content(*first, datetime.fromisoformat(hashed_at), stirred)  # type: ignore[call-arg]


def _packed(horizon: Horizon | None) -> list[object] | None:
    return None if horizon is None else [horizon.run, horizon.oldest]


def _unpacked(stored: list[Any] | None) -> Horizon | None:
    return None if stored is None else Horizon(*stored)
