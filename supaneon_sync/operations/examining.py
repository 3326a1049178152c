"""What the doctor looks at: each subject once, and what went wrong in its place where that failed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from supaneon_sync.errors import Cancelled, ConfigError, SupaneonError
from supaneon_sync.neon_client import Branch, NeonClient, Patience
from supaneon_sync.neon_client import Project as NeonProject
from supaneon_sync.operations import retaining
from supaneon_sync.operations.scoping import scope_of
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.examined import Compute, Door, MirrorSeen, Primary, Project, Seen, Sticking, Wanted
from supaneon_sync.postgres import clients, conninfo, examination, mirror, session
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.house import House
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Run
from supaneon_sync.secret import Secret
from supaneon_sync.settings import Settings

_PATIENCE = Patience(conflict=10, rate=10, outage=6, settling=5, operations=30)
"""A doctor does not wait for minutes: trouble that lasts longer is what it is asked about."""


@dataclass
class _Gathering:
    """What has been seen so far, and the troubles by subject."""

    settings: Settings
    run: Run
    troubles: dict[str, SupaneonError] = field(default_factory=dict)

    @contextmanager
    def subject(self, name: str) -> Iterator[None]:
        """Note an error of the block as the trouble of this subject, and go on after it."""
        self.run.stop.check()
        try:
            yield
        except Cancelled:
            raise
        except SupaneonError as error:
            self.troubles[name] = error


def look(settings: Settings, run: Run) -> Seen:
    """Look at clients, Neon and the primary, and return what was seen. Raises Cancelled alone."""
    wanted = _wanted(settings)
    run.progress.step("Look at the client programs")
    there = clients.available(directory=settings.clients, environment=os.environ)
    seen = Seen(wanted, run.clock(), {one.major: one.version for one in there})
    if settings.offline:
        return seen
    gathering = _Gathering(settings, run)
    with gathering.subject("retention"):
        wanted = replace(wanted, retention=retaining.policy_of(settings))
    run.progress.step("Look at Neon")
    project, compute = _neon(gathering)
    run.progress.step("Look at the primary")
    door, primary = _primary(gathering, compute)
    return replace(
        seen,
        wanted=wanted,
        door=door,
        primary=primary,
        project=project,
        compute=compute,
        troubles=gathering.troubles,
    )


def _wanted(settings: Settings) -> Wanted:
    return Wanted(
        offline=settings.offline,
        primary=settings.supabase_database_url is not None,
        jobs=settings.jobs,
        lock_wait=settings.lock_wait,
        database=settings.neon_database,
        role=settings.neon_db_user,
        make_room=settings.make_room,
    )


def _primary(gathering: _Gathering, compute: Compute | None) -> tuple[Door | None, Primary | None]:
    settings = gathering.settings
    if settings.supabase_database_url is None:
        return None, None
    door = primary = None
    with gathering.subject("door"):
        where = conninfo.primary(
            settings.supabase_database_url,
            ca_file=settings.supabase_ca_file,
            insecure_loopback=settings.insecure_loopback,
        )
        door = examination.door(where)
        with gathering.subject("primary"):
            primary = _examined(gathering, where, compute)
    return door, primary


def _examined(gathering: _Gathering, where: Conninfo, compute: Compute | None) -> Primary:
    """Open as many sessions as a run needs, ask them whether they stay what they are, and examine one."""
    with ExitStack() as stack:
        first = stack.enter_context(_session(gathering, where))
        others, refusal = _others(gathering, where, gathering.settings.jobs + 1)
        for other in others:
            stack.enter_context(other)
        sticking = Sticking(gathering.settings.jobs + 2, len(others) + 1, refusal, ())
        sticking = examination.stuck([first, *others], sticking, gathering.run.token(8).hex())
        for other in others:
            other.close()
        offered = None if compute is None else compute.target.extensions
        missing = None if offered is None else sorted(set(examination.extensions(first)) - offered)
        found = examination.examine(first, sticking, missing)
        return replace(found, rights=found.rights.within(scope_of(gathering.settings)))


def _session(gathering: _Gathering, where: Conninfo) -> Session:
    return session.connect(where, Side.PRIMARY, purpose="doctor", stop=gathering.run.stop)


def _others(gathering: _Gathering, where: Conninfo, count: int) -> tuple[list[Session], SupaneonError | None]:
    """Open that many sessions at the same time; return those that opened, and one refusal if any."""
    opened: list[Session] = []
    refusal: SupaneonError | None = None
    with ThreadPoolExecutor(min(count, 8)) as crew:
        for future in [crew.submit(_session, gathering, where) for _ in range(count)]:
            try:
                opened.append(future.result())
            except SupaneonError as error:
                refusal = error
    return opened, refusal


def _neon(gathering: _Gathering) -> tuple[Project | None, Compute | None]:
    settings, run = gathering.settings, gathering.run
    project = compute = None
    with gathering.subject("api"):
        if settings.neon_api_key is None:
            raise ConfigError(
                "NEON_API_KEY is not set; every verb needs it.",
                remedy="Set NEON_API_KEY to a key of the standby project (Neon console, API keys).",
            )
        with _client(settings, settings.neon_api_key, run) as client:
            kind = client.key_kind()
            with gathering.subject("project"):
                chosen = _chosen(client, settings)
                standby = Standby(client, chosen, settings, run)
                branches = standby.branches()
                project = _project(chosen, branches, kind, _visible(client))
                with gathering.subject("compute"):
                    compute = _compute(standby, branches)
    return project, compute


def _client(settings: Settings, key: Secret, run: Run) -> NeonClient:
    return NeonClient(
        key,
        api_host=settings.neon_api_host,
        clock=run.monotonic,
        sleep=run.stop.wait,
        patience=_PATIENCE,
    )


def _chosen(client: NeonClient, settings: Settings) -> NeonProject:
    wanted = settings.neon_project_id
    return client.project(wanted) if wanted else client.only_project()


def standby_major(settings: Settings, run: Run) -> int | None:
    """Return the PostgreSQL major of the standby project, None where Neon does not tell it now."""
    if settings.neon_api_key is None:
        return None
    try:
        with _client(settings, settings.neon_api_key, run) as client:
            return _chosen(client, settings).pg_version
    except SupaneonError as error:
        run.stop.check()
        run.progress.note(f"Neon was not asked for its version: {error.message}")
        return None


def _visible(client: NeonClient) -> int | None:
    """Return how many projects the key sees, None where it may not list them."""
    try:
        return len(client.projects())
    except SupaneonError:
        return None


def _project(one: NeonProject, branches: list[Branch], kind: str, visible: int | None) -> Project:
    there = next((branch for branch in branches if branch.name == names.MIRROR), None)
    return Project(
        id=one.id,
        name=one.name,
        major=one.pg_version,
        key_kind=kind,
        visible_projects=visible,
        size_limit=one.branch_size_limit,
        stores_passwords=one.store_passwords,
        allowed_addresses=one.allowed_ips,
        protected_addresses_only=one.allowed_ips_protected_only,
        blocks_public=one.block_public_connections,
        branches=len(branches),
        branches_limit=one.branches_limit,
        mirror=None
        if there is None
        else MirrorSeen(_is_marked(there), there.protected, there.default, there.expires_at),
    )


def _is_marked(branch: Branch) -> bool:
    said = marks.read(branch.annotations)
    return said is not None and said.kind == marks.MIRROR


def _compute(standby: Standby, branches: list[Branch]) -> Compute | None:
    """Ask the compute of the mirror, or of the default branch that it will be made from; make no compute."""
    branch = next((one for one in branches if one.name == names.MIRROR), None)
    branch = branch or next((one for one in branches if one.default), None)
    if branch is None:
        return None
    computes = standby.client.endpoints(standby.project.id, branch.id)
    if not any(one.type == "read_write" and one.branch_id == branch.id for one in computes):
        return None
    _check_role(standby, branch)
    door = standby.mirror_doors(branch).direct
    with standby.connect(door, "doctor", database="postgres") as opened:
        role, databases, roles = examination.powers(opened)
        target = mirror.describe(opened, standby.settings.neon_db_user)
        seen = Compute(branch.name, role, target, databases, roles)
        housed = mirror.has_database(opened, names.HOUSE_DATABASE)
        filled = not housed and mirror.has_database(opened, door.dbname)
    if housed:
        return _housed(standby, door, seen) if branch.name == names.MIRROR else seen
    if filled:
        with standby.connect(door, "doctor") as opened:
            filled = not mirror.is_empty(opened)
    return replace(seen, filled_by_others=filled)


def _check_role(standby: Standby, branch: Branch) -> None:
    wanted = standby.settings.neon_db_user
    there = [role.name for role in standby.client.roles(standby.project.id, branch.id)]
    if wanted not in there:
        raise ConfigError(
            f"NEON_DB_USER names {wanted}, and branch {branch.name} has no such role in Neon's API.",
            remedy=f"There are: {', '.join(there) or 'none'}. Set NEON_DB_USER to one of them.",
        )


def _housed(standby: Standby, door: Conninfo, seen: Compute) -> Compute:
    """Add what the house says: whether the role may read it, and whether another database is ours."""
    with standby.connect(door, "doctor", database=names.HOUSE_DATABASE) as opened:
        house = House(opened)
        if not house.readable():
            return replace(seen, reads_house=False)
        marker = house.marker()
    ours = marker[1] if marker else ""
    return replace(seen, other_database="" if ours == standby.settings.neon_database else ours)
