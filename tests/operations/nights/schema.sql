-- What may happen to the schema in a day. Each block is one transaction; :n is a number that chance draws.
-- Blocks that make something have a fellow that takes it away again, so that a story can go on for long.

--- an index is made
CREATE INDEX "i:n" ON town.by_integer (n, id DESC) WHERE n > 5;

--- an index is dropped
DO $$ DECLARE one text; BEGIN SELECT indexrelid::regclass INTO one FROM pg_index WHERE indrelid = 'town.by_integer'::regclass AND NOT indisprimary ORDER BY 1 LIMIT 1;
  EXECUTE coalesce('DROP INDEX ' || one, 'CREATE INDEX ON town.by_integer (n)'); END $$;

--- an index of a function is made, and one that forbids doubles
CREATE INDEX "f:n" ON town.by_text (town.plain(id), md5(body));
CREATE UNIQUE INDEX "u:n" ON town.by_uuid (n, id) INCLUDE (body) WITH (fillfactor = 70);
CREATE INDEX "b:n" ON town.by_integer USING brin (seen) WITH (pages_per_range = 8);

--- the key of a table becomes another
ALTER TABLE town.by_pair DROP CONSTRAINT by_pair_pkey;
ALTER TABLE town.by_pair ADD PRIMARY KEY (number, region);

--- the key of a table is lost
DO $$ BEGIN IF EXISTS (SELECT FROM pg_constraint WHERE conname = 'by_uuid_pkey') THEN ALTER TABLE town.by_uuid DROP CONSTRAINT by_uuid_pkey; ELSE ALTER TABLE town.by_uuid ADD CONSTRAINT by_uuid_pkey PRIMARY KEY (id); END IF; END $$;

--- a function is made, and one is changed
CREATE FUNCTION town."f:n"(a integer DEFAULT :n) RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT $1 + :n';
CREATE OR REPLACE FUNCTION town.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; /* :n */ END $$;

--- a function that an index uses is changed
CREATE OR REPLACE FUNCTION town.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT right(':n', 1) || upper($1) $$;
REINDEX TABLE town.people;

--- a trigger changes its state
DO $$ BEGIN EXECUTE format('ALTER TABLE town.families %s TRIGGER writes', (ARRAY['DISABLE', 'ENABLE ALWAYS', 'ENABLE REPLICA', 'ENABLE', 'DISABLE'])[1 + position((SELECT tgenabled FROM pg_trigger WHERE tgname = 'writes') IN 'ODAR')]); END $$;

--- a trigger changes its state and what it calls
ALTER TABLE town.families ENABLE TRIGGER sleeps;
DROP TRIGGER sleeps ON town.families;
CREATE TRIGGER sleeps AFTER UPDATE OF note ON town.families FOR EACH ROW WHEN (NEW.id <> :n) EXECUTE FUNCTION town.write_down();
ALTER TABLE town.families DISABLE TRIGGER sleeps;

--- triggers come, one of them on a large table
CREATE TRIGGER "t:n" BEFORE INSERT OR UPDATE ON town.by_integer FOR EACH ROW EXECUTE FUNCTION town.refuse();
ALTER TABLE town.by_integer ENABLE ALWAYS TRIGGER "t:n";
CREATE TRIGGER "w:n" AFTER DELETE ON town.by_pair REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION town.write_down();

--- triggers go
DO $$ DECLARE one record; BEGIN FOR one IN SELECT tgname, tgrelid::regclass AS place FROM pg_trigger WHERE tgname ~ '^[tw][0-9]+$' LOOP EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, one.place); END LOOP; END $$;
COMMENT ON FUNCTION town.refuse() IS 'triggers went :n';

--- a rule comes or changes its state
CREATE OR REPLACE RULE "also" AS ON UPDATE TO town.empty DO ALSO INSERT INTO town.journal (said) VALUES ('also :n');
ALTER TABLE town.ruled DISABLE RULE inserts_are_told;

