//! `SHOW larder.last`: the outcome of the last statement that was not itself `SHOW larder.last`.

use crate::ground::Ground;
use crate::wireclient::{Answered, Batch};

const SCHEMA: &str =
    "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one')";

#[test]
fn show_larder_last_says_what_happened() {
    let ground = Ground::new("show_last", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    assert_eq!(client.larder_last(), "other", "nothing has been asked yet");
    let read = "SELECT name FROM items WHERE id = 1";
    for (sql, expected) in [
        (read, "miss"),
        (read, "hit"),
        ("SELECT 1", "bypass: no_relation"),
        ("INSERT INTO items VALUES (2, 'two')", "write"),
        (read, "miss"),
        ("SET application_name = 'a'", "other"),
        (read, "hit"),
        ("BEGIN", "other"),
        (read, "hit"),
        ("UPDATE items SET name = 'uno' WHERE id = 1", "write"),
        (read, "bypass: transaction_dirty"),
        ("ROLLBACK", "other"),
        (read, "hit"),
    ] {
        client.ok(sql);
        assert_eq!(client.larder_last(), expected, "{sql}");
        assert_eq!(
            client.larder_last(),
            expected,
            "asking twice changes nothing: {sql}"
        );
    }
}

#[test]
fn show_larder_last_is_a_statement_like_any_other() {
    let ground = Ground::new("show_shape", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    client.ok("SELECT name FROM items");
    let simple = client.query("SHOW larder.last");
    assert_eq!(simple.tags(), "TDCZ");
    assert_eq!(simple.complete(), ["SHOW"]);
    for sql in [
        "show larder.last",
        "SHOW larder.last;",
        "SHOW /* what */ Larder.Last",
    ] {
        assert_eq!(client.query(sql), simple, "{sql}");
    }
    let extended = client.extended("SHOW larder.last", &[]);
    assert_eq!(extended.tags(), "12TDCZ");
    assert_eq!(extended.value().as_deref(), Some("miss"));
    assert_eq!(extended[2..], simple[..]);
    // Prepared once, asked often, and described.
    let prepared = client.run(
        Batch::new()
            .parse("last", "SHOW larder.last", &[])
            .describe_statement("last")
            .sync(),
    );
    assert_eq!(prepared.tags(), "1tTZ");
    for expected in ["miss", "hit"] {
        client.ok("SELECT name FROM items WHERE id = 1");
        let answer = client.run(Batch::new().bind_text("last", &[]).execute("", 0).sync());
        assert_eq!(answer.tags(), "2DCZ");
        assert_eq!(answer.value().as_deref(), Some(expected));
    }
    // In its place in a pipeline, behind answers that are still to come.
    let batch = Batch::new()
        .query("SELECT pg_sleep(0.1)")
        .query("SHOW larder.last")
        .query("SELECT name FROM items WHERE id = 1");
    client.send(batch.query("SHOW larder.last"));
    let answers = client.until_ready_times(4);
    let words: Vec<_> = answers
        .rows()
        .into_iter()
        .map(|row| row[0].clone().unwrap())
        .collect();
    // A read behind a volatile function's answer is not decided yet, and passes.
    assert_eq!([&*words[0], &*words[2]], ["", "one"]);
    assert!(words[1].starts_with("bypass: "), "{words:?}");
    assert_ne!(
        words[1], "bypass: pipeline",
        "the word of the statement before, not of one behind"
    );
    assert!(
        ["hit", "miss", "bypass: pipeline"].contains(&&*words[3]),
        "{words:?}"
    );
    // In a transaction it keeps the status, in a failed one it fails.
    client.ok("BEGIN");
    client.query("SHOW larder.last");
    assert_eq!(client.status, b'T');
    client.query("SELECT 1/0");
    let failed = client.query("SHOW larder.last");
    assert_eq!(
        (failed.sqlstate().as_deref(), client.status),
        (Some("25P02"), b'E')
    );
    client.ok("ROLLBACK");
}
