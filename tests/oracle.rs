//! The analysis against PostgreSQL itself: what a statement is said to depend on, and what a real server makes of it.
//!
//! * Whatever the analysis calls cacheable may run nothing but what is allowed, and its relations are all that the
//!   server's own tree of the statement names, views, partitions and children included.
//! * Statements written by hand, by kind, and statements made by a grammar from a seed: `LARDER_CORPUS_SEEDS=0..5000`
//!   for more of them, `LARDER_CORPUS_SEEDS=17` for one.
//! * What the analysis refuses although nothing in the tree speaks against it is counted, and the count may only shrink.
//!   `LARDER_CORPUS_TELL=1` with `--nocapture` names them.
//! * sqlparser reads every statement, too, and must find the same relations.
#[path = "oracle/asking.rs"]
mod asking;
#[path = "oracle/grammar.rs"]
mod grammar;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "oracle/secondreader.rs"]
mod secondreader;
#[path = "oracle/storedtree.rs"]
mod storedtree;
#[path = "oracle/truth.rs"]
mod truth;
#[path = "oracle/written.rs"]
mod written;

use asking::{House, Verdict};
use futures_util::future::join_all;
use larder::why::Why;
use postgres::Postgres;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Client;

/// The house of the catalog's tests, and what the statements need beyond it.
const SCHEMA: &str = concat!(
    include_str!("catalog/house.sql"),
    include_str!("oracle/schema.sql")
);

/// How many connections ask at the same time.
const CONNECTIONS: usize = 4;

/// How many of the written statements are refused although the server's tree shows nothing against it. They may
/// become fewer.
const STRICT: &[(Why, usize)] = &[
    (Why::ClockText, 62),
    (Why::StableFunction, 17),
    (Why::UserFunction, 23),
    (Why::UnknownFunction, 8),
    (Why::UserOperator, 4),
    (Why::UserType, 29),
    (Why::SystemColumn, 1),
    (Why::Construct, 1),
    (Why::SystemCatalog, 69),
    (Why::RowSecurity, 6),
    (Why::OpaqueView, 6),
    (Why::ClockColumn, 18),
];

/// Of the statements made by the grammar, so many in a hundred must be ones that the server takes, and of those so many
/// cacheable: else they would prove nothing.
const TAKEN: usize = 50;
const CACHEABLE: usize = 20;

/// A server with the schema, its house, and connections.
async fn open() -> (Postgres, House, Vec<Client>) {
    let server = Postgres::start();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.connect("postgres", "postgres").await);
    }
    clients[0].batch_execute(SCHEMA).await.expect("the schema");
    let zone = truth::rows(&clients[0], AT_NIGHT).await.remove(0).remove(0);
    let quiet = format!("SET timezone = {zone}; SET client_min_messages = error; SET jit = off");
    for client in &clients {
        client.batch_execute(&quiet).await.expect("settings");
    }
    let house = House::of(&clients[0]).await;
    (server, house, clients)
}

/// The time zone, in hours, in which it is between three and four at night. What is made by a word such as 'now' is told
/// from the times that stand in the corpus, from nine to five and midnight, by being near to what the clock shows.
const AT_NIGHT: &str = "SELECT (39 - extract(hour FROM now() AT TIME ZONE 'UTC'))::int % 24 - 12";

