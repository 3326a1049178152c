-- The town as every story begins: each kind of table, key, rule and reference that a copy has to get right.
-- Run by postgres. Nothing here is random: the same rows on every machine.

CREATE SCHEMA town;
CREATE SCHEMA "town ""Odd"" Ñ";
GRANT USAGE ON SCHEMA town TO anon, authenticated, service_role;
CREATE TYPE town.mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE DOMAIN town.short AS varchar(40) CONSTRAINT allowed CHECK (VALUE <> 'forbidden');
CREATE TYPE town.place AS (street text, number integer);
CREATE FUNCTION town.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower($1) $$;
CREATE FUNCTION town.noise(n bigint, length integer) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT string_agg(md5(n || '-' || i), '') FROM generate_series(1, 1 + length / 32) i $$;
CREATE SEQUENCE town.ticket START 100;
CREATE SEQUENCE town.countdown AS smallint INCREMENT -7 MINVALUE -700 MAXVALUE 0 START -7 CYCLE CACHE 3;
SELECT nextval('town.ticket'), nextval('town.countdown');

-- Large enough for a comparison by ranges to pay; keys of every common kind.
CREATE TABLE town.by_integer (id integer PRIMARY KEY, n integer, body text, seen timestamptz);
INSERT INTO town.by_integer
  SELECT i, i % 97, town.noise(i, 96), timestamptz '2026-01-01 00:00+00' + i * interval '1 minute'
  FROM generate_series(1, 6000) i;
CREATE INDEX ON town.by_integer (n);
CREATE TABLE town.by_uuid (id uuid PRIMARY KEY, n integer, body jsonb);
INSERT INTO town.by_uuid
  SELECT md5(i::text)::uuid, i, jsonb_build_object('a', i, 'b', town.noise(i, 64)) FROM generate_series(1, 3000) i;
CREATE INDEX ON town.by_uuid USING gin (body jsonb_path_ops);
CREATE TABLE town.by_text (id text PRIMARY KEY, n integer, body text);
INSERT INTO town.by_text SELECT (CASE WHEN i % 2 = 0 THEN 'Ä' ELSE 'z' END) || md5(i::text), i, town.noise(i, 32)
  FROM generate_series(1, 3000) i;
CREATE TABLE town.by_pair (region text COLLATE "C", number bigint, body text, PRIMARY KEY (region, number));
INSERT INTO town.by_pair SELECT chr(97 + i % 5), i - 1000, town.noise(i, 32) FROM generate_series(1, 2500) i;
CREATE TABLE town.by_huge (id bigint PRIMARY KEY, body text);
INSERT INTO town.by_huge VALUES (-9223372036854775808, 'lowest'), (9223372036854775807, 'highest'), (0, 'nought');
INSERT INTO town.by_huge SELECT i * 4611686018427387 - 4611686018427387904, 'n' || i FROM generate_series(1, 1500) i;
CREATE TABLE town.by_unique (code text NOT NULL, side integer NOT NULL, body text);
CREATE UNIQUE INDEX by_unique_key ON town.by_unique (side DESC, code) INCLUDE (body);
INSERT INTO town.by_unique SELECT 'c' || i, i % 3, 'b' || i FROM generate_series(1, 1200) i;
-- Unique, but not for every row: no key at all.
CREATE TABLE town.half_keyed (id integer UNIQUE, name text, body text);
CREATE UNIQUE INDEX ON town.half_keyed (name) WHERE body IS NOT NULL;
CREATE UNIQUE INDEX ON town.half_keyed ((id + 1), (name || 'x')) NULLS DISTINCT;
INSERT INTO town.half_keyed SELECT nullif(i % 400, 0), 'n' || i, CASE WHEN i < 390 THEN 'b' || i END
  FROM generate_series(1, 399) i;
