"""The manifest: the versioned JSON document that says what a backup holds and what it does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from supaneon_sync.errors import DataDiffers, Refused

FORMAT = 1
"""Version of the document. A newer one is refused: it may mean something else."""


class NewerManifest(Refused):
    """The manifest is of a later format than this version knows."""


def canonical(document: Mapping[str, Any]) -> str:
    """Return the one way of writing the document: sorted keys, no spare space, UTF-8 as it is."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(body: str) -> str:
    """Return the SHA-256 of a manifest's text, in hexadecimal."""
    return hashlib.sha256(body.encode()).hexdigest()


def read(body: str, expected: str) -> dict[str, Any]:
    """Return the document whose digest was written on the branch when it was cut.

    Raises DataDiffers when the text is not the one that was written, or no manifest at all, NewerManifest
    when its format is newer than this tool.
    """
    if digest(body) != expected:
        raise DataDiffers(
            "The manifest on this branch is not the one that was written when it was cut.",
            remedy="Do not use this branch. Take another backup, and find out who changed it.",
        )
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    known = document.get("format") if isinstance(document, dict) else None
    if not isinstance(known, int):
        raise DataDiffers(
            "The manifest on this branch cannot be read: it is no document of this tool's.",
            remedy="Do not use this branch. Take another backup.",
        )
    if known > FORMAT:
        raise NewerManifest(
            f"The manifest has format {known}, newer than this version knows ({FORMAT}).",
            remedy="Use the version of supaneon-sync that made the backup, or a newer one.",
        )
    return dict(document)