/// Asks about each, in the order given, over all connections at once.
async fn ask_all(house: &House, clients: &[Client], all: &[(&str, &[String])]) -> Vec<Verdict> {
    let lanes = clients.iter().enumerate().map(|(lane, client)| async move {
        let mut verdicts = Vec::new();
        for (n, (text, path)) in all.iter().enumerate() {
            if n % CONNECTIONS == lane {
                verdicts.push((n, house.ask(client, text, path).await));
            }
        }
        verdicts
    });
    let mut verdicts: Vec<_> = join_all(lanes).await.into_iter().flatten().collect();
    verdicts.sort_by_key(|(n, _)| *n);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

#[tokio::test]
async fn whatever_is_called_cacheable_is_by_postgresqls_own_word() {
    let (_server, house, clients) = open().await;
    let all = written::all();
    let mut texts = BTreeSet::new();
    let twice = all.iter().filter(|w| !texts.insert((&w.text, &w.path)));
    let twice: Vec<&str> = twice.map(|w| w.text.as_str()).collect();
    assert!(twice.is_empty(), "written twice:\n{}", twice.join("\n"));
    assert!(all.len() >= 3_500, "only {} statements", all.len());
    let known: Vec<_> = all.iter().filter(|w| w.from <= house.version).collect();
    let asked: Vec<(&str, &[String])> = known.iter().map(|w| (w.text.as_str(), &*w.path)).collect();
    let mut told = Told::default();
    for (statement, verdict) in known.iter().zip(ask_all(&house, &clients, &asked).await) {
        if statement.alone {
            assert!(
                matches!(verdict, Verdict::Not(_)),
                "{} stands in a view",
                statement.text
            );
            told.alone.push(&statement.text);
        } else {
            told.take(&statement.file, &statement.text, verdict);
        }
    }
    told.print();
    assert!(
        told.wrong.is_empty(),
        "{} wrong:\n{}",
        told.wrong.len(),
        told.wrong.join("\n")
    );
    // Another version may not know all of it, and refuse more or less.
    if house.version != 15 {
        return;
    }
    assert!(
        told.not.is_empty(),
        "not taken by the server:\n{}",
        told.not.join("\n")
    );
    for (why, refused) in &told.strict {
        let budget = STRICT
            .iter()
            .find(|(known, _)| known == why)
            .map_or(0, |(_, n)| *n);
        let count = refused.len();
        assert!(
            count <= budget,
            "{why:?}: {count} refused without reason, {budget} known"
        );
    }
}

#[tokio::test]
async fn statements_made_from_a_seed_agree_with_postgresql() {
    let (_server, house, clients) = open().await;
    let given = std::env::var("LARDER_CORPUS_SEEDS").unwrap_or_else(|_| "0..1000".into());
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .expect("LARDER_CORPUS_SEEDS is a seed or a range a..b")
    };
    let seeds = match given.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&given)..number(&given) + 1,
    };
    let path = vec!["public".to_owned()];
    let texts: Vec<String> = seeds.clone().map(grammar::statement).collect();
    let asked: Vec<(&str, &[String])> = texts.iter().map(|text| (text.as_str(), &*path)).collect();
    let mut told = Told::default();
    let verdicts = ask_all(&house, &clients, &asked).await;
    for ((seed, text), verdict) in seeds.clone().zip(&texts).zip(verdicts) {
        if let Verdict::Wrong(_) = &verdict {
            let short = shrink(&house, &clients[0], text, &path).await;
            println!("seed {seed}: {text}\n    as little as: {short}");
        }
        if seeds.clone().count() == 1 {
            println!("{text}\n{verdict:?}");
        }
        told.take(&format!("seed {seed}"), text, verdict);
    }
    told.print();
    assert!(
        told.wrong.is_empty(),
        "{} wrong:\n{}",
        told.wrong.len(),
        told.wrong.join("\n")
    );
    let refused = told.refused + told.strict.values().map(Vec::len).sum::<usize>();
    let taken = told.cacheable + refused;
    if texts.len() >= 100 {
        assert!(
            taken * 100 >= texts.len() * TAKEN,
            "the server takes only {taken} of {}",
            texts.len()
        );
        assert!(
            told.cacheable * 100 >= taken * CACHEABLE,
            "only {} are cacheable",
            told.cacheable
        );
    }
}

/// The statement with words taken out, as long as it stays wrong.
async fn shrink(house: &House, client: &Client, text: &str, path: &[String]) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    let mut tries = 0;
    let mut length = words.len() / 2;
    while length > 0 && tries < 600 {
        let (mut at, mut found) = (0, false);
        while at + length <= words.len() && tries < 600 {
            let shorter: Vec<&str> = [&words[..at], &words[at + length..]].concat();
            tries += 1;
            match house.ask(client, &shorter.join(" "), path).await {
                Verdict::Wrong(_) => (words, found) = (shorter, true),
                _ => at += 1,
            }
        }
        if !found {
            length /= 2;
        }
    }
    words.join(" ")
}

/// What came of many statements.
#[derive(Default)]
struct Told<'a> {
    cacheable: usize,
    refused: usize,
    strict: BTreeMap<Why, Vec<&'a str>>,
    wrong: Vec<String>,
    not: Vec<String>,
    /// Cannot stand in a view.
    alone: Vec<&'a str>,
}

impl<'a> Told<'a> {
    fn take(&mut self, from: &str, text: &'a str, verdict: Verdict) {
        match verdict {
            Verdict::Agreed { cacheable: true } => self.cacheable += 1,
            Verdict::Agreed { cacheable: false } => self.refused += 1,
            Verdict::Strict(why) => self.strict.entry(why).or_default().push(text),
            Verdict::Wrong(what) => self.wrong.push(format!("{from}: {text}\n    {what}")),
            Verdict::Not(error) => self.not.push(format!("{from}: {text}\n    {error}")),
        }
    }

    fn print(&self) {
        let counts: Vec<(Why, usize)> = self
            .strict
            .iter()
            .map(|(why, all)| (*why, all.len()))
            .collect();
        println!(
            "{} cacheable, {} refused with reason, without: {counts:?}",
            self.cacheable, self.refused
        );
        println!(
            "{} cannot stand in a view:\n{}",
            self.alone.len(),
            self.alone.join("\n")
        );
        println!("{} not taken by the server", self.not.len());
        if std::env::var_os("LARDER_CORPUS_TELL").is_some() {
            for (why, text) in self
                .strict
                .iter()
                .flat_map(|(why, all)| all.iter().map(move |t| (why, t)))
            {
                println!("{why:?}: {text}");
            }
            println!("not taken:\n{}", self.not.join("\n"));
        }
    }
}
