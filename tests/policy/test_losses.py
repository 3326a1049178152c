"""What the copy has to do without is told, and a rule over rows that is lost makes it degraded."""

from __future__ import annotations

from supaneon_sync.policy.facts import Role
from tests.policy.portability_cases import decided, entry, facts, fate

VAULT = entry(1, "SCHEMA", "vault", schema="", owner="supabase_admin")
SECRETS = entry(2, "TABLE", "secrets", schema="vault", owner="supabase_admin", needs=[1])


def test_a_policy_that_needs_a_platform_table_is_told_and_degrades_the_copy() -> None:
    table = entry(3, "TABLE", "members")
    plan = decided([VAULT, SECRETS, table, entry(4, "POLICY", "members fence", needs=[2, 3])])
    assert fate(plan, "members fence").told
    assert any("members fence" in one and "let more through" in one for one in plan.degraded)


def test_a_view_that_needs_a_platform_table_is_told() -> None:
    plan = decided([VAULT, SECRETS, entry(3, "VIEW", "v_sec", needs=[2])])
    assert fate(plan, "v_sec").told


def test_a_foreign_key_into_a_platform_table_degrades_the_copy() -> None:
    table = entry(3, "TABLE", "integrations")
    plan = decided([VAULT, SECRETS, table, entry(4, "FK CONSTRAINT", "integrations fk", needs=[2, 3])])
    assert any("integrations fk" in one for one in plan.degraded)


def test_what_the_platform_itself_owns_degrades_nothing() -> None:
    plan = decided([VAULT, SECRETS, entry(3, "INDEX", "secrets_idx", schema="vault", needs=[2])])
    assert plan.degraded == ()


def test_a_membership_that_cannot_be_carried_alike_is_named() -> None:
    roles = facts().roles | {
        "clerk": Role("clerk", True, False, ("pg_read_all_data",), True, ("boss",)),
        "boss": Role("boss", True, False, (), True),
    }
    plan = decided([entry(1, "TABLE", "t")], facts(roles=roles))
    assert any("clerk in boss" in one and "clerk in pg_read_all_data" in one for one in plan.degraded)


def test_a_role_of_the_users_may_be_called_as_it_likes() -> None:
    roles = facts().roles | {"neon_reader": Role("neon_reader", True, False, (), True)}
    plan = decided([entry(1, "TABLE", "t")], facts(roles=roles))
    assert "neon_reader" in [role.name for role in plan.roles]
