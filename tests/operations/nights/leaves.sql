-- Changes of the schema that touch no row: none may make a table move.

--- index
CREATE INDEX ON town.by_text (body text_pattern_ops) WHERE n > 10;

--- unique index
CREATE UNIQUE INDEX ON town.by_uuid (n, id);

--- dropped index
DROP INDEX town.people_happy;

--- function
CREATE FUNCTION town.fresh() RETURNS integer LANGUAGE sql AS 'SELECT 1';

--- changed function
CREATE OR REPLACE FUNCTION town.fresh() RETURNS integer LANGUAGE sql AS 'SELECT 2';

--- policy
CREATE POLICY fresh ON town.secrets FOR UPDATE TO anon USING (id > 3);

--- row security
ALTER TABLE town.by_text ENABLE ROW LEVEL SECURITY;

--- view
CREATE VIEW town.fresh_view AS SELECT id, n FROM town.by_integer;

--- changed view
CREATE OR REPLACE VIEW town.crowds AS SELECT family, count(*) AS people, 1 AS one FROM town.people GROUP BY family;

--- materialized view
CREATE MATERIALIZED VIEW town.fresh_totals AS SELECT count(*) FROM town.by_integer;

--- trigger
CREATE TRIGGER fresh BEFORE INSERT ON town.by_text FOR EACH ROW EXECUTE FUNCTION town.refuse();

--- state of a trigger
ALTER TABLE town.families ENABLE ALWAYS TRIGGER sleeps;

--- rule
CREATE RULE fresh AS ON DELETE TO town.by_text DO INSTEAD NOTHING;

--- comment
COMMENT ON COLUMN town.by_integer.body IS 'fresh';

--- grant
GRANT SELECT ON town.by_text TO anon;

--- grant on a column
GRANT UPDATE (name) ON town.people TO authenticated;

--- enum value
ALTER TYPE town.mood ADD VALUE 'fresh' BEFORE 'happy';

--- check
ALTER TABLE town.by_integer ADD CONSTRAINT fresh CHECK (id > -1000000);

--- reference
ALTER TABLE town.houses ADD CONSTRAINT fresh FOREIGN KEY (id) REFERENCES town.by_integer;

--- deferrable reference
ALTER TABLE town.people ALTER CONSTRAINT people_family_fkey DEFERRABLE;

--- sequence
CREATE SEQUENCE town.fresh_sequence START 7;
SELECT setval('town.ticket', 99);

--- schema
CREATE SCHEMA "town of others";
GRANT USAGE ON SCHEMA "town of others" TO anon;

--- type
CREATE TYPE town.fresh_type AS (a integer, b text);

--- domain's check
ALTER DOMAIN town.short ADD CONSTRAINT fresh CHECK (VALUE <> 'not this');

--- statistics
CREATE STATISTICS town.fresh_statistics ON n, body FROM town.by_text;
