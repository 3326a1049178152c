-- The sample application, part two: indexes, functions, triggers, views, row level security, grants.

CREATE INDEX tasks_open_idx ON public.tasks (project_id, priority) WHERE state <> 'done';
CREATE INDEX tasks_search_idx ON public.tasks USING gin (search);
CREATE INDEX tasks_details_idx ON public.tasks USING gin (details jsonb_path_ops);
CREATE INDEX tasks_title_trgm_idx ON public.tasks USING gin (title extensions.gin_trgm_ops);
CREATE INDEX tasks_parent_idx ON public.tasks (parent_id);
CREATE INDEX projects_name_idx ON public.projects (lower(name)) INCLUDE (archived);
CREATE INDEX comments_task_idx ON public.comments (task_id, created_at DESC);
CREATE INDEX members_user_idx ON public.members (user_id);
CREATE INDEX activity_occurred_idx ON public.activity USING brin (occurred_at);
CREATE STATISTICS public.tasks_state_priority ON state, priority FROM public.tasks;
ALTER TABLE public.tasks ALTER COLUMN state SET STATISTICS 200;

-- security definer, so that the policies on members do not ask themselves
CREATE FUNCTION public.is_member(organization uuid, lowest public.member_role DEFAULT 'guest') RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
  SELECT EXISTS (SELECT FROM public.members m
                 WHERE m.organization_id = organization AND m.user_id = auth.uid() AND m.role <= lowest)
$$;
CREATE FUNCTION public.open_task_count(project uuid) RETURNS bigint LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT count(*) FROM public.tasks t WHERE t.project_id = open_task_count.project AND t.state <> 'done';
END;
COMMENT ON FUNCTION public.open_task_count(uuid) IS 'Tasks of a project that are not done';
-- Names nothing by schema: it works only where the search path holds extensions.
CREATE FUNCTION public.new_invite_code() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN encode(digest(gen_random_uuid()::text, 'sha256'), 'hex');
END
$$;
CREATE FUNCTION public.longer(a text, b text) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN length(b) > length(coalesce(a, '')) THEN b ELSE a END $$;
CREATE AGGREGATE public.longest(text) (SFUNC = public.longer, STYPE = text);
CREATE PROCEDURE billing.close_month(month date) LANGUAGE sql AS
  $$ UPDATE billing.invoices SET tax_rate = tax_rate WHERE issued_on BETWEEN month AND month + 30 $$;

CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  INSERT INTO public.profiles (id, display_name, email, created_at, updated_at)
    VALUES (NEW.id, coalesce(NEW.raw_user_meta_data ->> 'full_name', split_part(NEW.email, '@', 1)), NEW.email,
            coalesce(NEW.created_at, now()), coalesce(NEW.created_at, now()));
  RETURN NEW;
END
$$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
  FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();

CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END
$$;
CREATE FUNCTION public.note_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.task_history VALUES (NEW.id, now(), OLD.state, NEW.state);
  RETURN NULL;
END
$$;
CREATE TRIGGER tasks_touch BEFORE UPDATE ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER profiles_touch BEFORE UPDATE ON public.profiles FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER tasks_note_state AFTER UPDATE OF state ON public.tasks FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION public.note_state();
-- Two triggers whose firing was changed on purpose.
CREATE TRIGGER tasks_note_state_twice AFTER UPDATE OF state ON public.tasks FOR EACH ROW
  EXECUTE FUNCTION public.note_state();
ALTER TABLE public.tasks DISABLE TRIGGER tasks_note_state_twice;
ALTER TABLE public.profiles ENABLE ALWAYS TRIGGER profiles_touch;

CREATE VIEW public.open_tasks WITH (security_invoker = true) AS
  SELECT t.id, t.title, t.state, p.name AS project, t.assignee
  FROM public.tasks t JOIN public.projects p ON p.id = t.project_id
  WHERE t.state NOT IN ('done', 'won''t do') AND NOT p.archived;
CREATE VIEW public.organization_directory WITH (security_barrier = true) AS
  SELECT o.id, o.slug, o.name, (o.seat).city, (SELECT count(*) FROM public.members m WHERE m.organization_id = o.id) AS members
  FROM public.organizations o;
