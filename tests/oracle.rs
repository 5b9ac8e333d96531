//! The analysis against PostgreSQL itself: what a statement is said to depend on, and what a real server makes of it.
//!
//! * Whatever the analysis calls cacheable may run nothing but what is allowed, and its relations are all that the
//!   server's own tree of the statement names, views, partitions and children included.
//! * Statements written by hand, by kind, and statements made by a grammar from a seed: `LARDER_CORPUS_SEEDS=0..5000`
//!   for more of them, `LARDER_CORPUS_SEEDS=17` for one.
//! * What the analysis refuses although nothing in the tree speaks against it is counted, and the count may only shrink.
#[path = "oracle/asking.rs"]
mod asking;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "oracle/storedtree.rs"]
mod storedtree;
#[path = "oracle/truth.rs"]
mod truth;
#[path = "oracle/written.rs"]
mod written;

use asking::{House, Verdict};
use larder::why::Why;
use postgres::Postgres;
use std::collections::{BTreeMap, BTreeSet};

const SCHEMA: &str = include_str!("oracle/schema.sql");

/// How many of the written statements are refused although the server's tree shows nothing against it. They may
/// become fewer.
const STRICT: &[(Why, usize)] = &[];

#[tokio::test]
async fn whatever_is_called_cacheable_is_by_postgresqls_own_word() {
    let server = Postgres::start();
    let client = server.connect("postgres", "postgres").await;
    client.batch_execute(SCHEMA).await.expect("the schema");
    let house = House::of(client).await;
    let all = written::all();
    let texts: BTreeSet<(&str, &[String])> =
        all.iter().map(|w| (w.text.as_str(), &*w.path)).collect();
    assert_eq!(texts.len(), all.len(), "a statement stands twice");
    assert!(all.len() >= 5, "only {} statements", all.len());
    let (mut cacheable, mut refused) = (0, 0);
    let mut strict: BTreeMap<Why, Vec<&str>> = BTreeMap::new();
    let (mut wrong, mut not) = (Vec::new(), Vec::new());
    for statement in all.iter().filter(|w| w.from <= house.version) {
        let text = &statement.text;
        match house.ask(text, &statement.path).await {
            Verdict::Agreed { cacheable: true } => cacheable += 1,
            Verdict::Agreed { cacheable: false } => refused += 1,
            Verdict::Strict(why) => strict.entry(why).or_default().push(text),
            Verdict::Wrong(what) => wrong.push(format!("{}: {text}\n    {what}", statement.file)),
            Verdict::Not(_) if statement.alone => {}
            Verdict::Not(error) => not.push(format!("{}: {text}\n    {error}", statement.file)),
        }
    }
    let counts: Vec<(Why, usize)> = strict.iter().map(|(why, all)| (*why, all.len())).collect();
    println!("{cacheable} cacheable, {refused} refused with reason, refused without: {counts:?}");
    if std::env::var_os("LARDER_CORPUS_TELL").is_some() {
        for (why, text) in strict
            .iter()
            .flat_map(|(why, all)| all.iter().map(move |t| (why, t)))
        {
            println!("{why:?}: {text}");
        }
    }
    println!("not taken by the server:\n{}", not.join("\n"));
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(not.is_empty(), "{} are not taken by the server", not.len());
    for (why, count) in counts {
        let budget = STRICT
            .iter()
            .find(|(known, _)| *known == why)
            .map_or(0, |(_, n)| *n);
        assert!(
            count <= budget,
            "{why:?}: {count} refused without reason, {budget} known"
        );
    }
}
