CREATE ROLE plain LOGIN;
CREATE SCHEMA other;
CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE EXTENSION moddatetime;
CREATE EXTENSION postgres_fdw;

-- Functions, operators, types.
CREATE FUNCTION user_volatile(int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION user_immutable(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION upper(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION with_defaults(int, int DEFAULT 1, int DEFAULT 2) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION variadic_one(VARIADIC int[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION two_arguments(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION other.far_away(anyelement) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION of_any(anyelement) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE user_aggregate(int) (SFUNC = int4pl, STYPE = int);
CREATE FUNCTION int_never(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR <+> (FUNCTION = int_never, LEFTARG = int, RIGHTARG = int);
CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE TYPE cast_enum AS ENUM ('a');
CREATE FUNCTION enum_text(cast_enum) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN ''x''; END';
CREATE CAST (cast_enum AS text) WITH FUNCTION enum_text(cast_enum) AS IMPLICIT;
CREATE CAST (mood AS varchar) WITH INOUT AS IMPLICIT;
CREATE FUNCTION to_polygon(text) RETURNS polygon LANGUAGE sql AS 'SELECT NULL::polygon';
CREATE CAST (text AS polygon) WITH FUNCTION to_polygon(text);
CREATE TYPE pair AS (a int, b text);
CREATE TYPE bad_pair AS (a int, b regclass);
CREATE TYPE text_range AS RANGE (SUBTYPE = text);
CREATE DOMAIN plain_domain AS text CHECK (VALUE ~ '^[a-z]+$');
CREATE DOMAIN checked_domain AS int CHECK (user_immutable(VALUE) > 0);
CREATE DOMAIN clock_domain AS timestamptz CHECK (VALUE < now());
CREATE DOMAIN lying_domain AS checked_domain;

-- Tables.
CREATE TABLE plain_table (id serial PRIMARY KEY, name text, moment timestamptz DEFAULT now());
CREATE TABLE with_text_moment (moment text);
CREATE FUNCTION of_row(plain_table) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE UNLOGGED TABLE logged_not (a int);
CREATE TABLE typed (id int, m mood, ms mood[], p pair, r text_range, d plain_domain, ds plain_domain[]);
CREATE TABLE many_types (a bool, b bytea, c "char", d name, e bigint, f smallint, g int, h text, i oid, j json, k xml,
    l point, m cidr, n real, o double precision, p money, q macaddr, r inet, s bpchar, t varchar(9), u date, v time,
    w timestamp, x timestamptz, y interval, z bit(3), aa varbit, ab numeric(9, 2), ac uuid, ad tsvector, ae tsquery,
    af jsonb, ag int4range, ah tstzrange, ai int[], aj citext, ak hstore, al regconfig, am pg_lsn, an jsonpath);
CREATE TABLE with_timetz (a timetz);
CREATE TABLE with_regclass (a regclass);
CREATE TABLE with_regclass_array (a regclass[]);
CREATE TABLE with_regclass_row (a bad_pair);
CREATE TABLE with_checked_domain (a checked_domain);
CREATE TABLE with_lying_domain (a lying_domain[]);
CREATE TABLE with_cast_enum (a cast_enum);
CREATE TABLE shadowed (a int);
CREATE TABLE other.shadowed (a int);
CREATE TABLE public.pg_class (a int);

CREATE TABLE measures (id int, day date) PARTITION BY RANGE (id);
CREATE TABLE measures_1 PARTITION OF measures FOR VALUES FROM (0) TO (10);
CREATE TABLE measures_2 PARTITION OF measures FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE measures_2a PARTITION OF measures_2 FOR VALUES FROM (10) TO (20);
CREATE TABLE parent (id int);
CREATE TABLE child (more text) INHERITS (parent);
CREATE TABLE grandchild () INHERITS (child);
CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE foreign_one (a int) SERVER nowhere;
CREATE TABLE with_foreign (a int);
ALTER FOREIGN TABLE foreign_one INHERIT with_foreign;
CREATE TABLE with_temporary (a int);
CREATE TABLE secured (id int);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_function ON secured USING (user_immutable(id) = 1);
CREATE TABLE secured_child_parent (id int);
CREATE TABLE secured_child () INHERITS (secured_child_parent);
ALTER TABLE secured_child ENABLE ROW LEVEL SECURITY;

-- Foreign keys.
CREATE TABLE referenced (id int PRIMARY KEY);
CREATE TABLE by_cascade (id int PRIMARY KEY REFERENCES referenced ON DELETE CASCADE);
CREATE TABLE by_cascade_2 (id int REFERENCES by_cascade ON DELETE CASCADE);
CREATE TABLE by_null (id int REFERENCES referenced ON DELETE SET NULL);
CREATE TABLE by_default (id int DEFAULT 0 REFERENCES referenced ON DELETE SET DEFAULT);
CREATE TABLE by_nothing (id int REFERENCES referenced);
CREATE TABLE by_update (id int REFERENCES referenced ON UPDATE CASCADE);
CREATE TABLE self_referencing (id int PRIMARY KEY, up int REFERENCES self_referencing ON DELETE CASCADE);
CREATE TABLE ref_part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE ref_part_1 PARTITION OF ref_part FOR VALUES FROM (0) TO (10);
CREATE TABLE by_part (id int REFERENCES ref_part ON DELETE CASCADE) PARTITION BY RANGE (id);
CREATE TABLE by_part_1 PARTITION OF by_part FOR VALUES FROM (0) TO (10);

-- Code that runs on writes.
CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE triggered (id int PRIMARY KEY);
CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TABLE to_triggered (id int PRIMARY KEY);
ALTER TABLE triggered ADD FOREIGN KEY (id) REFERENCES to_triggered ON DELETE CASCADE;
CREATE TABLE triggered_part (id int) PARTITION BY RANGE (id);
CREATE TABLE triggered_part_1 PARTITION OF triggered_part FOR VALUES FROM (0) TO (10);
CREATE TRIGGER t AFTER INSERT ON triggered_part FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TABLE trigger_off (id int);
CREATE TRIGGER t BEFORE INSERT ON trigger_off FOR EACH ROW EXECUTE FUNCTION on_row();
ALTER TABLE trigger_off DISABLE TRIGGER t;
CREATE TABLE trigger_harmless (id int, changed timestamp);
CREATE TRIGGER t BEFORE UPDATE ON trigger_harmless FOR EACH ROW EXECUTE FUNCTION moddatetime(changed);
CREATE TABLE ruled (id int);
CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO plain_table (name) VALUES ('x');
CREATE TABLE with_default (a int DEFAULT user_volatile(1));
CREATE TABLE with_default_now (a timestamptz DEFAULT now(), b uuid DEFAULT gen_random_uuid(), c bigserial);
CREATE TABLE with_generated (a int, b int GENERATED ALWAYS AS (user_immutable(a)) STORED);
CREATE TABLE with_check (a int CHECK (user_immutable(a) > 0));
CREATE TABLE with_index (a int);
CREATE INDEX ON with_index (user_immutable(a));

-- Views.
CREATE VIEW v_plain AS SELECT id, name, moment FROM plain_table;
CREATE VIEW v_over AS SELECT v.id FROM v_plain v JOIN referenced USING (id);
CREATE VIEW v_rich AS
    SELECT id, count(*) FILTER (WHERE name LIKE 'x%')
            OVER (ORDER BY moment RANGE BETWEEN interval '1 day' PRECEDING AND CURRENT ROW) AS c,
        CASE WHEN name IS NULL THEN ARRAY[1, 2] ELSE ARRAY[id] END AS e, row(id, name) < row(1, 'a') AS f,
        coalesce(name, '{SQLVALUEFUNCTION (x') AS g, id::text::int AS h, nullif(name, 'x') AS n,
        (SELECT max(moment) FROM plain_table t WHERE t.id = plain_table.id) AS i, greatest(id, 3) AS gr,
        to_char(moment, 'YYYY') AS y, (ARRAY[1, 2])[id] AS el, name COLLATE "C" AS co, moment::date AS da,
        'good'::mood AS mo, jsonb_build_object('a', id, 'b', name) AS js, id IS DISTINCT FROM 1 AS di,
        format('%s', name) AS fo, row(id, name)::pair AS pa, name::plain_domain AS pd, tableoid
    FROM plain_table WHERE moment > '2020-01-01' AND name IN ('a', 'b') AND (id = 1) IS TRUE
    UNION ALL SELECT 1, 2, NULL, true, '', 1, NULL, now_less, 1, '', 1, '', '2020-01-01', 'bad', NULL, true, '',
        NULL, NULL, 0
    FROM (VALUES ('2020-01-01'::timestamptz)) x (now_less);
CREATE VIEW v_recursive AS WITH RECURSIVE r AS (
        SELECT id, 1 AS depth FROM plain_table UNION ALL SELECT r.id, depth + 1 FROM r WHERE depth < 3)
    SELECT DISTINCT ON (depth) r.id, depth, grouping(depth), percentile_cont(0.5) WITHIN GROUP (ORDER BY r.id)
    FROM r, LATERAL generate_series(1, depth) g GROUP BY ROLLUP (r.id, depth) HAVING count(*) > 0
    ORDER BY depth LIMIT 10;
CREATE VIEW v_constant_clock AS SELECT id, 'now'::timestamptz AS made FROM plain_table;
CREATE VIEW v_search AS SELECT to_tsvector('english', name) @@ to_tsquery('english', 'x') AS hit FROM plain_table;
CREATE VIEW v_part AS SELECT * FROM measures;
CREATE VIEW v_now AS SELECT id FROM plain_table WHERE moment > now();
CREATE VIEW v_current_timestamp AS SELECT id, CURRENT_TIMESTAMP AS c FROM plain_table;
CREATE VIEW v_current_user AS SELECT id FROM plain_table WHERE name = CURRENT_USER;
CREATE VIEW v_random AS SELECT id FROM plain_table ORDER BY random();
CREATE VIEW v_over_random AS SELECT * FROM v_random;
CREATE VIEW v_volatile AS SELECT user_volatile(id) FROM plain_table;
CREATE VIEW v_immutable_lie AS SELECT user_immutable(id) FROM plain_table;
CREATE VIEW v_operator AS SELECT id <+> 1 AS x FROM plain_table;
CREATE VIEW v_sample AS SELECT * FROM plain_table TABLESAMPLE BERNOULLI (10);
CREATE VIEW v_locking AS SELECT * FROM plain_table FOR UPDATE;
CREATE VIEW v_ctid AS SELECT ctid::text AS c FROM plain_table;
CREATE VIEW v_text_to_date AS SELECT name::date AS d FROM plain_table;
CREATE VIEW v_text_to_date_called AS SELECT date(name) AS d FROM plain_table;
CREATE VIEW v_text_to_range AS SELECT coalesce(name, 'x')::varchar::tstzrange AS d FROM plain_table;
CREATE VIEW v_texts_to_dates AS SELECT ARRAY[name]::date[] AS d FROM plain_table;
CREATE VIEW v_domain_to_date AS SELECT name::plain_domain::timestamptz AS d FROM plain_table;
CREATE VIEW v_setting AS SELECT current_setting('x.y', true) AS s FROM plain_table;
CREATE VIEW v_xml AS SELECT xmlelement(NAME a, name) AS x FROM plain_table;
CREATE VIEW v_aggregate AS SELECT user_aggregate(id) FROM plain_table;
CREATE VIEW v_window AS SELECT user_aggregate(id) OVER () FROM plain_table;
CREATE VIEW v_range_function AS SELECT t.id FROM plain_table t, user_volatile(1) f;
CREATE VIEW v_nextval AS SELECT nextval('plain_table_id_seq') AS n FROM plain_table;
CREATE VIEW v_populate AS SELECT (json_populate_record(NULL::plain_table, '{}')).moment FROM plain_table;
CREATE VIEW v_regclass AS SELECT tableoid::regclass AS r FROM plain_table;
CREATE VIEW v_regclass_hidden AS SELECT tableoid::regclass::text AS r FROM plain_table;
CREATE VIEW v_catalog AS SELECT relname FROM pg_catalog.pg_class;
CREATE VIEW secured_view AS SELECT * FROM secured;
CREATE MATERIALIZED VIEW mat AS SELECT id, now() AS made FROM plain_table;
CREATE MATERIALIZED VIEW mat_volatile AS SELECT user_volatile(id) FROM plain_table;
CREATE VIEW v_mat AS SELECT * FROM mat;
CREATE VIEW v_instead AS SELECT id FROM plain_table;
CREATE TRIGGER t INSTEAD OF UPDATE ON v_instead FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE VIEW v_ruled AS SELECT id FROM plain_table;
CREATE RULE r AS ON INSERT TO v_ruled DO INSTEAD NOTHING;

-- Beyond the house of tests/catalog: what the statements of the corpus need.

-- Ordinary tables.
CREATE TABLE users (id bigserial PRIMARY KEY, email citext UNIQUE, name text NOT NULL, active bool DEFAULT true, age int,
    role mood, created_at timestamptz DEFAULT now(), updated_at timestamp, birthday date, wakes time, settings jsonb,
    tags text[], scores int[], address pair, valid tstzrange, balance numeric(12, 2), manager_id bigint REFERENCES users);
CREATE TABLE orders (id bigserial PRIMARY KEY, user_id bigint REFERENCES users, status text DEFAULT 'new',
    total numeric(12, 2), placed_at timestamptz, shipped_on date, note text, meta json);
CREATE TABLE items (order_id bigint REFERENCES orders, line int, product_id bigint, quantity int, price numeric(12, 2),
    PRIMARY KEY (order_id, line));
CREATE TABLE products (id bigserial PRIMARY KEY, name text, price numeric(12, 2), tags text[], attributes hstore,
    description text, search tsvector, location point, available int4range, period daterange);
CREATE TABLE category (id int PRIMARY KEY, parent_id int REFERENCES category, title text, path text);
CREATE TABLE edges (a int, b int, weight float8);
CREATE TABLE bookings (room int, during tsrange, days daterange, slots int4range[]);
CREATE TABLE logs (id bigint, at timestamptz, level text, message text, payload jsonb) PARTITION BY RANGE (at);
CREATE TABLE logs_2020 PARTITION OF logs FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE logs_2021 PARTITION OF logs FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (level);
CREATE TABLE logs_2021_error PARTITION OF logs_2021 FOR VALUES IN ('error');
CREATE TABLE logs_2021_rest PARTITION OF logs_2021 DEFAULT;
CREATE TABLE "Mixed Case" ("Id" int, "select" text, "Ünï" text, "a.b" int, "quote""d" int);
CREATE TABLE "user" (id int, "order" int, "group" text, "default" bool);
CREATE SCHEMA "Other Schema";
CREATE TABLE "Other Schema"."Table" ("Column" int);
CREATE TABLE other.users (id int, login text);
CREATE TABLE other.only_here (id int, moment timestamptz);
CREATE TABLE documents (id int, doc xml, body text, data jsonb, raw json);
CREATE TABLE times (id int, t time, ts timestamp, tz timestamptz, d date, i interval, txt text);
CREATE TABLE scalars (b bool, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, n numeric, t text,
    v varchar(20), c char(5), by bytea, u uuid, ip inet, net cidr, mac macaddr, bits bit(8), vb varbit, m money);

-- What must be refused, or seen through.
CREATE FUNCTION user_stable(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION other.lower(text) RETURNS text VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION other.count_calls() RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION other.upper(citext) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1::text';
CREATE FUNCTION full_name(users) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1.name || now()::text';
CREATE FUNCTION today(users) RETURNS date STABLE LANGUAGE sql AS 'SELECT CURRENT_DATE';
CREATE FUNCTION recent(bigint) RETURNS SETOF orders STABLE LANGUAGE sql AS 'SELECT * FROM orders WHERE user_id = $1';
CREATE FUNCTION table_function(int) RETURNS TABLE (a int, b text) VOLATILE LANGUAGE plpgsql AS 'BEGIN END';
CREATE TYPE ranked AS ENUM ('low', 'high');
CREATE TABLE with_ranked (id int, rank ranked);
CREATE FUNCTION rank_number(ranked) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE CAST (ranked AS int) WITH FUNCTION rank_number(ranked);
CREATE FUNCTION never(mood, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR other.= (FUNCTION = never, LEFTARG = mood, RIGHTARG = int);
CREATE OPERATOR other.~~ (FUNCTION = never, LEFTARG = mood, RIGHTARG = int);
CREATE OPERATOR other.|+| (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int);
CREATE FUNCTION minus_now(int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
CREATE OPERATOR !! (FUNCTION = minus_now, RIGHTARG = int);
CREATE AGGREGATE now_aggregate(int) (SFUNC = int4pl, STYPE = int, FINALFUNC = user_volatile);
CREATE AGGREGATE other.sum(int) (SFUNC = int4pl, STYPE = int, FINALFUNC = user_volatile);
CREATE AGGREGATE safe_looking(text) (SFUNC = textcat, STYPE = text);
CREATE DOMAIN email_domain AS citext CHECK (VALUE ~ '@');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN positive_even AS positive CHECK (VALUE % 2 = 0);
CREATE DOMAIN day_domain AS date;
CREATE DOMAIN moments AS timestamptz[];
CREATE TYPE poly_row AS (p polygon);
CREATE TYPE day_row AS (d date, n int);
CREATE TYPE deep_row AS (p pair, q day_row, r mood[]);
CREATE TYPE mood_range AS RANGE (SUBTYPE = mood);
CREATE TABLE with_mood_range (id int, m mood_range);
CREATE TABLE rows_of (id int, p pair, d day_row, e deep_row, es email_domain, po positive, pe positive_even,
    dd day_domain, ms moments, arr pair[]);
-- Namesakes of PostgreSQL's own.
CREATE DOMAIN other.bytea AS timestamptz;
CREATE DOMAIN other.text AS date;
CREATE TYPE other.point AS (d date);
CREATE FUNCTION "json_scalar"(int) RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION "json_array"(int, int) RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE AGGREGATE "json_arrayagg"(int) (SFUNC = int4pl, STYPE = int, FINALFUNC = user_volatile);
-- A type without an order gets a user's.
CREATE FUNCTION circle_cmp(circle, circle) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 0';
CREATE OPERATOR CLASS circle_ops DEFAULT FOR TYPE circle USING btree AS OPERATOR 1 <, OPERATOR 3 =,
    FUNCTION 1 circle_cmp(circle, circle);
CREATE TABLE with_circle (id int, c circle);

-- Views over views.
CREATE VIEW active_users AS SELECT id, name, email, created_at FROM users WHERE active;
CREATE VIEW named_users (key, label) AS SELECT id, upper(name::varchar::text) FROM active_users;
CREATE VIEW user_totals AS SELECT u.id, u.name, sum(o.total) AS total, count(*) AS orders
    FROM active_users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id, u.name;
CREATE VIEW top_users AS SELECT * FROM user_totals WHERE total > (SELECT avg(total) FROM user_totals) ORDER BY total DESC;
CREATE VIEW all_logs AS SELECT * FROM logs UNION ALL SELECT * FROM ONLY logs_2020;
CREATE VIEW late_logs AS SELECT * FROM all_logs WHERE at < now();
CREATE VIEW texts_as_days AS SELECT id, txt::date AS day FROM times;
CREATE VIEW parent_and_part AS SELECT p.id FROM parent p JOIN measures m USING (id);
CREATE VIEW over_secured AS SELECT id FROM secured_view;
CREATE VIEW checked WITH (security_barrier) AS SELECT id, name FROM users WHERE age > 18 WITH CHECK OPTION;
CREATE VIEW other.users_view AS SELECT id, login FROM other.users;
CREATE VIEW exists_view AS SELECT id FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id
    AND o.id IN (SELECT order_id FROM items WHERE product_id = ANY (ARRAY(SELECT id FROM products))));
CREATE VIEW hidden_function AS SELECT id FROM users WHERE id IN (SELECT user_volatile(1) FROM orders);
CREATE VIEW hidden_cast AS SELECT id, rank::int AS number FROM with_ranked;
CREATE VIEW wakes_elsewhere AS SELECT id, extract(hour FROM wakes AT TIME ZONE 'Europe/Berlin') AS hour FROM users;
CREATE MATERIALIZED VIEW totals AS SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id;
CREATE VIEW over_totals AS SELECT * FROM totals JOIN users ON users.id = totals.user_id;
CREATE TABLE owned (id int, owner name);
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON owned USING (owner = CURRENT_USER);
CREATE TABLE tenants (id int, tenant int);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY plain_policy ON tenants USING (tenant = 1 AND id IN (SELECT id FROM users));
CREATE VIEW over_owned AS SELECT id FROM owned;

-- Django, Rails, Hibernate, Prisma and such call their tables so.
CREATE TABLE auth_user (id serial PRIMARY KEY, username varchar(150), password varchar(128), last_login timestamptz,
    is_superuser bool, is_staff bool, is_active bool, date_joined timestamptz, email varchar(254));
CREATE TABLE auth_group (id serial PRIMARY KEY, name varchar(150));
CREATE TABLE auth_user_groups (id bigserial PRIMARY KEY, user_id int, group_id int);
CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text, expire_date timestamptz);
CREATE TABLE posts (id bigserial PRIMARY KEY, title varchar, body text, user_id bigint, published bool, created_at timestamp,
    updated_at timestamp, deleted_at timestamp, views int, kind int);
CREATE TABLE comments (id bigserial PRIMARY KEY, post_id bigint, author varchar, body text, created_at timestamp,
    commentable_type varchar, commentable_id bigint);
CREATE TABLE "User" (id text PRIMARY KEY, email text, "createdAt" timestamp(3), "profileId" int, role text);
CREATE TABLE "Post" (id serial PRIMARY KEY, title text, content text, published bool, "authorId" text, "viewCount" int);
CREATE TABLE "_CategoryToPost" ("A" int, "B" int);
CREATE TABLE "AspNetUsers" ("Id" text, "UserName" varchar(256), "NormalizedEmail" varchar(256), "LockoutEnd" timestamptz,
    "AccessFailedCount" int);
