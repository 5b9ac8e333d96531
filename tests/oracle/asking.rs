//! One statement, asked of both: of the analysis, and of a real server.
//!
//! * The server is asked by a view made of the statement in a transaction that is rolled back: what the view's stored
//!   query names is what the statement would run. `pg_depend` of the view is a second witness for the reader.
//! * Parameters get the types that the server infers, and NULL for a value.

use super::storedtree::{self, Named};
use super::truth::{Depends, Truth, rows};
use larder::sql::{Analysis, Catalog, Statement, analyse, resolve};
use larder::watch::schema;
use larder::why::Why;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::Client;

/// `SYSTEM_CATALOGS` of the analysis.
const CATALOGS: u32 = 1259;

/// A server, its catalog and its truth.
pub struct House {
    pub catalog: Catalog,
    pub truth: Truth,
    pub version: u32,
    asked: AtomicU32,
}

/// What came of one statement.
#[derive(Debug)]
pub enum Verdict {
    /// The server does not take it, or not in a view.
    Not(String),
    /// Both agree, or the analysis is stricter for a reason that the server's tree shows.
    Agreed { cacheable: bool },
    /// Refused, and nothing in the server's tree says why.
    Strict(Why),
    /// The analysis would keep what may change, or does not know a relation.
    Wrong(String),
}

impl House {
    pub async fn of(client: &Client) -> House {
        let (catalog, _) = schema::load(client, 7, &[]).await.expect("load");
        let truth = Truth::load(client).await;
        let version = &rows(client, "SHOW server_version_num").await[0][0];
        let version = version.parse::<u32>().expect("a number") / 10_000;
        House {
            catalog,
            truth,
            version,
            asked: AtomicU32::new(0),
        }
    }

    /// The analysis' own answer, parameters' types included.
    pub fn ours(
        &self,
        text: &str,
        path: &[String],
        parameters: &[u32],
    ) -> Result<BTreeSet<u32>, Why> {
        let analysis: Analysis = analyse(text);
        if let Some(why) = analysis.refused {
            return Err(why);
        }
        let [statement @ Statement::Query(_)] = &*analysis.statements else {
            return Err(Why::NotSelect);
        };
        let path: Vec<Box<str>> = path
            .iter()
            .map(|name| name.trim_matches('"').into())
            .collect();
        let reads = resolve(statement, Some(&self.catalog), &path).reads?;
        match parameters
            .iter()
            .find_map(|oid| self.catalog.type_kept(*oid))
        {
            Some(why) => Err(why),
            None => Ok(reads.relations().iter().copied().collect()),
        }
    }

    pub async fn ask(&self, client: &Client, text: &str, path: &[String]) -> Verdict {
        match self.theirs(client, text, path).await {
            Err(error) => Verdict::Not(error),
            Ok((depends, parameters)) => self.compare(self.ours(text, path, &parameters), &depends),
        }
    }

    fn compare(&self, ours: Result<BTreeSet<u32>, Why>, depends: &Depends) -> Verdict {
        let relations = match ours {
            Ok(relations) => relations,
            Err(why) if depends.objections.is_empty() && !depends.relations.is_empty() => {
                return Verdict::Strict(why);
            }
            Err(_) => return Verdict::Agreed { cacheable: false },
        };
        let mut wrong: Vec<String> = depends.objections.iter().cloned().collect();
        if depends.catalogs && !relations.contains(&CATALOGS) {
            wrong.push("it looks into catalogs and is not stamped so".into());
        }
        for oid in &depends.relations {
            let name = self.truth.relation_name(*oid);
            let of_catalogs =
                name.starts_with("pg_catalog.") || name.starts_with("information_schema.");
            if !relations.contains(oid) && !of_catalogs {
                wrong.push(format!("{name} is missing"));
            }
        }
        match wrong.is_empty() {
            true => Verdict::Agreed { cacheable: true },
            false => Verdict::Wrong(wrong.join("; ")),
        }
    }

    /// What the server says, and the types of the parameters.
    async fn theirs(
        &self,
        client: &Client,
        text: &str,
        path: &[String],
    ) -> Result<(Depends, Vec<u32>), String> {
        let path = path.join(", ");
        if text.contains('$') {
            let set = format!("SET search_path = {path}");
            client.batch_execute(&set).await.map_err(told)?;
        }
        let mut parameters = Vec::new();
        let mut statement = text.to_owned();
        if text.contains('$') {
            let prepared = client.prepare(text).await.map_err(told)?;
            parameters.extend(
                prepared
                    .params()
                    .iter()
                    .map(tokio_postgres::types::Type::oid),
            );
        }
        for (n, oid) in parameters.iter().enumerate().rev() {
            let of_type = format!("(NULL::{})", type_name(client, *oid).await);
            statement = statement.replace(&format!("${}", n + 1), &of_type);
        }
        // A name of its own: what was rolled back stays in the indexes for a while.
        let view = format!("asked_{}", self.asked.fetch_add(1, Ordering::Relaxed));
        let batch = format!(
            "BEGIN; SET LOCAL search_path = {path}; CREATE VIEW public.{view} AS SELECT 1 AS one FROM (\n{statement}\n) asked_of;
             SELECT ev_action::pg_catalog.text, NULL FROM pg_catalog.pg_rewrite
                WHERE ev_class OPERATOR(pg_catalog.=) 'public.{view}'::pg_catalog.regclass
             UNION ALL SELECT d.refclassid::pg_catalog.regclass::pg_catalog.text, d.refobjid::pg_catalog.text
                FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid OPERATOR(pg_catalog.=) d.objid
                WHERE r.ev_class OPERATOR(pg_catalog.=) 'public.{view}'::pg_catalog.regclass;
             ROLLBACK"
        );
        let messages = match client.simple_query(&batch).await {
            Ok(messages) => messages,
            Err(error) => {
                client.batch_execute("ROLLBACK").await.map_err(told)?;
                return Err(told(error));
            }
        };
        let mut named = Named::default();
        let mut witness = Vec::new();
        for message in messages {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                match (row.get(0), row.get(1)) {
                    (Some(tree), None) => named = storedtree::named(&storedtree::read(tree)),
                    (Some(class), Some(oid)) => {
                        witness.push((class.to_owned(), oid.parse::<u32>()))
                    }
                    _ => {}
                }
            }
        }
        self.second_witness(text, &named, &witness);
        Ok((self.truth.depends(&named), parameters))
    }

    /// What `pg_depend` knows, the tree must have named.
    fn second_witness<E>(&self, text: &str, named: &Named, witness: &[(String, Result<u32, E>)]) {
        for (class, oid) in witness {
            let Ok(oid) = oid else { continue };
            // `'users'::regclass`
            if named
                .constants
                .iter()
                .any(|c| c.bytes.starts_with(&oid.to_le_bytes()))
            {
                continue;
            }
            let seen = match class.trim_start_matches("pg_catalog.") {
                "pg_class" => named.relations.contains(oid) || self.truth.only_by_type(*oid, named),
                "pg_proc" => named.functions.contains(oid),
                "pg_operator" => named.operators.contains(oid),
                _ => true,
            };
            assert!(
                seen,
                "{text}: {class} {oid} is in pg_depend and was not found in {named:?}"
            );
        }
    }
}

async fn type_name(client: &Client, oid: u32) -> String {
    let query = format!("SELECT pg_catalog.format_type({oid}, NULL)");
    rows(client, &query).await[0][0].clone()
}

fn told(error: tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => panic!("the server is gone: {error}"),
    }
}