CREATE MATERIALIZED VIEW public.project_totals AS
  SELECT p.id AS project_id, count(t.id) AS tasks, count(t.id) FILTER (WHERE t.state = 'done') AS done, longest(t.title) AS longest_title
  FROM public.projects p LEFT JOIN public.tasks t ON t.project_id = p.id
  GROUP BY p.id
  WITH NO DATA;
CREATE UNIQUE INDEX project_totals_key ON public.project_totals (project_id);

ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.comments ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.comments FORCE ROW LEVEL SECURITY;
ALTER TABLE public.activity ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.feature_flags ENABLE ROW LEVEL SECURITY;
ALTER TABLE billing.invoices ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Signed in users see each other" ON public.profiles FOR SELECT TO authenticated USING (true);
CREATE POLICY "A profile is its user's" ON public.profiles FOR UPDATE TO authenticated
  USING (id = auth.uid()) WITH CHECK (id = auth.uid());
CREATE POLICY members_see_their_organization ON public.organizations FOR SELECT TO authenticated
  USING (public.is_member(id));
CREATE POLICY members_see_members ON public.members FOR SELECT TO authenticated
  USING (public.is_member(organization_id));
CREATE POLICY admins_invite ON public.members FOR INSERT TO authenticated
  WITH CHECK (public.is_member(organization_id, 'admin'));
CREATE POLICY members_see_projects ON public.projects FOR SELECT TO authenticated
  USING (public.is_member(organization_id));
CREATE POLICY members_work_on_tasks ON public.tasks FOR ALL TO authenticated
  USING (public.is_member(organization_id)) WITH CHECK (public.is_member(organization_id, 'member'));
CREATE POLICY nobody_assigns_strangers ON public.tasks AS RESTRICTIVE FOR INSERT TO authenticated
  WITH CHECK (assignee IS NULL OR auth.role() = 'authenticated');
CREATE POLICY comments_follow_tasks ON public.comments FOR SELECT TO authenticated
  USING (EXISTS (SELECT FROM public.tasks t WHERE t.id = task_id));
CREATE POLICY comments_are_their_authors ON public.comments FOR ALL TO authenticated
  USING (author = auth.uid()) WITH CHECK (author = auth.uid());
CREATE POLICY members_see_activity ON public.activity FOR SELECT TO authenticated
  USING (public.is_member(organization_id));
CREATE POLICY flags_are_public ON public.feature_flags FOR SELECT USING (true);
CREATE POLICY reporting_reads_invoices ON billing.invoices FOR SELECT TO app_reporting USING (region <> 'us');
COMMENT ON POLICY admins_invite ON public.members IS 'Owners are admins too: the enum''s order says so';

GRANT SELECT ON ALL TABLES IN SCHEMA billing TO app_reporting;
GRANT ALL ON ALL TABLES IN SCHEMA billing TO service_role;
GRANT USAGE ON SEQUENCE billing.invoice_number TO service_role;
REVOKE ALL ON public.every_type, public.search_cache FROM anon;
REVOKE UPDATE ON public.profiles FROM authenticated;
GRANT UPDATE (display_name, preferences, avatar_path) ON public.profiles TO authenticated;
REVOKE EXECUTE ON FUNCTION public.new_invite_code() FROM PUBLIC, anon;
COMMENT ON TABLE public.tasks IS 'What is to be done.
Comments may have several lines, "quotes" and \backslashes';
COMMENT ON COLUMN public.tasks.estimate IS 'working time';

ALTER TABLE public.task_history REPLICA IDENTITY FULL;
ALTER PUBLICATION supabase_realtime ADD TABLE public.tasks, public.comments, public.task_history;
ALTER SEQUENCE billing.invoice_number OWNED BY NONE;

INSERT INTO supabase_migrations.schema_migrations VALUES
  ('20260105080000', ARRAY['create schema billing', 'create table public.profiles (…)'], 'start'),
  ('20260212093000', ARRAY['alter table public.tasks add column estimate interval'], 'estimates');
INSERT INTO supabase_migrations.seed_files VALUES ('supabase/seed.sql', md5('seed'));
