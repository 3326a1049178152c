"""How a schema is brought along: what goes, what comes, which tables are loaded anew, and what cannot be."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supaneon_sync.policy import baseline as memory
from supaneon_sync.policy import evolution
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.evolution import CannotEvolve, Evolution, Standing
from supaneon_sync.policy.plan import Decision, Fate, Plan


def entry(number: int, kind: str, tag: str, definition: str = "", **fields: Any) -> Entry:
    section = (
        Section.POST_DATA if kind in ("INDEX", "CONSTRAINT", "FK CONSTRAINT", "POLICY") else Section.PRE_DATA
    )
    values: dict[str, Any] = {
        "dump_id": number,
        "catalog": 1259,
        "oid": number,
        "kind": kind,
        "schema": "public",
        "tag": tag,
        "section": section,
        "definition": definition or f"CREATE {kind} {tag};\n",
        "drop": f"DROP {kind} {tag};\n",
    }
    values |= fields
    return Entry(**values | {"needs": frozenset(values.get("needs", ()))})


def plan(*entries: Entry) -> Plan:
    decisions = tuple(Decision(one, Fate.KEPT, "", made=one) for one in entries)
    nothing: Any = ()
    return Plan(decisions, *(nothing,) * 6, "public", (), (), (), False, ())


TYPE = entry(1, "TYPE", "mood", "CREATE TYPE public.mood AS ENUM (\n    'sad',\n    'glad'\n);\n")
FUNCTION = entry(2, "FUNCTION", "f(integer)", "CREATE FUNCTION public.f(integer) RETURNS int AS 'one';\n")
TABLE = entry(3, "TABLE", "a", "CREATE TABLE public.a (\n    id integer,\n    m public.mood\n);\n", needs=[1])
OTHER = entry(4, "TABLE", "b", "CREATE TABLE public.b (\n    id integer\n);\n")
VIEW = entry(5, "VIEW", "v", needs=[3])
KEY = entry(6, "CONSTRAINT", "a a_pkey", needs=[3])
INDEX = entry(7, "INDEX", "by_f", needs=[3, 2])
FOREIGN = entry(8, "FK CONSTRAINT", "b to_a", needs=[4, 6, 3])
POLICY = entry(9, "POLICY", "a mine", needs=[3])
COMMENT = entry(10, "COMMENT", "TABLE b", "COMMENT ON TABLE public.b IS 'it''s b';\n", needs=[4], drop="")
STOOD = (TYPE, FUNCTION, TABLE, OTHER, VIEW, KEY, INDEX, FOREIGN, POLICY, COMMENT)


def evolve(*now: Entry, stood: tuple[Entry, ...] = STOOD, **more: Any) -> Evolution:
    """What becomes of ``stood``, when that was what the primary had, and now it has this."""
    known = memory.definitions(stood, stood)
    return evolution.decide(plan(*now), Standing(stood, more.pop("owned", {})), known, **more)


def changed(one: Entry, definition: str) -> tuple[Entry, ...]:
    other = dataclasses.replace(one, definition=definition)
    return tuple(other if each is one else each for each in STOOD)


def dropped(found: Evolution) -> list[str]:
    return [one.tag for one in found.drops]


def made(found: Evolution) -> list[str]:
    return [one.tag for one in STOOD if one.dump_id in found.creates]


def test_an_equal_schema_stays() -> None:
    assert not evolve(*STOOD).any


def test_a_changed_table_is_made_again_alone_with_what_hangs_on_it() -> None:
    found = evolve(*changed(TABLE, "CREATE TABLE public.a (\n    id bigint,\n    m public.mood\n);\n"))
    assert found.reloads == {("public", "a")}
    assert dropped(found) == ["b to_a", "v", "a"]
    assert made(found) == ["a", "v", "a a_pkey", "by_f", "b to_a", "a mine"]


def test_a_leaf_moves_no_table() -> None:
    found = evolve(*changed(POLICY, "CREATE POLICY mine USING (false);\n"))
    assert (dropped(found), made(found), found.reloads) == (["a mine"], ["a mine"], frozenset())


def test_what_is_gone_goes() -> None:
    found = evolve(*(one for one in STOOD if one not in (VIEW, INDEX)))
    assert (dropped(found), made(found)) == (["by_f", "v"], [])


def test_what_is_new_comes() -> None:
    more = entry(11, "TABLE", "c")
    found = evolve(*STOOD, more)
    assert found.creates == {11}
    assert found.reloads == {("public", "c")}
    assert not found.drops


def test_a_function_changes_in_place_and_what_was_computed_with_it_is_built_again() -> None:
    found = evolve(*changed(FUNCTION, "CREATE FUNCTION public.f(integer) RETURNS int AS 'two';\n"))
    assert found.replaced == {2}
    assert (dropped(found), made(found), found.reloads) == (["by_f"], ["by_f"], frozenset())
    assert evolution.in_other_words(FUNCTION).definition.startswith("CREATE OR REPLACE FUNCTION public.f(")


def test_a_function_that_cannot_be_replaced_is_made_again_with_what_uses_it() -> None:
    now = changed(FUNCTION, "CREATE FUNCTION public.f(integer) RETURNS text AS 'two';\n")
    found = evolve(*now, irreplaceable=[FUNCTION.identity])
    assert dropped(found) == ["by_f", "f(integer)"]
    assert made(found) == ["f(integer)", "by_f"]


def test_an_enum_that_is_what_it_was_is_known_by_its_name_in_quotes() -> None:
    kept = dataclasses.replace(TYPE, definition=TYPE.definition.replace("public.mood", '"public"."mood"'))
    wanted = plan(kept)
    known = memory.definitions([kept], [kept])
    assert evolution.steady_enums(wanted, Standing((kept,), {}), known) == {evolution.quoted("public.mood")}
    grown = dataclasses.replace(kept, definition=kept.definition.replace("'sad'", "'bad',\n    'sad'"))
    assert evolution.steady_enums(plan(grown), Standing((kept,), {}), known) == set()
    assert evolution.quoted('public."A ""b"" c"') == '"public"."A ""b"" c"'


def test_an_enum_grows_in_place() -> None:
    now = "CREATE TYPE public.mood AS ENUM (\n    'new',\n    'sad',\n    'so, so',\n    'glad'\n);\n"
    found = evolve(*changed(TYPE, now))
    assert found.grown == (
        "ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'new' BEFORE 'sad'",
        "ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'so, so' AFTER 'sad'",
    )
    assert not found.drops
    assert not found.reloads


@pytest.mark.parametrize("labels", ["'glad',\n    'sad'", "'sad'", "'sad',\n    'merry'"])
def test_an_enum_that_did_more_than_grow_is_made_again_with_its_tables(labels: str) -> None:
    found = evolve(*changed(TYPE, f"CREATE TYPE public.mood AS ENUM (\n    {labels}\n);\n"))
    assert found.reloads == {("public", "a")}
    assert "mood" in dropped(found)


def test_a_check_comes_and_goes_without_its_table() -> None:
    checked = 'CREATE TABLE public.b (\n    id integer,\n    CONSTRAINT "low one" CHECK ((id > 0))\n);\n'
    now = changed(OTHER, checked)
    found = evolve(*now)
    assert [(one.name, one.definition) for one in found.added_checks] == [('"low one"', "CHECK ((id > 0))")]
    assert not found.reloads
    back = evolve(*STOOD, stood=now)
    assert [one.name for one in back.dropped_checks] == ['"low one"']


def test_a_check_of_a_domain_comes_without_the_tables_that_use_it() -> None:
    domain = entry(11, "DOMAIN", "low", "CREATE DOMAIN public.low AS integer;\n")
    checked = "CREATE DOMAIN public.low AS integer\n\tCONSTRAINT is_low CHECK ((VALUE < 9));\n"
    now = dataclasses.replace(domain, definition=checked)
    found = evolve(*STOOD, now, stood=(*STOOD, domain))
    assert [(one.name, one.definition) for one in found.added_checks] == [("is_low", "CHECK ((VALUE < 9))")]
    assert not found.drops


def test_a_comment_is_changed_and_taken_away_in_place() -> None:
    assert made(evolve(*changed(COMMENT, "COMMENT ON TABLE public.b IS 'new';\n"))) == ["TABLE b"]
    gone = evolve(*(one for one in STOOD if one is not COMMENT))
    assert gone.in_place == ("COMMENT ON TABLE public.b IS NULL",)


@pytest.mark.parametrize(
    "text", ["''", "'a'", "'it''s'", "''''", "'x IS ''y'''", "'two\nlines'", "'ends with '''"]
)
def test_any_text_of_a_comment_is_taken_away_whole(text: str) -> None:
    about = "COMMENT ON TABLE public.\"b IS ''c''\" IS "
    one = entry(10, "COMMENT", "TABLE b", f"{about}{text};\n", needs=[4], drop="")
    gone = evolve(*STOOD[:-1], stood=(*STOOD[:-1], one))
    assert gone.in_place == (f"{about}NULL",)


def test_an_owned_sequence_goes_with_its_table_and_not_before() -> None:
    sequence = entry(11, "SEQUENCE", "a_id_seq")
    default = entry(12, "DEFAULT", "a id", needs=[3, 11])
    stood = (*STOOD[:3], sequence, *STOOD[3:], default)
    now = (*changed(TABLE, "CREATE TABLE public.a (\n    id bigint\n);\n"), sequence, default)
    found = evolve(*now, stood=stood, owned={("public", "a_id_seq"): ("public", "a")})
    assert "a_id_seq" not in dropped(found)
    assert {11, 12} <= found.creates


def test_what_somebody_altered_on_the_mirror_is_put_right_and_told() -> None:
    known = memory.definitions(STOOD, STOOD)
    without = tuple(one for one in STOOD if one is not INDEX)
    stranger = entry(20, "TABLE", "stranger")
    found = evolution.decide(plan(*STOOD), Standing((*without, stranger)), known)
    assert made(found) == ["by_f"]
    assert dropped(found) == ["stranger"]
    assert set(found.altered) == {
        "index public.by_f is missing",
        "table public.stranger is not the primary's",
    }


def test_what_could_not_be_made_is_tried_again() -> None:
    found = evolve(*STOOD, again=[FOREIGN.identity])
    assert (dropped(found), made(found)) == (["b to_a"], ["b to_a"])


def test_row_security_is_turned_off_in_place() -> None:
    security = entry(
        11, "ROW SECURITY", "a", "ALTER TABLE public.a ENABLE ROW LEVEL SECURITY;", needs=[3], drop=""
    )
    found = evolve(*STOOD, stood=(*STOOD, security))
    assert found.in_place == ("ALTER TABLE public.a DISABLE ROW LEVEL SECURITY;",)


def test_a_partition_that_is_detached_is_loaded_anew() -> None:
    attach = entry(11, "TABLE ATTACH", "a", needs=[3, 4], drop="")
    assert evolve(*STOOD, stood=(*STOOD, attach)).reloads == {("public", "a")}
    assert evolve(*STOOD, attach).reloads == {("public", "a")}


@pytest.mark.parametrize(
    ("now", "stood", "why"),
    [
        (
            (entry(11, "EXTENSION", "x", "CREATE EXTENSION x 2;"),),
            (entry(11, "EXTENSION", "x"),),
            "has changed",
        ),
        ((), (entry(11, "CAST", "c", drop=""),), "cannot be dropped by itself"),
        (
            (entry(11, "OPERATOR", "+", "1"), entry(12, "OPERATOR", "+", "3")),
            (entry(11, "OPERATOR", "+", "1"), entry(12, "OPERATOR", "+", "2")),
            "several objects share the name",
        ),
    ],
)
def test_what_cannot_be_brought_along_is_named(
    now: tuple[Entry, ...], stood: tuple[Entry, ...], why: str
) -> None:
    with pytest.raises(CannotEvolve, match=why):
        evolve(*STOOD, *now, stood=(*STOOD, *stood))
