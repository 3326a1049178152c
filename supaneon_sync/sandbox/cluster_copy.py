"""A physical copy of a PostgreSQL data directory, of a running server or a stopped one.

A running one is copied as PostgreSQL's manual describes it ("Making a Base Backup Using the Low
Level API"): start the backup, copy the files in any order, ``pg_control`` last, stop the backup, put
``backup_label`` and the log between start and stop beside them.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from psycopg2.extensions import connection

from supaneon_sync.sandbox.binaries import SandboxError
from supaneon_sync.sandbox.identity import give

NOT_COPIED = frozenset({"postmaster.pid", "postmaster.opts", "server.log", "sockets", "pg_internal.init"})
EMPTIED = frozenset(
    {
        "pg_dynshmem",
        "pg_notify",
        "pg_replslot",
        "pg_serial",
        "pg_snapshots",
        "pg_stat_tmp",
        "pg_subtrans",
        "pgsql_tmp",
    }
)
"""Directories whose content belongs to one running server alone."""

_SEGMENT = re.compile(r"[0-9A-F]{24}\Z")
_FICLONE = 0x40049409


def copy_stopped(source: Path, target: Path) -> None:
    """Copy the data directory of a server that does not run, its log included."""
    _refuse_tablespaces(source)
    _copy_tree(source, target, lambda path: path.name in NOT_COPIED)


def copy_running(session: connection, source: Path, target: Path) -> None:
    """Copy the data directory of a running server; the copy starts as of the end of copying.

    ``session`` is an autocommitting superuser session on it. A temporary slot keeps the log in place
    for as long as the session lasts.
    """
    _refuse_tablespaces(source)
    name = f"copy_{uuid4().hex}"
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_create_physical_replication_slot(%s, true, true)", (name,))
        try:
            cursor.execute("SELECT pg_walfile_name(pg_backup_start(%s, fast => true))", (name,))
            first = _one(cursor.fetchone())
            control = source / "global" / "pg_control"
            wal = source / "pg_wal"
            _copy_tree(source, target, lambda p: p.name in NOT_COPIED or p == control or p.parent == wal)
            _copy_file(control, target / "global" / "pg_control")
            cursor.execute(
                "SELECT labelfile, pg_walfile_name(lsn) FROM pg_backup_stop(wait_for_archive => false)"
            )
            label, last = cursor.fetchone() or ("", "")
            _write(target / "backup_label", label)
            for segment in sorted(wal.iterdir()):
                if _SEGMENT.match(segment.name) and first <= segment.name <= last:
                    _copy_file(segment, target / "pg_wal" / segment.name)
        finally:
            cursor.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def _one(row: tuple[object, ...] | None) -> str:
    if row is None:
        raise SandboxError("The server gave no answer where one row was due.")
    return str(row[0])


def _refuse_tablespaces(source: Path) -> None:
    if any((source / "pg_tblspc").iterdir()):
        raise SandboxError("A server with tablespaces cannot be copied: they would be shared with the copy.")


def _copy_tree(source: Path, target: Path, left_out: Callable[[Path], bool]) -> None:
    target.mkdir(mode=0o700)
    give(target)
    for path in _entries(source):
        if left_out(path):
            continue
        if path.is_dir():
            if path.name in EMPTIED:
                (target / path.name).mkdir(mode=0o700)
                give(target / path.name)
            else:
                _copy_tree(path, target / path.name, left_out)
        else:
            _copy_file(path, target / path.name)


def _entries(directory: Path) -> Iterator[Path]:
    try:
        yield from sorted(directory.iterdir())
    except FileNotFoundError:  # a database dropped meanwhile: the log tells the copy
        return


def _copy_file(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as read, target.open("xb") as write:
            if not _reflink(read.fileno(), write.fileno()):
                shutil.copyfileobj(read, write, 1 << 20)
    except FileNotFoundError:
        if not source.parent.exists() or not source.exists():  # dropped meanwhile, as above
            return
        raise
    target.chmod(0o600)
    give(target)


def _reflink(source: int, target: int) -> bool:
    """Share the blocks where the file system can (btrfs, XFS); tell whether it did."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    give(path)
