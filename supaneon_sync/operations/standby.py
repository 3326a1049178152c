"""The standby project as the verbs see it: its mirror, its backups, and the one way to reach a branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import certifi

from supaneon_sync import __version__
from supaneon_sync.errors import ConfigError, NeonError, Refused, SupaneonError
from supaneon_sync.neon_client import Branch, BranchRequest, Endpoint, NeonClient, NotFound, Patience, Project
from supaneon_sync.operations.standing import StandingBackup, standing
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.marks import Mark
from supaneon_sync.postgres import conninfo, session
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.house import House
from supaneon_sync.postgres.session import Session
from supaneon_sync.report import ledger, manifest
from supaneon_sync.run import Run
from supaneon_sync.secret import Secret
from supaneon_sync.settings import Settings


@dataclass(frozen=True)
class Doors:
    """How an application reaches a branch: direct, pooled, and what may be told without the password."""

    direct: Conninfo
    pooled: Conninfo

    @staticmethod
    def for_application(door: Conninfo) -> Conninfo:
        """Return the door as an application gets it: verified TLS by the application's own root store."""
        kept = ("hostaddr", "channel_binding")
        options = {key: value for key, value in door.options.items() if key in kept}
        return replace(door, options=options | {"sslmode": "require"})


class Standby:
    """One standby project, seen through its API and its branches' own databases."""

    def __init__(self, client: NeonClient, project: Project, settings: Settings, run: Run) -> None:
        self.client = client
        self.project = project
        self.settings = settings
        self.run = run

    def branches(self) -> list[Branch]:
        """Return every branch of the project."""
        return self.client.branches(self.project.id)

    def mirror(self) -> Branch | None:
        """Return the mirror, None where there is none yet."""
        return self.client.find_branch(self.project.id, names.MIRROR)

    def make_mirror(self) -> Branch:
        """Make the mirror from the project's default branch, with a compute."""
        request = BranchRequest(
            name=names.MIRROR,
            annotations=Mark(marks.MIRROR, __version__, run=self.run.url or "").pairs(),
            with_endpoint=True,
        )
        return self.client.create_branch(self.project.id, request).branch

    def backups(self, branches: list[Branch] | None = None) -> tuple[StandingBackup, ...]:
        """Return the backups that this tool made, newest first, with their drills as branches tell them.

        A branch that merely has a backup's name is passed over. The API alone is asked (unless the
        caller has just listed ``branches``): this works while the primary, the mirror's compute and
        the ledger are out of reach.
        """
        return standing(self.branches() if branches is None else branches)

    def judged(
        self, rows: tuple[ledger.LedgerRow, ...], branches: list[Branch] | None = None
    ) -> tuple[StandingBackup, ...]:
        """Return the backups with their drills as the ledger tells them too."""
        reached = [row for row in rows if row.kind == ledger.DRILL and row.verdict != "fail-connectivity"]
        drills: dict[str, ledger.LedgerRow] = {row.subject: row for row in reached}
        return tuple(one.judged_by(drills.get(one.name)) for one in self.backups(branches))

    def choose(self, wanted: str | None, *, newest: bool = False) -> StandingBackup:
        """Return the named backup, or the newest healthy one (``newest``: the newest, healthy or not).

        Raises Refused where there is none, naming what there is.
        """
        there = self.backups()
        if wanted not in (None, "latest"):
            named = next((one for one in there if one.name == wanted), None)
            if named is None:
                shown = ", ".join(one.name for one in there[:5]) or "none"
                raise Refused(
                    f"There is no backup {wanted} in project {self.project.id}.",
                    remedy=f"There are: {shown}.",
                )
            return named
        fit = [one for one in there if newest or one.backup.healthy]
        if fit:
            return fit[0]
        if there:
            raise Refused(
                f"None of the {len(there)} backups is healthy: the last drill of each failed.",
                remedy=f"Look at the kept drills, or name one with --backup; the newest is {there[0].name}.",
            )
        raise Refused(
            f"There is no backup in project {self.project.id} yet.",
            remedy="Run supaneon-sync backup-run first.",
        )

    def endpoint(self, branch: Branch) -> Endpoint:
        """Return the branch's read-write compute, made where there is none."""
        for endpoint in self.client.endpoints(self.project.id, branch.id):
            if endpoint.type == "read_write" and endpoint.branch_id == branch.id:
                return endpoint
        return self.client.create_endpoint(self.project.id, branch.id)

    def doors(self, branch: Branch) -> Doors:
        """Return how to reach the user's database on the branch as its owner. Raises NeonError.

        A branch keeps the password it was cut with, so the API's answer for *this* branch counts;
        the configured one is for projects that do not store passwords.
        """
        return self._doors(branch, self.settings.neon_database)

    def mirror_doors(self, branch: Branch) -> Doors:
        """Return the same for the mirror, whose user's database a killed run may have left unmade."""
        there = [database.name for database in self.client.databases(self.project.id, branch.id)]
        preferred = [self.settings.neon_database, names.HOUSE_DATABASE, *there]
        known = next((name for name in preferred if name in there), self.settings.neon_database)
        found = self._doors(branch, known)
        database = self.settings.neon_database
        return Doors(direct=found.direct.database(database), pooled=found.pooled.database(database))

    def _doors(self, branch: Branch, database: str) -> Doors:
        endpoint = self.endpoint(branch)
        if endpoint.branch_id != branch.id:
            raise NeonError(
                f"The endpoint {endpoint.id} is not of branch {branch.name}.", remedy="Run it again."
            )
        direct, pooled = (self._conninfo(branch, endpoint, database, pooled=flag) for flag in (False, True))
        return Doors(direct, pooled)

    def _conninfo(self, branch: Branch, endpoint: Endpoint, database: str, *, pooled: bool) -> Conninfo:
        uri, user = self._uri(branch, endpoint, database, pooled=pooled)
        self.run.progress.secret(uri.reveal())
        found = conninfo.neon(uri, ca_file=self.ca_file())
        if found.user != user:
            found = replace(found, user=user, password=None)
        if found.password is None:
            found = replace(found, password=self._configured_password(branch))
        host = endpoint.pooled_host if pooled else endpoint.host
        if found.host != host:
            raise NeonError(
                f"Neon gave a URI of another host than {branch.name}'s own.", remedy="Run it again."
            )
        if found.password is not None:
            self.run.progress.secret(found.password.reveal())
        return found

    def _uri(self, branch: Branch, endpoint: Endpoint, database: str, *, pooled: bool) -> tuple[Secret, str]:
        """Return a URI of the branch and the role to use it as.

        Of a role made with SQL Neon may not know the password, and then gives no URI: with
        NEON_DB_PASSWORD the database's owner's shows the way.
        """
        user = self.settings.neon_db_user

        def uri_of(role: str) -> Secret:
            return self.client.connection_uri(
                self.project.id, branch.id, database, role, endpoint_id=endpoint.id, pooled=pooled
            )

        try:
            return uri_of(user), user
        except NotFound:
            there = self.client.databases(self.project.id, branch.id)
            owner = next((one.owner_name for one in there if one.name == database), user)
            if self.settings.neon_db_password is None or owner == user:
                raise
            return uri_of(owner), user

    def _configured_password(self, branch: Branch) -> Secret:
        if self.settings.neon_db_password is None:
            raise ConfigError(
                f"Neon does not tell the password of {self.settings.neon_db_user} on {branch.name}.",
                remedy="Set NEON_DB_PASSWORD (the project does not store passwords).",
            )
        return self.settings.neon_db_password

    def ca_file(self) -> Path:
        """Return the root certificates that computes are verified with."""
        return self.settings.neon_ca_file or Path(certifi.where())

    def connect(
        self, door: Conninfo, purpose: str, *, database: str | None = None, settings: str = ""
    ) -> Session:
        """Open a session on a branch, waiting for a compute that is waking up."""
        where = door if database is None else door.database(database)
        deadline = self.run.monotonic() + 60
        while True:
            try:
                return session.connect(
                    where,
                    Side.NEON,
                    purpose=purpose,
                    stop=self.run.stop,
                    show_row_values=self.settings.show_row_values,
                    settings=settings,
                )
            except NeonError as error:
                if not _waking(error) or self.run.monotonic() > deadline:
                    raise
                self.run.stop.wait(0.3)

    @contextmanager
    def house(self, door: Conninfo, purpose: str) -> Iterator[House]:
        """Open the house database of a branch."""
        with self.connect(door, purpose, database=names.HOUSE_DATABASE) as opened:
            yield House(opened)

    def prove_identity(self, one: StandingBackup, door: Conninfo) -> Mapping[str, Any]:
        """Return the backup's manifest after proving that ``door`` leads to this very branch.

        The API says whose compute the host is and what the branch was cut from; the manifest read
        through the URI must have the digest that was written on the branch at its birth, which SQL
        cannot change; on Neon the history must not be the mirror's. Raises DataDiffers or Refused.
        """
        self._prove_parent(one)
        with self.house(door, "identity") as house:
            stored = house.manifest()
            timeline = house.timeline()
        if stored is None:
            raise Refused(f"{one.name} holds no manifest.", remedy="Do not use it; take another backup.")
        document = manifest.read(stored[1], one.mark.manifest)
        if timeline and timeline == document.get("mirror_timeline"):
            raise Refused(f"The URI of {one.name} leads to the mirror.", remedy="Run it again.")
        return document

    def _prove_parent(self, one: StandingBackup) -> None:
        now = self.client.branch(self.project.id, one.branch.id)
        parent = self.client.branch(self.project.id, now.parent_id) if now.parent_id else None
        said = marks.read(parent.annotations) if parent else None
        if (
            now.default
            or said is None
            or said.kind != marks.MIRROR
            or now.annotations != one.branch.annotations
        ):
            raise Refused(
                f"{one.name} was not cut from this project's mirror, or has changed since it was listed.",
                remedy="Do not use it; take another backup.",
            )


@contextmanager
def opened(settings: Settings, run: Run) -> Iterator[Standby]:
    """Open the standby project that the settings name, or the only one that the key sees."""
    if settings.neon_api_key is None:
        raise ConfigError("NEON_API_KEY is missing.")
    patience = replace(
        Patience(),
        conflict=settings.operation_timeout.total_seconds(),
        operations=settings.operation_timeout.total_seconds(),
    )
    with NeonClient(
        settings.neon_api_key,
        api_host=settings.neon_api_host,
        clock=run.monotonic,
        sleep=run.stop.wait,
        patience=patience,
    ) as client:
        project = (
            client.project(settings.neon_project_id) if settings.neon_project_id else client.only_project()
        )
        yield Standby(client, project, settings, run)


def _waking(error: SupaneonError) -> bool:
    cause = str(error.evidence.get("cause", ""))
    words = (
        "refused",
        "starting up",
        "not yet accepting",
        "closed the connection unexpectedly",
        "reset by peer",
    )
    return any(word in cause for word in words)
