"""All that an application can see of a database, as names and texts, by queries of the tests' own.

Two databases are alike when their portraits are. Read by superusers, so that nothing hides; owners are
not in it, since the copy belongs to another role by design.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO

from psycopg2 import sql
from psycopg2.extensions import connection

from tests.comparing import contents

Portrait = Mapping[str, str]

_OURS = "n.nspname ~ '^town|^public$'"
_GUESTS = ("anon", "authenticated", "service_role")
_NOT_COPIED = (
    "extensions.",
    "vault.",
    "realtime.",
    "net.",
    "supabase_functions.",
    "graphql",
    "auth.",
    "storage.",
)
_COPIED = ("auth.users", "auth.identities", "storage.objects", "storage.buckets")


def _acl(acl: str, kind: str, owner: str) -> str:
    return (
        "(SELECT string_agg(concat_ws(' ', coalesce(r.rolname, 'PUBLIC'), x.privilege_type, x.is_grantable),"
        " ', ' ORDER BY r.rolname, x.privilege_type)"
        f" FROM aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) x"
        " LEFT JOIN pg_roles r ON r.oid = x.grantee"
        f" WHERE x.grantee = 0 OR r.rolname IN {_GUESTS})"
    )


_QUERIES: Mapping[str, str] = {
    "schema": f"SELECT n.nspname, {_acl('n.nspacl', 'n', 'n.nspowner')} FROM pg_namespace n WHERE {_OURS}",
    "relation": f"""
        SELECT c.oid::regclass::text, concat_ws(' | ', c.relkind, c.relrowsecurity, c.relforcerowsecurity,
          c.relreplident, c.relispopulated, c.relispartition, array_to_string(c.reloptions, ','),
          pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
          (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno) FROM pg_inherits i
           WHERE i.inhrelid = c.oid), obj_description(c.oid, 'pg_class'),
          {_acl("c.relacl", "r", "c.relowner")})
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS}
    """,
    "column": f"""
        SELECT format('%s.%I', c.oid::regclass, a.attname), concat_ws(' | ',
          row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
          a.attcollation::regcollation, a.attnotnull, a.attidentity, a.attgenerated, a.attstorage,
          a.attcompression, nullif(a.attstattarget, -1), a.attinhcount, a.attislocal,
          array_to_string(a.attoptions, ','),
          pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum),
          CASE WHEN a.attacl IS NOT NULL THEN {_acl("a.attacl", "c", "c.relowner")} END)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'c') AND a.attnum > 0 AND NOT a.attisdropped AND {_OURS}
    """,
    "index": f"""
        SELECT i.indexrelid::regclass::text, concat_ws(' | ', pg_get_indexdef(i.indexrelid), i.indisprimary,
          i.indisunique, i.indisvalid, i.indisready, i.indisreplident, i.indisclustered, i.indimmediate,
          obj_description(i.indexrelid, 'pg_class'))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm') AND {_OURS}
    """,
    "constraint": f"""
        SELECT format('%s %I', coalesce(c.oid::regclass::text, format_type(k.contypid, NULL)), k.conname),
          concat_ws(' | ', pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred, k.convalidated,
            k.conislocal, k.coninhcount, CASE k.contype WHEN 'c' THEN k.connoinherit END,
            obj_description(k.oid, 'pg_constraint'),
            (SELECT string_agg(DISTINCT t.tgenabled::text, ',') FROM pg_trigger t
             WHERE t.tgconstraint = k.oid))
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
        LEFT JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.contype <> 'n' AND (k.contype <> 'f' OR k.conparentid = 0) AND {_OURS}
    """,
    "trigger": f"""
        SELECT format('%s %I', c.oid::regclass, t.tgname),
          concat_ws(' | ', pg_get_triggerdef(t.oid), t.tgenabled)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND {_OURS}
    """,
    "rule": f"""
        SELECT format('%s %I', c.oid::regclass, r.rulename), concat_ws(' | ', r.ev_type, r.ev_enabled,
          CASE WHEN c.relkind IN ('r', 'p') THEN pg_get_ruledef(r.oid) END)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS}
    """,
    "view": f"""
        SELECT c.oid::regclass::text, pg_get_viewdef(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('v', 'm') AND {_OURS}
    """,
    "policy": f"""
        SELECT format('%s %I', c.oid::regclass, p.polname), concat_ws(' | ', p.polcmd, p.polpermissive,
          p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS}
    """,
    "function": f"""
        SELECT p.oid::regprocedure::text, concat_ws(' | ', p.prosrc, pg_get_function_arguments(p.oid),
          pg_get_function_result(p.oid), p.prokind, p.provolatile, p.proisstrict, p.prosecdef, p.proleakproof,
          p.proparallel, p.procost, p.prorows, obj_description(p.oid, 'pg_proc'),
          {_acl("p.proacl", "f", "p.proowner")})
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS}
    """,
    "type": f"""
        SELECT format_type(t.oid, NULL), concat_ws(' | ', t.typtype,
          format_type(nullif(t.typbasetype, 0), t.typtypmod),
          t.typnotnull, t.typdefault, obj_description(t.oid, 'pg_type'),
          (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e
           WHERE e.enumtypid = t.oid), {_acl("t.typacl", "T", "t.typowner")})
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typtype IN ('e', 'd', 'r', 'c') AND {_OURS}
    """,
    "statistics": f"""
        SELECT format('%I.%I', n.nspname, s.stxname), concat_ws(' | ', pg_get_statisticsobjdef(s.oid),
          nullif(s.stxstattarget, -1),
          obj_description(s.oid, 'pg_statistic_ext'))
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {_OURS}
    """,
    "large object": """
        SELECT m.oid::text, encode(sha256(lo_get(m.oid)), 'hex') FROM pg_largeobject_metadata m
    """,
}
_SEQUENCES = f"""
SELECT c.oid::regclass::text, concat_ws(' | ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement,
  s.seqmax, s.seqmin, s.seqcache, s.seqcycle, {_acl("c.relacl", "s", "c.relowner")},
  (SELECT format('%s.%s %s', d.refobjid::regclass, d.refobjsubid > 0, d.deptype) FROM pg_depend d
   WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
   AND d.deptype IN ('a', 'i')))
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_OURS} ORDER BY 1
"""
_DERIVED = f"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated AND {_OURS} ORDER BY c.oid
"""
_WORDED_BY_THE_SERVER = ("view ", "policy ", "rule ")
"""Kinds whose text a server of another major may word differently."""
_MOVING = ("sequence ", "derived ")
"""What is not of the snapshot: sequences are read by themselves, materialized views made anew."""


