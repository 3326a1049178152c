-- The sample application, part three: rows, the same on every machine and every day. sandbox.scale multiplies them.

CREATE FUNCTION pg_temp.n(base integer) RETURNS integer LANGUAGE sql AS
  $$ SELECT greatest(1, ceil(base * current_setting('sandbox.scale')::float8)::integer) $$;
CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(kind || ' ' || n)::uuid $$;
CREATE FUNCTION pg_temp.at(n bigint, step interval) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
  $$ SELECT timestamptz '2026-01-05 08:00:00+00' + n * step $$;
-- Made-up words: `long` of them, chosen by the digest of a seed.
CREATE FUNCTION pg_temp.words(seed text, long integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT string_agg((ARRAY['amber', 'bridge', 'copper', 'delta', 'ember', 'fjord', 'garden', 'harbour', 'island',
    'jasmine', 'kettle', 'lantern', 'meadow', 'naïve', 'orchard', 'pebble'])[1 + get_byte(d, i % 16) % 16], ' ' ORDER BY i)
  FROM generate_series(0, long - 1) i, LATERAL (SELECT decode(md5(seed || i / 16), 'hex')) AS x(d)
$$;

INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token,
    recovery_token, email_change_token_new, email_change, last_sign_in_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
  SELECT '00000000-0000-0000-0000-000000000000', pg_temp.id('user', n), 'authenticated', 'authenticated',
    'user' || n || '@example.com', '$2a$10$' || substr(md5('salt ' || n) || md5('hash ' || n), 1, 53),
    CASE WHEN n % 17 <> 0 THEN pg_temp.at(n, '53 minutes') END, '', '', '', '', pg_temp.at(n, '71 minutes'),
    '{"provider": "email", "providers": ["email"]}',
    jsonb_build_object('full_name', initcap(pg_temp.words('user ' || n, 2))), pg_temp.at(n, '50 minutes'), pg_temp.at(n, '71 minutes')
  FROM generate_series(1, pg_temp.n(2000)) n;
INSERT INTO auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at, id)
  SELECT id::text, id, jsonb_build_object('sub', id, 'email', email), 'email', created_at, updated_at, md5('identity ' || id)::uuid
  FROM auth.users;
INSERT INTO auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
  SELECT pg_temp.id('session', n), pg_temp.id('user', 1 + n % pg_temp.n(2000)), pg_temp.at(n, '31 minutes'), pg_temp.at(n, '33 minutes'),
    'aal1', 'Mozilla/5.0', ('10.0.' || n % 200 || '.' || n % 250)::inet
  FROM generate_series(1, pg_temp.n(1500)) n;
INSERT INTO auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, session_id)
  SELECT '00000000-0000-0000-0000-000000000000', substr(md5('token ' || n), 1, 12), pg_temp.id('user', 1 + n % pg_temp.n(2000)),
    n % 3 = 0, pg_temp.at(n, '31 minutes'), pg_temp.at(n, '33 minutes'), pg_temp.id('session', n)
  FROM generate_series(1, pg_temp.n(1500)) n;
INSERT INTO auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)
  SELECT pg_temp.id('factor', n), pg_temp.id('user', n), 'phone', 'totp', 'verified', pg_temp.at(n, '1 hour'), pg_temp.at(n, '1 hour'), md5('totp ' || n)
  FROM generate_series(1, pg_temp.n(40)) n;
INSERT INTO auth.mfa_amr_claims
  SELECT pg_temp.id('session', n), pg_temp.at(n, '31 minutes'), pg_temp.at(n, '31 minutes'), 'password', pg_temp.id('amr', n)
  FROM generate_series(1, pg_temp.n(1500)) n;
INSERT INTO auth.one_time_tokens
  SELECT pg_temp.id('once', n), pg_temp.id('user', n), 'recovery_token', md5('once ' || n), 'user' || n || '@example.com',
    timestamp '2026-03-01' + n * interval '1 minute', timestamp '2026-03-01' + n * interval '1 minute'
  FROM generate_series(1, pg_temp.n(25)) n;
INSERT INTO auth.flow_state
  SELECT pg_temp.id('flow', n), pg_temp.id('user', n), md5('code ' || n), 's256', md5('challenge ' || n), 'github', 'oauth',
    pg_temp.at(n, '3 hours'), pg_temp.at(n, '3 hours')
  FROM generate_series(1, pg_temp.n(25)) n;
INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at)
  SELECT '00000000-0000-0000-0000-000000000000', pg_temp.id('audit', n), json_build_object('action', 'login', 'actor_id', pg_temp.id('user', n)),
    pg_temp.at(n, '11 minutes')
  FROM generate_series(1, pg_temp.n(3000)) n;

