-- A working day: people sign up, work and clean up, and one migration is applied. sandbox.day tells days apart.

CREATE FUNCTION pg_temp.day() RETURNS integer LANGUAGE sql STABLE AS $$ SELECT current_setting('sandbox.day')::integer $$;
CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid LANGUAGE sql STABLE AS
  $$ SELECT md5('day ' || pg_temp.day() || ' ' || kind || ' ' || n)::uuid $$;

INSERT INTO auth.users (instance_id, id, aud, role, email, email_confirmed_at, raw_user_meta_data, created_at, updated_at)
  SELECT '00000000-0000-0000-0000-000000000000', pg_temp.id('user', n), 'authenticated', 'authenticated',
    'day' || pg_temp.day() || '-' || n || '@example.com', now(), jsonb_build_object('full_name', 'New Person ' || n), now(), now()
  FROM generate_series(1, 30) n;
INSERT INTO public.tasks (organization_id, project_id, title, body, assignee)
  SELECT p.organization_id, p.id, 'Day ' || pg_temp.day() || ', task ' || n, 'written today', pg_temp.id('user', n)
  FROM generate_series(1, 30) n, LATERAL (SELECT id, organization_id FROM public.projects ORDER BY id OFFSET n LIMIT 1) p;
INSERT INTO public.comments (id, task_id, author, body)
  SELECT pg_temp.id('comment', t.id), t.id, t.assignee, 'Done by Friday' FROM public.tasks t WHERE t.title LIKE 'Day ' || pg_temp.day() || ',%';
UPDATE public.tasks SET state = 'done' WHERE id % 97 = pg_temp.day() % 97 AND state <> 'done';
UPDATE public.tasks SET details = details || '{"seen": true}' WHERE id % 211 = pg_temp.day() % 211;
UPDATE public.profiles SET preferences = '{"theme": "dark"}' WHERE get_byte(uuid_send(id), 3) = pg_temp.day() % 256;
DELETE FROM public.comments WHERE get_byte(uuid_send(id), 5) = pg_temp.day() % 256;
DELETE FROM public.tasks WHERE id % 1009 = pg_temp.day() % 1009;
INSERT INTO public.activity
  SELECT 1000000 * pg_temp.day() + n, timestamptz '2026-04-20 09:00+00' + pg_temp.day() * interval '1 day' + n * interval '1 minute', o.id, 'view', n / 3.0::float8, NULL
  FROM generate_series(1, 200) n, LATERAL (SELECT id FROM public.organizations ORDER BY id OFFSET n % 10 LIMIT 1) o;
INSERT INTO billing.invoices (region, organization_id, net, issued_on)
  SELECT 'fr', id, 99.50, date '2026-06-01' + pg_temp.day() FROM public.organizations ORDER BY id LIMIT 20;
TRUNCATE public.search_cache;
REFRESH MATERIALIZED VIEW public.project_totals;

DO $$
BEGIN
  EXECUTE format('CREATE TABLE public.announcements_%s (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,'
    ' headline text NOT NULL, shown_until date)', pg_temp.day());
  EXECUTE format('ALTER TABLE public.announcements_%s ENABLE ROW LEVEL SECURITY', pg_temp.day());
  EXECUTE format('INSERT INTO public.announcements_%s (headline)'
    ' SELECT ''News of day '' || $1 || '', part '' || n FROM generate_series(1, 12) n', pg_temp.day()) USING pg_temp.day();
END
$$;
INSERT INTO supabase_migrations.schema_migrations VALUES
  ((20260501000000 + pg_temp.day())::text, ARRAY['create table public.announcements (…)'], 'announcements');

DROP FUNCTION pg_temp.id(text, bigint), pg_temp.day();
