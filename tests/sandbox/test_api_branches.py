from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from supaneon_sync.sandbox.clock import timestamp
from supaneon_sync.sandbox.testing import Sandbox
from tests.sandbox.plain_http import Http, query
from tests.sandbox_fixtures import MakeSandbox


@pytest.fixture
def api(shared_sandbox: Sandbox) -> Iterator[Http]:
    yield Http(shared_sandbox)
    shared_sandbox.settle()
    shared_sandbox.plane.faults.clear()


def in_days(sandbox: Sandbox, days: float) -> str:
    return timestamp(sandbox.plane.clock.now() + timedelta(days=days))


def test_a_wrong_key_and_a_missing_key_are_answered_alike(api: Http) -> None:
    for header in ("Bearer wrong", ""):
        api.session.headers["Authorization"] = header
        error = api.refused(401, "GET", "/branches")
        assert error["message"] == "supplied credentials do not pass authentication"
        assert error["code"] == ""


def test_a_request_id_comes_back_in_the_header_and_in_errors(api: Http) -> None:
    answer = api.call("GET", "/branches/br-no-such-branch1", headers={"X-Request-ID": "my-own-id"})
    assert answer.status_code == 404
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "my-own-id"


def test_a_created_branch_is_a_receipt_until_its_operations_have_finished(api: Http) -> None:
    body = {"branch": {"name": "receipt"}, "endpoints": [{"type": "read_write"}]}
    answer = api.call("POST", "/branches", body)
    made = answer.json()
    assert answer.status_code == 201
    assert re.fullmatch(r"br-[a-z0-9]+-[a-z0-9]+-[a-z0-9]+", made["branch"]["id"])
    assert re.fullmatch(r"ep-[a-z0-9]+-[a-z0-9]+-[a-z0-9]+", made["endpoints"][0]["id"])
    assert (made["branch"]["current_state"], made["branch"]["pending_state"]) == ("init", "ready")
    assert made["endpoints"][0]["current_state"] == "init"
    assert [(one["action"], one["status"]) for one in made["operations"]] == [
        ("create_branch", "running"),
        ("start_compute", "scheduling"),
    ]
    api.sandbox.settle()
    seen = api.get(f"/branches/{made['branch']['id']}")["branch"]
    assert seen["current_state"] == "ready"
    assert "pending_state" not in seen
    assert api.get(f"/endpoints/{made['endpoints'][0]['id']}")["endpoint"]["current_state"] == "active"
    assert query(made["connection_uris"][0]["connection_uri"], "select 1") == [(1,)]


def test_other_writes_are_locked_out_while_operations_run(make_sandbox: MakeSandbox) -> None:
    api = Http(make_sandbox(operation_seconds=0.5))
    made = api.call("POST", "/branches", {"branch": {"name": "first"}}).json()
    branch = made["branch"]["id"]
    for method, path, body in (
        ("POST", "/branches", {}),
        ("PATCH", f"/branches/{branch}", {"branch": {"name": "renamed"}}),
        ("DELETE", f"/branches/{branch}", None),
    ):
        assert "conflicting operations" in api.refused(423, method, path, body)["message"]
    api.get(f"/branches/{branch}")
    api.sandbox.settle()
    assert api.write("PATCH", f"/branches/{branch}", {"branch": {"name": "renamed"}})["operations"] == []


def test_a_branch_is_a_copy_of_its_own_with_the_parents_roles_and_passwords(api: Http) -> None:
    parent = api.branch("copied-parent", compute=True)
    at_parent = parent["connection_uris"][0]["connection_uri"]
    query(at_parent, "create table t as select generate_series(1, 10) as n")
    child = api.branch("copied-child", compute=True, parent_id=parent["branch"]["id"])
    details = child["connection_uris"][0]
    assert details["connection_parameters"]["password"] in at_parent
    query(at_parent, "truncate t")
    assert query(details["connection_uri"], "select count(*) from t") == [(10,)]
    timelines = {query(uri, "show neon.timeline_id")[0][0] for uri in (at_parent, details["connection_uri"])}
    assert len(timelines) == 2


