"""A primary with one of everything is carried over whole: rows, rules, rights; exceptions by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection

from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents, primary_contents
from tests.fixtures import everything
from tests.tool import Watching, perform

PAIRS = ((15, 15), (15, 17), (17, 17), (17, 18), (18, 18))
VIOLATIONS = {
    "check constraint public.broken_check broken_check_id",
    "check constraint public.trap_clock before_noon",
    "check constraint public.trap_zone exists_too",
    "comment public.INDEX broken_unique_id",
    "fk constraint public.broken_child broken_fk",
    "index public.broken_unique_id",
    "materialized view public.broken_view",
}
LEFT_OUT_ALOUD = {
    "access method ev_btree",
    "event trigger ev_watch",
    "extension postgres_fdw",
    "foreign data wrapper homemade",
    "foreign table ev.far",
    "publication ev_feed",
    "publication ev_schema",
    "publication table ev.ev_feed notes",
    "publication table public.ev_feed ev_parent",
    "publication tables in schema billing.ev_schema billing",
    "server elsewhere",
    "text search parser public.ev_parser",
    "text search template public.ev_template",
    "trigger ev.links t_webhook",
    "user mapping USER MAPPING postgres SERVER elsewhere",
    "view ev.on_far",
}
NOT_COPIED = ("extensions.", "graphql", "net.", "pgbouncer.", "pgmq.", "supabase_functions.", "vault.")


@dataclass(frozen=True)
class Copied:
    """A backup of everything, and how it was made."""

    sandbox: Sandbox
    outcome: Outcome
    said: Watching
    source: int
    target: int

    @property
    def name(self) -> str:
        return self.outcome.outputs["branch-name"]

    @property
    def manifest(self) -> Mapping[str, Any]:
        document = self.outcome.report["manifest"]
        assert isinstance(document, Mapping)
        return document

    @property
    def coverage(self) -> Mapping[str, Mapping[str, Any]]:
        return {line["surface"]: line for line in self.manifest["coverage"]}

    @contextmanager
    def primary(self, role: str = "postgres") -> Iterator[connection]:
        assert self.sandbox.primary_server is not None
        with self.sandbox.primary_server.session(role=role) as session:
            yield session

    @contextmanager
    def copy(self) -> Iterator[connection]:
        session = psycopg2.connect(self.sandbox.uri(self.name))
        session.autocommit = True
        try:
            yield session
        finally:
            session.close()

    def both(self, query: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The query's rows on the primary and on the copy."""
        answers = []
        for door in (self.primary, self.copy):
            with door() as session, session.cursor() as cursor:
                cursor.execute("SET search_path = pg_catalog")
                cursor.execute(query)
                answers.append(cursor.fetchall())
        return answers[0], answers[1]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}-to-{pair[1]}")
def copied(request: pytest.FixtureRequest) -> Iterator[Copied]:
    source, target = request.param
    with Sandbox(primary="sample", primary_major=source, major=target, rows_scale=0.05) as sandbox:
        assert sandbox.primary_server is not None
        everything.install(sandbox.primary_server)
        said = Watching()
        outcome = perform(sandbox, "backup", progress=said)
        yield Copied(sandbox, outcome, said, source, target)


def test_every_row_is_there_by_an_independent_comparison(copied: Copied) -> None:
    wanted = primary_contents(copied.sandbox)
    found = branch_contents(copied.sandbox, copied.name)
    rowless = {f"{one['schema']}.{one['name']}" for one in copied.manifest["tables_without_rows"]}
    compared = [table for table in wanted if table not in rowless and not table.startswith(NOT_COPIED)]
    assert len(compared) > 70
    assert {table for table in compared if found.get(table) != wanted[table]} == set()
    assert all(found[table] == "" for table in rowless)
    for table in ("cron.job", "auth.refresh_tokens", "realtime.messages_2026_06_01"):
        assert found[table] == "", table
    assert wanted["cron.job"] != ""
    assert wanted["auth.refresh_tokens"] != ""
    assert wanted["public.trap_rows"].count("\n") == 60


def test_what_the_primarys_own_rows_violate_is_named_and_everything_else_stands(copied: Copied) -> None:
    named = {f"{one['kind']} {one['name']}" for one in copied.manifest["violations"]}
    assert named == VIOLATIONS
    assert copied.outcome.verdict == "degraded"
    invalid = "SELECT conname FROM pg_constraint WHERE NOT convalidated AND contype IN ('c', 'f') ORDER BY 1"
    before, after = copied.both(invalid)
    more = {name for (name,) in after} - {name for (name,) in before}
    assert more == {"broken_fk", "broken_check_id", "before_noon", "exists_too"}


