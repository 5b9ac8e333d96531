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
