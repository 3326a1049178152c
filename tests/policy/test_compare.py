"""Two tables of contents compared: what is missing, too much or another is named, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supaneon_sync.policy import compare
from supaneon_sync.policy.entries import Entry
from supaneon_sync.policy.facts import Check, Grant, Routine
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres.deferring import entry as check_entry
from tests.policy.portability_cases import decided, entry, facts, relation

TABLE = entry(
    1,
    "TABLE",
    "t",
    definition="CREATE TABLE public.t (\n    id integer,\n    CONSTRAINT c CHECK (true)\n);\n",
)
VIEW = entry(2, "VIEW", "v", definition="CREATE VIEW public.v AS SELECT t.id FROM public.t;\n", needs=[1])
FUNCTION = entry(
    3,
    "FUNCTION",
    "f(text)",
    definition="CREATE FUNCTION public.f(text) RETURNS text\n    LANGUAGE sql\n    AS $$ SELECT 1 $$;\n",
)


def found(plan: Plan, copy: list[Entry], *excused: Entry, same_major: bool = True) -> list[str]:
    return list(compare.differences(plan, copy, excused=excused, same_major=same_major))


def test_a_schema_is_equal_to_itself_whatever_the_order_and_the_ids() -> None:
    plan = decided([TABLE, VIEW, FUNCTION])
    assert (
        found(plan, [replace(FUNCTION, dump_id=7), replace(VIEW, dump_id=8), replace(TABLE, dump_id=9)]) == []
    )


@pytest.mark.parametrize("same_major", [True, False])
def test_what_is_missing_too_much_or_another_is_named(same_major: bool) -> None:
    plan = decided([TABLE, VIEW])
    other = replace(TABLE, definition=TABLE.definition.replace("integer", "bigint"))
    stray = entry(5, "INDEX", "stray")
    assert found(plan, [other, stray], same_major=same_major) == [
        "index public.stray is on the copy but not on the primary",
        "table public.t is defined differently on the copy",
        "view public.v is missing on the copy",
    ]


def test_across_majors_a_query_may_be_worded_otherwise_and_a_table_may_not() -> None:
    plan = decided([TABLE, VIEW])
    worded = replace(VIEW, definition="CREATE VIEW public.v AS SELECT id FROM public.t;\n")
    assert found(plan, [TABLE, worded], same_major=False) == []
    assert found(plan, [TABLE, worded]) == ["view public.v is defined differently on the copy"]


STRING = """CREATE FUNCTION "public"."f"("a" integer DEFAULT {default}) RETURNS integer
    LANGUAGE "sql" {volatile}
    AS $$SELECT {what}$$;
"""
QUERY = """CREATE FUNCTION "public"."f"() RETURNS integer
    LANGUAGE "sql" {volatile}
    BEGIN ATOMIC
 SELECT {what}
    AS "x";