def test_every_object_left_out_is_in_the_manifest_with_its_reason(copied: Copied) -> None:
    told = {f"{one['kind']} {one['name']}" for one in copied.manifest["left_out"] if one["told"]}
    assert told - {"publication table ev.ev_feed child"} == LEFT_OUT_ALOUD
    assert all(one["reason"] for one in copied.manifest["left_out"])
    (webhook,) = (one for one in copied.manifest["left_out"] if one["name"] == "ev.links t_webhook")
    assert "every write would fail" in webhook["reason"]
    names = {one["name"] for one in copied.manifest["left_out"]}
    assert {"net", "vault.secrets", "supabase_realtime", "issue_graphql_placeholder"} <= names


def test_no_secret_of_the_primary_is_in_any_word_that_is_said(copied: Copied) -> None:
    one = copied.outcome
    words = json.dumps(
        [one.report, one.notes, one.facts, one.outputs, [t.rows for t in one.tables]], default=str
    )
    words += "".join(copied.said.steps + copied.said.warnings)
    assert everything.CANARIES not in words
    with copied.primary() as session, session.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.settings.secret')")
        assert cursor.fetchone() == ("canary-in-database-setting",)


STATES = {
    "triggers": """
        SELECT t.tgrelid::regclass::text, t.tgname, t.tgenabled::text FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND n.nspname IN ('public', 'ev', 'auth') AND t.tgname <> 't_webhook'
        ORDER BY 1, 2
    """,
    "keys and their moments": """
        SELECT conrelid::regclass::text, conname, contype::text, condeferrable, condeferred
        FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'ev'::regnamespace)
          AND conrelid <> 0 AND contype <> 'n' AND conparentid = 0
        ORDER BY 1, 2
    """,
    "sequences": """
        SELECT schemaname, sequencename, data_type::text, start_value, min_value, max_value, increment_by,
               cycle, cache_size, last_value
        FROM pg_sequences WHERE schemaname IN ('public', 'ev', 'billing') ORDER BY 1, 2
    """,
    "identities of replicas": """
        SELECT oid::regclass::text, relreplident::text, relrowsecurity, relforcerowsecurity FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'ev'::regnamespace) AND relkind IN ('r', 'p')
          AND oid::regclass::text <> 'ev.far' ORDER BY 1
    """,
    "partitions and children": """
        SELECT inhrelid::regclass::text, inhparent::regclass::text, inhseqno FROM pg_inherits
        WHERE inhrelid::regclass::text !~ '^(realtime|pg_)' ORDER BY 1, 2
    """,
    "comments": """
        SELECT o.identity, d.description FROM pg_description d
        CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS o
        WHERE o.schema IN ('ev', 'public') AND o.identity <> 'public.broken_unique_id' ORDER BY 1
    """,
    "large objects": """
        SELECT m.oid, encode(sha256(lo_get(m.oid)), 'hex'), obj_description(m.oid, 'pg_largeobject')
        FROM pg_largeobject_metadata m ORDER BY 1
    """,
    "policies": """
        SELECT schemaname, tablename, policyname, permissive, roles::text, cmd FROM pg_policies
        WHERE schemaname IN ('public', 'ev', 'storage') ORDER BY 1, 2, 3
    """,
}


@pytest.mark.parametrize("what", STATES)
def test_states_are_on_the_copy_what_they_are_on_the_primary(copied: Copied, what: str) -> None:
    before, after = copied.both(STATES[what])
    assert len(before) > 3
    assert after == before


RIGHTS = """
SELECT r.rolname, c.oid::regclass::text, a.attname, p.word,
       has_column_privilege(r.oid, c.oid, a.attnum, p.word)
FROM pg_roles r CROSS JOIN pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
CROSS JOIN unnest(ARRAY['SELECT', 'SELECT WITH GRANT OPTION', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (word)
WHERE r.rolname = ANY ('{anon, authenticated, service_role, app_reporting, ev_reader, ev_lead, ev_owner}')
  AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT a.attisdropped
  AND c.relnamespace::regnamespace::text IN ('public', 'ev', 'billing', 'auth', 'storage')
  AND c.relname NOT IN ('far', 'on_far') ORDER BY 1, 2, 3, 4
"""
RIGHTS_ON_FUNCTIONS = """
SELECT r.rolname, p.oid::regprocedure::text, has_function_privilege(r.oid, p.oid, 'EXECUTE')
FROM pg_roles r CROSS JOIN pg_proc p
WHERE r.rolname = ANY ('{anon, authenticated, service_role, app_reporting, ev_reader, ev_lead, ev_owner}')
  AND p.pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'ev', 'billing', 'auth'))
  AND p.proname <> 'ev_watch_ddl' ORDER BY 1, 2
"""