@dataclass(frozen=True)
class Likeness:
    """How two portraits are compared: whether the servers are of one major, and whether nothing moved."""

    same_major: bool = True
    still: bool = True

    def differences(self, wanted: Portrait, found: Portrait) -> list[str]:
        """Return a sentence for each name that is missing, too many, or not the same."""
        told = []
        for name in sorted(wanted.keys() | found.keys()):
            if name.startswith(_MOVING) and not self.still:
                continue
            one, other = wanted.get(name), found.get(name)
            both = one is not None and other is not None
            if both and name.startswith(_WORDED_BY_THE_SERVER) and not self.same_major:
                continue
            if one != other:
                told.append(f"{name}: wanted {_short(one)}, found {_short(other)}")
        return told


def _short(text: str | None) -> str:
    return "nothing" if text is None else repr(text) if len(text) < 400 else f"{len(text)} characters"


def paint(session: connection) -> Portrait:
    """Return the portrait of the session's database. The session is in no transaction; nothing is changed."""
    session.autocommit = False
    try:
        return look(session)
    finally:
        session.rollback()
        session.autocommit = True


def look(session: connection) -> Portrait:
    """Return the same as the session's open transaction sees it, which has to be rolled back afterwards.

    The rows of materialized views are those that they would have if they were refreshed now.
    """
    return {**rows(session), **objects(session)}


def rows(session: connection) -> Portrait:
    """Return the part of a portrait that is the rows of tables."""
    return {
        f"rows {table}": text
        for table, text in contents(session).items()
        if table in _COPIED or not table.startswith(_NOT_COPIED)
    }


def objects(session: connection) -> Portrait:
    """Return the rest of a portrait."""
    found: dict[str, str] = {}
    with session.cursor() as cursor:
        cursor.execute("SET search_path = pg_catalog")
        for kind, query in _QUERIES.items():
            cursor.execute(query)
            found |= {f"{kind} {name}": str(text) for name, text in cursor.fetchall()}
        cursor.execute(_SEQUENCES)
        for name, text in cursor.fetchall():
            cursor.execute(f"SELECT last_value, is_called FROM {name}")
            found[f"sequence {name}"] = f"{text} | {cursor.fetchone()}"
        cursor.execute(_DERIVED)
        views = cursor.fetchall()
        for schema, view in views:
            cursor.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(sql.Identifier(schema, view)))
        for schema, view in views:
            found[f"derived {schema}.{view}"] = _derived(session, sql.Identifier(schema, view))
    return found


def _derived(session: connection, view: sql.Identifier) -> str:
    text = StringIO()
    statement = sql.SQL('COPY (SELECT * FROM {} AS v ORDER BY v::text COLLATE "C") TO STDOUT').format(view)
    with session.cursor() as cursor:
        cursor.copy_expert(statement.as_string(session), text)
    return text.getvalue()
