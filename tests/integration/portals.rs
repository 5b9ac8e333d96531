//! Portals and statements that live in Larder: row limits, named portals, descriptions, DDL, byte for byte as direct.

use crate::ground::Ground;
use crate::wireclient::{Answered, Batch, Bind, Client, Transcript};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text, day date);
    INSERT INTO items SELECT g, 'item ' || g, date '2024-01-01' + g FROM generate_series(1, 50) g;
    CREATE TABLE other (id int);";
const SQL: &str = "SELECT id, name, day FROM items WHERE id <= 5 ORDER BY id";

fn bound(portal: &str) -> Batch {
    let bind = Bind {
        portal,
        ..Bind::default()
    };
    Batch::new()
        .parse("", SQL, &[])
        .bind(bind)
        .describe_portal(portal)
}

/// What a client does with a portal, in a block.
fn in_block(client: &mut Client, steps: &[&dyn Fn(&mut Client) -> Transcript]) -> Transcript {
    let mut told = client.query("BEGIN");
    for step in steps {
        told.extend(step(client));
    }
    told.extend(client.query("ROLLBACK"));
    told
}

#[test]
fn p7_portals_answer_as_postgresql_does() {
    let ground = Ground::new("portals", SCHEMA);
    ground.warm("items");
    for _ in 0..2 {
        for portal in ["", "c"] {
            let first = |c: &mut Client| c.run(bound(portal).execute(portal, 2).sync());
            let more = |c: &mut Client| c.run(Batch::new().execute(portal, 2).sync());
            let rest = |c: &mut Client| {
                let all = Batch::new().execute(portal, 0).execute(portal, 1);
                c.run(all.describe_portal(portal).sync())
            };
            let close = |c: &mut Client| c.run(Batch::new().close_portal(portal).sync());
            let write = |c: &mut Client| {
                c.run(
                    Batch::new()
                        .unnamed("INSERT INTO other VALUES (1)", &[])
                        .sync(),
                )
            };
            let save = |c: &mut Client| c.run(Batch::new().unnamed("SAVEPOINT s", &[]).sync());
            let back = |c: &mut Client| c.query("ROLLBACK TO s");
            let fail = |c: &mut Client| c.query("SELECT 1/0");
            let late = |c: &mut Client| {
                c.run(
                    Batch::new()
                        .bind(Bind {
                            portal,
                            ..Bind::default()
                        })
                        .sync(),
                )
            };
            ground.same("in pieces", |c| in_block(c, &[&first, &more, &more, &rest]));
            ground.same("closed", |c| in_block(c, &[&first, &close, &more]));
            ground.same("bound, then run", |c| {
                let bind = |c: &mut Client| c.run(bound(portal).sync());
                in_block(c, &[&bind, &more, &rest, &close])
            });
            ground.same("in a failed block", |c| {
                in_block(c, &[&first, &fail, &more])
            });
            ground.same("without a block", |c| {
                let mut told = first(c);
                told.extend(more(c));
                told
            });
            if portal == "c" {
                ground.same("beside a write", |c| {
                    in_block(c, &[&first, &write, &more, &rest])
                });
                ground.same("before a savepoint", |c| {
                    in_block(c, &[&first, &save, &more, &back, &more])
                });
                ground.same("behind a savepoint", |c| {
                    in_block(c, &[&save, &first, &back, &more])
                });
                ground.same("its name is taken", |c| {
                    in_block(c, &[&first, &late, &more])
                });
                ground.same("declared over", |c| {
                    let declare = |c: &mut Client| c.query("DECLARE c CURSOR FOR SELECT 1");
                    in_block(c, &[&first, &declare])
                });
            }
        }
    }
    // Whoever executes a portal that Larder does not know may have written anything.
    ground.warm("items");
    in_block(
        &mut ground.through(),
        &[&|c| c.run(bound("c").execute("c", 0).sync())],
    );
    let mut client = ground.through();
    client.query("BEGIN");
    client.run(bound("c").execute("c", 2).sync());
    assert_eq!(client.larder_last(), "hit");
    client.run(Batch::new().execute("c", 2).sync());
    assert_eq!(client.larder_last(), "hit");
}

#[test]
fn p7_the_first_rows_of_a_large_answer_hit_under_the_same_limit() {
    let ground = Ground::new("portals_first", SCHEMA);
    ground.warm("other");
    let sql = "SELECT repeat(name, 100) FROM items ORDER BY id";
    let first = |c: &mut Client, limit| {
        let batch = Batch::new().parse("", sql, &[]).bind_text("", &[]);
        c.run(batch.describe_portal("").execute("", limit).sync())
    };
    for limit in [1, 1, 2, 1, 50, 50, 51, 51] {
        ground.same("first rows", |c| first(c, limit));
    }
    let mut client = ground.through();
    first(&mut client, 1);
    assert_eq!(client.larder_last(), "hit");
}

#[test]
fn p7_a_known_statement_needs_no_upstream_and_a_changed_one_is_refused() {
    let ground = Ground::new("portals_ddl", SCHEMA);
    ground.warm("items");
    let sql = "SELECT * FROM items WHERE id = 4";
    for name in ["", "a"] {
        let prepare = |c: &mut Client| {
            c.run(
                Batch::new()
                    .parse(name, sql, &[])
                    .describe_statement(name)
                    .sync(),
            )
        };
        let run = |c: &mut Client| c.run(Batch::new().bind_text(name, &[]).execute("", 0).sync());
        for _ in 0..3 {
            ground.same("prepared, then run", |c| {
                let mut told = prepare(c);
                told.extend(run(c));
                told
            });
        }
        let (mut direct, mut through) = (ground.direct(), ground.through());
        let expected = prepare(&mut direct);
        crate::ground::assert_same("prepared", &expected, &prepare(&mut through));
        let column = if name.is_empty() { "one" } else { "two" };
        ground
            .through()
            .query(&format!("ALTER TABLE items ADD {column} int"));
        ground.warm("items");
        for _ in 0..2 {
            let expected = run(&mut direct);
            assert_eq!(expected.sqlstate().as_deref(), Some("0A000"));
            let told = run(&mut through);
            assert_eq!(told.tags(), expected.tags());
            assert_eq!(
                (told.sqlstate(), told.error()),
                (expected.sqlstate(), expected.error())
            );
        }
        ground
            .through()
            .query("CREATE TABLE IF NOT EXISTS unrelated (id int)");
    }
}