@pytest.mark.parametrize("query", [RIGHTS, RIGHTS_ON_FUNCTIONS], ids=["tables", "functions"])
def test_every_role_may_do_on_the_copy_what_it_may_on_the_primary_and_no_more(
    copied: Copied, query: str
) -> None:
    before, after = copied.both(query)
    assert len(before) > 200
    assert {row[-1] for row in before} == {True, False}
    assert set(after) ^ set(before) == set()


USERS = [
    ("anon", {}),
    *(
        ("authenticated", {"sub": f"$user {n}", "role": "authenticated", "tenant": tenant})
        for n in (0, 1)
        for tenant in ("t0", "t1")
    ),
    ("ev_reader", {}),
    ("app_reporting", {}),
]
QUESTIONS = (
    "SELECT id, tenant FROM ev.notes ORDER BY id",
    "SELECT id, display_name FROM public.profiles ORDER BY id",
    "SELECT id FROM public.tasks ORDER BY id",
    "SELECT count(*) FROM public.comments",
    "SELECT bucket_id, name FROM storage.objects ORDER BY id",
    "SELECT region, count(*) FROM billing.invoices GROUP BY 1 ORDER BY 1",
    "SELECT id FROM ev.invoker ORDER BY id",
    "SELECT auth.uid(), auth.role()",
    "INSERT INTO ev.notes VALUES (1000, auth.uid(), 'elsewhere', 'x')",
    "INSERT INTO ev.notes VALUES (1001, auth.uid(), 't0', 'x')",
    "INSERT INTO public.profiles (id, display_name) VALUES (gen_random_uuid(), 'x')",
    "UPDATE ev.notes SET body = 'mine' RETURNING id",
    "DELETE FROM ev.notes WHERE id < 5",
)


def answers(session: connection, role: str, claims: Mapping[str, str]) -> list[object]:
    """What the database answers to each question of somebody with these claims: rows, or an SQLSTATE."""
    found: list[object] = []
    session.autocommit = False
    with session.cursor() as cursor:
        for question in QUESTIONS:
            cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            cursor.execute("SELECT set_config('request.jwt.claims', %s, true)", (json.dumps(claims),))
            try:
                cursor.execute(question)
                found.append(cursor.fetchall() if cursor.description else cursor.rowcount)
            except psycopg2.Error as error:
                found.append(error.pgcode)
            session.rollback()
    return found


def test_everybody_sees_and_may_do_on_the_copy_what_they_see_and_may_do_on_the_primary(
    copied: Copied,
) -> None:
    seen = []
    for role, claims in USERS:
        with copied.primary("supabase_admin") as session, session.cursor() as cursor:
            cursor.execute("SELECT md5(%s)::uuid::text", (claims.get("sub", "").removeprefix("$"),))
            sub = (cursor.fetchone() or ("",))[0]
            person = claims | {"sub": sub} if claims else claims
            on_primary = answers(session, role, person)
        with copied.copy() as session:
            assert answers(session, role, person) == on_primary, role
        seen += on_primary
    assert "42501" in seen
    assert any(isinstance(answer, list) and len(answer) > 2 for answer in seen)


def test_the_service_role_reads_all_from_16_on_and_below_only_what_policies_allow(copied: Copied) -> None:
    with copied.primary("supabase_admin") as session:
        on_primary = answers(session, "service_role", {"role": "service_role"})
    with copied.copy() as session:
        on_copy = answers(session, "service_role", {"role": "service_role"})
    if copied.target >= 16:
        assert on_copy == on_primary
    else:
        assert on_copy != on_primary
        assert len(on_copy[0]) < len(on_primary[0])  # type: ignore[arg-type]
        assert any("service_role" in note for note in copied.outcome.notes)