--- row security is switched
DO $$ BEGIN EXECUTE format('ALTER TABLE town.by_uuid %s ROW LEVEL SECURITY', CASE WHEN relrowsecurity THEN 'DISABLE' ELSE 'ENABLE' END) FROM pg_class WHERE oid = 'town.by_uuid'::regclass; END $$;

--- row security is switched against the owner
DO $$ BEGIN EXECUTE format('ALTER TABLE town.by_integer %s', CASE WHEN relforcerowsecurity THEN 'NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY' ELSE 'FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY' END) FROM pg_class WHERE oid = 'town.by_integer'::regclass; END $$;

--- policies come and change
CREATE POLICY "p:n" ON town.by_uuid AS RESTRICTIVE FOR UPDATE TO anon, authenticated USING (n > :n) WITH CHECK (n < :n);
ALTER POLICY holders_see ON town.secrets USING (holder = auth.uid() OR id = :n);

--- a view is made, another changed
CREATE VIEW town."v:n" WITH (security_invoker = true) AS SELECT id, name FROM town.people WHERE id > :n;
CREATE OR REPLACE VIEW town.crowds AS SELECT family, count(*) AS people, :n AS night FROM town.people GROUP BY family;

--- a materialized view is made, with an index
CREATE MATERIALIZED VIEW town."m:n" AS SELECT n % 7 AS seven, count(*) AS rows FROM town.by_uuid GROUP BY 1;
CREATE INDEX ON town."m:n" (rows);

--- a materialized view is made anew
DROP MATERIALIZED VIEW town.totals CASCADE;
CREATE MATERIALIZED VIEW town.totals AS SELECT family, count(*) + :n AS people FROM town.people GROUP BY family;
CREATE MATERIALIZED VIEW town.grand_total AS SELECT sum(people) AS people FROM town.totals WITH NO DATA;
CREATE UNIQUE INDEX ON town.totals (family);

--- comments are written
COMMENT ON TABLE town.people IS 'night :n';
COMMENT ON COLUMN town.by_integer.n IS 'it''s :n';
COMMENT ON INDEX town.people_happy IS ':n';

--- rights are given and taken
GRANT INSERT ON town.by_text TO anon;
GRANT SELECT (name, mood) ON town.people TO authenticated WITH GRANT OPTION;
REVOKE SELECT ON town.families FROM anon;
GRANT USAGE ON SEQUENCE town.ticket TO service_role;
REVOKE EXECUTE ON FUNCTION town.plain(text) FROM PUBLIC;
COMMENT ON FUNCTION town.plain(text) IS 'rights of night :n';

--- a table is made
CREATE TABLE town."t:n" (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, family bigint REFERENCES town.families ON DELETE CASCADE, v text);
INSERT INTO town."t:n" (family, v) SELECT min(id), 'new' FROM town.families;
CREATE INDEX ON town."t:n" (v);

--- tables that were made are dropped or renamed
DO $$ DECLARE one record; BEGIN FOR one IN SELECT oid, relname FROM pg_class WHERE relnamespace = 'town'::regnamespace AND relkind = 'r' AND relname ~ '^t[0-9]+$' ORDER BY 1 LOOP
  EXECUTE CASE one.oid::bigint % 2 WHEN 0 THEN format('DROP TABLE town.%I CASCADE', one.relname) ELSE format('ALTER TABLE town.%I RENAME TO %I', one.relname, 'renamed ' || one.relname) END; END LOOP; END $$;
CREATE TABLE town."t:n" AS SELECT id, v FROM town.vehicles, (VALUES ('x')) t (v);

--- a table is dropped and made again, like but not the same
DROP TABLE town.empty;
CREATE TABLE town.empty (v text, id integer PRIMARY KEY, more integer DEFAULT :n);
INSERT INTO town.empty VALUES ('a', 1), ('b', 2);

--- two tables change names
ALTER TABLE town.ring_a RENAME TO ring_c;
ALTER TABLE town.ring_b RENAME TO ring_a;
ALTER TABLE town.ring_c RENAME TO ring_b;

