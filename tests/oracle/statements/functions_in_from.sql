-- Functions in FROM.
SELECT * FROM «generate_series(1, 10)|generate_series(1, 10, 2)|generate_series('2020-01-01'::timestamp, '2020-02-01', '1 day')|generate_series('2020-01-01'::timestamptz, '2020-02-01', '1 day')|unnest(ARRAY[1, 2])|unnest(ARRAY[1, 2], ARRAY['a', 'b'])|regexp_split_to_table('a b', ' ')|regexp_matches('a1b2', '\d', 'g')|jsonb_each('{}')|json_array_elements('[]')|jsonb_object_keys('{}')|string_to_table('a,b', ',')|generate_subscripts(ARRAY[1, 2], 1)|user_volatile(1)|user_immutable(1)|recent(1)|table_function(1)|now()|random()|CURRENT_TIMESTAMP|current_database()|pg_sleep(0)|pg_stat_get_activity(NULL)|pg_show_all_settings()|abs(-1)|lower('X')|ts_stat('SELECT search FROM products')|pg_timezone_names()|pg_options_to_table('{a=b}')|unnest(enum_range(NULL::mood))|information_schema._pg_expandarray(ARRAY[1])|aclexplode('{}')|pg_get_keywords()|pg_listening_channels()» f, users;
SELECT * FROM «ROWS FROM (generate_series(1, 3), unnest(ARRAY['a', 'b']))|ROWS FROM (generate_series(1, 3)) WITH ORDINALITY|ROWS FROM (json_to_record('{}') AS (a int, b text), generate_series(1, 2))|ROWS FROM (generate_series(1, 3), user_volatile(1))|ROWS FROM (unnest(ARRAY[1], ARRAY[2]))|ROWS FROM (now(), generate_series(1, 2))» AS f, users;
SELECT f.n, f.v FROM users u, unnest(u.tags) WITH ORDINALITY AS f (v, n);
SELECT u.id, f FROM users u, LATERAL generate_series(1, u.age) f;
SELECT u.id, f.* FROM users u, LATERAL recent(u.id) f;
SELECT u.id, g.d FROM users u CROSS JOIN LATERAL (SELECT generate_series(u.created_at, u.updated_at, '1 day') AS d) g;
SELECT id, generate_series(1, 3), generate_series(1, 2) FROM users;
SELECT id, (SELECT count(*) FROM unnest(tags)), (SELECT max(x) FROM unnest(scores) x) FROM users;
SELECT a.x FROM users u JOIN unnest(u.scores) a (x) ON a.x > 1;
SELECT f.b FROM users, table_function(1) f (a, b);
SELECT generate_series FROM generate_series(1, 3), users;
SELECT unnest FROM users, unnest(tags);
SELECT with_defaults(1), with_defaults(1, 2), two_arguments(1, 2), variadic_one(1), of_any(1), other.far_away(1), public.upper('x'), upper('x'::text), user_stable(1) FROM users;
SELECT * FROM json_to_record('{"a": 1}') AS r (a int), users;
SELECT * FROM jsonb_to_recordset('[]') AS r (a int, b date), users;
SELECT «user_volatile(age)|user_immutable(age)|user_stable(age)|public.user_immutable(1)|with_defaults(age)|variadic_one(age, 1)|of_any(age)|of_any(u)|of_row(p)|other.far_away(age)|other.count_calls()|other.lower(u.name)|pg_catalog.lower(u.name)|pg_catalog.upper(u.name)|public.upper(u.name)|enum_text('a')|int_never(1, 2)|minus_now(1)|rank_number('low')|full_name(u)» FROM users u, plain_table p;
SELECT make_interval(days => 1, hours => age), make_interval(0, 0, weeks => 1), make_date(year => 2020, month => age, day => 1) FROM users;
