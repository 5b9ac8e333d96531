-- Quoted, folded, unicode and qualified names.
SELECT "Id", "select", "Ünï", "a.b", "quote""d" FROM "Mixed Case";
SELECT "Mixed Case"."Id", "Mixed Case".* FROM "Mixed Case";
SELECT m."Id" AS "Out Put" FROM "Mixed Case" AS m WHERE m."Id" = $1 ORDER BY "Out Put";
SELECT public."Mixed Case"."Id" FROM public."Mixed Case";
SELECT U&"Mixed\0020Case"."Id" FROM U&"Mixed\0020Case";
SELECT U&"m!0020x" UESCAPE '!' FROM (SELECT id AS "m x" FROM users) q;
SELECT id, "order", "group", "default" FROM "user";
SELECT "user".id FROM "user" JOIN USERS ON USERS.ID = "user".id;
SELECT U.ID, u."id" FROM Users AS U;
SELECT "Column" FROM "Other Schema"."Table";
SELECT t."Column" FROM "Other Schema"."Table" t JOIN public.users ON true;
SELECT "now" FROM (SELECT id AS now FROM users) q;
SELECT now FROM (SELECT id AS now FROM users) q;
SELECT "current_user" FROM (SELECT id AS "current_user" FROM users) q;
SELECT current_user FROM (SELECT id AS "current_user" FROM users) q;
SELECT "CURRENT_DATE".id FROM users "CURRENT_DATE";
SELECT "lower"(name), pg_catalog."lower"(name), "public"."upper"(name) FROM users;
SELECT "Lower" FROM (SELECT id AS "Lower" FROM users) q;
SELECT täble.id FROM users täble;
SELECT "日本語" FROM (SELECT id AS "日本語" FROM users) 表;
SELECT name AS "today", id AS "now()" FROM users;
SELECT 'SELECT * FROM orders' FROM users;
SELECT 'it''s', E'it\'s', $q$it's$q$, '/* no comment */', '-- none' FROM users;
SELECT $a$users$a$ || $b$ $1 $b$ FROM orders;
SELECT * FROM users /* , orders */ WHERE id = 1 -- , products
;
SELECT/**/id/**/FROM/**/users/* /* nested */ */WHERE/**/id=1;
SELECT id FROM users WHERE id=1 AND name='x';
SELECT id FROM users WHERE name = 'to'
'day';
SELECT id FROM users WHERE birthday = 'to'
'day';
select ID from USERS where NAME = 'X' and Active is TRUE;
SELECT abs(-1) abs, max(id) max FROM users;
SELECT id AS int, name AS text, 1 AS date FROM users;
SELECT e.e FROM (SELECT id AS e FROM users) AS e;
SELECT users FROM users;
SELECT x.y FROM (SELECT id AS y FROM users) "x";
