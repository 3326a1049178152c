from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest

from supaneon_sync.sandbox.testing import Sandbox
from tests.sandbox.plain_http import Http, query
from tests.sandbox_fixtures import MakeSandbox


@pytest.fixture
def api(shared_sandbox: Sandbox) -> Iterator[Http]:
    yield Http(shared_sandbox)
    shared_sandbox.settle()


def test_the_uri_of_the_api_works_with_the_certificate_verified_and_channel_binding(
    shared_sandbox: Sandbox, api: Http
) -> None:
    for pooled in (False, True):
        uri = api.get("/connection_uri", database_name="neondb", role_name="neondb_owner", pooled=pooled)[
            "uri"
        ]
        assert "channel_binding=require" in uri
        assert ("-pooler." in uri) is pooled
        strict = uri.replace("sslmode=require", "sslmode=verify-full")
        with pytest.raises(psycopg2.OperationalError, match="certificate"):
            query(strict, "select 1")
        shown = query(f"{strict}&sslrootcert={shared_sandbox.ca_file}", "select current_user::text")
        assert shown == [("neondb_owner",)]


def test_a_connection_without_tls_or_with_a_wrong_password_is_refused(shared_sandbox: Sandbox) -> None:
    uri = shared_sandbox.uri("main")
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        query(uri.replace("verify-full", "disable").replace("=require", "=disable"), "select 1")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(uri.replace("neondb_owner:", "neondb_owner:x"), "select 1")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(uri.replace("neondb_owner:", "cloud_admin:"), "select 1")


