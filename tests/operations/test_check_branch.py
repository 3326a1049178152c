"""Anybody can check a branch with psql and the documented script, and it is seen to fail."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supaneon_sync.sandbox.binaries import find_or_fetch
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.test_backup import on_primary
from tests.tool import perform

SCRIPT = Path(__file__).parents[2] / "docs" / "check-branch.sql"
ODD = """
CREATE TABLE public."Odd ""%s"" name" ("a, %" int, b text);
INSERT INTO public."Odd ""%s"" name" VALUES (1, 'x'), (NULL, NULL);
CREATE TABLE public.nothing ();
CREATE TYPE public.mood AS ENUM ('sad');
CREATE TABLE public.moody (m public.mood, g int GENERATED ALWAYS AS (1) STORED, t text COLLATE "C");
INSERT INTO public.moody VALUES ('sad');
"""


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    with Sandbox(primary="sample", rows_scale=0.05) as sandbox:
        on_primary(sandbox, ODD)
        perform(sandbox, "backup")
        yield sandbox


def check(sandbox: Sandbox, branch: str) -> tuple[int, dict[str, str], str]:
    """Run the script as it says itself; return the exit code, each name's result, and all that it said."""
    psql = shutil.which("psql") or str(find_or_fetch(17).bin_directory / "psql")
    done = subprocess.run(
        [psql, "-X", "-A", sandbox.uri(branch, database="supaneon"), "-f", str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split("|") for line in done.stdout.splitlines()]
    return done.returncode, {line[0]: line[3] for line in lines if len(line) == 4}, done.stdout + done.stderr


def test_a_good_branch_is_equal_table_by_table(world: Sandbox) -> None:
    (backup,) = (name for name in world.names() if name.startswith("backup-"))
    code, results, said = check(world, backup)
    assert code == 0, said
    assert len(results) > 40
    assert results["auth.users"] == "equal"
    assert "0 different, 0 by number alone" in said
    digest = world.branch(backup).annotation["supaneon-manifest"]
    assert f"{digest}|t|" in said


DAMAGE = {
    "auth.users": "UPDATE auth.users SET email = email || '!' WHERE ctid = '(0,1)'",
    "public.labels": "DELETE FROM public.labels WHERE ctid = '(0,1)'",
    "public.moody": "UPDATE public.moody SET t = 'x'",
    '''public."Odd ""%s"" name"''': """UPDATE public."Odd ""%s"" name" SET "a, %" = 2""",
    "billing.invoice_number": "SELECT setval('billing.invoice_number', 1)",
    "public.nothing": "DROP TABLE public.nothing",
}


def test_whatever_differs_is_told_by_name(world: Sandbox) -> None:
    (backup,) = (name for name in world.names() if name.startswith("backup-"))
    world.execute(backup, "SET session_replication_role = replica; " + "; ".join(DAMAGE.values()))
    code, results, said = check(world, backup)
    assert code == 3
    wrong = {name.strip(): text for name, text in results.items() if text in ("DIFFERS", "MISSING")}
    assert wrong.keys() == DAMAGE.keys()
    assert wrong["public.nothing"] == "MISSING"
    assert "this branch does not hold what its manifest says" in said
    world.execute(backup, "UPDATE supaneon.manifest SET body = body || ' '", "supaneon")
    assert "|f|" in check(world, backup)[2]