def test_a_branch_as_of_the_last_commit_is_made_and_as_of_an_earlier_one_is_refused(api: Http) -> None:
    parent = api.branch("lsn-parent", compute=True)
    uri = parent["connection_uris"][0]["connection_uri"]
    query(uri, "create table t (n int)")
    lsn = query(uri, "select pg_current_wal_flush_lsn()")[0][0]
    api.sandbox.execute("lsn-parent", "checkpoint")  # background records do not count
    made = api.branch("lsn-child", parent_id=parent["branch"]["id"], parent_lsn=lsn)
    assert made["branch"]["parent_lsn"] == lsn
    query(uri, "insert into t values (1)")
    late = {"branch": {"name": "lsn-late", "parent_id": parent["branch"]["id"], "parent_lsn": lsn}}
    assert "written to afterwards" in api.refused(400, "POST", "/branches", late)["message"]
    assert "lsn-late" not in api.sandbox.names()


def test_what_the_sandbox_cannot_do_is_refused_by_name(api: Http) -> None:
    for options in (
        {"parent_timestamp": "2026-01-01T00:00:00Z"},
        {"init_source": "schema-only"},
        {"parent_lsn": "nonsense"},
    ):
        api.refused(400, "POST", "/branches", {"branch": options})


def test_names_are_unique_also_for_a_rename(api: Http) -> None:
    api.branch("taken")
    error = api.refused(409, "POST", "/branches", {"branch": {"name": "taken"}})
    assert error["code"] == "BRANCH_ALREADY_EXISTS"
    assert 'branch_name:"taken"' in error["message"]
    other = api.branch("other")["branch"]["id"]
    api.refused(409, "PATCH", f"/branches/{other}", {"branch": {"name": "taken"}})
    api.refused(400, "PATCH", f"/branches/{other}", {"branch": {"name": "x" * 257}})


def test_the_free_plan_keeps_its_limits(make_sandbox: MakeSandbox) -> None:
    api = Http(make_sandbox(plan="free"))
    api.sandbox.seed(*({"name": f"b{n}"} for n in range(9)))
    error = api.refused(422, "POST", "/branches", {"branch": {"name": "one too many"}})
    assert error["code"] == "BRANCHES_LIMIT_EXCEEDED"
    assert "one too many" not in api.sandbox.names()
    branch = api.sandbox.branch("b0").id
    error = api.refused(422, "PATCH", f"/branches/{branch}", {"branch": {"protected": True}})
    assert error["code"] == "BRANCHES_PROTECTED_LIMIT_EXCEEDED"
    api.write("DELETE", f"/branches/{branch}")
    computes = [{"type": "read_write", "suspend_timeout_seconds": 300}]
    body = {"branch": {"name": "tuned"}, "endpoints": computes}
    assert "too short" in api.refused(412, "POST", "/branches", body)["message"]
    assert "tuned" not in api.sandbox.names()
    assert api.get("")["project"]["branch_logical_size_limit_bytes"] == 512 * 1024**2


def test_default_protected_and_parent_branches_cannot_be_deleted_and_unknown_ones_are_gone(api: Http) -> None:
    parent = api.branch("kept-parent")["branch"]["id"]
    api.branch("kept-child", parent_id=parent)
    protected = api.branch("kept-protected", protected=True)["branch"]["id"]
    for branch in (api.sandbox.branch("main").id, parent, protected):
        api.refused(422, "DELETE", f"/branches/{branch}")
    assert api.call("DELETE", "/branches/br-no-such-branch1").status_code == 204
    api.write("PATCH", f"/branches/{protected}", {"branch": {"protected": False}})
    api.write("DELETE", f"/branches/{protected}")


