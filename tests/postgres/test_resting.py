"""Rows that rest on an earlier proof: whatever anybody has done to them on the mirror since is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from supaneon_sync.policy.baseline import Horizon
from supaneon_sync.policy.facts import Column, Relation
from supaneon_sync.postgres import resting
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed, Tally, fingerprint
from supaneon_sync.postgres.resting import Here, Rest
from supaneon_sync.sandbox.server import Server
from tests.postgres.test_copying import opened

MakeServer = Callable[..., Server]
SEED = Seed(5, 6)
TABLE = Relation(0, "public", "t", "r", "p", 0, (Column(1, "id", "integer"), Column(2, "v", "text")))
NOW = datetime(2026, 11, 27, tzinfo=UTC)


@dataclass
class Mirror:
    """A server whose table was proved, and what is remembered of that."""

    server: Server
    method: Method = Method.BINARY

    def prove(self) -> None:
        """Hash every row, and remember it."""
        with opened(self.server, Side.NEON) as session:
            self.here = resting.here(session)
            self.proved = fingerprint(session, TABLE, SEED, self.method)

    @property
    def rest(self) -> Rest:
        """What the mirror is to hold still."""
        place = self.here.places["public", "t"]
        return Rest(Tally.of(self.proved), self.method, place, self.here.horizon, NOW)

    def suffer(self, statements: str) -> None:
        """Let something be done to the table, a statement after the other."""
        for statement in statements.split("; "):
            self.server.execute(statement)

    def found(self) -> Fingerprint | None:
        """What its row versions say now; None where they say that rows are gone, or cannot be asked."""
        with opened(self.server, Side.NEON) as session:
            if not resting.here(session).bears(TABLE, self.rest):
                return None
            return resting.fingerprints(session, {TABLE: self.rest}, SEED).get(TABLE)

    def whole(self) -> Fingerprint:
        """What it really holds."""
        with opened(self.server, Side.NEON) as session:
            return fingerprint(session, TABLE, SEED, self.method)


@pytest.fixture(scope="module", params=[15, 17, 18])
def server(request: pytest.FixtureRequest, make_session_server: MakeServer) -> Iterator[Server]:
    made = make_session_server(request.param)
    yield made
    made.stop("immediate")


@pytest.fixture(params=[Method.BINARY, Method.SERVER])
def mirror(server: Server, request: pytest.FixtureRequest) -> Mirror:
    server.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    server.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    server.execute("INSERT INTO t SELECT g, 'value ' || g FROM generate_series(1, 1000) g")
    made = Mirror(server, request.param)
    made.prove()
    return made


def test_rows_that_nobody_touched_are_known_without_being_read(mirror: Mirror) -> None:
    assert mirror.found() == mirror.proved == mirror.whole()


DONE = {
    "a changed value": "UPDATE t SET v = 'x' WHERE id = 500",
    "a row that came": "INSERT INTO t VALUES (0, 'new')",
    "a row that went": "DELETE FROM t WHERE id = 500",
    "one that went and one that came": "DELETE FROM t WHERE id = 500; INSERT INTO t VALUES (0, 'new')",
    "values that were swapped": "UPDATE t SET v = 'value ' || (1001 - id) WHERE id IN (1, 1000)",
    "all of them": "UPDATE t SET v = v || '!'",
    "none left": "DELETE FROM t",
    "truncated": "TRUNCATE t",
    "filled anew": "TRUNCATE t; INSERT INTO t SELECT g, 'other' FROM generate_series(1, 1000) g",
    "the type of a column": "ALTER TABLE t ALTER v TYPE varchar(20)",
    "a column made anew": "ALTER TABLE t DROP v, ADD v text DEFAULT 'value 1'",
    "another table": "ALTER TABLE t RENAME TO was; CREATE TABLE t AS SELECT * FROM was",
    "written in a file of its own": "VACUUM FULL t",
}


@pytest.mark.parametrize("what", DONE)
def test_whatever_was_done_by_sql_is_seen(mirror: Mirror, what: str) -> None:
    mirror.suffer(DONE[what])
    assert mirror.found() in (None, mirror.whole())
    assert mirror.found() != mirror.proved


ALIKE = {
    "put back": "UPDATE t SET v = 'x' WHERE id = 500; UPDATE t SET v = 'value 500' WHERE id = 500",
    "replaced by its like": "DELETE FROM t WHERE id = 500; INSERT INTO t VALUES (500, 'value 500')",
}


@pytest.mark.parametrize("what", ALIKE)
def test_a_row_that_was_written_again_rests_no_longer(mirror: Mirror, what: str) -> None:
    mirror.suffer(ALIKE[what])
    assert mirror.found() is None
    assert mirror.whole() == mirror.proved


@pytest.mark.parametrize("how", ["VACUUM t", "VACUUM (FREEZE) t", "ANALYZE t", "SELECT FROM t FOR UPDATE"])
def test_what_changes_no_row_is_no_reason_to_hash_them(mirror: Mirror, how: str) -> None:
    mirror.server.execute(how)
    assert mirror.found() == mirror.proved


def test_a_restart_is_no_reason_to_hash_them_and_hides_nothing(mirror: Mirror) -> None:
    mirror.server.stop("immediate")
    mirror.server.start()
    assert mirror.found() == mirror.proved
    mirror.server.execute("UPDATE t SET v = 'x' WHERE id = 500")
    mirror.server.stop("immediate")
    mirror.server.start()
    assert mirror.found() != mirror.proved


def test_what_was_in_hand_at_the_proof_is_taken_for_new(mirror: Mirror) -> None:
    """A transaction that was open then may have written rows that the proof has not seen."""
    with mirror.server.session() as session, session.cursor() as cursor:
        cursor.execute("BEGIN; UPDATE t SET v = 'in hand' WHERE id = 500")
        mirror.prove()
        cursor.execute("COMMIT")
    assert mirror.found() in (None, mirror.whole())
    assert mirror.found() != mirror.proved


def test_numbers_of_another_database_or_too_long_ago_bear_nothing_out(mirror: Mirror) -> None:
    here, rest = mirror.here, mirror.rest
    assert here.bears(TABLE, rest)
    assert not here.bears(TABLE, replace(rest, horizon=Horizon("another", rest.horizon.oldest)))
    assert not Here(here.horizon, rest.horizon.oldest + 2**30, here.places).bears(TABLE, rest)
    assert not here.bears(replace(TABLE, name="u"), rest)


def test_what_a_disk_does_to_a_row_is_found_when_it_is_hashed_and_not_before(mirror: Mirror) -> None:
    """The limit of resting, and the reason for hashing every row again after a while."""
    mirror.server.execute("ALTER SYSTEM SET ignore_checksum_failure = on")
    (place,) = mirror.server.execute("SELECT pg_relation_filepath('t')")
    mirror.server.execute("CHECKPOINT")
    mirror.server.stop()
    file = mirror.server.data / place[0]
    content = file.read_bytes()
    assert content.count(b"value 500") == 1
    file.write_bytes(content.replace(b"value 500", b"value 5O0"))
    mirror.server.start()
    assert mirror.found() == mirror.proved
    assert mirror.whole() != mirror.proved
