-- What object mappers write. Django:
SELECT "auth_user"."id", "auth_user"."username", "auth_user"."password", "auth_user"."last_login" FROM "auth_user" WHERE "auth_user"."id" = «1|$1» LIMIT 21;
SELECT (1) AS "a" FROM "auth_user" WHERE "auth_user"."username" = 'x' LIMIT 1;
SELECT COUNT(*) AS "__count" FROM "auth_user" «|WHERE "auth_user"."is_active"|WHERE NOT "auth_user"."is_staff"|WHERE UPPER("auth_user"."username"::text) LIKE UPPER('%x%')|WHERE "auth_user"."email"::text LIKE '%x%'|WHERE "auth_user"."username" IN ('a', 'b')»;
SELECT "django_session"."session_key", "django_session"."session_data", "django_session"."expire_date" FROM "django_session" WHERE ("django_session"."expire_date" > «'2020-01-01T00:00:00+00:00'::timestamptz|$1|now()» AND "django_session"."session_key" = 'abc') LIMIT 21;
SELECT "auth_group"."id", "auth_group"."name" FROM "auth_group" INNER JOIN "auth_user_groups" ON ("auth_group"."id" = "auth_user_groups"."group_id") WHERE "auth_user_groups"."user_id" = 1 ORDER BY "auth_group"."name" ASC;
SELECT ("auth_user_groups"."user_id") AS "_prefetch_related_val_user_id", "auth_group"."id" FROM "auth_group" INNER JOIN "auth_user_groups" ON ("auth_group"."id" = "auth_user_groups"."group_id") WHERE "auth_user_groups"."user_id" IN (1, 2, 3);
SELECT DISTINCT "auth_user"."id", COUNT("auth_user_groups"."id") AS "n" FROM "auth_user" LEFT OUTER JOIN "auth_user_groups" ON ("auth_user"."id" = "auth_user_groups"."user_id") GROUP BY "auth_user"."id" HAVING COUNT("auth_user_groups"."id") > 2 ORDER BY "n" DESC;
SELECT «DATE_TRUNC('day', "auth_user"."date_joined" AT TIME ZONE 'UTC')|EXTRACT(YEAR FROM "auth_user"."date_joined" AT TIME ZONE 'UTC')|("auth_user"."date_joined" AT TIME ZONE 'UTC')::date|CASE WHEN "auth_user"."is_staff" THEN 'staff' ELSE 'user' END|COALESCE("auth_user"."email", '')» AS "d", COUNT("auth_user"."id") AS "c" FROM "auth_user" GROUP BY 1;
SELECT "auth_user"."id", EXISTS(SELECT 1 AS "a" FROM "auth_user_groups" U0 WHERE U0."user_id" = ("auth_user"."id") LIMIT 1) AS "has" FROM "auth_user";
SELECT "auth_user"."id" FROM "auth_user" WHERE "auth_user"."date_joined" BETWEEN '2020-01-01 00:00:00+00:00'::timestamptz AND '2020-12-31 23:59:59.999999+00:00'::timestamptz;
SELECT "auth_user"."id", ROW_NUMBER() OVER (PARTITION BY "auth_user"."is_staff" ORDER BY "auth_user"."date_joined" DESC) AS "n" FROM "auth_user";
SELECT "auth_user"."id" FROM "auth_user" WHERE "auth_user"."id" = 1 «FOR UPDATE|FOR UPDATE NOWAIT|FOR UPDATE OF "auth_user"»;
SELECT "users"."id" FROM "users" WHERE ("users"."settings" -> 'a') = '"x"'::jsonb AND "users"."settings" @> '{"b": 1}'::jsonb AND ("users"."settings" #>> '{a,b}') = 'x';
SELECT MAX("a"."x") FROM (SELECT "auth_user"."id" AS "x" FROM "auth_user" ORDER BY 1 LIMIT 5) "a";
-- Rails:
SELECT "posts".* FROM "posts" WHERE "posts"."id" = $1 LIMIT $2;
SELECT "posts".* FROM "posts" WHERE "posts"."user_id" = $1 AND "posts"."deleted_at" IS NULL ORDER BY "posts"."created_at" DESC LIMIT $2 OFFSET $3;
SELECT 1 AS one FROM "posts" WHERE "posts"."title" = $1 LIMIT $2;
SELECT COUNT(*) FROM "comments" WHERE "comments"."post_id" = $1;
SELECT "comments".* FROM "comments" WHERE "comments"."commentable_type" = $1 AND "comments"."commentable_id" «= $2|IN ($2, $3, $4)»;
SELECT DISTINCT "posts".* FROM "posts" INNER JOIN "comments" ON "comments"."post_id" = "posts"."id" WHERE (comments.author ILIKE '%x%');
SELECT "posts"."id" AS t0_r0, "posts"."title" AS t0_r1, "comments"."id" AS t1_r0 FROM "posts" LEFT OUTER JOIN "comments" ON "comments"."post_id" = "posts"."id" WHERE "posts"."published" = TRUE;
SELECT SUM("posts"."views") FROM "posts";
SELECT COUNT(*) AS count_all, "posts"."kind" AS posts_kind FROM "posts" GROUP BY "posts"."kind";
SELECT "posts"."id" FROM "posts" WHERE "posts"."created_at" BETWEEN $1 AND $2 AND "posts"."kind" IN (0, 1) OR ("posts"."title" LIKE '%x%' AND NOT "posts"."published");
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = '"posts"'::regclass;
-- Hibernate, EclipseLink, jOOQ:
select p1_0.id,p1_0.body,p1_0.title from posts p1_0 where p1_0.id=$1;
select p1_0.id,c1_0.post_id,c1_0.id,c1_0.body from posts p1_0 left join comments c1_0 on p1_0.id=c1_0.post_id where p1_0.title like $1 escape '' order by p1_0.id «asc|desc» «|fetch first $2 rows only|offset $2 rows fetch first $3 rows only|limit 10»;
select count(*) from posts p1_0 where lower(p1_0.title)=lower($1) and (p1_0.views is null or p1_0.views>coalesce($2,0));
select this_.id as id1_0_0_, this_.title as title2_0_0_ from posts this_ where this_.id in (select comments_.post_id from comments comments_ where comments_.author=$1);
select "public"."posts"."id", cast("public"."posts"."views" as varchar) from "public"."posts" where ("public"."posts"."id" = cast($1 as bigint) and 1 = 1);
select p1_0.id from posts p1_0 where p1_0.created_at > cast('2020-01-01 00:00:00' as timestamp) and p1_0.created_at < localtimestamp;
select p1_0.id from posts p1_0 where p1_0.id=1 for no key update;
-- SQLAlchemy:
SELECT posts.id, posts.title AS posts_title FROM posts WHERE posts.id = $1::BIGINT;
SELECT posts.id, anon_1.count_1 FROM posts LEFT OUTER JOIN (SELECT comments.post_id AS post_id, count(comments.id) AS count_1 FROM comments GROUP BY comments.post_id) AS anon_1 ON posts.id = anon_1.post_id;
SELECT count(*) AS count_1 FROM (SELECT posts.id AS posts_id FROM posts WHERE posts.title ILIKE $1::VARCHAR) AS anon_1;
SELECT posts.id FROM posts WHERE posts.id IN (1, 2) AND (posts.title LIKE '%' || $1::VARCHAR || '%') AND posts.deleted_at IS NULL;
SELECT CAST(posts.views AS VARCHAR) AS views, coalesce(posts.body, $1::VARCHAR) AS body, date_trunc($2::VARCHAR, posts.created_at) AS day FROM posts;
WITH anon_1 AS (SELECT posts.id AS id FROM posts WHERE posts.published IS true) SELECT anon_1.id FROM anon_1, comments WHERE comments.post_id = anon_1.id;
SELECT EXISTS (SELECT 1 FROM posts WHERE posts.user_id = $1::BIGINT) AS anon_1;
SELECT pg_catalog.version() FROM posts;
-- Prisma:
SELECT "public"."User"."id", "public"."User"."email", "public"."User"."createdAt" FROM "public"."User" WHERE ("public"."User"."email" = $1 AND 1=1) LIMIT $2 OFFSET $3;
SELECT "public"."Post"."id" FROM "public"."Post" WHERE "public"."Post"."authorId" IN ($1,$2) ORDER BY "public"."Post"."id" ASC OFFSET $3;
SELECT COUNT(*) FROM (SELECT "public"."Post"."id" FROM "public"."Post" WHERE 1=1 OFFSET $1) AS "sub";
SELECT "t1"."id" FROM "public"."Post" AS "t1" LEFT JOIN "public"."_CategoryToPost" AS "j" ON "j"."B" = "t1"."id" WHERE "j"."A" = $1;
SELECT "t1"."id", "u"."__prisma_data__" AS "author" FROM "public"."Post" AS "t1" LEFT JOIN LATERAL (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'email', "t2"."email") AS "__prisma_data__" FROM "public"."User" AS "t2" WHERE "t1"."authorId" = "t2"."id" LIMIT $1) AS "u" ON TRUE;
SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') FROM (SELECT JSONB_BUILD_OBJECT('id', "id") AS "__prisma_data__" FROM "public"."Post") AS "x";
SELECT "public"."User"."role"::text FROM "public"."User" WHERE "public"."User"."role"::text = $1;
-- Ecto:
SELECT p0."id", p0."title" FROM "posts" AS p0 WHERE (p0."id" = $1);
SELECT p0."id", c1."id" FROM "posts" AS p0 INNER JOIN "comments" AS c1 ON c1."post_id" = p0."id" WHERE (p0."id" = ANY($1)) ORDER BY c1."id";
SELECT count(p0."id"), max(p0."views")::bigint FROM "posts" AS p0 WHERE (p0."created_at" > ($1::timestamp + (-7::decimal::numeric * interval '1 day')));
SELECT TRUE FROM "posts" AS p0 WHERE (p0."title" ILIKE $1) LIMIT 1;
-- Sequelize, TypeORM, Knex, Drizzle:
SELECT "id", "title", "createdAt" FROM (SELECT id, title, created_at AS "createdAt" FROM posts) AS "Post" WHERE "Post"."id" = 1;
SELECT "Post"."id", "Author"."id" AS "Author.id", "Author"."email" AS "Author.email" FROM "Post" AS "Post" LEFT OUTER JOIN "User" AS "Author" ON "Post"."authorId" = "Author"."id" WHERE "Post"."published" = true LIMIT 10;
SELECT count(*) AS "count" FROM "Post" AS "Post" WHERE ("Post"."title" LIKE '%x%' OR "Post"."content" ILIKE '%x%');
SELECT DISTINCT "distinctAlias"."p_id" AS "ids_p_id" FROM (SELECT "p"."id" AS "p_id", "p"."title" AS "p_title" FROM "Post" "p") "distinctAlias" ORDER BY "p_id" ASC LIMIT 1;
SELECT "p"."id" AS "p_id" FROM "Post" "p" WHERE (("p"."id" = $1)) AND ( "p"."published" IS NULL ) LIMIT 1;
select "posts".*, "users"."name" as "author" from "posts" inner join "users" on "posts"."user_id" = "users"."id" where "posts"."id" in ($1, $2) order by "posts"."id" desc limit $3;
select "id", "title", (select count(*) from "comments" where "comments"."post_id" = "posts"."id") from "posts";
select "posts"."id", "posts_author"."data" as "author" from "posts" "posts" left join lateral (select json_build_array("u"."id", "u"."name") as "data" from (select * from "users" "u0" where "u0"."id" = "posts"."user_id" limit 1) "u") "posts_author" on true;
-- EF Core, Dapper, GORM, Laravel, Doctrine, ActiveJDBC:
SELECT a."Id", a."UserName" FROM "AspNetUsers" AS a WHERE a."NormalizedEmail" = $1 LIMIT 1;
SELECT count(*)::int FROM "AspNetUsers" AS a WHERE a."AccessFailedCount" > 0 AND a."LockoutEnd" «> $1|IS NULL|> now()|> TIMESTAMPTZ '2020-01-01T00:00:00Z'»;
SELECT EXISTS (SELECT 1 FROM "AspNetUsers" AS a WHERE a."UserName" LIKE 'a%' OR strpos(a."UserName", $1) > 0 OR a."Id" = ANY ($2));
SELECT t."Id", t.c FROM (SELECT a."Id", row_number() OVER(PARTITION BY a."UserName" ORDER BY a."Id") AS c FROM "AspNetUsers" AS a) AS t WHERE t.c <= 1;
SELECT date_part('year', a."LockoutEnd" AT TIME ZONE 'UTC')::int AS "Year", COALESCE(sum(a."AccessFailedCount"), 0)::int FROM "AspNetUsers" AS a GROUP BY 1;
SELECT * FROM "posts" WHERE "posts"."id" = 1 AND "posts"."deleted_at" IS NULL ORDER BY "posts"."id" LIMIT 1;
SELECT count(*) FROM "posts" WHERE title = 'x' AND "posts"."deleted_at" IS NULL;
select * from "posts" where "published" = true and exists (select * from "comments" where "posts"."id" = "comments"."post_id") order by "created_at" desc limit 15 offset 0;
select count(*) as aggregate from "posts" where "title"::text like '%x%' and "created_at"::date = '2020-01-01';
SELECT t0.id AS id_1, t0.title AS title_2 FROM posts t0 WHERE t0.id = $1 AND t0.created_at >= $2;
SELECT p0_.id AS id_0, COUNT(c1_.id) AS sclr_1 FROM posts p0_ LEFT JOIN comments c1_ ON p0_.id = c1_.post_id GROUP BY p0_.id HAVING COUNT(c1_.id) > 0;
-- sqlc, sqlx, Diesel, pgx:
SELECT id, title, views FROM posts WHERE ($1::bigint IS NULL OR id = $1) AND ($2::text = '' OR title ILIKE $2);
SELECT p.id, p.title, array_agg(c.id) AS "comment_ids!" FROM posts p LEFT JOIN comments c ON c.post_id = p.id WHERE p.id = ANY($1::bigint[]) GROUP BY p.id;
SELECT "posts"."id", "posts"."title" FROM "posts" WHERE (("posts"."published" = $1) AND ("posts"."views" >= $2)) ORDER BY "posts"."id" LIMIT $3;
SELECT id FROM posts WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT 20;
SELECT count(*) FILTER (WHERE published) AS published, count(*) FILTER (WHERE NOT published) AS drafts FROM posts WHERE user_id = $1;
SELECT coalesce(json_agg(p), '[]'::json) FROM (SELECT id, title FROM posts WHERE user_id = $1) p;