def test_the_applications_own_words_work_on_the_copy_and_so_does_its_upkeep(copied: Copied) -> None:
    with copied.copy() as session, session.cursor() as cursor:
        cursor.execute("INSERT INTO trap_rows (id, v, d) VALUES (1000, 'new', 'd')")
        cursor.execute("SELECT encode(gen_random_bytes(3), 'hex'), new_invite_code(), trap_token('a')")
        cursor.execute("INSERT INTO trap_addresses VALUES ('north', 'south')")
        with pytest.raises(psycopg2.Error, match="no such zone"):
            cursor.execute("INSERT INTO trap_addresses VALUES ('nowhere', 'south')")
        if copied.target >= 17:
            for upkeep in ("REINDEX TABLE", "REFRESH MATERIALIZED VIEW", "ANALYZE"):
                thing = "trap_totals" if "VIEW" in upkeep else "trap_rows"
                cursor.execute(f"{upkeep} public.{thing}")
        cursor.execute("INSERT INTO ev.links VALUES (2)")
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname IN ('unlogged', 'search_cache')")
        assert cursor.fetchall() == [("p",), ("p",)]
        cursor.execute("SELECT * FROM public.trap_totals")
        assert len(cursor.fetchall()) == 5


def test_settings_stand_where_the_target_takes_them_and_are_named_where_not(copied: Copied) -> None:
    stored = """
        SELECT coalesce(r.rolname, ''), s.setdatabase <> 0, c.text FROM pg_db_role_setting s
        CROSS JOIN unnest(s.setconfig) AS c (text) LEFT JOIN pg_roles r ON r.oid = s.setrole
        WHERE coalesce(r.rolname, '') IN ('', 'anon', 'authenticated', 'ev_reader')
          AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        ORDER BY 1, 2, 3
    """
    before, after = copied.both(stored)
    assert ("", True, 'search_path="$user", public, extensions') in after
    assert [row for row in before if not row[2].startswith("app.")] == [
        row for row in after if "search_path" not in row[2]
    ]
    assert set(copied.coverage["Settings that only a superuser may store"]["names"]) == {
        *("app.settings.jwt_exp", "app.settings.secret", "ev_reader: app.tenant"),
    }


def test_roles_stand_with_their_attributes_and_memberships_and_none_can_log_in(copied: Copied) -> None:
    roles = """
        SELECT r.rolname, r.rolinherit, r.rolsuper, array_agg(g.rolname::text ORDER BY g.rolname)
                 FILTER (WHERE g.rolname ~ '^(ev|app|anon|auth)')
        FROM pg_roles r
        LEFT JOIN pg_auth_members m ON m.member = r.oid LEFT JOIN pg_roles g ON g.oid = m.roleid
        WHERE r.rolname IN ('anon', 'authenticated', 'app_reporting', 'ev_reader', 'ev_lead', 'ev_owner')
        GROUP BY r.oid, r.rolname, r.rolinherit, r.rolsuper ORDER BY 1
    """
    before, after = copied.both(roles)
    assert after == before
    with copied.copy() as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname ~ '^(ev |anon|ev_)'")
        assert cursor.fetchone() == (0,)


def test_every_surface_has_one_status_and_what_is_hidden_is_named_and_not_shown(copied: Copied) -> None:
    lines = copied.manifest["coverage"]
    assert len({line["surface"] for line in lines}) == len(lines)
    status = {surface: line["status"] for surface, line in copied.coverage.items()}
    assert status["Users and their identities"] == "copied"
    assert status["Live login secrets"] == "left out"
    assert status["Large objects"] == "copied"
    assert status["Storage files"] == "not in the database"
    assert status["Schemas left out on request"] == "none on the primary"
    assert copied.coverage["Subscriptions"]["names"] == ["ev_pull"]
    assert status["Row level security"] == ("copied" if copied.target >= 16 else "transformed")
    jobs = ("nightly digest (0 3 * * *)", "without a name (*/5 * * * *)")
    assert tuple(copied.coverage["Scheduled jobs"]["names"]) == jobs
    assert copied.coverage["Secrets of the vault"]["names"] == ["stripe_key"]
    assert copied.coverage["Rows that belong to extensions"]["names"] == ["pgmq.q_mails (pg_trgm)"]
    assert any("pgmq.q_mails" in note for note in copied.outcome.notes)
    shown = copied.outcome.tables[0]
    assert len(shown.rows) < 45
    assert "only a superuser may create it" in str(shown.rows)