INSERT INTO town.half_keyed SELECT NULL, 'same', NULL FROM generate_series(1, 4);
CREATE TABLE town.heap (a integer, b text);
INSERT INTO town.heap SELECT i % 40, 'b' || i % 7 FROM generate_series(1, 800) i;
INSERT INTO town.heap SELECT NULL, NULL FROM generate_series(1, 5);
CREATE TABLE town.nothing ();
INSERT INTO town.nothing DEFAULT VALUES;
INSERT INTO town.nothing DEFAULT VALUES;
CREATE TABLE town.empty (id integer PRIMARY KEY, v text);
CREATE UNLOGGED TABLE town.unlogged (id integer PRIMARY KEY, v text);
INSERT INTO town.unlogged SELECT i, 'u' FROM generate_series(1, 20) i;

-- One table for each further type of key, with values that compare equal and are written otherwise.
DO $$
DECLARE
  one record;
BEGIN
  FOR one IN SELECT * FROM (VALUES
    ('numeric', ARRAY['1.0', '2.50', 'NaN', 'Infinity', '-Infinity', '0', '1e-20', '123456789012345678901234567890']),
    ('float8', ARRAY['0', 'NaN', 'Infinity', '-Infinity', '0.1', '1e-308', '-2.5', '0.30000000000000004']),
    ('float4', ARRAY['0', 'NaN', '0.1', '16777216']),
    ('extensions.citext', ARRAY['Alice', 'bob', 'ÉCOLE', '']),
    ('character(6)', ARRAY['ab', 'ab1', '', 'z']),
    ('jsonb', ARRAY['{"a": 1.0}', '1', '"1"', 'null', '[1, 2.50]']),
    ('interval', ARRAY['1 month', '1 day', '-3 hours']),
    ('timestamptz', ARRAY['infinity', '-infinity', '2026-03-29 01:30+00', '0044-03-15 00:00+00 BC']),
    ('timetz', ARRAY['12:00+01', '24:00+00']),
    ('date', ARRAY['infinity', '2026-02-28', '0044-03-15 BC']),
    ('bytea', ARRAY['\x', '\x00', '\xdeadbeef', 'a\\b']),
    ('inet', ARRAY['10.0.0.1', '10.0.0.1/8', '::1']),
    ('integer[]', ARRAY['{1,NULL,3}', '{}', '{{1,2},{3,4}}']),
    ('town.mood', ARRAY['sad', 'happy']),
    ('town.short', ARRAY['', 'x y', 'ñandú']),
    ('town.place', ARRAY['(Main,1)', '("",)', '(,7)', '("a""b,c",0)']),
    ('int4range', ARRAY['[1,5)', 'empty', '(,)', '[9,9]']),
    ('"char"', ARRAY['a', '']),
    ('name', ARRAY['n', 'N']),
    ('oid', ARRAY['0', '4294967295']),
    ('boolean', ARRAY['t', 'f']),
    ('bit(3)', ARRAY['101', '000']),
    ('money', ARRAY['12.34', '-0.01'])
  ) AS kinds (kind, keys) LOOP
    EXECUTE format('CREATE TABLE town.%I (id %s PRIMARY KEY, v text)', 'key ' || one.kind, one.kind);
    EXECUTE format('INSERT INTO town.%I SELECT k::%s, ''v'' || n FROM unnest($1) WITH ORDINALITY AS t (k, n)',
      'key ' || one.kind, one.kind) USING one.keys;
  END LOOP;
END
$$;

-- Families, people and what hangs on them: references of every kind, cycles, unique values to be swapped.
CREATE TABLE town.families (
  id bigint PRIMARY KEY, name text NOT NULL UNIQUE, rank integer UNIQUE, note town.short, head integer);
INSERT INTO town.families SELECT i, 'Family ' || i, i, 'note ' || i FROM generate_series(1, 60) i;
CREATE TABLE town.people (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  family bigint REFERENCES town.families ON UPDATE CASCADE ON DELETE CASCADE,
  godparent integer REFERENCES town.people ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  seat integer NOT NULL UNIQUE,
  badge integer UNIQUE DEFERRABLE INITIALLY IMMEDIATE,
  name text NOT NULL CHECK (name <> ''),
  mood town.mood DEFAULT 'happy',
  home town.place,
  stays int4range,
  changed integer NOT NULL DEFAULT 0,
  label text GENERATED ALWAYS AS (name || '#' || seat) STORED,
  CONSTRAINT no_neighbours EXCLUDE USING gist (stays WITH &&));
