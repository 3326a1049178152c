"""The statements of the examination. Catalogs alone; PostgreSQL 15 to 18; names quoted by ``%I``."""

from __future__ import annotations

from supaneon_sync.policy.platform import EVENT_TRIGGER_FUNCTIONS, PLATFORM_SCHEMAS

_SYSTEM = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'"
_PLATFORM = "'{" + ",".join(sorted(PLATFORM_SCHEMAS)) + "}'::name[]"
_OURS = f"{_SYSTEM} AND n.nspname <> ALL ({_PLATFORM})"
"""Schemas that a copy carries."""
_THEIRS = "'{auth,storage,realtime,extensions,supabase_migrations,cron,pgmq}'::name[]"
_USERS = f"{_OURS} AND n.nspname <> ALL ({_THEIRS})"
"""Schemas in which the application's own code is."""


def _member(catalog: str, oid: str) -> str:
    return (
        f"EXISTS (SELECT FROM pg_depend x WHERE x.classid = '{catalog}'::regclass AND x.objid = {oid}"
        " AND x.deptype = 'e')"
    )


SERVER = """
SELECT current_setting('server_version'), d.datname, pg_encoding_to_char(d.encoding),
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) ELSE 0 END,
       pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery()
            THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 END,
       (SELECT reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only')
FROM pg_database d WHERE d.datname = current_database()
"""
TIMEOUTS = "SELECT name, reset_val, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s)"
PINNED_HERE = """
SET LOCAL search_path = pg_catalog; SET LOCAL row_security = off; SET LOCAL statement_timeout = {}
"""
"""Once more for one transaction: behind a transaction pooler it may not be our session that looks."""
PROBE = """
SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('supaneon.probe', true),
       pg_catalog.current_setting('search_path'), pg_catalog.current_setting('extra_float_digits'),
       pg_catalog.current_setting('statement_timeout')
"""
READER = """
SELECT format('%%I', rolname), rolsuper, rolbypassrls, rolconnlimit, rolvaliduntil
FROM pg_roles WHERE rolname = coalesce(%s, current_user)
"""

_ADMIN = """
SELECT r.* FROM pg_roles r
WHERE r.oid = coalesce((SELECT oid FROM pg_roles WHERE rolname = 'postgres'),
                       (SELECT datdba FROM pg_database WHERE datname = current_database()))
"""
ADMIN = f"""
SELECT format('%I', a.rolname), a.rolsuper,
       a.rolsuper OR pg_has_role(a.oid, 'pg_read_all_data', 'MEMBER WITH ADMIN OPTION')
         OR (a.rolcreaterole AND v.number < 160000),
       a.rolsuper OR (v.number >= 160000 AND a.rolcreaterole AND a.rolbypassrls
                      AND pg_has_role(a.oid, current_user::name, 'MEMBER WITH ADMIN OPTION')),
       EXISTS (SELECT FROM pg_settings WHERE name LIKE 'supautils.%')
FROM ({_ADMIN}) a, (SELECT current_setting('server_version_num')::int) v (number)
"""
"""Up to 15 CREATEROLE grants any role and only a superuser gives BYPASSRLS; from 16 on ADMIN OPTION and
one's own BYPASSRLS count (release notes of 16)."""

_SCOPE = f"""
SELECT c.oid, c.relkind, c.relname, c.relowner, c.relnamespace, n.nspname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND {_SYSTEM} AND NOT {_member("pg_class", "c.oid")}
  AND (c.relkind IN ('r', 'p') OR (c.relkind = 'S' AND n.nspname <> ALL ({_PLATFORM})))
"""
DENIED = f"""
WITH admin AS ({_ADMIN}), scope AS ({_SCOPE})
SELECT 'SCHEMA' AS kind, format('%I', n.nspname), format('%I', n.nspname), pg_get_userbyid(n.nspowner),
       has_schema_privilege(a.oid, n.oid, 'USAGE WITH GRANT OPTION')
FROM pg_namespace n, admin a
WHERE n.oid IN (SELECT relnamespace FROM scope) AND NOT has_schema_privilege(n.oid, 'USAGE')
UNION ALL
SELECT CASE s.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('%I.%I', s.nspname, s.relname),
       format('%I', s.nspname), pg_get_userbyid(s.relowner),
       has_table_privilege(a.oid, s.oid, 'SELECT WITH GRANT OPTION')
         AND has_schema_privilege(a.oid, s.relnamespace, 'USAGE')
FROM scope s, admin a WHERE NOT has_table_privilege(s.oid, 'SELECT')
ORDER BY 1, 3, 2
"""
"""pg_dump locks every table that is no extension's, the platform's too, so each has to be readable."""

