"""Each call against a plain answer: what it sends, what it makes of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

import supaneon_sync
from supaneon_sync.errors import ConfigError, NeonError
from supaneon_sync.neon_client import (
    AlreadyExists,
    BranchRequest,
    EndpointRequest,
    NeonClient,
    NotFound,
    OperationFailed,
)
from tests.neon_client.tiny_neon import KEY, PASSWORD, PROJECT, FakeTime, Fault, TinyNeon, error


def test_a_project_is_read_with_its_limits_and_unknown_fields_are_ignored(api: NeonClient) -> None:
    project = api.project(PROJECT)
    assert (project.id, project.pg_version, project.branch_size_limit) == (PROJECT, 17, 2**63)
    assert project.allowed_ips == ("192.0.2.1",)
    assert project.allowed_ips_protected_only
    assert not project.block_public_connections


def test_every_request_carries_key_agent_and_a_request_id_of_its_own(api: NeonClient, neon: TinyNeon) -> None:
    api.project(PROJECT)
    api.project(PROJECT)
    headers = [seen.headers for seen in neon.seen]
    assert {h["Authorization"] for h in headers} == {f"Bearer {KEY}"}
    assert {h["User-Agent"] for h in headers} == {f"supaneon-sync/{supaneon_sync.__version__}"}
    ids = [h["X-Request-ID"] for h in headers]
    assert len(set(ids)) == 2
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids
    )


def test_the_only_project_is_found_without_being_named(api: NeonClient) -> None:
    assert api.only_project().id == PROJECT


def test_several_projects_and_none_chosen_is_a_settings_error_that_lists_them(
    api: NeonClient, neon: TinyNeon
) -> None:
    both = {"projects": [neon.project(), neon.project() | {"id": "other-one-1"}]}
    neon.faulty(Fault(200, both, path="/projects$"))
    with pytest.raises(ConfigError, match=rf"other-one-1, {PROJECT}.*NEON_PROJECT_ID"):
        api.only_project()


@pytest.mark.parametrize("fault", [error(403, "no"), error(404, "no"), Fault(200, {"projects": []})])
def test_a_key_that_sees_no_project_list_asks_for_the_project_id(
    api: NeonClient, neon: TinyNeon, fault: Fault
) -> None:
    neon.faulty(fault)
    with pytest.raises(ConfigError, match="NEON_PROJECT_ID"):
        api.only_project()


def test_projects_of_every_organization_are_found_where_neon_asks_for_one(
    api: NeonClient, neon: TinyNeon
) -> None:
    neon.faulty(
        error(400, "org_id is required, you can find it on your organization settings page"),
        Fault(200, {"organizations": [{"id": "org-one-1"}, {"id": "org-two-2"}]}, path="organizations"),
        Fault(200, {"projects": []}, path="/projects$"),
    )
    assert [project.id for project in api.projects()] == [PROJECT]
    assert [seen.query.get("org_id") for seen in neon.sent("GET", "/projects$")][:3] == [
        None,
        "org-one-1",
        "org-two-2",
    ]


@pytest.mark.parametrize("ident", ["no-such-project-1", "Not An Id", "a/b", ""])
def test_an_unknown_or_malformed_project_is_a_settings_error(api: NeonClient, ident: str) -> None:
    with pytest.raises(ConfigError, match="NEON_PROJECT_ID"):
        api.project(ident)


def test_branches_come_from_all_pages_with_their_annotations(api: NeonClient, neon: TinyNeon) -> None:
    neon.page_size = 7
    for number in range(30):
        branch = neon.add_branch(f"backup-{number}")
        neon.annotations[branch["id"]] = {"number": str(number)}
    found = api.branches(PROJECT)
    assert [b.name for b in found] == ["main"] + [f"backup-{n}" for n in range(30)]
    assert [b.annotations for b in found[1:]] == [{"number": str(n)} for n in range(30)]
    assert all(b.created_at.tzinfo is not None for b in found)
    assert len(neon.sent("GET", "/branches$")) == 5


def test_a_branch_is_found_by_its_exact_name_only(api: NeonClient, neon: TinyNeon) -> None:
    neon.add_branch("backup-1-old")
    wanted = neon.add_branch("backup-1")
    found = api.find_branch(PROJECT, "backup-1")
    assert found is not None
    assert found.id == wanted["id"]
    assert api.find_branch(PROJECT, "backup") is None


def test_the_default_branch_is_the_one_marked_so_whatever_its_name(api: NeonClient, neon: TinyNeon) -> None:
    neon.add_branch("production")
    assert api.default_branch(PROJECT).name == "main"


def test_a_branch_is_made_as_asked_and_awaited(api: NeonClient, neon: TinyNeon, time: FakeTime) -> None:
    neon.statuses["create_branch"] = ["scheduling", "running", "running", "finished"]
    neon.statuses["start_compute"] = ["scheduling", "skipped"]
    parent = api.default_branch(PROJECT)
    expiry = datetime(2026, 11, 25, 12, 0, 0, 999999, tzinfo=UTC) + timedelta(days=1)
    request = BranchRequest(
        "staging-1", parent.id, "0/1DE2850", expiry, annotations={"digest": "abc"}, with_endpoint=True
    )
    made = api.create_branch(PROJECT, request)
    (post,) = neon.sent("POST", "/branches$")
    assert post.body["branch"] == {
        "name": "staging-1",
        "parent_id": parent.id,
        "parent_lsn": "0/1DE2850",
        "expires_at": "2026-11-26T12:00:00Z",
    }
    assert post.body["endpoints"] == [{"type": "read_write"}]
    assert post.body["annotation_value"]["digest"] == "abc"
    assert made.branch.annotations == {"digest": "abc"}
    assert made.branch.created_by_request == post.body["annotation_value"]["supaneon-request-id"]
    assert made.branch.ready
    assert made.branch.expires_at == datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert made.endpoint is not None
    assert made.endpoint.branch_id == made.branch.id
    assert made.endpoint.pooled_host == made.endpoint.host.replace(".", "-pooler.", 1)
    assert {o["status"] for o in neon.operations} == {"finished", "skipped"}
    assert time.waits == sorted(time.waits)
    assert max(time.waits) <= 2.0


def test_a_branch_without_endpoint_gets_none(api: NeonClient, neon: TinyNeon) -> None:
    assert api.create_branch(PROJECT, BranchRequest("quiet")).endpoint is None
    assert "endpoints" not in neon.sent("POST")[0].body


@pytest.mark.parametrize("status", ["failed", "error", "cancelled"])
def test_an_operation_that_ends_badly_is_named_with_the_branch_it_leaves(
    api: NeonClient, neon: TinyNeon, status: str
) -> None:
    neon.statuses["create_branch"] = ["running", status]
    neon.faulty(
        Fault(path="/operations/", change=lambda a: {"operation": a["operation"] | {"error": "disk on fire"}})
    )
    with pytest.raises(OperationFailed, match=r"create_branch.*disk on fire") as caught:
        api.create_branch(PROJECT, BranchRequest("staging-1"))
    assert caught.value.evidence["branch_id"] == neon.named("staging-1")[0]["id"]


def test_an_operation_that_does_not_end_is_given_up_after_the_budget(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.statuses["brand_new_action"] = ["half-way"]
    operation = neon.operation("brand_new_action")
    found = api.operation(PROJECT, operation["id"])
    began = time.now
    with pytest.raises(NeonError, match=r"brand_new_action after 30 seconds.*half-way"):
        api.await_operations(PROJECT, [found], 30)
    assert 30 <= time.now - began < 31


def test_a_name_that_is_taken_is_an_error_and_the_branch_stays(api: NeonClient, neon: TinyNeon) -> None:
    old = neon.add_branch("staging-1")
    with pytest.raises(AlreadyExists, match="staging-1") as caught:
        api.create_branch(PROJECT, BranchRequest("staging-1"))
    assert caught.value.evidence["branch_id"] == old["id"]
    assert neon.named("staging-1") == [old]


def test_more_annotations_than_neon_keeps_are_refused_before_anything_is_sent(
    api: NeonClient, neon: TinyNeon
) -> None:
    with pytest.raises(ValueError, match="49"):
        api.create_branch(PROJECT, BranchRequest("b", annotations={str(n): "" for n in range(50)}))
    assert not neon.seen


def test_commit_renames_and_takes_the_expiry_off_in_one_patch_and_reads_back(
    api: NeonClient, neon: TinyNeon
) -> None:
    branch = neon.add_branch("staging-1", expires_at="2026-11-30T00:00:00Z")
    done = api.commit_branch(PROJECT, branch["id"], "backup-1")
    (patch,) = neon.sent("PATCH")
    assert patch.body == {"branch": {"name": "backup-1", "expires_at": None}}
    assert (done.name, done.expires_at) == ("backup-1", None)
    assert neon.seen[-1].method == "GET"


def test_a_commit_that_the_branch_never_shows_is_an_error(api: NeonClient, neon: TinyNeon) -> None:
    branch = neon.add_branch("staging-1")
    unchanged = {"branch": dict(branch), "operations": []}
    neon.faulty(Fault(200, unchanged, method="PATCH"))
    with pytest.raises(NeonError, match="does not show it"):
        api.commit_branch(PROJECT, branch["id"], "backup-1")


def test_rename_expiry_and_protection_are_each_one_patch(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("one")["id"]
    assert api.rename_branch(PROJECT, ident, "two").name == "two"
    moment = datetime(2026, 12, 1, 1, 2, 3, tzinfo=UTC)
    assert api.set_expiry(PROJECT, ident, moment).expires_at == moment
    assert api.set_expiry(PROJECT, ident, None).expires_at is None
    assert api.set_protected(PROJECT, ident, True).protected
    assert [seen.body["branch"] for seen in neon.sent("PATCH")] == [
        {"name": "two"},
        {"expires_at": "2026-12-01T01:02:03Z"},
        {"expires_at": None},
        {"protected": True},
    ]
    with pytest.raises(ValueError, match="zone"):
        api.set_expiry(PROJECT, ident, datetime(2026, 12, 1))  # noqa: DTZ001


def test_delete_says_whether_there_was_anything_to_delete(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("old")["id"]
    assert api.delete_branch(PROJECT, ident) is True
    assert api.delete_branch(PROJECT, ident) is False
    neon.faulty(error(404, "branch not found", method="DELETE"))
    assert api.delete_branch(PROJECT, ident) is False
    assert not neon.named("old")


def test_delete_of_a_branch_in_an_unknown_project_is_no_success(api: NeonClient, neon: TinyNeon) -> None:
    neon.faulty(error(404, "project not found"))
    with pytest.raises(ConfigError, match="NEON_PROJECT_ID"):
        api.delete_branch(PROJECT, "br-a-b-1")


def test_a_deletion_whose_operations_vanish_has_ended(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("old")["id"]
    neon.faulty(error(404, "operation not found", path="/operations/"))
    assert api.delete_branch(PROJECT, ident) is True


def test_a_branch_that_may_not_be_deleted_is_an_error(api: NeonClient, neon: TinyNeon) -> None:
    neon.faulty(error(422, "cannot delete protected branch", method="DELETE"))
    with pytest.raises(NeonError, match=r"cannot delete protected branch.*theirs-1"):
        api.delete_branch(PROJECT, "br-a-b-1")


def test_endpoints_are_made_steered_and_deleted(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("one")["id"]
    made = api.create_endpoint(PROJECT, ident, EndpointRequest(autoscaling_limit_max_cu=1))
    assert neon.sent("POST")[0].body == {
        "endpoint": {"branch_id": ident, "type": "read_write", "autoscaling_limit_max_cu": 1}
    }
    assert api.endpoints(PROJECT, ident) == api.endpoints(PROJECT) == [made]
    assert api.suspend_endpoint(PROJECT, made.id).current_state == "idle"
    assert api.start_endpoint(PROJECT, made.id).current_state == "active"
    with pytest.raises(AlreadyExists):
        api.create_endpoint(PROJECT, ident)
    assert api.delete_endpoint(PROJECT, made.id) is True
    assert api.delete_endpoint(PROJECT, made.id) is False
    with pytest.raises(NotFound):
        api.start_endpoint(PROJECT, made.id)


def test_databases_are_made_listed_and_dropped_whatever_their_name(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("one")["id"]
    name = "odd /name?#%"
    made = api.create_database(PROJECT, ident, name, "neondb_owner")
    assert (made.name, made.owner_name) == (name, "neondb_owner")
    assert api.databases(PROJECT, ident) == [made]
    with pytest.raises(AlreadyExists):
        api.create_database(PROJECT, ident, name, "neondb_owner")
    assert api.delete_database(PROJECT, ident, name) is True
    assert api.delete_database(PROJECT, ident, name) is False


def test_passwords_are_secrets_and_belong_to_a_branch(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("one")["id"]
    role = api.create_role(PROJECT, ident, "app")
    assert role.password is not None
    assert role.password.reveal() == PASSWORD
    assert [r.name for r in api.roles(PROJECT, ident)] == ["app"]
    known = api.reveal_password(PROJECT, ident, "app")
    assert known is not None
    assert known.reveal() == PASSWORD
    assert api.reset_password(PROJECT, ident, "app").reveal() != PASSWORD
    assert PASSWORD not in repr([role, known])


@pytest.mark.parametrize("status", [404, 412])
def test_a_password_that_neon_does_not_have_is_none(api: NeonClient, neon: TinyNeon, status: int) -> None:
    ident = neon.add_branch("one")["id"]
    neon.faulty(error(status, "no"))
    assert api.reveal_password(PROJECT, ident, "app") is None


def test_a_connection_uri_is_asked_for_one_branch_database_and_role(api: NeonClient, neon: TinyNeon) -> None:
    uri = api.connection_uri(PROJECT, "br-a-b-1", database="neondb", role="neondb_owner", pooled=True)
    assert (
        uri.reveal() == f"postgresql://neondb_owner:{PASSWORD}@true.br-a-b-1.neon.tech/neondb?sslmode=require"
    )
    assert neon.seen[-1].query == {
        "branch_id": "br-a-b-1",
        "database_name": "neondb",
        "role_name": "neondb_owner",
        "pooled": "true",
    }
    assert PASSWORD not in repr(uri)


def test_an_empty_id_is_never_sent_because_it_would_name_another_route(
    api: NeonClient, neon: TinyNeon
) -> None:
    with pytest.raises(ValueError, match="segment"):
        api.delete_branch(PROJECT, "")
    assert not neon.seen


def test_operations_are_listed_newest_first_without_repeating_the_last_page(
    api: NeonClient, neon: TinyNeon
) -> None:
    made = [neon.operation("apply_config")["id"] for _ in range(3)]
    assert [o.id for o in api.operations(PROJECT)] == made[::-1]


def test_a_branch_can_be_told_as_json(api: NeonClient) -> None:
    assert json.dumps(api.default_branch(PROJECT).annotations) == "{}"


def test_branches_are_paged_in_an_order_that_updates_do_not_shuffle(api: NeonClient, neon: TinyNeon) -> None:
    api.branches(PROJECT, search="back")
    assert neon.seen[0].query == {
        "limit": "100",
        "sort_by": "created_at",
        "sort_order": "asc",
        "search": "back",
    }


def test_two_branches_of_one_name_are_an_error_and_none_is_picked(api: NeonClient, neon: TinyNeon) -> None:
    neon.add_branch("backup-1")
    neon.add_branch("backup-1")
    with pytest.raises(NeonError, match="2 branches named backup-1"):
        api.find_branch(PROJECT, "backup-1")


def test_operations_are_polled_slower_and_slower_but_every_two_seconds(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.statuses["slow"] = ["running"] * 20 + ["finished"]
    api.await_operations(PROJECT, [api.operation(PROJECT, neon.operation("slow")["id"])])
    assert time.waits[0] == pytest.approx(0.1)
    assert time.waits == sorted(time.waits)
    assert time.waits[-1] == 2.0


def test_a_branch_that_is_still_being_made_is_waited_for(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    young = Fault(
        method="GET",
        path=r"/branches/br-[^/]*$",
        change=lambda answer: answer | {"branch": answer["branch"] | {"current_state": "init"}},
    )
    neon.faulty(young, young)
    assert api.create_branch(PROJECT, BranchRequest("b")).branch.current_state == "ready"
    neon.faulty(*[young] * 1000)
    with pytest.raises(NeonError, match="still being made") as caught:
        api.create_branch(PROJECT, BranchRequest("c"))
    assert caught.value.evidence["branch_id"] == neon.named("c")[0]["id"]


def test_a_wrong_key_is_told_as_such_even_where_the_project_is_not_named(
    api: NeonClient, neon: TinyNeon
) -> None:
    neon.faulty(error(401, "supplied credentials do not pass authentication"))
    with pytest.raises(NeonError, match="NEON_API_KEY"):
        api.only_project()
