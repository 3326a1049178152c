"""Connection strings: what is accepted, what is refused, and that no refusal quotes one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.errors import ConfigError
from supaneon_sync.postgres import conninfo
from supaneon_sync.secret import Secret

GOOD = "postgresql://postgres.ref:pa%40ss@aws-0-eu-central-1.pooler.supabase.com:5432/postgres"


def primary(text: str, *, ca_file: Path | None = None, loopback: bool = False) -> conninfo.Conninfo:
    return conninfo.primary(Secret(text), ca_file=ca_file, insecure_loopback=loopback)


def refusal(text: str, **more: bool) -> str:
    with pytest.raises(ConfigError) as failure:
        primary(text, **more)  # type: ignore[arg-type]
    return str(failure.value)


def test_tls_is_required_where_the_string_says_nothing() -> None:
    assert primary(GOOD).options["sslmode"] == "require"


def test_the_password_is_decoded_and_never_shown() -> None:
    found = primary(GOOD)
    assert found.password == Secret("pa@ss")
    assert "pa@ss" not in repr(found)
    assert "pa@ss" not in found.without_password()
    assert "pa%40ss" not in found.without_password()


def test_a_certificate_file_means_full_verification(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("x")
    assert primary(GOOD, ca_file=file).options["sslmode"] == "verify-full"


def test_a_certificate_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SUPABASE_CA_FILE"):
        primary(GOOD, ca_file=tmp_path / "none.crt")


def test_the_transaction_pooler_is_refused_on_any_host() -> None:
    assert "session pooler" in refusal(GOOD.replace("5432", "6543"))
    assert "session pooler" in refusal("postgresql://postgres:pw@db.ref.supabase.co:6543/postgres")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_weak_tls_passes_only_on_this_machine_and_when_asked(mode: str) -> None:
    local = f"postgresql://postgres:pw@127.0.0.1:5432/postgres?sslmode={mode}"
    assert primary(local, loopback=True).options["sslmode"] == mode
    assert f"sslmode={mode}" in refusal(local)
    assert f"sslmode={mode}" in refusal(f"{GOOD}?sslmode={mode}", loopback=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user=u password=CANARY host = ", "names no host"),
        ("mysql://u:CANARY@h/db", "postgresql://"),
        ("postgresql://u:CANARY@h:54x2/db", "1 to 65535"),
        ("postgresql://u:CANARY@h/db?pgbouncer=true", "pgbouncer"),
        ("postgresql://u:CAN/ARY@h/db", "percent-encoded"),
        ("postgresql://h:5432/db", "names no user"),
        ("postgresql://user@h:5432/db", "names no password"),
        ("postgresql:///db?user=u&password=CANARY", "names no host"),
        ("postgresql://u:CANARY@one,two/db", "several hosts"),
        ("postgresql://u:CANARY@h:70000/db", "1 to 65535"),
        ("u:CANARY @h db", "white space"),
        ("postgresql://u:hunter2@CANARY@h:5432/db", "percent-encoded"),
        ("postgresql://u:hunter2@CANARY#x@h:5432/db", "percent-encoded"),
    ],
)
def test_what_is_wrong_is_told_without_quoting_the_string(text: str, told: str) -> None:
    said = refusal(text)
    assert told in said
    assert "SUPABASE_DATABASE_URL" in said
    assert "CANARY" not in said


@given(st.text(min_size=1, max_size=60))
def test_no_refusal_ever_quotes_a_password(junk: str) -> None:
    text = f"postgresql://user:canaryhunter2{junk}@host:5432/db"
    said = ""
    try:
        primary(text)
    except ConfigError as error:
        said = str(error)
    assert "canaryhunter2" not in said


@given(
    password=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30),
    user=st.from_regex(r"[a-z_][a-z0-9_.]{0,20}", fullmatch=True),
    database=st.from_regex(r"[A-Za-z0-9_ -]{1,20}", fullmatch=True),
)
def test_a_uri_that_is_written_reads_back_the_same(password: str, user: str, database: str) -> None:
    text = (
        f"postgresql://{user}:{quote(password, safe='')}@host:5432/{quote(database, safe='')}?sslmode=require"
    )
    found = conninfo.parse(Secret(text), "X")
    again = conninfo.parse(found.uri(), "X")
    assert (again.password, again.user, again.dbname) == (Secret(password), user, database)


def test_a_child_gets_the_password_in_its_environment_alone() -> None:
    variables = primary(GOOD).environment()
    assert variables["PGPASSWORD"] == "pa@ss"
    assert variables["PGSSLMODE"] == "require"
    assert [name for name, value in variables.items() if "pa@ss" in value] == ["PGPASSWORD"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("/tmp", True),
        ("10.0.0.1", False),
        ("db.x", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert conninfo.is_loopback(host) is expected


def test_neon_is_always_verified_in_full(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("x")
    found = conninfo.neon(Secret("postgresql://o:pw@ep-a.neon.tech/neondb?sslmode=require"), ca_file=file)
    assert found.options["sslmode"] == "verify-full"
    assert found.options["sslrootcert"] == str(file)
