-- WITH in all its forms.
WITH «w|users|RECURSIVE w» AS «|MATERIALIZED |NOT MATERIALIZED »(SELECT id, name FROM «users|public.users|active_users») SELECT * FROM «users|public.users|users u»;
WITH a AS (SELECT id FROM users), b AS (SELECT id FROM a), c AS (SELECT a.id FROM a JOIN b USING (id)) SELECT * FROM «a|b|c|a, b|a JOIN c USING (id)|orders JOIN c USING (id)»;
WITH w (x, y) AS (SELECT id, name FROM users) SELECT x FROM w WHERE y = «'a'|$1»;
WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t «, users|JOIN users ON true|CROSS JOIN orders|»;
WITH RECURSIVE tree AS (SELECT id, parent_id, title, 1 AS depth FROM category WHERE parent_id IS NULL UNION «ALL|DISTINCT|» SELECT c.id, c.parent_id, c.title, t.depth + 1 FROM category c JOIN tree t ON c.parent_id = t.id) SELECT «*|max(depth)|title, depth» FROM tree;
WITH RECURSIVE tree (id, path) AS (SELECT id, ARRAY[id] FROM category UNION ALL SELECT c.id, t.path || c.id FROM tree t, category c WHERE c.parent_id = t.id AND NOT c.id = ANY (t.path)) SELECT * FROM tree;
WITH RECURSIVE g AS (SELECT a, b FROM edges UNION ALL SELECT e.a, e.b FROM edges e JOIN g ON g.b = e.a) SEARCH «DEPTH|BREADTH» FIRST BY «a|a, b» SET o SELECT * FROM g ORDER BY o;
WITH RECURSIVE g AS (SELECT a, b FROM edges UNION ALL SELECT e.a, e.b FROM edges e JOIN g ON g.b = e.a) CYCLE «a|a, b» SET c «|TO true DEFAULT false |TO 'y' DEFAULT 'n' |TO 1 DEFAULT 0 »USING p SELECT * FROM g;
WITH RECURSIVE g AS (SELECT a, b FROM edges UNION ALL SELECT e.a, e.b FROM edges e JOIN g ON g.b = e.a) SEARCH DEPTH FIRST BY a SET o CYCLE a SET c USING p SELECT * FROM g WHERE NOT c ORDER BY o;
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT id FROM users) SELECT * FROM a;
WITH a AS (SELECT id FROM users) SELECT * FROM (WITH b AS (SELECT * FROM a) SELECT * FROM b) q;
WITH a AS (SELECT id FROM users) SELECT * FROM (WITH a AS (SELECT id FROM orders) SELECT * FROM a) q JOIN a USING (id);
WITH users AS (SELECT id FROM orders) SELECT id FROM users;
WITH users AS (SELECT id FROM users) SELECT id FROM users;
WITH orders AS (SELECT id FROM users), users AS (SELECT id FROM orders) SELECT * FROM users;
WITH RECURSIVE users AS (SELECT id FROM orders), q AS (SELECT id FROM users) SELECT * FROM q;
WITH w AS (SELECT 1 AS one) SELECT * FROM users WHERE id IN (SELECT one FROM w);
WITH w AS (SELECT max(id) AS m FROM orders) SELECT (SELECT m FROM w) FROM users;
WITH w AS (WITH v AS (SELECT id FROM users) SELECT id FROM v) SELECT * FROM w;
WITH w AS (SELECT id FROM users UNION SELECT id FROM orders) SELECT count(*) FROM w;
WITH w AS (TABLE users) SELECT id FROM w;
WITH w AS (VALUES (1, 'a'), (2, 'b')) SELECT column1, u.id FROM w JOIN users u ON u.id = column1;
(WITH w AS (SELECT id FROM users) SELECT * FROM w) UNION ALL (WITH w AS (SELECT id FROM orders) SELECT * FROM w);
WITH w AS (SELECT id FROM users) SELECT id FROM w UNION ALL SELECT id FROM w EXCEPT SELECT id FROM orders;
SELECT * FROM users u, LATERAL (WITH w AS (SELECT u.id AS x) SELECT x FROM w) l;
SELECT (WITH w AS (SELECT id FROM orders) SELECT max(id) FROM w) FROM users;
SELECT id FROM users WHERE EXISTS (WITH w AS (SELECT 1 FROM orders) SELECT * FROM w);
WITH w AS (SELECT id, lag(id) OVER (ORDER BY id) AS before FROM users) SELECT * FROM w WHERE before IS NULL;
WITH unused AS (SELECT «now()|random()|user_volatile(1)|CURRENT_USER|nextval('plain_table_id_seq')|txid_current()|id» FROM orders) SELECT id FROM users;
WITH w AS (SELECT id FROM other.users) SELECT * FROM w, users;
WITH w AS (SELECT * FROM users FOR UPDATE) SELECT id FROM w;
WITH w AS (SELECT * FROM users TABLESAMPLE SYSTEM (10)) SELECT id FROM w;
WITH a AS (SELECT id, created_at::date AS day FROM users), b AS (SELECT day, count(*) AS n FROM a GROUP BY day) SELECT day, n, sum(n) OVER (ORDER BY day) FROM b;
WITH RECURSIVE days AS (SELECT date '2020-01-01' AS d UNION ALL SELECT d + 1 FROM days WHERE d < date '2020-02-01') SELECT d, count(o.id) FROM days LEFT JOIN orders o ON o.shipped_on = d GROUP BY d;
--! alone
WITH w AS (INSERT INTO plain_table (name) VALUES ('x') RETURNING id) SELECT * FROM w;
--! alone
WITH w AS (UPDATE plain_table SET name = 'x' RETURNING id) SELECT * FROM w;
--! alone
WITH w AS (DELETE FROM plain_table RETURNING *) SELECT count(*) FROM w;
