"""A town in a sandbox: its primary, its nights, and the story so far, told so that it can be repeated."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection

from supaneon_sync.errors import Locked, SupaneonError
from supaneon_sync.neon_client import NeonClient
from supaneon_sync.policy import names
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.server import Server
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.secret import Secret
from tests.operations.nights import steps
from tests.operations.nights.portrait import Likeness, Portrait, paint
from tests.operations.nights.steps import Step
from tests.tool import Watching, perform

_RUINS = """
DO $$
DECLARE
  one text;
BEGIN
  FOR one IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^town' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', one);
  END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
  DELETE FROM auth.users;
  CREATE EXTENSION IF NOT EXISTS citext SCHEMA extensions;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'town_stranger') THEN
    CREATE ROLE town_stranger;
    GRANT town_stranger TO postgres;
  END IF;
END
$$
"""
_CHECKED = """
SELECT count(bt_index_check(i.indexrelid, true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree'
WHERE c.relkind = 'i' AND i.indisvalid AND c.relnamespace::regnamespace::text ~ '^"?town'
"""
_ROOM = 2 * 1024**3
"""Bytes that a town's servers may need in memory."""
_LOCKED = 40
"""How often a run that finds a dead run's lock is tried, half a second apart."""


def in_memory() -> Path | None:
    """Return a new directory in memory for a sandbox, None where there is too little of it.

    Cutting a branch makes two thousand small files, which some file systems take seconds for.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < _ROOM:
        return None
    directory = Path(tempfile.mkdtemp(prefix="supaneon-nights-", dir=memory))
    directory.chmod(0o711)
    return directory


class Town:
    """One sandbox whose primary is a town.

    ``story`` is SQL and remarks in the order of what happened; ``settled`` is for tests that share a
    town: whether a backup has seen the primary since it was last changed.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.settled = False
        self.story: list[str] = []
        self.taken = 0
        self.refused = 0
        self.steps_of_a_run = 1
        self.seconds_of_a_run = 3.0
        self._last = 0.0

    @property
    def primary(self) -> Server:
        """The primary's server."""
        assert self.sandbox.primary_server is not None
        return self.sandbox.primary_server

    @property
    def major(self) -> int:
        """The primary's major version."""
        return self.primary.binaries.major

    @property
    def likeness(self) -> Likeness:
        """How the primary's portrait and a branch's are compared."""
        return Likeness(same_major=self.major == self.sandbox.choices.major)

    def found(self) -> None:
        """Make the primary the town as every story begins, whatever was there, and begin a new story."""
        self.story, self.taken, self.refused = [f"-- PostgreSQL {self.major}, town.sql"], 0, 0
        self.primary.execute(_RUINS)
        with self.citizen() as session, session.cursor() as cursor:
            cursor.execute(steps.TOWN)

    @contextmanager
    def citizen(self) -> Iterator[connection]:
        """Open a session on the primary as the application's owner."""
        with self.primary.session(role="postgres") as session:
            yield session

    def take(self, step: Step, number: int) -> None:
        """Take a step on the primary: all of it, or nothing where the town is no longer as it needs."""
        text = step.sql(number)
        self.story.append(f"-- {step.title}\nBEGIN;\n{text}\nCOMMIT;")
        with self.citizen() as session, session.cursor() as cursor:
            try:
                cursor.execute(f"BEGIN; {text}")
                cursor.execute("COMMIT")
                self.taken += 1
            except psycopg2.Error as error:
                cursor.execute("ROLLBACK")
                self.refused += 1
                self.story.append(f"-- refused: {str(error).splitlines()[0]}")

    def on_mirror(self, step: Step, number: int) -> None:
        """Take a step on the mirror, by its superuser."""
        text = step.sql(number)
        self.story.append(f"-- on the mirror, by hand: {step.title}\n/*\n{text}\n*/")
        try:
            self.sandbox.execute(names.MIRROR, text)
        except psycopg2.Error as error:
            self.story.append(f"-- refused: {str(error).splitlines()[0]}")

    def backup(self, progress: Watching | None = None, **flags: Any) -> Outcome:
        """Run a backup, waiting for a dead run's lock; its name differs from the last one's."""
        time.sleep(max(0.0, self._last + 1.05 - time.monotonic()))
        for _ in range(_LOCKED):
            self._last = time.monotonic()
            try:
                return perform(self.sandbox, "backup", progress=progress, **flags)
            except Locked:
                time.sleep(0.5)
        raise AssertionError("a dead run's lock is still held")

    def clean_backup(self, **flags: Any) -> Outcome:
        """Run a backup that nothing disturbs; what it takes is remembered."""
        progress = Watching()
        began = time.monotonic()
        try:
            outcome = self.backup(progress, **flags)
        except SupaneonError as error:
            raise AssertionError(f"an undisturbed run failed: {error.message}") from error
        self.seconds_of_a_run, self.steps_of_a_run = time.monotonic() - began, len(progress.steps)
        self.story.append(f"-- {outcome.outputs['branch-name']}, {outcome.verdict}")
        return outcome

    def portrait(self) -> Portrait:
        """Return the primary's portrait."""
        with self.primary.session("postgres") as session:
            return paint(session)

    def portrait_of(self, branch: str) -> Portrait:
        """Return a branch's portrait."""
        with (
            self.sandbox.plane.clusters.awake(self.sandbox.branch(branch).id) as server,
            server.session("neondb") as session,
        ):
            return paint(session)

    def backups(self) -> set[str]:
        """Return the names of all that looks like a backup."""
        return {name for name in self.sandbox.names() if name.startswith("backup-")}

    def forget(self, keep: str) -> None:
        """Delete all backups but one: each has a server of its own."""
        project = self.sandbox.environment["NEON_PROJECT_ID"]
        with NeonClient(Secret(self.sandbox.key), api_host=self.sandbox.api_host) as client:
            for name in self.backups() - {keep}:
                client.delete_branch(project, self.sandbox.branch(name).id)

    def prove(self, backup: str, *others: str) -> None:
        """Demand that a backup, and other branches, are the primary, with sound indexes and no leftovers."""
        wanted = self.portrait()
        for branch in (backup, *others):
            differences = self.likeness.differences(wanted, self.portrait_of(branch))
            assert not differences, f"{branch} is not what the primary is: " + "; ".join(differences[:10])
        self.check_indexes(backup)
        assert not any(name.startswith("staging-") for name in self.sandbox.names())

    def check_indexes(self, backup: str) -> None:
        """Demand that each B-tree of a backup holds an entry for each row, by what its functions give now."""
        with (
            self.sandbox.plane.clusters.awake(self.sandbox.branch(backup).id) as server,
            server.session("neondb") as session,
            session.cursor() as cursor,
        ):
            session.autocommit = False
            cursor.execute("SET search_path = public, extensions; CREATE EXTENSION amcheck")
            cursor.execute(_CHECKED)
            session.rollback()
