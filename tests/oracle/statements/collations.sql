-- Collations.
SELECT name COLLATE «"C"|"POSIX"|"default"|pg_catalog."C"|"en-x-icu"|ucs_basic» FROM users ORDER BY «name COLLATE "C"|1|lower(name COLLATE "POSIX") DESC»;
SELECT id FROM users WHERE name COLLATE "C" «<|=|LIKE|~|IN|>=» ('a');
SELECT min(name COLLATE "C"), max(name COLLATE "C") FROM users;
SELECT name FROM users GROUP BY name COLLATE "C", name HAVING name COLLATE "C" > 'a';
SELECT string_agg(name, ',' ORDER BY name COLLATE "C") FROM users;
SELECT (name COLLATE "C")::varchar COLLATE "POSIX", upper(name COLLATE "C"), name || ('x' COLLATE "C") FROM users;
SELECT rank() OVER (PARTITION BY name COLLATE "C" ORDER BY name COLLATE "POSIX") FROM users;
SELECT collation FOR (name COLLATE "C") FROM users;
SELECT greatest(name COLLATE "C", 'x'), nullif(name COLLATE "C", 'x'), CASE name COLLATE "C" WHEN 'x' THEN 1 END FROM users;
SELECT (name COLLATE "C")::date FROM users;
