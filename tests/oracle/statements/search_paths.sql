-- The same texts under other search paths.
--! path other, public
SELECT * FROM «users|shadowed|only_here|plain_table|public.users|other.users|users_view»;
SELECT lower(«name|'X'|email») FROM public.users;
SELECT upper(«name|email|'x'») FROM public.users;
SELECT sum(«age|balance|1») FROM public.users;
SELECT count_calls() FROM users;
SELECT role = 'good'::mood, role = 1, role LIKE 5 FROM public.users;
SELECT age = 1, name LIKE 'x' FROM public.users;
SELECT age |+| 1 FROM public.users;
SELECT «name::bytea|'x'::text|name::text|'2020-01-01'::text|point(1, 2)|name::pg_catalog.text|name::other.text» FROM public.users;
SELECT id FROM users WHERE login IN ('a', 'b');
--! path pg_catalog, other
SELECT * FROM users;
SELECT lower(login), sum(id) FROM users GROUP BY login;
SELECT 'x'::text, 'y'::bytea FROM users;
--! path other, pg_catalog
SELECT * FROM users;
SELECT lower(login) FROM users;
SELECT sum(id) FROM users;
SELECT login::bytea FROM users;
SELECT login::«text|pg_catalog.text|varchar|point|date» FROM users;
SELECT '2020-01-01'::text FROM users;
SELECT '2020-01-01'::bytea FROM users;
SELECT id = 1, login LIKE 'x' FROM users;
SELECT relname FROM pg_class;
--! path nowhere, "Other Schema"
SELECT * FROM "Table";
SELECT "Column" FROM "Table", public.users;
SELECT lower('X') FROM "Table";
SELECT upper('X') FROM "Table";
--! path public, pg_catalog
SELECT * FROM pg_class;
SELECT upper(name), lower(name) FROM users;
SELECT a FROM pg_class WHERE a = 1;
SELECT to_regclass('pg_class') FROM users;