ROW_SECURED = f"""
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relrowsecurity AND {_OURS} AND n.nspname <> 'realtime'
  AND row_security_active(c.oid)
ORDER BY 1
"""
LARGE_OBJECTS = f"""
WITH admin AS ({_ADMIN})
SELECT m.oid::bigint, a.rolsuper OR pg_has_role(a.oid, m.lomowner, 'USAGE')
FROM pg_largeobject_metadata m, admin a
WHERE current_setting('lo_compat_privileges') = 'off'
  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  AND NOT pg_has_role(m.lomowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) x WHERE x.privilege_type = 'SELECT'
                  AND CASE WHEN x.grantee = 0 THEN true ELSE pg_has_role(x.grantee, 'USAGE') END)
ORDER BY m.oid LIMIT 10000
"""

TABLES = f"""
SELECT count(*), coalesce(sum(greatest(c.relpages, 0) + greatest(coalesce(t.relpages, 0), 0)), 0)::bigint,
       current_setting('max_locks_per_transaction')::bigint
         * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {_OURS}
"""
"""Pages are those that VACUUM and ANALYZE last counted: looking at files would wait behind locks."""

EXTENSIONS = "SELECT extname, extversion FROM pg_extension ORDER BY 1"
NEEDING = f"""
WITH member AS (
  SELECT e.extname, d.classid, d.objid FROM pg_extension e
  JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
  WHERE e.extname = ANY (%s)
), reach AS (
  SELECT * FROM member
  UNION SELECT m.extname, 'pg_type'::regclass, t.typarray FROM member m
        JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid WHERE t.typarray <> 0
)
SELECT DISTINCT r.extname, pg_describe_object(d.classid, d.objid, d.objsubid)
FROM reach r JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype IN ('n', 'a')
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_type y ON d.classid = 'pg_type'::regclass AND y.oid = d.objid
LEFT JOIN pg_class c ON c.oid = CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid
                                     ELSE coalesce(f.adrelid, k.conrelid) END
LEFT JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, y.typnamespace, k.connamespace)
WHERE d.classid IN ('pg_class'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass,
                    'pg_type'::regclass)
  AND {_OURS}
  AND coalesce(c.relkind IN ('r', 'p', 'i', 'I', 'm', 'c'), y.oid IS NOT NULL OR k.oid IS NOT NULL)
  AND NOT EXISTS (SELECT FROM pg_depend x WHERE (x.classid, x.objid) = (d.classid, d.objid)
                  AND x.deptype = 'e')
  AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid
                  AND x.deptype = 'e')
ORDER BY 1, 2 LIMIT 1000
"""
WEBHOOKS = """
SELECT format('%I on %I.%I', t.tgname, n.nspname, c.relname)
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND f.nspname IN ('supabase_functions', 'net') ORDER BY 1
"""

_CALL = r"(?:^|[^.\w])(net|vault|pgmq|pgsodium|supabase_functions|cron)\s*\.\s*[\w\"]"
_CALLING = f"""
SELECT p.oid, format('%I.%I', n.nspname, p.proname) AS name,
       (SELECT string_agg(DISTINCT lower(m[1]), ', ')
        FROM regexp_matches(p.prosrc, '{_CALL}', 'gi') m) AS words
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname IN ('sql', 'plpgsql') AND {_USERS} AND p.prosrc ~* '{_CALL}'
  AND NOT {_member("pg_proc", "p.oid")}
"""
CALLING = f"SELECT DISTINCT name, words FROM ({_CALLING}) c ORDER BY 1"
CALLING_TRIGGERS = f"""
SELECT format('%I.%I', n.nspname, c.relname), p.name FROM ({_CALLING}) p
JOIN pg_trigger t ON t.tgfoid = p.oid AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D'
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2
"""