INSERT INTO town.people (family, seat, badge, name, mood, home, stays)
  SELECT 1 + i % 60, i, 1000 - i, 'Person ' || i, (enum_range(NULL::town.mood))[1 + i % 3],
    ROW('Street ' || i % 9, i)::town.place, int4range(i * 10, i * 10 + 5)
  FROM generate_series(1, 400) i;
BEGIN;
UPDATE town.people SET godparent = 1 + (id * 7) % 400 WHERE id % 4 <> 0;
UPDATE town.families SET head = (SELECT min(p.id) FROM town.people p WHERE p.family = families.id);
COMMIT;
ALTER TABLE town.families ADD CONSTRAINT head_is_somebody FOREIGN KEY (head) REFERENCES town.people
  ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX people_plain ON town.people (town.plain(name));
CREATE INDEX people_hash ON town.people USING hash (badge);
CREATE INDEX people_happy ON town.people (name DESC NULLS LAST) WHERE mood = 'happy';
CREATE STATISTICS town.people_together ON family, mood FROM town.people;
CREATE TABLE town.pets (
  id uuid PRIMARY KEY,
  owner integer NOT NULL REFERENCES town.people ON DELETE CASCADE,
  keeper integer DEFAULT 1 REFERENCES town.people ON DELETE SET DEFAULT,
  vet integer REFERENCES town.people ON DELETE RESTRICT,
  name text);
INSERT INTO town.pets SELECT md5('pet' || i)::uuid, 1 + i % 400, 1 + i % 13, CASE WHEN i % 9 = 0 THEN 5 END, 'Pet ' || i
  FROM generate_series(1, 300) i;
CREATE TABLE town.houses (id integer PRIMARY KEY, area integer NOT NULL, UNIQUE (id, area));
CREATE TABLE town.rooms (
  house integer, area integer, number integer,
  PRIMARY KEY (house, number),
  FOREIGN KEY (house, area) REFERENCES town.houses (id, area) MATCH FULL ON UPDATE CASCADE ON DELETE NO ACTION
    DEFERRABLE INITIALLY IMMEDIATE);
INSERT INTO town.houses SELECT i, i * 10 FROM generate_series(1, 50) i;
INSERT INTO town.rooms SELECT 1 + i % 50, (1 + i % 50) * 10, i FROM generate_series(1, 150) i;
CREATE TABLE town.ring_a (id integer PRIMARY KEY, next integer NOT NULL);
CREATE TABLE town.ring_b (id integer PRIMARY KEY, next integer NOT NULL REFERENCES town.ring_a DEFERRABLE);
ALTER TABLE town.ring_a ADD FOREIGN KEY (next) REFERENCES town.ring_b DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO town.ring_a SELECT i, 1 + i % 20 FROM generate_series(1, 20) i;
INSERT INTO town.ring_b SELECT i, i FROM generate_series(1, 20) i;
COMMIT;
-- Rows that the table's own unvalidated rules forbid, but that stand.
CREATE TABLE town.lenient (id integer PRIMARY KEY, v integer, family bigint);
INSERT INTO town.lenient SELECT i, i - 5, i * 9 FROM generate_series(1, 10) i;
ALTER TABLE town.lenient ADD CONSTRAINT positive CHECK (v > 0) NOT VALID,
  ADD CONSTRAINT of_a_family FOREIGN KEY (family) REFERENCES town.families NOT VALID;

-- Triggers that write elsewhere or change what is written, in each of their states; rules that swallow.
CREATE TABLE town.journal (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, said text);
CREATE FUNCTION town.write_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO town.journal (said) VALUES (TG_NAME || ' ' || TG_OP || ' ' || TG_TABLE_NAME);
  RETURN NULL;
END
$$;
CREATE FUNCTION town.count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.changed := OLD.changed + 1;
  RETURN NEW;
END
$$;
CREATE FUNCTION town.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER counts BEFORE UPDATE ON town.people FOR EACH ROW EXECUTE FUNCTION town.count_change();
CREATE TRIGGER writes AFTER INSERT OR UPDATE OR DELETE ON town.families
  FOR EACH ROW EXECUTE FUNCTION town.write_down();
