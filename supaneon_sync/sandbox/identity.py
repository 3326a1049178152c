"""Who the sandbox's servers run as: whoever calls, or another user where that is root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

from supaneon_sync.sandbox.binaries import SandboxError

Owner = tuple[int, int] | None
"""User and group that files are given to; None leaves them with whoever makes them."""


def owner() -> Owner:
    """Return who servers run as and own their files: None for a plain user, who keeps them."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    raise SandboxError("PostgreSQL does not run as root, and there is no user postgres or nobody.")


def identity() -> dict[str, Any]:
    """Return the arguments that make ``subprocess`` run something as that user."""
    them = owner()
    return {} if them is None else {"user": them[0], "group": them[1], "extra_groups": []}


def give(path: Path) -> None:
    """Make a file or directory that user's."""
    them = owner()
    if them is not None:
        os.chown(path, *them)


def check_entry(*directories: Path) -> None:
    """Raise SandboxError where that user cannot enter a directory or one above it."""
    them = owner()
    if them is None:
        return
    for directory in directories:
        for step in (directory, *directory.parents):
            found = step.stat()
            if not found.st_mode & 0o001 and found.st_uid != them[0]:
                raise SandboxError(
                    f"Servers run as another user than root, and that user cannot enter {step}.",
                    remedy="Choose a directory that everybody may enter (chmod a+x), or do not run as root.",
                )