END;
"""


@pytest.mark.parametrize(
    ("text", "change", "told"),
    [
        (STRING, {"what": "2"}, True),
        (STRING, {"volatile": "STABLE"}, True),
        (STRING, {"default": "(1)"}, False),
        (QUERY, {"what": "(1)"}, False),
    ],
)
def test_across_majors_a_functions_body_is_compared_unless_it_is_a_query(
    text: str, change: dict[str, str], told: bool
) -> None:
    words = {"what": "1", "volatile": "IMMUTABLE", "default": "1"}
    made = entry(3, "FUNCTION", "f()", definition=text.format(**words))
    copied = replace(made, definition=text.format(**words | change))
    assert bool(found(decided([made]), [copied], same_major=False)) is told
    assert found(decided([made]), [copied]) != []


def test_names_of_not_null_that_newer_servers_make_up_are_no_difference_across_majors() -> None:
    planned = replace(TABLE, definition='CREATE TABLE public.t (\n    "a ""b"" c" integer NOT NULL\n);\n')
    named = (
        'CREATE TABLE public.t (\n    "a ""b"" c" integer CONSTRAINT "t_a ""b"" c_not_null" NOT NULL\n);\n'
    )
    plan = decided([planned])
    assert found(plan, [replace(planned, definition=named)], same_major=False) == []
    assert found(plan, [replace(planned, definition=named)]) != []


def test_json_is_quoted_by_older_servers_alone_which_is_no_difference_across_majors() -> None:
    planned = replace(TABLE, definition='CREATE TABLE "public"."t" (\n    "a" "json",\n    "b" "jsonb"\n);\n')
    copied = replace(planned, definition=planned.definition.replace('"json"', "json"))
    plan = decided([planned])
    assert found(plan, [copied], same_major=False) == []
    assert found(plan, [copied]) != []
    other = replace(planned, definition=planned.definition.replace('"json"', '"jsonb"'))
    assert found(plan, [other], same_major=False) != []


def test_what_no_copy_gets_is_not_missed() -> None:
    plan = decided([TABLE, entry(5, "PUBLICATION", "p", schema=""), entry(6, "ACL", "TABLE t", needs=[1])])
    assert found(plan, [TABLE]) == []


def test_rows_that_violate_an_index_excuse_it_and_nothing_else() -> None:
    index = entry(4, "INDEX", "i", needs=[1])
    plan = decided([TABLE, index, VIEW])
    assert found(plan, [TABLE, VIEW]) == ["index public.i is missing on the copy"]
    assert found(plan, [TABLE, VIEW], index) == []
    assert found(plan, [TABLE], index) == ["view public.v is missing on the copy"]


def test_a_check_that_rows_do_not_pass_may_stand_by_itself_and_leave_its_table_without_it() -> None:
    check = check_entry(Check((1259, 1), "TABLE public.t", "public", "t", "c", "CHECK (true)"), owner=1)
    plan = decided([TABLE, VIEW])
    without = replace(TABLE, definition="CREATE TABLE public.t (\n    id integer\n);\n")
    copy = [without, VIEW, replace(check, dump_id=9)]
    assert found(plan, copy, check) == []
    assert len(found(plan, copy)) == 2
    assert found(plan, [without, replace(check, dump_id=9)], check) == [
        "view public.v is missing on the copy"
    ]


def test_a_function_may_gain_a_search_path_only_where_the_plan_gives_it_one() -> None:
    gained = FUNCTION.definition.replace(
        "\n    AS", "\n    SET \"search_path\" TO 'public', 'extensions'\n    AS"
    )
    routine = Routine((FUNCTION.catalog, FUNCTION.oid), "ROUTINE public.f(text)", "public.f", lasting=True)
    given = decided([FUNCTION], facts(routines=(routine,)))
    assert found(given, [replace(FUNCTION, definition=gained)]) == []
    assert found(decided([FUNCTION]), [replace(FUNCTION, definition=gained)]) != []
    passing = decided([FUNCTION], facts(routines=(replace(routine, lasting=False),)))
    assert found(passing, [replace(FUNCTION, definition=gained)]) != []
    assert found(given, [replace(FUNCTION, definition=gained.replace("1", "2"))]) != []


def test_each_privilege_too_little_or_too_much_is_named() -> None:
    def grant(who: str, *privileges: str, grantable: bool = False) -> Grant:
        return Grant((1259, 1), "TABLE public.t", who, privileges, grantable)

    plan = decided(
        [TABLE], facts(relation(1, "t"), grants=(grant("anon", "SELECT", "UPDATE"), grant("", "SELECT")))
    )
    same = [grant("anon", "UPDATE", "SELECT"), grant("", "SELECT"), grant("neon_superuser", "ALL")]
    assert compare.grant_differences(plan, same) == ()
    assert compare.grant_differences(
        plan, [grant("anon", "SELECT", grantable=True), grant("", "SELECT", "INSERT")]
    ) == (
        "INSERT on TABLE public.t for PUBLIC is held on the copy but not on the primary",
        "SELECT on TABLE public.t for anon is missing on the copy",
        "SELECT on TABLE public.t for anon with grant option is held on the copy but not on the primary",
        "UPDATE on TABLE public.t for anon is missing on the copy",
    )


def test_an_apostrophe_in_a_name_hides_no_json() -> None:
    words = 'CREATE TABLE "public"."t" (\n    "one\'s" "text",\n    "payload" {},\n    "two\'s" "text"\n);\n'
    planned = replace(TABLE, definition=words.format('"json"'))
    copied = replace(planned, definition=words.format("json"))
    assert found(decided([planned]), [copied], same_major=False) == []
