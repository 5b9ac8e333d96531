//! Versioned accounts, and what a read of one may show.
//!
//! Every account has two rows that are always updated together. A read is stale if it shows less than what was
//! acknowledged before it was sent; torn if the two rows differ; non-monotonic if it shows less than any read that
//! had ended before it was sent, on whatever connection; from nowhere if it shows more than was ever tried.
#![allow(dead_code)]

use crate::wireclient::{Answered, Batch, Client, Transcript};
use std::sync::atomic::{AtomicU64, Ordering};

pub const ACCOUNTS: usize = 8;

/// The tables, a view over them and a function that writes.
pub const SCHEMA: &str = "
    CREATE TABLE rows_a (id int PRIMARY KEY, version bigint NOT NULL);
    CREATE TABLE rows_b (id int PRIMARY KEY, version bigint NOT NULL);
    INSERT INTO rows_a SELECT g, 0 FROM generate_series(0, 7) g;
    INSERT INTO rows_b SELECT g, 0 FROM generate_series(0, 7) g;
    CREATE VIEW both_rows AS SELECT a.id, a.version AS a, b.version AS b FROM rows_a a JOIN rows_b b USING (id);
    CREATE FUNCTION bump(i int, v bigint) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN UPDATE rows_a SET version = v WHERE id = i; UPDATE rows_b SET version = v WHERE id = i; END $$;";

/// What is known of something that has a version, and one writer.
#[derive(Debug, Default)]
pub struct Versioned {
    /// Given out to a write, whether or not it succeeded.
    tried: AtomicU64,
    acknowledged: AtomicU64,
    seen: AtomicU64,
}

/// What was known before a read was sent.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    acknowledged: u64,
    seen: u64,
}

impl Versioned {
    /// The version that the next write gives it.
    pub fn next(&self) -> u64 {
        self.tried.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A write was acknowledged.
    pub fn acknowledge(&self, version: u64) {
        self.acknowledged.store(version, Ordering::SeqCst);
    }

    /// The last version whose write was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// To be asked before a read is sent.
    pub fn before(&self) -> Before {
        Before {
            acknowledged: self.acknowledged.load(Ordering::SeqCst),
            seen: self.seen.load(Ordering::SeqCst),
        }
    }

    /// A read has shown that version.
    pub fn judge(&self, before: Before, version: u64) -> Result<(), String> {
        self.seen.fetch_max(version, Ordering::SeqCst);
        let Before { acknowledged, seen } = before;
        let tried = self.tried.load(Ordering::SeqCst);
        if version < acknowledged {
            return Err(format!(
                "stale: {version} is shown, {acknowledged} was acknowledged"
            ));
        }
        if version < seen {
            return Err(format!(
                "back in time: {version} is shown, {seen} was seen before"
            ));
        }
        if version > tried {
            return Err(format!(
                "from nowhere: {version} is shown, {tried} is the last that was tried"
            ));
        }
        Ok(())
    }
}

/// One write of one account in one of many ways; true if it was acknowledged.
pub fn write(client: &mut Client, id: usize, version: u64, way: u64) -> bool {
    let a = format!("UPDATE rows_a SET version = {version} WHERE id = {id}");
    let b = format!("UPDATE rows_b SET version = {version} WHERE id = {id}");
    let both = format!("WITH a AS ({a}) {b}");
    let done = |t: &Transcript| t.tags().ends_with('Z') && t.error().is_none();
    let id = id.to_string();
    match way % 7 {
        0 => done(&client.query(&both)),
        1 => done(&client.extended(&both, &[])),
        2 => ["BEGIN", &a, &b, "COMMIT"]
            .iter()
            .all(|sql| done(&client.query(sql))),
        3 => done(
            &client.run(
                Batch::new()
                    .unnamed("BEGIN", &[])
                    .unnamed(&a, &[])
                    .unnamed(&b, &[])
                    .unnamed("COMMIT", &[])
                    .sync(),
            ),
        ),
        4 => done(&client.run(Batch::new().unnamed(&a, &[]).unnamed(&b, &[]).sync())),
        5 => done(&client.query(&format!("{a}; {b}"))),
        _ => done(&client.extended(
            "SELECT bump($1::int, $2::bigint)",
            &[&id, &version.to_string()],
        )),
    }
}

/// One read of one account in one of many ways; the two versions, or `None` if the connection failed.
pub fn read(client: &mut Client, id: usize, way: u64) -> Option<(u64, u64)> {
    let joined = format!(
        "SELECT a.version, b.version FROM rows_a a, rows_b b WHERE a.id = {id} AND b.id = {id}"
    );
    let view = format!("SELECT a, b FROM both_rows WHERE id = {id}");
    let answer = match way % 5 {
        0 => client.query(&joined),
        1 => client.extended(&joined, &[]),
        2 => client.query(&view),
        3 => client.extended(
            "SELECT a, b FROM both_rows WHERE id = $1",
            &[&id.to_string()],
        ),
        _ => {
            let t = client.run(
                Batch::new()
                    .unnamed("BEGIN", &[])
                    .unnamed(&view, &[])
                    .unnamed("COMMIT", &[])
                    .sync(),
            );
            if !t.tags().ends_with('Z') {
                return None;
            }
            t
        }
    };
    let rows = answer.rows();
    let row = rows.first()?;
    if answer.error().is_some() || !answer.tags().ends_with('Z') {
        return None;
    }
    Some((
        row[0].as_ref()?.parse().ok()?,
        row[1].as_ref()?.parse().ok()?,
    ))
}
