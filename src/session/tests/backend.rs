//! A small PostgreSQL: two tables with one number each, the extended protocol, transactions, savepoints, one setting
//! that shows in every row, snapshots of READ COMMITTED and REPEATABLE READ. One statement is never seen half done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::world::{complete, description, error, message, messages, own_row, ready, row};
use crate::wire::message as wire;

/// Table and number.
pub type Data = BTreeMap<String, i64>;

#[derive(Clone, Debug)]
struct Portal {
    sql: String,
    /// What its SELECT has seen when it was bound.
    seen: Option<i64>,
    binary: bool,
    /// How many rows it has given; of anything else, whether it has run.
    given: usize,
    /// The setting when it first ran: a row of text is the same under every other.
    shown: Option<String>,
    /// Savepoints it was made behind.
    depth: usize,
}

/// How many rows a table has.
fn rows(sql: &str) -> usize {
    if sql.ends_with(" u") { 3 } else { 1 }
}

#[derive(Clone, Debug, Default)]
struct Transaction {
    own: Data,
    snapshot: Option<Data>,
    repeatable: bool,
    /// What SET has to go back to, and the savepoints: name, own changes, setting, local setting.
    before: String,
    local: Option<String>,
    saved: Vec<(String, Data, String, Option<String>)>,
}

/// One backend of a server.
pub struct Backend {
    committed: Rc<RefCell<Data>>,
    pid: i32,
    bytea_output: String,
    isolation: String,
    transaction: Option<Transaction>,
    block: bool,
    failed: bool,
    skipping: bool,
    statements: BTreeMap<String, String>,
    portals: BTreeMap<String, Portal>,
    out: Vec<u8>,
}

fn show(sql: &str, seen: i64, setting: &str, binary: bool, n: usize) -> String {
    let format = if binary { "b" } else { "t" };
    format!("{}={seen} {setting} {format} {n}", sql.len())
}

type Done = Result<String, &'static str>;

impl Backend {
    pub fn new(committed: Rc<RefCell<Data>>, pid: i32) -> Backend {
        Backend {
            committed,
            pid,
            bytea_output: "hex".into(),
            isolation: "read committed".into(),
            transaction: None,
            block: false,
            failed: false,
            skipping: false,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// Hears whole messages and gives the answers.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        for (tag, body) in messages(bytes) {
            self.one(tag, body);
        }
        std::mem::take(&mut self.out)
    }

    fn one(&mut self, tag: u8, body: &[u8]) {
        if self.skipping && tag != b'S' {
            return;
        }
        match tag {
            b'Q' => {
                self.statements.remove("");
                self.portals.remove("");
                let text = wire::query(body).unwrap();
                self.simple(std::str::from_utf8(text).unwrap());
            }
            b'S' => {
                self.skipping = false;
                self.settle();
                let status = self.status();
                self.out.extend(ready(status));
            }
            b'H' => {}
            _ => {
                if let Err(code) = self.extended(tag, body) {
                    self.fail(code);
                    self.skipping = true;
                }
            }
        }
    }

    fn status(&self) -> u8 {
        match (self.block, self.failed) {
            (true, true) => b'E',
            (true, false) => b'T',
            _ => b'I',
        }
    }

    fn fail(&mut self, code: &str) {
        self.out.extend(error(code));
        if self.block {
            self.failed = true;
        } else {
            self.abort();
        }
    }

