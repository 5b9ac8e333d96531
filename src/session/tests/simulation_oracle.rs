//! What an answer may show: its client's own writes, and of everything else one state that was current between the
//! sending of the statement and the arrival of its row. P1, P4 and P5 follow from that.

use std::collections::BTreeMap;

use super::simulation::TTL;
use super::simulation_server::{CATALOG, Fate, OUTSIDE, Server, columns};
use crate::cache::Micros;

/// A transaction as its client knows it.
#[derive(Default)]
pub struct Transaction {
    own: BTreeMap<usize, usize>,
    begun: bool,
    /// In REPEATABLE READ: the states its snapshot may be of.
    snapshot: Option<(usize, usize)>,
}

/// What its statement has to see: the state and the time when it was sent, and the state that the connection's answer
/// before it was of, or a later one.
#[derive(Clone, Copy)]
pub struct Since {
    pub state: usize,
    pub time: Micros,
    pub seen: usize,
}

impl Transaction {
    /// A statement sent in that state has run.
    pub fn begin(&mut self, repeatable: bool, since: usize) {
        if !std::mem::replace(&mut self.begun, true) && repeatable {
            self.repeatable(since);
        }
    }

    /// Its isolation is REPEATABLE READ.
    pub fn repeatable(&mut self, since: usize) {
        self.snapshot.get_or_insert((since, usize::MAX));
    }

    /// A write was answered.
    pub fn wrote(&mut self, tables: &[usize], number: usize) {
        self.own.extend(tables.iter().map(|table| (*table, number)));
    }
}

/// Checks a row. Gives the first state that it can be the answer of.
pub fn check(
    server: &Server,
    transaction: &mut Transaction,
    sql: &str,
    numbers: &[usize],
    since: Since,
) -> Result<usize, String> {
    let least = since.state.max(since.seen);
    let (mut from, mut until) = transaction.snapshot.unwrap_or((least, server.state));
    until = until.min(server.state);
    let (first, last) = (from, until);
    let tables = std::iter::once(&CATALOG).chain(columns(sql).unwrap_or_default());
    for (table, number) in tables.zip(numbers) {
        match transaction.own.get(table) {
            Some(own) if own == number => continue,
            Some(own) => return Err(format!("its own {own} in table {table} is not seen")),
            None => {}
        }
        let Some((one, other)) = server.span(*table, *number) else {
            let fate = server.writes.get(*number).map(|write| write.fate);
            return Err(match fate {
                Some(Fate::Open) => format!("{number} is not committed"),
                _ => format!("{number} was rolled back"),
            });
        };
        if *table == OUTSIDE {
            // Written past Larder: as old as the time to live, or as its snapshot.
            if transaction.snapshot.is_none()
                && other < server.state_at(since.time.saturating_sub(TTL))
            {
                return Err(format!("{number} is older than its time to live"));
            }
            continue;
        }
        (from, until) = (from.max(one), until.min(other));
        if from > until {
            let shown = format!("table {table} had {number} in {one}..={other}");
            return Err(format!("not one state of {first}..={last}: {shown}"));
        }
    }
    if transaction.snapshot.is_some() {
        // Not what others may see from now on.
        transaction.snapshot = Some((from, until));
        return Ok(since.seen);
    }
    Ok(from)
}
