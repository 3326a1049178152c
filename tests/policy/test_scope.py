"""The scope: what leans on parts that are left out is left out by name, or stops the run with the list."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy.facts import Helper, Inventory, Need, Reference
from supaneon_sync.policy.plan import Fate
from supaneon_sync.policy.scope import Scope, TableName
from supaneon_sync.values import parse_schemas, parse_tables
from tests.policy.portability_cases import decided, entry, facts, fate, relation

SCHEMAS = {"public": "postgres", "auth": "supabase_admin", "extensions": "postgres", "app": "postgres"}
USERS = Need((1259, 900), "table auth.users")
UID = Need((1255, 901), "function auth.uid()")


def narrow(needs: dict[tuple[int, int], tuple[Need, ...]], *relations: object, **fields: object) -> Inventory:
    helper = Helper(UID.object, 77, "auth", "uid", "", "CREATE FUNCTION auth.uid() …;\n")
    base = facts(*relations, schemas=SCHEMAS, **fields)  # type: ignore[arg-type]
    return replace(base, outside=frozenset({"auth"}), needs=needs, helpers=(helper,))


def test_including_some_schemas_leaves_the_others_out_but_those_that_extensions_live_in() -> None:
    assert Scope(include=("public",)).outside(SCHEMAS, {"extensions"}) == {"auth", "app"}
    assert Scope(exclude=("app",)).outside(SCHEMAS, {"extensions"}) == {"app"}
    assert Scope(include=("public", "app"), exclude=("app",)).outside(SCHEMAS) == {
        "auth",
        "app",
        "extensions",
    }
    assert Scope().outside(SCHEMAS) == set()


def test_names_that_the_primary_does_not_have_are_all_told_with_the_nearest() -> None:
    scope = Scope(("pubic",), ("nothing", "extensions"), (TableName("public", "taks"),))
    known = facts(relation(1, "tasks"), schemas=SCHEMAS, extension_schemas=frozenset({"extensions"}))
    assert scope.problems(known) == (
        "include-schemas names pubic, which the primary does not have; did you mean public?",
        "exclude-schemas names nothing, which the primary does not have",
        "exclude-table-data names public.taks, which the primary does not have; did you mean public.tasks?",
        "exclude-schemas names extensions, where extensions live that other schemas need",
    )
    assert Scope(("public",), (), (TableName("public", "tasks"),)).problems(known) == ()


@pytest.mark.parametrize("kind", ["FK CONSTRAINT", "POLICY", "TRIGGER", "VIEW", "FUNCTION", "RULE"])
def test_soft_ties_to_what_is_left_out_are_left_out_by_name(kind: str) -> None:
    thing = entry(2, kind, "thing", needs=[1])
    plan = decided([entry(1, "TABLE", "t"), thing], narrow({(thing.catalog, 2): (USERS,)}, relation(1, "t")))
    assert not plan.blockers
    assert fate(plan, "thing").fate is Fate.LEFT_OUT
    assert "table auth.users" in fate(plan, "thing").reason
    assert fate(plan, "thing").told


@pytest.mark.parametrize("kind", ["TABLE", "TYPE", "DOMAIN"])
def test_hard_ties_stop_the_run_with_the_list(kind: str) -> None:
    thing = entry(1, kind, "thing")
    plan = decided([thing], narrow({(thing.catalog, 1): (USERS,)}))
    assert plan.blockers == (
        f"{kind.lower()} public.thing needs table auth.users, in a schema that is left out",
    )


def test_the_platforms_helpers_come_along_when_something_calls_them_and_nothing_else_does() -> None:
    policy = entry(2, "POLICY", "t own", needs=[1])
    plan = decided([entry(1, "TABLE", "t"), policy], narrow({(1, 2): (UID,)}, relation(1, "t")))
    assert [(one.kind, one.tag) for one in plan.kept()][:2] == [("SCHEMA", "auth"), ("FUNCTION", "uid()")]
    assert fate(plan, "t own").fate is Fate.KEPT
    idle = decided([entry(1, "TABLE", "t")], narrow({}, relation(1, "t")))
    assert [one.tag for one in idle.kept()] == ["t"]


def test_a_function_of_the_users_own_in_a_schema_left_out_is_no_helper() -> None:
    private = Need((1255, 902), "function app.secret_rule()")
    inventory = narrow({(1, 2): (private,)}, relation(1, "t"))
    helper = Helper(private.object, 78, "app", "secret_rule", "", "CREATE …")
    plan = decided(
        [entry(1, "TABLE", "t"), entry(2, "POLICY", "p", needs=[1])], replace(inventory, helpers=(helper,))
    )
    assert fate(plan, "p").fate is Fate.LEFT_OUT


def test_rows_are_left_out_of_a_table_and_of_every_partition_of_one_that_is_named() -> None:
    root, middle, leaf = relation(1, "events", kind="p"), relation(2, "y", kind="p"), relation(3, "m")
    inventory = facts(root, middle, leaf, relation(4, "other"), partition_of={3: 2, 2: 1})
    entries = [entry(one.oid, "TABLE", one.name) for one in inventory.relations.values()]
    plan = decided(entries, inventory, scope=Scope(rowless=(TableName("public", "events"),)))
    assert [one.label for one in plan.tables] == ["public.other"]
    assert [(one.label, why) for one, why in plan.rowless] == [("public.m", "exclude-table-data names it")]


def test_children_whose_rows_would_dangle_stop_the_run_with_the_list() -> None:
    tables = [relation(1, "parent"), relation(2, "child"), relation(3, "grandchild")]
    keys = (Reference("to_parent", 2, 1), Reference("to_child", 3, 2), Reference("to_self", 1, 1))
    inventory = facts(*tables, references=keys)
    entries = [entry(one.oid, "TABLE", one.name) for one in tables]

    def blockers(*names: str) -> tuple[str, ...]:
        scope = Scope(rowless=tuple(TableName("public", name) for name in names))
        return decided(entries, inventory, scope=scope).blockers

    assert blockers("parent") == (
        "public.child refers to public.parent (to_parent), whose rows are not copied",
    )
    assert blockers("parent", "child") == (
        "public.grandchild refers to public.child (to_child), whose rows are not copied",
    )
    assert blockers("parent", "child", "grandchild") == ()
    assert blockers("grandchild") == ()


def test_large_objects_stay_behind_in_a_narrow_copy_and_come_with_a_whole_one() -> None:
    assert decided([], facts(large_objects=3)).large_objects
    assert not decided([], facts(large_objects=3), scope=Scope(include=("public",))).large_objects


def test_lists_of_names_are_read_as_sql_writes_them() -> None:
    assert parse_schemas(' public , "odd, ""name""",Größe') == ("public", 'odd, "name"', "Größe")
    assert parse_tables('public.tasks,"a.b"."c,d"') == (("public", "tasks"), ("a.b", "c,d"))
    for wrong in ("", "public,", "a b", '"open', "public.tasks", "a,,b"):
        with pytest.raises(ValueError, match="must be"):
            parse_schemas(wrong)
    for wrong in ("tasks", "public.", "a.b.c", '"a.b"'):
        with pytest.raises(ValueError, match="must be"):
            parse_tables(wrong)


printable = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cc",)), min_size=1
)


@given(st.lists(st.tuples(printable, printable), min_size=1, max_size=4))
def test_any_table_can_be_named(tables: list[tuple[str, str]]) -> None:
    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    text = ",".join(f"{quoted(schema)}.{quoted(table)}" for schema, table in tables)
    assert list(parse_tables(text)) == tables