INSERT INTO storage.buckets (id, name, created_at, updated_at, public, file_size_limit, allowed_mime_types) VALUES
  ('avatars', 'avatars', '2026-01-05 08:00+00', '2026-01-05 08:00+00', true, 1048576, '{image/png,image/jpeg}'),
  ('attachments', 'attachments', '2026-01-05 08:00+00', '2026-01-05 08:00+00', false, NULL, NULL);
INSERT INTO storage.objects (id, bucket_id, name, owner, owner_id, created_at, updated_at, last_accessed_at, metadata, version)
  SELECT pg_temp.id('object', n), CASE WHEN n % 3 = 0 THEN 'attachments' ELSE 'avatars' END, u || '/' || n || '.png', u, u::text,
    pg_temp.at(n, '47 minutes'), pg_temp.at(n, '47 minutes'), pg_temp.at(n, '48 minutes'),
    jsonb_build_object('size', n * 37 % 100000, 'mimetype', 'image/png', 'eTag', md5('file ' || n)), pg_temp.id('version', n)::text
  FROM generate_series(1, pg_temp.n(1200)) n, LATERAL (SELECT pg_temp.id('user', 1 + n % pg_temp.n(2000))) x(u);

INSERT INTO public.organizations (id, slug, name, seat, plan, created_at)
  SELECT pg_temp.id('organization', n), 'org-' || n, initcap(pg_temp.words('organization ' || n, 2)) || ' ' || n,
    ROW(pg_temp.words('street ' || n, 1) || ' street ' || n, CASE WHEN n % 5 > 0 THEN 'Ålesund' END, lpad(n::text, 5, '0'))::public.address,
    CASE n % 3 WHEN 0 THEN 'team' ELSE 'free' END, pg_temp.at(n, '8 hours')
  FROM generate_series(1, pg_temp.n(100)) n;
INSERT INTO public.members (organization_id, user_id, role, invite_code, joined_at)
  SELECT pg_temp.id('organization', 1 + n % pg_temp.n(100)), pg_temp.id('user', n),
    (CASE WHEN n <= pg_temp.n(100) THEN 'owner' WHEN n % 10 = 0 THEN 'admin' WHEN n % 10 = 9 THEN 'guest' ELSE 'member' END)::public.member_role,
    left(md5('invite ' || n), 24), pg_temp.at(n, '52 minutes')
  FROM generate_series(1, pg_temp.n(2000)) n;
UPDATE public.organizations o SET owner_member = m.id FROM public.members m WHERE m.organization_id = o.id AND m.role = 'owner';
INSERT INTO public.projects (id, organization_id, name, budget, runs, tags, archived, created_at)
  SELECT pg_temp.id('project', n), pg_temp.id('organization', 1 + n % pg_temp.n(100)), initcap(pg_temp.words('project ' || n, 3)),
    n * 1234.56, daterange('2026-01-01'::date + n % 90, CASE WHEN n % 4 > 0 THEN '2026-06-01'::date + n % 200 END),
    CASE n % 4 WHEN 0 THEN '{}' ELSE ARRAY[pg_temp.words('tag ' || n, 1), 'with, comma', 'quo"te', NULL] END, n % 9 = 0, pg_temp.at(n, '3 hours')
  FROM generate_series(1, pg_temp.n(400)) n;
INSERT INTO public.tasks (organization_id, project_id, parent_id, assignee, title, body, state, earlier_states, estimate, details, priority,
    created_at, updated_at)
  SELECT pg_temp.id('organization', 1 + p % pg_temp.n(100)), pg_temp.id('project', p), CASE WHEN n % 6 = 0 AND n > 1 THEN n / 2 END,
    CASE WHEN n % 4 > 0 THEN pg_temp.id('user', 1 + n % pg_temp.n(2000)) END, initcap(pg_temp.words('task ' || n, 4)),
    CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN E'- one\n- two\ttabbed \\ back' ELSE pg_temp.words('body ' || n, 8) END,
    (enum_range(NULL::public.task_state))[1 + n % 5], CASE WHEN n % 5 > 0 THEN (enum_range(NULL::public.task_state))[1:n % 5] ELSE '{}' END,
    n % 40 * interval '30 minutes', jsonb_build_object('n', n, 'ratio', n / 7.0, 'emoji', '🪴'), 1 + n % 5,
    pg_temp.at(n, '7 minutes'), pg_temp.at(n, '8 minutes')
  FROM generate_series(1, pg_temp.n(9000)) n, LATERAL (SELECT 1 + n % pg_temp.n(400)) x(p);
INSERT INTO public.labels (organization_id, name, colour)
  SELECT CASE WHEN n > 5 THEN pg_temp.id('organization', 1 + n % pg_temp.n(100)) END, 'label ' || n, '#' || left(md5('colour ' || n), 6)
  FROM generate_series(1, pg_temp.n(300)) n;
