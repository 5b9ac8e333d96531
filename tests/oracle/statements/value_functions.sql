-- What is no function in the syntax and yet reads the session; in every place.
SELECT «CURRENT_USER|SESSION_USER|USER|CURRENT_ROLE|CURRENT_CATALOG|CURRENT_SCHEMA|CURRENT_DATE|CURRENT_TIMESTAMP|LOCALTIME|current_user::text|lower(CURRENT_USER)|CURRENT_USER = name|coalesce(name, CURRENT_USER)|ARRAY[CURRENT_USER]|ROW(CURRENT_DATE)|CASE WHEN CURRENT_USER = 'x' THEN 1 END|(SELECT CURRENT_USER)|"current_user"()|pg_catalog."session_user"()|current_setting('x.y', true)|current_setting('timezone')|set_config('x.y', 'z', false)|pg_backend_pid()|version()|txid_current()|pg_current_xact_id()|inet_client_addr()|current_query()|pg_my_temp_schema()|current_schema()|current_schemas(true)|current_database()|session_user::text|pg_is_in_recovery()|pg_postmaster_start_time()|pg_conf_load_time()|pg_current_wal_lsn()|pg_walfile_name('0/0')|pg_trigger_depth()|lo_get(1)|pg_notify('a', 'b')|pg_relation_size('users')|pg_database_size(current_database())|pg_total_relation_size('users')|pg_get_viewdef('v_plain'::regclass)|has_table_privilege('users', 'SELECT')|row_security_active('users')|obj_description('users'::regclass)|to_regclass('users')|format_type(23, NULL)|pg_table_is_visible('users'::regclass)|pg_get_serial_sequence('plain_table', 'id')|col_description(1259, 1)|pg_stat_get_numscans(1)|pg_size_pretty(5::bigint)|pg_encoding_to_char(6)|getdatabaseencoding()|txid_snapshot_xmin(NULL)|pg_snapshot_xmin(NULL)|pg_visible_in_snapshot(NULL, NULL)|pg_char_to_encoding('UTF8')|quote_ident('x')|pg_typeof(1)|pg_column_size(1)|pg_collation_for('x')|generate_series(1, 2)» AS v FROM users;
SELECT id FROM users WHERE name = «CURRENT_USER|SESSION_USER::text|current_setting('a.b')|current_database()|CURRENT_CATALOG|(SELECT CURRENT_ROLE)»;
SELECT id FROM users ORDER BY CURRENT_USER, name;
SELECT count(*) FROM users GROUP BY CURRENT_DATE;
SELECT count(*) FROM users HAVING CURRENT_DATE > '2020-01-01';
SELECT sum(age) OVER (ORDER BY created_at > CURRENT_TIMESTAMP) FROM users;
SELECT * FROM users JOIN orders ON CURRENT_DATE = shipped_on;
SELECT * FROM users, LATERAL (SELECT CURRENT_USER) q;
SELECT * FROM users, CURRENT_DATE d;
SELECT max(age) FILTER (WHERE birthday < CURRENT_DATE) FROM users;
WITH w AS (SELECT CURRENT_DATE AS d) SELECT id FROM users, w;
SELECT id FROM users LIMIT extract(day FROM CURRENT_DATE)::int;
SELECT (VALUES (CURRENT_USER)) FROM users;
SELECT id FROM users WHERE (name, age) = (CURRENT_USER, 1);
SELECT id FROM users WHERE name IN (CURRENT_USER, 'x');
SELECT id FROM users WHERE name LIKE CURRENT_USER || '%';
SELECT id FROM users UNION SELECT extract(epoch FROM LOCALTIMESTAMP)::bigint;