CREATE TRIGGER sleeps AFTER INSERT OR UPDATE OR DELETE ON town.families
  FOR EACH ROW EXECUTE FUNCTION town.write_down();
ALTER TABLE town.families DISABLE TRIGGER sleeps;
CREATE TRIGGER always AFTER INSERT OR UPDATE OR DELETE ON town.houses EXECUTE FUNCTION town.write_down();
ALTER TABLE town.houses ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER only_replica AFTER INSERT OR UPDATE OR DELETE ON town.houses EXECUTE FUNCTION town.write_down();
ALTER TABLE town.houses ENABLE REPLICA TRIGGER only_replica;
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE OR DELETE ON town.pets DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION town.write_down();
CREATE TABLE town.sealed (id integer PRIMARY KEY, v text);
INSERT INTO town.sealed SELECT i, 'v' || i FROM generate_series(1, 30) i;
CREATE TRIGGER nobody_writes BEFORE INSERT OR UPDATE OR DELETE ON town.sealed
  FOR EACH ROW EXECUTE FUNCTION town.refuse();
ALTER TABLE town.sealed ENABLE ALWAYS TRIGGER nobody_writes;
CREATE TABLE town.ruled (id integer PRIMARY KEY, v text);
INSERT INTO town.ruled SELECT i, 'v' || i FROM generate_series(1, 30) i;
CREATE RULE inserts_are_told AS ON INSERT TO town.ruled DO ALSO INSERT INTO town.journal (said) VALUES ('ruled');
CREATE RULE no_updates AS ON UPDATE TO town.ruled DO INSTEAD NOTHING;
CREATE RULE no_deletes AS ON DELETE TO town.ruled DO INSTEAD NOTHING;

-- Row security, also against the owner; rights.
CREATE TABLE town.secrets (id integer PRIMARY KEY, holder uuid, v text);
INSERT INTO town.secrets SELECT i, md5(i::text)::uuid, 'v' || i FROM generate_series(1, 50) i;
ALTER TABLE town.secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY holders_see ON town.secrets FOR SELECT TO authenticated USING (holder = auth.uid());
GRANT SELECT, UPDATE (v) ON town.secrets TO authenticated;
GRANT SELECT ON town.by_integer, town.families TO anon, authenticated;

-- Partitions: of partitions, with another order of columns, with references both ways; inheritance.
CREATE TABLE town.events (id bigint, kind text, at date, family bigint REFERENCES town.families ON UPDATE CASCADE ON DELETE CASCADE,
  body text, PRIMARY KEY (id, kind, at)) PARTITION BY LIST (kind);
CREATE TABLE town.events_a PARTITION OF town.events FOR VALUES IN ('a') PARTITION BY RANGE (at);
CREATE TABLE town.events_a1 PARTITION OF town.events_a FOR VALUES FROM (MINVALUE) TO ('2026-03-01');
CREATE TABLE town.events_a2 PARTITION OF town.events_a FOR VALUES FROM ('2026-03-01') TO (MAXVALUE);
CREATE TABLE town.events_b (gone integer, at date NOT NULL, body text, family bigint, kind text NOT NULL, id bigint NOT NULL);
ALTER TABLE town.events_b DROP COLUMN gone;
ALTER TABLE town.events ATTACH PARTITION town.events_b FOR VALUES IN ('b');
CREATE TABLE town.events_rest PARTITION OF town.events DEFAULT;
CREATE INDEX ON town.events (at);
CREATE INDEX ON town.events_b (body);
INSERT INTO town.events SELECT i, chr(97 + i % 4), date '2026-01-01' + i % 120, 1 + i % 60, 'e' || i
  FROM generate_series(1, 900) i;
CREATE TABLE town.event_notes (id integer PRIMARY KEY, event bigint, kind text, at date,
  FOREIGN KEY (event, kind, at) REFERENCES town.events ON UPDATE CASCADE ON DELETE CASCADE);
