"""The diff of a failover equals what an independent comparison of the two branches says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from supaneon_sync.errors import Refused
from supaneon_sync.postgres import divergence, lines
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.failing_over import ask, backup_of, call, rows_of, uri
from tests.tool import perform

TABLES = """
CREATE TABLE public.two_part_key (a int, b text, c text, PRIMARY KEY (a, b));
CREATE TABLE public.keyless (a int, b text);
CREATE TABLE public."Odd ""name" (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n numeric, j jsonb, t timestamptz DEFAULT now());
CREATE TABLE public.untouched (id int PRIMARY KEY);
CREATE FUNCTION public.low(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE TABLE public.lines (a text, b int, c text, PRIMARY KEY (c, a));
CREATE INDEX ON public.lines (public.low(c));
CREATE TABLE public.keyless_lines (a int, b text);
CREATE INDEX ON public.keyless_lines (public.low(b));
INSERT INTO public.lines SELECT E'a\\t\\\\' || i % 30, i, E'ü\\n' || i / 30 FROM generate_series(1, 500) i;
INSERT INTO public.keyless_lines SELECT i % 50, 'x' || i % 20 FROM generate_series(1, 600) i;
CREATE TABLE public.by_month (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE public.january PARTITION OF public.by_month FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE public.others PARTITION OF public.by_month DEFAULT;
INSERT INTO public.two_part_key SELECT i / 10, chr(97 + i % 10), 'c' || i FROM generate_series(1, 400) i;
INSERT INTO public.keyless SELECT i % 50, 'x' || i % 20 FROM generate_series(1, 600) i;
INSERT INTO public."Odd ""name" (n, j)
  SELECT i / 7.0, jsonb_build_object('i', i) FROM generate_series(1, 300) i;
INSERT INTO public.untouched SELECT generate_series(1, 1000);
INSERT INTO public.by_month SELECT i, '2026-01-15'::date + i FROM generate_series(1, 60) i;
"""
KEYED = {
    "public.two_part_key": (0, 1),
    'public."Odd ""name"': (0,),
    "public.january": (0, 1),
    "public.others": (0, 1),
    "public.lines": (0, 2),
}
"""Which columns of COPY are a table's key."""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Sandbox, Outcome]]:
    """A standby whose failover is in force."""
    with Sandbox(primary="empty") as sandbox:
        assert sandbox.primary_server is not None
        sandbox.primary_server.execute(TABLES, "postgres")
        perform(sandbox, "backup")
        yield sandbox, call(sandbox)


def counts(before: list[str], after: list[str], key: tuple[int, ...]) -> tuple[int, int, int]:
    """Return added, changed, removed by comparing lines of COPY."""
    if not key:
        old, new = Counter(before), Counter(after)
        return (new - old).total(), 0, (old - new).total()
    olds, news = (
        {tuple(line.split("\t")[place] for place in key): line for line in lines} for lines in (before, after)
    )
    both = olds.keys() & news.keys()
    return len(news) - len(both), sum(olds[one] != news[one] for one in both), len(olds) - len(both)


def independent(sandbox: Sandbox, branch: str) -> dict[str, tuple[int, int, int]]:
    before, after = rows_of(sandbox, backup_of(sandbox)), rows_of(sandbox, branch)
    found = {
        table: counts(before.get(table, []), after.get(table, []), KEYED.get(table, ()))
        for table in before.keys() | after.keys()
    }
    return {table: numbers for table, numbers in found.items() if any(numbers)}


def told(outcome: Outcome) -> dict[str, tuple[int, int, int]]:
    tables: Any = outcome.report["tables"]
    named = {'public.Odd "name': 'public."Odd ""name"'}
    found = {
        named.get(one["table"], one["table"]): (one["added"], one["changed"], one["removed"])
        for one in tables
    }
    return {table: numbers for table, numbers in found.items() if any(numbers)}


def write_at_random(sandbox: Sandbox, address: str, chance: random.Random) -> None:
    pick = f"random() < {chance.choice([0.01, 0.1, 0.3])}"  # never all: the next test wants rows too
    statements = [
        f"UPDATE public.two_part_key SET c = c || '!' WHERE {pick}",
        f"DELETE FROM public.two_part_key WHERE {pick}",
        f"INSERT INTO public.two_part_key SELECT {chance.randrange(1000, 10**6)}, 'ü€', 'new'",
        f"UPDATE public.keyless SET b = b || '?' WHERE {pick}",
        f"DELETE FROM public.keyless WHERE {pick}",
        f"INSERT INTO public.keyless SELECT 7, 'x7' FROM generate_series(1, {chance.randrange(9)})",
        f"""UPDATE public."Odd ""name" SET n = n + 0.1, j = j || '{{"a": null}}' WHERE {pick}""",
        f"""DELETE FROM public."Odd ""name" WHERE {pick}""",
        f"""INSERT INTO public."Odd ""name" (n) SELECT 1 FROM generate_series(1, {chance.randrange(5)})""",
        f"UPDATE public.by_month SET at = at + {chance.randrange(40)} WHERE {pick}",
        "UPDATE public.untouched SET id = id",
        f"UPDATE public.lines SET b = b + 1 WHERE {pick}",
        f"DELETE FROM public.lines WHERE {pick}",
        f"INSERT INTO public.lines VALUES ('{chance.random()}', NULL, '')",
        f"UPDATE public.keyless_lines SET b = NULL WHERE {pick}",
        f"DELETE FROM public.keyless_lines WHERE {pick}",
        f"INSERT INTO public.keyless_lines SELECT 7, 'x7' FROM generate_series(1, {chance.randrange(9)})",
    ]
    for statement in chance.sample(statements, chance.randrange(3, len(statements))):
        ask(sandbox, address, statement)


@pytest.mark.parametrize("seed", range(4))
def test_the_diff_equals_an_independent_comparison_after_random_writes(
    served: tuple[Sandbox, Outcome], seed: int
) -> None:
    sandbox, outcome = served
    write_at_random(sandbox, uri(outcome), random.Random(seed))
    found = perform(sandbox, "failover", diff=True)
    wanted = independent(sandbox, outcome.outputs["branch-name"])
    assert wanted
    assert told(found) == wanted
    for place, name in enumerate(("rows-added", "rows-changed", "rows-removed")):
        assert found.outputs[name] == str(sum(numbers[place] for numbers in wanted.values()))


def test_rows_come_in_batches_and_parts_and_are_counted_the_same(
    served: tuple[Sandbox, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, outcome = served
    for statement in (
        "UPDATE public.two_part_key SET c = c || '.' WHERE a % 2 = 0",
        "UPDATE public.lines SET b = -1 WHERE b % 2 = 0",
    ):
        ask(sandbox, uri(outcome), statement)
    wanted = independent(sandbox, outcome.outputs["branch-name"])
    for parts, batch in ((1, 3), (4, 7), (1024, 1)):
        monkeypatch.setattr(divergence, "PARTS", parts)
        monkeypatch.setattr(divergence, "_BATCH", batch)
        monkeypatch.setattr(lines, "PARTS", parts)
        assert told(perform(sandbox, "failover", diff=True)) == wanted


def test_too_many_lines_to_keep_are_told_as_such(
    served: tuple[Sandbox, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, outcome = served
    ask(sandbox, uri(outcome), "UPDATE public.lines SET b = -2")
    monkeypatch.setattr(lines, "MOST_LINES", 20)
    found = perform(sandbox, "failover", diff=True)
    tables: Any = found.report["tables"]
    (one,) = (one for one in tables if one["table"] == "public.lines")
    assert one["compared_by"] == "whole"
    assert one["note"].startswith("500 rows before, ")
    assert any("too many of them differ" in note for note in found.notes)


def test_new_tables_columns_and_sequences_are_told(served: tuple[Sandbox, Outcome]) -> None:
    sandbox, outcome = served
    ask(
        sandbox,
        uri(outcome),
        "CREATE TABLE public.of_the_night (id int GENERATED ALWAYS AS IDENTITY, a text);"
        "INSERT INTO public.of_the_night (a) VALUES ('1'), ('2');"
        "ALTER TABLE public.untouched ADD COLUMN later text DEFAULT 'x', ADD COLUMN more int;"
        "INSERT INTO public.untouched (id) VALUES (-1)",
    )
    found = perform(sandbox, "failover", diff=True)
    tables: Any = found.report["tables"]
    by_name = {one["table"]: one for one in tables}
    assert by_name["public.of_the_night"] == {
        "table": "public.of_the_night",
        "compared_by": "new table",
        "note": "",
        "added": 2,
        "changed": 0,
        "removed": 0,
    }
    assert by_name["public.untouched"]["note"] == "new columns later, more"
    assert by_name["public.untouched"]["added"] == 1
    assert by_name["public.untouched"]["changed"] == 0
    schema: Any = found.report["schema"]
    assert any("public.of_the_night is there and was not recorded" in text for text in schema)


def test_an_ended_failover_can_still_be_compared(served: tuple[Sandbox, Outcome]) -> None:
    sandbox, _ = served
    before = told(perform(sandbox, "failover", diff=True))
    ended = call(sandbox, end=True).outputs["branch-name"]
    found = perform(sandbox, "failover", diff=True)
    assert found.outputs["branch-name"] == ended
    assert told(found) == before


def test_where_there_never_was_a_failover_there_is_nothing_to_compare(sandbox: Sandbox) -> None:
    with pytest.raises(Refused, match="no failover branch to compare"):
        perform(sandbox, "failover", diff=True)