def test_deleting_a_branch_stops_its_compute_and_removes_its_data(api: Http) -> None:
    made = api.branch("deleted", compute=True)
    branch, port = made["branch"]["id"], api.sandbox.plane.state.endpoint_of(made["branch"]["id"])
    data = Path(api.sandbox.directory) / "branches" / branch
    assert (data / "postmaster.pid").exists()
    answer = api.write("DELETE", f"/branches/{branch}")
    assert answer["branch"]["pending_state"] == "storage_deleted"
    assert [one["action"] for one in answer["operations"]] == ["suspend_compute", "delete_timeline"]
    api.refused(404, "GET", f"/branches/{branch}")
    assert port is not None
    api.refused(404, "GET", f"/endpoints/{port.id}")
    assert not data.exists()


def test_expiry_is_checked_when_it_is_set(api: Http) -> None:
    past, far = in_days(api.sandbox, -1), in_days(api.sandbox, 31)
    for text in (past, far):
        api.refused(422, "POST", "/branches", {"branch": {"name": "bad-expiry", "expires_at": text}})
    soon = in_days(api.sandbox, 1).replace("Z", ".000Z")
    parent = api.branch("expiry-parent")["branch"]["id"]
    api.branch("expiry-child", parent_id=parent)
    for branch in (parent, api.sandbox.branch("main").id):
        api.refused(422, "PATCH", f"/branches/{branch}", {"branch": {"expires_at": soon}})
    expiring = api.branch("expiring", expires_at=soon)["branch"]
    assert expiring["expires_at"] == soon.replace(".000Z", "Z")
    assert 86000 < expiring["ttl_interval_seconds"] <= 86400
    api.refused(422, "POST", "/branches", {"branch": {"parent_id": expiring["id"]}})
    api.refused(422, "PATCH", f"/branches/{expiring['id']}", {"branch": {"protected": True}})
    api.refused(422, "POST", f"/branches/{expiring['id']}/set_as_default")
    path = f"/branches/{expiring['id']}"
    api.write("PATCH", path, {"branch": {"expires_at": None, "name": "kept"}})
    seen = api.get(path)["branch"]
    assert seen["name"] == "kept"
    assert "expires_at" not in seen


def test_an_expired_branch_is_really_deleted(make_sandbox: MakeSandbox) -> None:
    api = Http(make_sandbox())
    made = api.branch("passing", compute=True, expires_at=in_days(api.sandbox, 1))
    api.sandbox.advance(2 * 86400)
    deadline = 200
    while "passing" in api.sandbox.names() and deadline:
        deadline -= 1
        api.sandbox.plane._closing.wait(0.05)
    assert api.sandbox.names() == {"main"}
    assert not (api.sandbox.directory / "branches" / made["branch"]["id"]).exists()


def test_lists_have_pages_of_a_hundred_at_most_that_together_hold_every_branch_once(api: Http) -> None:
    api.sandbox.seed(*({"name": f"page-{n:03}"} for n in range(230)))
    names, cursor, pages = [], None, 0
    while True:
        query = {"limit": 10000, "search": "PAGE-", "sort_by": "name", "sort_order": "asc"}
        answer = api.get("/branches", **query, **({"cursor": cursor} if cursor else {}))
        assert len(answer["branches"]) <= 100
        names += [one["name"] for one in answer["branches"]]
        pages += 1
        cursor = answer["pagination"].get("next")
        if cursor is None:
            break
    assert pages == 3
    assert names == [f"page-{n:03}" for n in range(230)]
    assert answer["pagination"]["sort_order"] == "ASC"
    assert api.get("/branches/count", search="page-")["count"] == 230
    assert len(api.get("/branches", search="page-00", limit=3)["branches"]) == 3
    api.refused(400, "GET", "/branches?limit=0")
    api.refused(400, "GET", "/branches?cursor=%25")


