"""Every call against the sandbox: real HTTP, real PostgreSQL, faults in the sandbox's own way."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from supaneon_sync.errors import ConfigError, NeonError, QuotaError
from supaneon_sync.neon_client import (
    AlreadyExists,
    BranchRequest,
    EndpointRequest,
    NeonClient,
    NotFound,
    OperationFailed,
    Patience,
)
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.secret import Secret
from tests.sandbox_fixtures import MakeSandbox

QUICK = Patience(first_wait=0.02, longest_wait=0.1, first_poll=0.01, longest_poll=0.05, settling=3, outage=3)


@pytest.fixture
def standby(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    yield shared_sandbox
    shared_sandbox.plane.faults.clear()
    shared_sandbox.settle()


@pytest.fixture
def project(standby: Sandbox) -> str:
    return standby.plane.state.project.id


@pytest.fixture
def api(standby: Sandbox) -> Iterator[NeonClient]:
    with NeonClient(Secret(standby.key), api_host=standby.api_host, patience=QUICK) as made:
        yield made


def asked(uri: Secret, standby: Sandbox, statement: str) -> object:
    text = uri.reveal().replace("sslmode=require", "sslmode=verify-full")
    session = psycopg2.connect(f"{text}&sslrootcert={standby.ca_file}")
    try:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]
    finally:
        session.close()


def failure(call: Callable[[NeonClient], object], neon: NeonClient) -> str:
    """All that an error of this call tells, which must come."""
    with pytest.raises(NeonError) as caught:
        call(neon)
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value.evidence)


def test_a_backup_is_staged_committed_reached_and_deleted(
    api: NeonClient, standby: Sandbox, project: str
) -> None:
    assert api.only_project() == api.project(project)
    main = api.default_branch(project)
    mirror = api.create_branch(project, BranchRequest("supaneon-mirror", main.id, with_endpoint=True))
    assert mirror.endpoint is not None
    owner = {"database": "neondb", "role": "neondb_owner"}
    uri = api.connection_uri(project, mirror.branch.id, **owner)
    asked(uri, standby, "CREATE TABLE kept AS SELECT 7 AS n")
    flushed = str(asked(uri, standby, "SELECT pg_current_wal_flush_lsn()"))
    expiry = datetime.now(UTC) + timedelta(days=2)
    request = BranchRequest(
        "staging-20261122T100000Z",
        mirror.branch.id,
        flushed,
        expiry,
        annotations={"manifest-digest": "abc"},
        with_endpoint=True,
    )
    staged = api.create_branch(project, request)
    assert staged.branch.ready
    assert staged.branch.parent_id == mirror.branch.id
    assert staged.branch.expires_at == expiry.replace(microsecond=0)
    assert staged.branch.annotations == {"manifest-digest": "abc"}
    assert staged.endpoint is not None
    assert staged.endpoint.branch_id == staged.branch.id
    done = api.commit_branch(project, staged.branch.id, "backup-20261122T100000Z")
    assert (done.name, done.expires_at) == ("backup-20261122T100000Z", None)
    assert api.find_branch(project, "backup-20261122T100000Z") == api.branch(project, done.id)
    assert api.find_branch(project, "staging-20261122T100000Z") is None
    assert asked(api.connection_uri(project, done.id, **owner), standby, "SELECT n FROM kept") == 7
    pooled = api.connection_uri(project, done.id, **owner, endpoint_id=staged.endpoint.id, pooled=True)
    assert staged.endpoint.pooled_host in pooled.reveal()
    with pytest.raises(NeonError):
        api.delete_branch(project, mirror.branch.id)
    assert api.delete_branch(project, done.id) is True
    assert api.delete_branch(project, done.id) is False
    assert api.delete_branch(project, mirror.branch.id) is True


def test_databases_roles_and_passwords_of_one_branch(api: NeonClient, standby: Sandbox, project: str) -> None:
    branch = api.create_branch(project, BranchRequest("rooms", with_endpoint=True)).branch
    assert api.create_database(project, branch.id, "supaneon", "neondb_owner").owner_name == "neondb_owner"
    assert {d.name for d in api.databases(project, branch.id)} == {"neondb", "supaneon"}
    role = api.create_role(project, branch.id, "app")
    assert "app" in {r.name for r in api.roles(project, branch.id)}
    assert role.password == api.reveal_password(project, branch.id, "app")
    changed = api.reset_password(project, branch.id, "app")
    assert changed not in {role.password, None}
    uri = api.connection_uri(project, branch.id, "supaneon", "app")
    assert asked(uri, standby, "SELECT current_user") == "app"
    assert changed.reveal() in uri.reveal()
    assert api.delete_database(project, branch.id, "supaneon") is True
    assert api.delete_database(project, branch.id, "supaneon") is False
    assert api.reveal_password(project, branch.id, "nobody") is None
    api.delete_branch(project, branch.id)


def test_an_endpoint_is_made_later_put_to_sleep_and_woken(
    api: NeonClient, standby: Sandbox, project: str
) -> None:
    branch = api.create_branch(project, BranchRequest("quiet")).branch
    assert api.endpoints(project, branch.id) == []
    made = api.create_endpoint(project, branch.id)
    assert [e.id for e in api.endpoints(project, branch.id)] == [made.id]
    assert made.id in {e.id for e in api.endpoints(project)}
    with pytest.raises(AlreadyExists):
        api.create_endpoint(project, branch.id)
    assert api.suspend_endpoint(project, made.id).current_state == "idle"
    assert api.start_endpoint(project, made.id).current_state == "active"
    assert api.delete_endpoint(project, made.id) is True
    assert api.delete_endpoint(project, made.id) is False
    api.delete_branch(project, branch.id)


def test_expiry_protection_and_names_are_changed_one_by_one(api: NeonClient, project: str) -> None:
    ident = api.create_branch(project, BranchRequest("one")).branch.id
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    assert api.set_expiry(project, ident, moment).expires_at == moment
    assert api.set_expiry(project, ident, None).expires_at is None
    assert api.rename_branch(project, ident, "two").name == "two"
    with pytest.raises(AlreadyExists):
        api.rename_branch(project, ident, "main")
    assert api.set_protected(project, ident, True).protected
    with pytest.raises(NeonError, match="protected"):
        api.delete_branch(project, ident)
    assert not api.set_protected(project, ident, False).protected
    assert api.delete_branch(project, ident) is True
    with pytest.raises(NotFound):
        api.branch(project, ident)


def test_branches_of_many_pages_are_all_there_once(api: NeonClient, standby: Sandbox, project: str) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    seeded = standby.seed(
        *(
            {"name": f"old-{n:03}", "created_at": f"{start + timedelta(days=n):%Y-%m-%dT00:00:00Z}",
             "annotation": {"n": str(n)}}
            for n in range(250)
        )
    )  # fmt: skip
    found = [b for b in api.branches(project) if b.name.startswith("old-")]
    assert [b.name for b in found] == [f"old-{n:03}" for n in range(250)]
    assert [b.annotations["n"] for b in found] == [str(n) for n in range(250)]
    assert [b.name for b in api.branches(project, search="old-24")] == [f"old-{n}" for n in range(240, 250)]
    for branch in seeded:
        del standby.plane.state.branches[branch.id]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "423", "times": 5},
        {"kind": "429", "retry_after": 0},
        {"kind": "503", "times": 2},
        {"kind": "524"},
        {"kind": "drop-before"},
        {"kind": "drop-after-commit"},
        {"kind": "404-after-create"},
        {"kind": "operation-skipped"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_every_passing_fault_ends_in_one_branch_committed_and_deleted(
    api: NeonClient, standby: Sandbox, project: str, fault: dict[str, object]
) -> None:
    """The fault happens to the creation, to the commit and to the deletion."""
    before = standby.names()
    standby.inject(
        *({"method": m, "path": "/branches(/br-[^/]*)?$", **fault} for m in ("POST", "PATCH", "DELETE"))
    )
    made = api.create_branch(project, BranchRequest("staging-1"))
    assert standby.names() == before | {"staging-1"}
    assert standby.fired() >= 1
    assert api.commit_branch(project, made.branch.id, "backup-1").name == "backup-1"
    assert standby.names() == before | {"backup-1"}
    api.delete_branch(project, made.branch.id)
    assert standby.names() == before
    assert standby.fired() >= 3


@pytest.mark.parametrize("kind", ["operation-failed", "operation-error", "operation-cancelled"])
def test_an_operation_that_ends_badly_is_an_error_that_names_the_branch(
    api: NeonClient, standby: Sandbox, project: str, kind: str
) -> None:
    standby.inject({"kind": kind, "method": "POST", "path": "/branches$"})
    with pytest.raises(OperationFailed, match="create_branch") as caught:
        api.create_branch(project, BranchRequest("unlucky"))
    left = caught.value.evidence["branch_id"]
    assert isinstance(left, str)
    standby.plane.faults.clear()
    standby.settle()
    if "unlucky" in standby.names():
        assert api.delete_branch(project, left) is True


def test_the_limits_of_the_plan_are_told_apart(make_sandbox: MakeSandbox) -> None:
    standby = make_sandbox(plan="free")
    project = standby.plane.state.project.id
    with NeonClient(Secret(standby.key), api_host=standby.api_host, patience=QUICK) as api:
        tuned = EndpointRequest(suspend_timeout_seconds=60)
        assert api.create_branch(project, BranchRequest("tuned", with_endpoint=tuned)).endpoint is not None
        standby.seed(*({"name": f"filler-{n}"} for n in range(8)))
        with pytest.raises(QuotaError, match=r"[Pp]rune") as caught:
            api.create_branch(project, BranchRequest("one-too-many"))
        assert caught.value.evidence["code"] == "BRANCHES_LIMIT_EXCEEDED"
        with pytest.raises(QuotaError):
            api.set_protected(project, standby.branch("tuned").id, True)


def test_settings_that_are_wrong_are_named(api: NeonClient, standby: Sandbox, project: str) -> None:
    with NeonClient(Secret("napi_wrong"), api_host=standby.api_host) as stranger:
        with pytest.raises(NeonError, match="NEON_API_KEY") as caught:
            stranger.project(project)
        assert caught.value.evidence["status"] == 401
        assert caught.value.evidence["request_id"]
    with pytest.raises(ConfigError, match="NEON_PROJECT_ID"):
        api.project("no-such-project-1")
    with pytest.raises(ConfigError, match="NEON_PROJECT_ID"):
        api.branches("no-such-project-1")


def test_the_key_and_the_passwords_appear_nowhere(
    api: NeonClient,
    standby: Sandbox,
    project: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    made = api.create_branch(project, BranchRequest("canary", with_endpoint=True))
    uri = api.connection_uri(project, made.branch.id, "neondb", "neondb_owner")
    password = api.reset_password(project, made.branch.id, "neondb_owner")
    told = [repr(x) for x in (api, made, uri, password, api.roles(project, made.branch.id))]
    short = Patience(0.1, 0.1, 0.1, 0.1, 0.1)
    calls: list[Callable[[NeonClient], object]] = [
        lambda neon: neon.create_branch(project, BranchRequest("canary-2")),
        lambda neon: neon.connection_uri(project, made.branch.id, "neondb", "neondb_owner"),
        lambda neon: neon.reset_password(project, made.branch.id, "neondb_owner"),
    ]
    for kind in ("524", "drop-after-commit", "423"):
        standby.inject({"kind": kind, "path": "(connection_uri|reset_password|/branches)$", "times": 10**6})
        for call in calls:
            with NeonClient(Secret(standby.key), api_host=standby.api_host, patience=short) as neon:
                told.append(failure(call, neon))
        standby.plane.faults.clear()
        standby.settle()
    out, err = capfd.readouterr()
    everything = "".join([*told, out, err, caplog.text])
    assert len(caplog.text) > 1000
    known = [standby.key, password.reveal(), uri.reveal()]
    known += [r.password for r in standby.branch("canary").roles.values() if r.password]
    for secret in known:
        assert secret not in everything
    api.delete_branch(project, made.branch.id)