    fn abort(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.bytea_output = transaction.before;
        }
        self.over();
    }

    fn commit(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.committed.borrow_mut().extend(transaction.own);
        }
        self.over();
    }

    fn over(&mut self) {
        (self.block, self.failed) = (false, false);
        self.portals.clear();
    }

    /// The end of a message that ends an implicit transaction.
    fn settle(&mut self) {
        if !self.block {
            self.commit();
        }
    }

    fn begin(&mut self) -> &mut Transaction {
        let (before, repeatable) = (
            self.bytea_output.clone(),
            self.isolation == "repeatable read",
        );
        self.transaction.get_or_insert_with(|| Transaction {
            before,
            repeatable,
            ..Transaction::default()
        })
    }

    fn simple(&mut self, text: &str) {
        if text.starts_with("SELECT pg_catalog.pg_backend_pid()") {
            let answer = own_row(self.pid, &self.bytea_output, &self.isolation);
            self.out.extend(answer);
            return;
        }
        for sql in text.split(';').map(str::trim) {
            let done = self.allowed(sql).and_then(|()| {
                let seen = self.look(sql);
                if let Some(seen) = seen {
                    let setting = self.setting();
                    self.out.extend(description(false));
                    for n in 0..rows(sql) {
                        self.out.extend(row(&show(sql, seen, &setting, false, n)));
                    }
                    return Ok(format!("SELECT {}", rows(sql)));
                }
                self.run(sql)
            });
            match done {
                Ok(tag) => self.out.extend(complete(&tag)),
                Err(code) => {
                    self.fail(code);
                    break;
                }
            }
        }
        self.settle();
        let status = self.status();
        self.out.extend(ready(status));
    }

    fn allowed(&self, sql: &str) -> Result<(), &'static str> {
        let ends = sql.starts_with("COMMIT") || sql.starts_with("ROLLBACK");
        if self.failed && !ends {
            return Err("25P02");
        }
        Ok(())
    }

    /// What a SELECT sees now.
    fn look(&mut self, sql: &str) -> Option<i64> {
        if sql == "SELECT 1" {
            return Some(1);
        }
        let table = sql.strip_prefix("SELECT v FROM ")?;
        let committed = self.committed.borrow().clone();
        let transaction = self.begin();
        if transaction.repeatable && transaction.snapshot.is_none() {
            transaction.snapshot = Some(committed.clone());
        }
        let data = transaction.snapshot.as_ref().unwrap_or(&committed);
        let seen = transaction.own.get(table).or(data.get(table));
        Some(seen.copied().unwrap_or_default())
    }

    fn setting(&self) -> String {
        let local = self.transaction.as_ref().and_then(|t| t.local.as_ref());
        local.unwrap_or(&self.bytea_output).clone()
    }

    fn run(&mut self, sql: &str) -> Done {
        let word = |n: usize| sql.split(' ').nth(n).unwrap_or_default().to_owned();
        match &*word(0) {
            "UPDATE" => {
                let table = word(1);
                let seen = self.look(&format!("SELECT v FROM {table}")).unwrap();
                self.begin().own.insert(table, seen + 1);
                Ok("UPDATE 1".into())
            }
            "BEGIN" => {
                let repeatable = sql.ends_with("REPEATABLE READ");
                let transaction = self.begin();
                transaction.repeatable |= repeatable;
                self.block = true;
                Ok("BEGIN".into())
            }
            "COMMIT" if self.failed => {
                self.abort();
                Ok("ROLLBACK".into())
            }
            "COMMIT" => {
                if !self.block {
                    self.out.extend(message(b'N', &[b"SWARNING\0\0"]));
                }
                self.commit();
                Ok("COMMIT".into())
            }
            "ROLLBACK" if word(1) == "TO" => self.rollback_to(&word(2)),
            "ROLLBACK" => {
                if !self.block {
                    self.out.extend(message(b'N', &[b"SWARNING\0\0"]));
                }
                self.abort();
                Ok("ROLLBACK".into())
            }
            "SAVEPOINT" if !self.block => Err("25P01"),
            "SAVEPOINT" => {
                let setting = self.bytea_output.clone();
                let transaction = self.begin();
                let saved = (
                    word(1),
                    transaction.own.clone(),
                    setting,
                    transaction.local.clone(),
                );
                transaction.saved.push(saved);
                Ok("SAVEPOINT".into())
            }
            "RELEASE" if !self.block => Err("25P01"),
            "RELEASE" => self.release(&word(1)),
            "SET" => {
                self.set(sql);
                Ok("SET".into())
            }
            "DEALLOCATE" if word(1) == "ALL" => {
                self.statements.retain(|name, _| name.is_empty());
                Ok("DEALLOCATE ALL".into())
            }
            "DEALLOCATE" => match self.statements.remove(&word(1)) {
                Some(_) => Ok("DEALLOCATE".into()),
                None => Err("26000"),
            },
            _ => Err("22012"),
        }
    }

    fn release(&mut self, name: &str) -> Done {
        let saved = &mut self.begin().saved;
        let at = saved.iter().rposition(|(n, ..)| n == name).ok_or("3B001")?;
        saved.truncate(at);
        for portal in self.portals.values_mut() {
            portal.depth = portal.depth.min(at);
        }
        Ok("RELEASE".into())
    }

    fn rollback_to(&mut self, name: &str) -> Done {
        if !self.block {
            return Err("25P01");
        }
        let transaction = self.begin();
        let found = transaction.saved.iter().rposition(|(n, ..)| n == name);
        let Some(at) = found else {
            return Err("3B001");
        };
        transaction.saved.truncate(at + 1);
        let (_, own, setting, local) = transaction.saved[at].clone();
        (transaction.own, transaction.local) = (own, local);
        self.bytea_output = setting;
        self.failed = false;
        self.portals.retain(|_, portal| portal.depth <= at);
        Ok("ROLLBACK".into())
    }

    fn set(&mut self, sql: &str) {
        let value = sql.split('\'').nth(1).unwrap_or("hex").to_owned();
        if sql.contains("default_transaction_isolation") {
            self.isolation = value;
        } else if sql.contains("LOCAL") {
            let block = self.block;
            let transaction = self.begin();
            if block {
                transaction.local = Some(value);
            }
        } else {
            self.begin().local = None;
            self.bytea_output = value;
        }
    }

    fn extended(&mut self, tag: u8, body: &[u8]) -> Result<(), &'static str> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match tag {
            b'P' => {
                let parse = wire::parse(body).unwrap();
                let (name, sql) = (text(parse.name), text(parse.text));
                if name.is_empty() {
                    self.statements.remove("");
                }
                self.allowed(&sql)?;
                if self.statements.contains_key(&name) {
                    return Err("42P05");
                }
                self.begin();
                self.statements.insert(name, sql);
                self.out.extend(wire::PARSE_COMPLETE);
            }
            b'B' => {
                let bind = wire::bind(body).unwrap();
                let found = self.statements.get(&text(bind.statement));
                let sql = found.ok_or("26000")?.clone();
                self.allowed(&sql)?;
                let name = text(bind.portal);
                if !name.is_empty() && self.portals.contains_key(&name) {
                    return Err("42P03");
                }
                self.begin();
                let seen = self.look(&sql);
                let binary = bind.tail.ends_with(&[0, 1]);
                let portal = Portal {
                    sql,
                    seen,
                    binary,
                    given: 0,
                    shown: None,
                    depth: self.begin().saved.len(),
                };
                self.portals.insert(name, portal);
                self.out.extend(wire::BIND_COMPLETE);
            }
            b'D' => self.describe(body)?,
            b'C' => {
                match wire::target(body).unwrap() {
                    wire::Target::Statement(name) => drop(self.statements.remove(&text(name))),
                    wire::Target::Portal(name) => drop(self.portals.remove(&text(name))),
                }
                self.out.extend(wire::CLOSE_COMPLETE);
            }
            b'E' => {
                let (name, limit) = wire::execute(body).unwrap();
                self.execute(&text(name), limit)?;
            }
            _ => return Err("08P01"),
        }
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), &'static str> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (sql, binary) = match wire::target(body).unwrap() {
            wire::Target::Statement(name) => {
                let sql = self.statements.get(&text(name)).ok_or("26000")?.clone();
                if self.failed && sql.starts_with("SELECT") {
                    return Err("25P02");
                }
                self.out.extend(message(b't', &[b"\0\0"]));
                (sql, false)
            }
            wire::Target::Portal(name) => {
                let portal = self.portals.get(&text(name)).ok_or("34000")?;
                if self.failed && portal.sql.starts_with("SELECT") {
                    return Err("25P02");
                }
                (portal.sql.clone(), portal.binary)
            }
        };
        if sql.starts_with("SELECT") {
            self.out.extend(description(binary));
        } else {
            self.out.extend(message(b'n', &[]));
        }
        Ok(())
    }

    fn execute(&mut self, name: &str, limit: i32) -> Result<(), &'static str> {
        let portal = self.portals.get(name).ok_or("34000")?.clone();
        self.allowed(&portal.sql)?;
        let setting = portal.shown.unwrap_or_else(|| self.setting());
        let Some(held) = self.portals.get_mut(name) else {
            return Err("34000");
        };
        held.shown = Some(setting.clone());
        let Some(seen) = portal.seen else {
            if held.given > 0 {
                return Err("55000");
            }
            held.given = 1;
            let tag = self.run(&portal.sql)?;
            self.out.extend(complete(&tag));
            return Ok(());
        };
        let left = rows(&portal.sql).saturating_sub(portal.given);
        let most = if limit > 0 {
            limit as usize
        } else {
            usize::MAX
        };
        let count = left.min(most);
        // At its end it stays there.
        held.given += if count < most { left + 1 } else { count };
        for n in portal.given..portal.given + count {
            self.out
                .extend(row(&show(&portal.sql, seen, &setting, portal.binary, n)));
        }
        if count == most {
            self.out.extend(message(b's', &[]));
        } else {
            self.out.extend(complete(&format!("SELECT {count}")));
        }
        Ok(())
    }
}
