-- Checks a branch against its manifest with nothing but psql:
--
--   psql "postgresql://neondb_owner:…@HOST/supaneon?sslmode=require" -f docs/check-branch.sql
--
-- The first table shows the manifest's digest: compare it with the branch's annotation "supaneon-manifest", which
-- Neon's API tells and SQL cannot change. Then every table and sequence is compared; nothing is written.
-- The exit code is 3 where anything differs.

\set ON_ERROR_STOP on
\set QUIET on
\pset footer off

SELECT digest AS "digest of the manifest", digest = encode(sha256(convert_to(body, 'UTF8')), 'hex') AS "is that of its text",
       body::jsonb ->> 'snapshot_time' AS "snapshot of the primary", body::jsonb ->> 'format' AS format
FROM supaneon.manifest;
SELECT body, body::jsonb #>> '{target,database}' AS database FROM supaneon.manifest \gset
\connect :"database"

SET search_path = pg_catalog; SET row_security = off; SET extra_float_digits = 3; SET bytea_output = hex;
SET DateStyle = ISO, YMD; SET IntervalStyle = postgres; SET TimeZone = UTC; SET xmloption = content; SET lc_monetary = "C";
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- One SELECT a table. A fingerprint is two sums of seeded hashes of the rows, modulo 2^64, as hexadecimal digits.
-- "server": of each row's text. "binary": of its binary form. "stream": only the tool can compute that one, so
-- the manifest also holds what the copy itself gave by "server", where the copy could be asked.
WITH manifest AS (
  SELECT :'body'::jsonb AS body
), tables AS (
  SELECT format('%I.%I', t.schema, t.name) AS name, to_regclass(format('%I.%I', t.schema, t.name)) AS oid, t.rows,
         CASE t.method WHEN 'stream' THEN 'server' ELSE t.method END AS method,
         CASE t.method WHEN 'stream' THEN t.copy ELSE t.fingerprint END AS fingerprint,
         body #>> '{seed,0}' AS first, body #>> '{seed,1}' AS second
  FROM manifest, jsonb_to_recordset(body -> 'tables')
       AS t (schema text, name text, rows bigint, method text, fingerprint text, copy text)
), columns AS (
  SELECT attrelid, string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS list FROM pg_attribute
  WHERE attnum > 0 AND NOT attisdropped AND attgenerated <> 'v' GROUP BY attrelid
), hashes AS (
  SELECT t.*, CASE method
    WHEN 'server' THEN 'hashtextextended(textin(record_out(ROW(' || coalesce(list, '') || '))) COLLATE "C", '
    WHEN 'binary' THEN 'hash_record_extended(ROW(record_send(ROW(' || coalesce(list, '') || '))), ' END AS hash
  FROM tables t LEFT JOIN columns ON attrelid = oid
), asked AS (
  SELECT name, CASE
    WHEN oid IS NULL THEN format('SELECT %L, NULL::bigint, %s::bigint, %L', name, rows, 'MISSING')
    WHEN fingerprint IS NULL OR hash IS NULL THEN format(
      'SELECT %L, count(*), %s, CASE count(*) WHEN %2$s THEN %L ELSE %L END FROM ONLY %s', name, rows,
      'as many rows; their contents are for restore-test alone', 'DIFFERS', oid)
    ELSE format(
      'SELECT %L, count(*), %s, CASE WHEN count(*) = %2$s'
      ' AND mod(coalesce(sum(%s), 0) - %s, 18446744073709551616) = 0'
      ' AND mod(coalesce(sum(%s), 0) - %s, 18446744073709551616) = 0 THEN %L ELSE %L END FROM ONLY %s',
      name, rows, hash || first || ')', ('x' || left(fingerprint, 16))::bit(64)::bigint,
      hash || second || ')', ('x' || right(fingerprint, 16))::bit(64)::bigint, 'equal', 'DIFFERS', oid)
    END AS statement
  FROM hashes
), sequences AS (
  SELECT format('%I.%I', s.schema, s.name) AS name, to_regclass(format('%I.%I', s.schema, s.name)) AS oid,
         s.last_value, s.is_called
  FROM manifest, jsonb_to_recordset(body -> 'sequences')
       AS s (schema text, name text, last_value bigint, is_called boolean)
), all_asked AS (
  SELECT name, statement FROM asked UNION ALL
  SELECT name, CASE WHEN oid IS NULL THEN format('SELECT %L, NULL::bigint, %s::bigint, %L', name, last_value, 'MISSING')
    ELSE format('SELECT %L, last_value, %s, CASE WHEN (last_value, is_called) = (%2$s, %L) THEN %L ELSE %L END FROM %s',
                name, last_value, is_called, 'equal', 'DIFFERS', oid) END
  FROM sequences
)
SELECT string_agg(statement, ' UNION ALL ' ORDER BY name) AS statement FROM all_asked \gset
SELECT coalesce(jsonb_agg(found), '[]') AS found FROM (:statement) AS found (name, there, recorded, result) \gset
COMMIT;

SELECT name AS "table or sequence", there AS "rows or value", recorded, result
FROM jsonb_to_recordset(:'found') AS found (name text, there bigint, recorded bigint, result text) ORDER BY 1;
SELECT count(*) FILTER (WHERE result = 'equal') AS equal,
       count(*) FILTER (WHERE result IN ('DIFFERS', 'MISSING')) AS different,
       count(*) FILTER (WHERE result LIKE 'as many%') AS numbered,
       coalesce(bool_or(result IN ('DIFFERS', 'MISSING')), false) AS wrong
FROM jsonb_to_recordset(:'found') AS found (name text, result text) \gset
\echo :equal equal, :different different, :numbered by number alone
\if :wrong
DO $$ BEGIN RAISE EXCEPTION 'this branch does not hold what its manifest says'; END $$;
\endif