INSERT INTO town.event_notes SELECT i, i, chr(97 + i % 4), date '2026-01-01' + i % 120 FROM generate_series(1, 100) i;
CREATE TABLE town.pieces (id integer, v text) PARTITION BY HASH (id);
CREATE TABLE town.pieces_0 PARTITION OF town.pieces FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE town.pieces_1 PARTITION OF town.pieces FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO town.pieces SELECT i % 50, 'p' || i FROM generate_series(1, 200) i;
CREATE TABLE town.vehicles (id integer PRIMARY KEY, wheels integer NOT NULL);
CREATE TABLE town.trucks (load integer, PRIMARY KEY (id)) INHERITS (town.vehicles);
INSERT INTO town.vehicles SELECT i, 4 FROM generate_series(1, 40) i;
INSERT INTO town.trucks SELECT i, 6, i * 100 FROM generate_series(20, 60) i;

-- Odd names, among them those that a tool might take for its own.
CREATE TABLE "town ""Odd"" Ñ"."a.b %s %(x)s ; -- {}" ("select" integer PRIMARY KEY, "a%b" text, "tab	and
line" text, "key" integer, part integer, one integer, two integer, line text, t integer, "row" integer);
INSERT INTO "town ""Odd"" Ñ"."a.b %s %(x)s ; -- {}"
  SELECT i, '%s', E'\\N\t\n\r\\.', i, i, i, i, '\N', i, i FROM generate_series(1, 30) i;
CREATE TABLE "town ""Odd"" Ñ"."A name of exactly sixty-three bytes, which is what is allowed…" (
  "A column's name that is as long as any may be, with ""quotes"" …" integer PRIMARY KEY, "sixty-three too, so that nothing may be put behind it without…" text);
INSERT INTO "town ""Odd"" Ñ"."A name of exactly sixty-three bytes, which is what is allowed…"
  SELECT i, 'v' FROM generate_series(1, 20) i;

-- Values out of line, and numbers that are equal without being the same.
CREATE TABLE town.letters (id integer PRIMARY KEY, body text, extra jsonb, raw bytea);
INSERT INTO town.letters SELECT i, town.noise(i, 20000), jsonb_build_object('n', 1.0), sha256(i::text::bytea)
  FROM generate_series(1, 25) i;
CREATE TABLE town.measures (id integer PRIMARY KEY, v numeric, w jsonb, f float8, r real, c extensions.citext);
INSERT INTO town.measures SELECT i, 1.0, '{"a": 1.0}', 1 / i::float8, 1 / i::real, 'Case' FROM generate_series(1, 200) i;

-- What is derived.
CREATE VIEW town.crowds AS SELECT family, count(*) AS people FROM town.people GROUP BY family;
CREATE MATERIALIZED VIEW town.totals AS SELECT family, count(*) AS people FROM town.people GROUP BY family;
CREATE UNIQUE INDEX ON town.totals (family);
CREATE MATERIALIZED VIEW town.grand_total AS SELECT sum(people) AS people FROM town.totals;
COMMENT ON TABLE town.families IS 'who lives here';
COMMENT ON COLUMN town.people.mood IS 'how they are';
SELECT lo_from_bytea(770000 + i, convert_to('object ' || i, 'UTF8')) FROM generate_series(1, 3) i;
SELECT setval('town.ticket', 4711);

DO $do$
BEGIN
  IF current_setting('server_version_num')::int >= 180000 THEN
    EXECUTE 'CREATE TABLE town.virtual (id integer PRIMARY KEY, a integer,
        twice integer GENERATED ALWAYS AS (a * 2) VIRTUAL, CONSTRAINT loose CHECK (a > 0) NOT ENFORCED)';
    EXECUTE 'INSERT INTO town.virtual SELECT i, i - 2 FROM generate_series(1, 40) i';
    EXECUTE 'CREATE TABLE town.bookings (room int4range, at int4range, guest text,
        PRIMARY KEY (room, at WITHOUT OVERLAPS))';
    EXECUTE 'INSERT INTO town.bookings SELECT int4range(i, i + 1), int4range(i, i + 9), ''g'' || i
        FROM generate_series(1, 30) i';
  END IF;
END
$do$;
REFRESH MATERIALIZED VIEW town.totals;
REFRESH MATERIALIZED VIEW town.grand_total;