WANDERING = rf"""
WITH used AS (
  SELECT DISTINCT p.oid, p.prosrc, pg_describe_object(d.classid, d.objid, 0) AS by,
         format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
         CASE n.nspname WHEN 'public' THEN '' ELSE format('%I, ', n.nspname) END
           || 'public, extensions' AS path
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
  LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
  LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
  LEFT JOIN pg_attribute g ON g.attrelid = f.adrelid AND g.attnum = f.adnum
  LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
  LEFT JOIN pg_class v ON v.oid = w.ev_class
  WHERE l.lanname NOT IN ('internal', 'c') AND p.prosqlbody IS NULL AND {_USERS}
    AND NOT {_member("pg_proc", "p.oid")}
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s (text) WHERE s.text LIKE 'search_path=%')
    AND (c.relkind IN ('i', 'I', 'r', 'p') OR d.classid = 'pg_constraint'::regclass OR g.attgenerated <> ''
         OR v.relkind = 'm')
), words AS (
  SELECT u.oid, lower(m[1]) AS word FROM used u
  CROSS JOIN LATERAL regexp_matches(u.prosrc, '(?:^|[^.\w"''])([a-z_]\w*)\M(?!\s*\.)', 'gi') m
), known (name) AS (
  SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE {_SYSTEM} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_SYSTEM}
  UNION SELECT typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE {_SYSTEM} AND t.typtype IN ('e', 'd')
)
SELECT u.name, u.by, string_agg(DISTINCT w.word, ', ' ORDER BY w.word), u.path
FROM used u JOIN words w ON w.oid = u.oid JOIN known k ON k.name = w.word
GROUP BY 1, 2, 4 ORDER BY 1, 2
"""
"""Functions that run when a copy is made, have no search_path of their own, and name tables, functions or
types of other schemas than pg_catalog without their schema. Text search: it may miss operators."""

UNMOVED = f"""
SELECT 'event trigger', format('%I', e.evtname) FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
WHERE p.proname <> ALL ('{{{",".join(sorted(EVENT_TRIGGER_FUNCTIONS))}}}'::name[])
UNION ALL SELECT 'publication', format('%I', pubname) FROM pg_publication
          WHERE pubname !~ '^supabase_realtime'
UNION ALL SELECT 'subscription', format('%I', subname) FROM pg_subscription
          WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT 'foreign server', format('%I', srvname) FROM pg_foreign_server
UNION ALL SELECT 'foreign table', format('%I.%I', n.nspname, c.relname) FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND {_OURS}
UNION ALL SELECT 'extension with jobs', format('%I', extname) FROM pg_extension WHERE extname = 'pg_cron'
UNION ALL SELECT 'extension with queues', format('%I', extname) FROM pg_extension WHERE extname = 'pgmq'
ORDER BY 1, 2
"""

LOCKED = f"""
SELECT DISTINCT format('%I.%I', n.nspname, c.relname), extract(epoch FROM now() - a.xact_start)::float8
FROM pg_locks k JOIN pg_class c ON c.oid = k.relation JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_activity a ON a.pid = k.pid
WHERE k.locktype = 'relation' AND k.granted AND k.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p')
  AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND {_SYSTEM}
ORDER BY 1
"""
WAITING = """
SELECT (SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted),
       (SELECT count(*) FROM pg_stat_activity WHERE query = '<insufficient privilege>')
"""
LONG = """
SELECT pid, usename::text, extract(epoch FROM now() - xact_start)::float8 FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND xact_start < now() - interval '5 minutes' ORDER BY xact_start LIMIT 20
"""
PREPARED = """
SELECT gid, extract(epoch FROM now() - prepared)::float8 FROM pg_prepared_xacts
WHERE database = current_database() ORDER BY prepared LIMIT 20
"""