INSERT INTO public.task_labels SELECT n, 1 + n % pg_temp.n(300) FROM generate_series(1, pg_temp.n(6000)) n;
INSERT INTO public.comments
  SELECT pg_temp.id('comment', n), 1 + n % pg_temp.n(9000), pg_temp.id('user', 1 + n % pg_temp.n(2000)),
    'Seen: ' || md5('comment ' || n) || CASE WHEN n % 50 = 0 THEN E'\n\n' || repeat('A longer line of text, again. ', 20) ELSE '' END,
    pg_temp.at(n, '5 minutes')
  FROM generate_series(1, pg_temp.n(12000)) n;
INSERT INTO public.attachments (task_id, content)
  SELECT n * 7, decode(repeat(md5('content ' || n) || '00ff', 1 + n * 7 % 300), 'hex') FROM generate_series(1, pg_temp.n(250)) n;
INSERT INTO public.bookings
  SELECT pg_temp.id('booking', n), n % 12, tstzrange(pg_temp.at(n, '1 hour'), pg_temp.at(n, '1 hour') + interval '90 minutes'), pg_temp.id('user', n)
  FROM generate_series(1, pg_temp.n(600)) n;
INSERT INTO public.task_history
  SELECT 1 + n % 500, pg_temp.at(n % 900, '1 hour'), 'todo', 'doing' FROM generate_series(1, pg_temp.n(3000)) n;
INSERT INTO public.search_cache SELECT pg_temp.words('term ' || n, 2) || n, ARRAY[n, n * 2] FROM generate_series(1, pg_temp.n(50)) n;
INSERT INTO public.activity
  SELECT n, pg_temp.at(n, '15 minutes'), pg_temp.id('organization', 1 + n % pg_temp.n(100)), (ARRAY['view', 'edit', 'share'])[1 + n % 3],
    n / 3.0::float8, CASE WHEN n % 2 = 0 THEN jsonb_build_object('path', '/p/' || n) END
  FROM generate_series(1, pg_temp.n(10000)) n;

INSERT INTO billing.invoices (region, organization_id, net, tax_rate, issued_on)
  SELECT (ARRAY['de', 'fr', 'it', 'us', 'jp'])[1 + n % 5], pg_temp.id('organization', 1 + n % pg_temp.n(100)), n * 3.17, CASE WHEN n % 5 = 3 THEN 0 ELSE 0.19 END,
    '2026-01-31'::date + n % 150
  FROM generate_series(1, pg_temp.n(1500)) n;
INSERT INTO billing.payments
  SELECT md5('payment ' || number)::uuid, region, number, net, issued_on + interval '14 days' FROM billing.invoices WHERE number % 30 = 0;

INSERT INTO public."Größe & Maße"
  SELECT 'A-' || n || CASE n % 3 WHEN 0 THEN '/ß' ELSE '' END, n / 7.0, CASE WHEN n % 2 = 0 THEN 'hi, "you"' END, n FROM generate_series(1, 200) n;
INSERT INTO public.every_type VALUES
  (1, 'NaN', 'Infinity', '{"b": 1,  "a": [1, 2.50]}', '{"b": 1, "a": [1, 2.50], "ü": null}', '::1', '10.0.0.0/8', '08:00:2b:01:02:03',
   '23:59:59.999999', '12:00:00+05:30', 'infinity', '-infinity', B'1011', '(1.5,-2)', '{[1,3),[7,9)}', '{{1,2},{3,4}}', ROW('a,b', NULL, '"x"'), NULL, ''),
  (2, 12345678901234567890.123456789, 0.1::float8 + 0.2::float8, 'null', 'null', '192.168.0.1/24', '2001:db8::/32', NULL,
   '24:00:00', '00:00:00-11', '0044-03-15 12:00:00 BC', '5874897-12-31', B'', '(0,0)', '{}', '[0:1][-1:0]={{1,NULL},{3,4}}', NULL, NULL, E'a\tb\nc\\N\r''"$1'),
  (3, -0.000, '-0', '"\u00e9"', '"\u00e9"', NULL, NULL, NULL, '00:00', '00:00:00.1+00', '1999-12-31 23:59:59.5', '0001-01-01', NULL, NULL, NULL, '{}',
   ROW(NULL, NULL, NULL), NULL, '\N'),
  (4, 1e-20, 1 / 3.0::float8, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, repeat('long ', 20000));

REFRESH MATERIALIZED VIEW public.project_totals;
ANALYZE;
DROP FUNCTION pg_temp.words(text, integer), pg_temp.at(bigint, interval), pg_temp.id(text, bigint), pg_temp.n(integer);
