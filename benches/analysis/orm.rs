//! Statements in the shapes that ORMs write, over one shop's tables.

/// The tables that they name.
pub const TABLES: &[&str] = &[
    "auth_user",
    "django_session",
    "shop_order",
    "shop_customer",
    "shop_line",
    "users",
    "posts",
    "comments",
    "taggings",
    "orders",
    "customer",
    "order_line",
    "product",
    "User",
    "Post",
    "_PostToTag",
    "Tag",
    "accounts",
    "sessions",
    "invoices",
];

/// By whom, and what.
pub const STATEMENTS: &[(&str, &str)] = &[
    (
        "Django get",
        r#"SELECT "auth_user"."id", "auth_user"."password", "auth_user"."last_login", "auth_user"."is_superuser", "auth_user"."username", "auth_user"."first_name", "auth_user"."last_name", "auth_user"."email", "auth_user"."is_staff", "auth_user"."is_active", "auth_user"."date_joined" FROM "auth_user" WHERE "auth_user"."id" = 42 LIMIT 21"#,
    ),
    (
        "Django session",
        r#"SELECT "django_session"."session_key", "django_session"."session_data", "django_session"."expire_date" FROM "django_session" WHERE ("django_session"."expire_date" > '2024-05-01T10:00:00+00:00'::timestamptz AND "django_session"."session_key" = 'k3jx') LIMIT 21"#,
    ),
    (
        "Django select_related",
        r#"SELECT "shop_order"."id", "shop_order"."customer_id", "shop_order"."status", "shop_order"."total", "shop_customer"."id", "shop_customer"."name", "shop_customer"."email" FROM "shop_order" INNER JOIN "shop_customer" ON ("shop_order"."customer_id" = "shop_customer"."id") WHERE "shop_order"."status" IN ('open', 'paid') ORDER BY "shop_order"."id" DESC LIMIT 20"#,
    ),
    (
        "Django count",
        r#"SELECT COUNT(*) AS "__count" FROM "shop_order" WHERE ("shop_order"."customer_id" = 7 AND NOT ("shop_order"."status" = 'void'))"#,
    ),
    (
        "Django update",
        r#"UPDATE "shop_order" SET "status" = 'paid', "total" = 1250 WHERE "shop_order"."id" = 99"#,
    ),
    (
        "Rails find",
        r#"SELECT "users".* FROM "users" WHERE "users"."id" = $1 LIMIT $2"#,
    ),
    (
        "Rails where and order",
        r#"SELECT "posts".* FROM "posts" WHERE "posts"."user_id" = $1 AND "posts"."published" = $2 ORDER BY "posts"."created_at" DESC LIMIT $3 OFFSET $4"#,
    ),
    (
        "Rails includes",
        r#"SELECT "comments".* FROM "comments" WHERE "comments"."post_id" IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
    ),
    (
        "Rails eager_load",
        r#"SELECT DISTINCT "posts"."id" AS t0_r0, "posts"."title" AS t0_r1, "users"."id" AS t1_r0, "users"."name" AS t1_r1, "comments"."id" AS t2_r0, "comments"."body" AS t2_r1 FROM "posts" LEFT OUTER JOIN "users" ON "users"."id" = "posts"."user_id" LEFT OUTER JOIN "comments" ON "comments"."post_id" = "posts"."id" WHERE "posts"."id" = $1"#,
    ),
    (
        "Rails exists",
        r#"SELECT 1 AS one FROM "users" WHERE LOWER("users"."email") = LOWER($1) LIMIT $2"#,
    ),
    (
        "Rails insert",
        r#"INSERT INTO "comments" ("post_id", "user_id", "body", "created_at", "updated_at") VALUES ($1, $2, $3, $4, $5) RETURNING "id""#,
    ),
    (
        "Hibernate by id",
        "select c1_0.id,c1_0.created_at,c1_0.email,c1_0.name,c1_0.version from customer c1_0 where c1_0.id=$1",
    ),
    (
        "Hibernate join fetch",
        "select o1_0.id,o1_0.created_at,o1_0.status,l1_0.order_id,l1_0.id,l1_0.quantity,l1_0.price,p1_0.id,p1_0.name,p1_0.sku from orders o1_0 left join order_line l1_0 on o1_0.id=l1_0.order_id left join product p1_0 on p1_0.id=l1_0.product_id where o1_0.customer_id=$1 and o1_0.status in ($2,$3) order by o1_0.created_at desc fetch first $4 rows only",
    ),
    (
        "Hibernate update",
        "update orders set created_at=$1,customer_id=$2,status=$3,version=$4 where id=$5 and version=$6",
    ),
    (
        "Prisma findUnique",
        r#"SELECT "public"."User"."id", "public"."User"."email", "public"."User"."name", "public"."User"."role"::text FROM "public"."User" WHERE ("public"."User"."email" = $1 AND 1=1) LIMIT $2 OFFSET $3"#,
    ),
    (
        "Prisma include",
        r#"SELECT "public"."Post"."id", "public"."Post"."title", "public"."Post"."authorId" FROM "public"."Post" WHERE "public"."Post"."authorId" IN ($1,$2,$3,$4,$5) ORDER BY "public"."Post"."id" ASC OFFSET $6"#,
    ),
    (
        "Prisma lateral join",
        r#"SELECT "t1"."id", "t1"."title", "Post_author"."__prisma_data__" AS "author" FROM "public"."Post" AS "t1" LEFT JOIN LATERAL (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'email', "t2"."email") AS "__prisma_data__" FROM (SELECT "t3".* FROM "public"."User" AS "t3" WHERE "t1"."authorId" = "t3"."id" LIMIT $1) AS "t2") AS "Post_author" ON TRUE WHERE "t1"."published" = $2"#,
    ),
    (
        "SQLAlchemy select",
        "SELECT users.id, users.name, users.fullname, users.nickname FROM users WHERE users.name = %(name_1)s ORDER BY users.id LIMIT %(param_1)s",
    ),
    (
        "SQLAlchemy joined load",
        "SELECT anon_1.orders_id AS anon_1_orders_id, anon_1.orders_status AS anon_1_orders_status, order_line_1.id AS order_line_1_id, order_line_1.quantity AS order_line_1_quantity FROM (SELECT orders.id AS orders_id, orders.status AS orders_status FROM orders WHERE orders.customer_id = 5 LIMIT 10) AS anon_1 LEFT OUTER JOIN order_line AS order_line_1 ON anon_1.orders_id = order_line_1.order_id",
    ),
    (
        "Ecto get_by",
        r#"SELECT a0."id", a0."email", a0."hashed_password", a0."confirmed_at", a0."inserted_at", a0."updated_at" FROM "accounts" AS a0 WHERE (a0."email" = $1)"#,
    ),
    (
        "Ecto token",
        r#"SELECT a1."id", a1."email", s0."inserted_at" FROM "sessions" AS s0 INNER JOIN "accounts" AS a1 ON a1."id" = s0."account_id" WHERE ((s0."token" = $1) AND (s0."context" = $2)) AND (s0."inserted_at" > $3::timestamp)"#,
    ),
    (
        "Ecto preload",
        r#"SELECT i0."id", i0."account_id", i0."cents", i0."account_id"::bigint FROM "invoices" AS i0 WHERE (i0."account_id" = ANY($1)) ORDER BY i0."account_id""#,
    ),
    (
        "Sequelize findOne",
        r#"SELECT "id", "email", "name", "createdAt", "updatedAt" FROM "users" AS "User" WHERE ("User"."email" = 'ann@example.com' AND "User"."deletedAt" IS NULL) LIMIT 1"#,
    ),
    (
        "Sequelize include",
        r#"SELECT "Post"."id", "Post"."title", "Tags"."id" AS "Tags.id", "Tags"."name" AS "Tags.name", "Tags->PostToTag"."A" AS "Tags.PostToTag.A" FROM "Post" AS "Post" LEFT OUTER JOIN ( "_PostToTag" AS "Tags->PostToTag" INNER JOIN "Tag" AS "Tags" ON "Tags"."id" = "Tags->PostToTag"."B") ON "Post"."id" = "Tags->PostToTag"."A" WHERE "Post"."id" = 3"#,
    ),
    (
        "Sequelize upsert",
        r#"INSERT INTO "users" ("id","email","name","createdAt","updatedAt") VALUES ($1,$2,$3,$4,$5) ON CONFLICT ("id") DO UPDATE SET "email"=EXCLUDED."email","name"=EXCLUDED."name" RETURNING "id","email","name""#,
    ),
];
