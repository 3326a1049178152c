from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from supaneon_sync.sandbox.testing import Sandbox
from tests.sandbox.plain_http import Http


@pytest.fixture
def api(shared_sandbox: Sandbox) -> Iterator[Http]:
    yield Http(shared_sandbox)
    shared_sandbox.settle()
    shared_sandbox.plane.faults.clear()


def create(api: Http, name: str) -> requests.Response:
    return api.call("POST", "/branches", {"branch": {"name": name}})


@pytest.mark.parametrize("kind", ["423", "429", "503", "524"])
def test_an_ordered_status_comes_so_many_times_and_nothing_is_done(api: Http, kind: str) -> None:
    rule = {"kind": kind, "method": "POST", "path": "/branches$", "times": 2, "retry_after": 7}
    api.sandbox.inject(rule)
    for _ in range(2):
        answer = create(api, f"status-{kind}")
        assert answer.status_code == int(kind)
        assert answer.headers.get("Retry-After") == ("7" if kind == "429" else None)
        assert ("html" in answer.headers["content-type"]) is (kind == "524")
        assert f"status-{kind}" not in api.sandbox.names()
    assert create(api, f"status-{kind}").status_code == 201
    assert api.sandbox.fired() == 2


def test_a_rule_applies_to_its_method_and_path_only(api: Http) -> None:
    api.sandbox.inject({"kind": "503", "match": {"method": "DELETE", "path": "/branches/br-"}})
    api.get("/branches")
    assert create(api, "untouched").status_code == 201
    api.sandbox.settle()
    branch = api.sandbox.branch("untouched").id
    api.refused(503, "DELETE", f"/branches/{branch}")
    assert api.call("DELETE", f"/branches/{branch}").status_code == 200


def test_a_connection_dropped_before_the_work_leaves_nothing_behind(api: Http) -> None:
    api.sandbox.inject({"kind": "drop-before", "method": "POST"})
    with pytest.raises(requests.ConnectionError):
        create(api, "dropped-before")
    assert "dropped-before" not in api.sandbox.names()


def test_a_connection_dropped_after_the_commit_leaves_the_branch_behind(api: Http) -> None:
    api.sandbox.inject({"kind": "drop-after-commit", "method": "POST"})
    with pytest.raises(requests.ConnectionError):
        create(api, "dropped-after")
    api.sandbox.settle()
    assert api.sandbox.branch("dropped-after").current_state == "ready"
    assert api.get("/branches")["branches"]  # the server itself is well


@pytest.mark.parametrize("ending", ["failed", "error", "cancelled"])
def test_an_operation_can_be_made_to_end_badly_and_those_after_it_are_cancelled(
    api: Http, ending: str
) -> None:
    api.sandbox.inject({"kind": f"operation-{ending}", "method": "POST"})
    body = {"branch": {"name": f"op-{ending}"}, "endpoints": [{"type": "read_write"}]}
    made = api.call("POST", "/branches", body).json()
    api.sandbox.settle()
    seen = [api.get(f"/operations/{one['id']}")["operation"]["status"] for one in made["operations"]]
    assert seen == [ending, "cancelled"]
    branch = made["branch"]["id"]
    assert api.get(f"/branches/{branch}")["branch"]["current_state"] == "init"
    api.write("DELETE", f"/branches/{branch}")


def test_a_skipped_operation_has_done_its_work(api: Http) -> None:
    api.sandbox.inject({"kind": "operation-skipped", "method": "POST"})
    made = create(api, "skipped").json()
    api.sandbox.settle()
    assert api.get(f"/operations/{made['operations'][0]['id']}")["operation"]["status"] == "skipped"
    assert api.get(f"/branches/{made['branch']['id']}")["branch"]["current_state"] == "ready"


def test_a_new_branch_can_be_unfindable_for_a_while(api: Http) -> None:
    api.sandbox.inject({"kind": "404-after-create", "method": "POST", "reads": 2})
    branch = create(api, "hidden").json()["branch"]["id"]
    for _ in range(2):
        api.refused(404, "GET", f"/branches/{branch}")
    assert api.get(f"/branches/{branch}")["branch"]["name"] == "hidden"


def test_a_stale_branch_holds_what_was_there_when_the_copy_was_put_aside(api: Http) -> None:
    api.sandbox.execute("main", "create table stale (n int)")
    main = api.sandbox.branch("main").id
    admin = api.sandbox.api_host.replace("/api/v2", f"/sandbox/branches/{main}/keep")
    assert api.session.post(admin).status_code == 200
    api.sandbox.execute("main", "insert into stale values (1)")
    api.sandbox.inject({"kind": "stale-cut", "method": "POST"})
    api.branch("stale")
    api.branch("current")
    assert api.sandbox.execute("stale", "select count(*) from stale") == [(0,)]
    assert api.sandbox.execute("current", "select count(*) from stale") == [(1,)]


def test_a_slow_answer_takes_its_time_and_an_answer_of_ones_own_says_what_it_shall(api: Http) -> None:
    refusal = {"kind": "answer", "status": 400, "message": "org_id is required", "path": "/projects$"}
    api.sandbox.inject({"kind": "slow", "seconds": 0.3, "path": "/branches$"}, refusal)
    begun = time.monotonic()
    api.get("/branches")
    assert time.monotonic() - begun > 0.3
    assert api.refused(400, "GET", "!/projects")["message"] == "org_id is required"


def test_faults_are_ordered_seen_and_cleared_over_http_and_the_log_holds_no_secret(api: Http) -> None:
    url = api.sandbox.api_host.replace("/api/v2", "/sandbox/faults")

    def admin(method: str, **options: Any) -> Any:
        return api.session.request(method, url, **options).json()

    admin("DELETE")
    admin("POST", json=[{"kind": "503", "times": 1}])
    api.refused(503, "GET", "/branches")
    seen = admin("GET")
    assert [(rule["kind"], rule["fired"]) for rule in seen["rules"]] == [("503", 1)]
    (request,) = seen["requests"]
    assert (request["method"], request["status"], request["fault"]) == ("GET", 503, "503")
    api.get("/connection_uri", database_name="neondb", role_name="neondb_owner")
    shown = str(admin("GET"))
    assert api.sandbox.key not in shown
    assert (api.sandbox.branch("main").roles["neondb_owner"].password or "") not in shown
    assert "kind must be one of" in admin("POST", json={"kind": "nonsense"})["message"]
    assert admin("DELETE") == {"rules": [], "requests": []}
    assert requests.get(url, timeout=5).status_code == 401


def test_the_project_can_be_made_to_say_something_else_and_others_can_be_listed(sandbox: Sandbox) -> None:
    api = Http(sandbox)
    base = sandbox.api_host.replace("/api/v2", "/sandbox")
    api.session.patch(base + "/project", json={"store_passwords": False})
    branch = sandbox.branch("main").id
    assert api.get("")["project"]["store_passwords"] is False
    api.refused(412, "GET", f"/branches/{branch}/roles/neondb_owner/reveal_password")
    other = api.session.post(base + "/projects", json={"name": "other"}).json()["project"]["id"]
    assert [one["name"] for one in api.get("!/projects")["projects"]] == ["sandbox", "other"]
    assert api.get(f"!/projects/{other}")["project"]["name"] == "other"
    api.refused(404, "GET", f"!/projects/{other}/branches")
