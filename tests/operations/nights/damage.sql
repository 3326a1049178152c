-- What a hand may do to the mirror's schema, each by itself.

--- column added
ALTER TABLE town.by_text ADD COLUMN strange integer;

--- column dropped
ALTER TABLE town.by_integer DROP COLUMN body;

--- extra table
CREATE TABLE town.stranger AS SELECT 1 AS a;

--- table dropped
DROP TABLE town.heap;

--- index dropped
DROP INDEX town.people_plain;

--- policy dropped
DROP POLICY holders_see ON town.secrets;

--- trigger disabled
ALTER TABLE town.families DISABLE TRIGGER writes;

--- check of a reference switched off
ALTER TABLE town.pets DISABLE TRIGGER ALL;

--- right given
GRANT ALL ON town.secrets TO anon;

--- function replaced
CREATE OR REPLACE FUNCTION town.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW;
END';
