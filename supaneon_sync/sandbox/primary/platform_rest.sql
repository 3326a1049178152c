-- The other platform schemas, small: realtime, graphql, vault, pgbouncer, and the platform's event triggers.

CREATE SCHEMA realtime;
GRANT USAGE ON SCHEMA realtime TO postgres, anon, authenticated, service_role;
GRANT ALL ON SCHEMA realtime TO supabase_realtime_admin;

SET ROLE supabase_realtime_admin;
CREATE TYPE realtime.equality_op AS ENUM ('eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'in');
CREATE TYPE realtime.user_defined_filter AS (column_name text, op realtime.equality_op, value text);
CREATE TABLE realtime.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0));
CREATE TABLE realtime.subscription (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscription_id uuid NOT NULL,
  entity regclass NOT NULL,
  filters realtime.user_defined_filter[] NOT NULL DEFAULT '{}',
  claims jsonb NOT NULL,
  created_at timestamp NOT NULL DEFAULT timezone('utc', now())
);
CREATE TABLE realtime.messages (
  topic text NOT NULL,
  extension text NOT NULL,
  payload jsonb,
  event text,
  private boolean DEFAULT false,
  updated_at timestamp NOT NULL DEFAULT now(),
  inserted_at timestamp NOT NULL DEFAULT now(),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  PRIMARY KEY (id, inserted_at)
) PARTITION BY RANGE (inserted_at);
CREATE TABLE realtime.messages_2026_06_01 PARTITION OF realtime.messages
  FOR VALUES FROM ('2026-06-01') TO ('2026-06-02');
CREATE TABLE realtime.messages_2026_06_02 PARTITION OF realtime.messages
  FOR VALUES FROM ('2026-06-02') TO ('2026-06-03');
ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON realtime.messages TO postgres, anon, authenticated, service_role;
INSERT INTO realtime.schema_migrations SELECT 20211116000000 + n, timestamp '2026-01-01' FROM generate_series(1, 60) n;

CREATE FUNCTION realtime.topic() RETURNS text LANGUAGE sql STABLE AS
  $$ SELECT nullif(current_setting('realtime.topic', true), '') $$;
CREATE FUNCTION realtime.send(payload jsonb, event text, topic text, private boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO realtime.messages (payload, event, topic, private, extension)
    VALUES (send.payload, send.event, send.topic, send.private, 'broadcast');
EXCEPTION WHEN check_violation THEN  -- no partition for today: the service makes them
  RAISE WARNING 'realtime.send: %', SQLERRM;
END
$$;
RESET ROLE;
-- Sets what only a superuser may set, so a copy elsewhere cannot have it as it is.
CREATE FUNCTION realtime.list_changes(publication name, slot_name name) RETURNS SETOF text
LANGUAGE sql SET log_min_messages = 'fatal' AS
  $$ SELECT p.tablename::text FROM pg_publication_tables p WHERE p.pubname = publication AND slot_name IS NOT NULL $$;

CREATE SCHEMA graphql;
CREATE SCHEMA graphql_public;
GRANT USAGE ON SCHEMA graphql, graphql_public TO postgres, anon, authenticated, service_role;
CREATE FUNCTION graphql_public.graphql("operationName" text DEFAULT NULL, query text DEFAULT NULL,
  variables jsonb DEFAULT NULL, extensions jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS
  $$ SELECT jsonb_build_object('errors', jsonb_build_array(jsonb_build_object('message', 'pg_graphql is not enabled'))) $$;

CREATE SCHEMA vault;
GRANT USAGE ON SCHEMA vault TO postgres, service_role;
CREATE TABLE vault.secrets (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text,
  description text NOT NULL DEFAULT '',
  secret text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE VIEW vault.decrypted_secrets AS SELECT id, name, description, NULL::text AS decrypted_secret FROM vault.secrets;

CREATE SCHEMA pgbouncer AUTHORIZATION pgbouncer;
CREATE FUNCTION pgbouncer.get_auth(name text) RETURNS TABLE (username text, password text)
LANGUAGE sql SECURITY DEFINER SET search_path = '' AS
  $$ SELECT a.rolname::text, a.rolpassword FROM pg_catalog.pg_authid a WHERE a.rolname = name AND NOT a.rolsuper $$;
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO pgbouncer;

CREATE SCHEMA supabase_migrations AUTHORIZATION postgres;
SET ROLE postgres;
CREATE TABLE supabase_migrations.schema_migrations (
  version text PRIMARY KEY,
  statements text[],
  name text
);
CREATE TABLE supabase_migrations.seed_files (path text PRIMARY KEY, hash text NOT NULL);
CREATE PUBLICATION supabase_realtime;
RESET ROLE;

-- Event triggers: each tells the API's server that the schema changed, or opens an extension's schema.
DO $$
DECLARE
  opened text;
BEGIN
  FOREACH opened IN ARRAY ARRAY['pg_net', 'pg_cron', 'pg_graphql'] LOOP
    EXECUTE format($make$
      CREATE FUNCTION extensions.%I() RETURNS event_trigger LANGUAGE plpgsql AS $body$
      BEGIN
        IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c JOIN pg_extension e ON e.oid = c.objid
                   WHERE c.classid = 'pg_extension'::regclass AND e.extname = %L) THEN
          RAISE NOTICE 'opening the schema of %%', %L;
        END IF;
      END
      $body$ $make$, 'grant_' || opened || '_access', opened, opened);
    EXECUTE format(
      'CREATE EVENT TRIGGER %I ON ddl_command_end WHEN TAG IN (''CREATE EXTENSION'') EXECUTE FUNCTION extensions.%I()',
      'issue_' || opened || '_access', 'grant_' || opened || '_access');
  END LOOP;
END
$$;
CREATE FUNCTION extensions.set_graphql_placeholder() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE d.object_identity = 'pg_graphql') THEN
    RAISE NOTICE 'pg_graphql is gone';
  END IF;
END
$$;
CREATE FUNCTION extensions.pgrst_ddl_watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c WHERE c.schema_name IS DISTINCT FROM 'pg_temp') THEN
    NOTIFY pgrst, 'reload schema';
  END IF;
END
$$;
CREATE FUNCTION extensions.pgrst_drop_watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE NOT d.is_temporary) THEN
    NOTIFY pgrst, 'reload schema';
  END IF;
END
$$;
CREATE EVENT TRIGGER issue_graphql_placeholder ON sql_drop WHEN TAG IN ('DROP EXTENSION')
  EXECUTE FUNCTION extensions.set_graphql_placeholder();
CREATE EVENT TRIGGER pgrst_ddl_watch ON ddl_command_end EXECUTE FUNCTION extensions.pgrst_ddl_watch();
CREATE EVENT TRIGGER pgrst_drop_watch ON sql_drop EXECUTE FUNCTION extensions.pgrst_drop_watch();
