-- What may happen to the rows in a day. Each block is one transaction; :n is a number that chance draws.
-- "@18" after a title: on servers from that major on.

--- by_integer: rows are appended
INSERT INTO town.by_integer SELECT coalesce(max(id), 0) + i, :n, town.noise(:n + i, 96), '2026-06-01'
  FROM town.by_integer CROSS JOIN generate_series(1, 60) i GROUP BY i;

--- by_integer: rows change all over
UPDATE town.by_integer SET body = town.noise(id + :n, 64), n = :n WHERE id % 101 = :n % 101;

--- by_integer: rows change in one place
UPDATE town.by_integer SET seen = seen + interval '1 second' WHERE id BETWEEN :n % 5000 AND :n % 5000 + 80;

--- by_integer: rows go in one place
DELETE FROM town.by_integer WHERE id BETWEEN :n % 5000 AND :n % 5000 + 50;

--- by_integer: rows go all over, and come back under other keys
WITH gone AS (DELETE FROM town.by_integer WHERE id % 211 = :n % 211 RETURNING *)
INSERT INTO town.by_integer SELECT -id - (SELECT count(*) FROM town.by_integer WHERE id < 0) * 10007, n, body, seen FROM gone
  ON CONFLICT DO NOTHING;

--- by_integer: half of the rows change
UPDATE town.by_integer SET n = n + 1 WHERE id % 2 = :n % 2;

--- by_integer: keys are passed round
UPDATE town.by_integer t SET id = -2000000000 - t.id WHERE t.id BETWEEN 100 AND 160;
UPDATE town.by_integer t SET id = 100 + ((-2000000000 - t.id) - 100 + 1 + :n % 60) % 61 WHERE t.id < -1999999000;

--- by_integer: rows are written again as they are
UPDATE town.by_integer SET n = n WHERE id % 3 = 0;
INSERT INTO town.journal (said) VALUES ('written again :n');

--- by_integer: a row becomes NULL but for its key
UPDATE town.by_integer SET n = NULL, body = NULL, seen = NULL WHERE id = (SELECT min(id) FROM town.by_integer WHERE id > :n % 4000);

--- by_uuid: rows change all over
UPDATE town.by_uuid SET n = n + 1 + :n WHERE n % 50 = :n % 50;

--- by_uuid: rows come and go
DELETE FROM town.by_uuid WHERE n % 67 = :n % 67;
INSERT INTO town.by_uuid SELECT md5(:n || 'new' || i)::uuid, i, '{"a": null}' FROM generate_series(1, 70) i ON CONFLICT DO NOTHING;

--- by_uuid: a number in jsonb is written otherwise
UPDATE town.by_uuid SET body = jsonb_set(body, '{a}', CASE WHEN body->>'a' = '1.00' THEN '1.0' ELSE '1.00' END::jsonb) WHERE n % 31 = :n % 31;

--- by_text: keys change their case
UPDATE town.by_text SET id = CASE WHEN id = upper(id) THEN lower(id) ELSE upper(id) END WHERE n % 41 = :n % 41;