def test_the_owner_is_no_superuser_but_has_what_neon_gives_it(shared_sandbox: Sandbox) -> None:
    uri = shared_sandbox.uri("main")
    ((superuser, *others),) = query(
        uri,
        "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication, rolinherit,"
        " pg_has_role('neon_superuser', 'member'), pg_has_role('pg_read_all_data', 'usage'),"
        " pg_has_role('pg_create_subscription', 'usage') from pg_roles where rolname = current_user",
    )
    assert superuser is False
    assert others == [True] * 8
    query(
        uri,
        "create role stub nologin; grant pg_monitor to stub; drop role stub; create schema s; drop schema s",
    )
    owner = "select nspowner::regrole::text from pg_namespace where nspname = 'public'"
    assert query(uri, owner) == [("neondb_owner",)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        query(uri, "alter system set work_mem = '1MB'")


def test_databases_and_roles_made_with_sql_show_up_in_the_api(api: Http) -> None:
    uri = api.branch("by-sql", compute=True)["connection_uris"][0]["connection_uri"]
    at = f"/branches/{api.sandbox.branch('by-sql').id}"
    query(uri, "create database supaneon")
    query(uri, "create role reader nologin")
    assert {one["name"] for one in api.get(at + "/databases")["databases"]} == {"neondb", "supaneon"}
    assert {one["name"] for one in api.get(at + "/roles")["roles"]} == {"neondb_owner", "reader"}
    assert "password" not in api.get(at + "/roles/neondb_owner")["role"]
    api.refused(404, "GET", at + "/roles/reader/reveal_password")
    query(uri, "drop database supaneon")
    assert [one["name"] for one in api.get(at + "/databases")["databases"]] == ["neondb"]
    api.refused(404, "GET", at + "/databases/supaneon")


def test_roles_and_databases_are_made_changed_and_dropped_on_the_server(api: Http) -> None:
    api.branch("by-api", compute=True)
    at = f"/branches/{api.sandbox.branch('by-api').id}"
    made = api.write("POST", at + "/roles", {"role": {"name": 'we"ird %I'}})["role"]
    api.refused(409, "POST", at + "/roles", {"role": {"name": 'we"ird %I'}})
    database = {"name": "shop data", "owner_name": made["name"]}
    api.write("POST", at + "/databases", {"database": database})
    api.refused(409, "POST", at + "/databases", {"database": database})
    api.refused(404, "POST", at + "/databases", {"database": {"name": "x", "owner_name": "nobody"}})
    branch = api.sandbox.branch("by-api").id
    uri = api.get("/connection_uri", branch_id=branch, database_name="shop data", role_name=made["name"])[
        "uri"
    ]
    assert query(uri, "create table t (n int); select current_user::text") == [(made["name"],)]
    api.refused(422, "DELETE", at + "/roles/we%22ird%20%25I")
    api.write("DELETE", at + "/databases/shop%20data")
    api.write("DELETE", at + "/roles/we%22ird%20%25I")
    for thing in ("/roles/we%22ird%20%25I", "/databases/shop%20data"):
        assert api.call("DELETE", at + thing).status_code == 204
    api.refused(404, "GET", f"/connection_uri?branch_id={branch}&database_name=no&role_name=neondb_owner")
    api.refused(400, "GET", "/connection_uri")


def test_a_reset_password_counts_for_this_branch_alone_and_ends_its_sessions(api: Http) -> None:
    api.branch("reset-pw", compute=True)
    old = api.sandbox.uri("reset-pw")
    at = f"/branches/{api.sandbox.branch('reset-pw').id}/roles/neondb_owner"
    with closing(psycopg2.connect(old)) as session:
        made = api.write("POST", at + "/reset_password")["role"]["password"]
        with pytest.raises(psycopg2.OperationalError), session.cursor() as cursor:
            cursor.execute("select 1")
    assert api.get(at + "/reveal_password")["password"] == made
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(old, "select 1")
    assert query(api.sandbox.uri("reset-pw"), "select 1") == [(1,)]
    assert query(api.sandbox.uri("main"), "select 1") == [(1,)]


def test_a_branch_without_a_compute_has_its_password_reset_all_the_same(api: Http) -> None:
    branch = api.branch("sleeping")["branch"]["id"]
    api.refused(404, "GET", f"/connection_uri?branch_id={branch}&database_name=neondb&role_name=neondb_owner")
    api.write("POST", f"/branches/{branch}/roles/neondb_owner/reset_password")
    made = api.write("POST", "/endpoints", {"endpoint": {"branch_id": branch, "type": "read_write"}})
    assert made["endpoint"]["branch_id"] == branch
    assert query(api.sandbox.uri("sleeping"), "select 1") == [(1,)]
    body = {"endpoint": {"branch_id": branch, "type": "read_write"}}
    assert "already exists" in api.refused(409, "POST", "/endpoints", body)["message"]
    api.refused(400, "POST", "/endpoints", {"endpoint": {"branch_id": branch, "type": "read_only"}})


def test_a_suspended_compute_wakes_for_every_connection_that_knocks_meanwhile(api: Http) -> None:
    endpoint = api.branch("napping", compute=True)["endpoints"][0]["id"]
    uri = api.sandbox.uri("napping")
    query(uri, "create table t as select 1 as n")
    with closing(psycopg2.connect(uri)) as session:
        api.write("POST", f"/endpoints/{endpoint}/suspend")
        with pytest.raises(psycopg2.OperationalError), session.cursor() as cursor:
            cursor.execute("select 1")
    assert api.get(f"/endpoints/{endpoint}")["endpoint"]["current_state"] == "idle"
    before = api.sandbox.plane.state.counter
    with ThreadPoolExecutor(6) as crew:
        assert list(crew.map(lambda _: query(uri, "select n from t"), range(6))) == [[(1,)]] * 6
    api.sandbox.settle()
    woken = [one for one in api.get("/operations")["operations"] if one.get("endpoint_id") == endpoint]
    assert woken[0]["action"] == "start_compute"
    assert api.sandbox.plane.state.counter == before + 1
    assert api.get(f"/endpoints/{endpoint}")["endpoint"]["current_state"] == "active"


def test_much_data_passes_through_the_door_of_a_compute_that_slept(api: Http) -> None:
    endpoint = api.branch("wide", compute=True)["endpoints"][0]["id"]
    api.write("POST", f"/endpoints/{endpoint}/suspend")
    uri = api.sandbox.uri("wide")
    ((text,),) = query(uri, "select repeat('x', 30000000)")
    assert len(text) == 30_000_000
    with closing(psycopg2.connect(uri)) as session, session.cursor() as cursor:
        cursor.execute("select length(%s)", (text,))
        assert cursor.fetchone() == (30_000_000,)


def test_a_disabled_endpoint_wakes_for_nobody(api: Http) -> None:
    endpoint = api.branch("disabled", compute=True)["endpoints"][0]["id"]
    api.write("PATCH", f"/endpoints/{endpoint}", {"endpoint": {"disabled": True}})
    with pytest.raises(psycopg2.OperationalError):
        query(api.sandbox.uri("disabled"), "select 1")
    api.refused(422, "POST", f"/endpoints/{endpoint}/start")
    api.write("PATCH", f"/endpoints/{endpoint}", {"endpoint": {"disabled": False}})
    assert query(api.sandbox.uri("disabled"), "select 1") == [(1,)]


def test_an_idle_compute_is_suspended_and_a_busy_one_is_not(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(suspend_after=1.0)
    api = Http(sandbox)
    endpoint = api.get("/endpoints")["endpoints"][0]["id"]

    def state() -> str:
        return str(api.get(f"/endpoints/{endpoint}")["endpoint"]["current_state"])

    query(sandbox.uri("main"), "select pg_sleep(2.5)")
    assert state() == "active"
    for _ in range(100):
        if state() == "idle":
            break
        sandbox.plane._closing.wait(0.05)
    assert state() == "idle"
    assert query(sandbox.uri("main"), "select 1") == [(1,)]


def test_deleting_an_endpoint_keeps_the_branchs_data(api: Http) -> None:
    endpoint = api.branch("kept-data", compute=True)["endpoints"][0]["id"]
    query(api.sandbox.uri("kept-data"), "create table t as select 7 as n")
    api.write("DELETE", f"/endpoints/{endpoint}")
    assert api.call("DELETE", f"/endpoints/{endpoint}").status_code == 204
    api.refused(404, "GET", f"/endpoints/{endpoint}")
    branch = api.sandbox.branch("kept-data").id
    api.write("POST", "/endpoints", {"endpoint": {"branch_id": branch, "type": "read_write"}})
    assert query(api.sandbox.uri("kept-data"), "select n from t") == [(7,)]


@pytest.mark.parametrize("major", [15, 16, 18])
def test_every_major_behaves_alike(make_sandbox: MakeSandbox, major: int) -> None:
    sandbox = make_sandbox(major=major)
    api, uri = Http(sandbox), sandbox.uri("main")
    assert query(uri, "show server_version_num")[0][0].startswith(str(major))
    assert api.get("")["project"]["pg_version"] == major
    query(uri, "create table t as select generate_series(1, 1000) as n")
    lsn = query(uri, "select pg_current_wal_flush_lsn()")[0][0]
    for name in ("first", "second"):  # each copy writes checkpoints of its own into the parent's log
        api.branch(name, compute=True, parent_lsn=lsn)
        assert query(sandbox.uri(name), "select count(*) from t") == [(1000,)]
    query(uri, "delete from t where n = 1")
    refused = api.refused(400, "POST", "/branches", {"branch": {"parent_lsn": lsn}})
    assert "Heap DELETE" in refused["message"]
