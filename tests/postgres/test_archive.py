"""The table of contents of an archive, read from its bytes and held against pg_restore's own reading."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supaneon_sync.errors import SupaneonError
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.postgres import archive
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.sandbox.server import Binaries, Server
from tests.conftest import MakeServer
from tests.postgres.archive_writer import VERSIONS, Writer

IMITATION = """
--
-- TOC entry 9; 1259 99 TABLE public imitated postgres
-- Name: imitated; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.imitated (id integer);
"""
UNLISTED = ("ENCODING", "STDSTRINGS", "SEARCHPATH")
NAMES = (
    'quo"ted',
    "with 'apostrophes'",
    "two\nlines",
    "tab\tand\rreturn",
    "Größe 表 🐘",
    " ; -- 1; 2 3 TABLE public x y",
    "$body$",
    "x" * 63,
)


@pytest.fixture(scope="module")
def hostile(primary_template: MakeServer, make_session_server: MakeServer) -> Server:
    """The sample primary on the oldest major, which every client can dump, with names nobody should use."""
    server = make_session_server(15, copy_of=primary_template(15, True))
    with server.session(role="postgres") as session, session.cursor() as cursor:
        for number, name in enumerate(NAMES):
            quoted = '"' + name.replace('"', '""') + '"'
            cursor.execute(f"CREATE SCHEMA {quoted}")
            cursor.execute(f"CREATE TABLE {quoted}.{quoted} ({quoted} integer PRIMARY KEY)")
            cursor.execute(f"COMMENT ON TABLE {quoted}.{quoted} IS %s", (IMITATION,))
            cursor.execute(
                f"CREATE FUNCTION {quoted}.f{number}() RETURNS text LANGUAGE sql AS %s",
                (f"SELECT $q${IMITATION}$q$; -- PGDMP\x01\x10",),
            )
    return server


@pytest.fixture(scope="module")
def dumped(
    hostile: Server, binaries: Callable[[int], Binaries], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Path]:
    """A function: the archive that the client of a major makes of the hostile primary, made once."""
    known: dict[int, Path] = {}

    def of(major: int) -> Path:
        if major not in known:
            known[major] = tmp_path_factory.mktemp("archive") / f"{major}.dump"
            login = f"host={hostile.sockets} port={hostile.port} dbname=postgres user=supabase_admin"
            _run(binaries(major), "pg_dump", "-Fc", "--schema-only", f"--file={known[major]}", f"-d{login}")
        return known[major]

    return of


def _run(programs: Binaries, tool: str, *arguments: str) -> str:
    command = (str(programs.tool(tool)), *arguments)
    done = subprocess.run(
        command, env=programs.environment(), capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _listed(entry: Entry) -> str:
    words = (entry.kind, entry.schema or "-", entry.tag, entry.owner)
    line = f"{entry.dump_id}; {entry.catalog} {entry.oid} {' '.join(words)}"
    return line.replace("\n", " ").replace("\r", " ")


@pytest.mark.parametrize("major", [15, 16, 17, 18])
def test_the_archive_is_read_as_pg_restore_reads_it(
    major: int, dumped: Callable[[int], Path], binaries: Callable[[int], Binaries]
) -> None:
    found = archive.read(dumped(major))
    lines = _run(binaries(major), "pg_restore", "--list", "--create", str(dumped(major))).splitlines()
    listed = [line for line in lines if line and not line.startswith(";")]
    assert [_listed(entry) for entry in found.entries if entry.kind not in UNLISTED] == listed
    assert len(listed) > 500
    assert found.server_version.startswith("15.")
    assert found.client_version.startswith(f"{major}.")


@pytest.mark.parametrize("major", [15, 18])
def test_every_hostile_name_and_body_arrives_letter_by_letter(
    major: int, dumped: Callable[[int], Path]
) -> None:
    entries = archive.read(dumped(major)).entries
    tables = {(entry.schema, entry.tag) for entry in entries if entry.kind == "TABLE"}
    assert {(name, name) for name in NAMES} <= tables
    assert "imitated" not in {entry.tag for entry in entries}
    bodies = [entry.definition for entry in entries if entry.kind == "FUNCTION" and entry.schema in NAMES]
    assert len(bodies) == len(NAMES)
    assert all(IMITATION in body for body in bodies)


def test_an_entry_names_its_object_in_the_catalogs_and_what_it_needs(
    hostile: Server, dumped: Callable[[int], Path]
) -> None:
    entries = archive.read(dumped(17)).entries
    by_id = {entry.dump_id: entry for entry in entries}
    (key,) = (entry for entry in entries if entry.tag == "comments comments_task_id_fkey")
    ((oid,),) = hostile.execute("SELECT oid FROM pg_constraint WHERE conname = 'comments_task_id_fkey'")
    assert (key.catalog, key.oid, key.section) == (2606, oid, Section.POST_DATA)
    assert {by_id[need].tag for need in key.needs} >= {"comments", "tasks", "tasks tasks_pkey"}


def test_a_truncated_archive_is_refused(dumped: Callable[[int], Path]) -> None:
    content = dumped(17).read_bytes()
    whole = len(archive.parse(content).entries)
    for cut in (0, 4, 5, 11, 60, 300, len(content) // 2, len(content) * 9 // 10):
        with pytest.raises(SupaneonError, match="cannot be read"):
            archive.parse(content[:cut])
    assert whole > 500


@pytest.mark.parametrize(
    ("place", "byte", "why"),
    [
        (5, 2, "archive version 2.16"),
        (6, 13, "archive version 1.13"),
        (6, 17, "archive version 1.17"),
        (8, 200, "200 bytes"),
        (10, 3, "custom format"),
    ],
)
def test_an_archive_of_another_make_is_refused_by_name(place: int, byte: int, why: str) -> None:
    content = bytearray(Writer((1, 16)).archive([]))
    content[place] = byte
    with pytest.raises(SupaneonError, match=why):
        archive.parse(bytes(content))


def test_a_negative_number_of_entries_is_no_empty_archive() -> None:
    content = bytearray(Writer((1, 16)).archive([]))
    content[-5:] = b"\1\1\0\0\0"
    with pytest.raises(SupaneonError, match="-1 entries"):
        archive.parse(bytes(content))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
entries = st.builds(
    Entry,
    dump_id=st.integers(1, 2**31 - 1),
    catalog=st.integers(0, 2**32 - 1),
    oid=st.integers(0, 2**32 - 1),
    kind=texts,
    schema=texts,
    tag=texts,
    section=st.sampled_from(Section),
    definition=texts,
    owner=texts,
    access_method=texts,
    copy_statement=texts,
    needs=st.frozensets(st.integers(1, 2**31 - 1), max_size=4),
    drop=texts,
)


@given(st.lists(entries, max_size=5), st.sampled_from(VERSIONS), st.sampled_from((4, 8)))
def test_whatever_is_written_is_read_back(written: list[Entry], version: tuple[int, int], size: int) -> None:
    read = archive.parse(Writer(version, size).archive(written))
    assert read == Archive(tuple(written), "17.1", "18.2")


@given(st.lists(entries, min_size=1, max_size=2), st.data())
def test_no_beginning_of_an_archive_passes_for_one(written: list[Entry], data: st.DataObject) -> None:
    content = Writer((1, 16)).archive(written)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(SupaneonError):
        archive.parse(content[:cut])


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_bytes_that_mean_nothing_are_refused_and_nothing_worse_happens(noise: bytes) -> None:
    head = Writer((1, 15)).archive([])[:11]
    for content in (noise, head + noise):
        with suppress(SupaneonError):
            archive.parse(content)


def test_the_digest_tells_definitions_apart_and_forgets_order_and_ids() -> None:
    one = Entry(1, 0, 0, "TABLE", "a", "b", Section.PRE_DATA, "CREATE 1")
    two = Entry(2, 0, 0, "TABLE", "a", "c", Section.PRE_DATA, "CREATE 2")
    moved = Entry(7, 9, 9, "TABLE", "a", "b", Section.PRE_DATA, "CREATE 1")
    assert archive.digest([one, two]) == archive.digest([two, moved])
    assert archive.digest([one]) != archive.digest([two])
