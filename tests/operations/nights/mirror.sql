-- What somebody may do to the mirror by hand. Run by the superuser of the mirror's server.

--- rows change
ALTER TABLE town.people DISABLE TRIGGER USER; UPDATE town.people SET name = name || '?'; ALTER TABLE town.people ENABLE TRIGGER USER;
UPDATE town.by_integer SET n = -1 WHERE id % 7 = :n % 7;

--- rows go and come
DELETE FROM town.by_text WHERE n % 3 = :n % 3;
INSERT INTO town.by_uuid VALUES ('00000000-0000-0000-0000-000000000000', -1, NULL) ON CONFLICT DO NOTHING;

--- rows take the place of others
UPDATE town.by_pair SET number = number + 5000;

--- everything of a table goes
TRUNCATE town.by_integer, town.heap;

--- a column comes
ALTER TABLE town.by_text ADD COLUMN strange integer DEFAULT 1;

--- a column goes
ALTER TABLE town.letters DROP COLUMN extra;

--- a column changes its type
ALTER TABLE town.by_text ALTER COLUMN body TYPE varchar;

--- a table comes
CREATE TABLE IF NOT EXISTS town.stranger (a integer);

--- a table goes
DROP TABLE town.measures;

--- a schema and a function come
CREATE SCHEMA IF NOT EXISTS "town of strangers"; CREATE OR REPLACE FUNCTION town.strange() RETURNS void LANGUAGE sql AS '';

--- an index goes, and the key with it
DROP INDEX town.people_plain; ALTER TABLE town.by_uuid DROP CONSTRAINT IF EXISTS by_uuid_pkey;

--- a policy goes, row security with it
DROP POLICY holders_see ON town.secrets; ALTER TABLE town.secrets DISABLE ROW LEVEL SECURITY;

--- triggers change their states
ALTER TABLE town.families DISABLE TRIGGER ALL; ALTER TABLE town.people ENABLE ALWAYS TRIGGER counts;

--- a reference loses its check
ALTER TABLE town.pets DROP CONSTRAINT pets_keeper_fkey, ADD CONSTRAINT pets_keeper_fkey FOREIGN KEY (keeper) REFERENCES town.people ON DELETE CASCADE NOT VALID;

--- rights are given
GRANT ALL ON ALL TABLES IN SCHEMA town TO anon;

--- a sequence is set and a view replaced
SELECT setval('town.ticket', 1); CREATE OR REPLACE VIEW town.crowds AS SELECT family, count(*) AS people, -1 AS night FROM town.people GROUP BY family;

--- a secret is told and a comment written
UPDATE town.secrets SET v = 'seen'; COMMENT ON TABLE town.families IS 'a stranger was here';