def test_annotations_come_back_in_lists_and_single_answers(api: Http) -> None:
    value = {"supaneon-digest": "abc", "run": "1"}
    branch = api.branch("annotated", annotation_value=value)["branch"]["id"]
    plain = api.branch("plain", annotation_value={})["branch"]["id"]
    assert api.get(f"/branches/{branch}")["annotation"]["value"] == value
    assert api.get(f"/branches/{plain}")["annotation"]["value"] == {}
    listed = api.get("/branches", search="annotated")["annotations"]
    assert listed[branch]["value"] == value
    for bad in ({"n": 1}, {str(n): "" for n in range(51)}):
        api.refused(400, "POST", "/branches", {"annotation_value": bad})


def test_a_missing_body_makes_a_branch_of_the_default_branch_without_a_compute(api: Http) -> None:
    answer = api.call("POST", "/branches")
    api.sandbox.settle()
    assert answer.status_code == 201
    assert answer.json()["endpoints"] == []
    assert answer.json()["branch"]["parent_id"] == api.sandbox.branch("main").id
    assert "connection_uris" not in answer.json()


def test_the_child_of_a_protected_parent_gets_passwords_of_its_own(api: Http) -> None:
    parent = api.branch("guarded", compute=True, protected=True)
    old = parent["connection_uris"][0]["connection_parameters"]["password"]
    child = api.branch("guarded-child", compute=True, parent_id=parent["branch"]["id"])
    details = child["connection_uris"][0]
    assert details["connection_parameters"]["password"] != old
    assert query(details["connection_uri"], "select current_user") == [("neondb_owner",)]
    api.write("PATCH", f"/branches/{parent['branch']['id']}", {"branch": {"protected": False}})


def test_a_reset_from_the_parent_brings_its_content_and_keeps_the_branchs_password(api: Http) -> None:
    main = api.sandbox.branch("main").id
    child = api.branch("reset", compute=True)
    uri, branch = child["connection_uris"][0]["connection_uri"], child["branch"]["id"]
    query(uri, "create table own (n int)")
    password = api.write("POST", f"/branches/{branch}/roles/neondb_owner/reset_password")["role"]["password"]
    grandchild = api.branch("reset-child", parent_id=branch)["branch"]["id"]
    api.refused(422, "POST", f"/branches/{branch}/restore", {"source_branch_id": main})
    body = {"source_branch_id": main, "preserve_under_name": "reset-old"}
    api.write("POST", f"/branches/{branch}/restore", body)
    kept = api.sandbox.branch("reset-old")
    assert api.get(f"/branches/{grandchild}")["branch"]["parent_id"] == kept.id
    assert api.sandbox.execute("reset-old", "select to_regclass('public.own') is null") == [(False,)]
    uri = api.sandbox.uri("reset")
    assert password in uri
    assert query(uri, "select to_regclass('public.own') is null") == [(True,)]


def test_sizes_are_those_of_the_cluster(api: Http) -> None:
    made = api.branch("sized", compute=True)
    branch = made["branch"]["id"]
    before = api.get(f"/branches/{branch}")["branch"]
    uri = made["connection_uris"][0]["connection_uri"]
    query(uri, "create table big as select repeat(md5(n::text), 30) from generate_series(1, 20000) n")
    ((size,),) = query(uri, "select sum(pg_database_size(oid)) from pg_database")
    api.sandbox.plane.looked_at.clear()
    after = api.get(f"/branches/{branch}")["branch"]
    assert after["logical_size"] == size
    assert after["logical_size"] - before["logical_size"] > 15_000_000
    assert after["written_data_bytes"] - before["written_data_bytes"] > 15_000_000


def test_a_malformed_id_and_an_unknown_route_do_not_exist(api: Http) -> None:
    for path in ("/branches/UPPER_case", "/nothing", "/branches/br-a-b-c/nothing"):
        api.refused(404, "GET", path)
    assert api.refused(404, "GET", "!/projects/other-project-1")["message"] == "project not found"
