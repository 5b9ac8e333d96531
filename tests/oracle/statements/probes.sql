-- Statements that were once judged wrongly, or nearly so.
SELECT extract(hour FROM wakes AT TIME ZONE 'Europe/Berlin') FROM users;
SELECT (wakes AT TIME ZONE interval '1 hour')::text FROM users;
SELECT ROW(name)::poly_row FROM users;
SELECT json_array(id::int, 1) FROM users;
SELECT json_scalar(age) FROM users;
SELECT json_arrayagg(age) FROM users;
SELECT name::other.bytea FROM users;
SELECT name::other.text FROM users;
SELECT ROW(name)::other.point FROM users;
SELECT id FROM users WHERE created_at > $1 AND name = $2;