--- a table goes to another schema, or comes back
DO $$ BEGIN IF to_regclass('town.unlogged') IS NULL THEN ALTER TABLE "town ""Odd"" Ñ".unlogged SET SCHEMA town; ELSE ALTER TABLE town.unlogged SET SCHEMA "town ""Odd"" Ñ"; END IF; END $$;

--- a table becomes logged or unlogged
ALTER TABLE town.pieces_0 SET UNLOGGED;
INSERT INTO town.pieces VALUES (:n, 'unlogged');

--- a schema is made
CREATE SCHEMA "town:n";
CREATE TABLE "town:n".t (id integer PRIMARY KEY, v town.mood);
INSERT INTO "town:n".t VALUES (1, 'sad');
GRANT USAGE ON SCHEMA "town:n" TO anon;

--- a schema is dropped or renamed
DO $$ DECLARE one text; BEGIN SELECT nspname INTO one FROM pg_namespace WHERE nspname ~ '^town[0-9]+$' ORDER BY 1 LIMIT 1;
  IF one IS NULL THEN CREATE SCHEMA town0; CREATE TABLE town0.t AS SELECT 1 AS a; ELSIF :n % 2 = 0 THEN EXECUTE format('DROP SCHEMA %I CASCADE', one); ELSE EXECUTE format('ALTER SCHEMA %I RENAME TO "town:n"', one); END IF; END $$;

--- an enum gets a value, in the middle
ALTER TYPE town.mood ADD VALUE 'm:n' BEFORE 'happy';

--- an enum's value is renamed
DO $$ DECLARE one text; BEGIN SELECT enumlabel INTO one FROM pg_enum WHERE enumtypid = 'town.mood'::regtype AND enumlabel NOT IN ('sad', 'happy') ORDER BY enumsortorder LIMIT 1;
  EXECUTE format('ALTER TYPE town.mood RENAME VALUE %L TO %L', one, 'renamed :n'); END $$;

--- a domain's rule changes
ALTER DOMAIN town.short DROP CONSTRAINT allowed;
ALTER DOMAIN town.short ADD CONSTRAINT allowed CHECK (VALUE <> 'forbidden :n');
ALTER DOMAIN town.short SET DEFAULT 'd:n';

--- a composite type gets an attribute
CREATE TYPE town."c:n" AS (a integer);
CREATE TABLE town."holds c:n" (v town."c:n");
INSERT INTO town."holds c:n" VALUES (ROW(1));
ALTER TYPE town."c:n" ADD ATTRIBUTE b text CASCADE;

--- a column comes, with a default
ALTER TABLE town.by_integer ADD COLUMN "c:n" integer DEFAULT :n;

--- a column comes, without, and a generated one
ALTER TABLE town.by_uuid ADD COLUMN "c:n" text;
ALTER TABLE town.by_pair ADD COLUMN "g:n" bigint GENERATED ALWAYS AS (number * :n) STORED;

--- columns that came are dropped
DO $$ DECLARE one record; BEGIN FOR one IN SELECT attrelid::regclass AS place, attname FROM pg_attribute WHERE attname ~ '^[cg][0-9]+$' AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'town'::regnamespace AND relkind = 'r' AND NOT relispartition) LOOP
  EXECUTE format('ALTER TABLE %s DROP COLUMN %I CASCADE', one.place, one.attname); END LOOP; END $$;
ALTER TABLE town.heap ADD COLUMN "c:n" integer;

--- a column is dropped and comes again
ALTER TABLE town.by_unique DROP COLUMN body;
ALTER TABLE town.by_unique ADD COLUMN body text DEFAULT 'again :n';
CREATE UNIQUE INDEX by_unique_key ON town.by_unique (code, side);

--- a column is renamed, two change names
ALTER TABLE town.heap RENAME COLUMN a TO c;
ALTER TABLE town.heap RENAME COLUMN b TO a;
ALTER TABLE town.heap RENAME COLUMN c TO b;

