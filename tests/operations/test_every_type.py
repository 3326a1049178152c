"""A table of every built-in type is carried over row for row, as COPY of both sides tells, line by line."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection

from supaneon_sync.policy import names
from supaneon_sync.sandbox.testing import Sandbox
from tests.fixtures import every_type
from tests.tool import perform


def lines(session: connection, table: str) -> list[str]:
    """A table's rows in text, every setting at its default but for how many digits of a float are shown."""
    text = StringIO()
    with session.cursor() as cursor:
        cursor.execute("SET extra_float_digits = 3")
        copy = sql.SQL("COPY (SELECT * FROM {} ORDER BY id) TO STDOUT")
        cursor.copy_expert(copy.format(sql.Identifier(every_type.SCHEMA, table)), text)
    return text.getvalue().splitlines()


def differing(sandbox: Sandbox, branch: str, tables: tuple[str, ...]) -> list[str]:
    """The lines of either side that the other does not have in the same place."""
    assert sandbox.primary_server is not None
    with sandbox.primary_server.session() as here, psycopg2.connect(sandbox.uri(branch)) as there:
        return [
            f"{table}: {one} | {other}"
            for table in tables
            for one, other in zip(lines(here, table), lines(there, table), strict=True)
            if one != other
        ]


@pytest.mark.parametrize(("source", "target"), [(15, 17), (15, 18), (17, 17), (18, 18)])
def test_every_built_in_type_arrives_line_by_line(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    sandbox = make_sandbox(primary="empty", primary_major=source, major=target)
    assert sandbox.primary_server is not None
    tables = every_type.install(sandbox.primary_server)
    assert len(tables) > 80
    outcome = perform(sandbox, "backup")
    assert outcome.verdict == "ok"
    assert any("every.numrange is complete but has no statistics" in note for note in outcome.notes)
    assert differing(sandbox, outcome.outputs["branch-name"], tables) == []
    sandbox.execute(names.MIRROR, "UPDATE every.float8 SET one = 0 WHERE one = 0")
    (told,) = differing(sandbox, names.MIRROR, tables)
    assert told == "float8: 5\t-0\t\\N | 5\t0\t\\N"