--- by_text: odd keys come
INSERT INTO town.by_text SELECT k || :n, :n, E'\\N\t\\.' FROM unnest(ARRAY['', ' ', E'\t', E'\n', '\N', '\.', '''', '"', '🙂', E'e\u0301', 'é', repeat('k', 2000)]) k
  ON CONFLICT (id) DO UPDATE SET n = town.by_text.n + 1;

--- by_text: rows change
UPDATE town.by_text SET body = nullif(body, '') || :n WHERE n % 29 = :n % 29;

--- by_pair: rows move from one region to another
UPDATE town.by_pair SET region = 'moved' WHERE number % 71 = :n % 71 AND region <> 'moved';
UPDATE town.by_pair SET body = body || :n WHERE number % 83 = :n % 83;

--- by_pair: one region goes and comes back changed
UPDATE town.by_pair SET body = 'back :n' WHERE region = 'b';

--- by_huge: rows come at both ends
INSERT INTO town.by_huge VALUES (9223372036854775806 - :n, 'near the top'), (-9223372036854775807 + :n, 'near the bottom') ON CONFLICT (id) DO UPDATE SET body = town.by_huge.body || '!';
UPDATE town.by_huge SET body = 'end :n' WHERE id IN (-9223372036854775808, 9223372036854775807);

--- by_huge: the ends change places
DELETE FROM town.by_huge WHERE id BETWEEN -9223372036854775808 AND -9223372036854775000;
INSERT INTO town.by_huge VALUES (-9223372036854775808, 'again :n');

--- by_unique: rows change in key and body
UPDATE town.by_unique SET side = side + 1 + :n % 3, body = body || ':n' WHERE right(code, 1) = right(:n::text, 1);

--- half_keyed: rows with and without a value of the key change
UPDATE town.half_keyed SET body = 'x :n' WHERE id % 37 = :n % 37;
INSERT INTO town.half_keyed VALUES (NULL, 'same', NULL), (NULL, 'same', NULL);
DELETE FROM town.half_keyed WHERE id = (SELECT min(id) FROM town.half_keyed);

--- heap: duplicates come
INSERT INTO town.heap SELECT a, b FROM town.heap LIMIT 1 + :n % 30;

--- heap: one of several equal rows goes
DELETE FROM town.heap WHERE ctid = (SELECT max(ctid) FROM town.heap);

--- heap: a row changes into one that is there already
UPDATE town.heap SET (a, b) = (SELECT a, b FROM town.heap WHERE a = 3 LIMIT 1) WHERE ctid IN (SELECT ctid FROM town.heap WHERE a = 1 + :n % 2 LIMIT 3);
INSERT INTO town.heap VALUES (3, 'b:n');

--- nothing: a row of nothing comes or goes
DO $$ BEGIN IF :n % 2 = 0 AND EXISTS (SELECT FROM town.nothing) THEN DELETE FROM town.nothing WHERE ctid = (SELECT min(ctid) FROM town.nothing); ELSE INSERT INTO town.nothing DEFAULT VALUES; END IF; END $$;

--- empty: fills or empties
DO $$ BEGIN IF EXISTS (SELECT FROM town.empty) THEN DELETE FROM town.empty; ELSE INSERT INTO town.empty VALUES (:n, NULL), (-1, ''); END IF; END $$;

--- unlogged: rows change
UPDATE town.unlogged SET v = 'u:n' WHERE id % 3 = 0;

--- keys: numbers are written otherwise
UPDATE town."key numeric" SET id = CASE WHEN id::text = '1.0' THEN 1.00 ELSE 1.0 END WHERE id = 1;
UPDATE town."key jsonb" SET id = CASE WHEN id::text = '{"a": 1.0}' THEN '{"a": 1.00}' ELSE '{"a": 1.0}' END::jsonb WHERE id = '{"a": 1}';

--- keys: nought loses or gets its sign
UPDATE town."key float8" SET id = CASE WHEN id::text = '-0' THEN '0' ELSE '-0' END::float8 WHERE id = 0;
UPDATE town."key float4" SET id = CASE WHEN id::text = '-0' THEN '0' ELSE '-0' END::float4 WHERE id = 0;

--- keys: a case changes
UPDATE town."key extensions.citext" SET id = CASE WHEN id::text = lower(id::text) THEN upper(id::text) ELSE lower(id::text) END WHERE id <> '';

--- keys: a month is thirty days
UPDATE town."key interval" SET id = CASE WHEN id::text = '1 mon' THEN '30 days' ELSE '1 mon' END::interval WHERE id = '1 mon';

--- keys: what belongs to odd keys changes
UPDATE town."key numeric" SET v = 'n:n'; UPDATE town."key float8" SET v = 'n:n'; UPDATE town."key bytea" SET v = 'n:n';
UPDATE town."key town.place" SET v = 'n:n' WHERE (id).number = 7; UPDATE town."key integer[]" SET v = 'n:n';
UPDATE town."key timestamptz" SET v = 'n:n' WHERE id = 'infinity'; UPDATE town."key character(6)" SET v = 'n:n';
UPDATE town."key town.mood" SET v = 'n:n'; UPDATE town."key town.short" SET v = 'n:n'; UPDATE town."key int4range" SET v = 'n:n';

--- keys: the rows that are not numbers go and come
DELETE FROM town."key numeric" WHERE id = 'NaN'; DELETE FROM town."key float8" WHERE id = 'NaN';
INSERT INTO town."key numeric" VALUES ('NaN', 'new :n'); INSERT INTO town."key float8" VALUES ('NaN', 'new :n');

--- keys: true and false change places
UPDATE town."key boolean" SET v = CASE v WHEN 'v1' THEN 'v2' ELSE 'v1' END || ':n';
UPDATE town."key ""char""" SET v = 'n:n'; UPDATE town."key bit(3)" SET v = 'n:n'; UPDATE town."key money" SET v = 'n:n'; UPDATE town."key oid" SET v = 'n:n';

--- people: seats are swapped
UPDATE town.people SET seat = -seat - 1 WHERE id % 10 = :n % 10;
UPDATE town.people p SET seat = -o.next - 1 FROM (
    SELECT id, coalesce(lead(seat) OVER w, first_value(seat) OVER w) AS next FROM town.people WHERE seat < 0
    WINDOW w AS (ORDER BY id)) o WHERE o.id = p.id;

--- people: all seats move on by one
UPDATE town.people SET seat = seat + 10000000;
UPDATE town.people p SET seat = o.next FROM (SELECT id, lead(seat - 10000000, 1, (SELECT min(seat) - 10000000 FROM town.people)) OVER (ORDER BY seat) AS next FROM town.people) o WHERE o.id = p.id;

--- people: badges are swapped
SET CONSTRAINTS town.people_badge_key DEFERRED;
UPDATE town.people p SET badge = o.badge FROM (SELECT id, lead(badge, 1, first_badge) OVER (ORDER BY id) AS badge FROM (SELECT *, first_value(badge) OVER (ORDER BY id) AS first_badge FROM town.people WHERE id % 5 = :n % 5) x) o WHERE o.id = p.id;

--- people: stays are exchanged
UPDATE town.people SET stays = NULL WHERE id % 50 = :n % 50;
UPDATE town.people SET stays = int4range(-id * 10 - 5, -id * 10) WHERE id % 50 = (:n + 1) % 50;

--- people: new ones come
INSERT INTO town.people (family, godparent, seat, name, home) SELECT f.id, NULL, (SELECT max(seat) FROM town.people) + row_number() OVER (ORDER BY f.id), 'New :n', NULL FROM town.families f ORDER BY f.id LIMIT 5;

--- people: an identity is given by hand
INSERT INTO town.people (id, family, seat, name) OVERRIDING SYSTEM VALUE SELECT min(id) - 1 - :n % 7, min(family), max(seat) + 1, 'By hand' FROM town.people;

--- people: some go, and what hangs on them
DELETE FROM town.people WHERE id % 61 = :n % 61 AND id NOT IN (SELECT vet FROM town.pets WHERE vet IS NOT NULL) AND id <> 1;

--- people: names and moods change
UPDATE town.people SET name = name || '!', mood = (enum_range(NULL::town.mood))[1 + (id + :n) % 3], home = ROW('New', :n)::town.place WHERE id % 23 = :n % 23;

--- people: godparents change in a circle
UPDATE town.people SET godparent = id WHERE id % 9 = :n % 9;
UPDATE town.people p SET godparent = o.next FROM (SELECT id, lead(id) OVER (ORDER BY id) AS next FROM town.people) o WHERE o.id = p.id AND p.id % 11 = :n % 11;

--- people: a key is given to somebody else
UPDATE town.pets SET owner = (SELECT max(id) FROM town.people) WHERE owner IN (SELECT id FROM town.people WHERE id % 97 = 5 + :n % 90);
UPDATE town.pets SET keeper = 1 WHERE keeper % 97 = 5 + :n % 90;
UPDATE town.families SET head = NULL WHERE head % 97 = 5 + :n % 90;
UPDATE town.people SET godparent = NULL WHERE godparent % 97 = 5 + :n % 90;
UPDATE town.pets SET vet = NULL WHERE vet % 97 = 5 + :n % 90;
DELETE FROM town.people WHERE id % 97 = 5 + :n % 90;
INSERT INTO town.people (id, family, seat, name) OVERRIDING SYSTEM VALUE SELECT 5 + :n % 90, 2, (SELECT max(seat) + 1 FROM town.people), 'Somebody else'
  WHERE NOT EXISTS (SELECT FROM town.people WHERE id = 5 + :n % 90);

--- families: one goes with all its people
UPDATE town.pets SET vet = NULL WHERE vet IN (SELECT id FROM town.people WHERE family = (SELECT max(id) FROM town.families));
DELETE FROM town.families WHERE id = (SELECT max(id) FROM town.families);

--- families: keys move on, and references with them
UPDATE town.families SET id = id + 1000 WHERE id % 12 = :n % 12;

--- families: names and ranks are passed round
UPDATE town.families SET name = name || '~', rank = -rank;
UPDATE town.families f SET name = o.name, rank = o.rank FROM (SELECT id, coalesce(lead(rtrim(name, '~')) OVER w, first_value(rtrim(name, '~')) OVER w) AS name, coalesce(lead(-rank) OVER w, first_value(-rank) OVER w) AS rank FROM town.families WINDOW w AS (ORDER BY id)) o WHERE o.id = f.id;

--- families: heads are elected
UPDATE town.families f SET head = (SELECT max(id) FROM town.people p WHERE p.family = f.id) WHERE id % 3 = :n % 3;

--- families: notes are written
UPDATE town.families SET note = nullif(left('note :n', 40), note) WHERE id % 4 = 0;

--- pets: they change hands
UPDATE town.pets SET keeper = DEFAULT WHERE get_byte(uuid_send(id), 0) % 7 = :n % 7;
UPDATE town.pets SET owner = (SELECT min(id) FROM town.people) WHERE get_byte(uuid_send(id), 1) % 11 = :n % 11;
DELETE FROM town.pets WHERE get_byte(uuid_send(id), 2) % 43 = :n % 43;

--- houses: areas change under the rooms
UPDATE town.houses SET area = area + 1 WHERE id % 6 = :n % 6;

--- houses: a house and its rooms go, other rooms come
SET CONSTRAINTS ALL DEFERRED;
DELETE FROM town.houses WHERE id = (SELECT max(id) FROM town.houses);
DELETE FROM town.rooms WHERE house NOT IN (SELECT id FROM town.houses);
INSERT INTO town.rooms SELECT id, area, 1000 + :n FROM town.houses WHERE id % 9 = :n % 9 ON CONFLICT DO NOTHING;

--- ring: two that need each other come and go
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO town.ring_a VALUES (1000 + :n, 1000 + :n) ON CONFLICT DO NOTHING;
INSERT INTO town.ring_b VALUES (1000 + :n, 1000 + :n) ON CONFLICT DO NOTHING;
UPDATE town.ring_a SET next = (SELECT max(id) FROM town.ring_b) WHERE id % 5 = :n % 5;
UPDATE town.ring_b SET next = (SELECT max(id) FROM town.ring_a) WHERE id % 5 = :n % 5;

--- ring: keys are turned round in one transaction
SET CONSTRAINTS ALL DEFERRED;
UPDATE town.ring_b SET id = -id, next = -next;
UPDATE town.ring_a SET id = -id, next = -next;

--- lenient: a row that breaks its rules goes
DELETE FROM town.lenient WHERE id = (SELECT min(id) FROM town.lenient);
INSERT INTO town.lenient SELECT max(id) + 1, 5, NULL FROM town.lenient;

--- journal: a page is torn out
DELETE FROM town.journal WHERE id % 3 = :n % 3;
INSERT INTO town.journal (said) VALUES ('torn :n');

--- sealed: rows change behind the trigger's back
ALTER TABLE town.sealed DISABLE TRIGGER nobody_writes;
UPDATE town.sealed SET v = 'x:n' WHERE id % 4 = :n % 4;
DELETE FROM town.sealed WHERE id = (SELECT max(id) FROM town.sealed);
INSERT INTO town.sealed VALUES (-:n, 'y') ON CONFLICT DO NOTHING;
ALTER TABLE town.sealed ENABLE ALWAYS TRIGGER nobody_writes;

--- ruled: rows change behind the rules' back
ALTER TABLE town.ruled DISABLE RULE no_updates, DISABLE RULE no_deletes, DISABLE RULE inserts_are_told;
UPDATE town.ruled SET v = 'x:n' WHERE id % 4 = :n % 4;
DELETE FROM town.ruled WHERE id = (SELECT max(id) FROM town.ruled);
INSERT INTO town.ruled SELECT min(id) - 1, 'y' FROM town.ruled;
ALTER TABLE town.ruled ENABLE RULE no_updates, ENABLE RULE no_deletes, ENABLE RULE inserts_are_told;

--- secrets: rows change
UPDATE town.secrets SET v = 's:n' WHERE id % 7 = :n % 7;
INSERT INTO town.secrets SELECT max(id) + 1, NULL, 'new' FROM town.secrets;

--- events: rows move between partitions
UPDATE town.events SET kind = CASE kind WHEN 'a' THEN 'b' WHEN 'b' THEN 'c' ELSE 'a' END WHERE id % 19 = :n % 19;

--- events: dates move across the border
UPDATE town.events SET at = at + 61 - 2 * (:n % 61) WHERE id % 13 = :n % 13;

--- events: rows come and go
DELETE FROM town.events WHERE id % 37 = :n % 37;
INSERT INTO town.events SELECT 100000 + :n * 10 + i, chr(97 + i % 6), date '2026-02-25' + i, NULL, 'n' FROM generate_series(1, 9) i ON CONFLICT DO NOTHING;

--- events: one partition changes
UPDATE town.events_b SET body = 'one :n' WHERE id % 3 = 0;

--- pieces: rows without a key move between partitions
UPDATE town.pieces SET id = id + 1 WHERE id % 7 = :n % 7;
INSERT INTO town.pieces SELECT id, v FROM town.pieces LIMIT 5;

--- vehicles: parents and children change
UPDATE town.vehicles SET wheels = wheels + 1 WHERE id % 5 = :n % 5;
DELETE FROM ONLY town.vehicles WHERE id = (SELECT min(id) FROM ONLY town.vehicles);
UPDATE town.trucks SET load = load + :n WHERE id % 3 = 0;

--- odd: rows of oddly named tables change
UPDATE "town ""Odd"" Ñ"."a.b %s %(x)s ; -- {}" SET "a%b" = '%:n', "tab	and
line" = NULL, line = 'x' WHERE "select" % 4 = :n % 4;
UPDATE "town ""Odd"" Ñ"."A name of exactly sixty-three bytes, which is what is allowed…" SET "sixty-three too, so that nothing may be put behind it without…" = 'w:n' WHERE "A column's name that is as long as any may be, with ""quotes"" …" % 2 = 0;

--- letters: long values change, one alone
UPDATE town.letters SET body = town.noise(:n, 30000) WHERE id = 1 + :n % 25;
UPDATE town.letters SET raw = set_byte(raw, 0, :n % 256) WHERE id = 2 + :n % 23;

--- measures: numbers are written otherwise
UPDATE town.measures SET v = CASE WHEN v::text = '1.0' THEN 1.00 ELSE 1.0 END, w = CASE WHEN w::text = '{"a": 1.0}' THEN '{"a": 1.00}' ELSE '{"a": 1.0}' END::jsonb WHERE id % 8 = :n % 8;

--- measures: the last bit of a float, the sign of nought, the case of a word
UPDATE town.measures SET f = f * 1.0000000000000002, r = CASE WHEN r = 0 THEN 1 ELSE '-0'::real END, c = CASE WHEN c::text = 'Case' THEN 'case' ELSE 'Case' END WHERE id % 8 = :n % 8;

--- a table is truncated and filled again
TRUNCATE town.by_pair;
INSERT INTO town.by_pair SELECT 'r' || i % 3, i, 'again :n' FROM generate_series(1, 300) i;

--- a table is truncated with all that hangs on it
TRUNCATE town.houses CASCADE;
INSERT INTO town.houses SELECT i, i * 10 + :n % 10 FROM generate_series(1, 30) i;

--- a partition is truncated
TRUNCATE town.pieces_0;
INSERT INTO town.pieces SELECT i, 'again :n' FROM generate_series(1, 30) i;

--- sequences are drawn from and set
SELECT nextval('town.ticket'), nextval('town.countdown'), setval('town.journal_id_seq', 100000 + :n);

--- a sequence begins again
ALTER SEQUENCE town.ticket RESTART WITH 100;
SELECT setval('town.ticket', 500 + :n, false);

--- materialized views are refreshed
INSERT INTO town.people (family, seat, name) SELECT 3, max(seat) + 1, 'Counted' FROM town.people;
REFRESH MATERIALIZED VIEW town.totals;
REFRESH MATERIALIZED VIEW town.grand_total;

--- large objects come, change and go
SELECT lo_from_bytea(780000 + :n, convert_to('new :n', 'UTF8')) WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = 780000 + :n);
SELECT lo_put(min(oid), 0, convert_to('changed :n', 'UTF8')) FROM pg_largeobject_metadata WHERE oid >= 770000;
SELECT lo_unlink(max(oid)) FROM pg_largeobject_metadata WHERE oid > 770001 HAVING count(*) > 3;

--- users sign up
INSERT INTO auth.users (instance_id, id, aud, role, email, created_at, updated_at) VALUES ('00000000-0000-0000-0000-000000000000', md5('user :n')::uuid, 'authenticated', 'authenticated', 'night:n@example.com', now(), now()) ON CONFLICT DO NOTHING;
UPDATE auth.users SET raw_user_meta_data = '{"night": :n}';

--- virtual: values behind a computed one change @18
UPDATE town.virtual SET a = a + :n WHERE id % 3 = :n % 3;

--- bookings: times that must not overlap are exchanged @18
UPDATE town.bookings SET at = int4range(lower(at) + 100, upper(at) + 100) WHERE lower(room) % 3 = :n % 3;
UPDATE town.bookings SET guest = 'g:n' WHERE lower(room) % 4 = :n % 4;