--- columns of the same type change names
ALTER TABLE town.vehicles ADD COLUMN IF NOT EXISTS doors integer;
UPDATE town.vehicles SET doors = id WHERE doors IS NULL;
ALTER TABLE town.vehicles RENAME COLUMN doors TO keep;
ALTER TABLE town.vehicles RENAME COLUMN wheels TO doors;
ALTER TABLE town.vehicles ALTER COLUMN doors DROP NOT NULL;
ALTER TABLE town.vehicles RENAME COLUMN keep TO wheels;

--- a type changes
DO $$ BEGIN EXECUTE format('ALTER TABLE town.by_text ALTER COLUMN n TYPE %s', CASE WHEN atttypid = 'bigint'::regtype THEN 'numeric(20, 2)' ELSE 'bigint' END) FROM pg_attribute WHERE attrelid = 'town.by_text'::regclass AND attname = 'n'; END $$;

--- the type of a key changes
DO $$ BEGIN EXECUTE format('ALTER TABLE town.by_integer ALTER COLUMN id TYPE %s', CASE WHEN atttypid = 'bigint'::regtype THEN 'integer' ELSE 'bigint' END) FROM pg_attribute WHERE attrelid = 'town.by_integer'::regclass AND attname = 'id'; END $$;

--- a length and a collation change
ALTER TABLE town.letters ADD COLUMN IF NOT EXISTS short varchar(10) DEFAULT 'x';
ALTER TABLE town.letters ALTER COLUMN short TYPE varchar(12) COLLATE "POSIX";
COMMENT ON COLUMN town.letters.short IS ':n';

--- defaults, NOT NULL and storage change
ALTER TABLE town.by_text ALTER COLUMN n SET DEFAULT :n, ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN body SET STATISTICS 77;
ALTER TABLE town.vehicles ALTER COLUMN wheels DROP NOT NULL;
ALTER TABLE town.by_pair SET (fillfactor = 80, autovacuum_enabled = false);

--- an identity changes
ALTER TABLE town.people ALTER COLUMN id SET GENERATED BY DEFAULT SET INCREMENT BY 3 RESTART WITH 50000;
ALTER TABLE town.journal ALTER COLUMN id DROP IDENTITY IF EXISTS;
COMMENT ON TABLE town.journal IS 'identity :n';

--- the expression of a generated column changes
ALTER TABLE town.people DROP COLUMN label;
ALTER TABLE town.people ADD COLUMN label text GENERATED ALWAYS AS (name || ':n') STORED;

--- constraints come
ALTER TABLE town.by_integer ADD CONSTRAINT "k:n" CHECK (id IS DISTINCT FROM -:n) NO INHERIT;
ALTER TABLE town.by_pair ADD CONSTRAINT "u:n" UNIQUE (number, region) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE town.by_text ADD CONSTRAINT "n:n" CHECK (n <> -:n) NOT VALID;

--- constraints go
DO $$ DECLARE one record; BEGIN FOR one IN SELECT conname, conrelid::regclass AS place FROM pg_constraint WHERE conname ~ '^[kun][0-9]+$' AND conparentid = 0 LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.place, one.conname); END LOOP; END $$;
COMMENT ON CONSTRAINT no_neighbours ON town.people IS 'others went :n';

--- a reference changes its action and its moment
ALTER TABLE town.pets DROP CONSTRAINT pets_owner_fkey;
ALTER TABLE town.pets ADD CONSTRAINT pets_owner_fkey FOREIGN KEY (owner) REFERENCES town.people ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED;

--- a reference becomes deferrable, or no longer
DO $$ BEGIN EXECUTE format('ALTER TABLE town.people ALTER CONSTRAINT people_family_fkey %s', CASE WHEN condeferrable THEN 'NOT DEFERRABLE' ELSE 'DEFERRABLE INITIALLY DEFERRED' END) FROM pg_constraint WHERE conname = 'people_family_fkey'; END $$;

--- a reference comes between large tables
ALTER TABLE town.by_integer ADD COLUMN IF NOT EXISTS friend integer;
UPDATE town.by_integer SET friend = (SELECT min(id) FROM town.people) WHERE id % 50 = :n % 50;
ALTER TABLE town.by_integer ADD CONSTRAINT "friend:n" FOREIGN KEY (friend) REFERENCES town.people ON DELETE SET NULL;

--- a partition comes
CREATE TABLE town."e:n" PARTITION OF town.events FOR VALUES IN ('k:n');
INSERT INTO town.events VALUES (:n, 'k:n', '2026-01-01', NULL, 'of its own');

--- a partition is detached or attached
DO $$ BEGIN IF (SELECT relispartition FROM pg_class WHERE oid = 'town.events_b'::regclass) THEN DELETE FROM town.event_notes WHERE kind = 'b'; ALTER TABLE town.events DETACH PARTITION town.events_b;
  ELSE DELETE FROM town.events WHERE kind = 'b'; ALTER TABLE town.events ATTACH PARTITION town.events_b FOR VALUES IN ('b'); END IF; END $$;

--- a table is partitioned otherwise
CREATE TABLE town.pieces_new (id integer, v text) PARTITION BY RANGE (id);
CREATE TABLE town.pieces_new_0 PARTITION OF town.pieces_new FOR VALUES FROM (MINVALUE) TO (20 + :n % 20);
CREATE TABLE town.pieces_new_1 PARTITION OF town.pieces_new FOR VALUES FROM (20 + :n % 20) TO (MAXVALUE);
INSERT INTO town.pieces_new SELECT * FROM town.pieces;
DROP TABLE town.pieces CASCADE;
ALTER TABLE town.pieces_new RENAME TO pieces;
ALTER TABLE town.pieces_new_0 RENAME TO pieces_0;
ALTER TABLE town.pieces_new_1 RENAME TO pieces_1;

--- a partition's bound changes
DELETE FROM town.event_notes WHERE kind = 'a';
ALTER TABLE town.events_a DETACH PARTITION town.events_a1;
ALTER TABLE town.events_a DETACH PARTITION town.events_a2;
DELETE FROM town.events_a1; DELETE FROM town.events_a2 WHERE at < '2026-03-01';
ALTER TABLE town.events_a ATTACH PARTITION town.events_a2 FOR VALUES FROM ('2026-02-01') TO (MAXVALUE);
ALTER TABLE town.events_a ATTACH PARTITION town.events_a1 FOR VALUES FROM (MINVALUE) TO ('2026-02-01');

--- a plain table becomes a partitioned one
CREATE TABLE town.heap_new (LIKE town.heap) PARTITION BY LIST (a);
CREATE TABLE town."heap part:n" PARTITION OF town.heap_new DEFAULT;
INSERT INTO town.heap_new SELECT * FROM town.heap;
DROP TABLE town.heap CASCADE;
ALTER TABLE town.heap_new RENAME TO heap;

--- a child gives its parent up, or takes it again
DO $$ BEGIN IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'town.trucks'::regclass) THEN ALTER TABLE town.trucks NO INHERIT town.vehicles; ELSE ALTER TABLE town.trucks INHERIT town.vehicles; END IF; END $$;

--- a replica identity and a statistics object change
ALTER TABLE town.by_integer REPLICA IDENTITY FULL;
ALTER TABLE town.by_unique REPLICA IDENTITY USING INDEX by_unique_key;
ALTER STATISTICS town.people_together SET STATISTICS 55;
COMMENT ON STATISTICS town.people_together IS ':n';

--- a sequence changes
ALTER SEQUENCE town.countdown INCREMENT -3 NO CYCLE CACHE 1;
CREATE SEQUENCE town."s:n" AS integer START :n;
ALTER TABLE town.empty ALTER COLUMN id SET DEFAULT nextval('town.ticket');

--- a table's owner changes
GRANT CREATE ON SCHEMA town TO town_stranger;
ALTER TABLE town.measures OWNER TO town_stranger;
ALTER TABLE town.by_unique OWNER TO town_stranger;
COMMENT ON TABLE town.measures IS 'owned by a stranger since :n';

--- a table is rewritten in place
ALTER TABLE town.by_integer SET (fillfactor = 90);
CLUSTER town.by_integer USING by_integer_pkey;
COMMENT ON TABLE town.by_integer IS 'clustered :n';
