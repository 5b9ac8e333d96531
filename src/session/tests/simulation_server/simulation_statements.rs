//! What a statement does in the simulation's database: snapshots, locks, triggers, transactions.

use crate::session::locks::QUESTION;
use crate::session::tests::simulation::Rng;
use crate::session::tests::world::{description, message, row};
use crate::wire::message as wire;

use super::{CATALOG, Fate, Portal, Ran, Server, Task, Transaction, Write, columns, rows};

impl Server {
    pub(super) fn allowed(&mut self, b: usize, sql: &str) -> Result<(), &'static str> {
        let backend = &mut self.backends[b];
        let ends = sql.starts_with("COMMIT") || sql.starts_with("ROLLBACK");
        if std::mem::take(&mut backend.cancelled) && !ends {
            return Err("57014");
        }
        if backend.state.failed && !ends {
            return Err("25P02");
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, b: usize) -> &mut Transaction {
        let backend = &mut self.backends[b];
        let repeatable = backend.settings.now.repeatable;
        backend.transaction.get_or_insert_with(|| Transaction {
            repeatable,
            ..Transaction::default()
        })
    }

    /// The state that a statement which begins now sees.
    pub(super) fn snapshot(&mut self, b: usize) -> usize {
        let state = self.state;
        let transaction = self.begin(b);
        match transaction.repeatable {
            true => *transaction.snapshot.get_or_insert(state),
            false => {
                transaction.snapshot = Some(state);
                state
            }
        }
    }

    /// A row, under the settings of this moment.
    pub(super) fn shown(&self, b: usize, seen: &str) -> String {
        let backend = &self.backends[b];
        format!("{} {} {seen}", backend.user, backend.settings.now.escape)
    }

    /// The numbers that a SELECT shows.
    pub(super) fn look(&mut self, b: usize, sql: &str) -> Option<String> {
        let columns = columns(sql)?;
        let state = self.snapshot(b);
        let backend = &self.backends[b];
        let own = |table| {
            backend
                .transaction
                .as_ref()
                .and_then(|t| t.own.get(&table))
                .copied()
        };
        let seen = |table: usize| {
            let changes = &self.changes[table];
            let at = changes.partition_point(|(since, _)| *since <= state);
            own(table).unwrap_or(changes[at - 1].1)
        };
        let numbers: Vec<String> = std::iter::once(CATALOG)
            .chain(columns.iter().copied())
            .map(|table| seen(table).to_string())
            .collect();
        Some(numbers.join(" "))
    }

    /// Takes the locks, waiting for those of others. Who would wait for himself is told so.
    fn lock(&mut self, b: usize, tables: &[usize]) -> Result<bool, &'static str> {
        self.backends[b].state.waits_for = None;
        for table in tables {
            let Some(holder) = self.locks[*table].filter(|holder| *holder != b) else {
                self.locks[*table] = Some(b);
                continue;
            };
            let mut next = Some(holder);
            while let Some(other) = next {
                if other == b {
                    return Err("40P01");
                }
                next = self.backends[other].state.waits_for;
            }
            self.backends[b].state.waits_for = Some(holder);
            return Ok(false);
        }
        Ok(true)
    }

    /// Gives these tables a new number.
    pub(super) fn write(&mut self, b: usize, tables: &[usize]) -> usize {
        let number = self.writes.len();
        self.writes.push(Write {
            tables: tables.to_vec(),
            fate: Fate::Open,
        });
        let transaction = self.begin(b);
        transaction.numbers.push(number);
        transaction
            .own
            .extend(tables.iter().map(|table| (*table, number)));
        number
    }

    /// What a transaction has locked; of the catalog, that it has changed it.
    fn tell_locks(&mut self, b: usize) -> Ran {
        self.asked += 1;
        let held = (0..self.locks.len()).filter(|table| self.locks[*table] == Some(b));
        let oid = |table: usize| self.oids.get(table).copied().unwrap_or(1259);
        let told: Vec<u8> = held
            .flat_map(|table| row(&oid(table).to_string()))
            .collect();
        self.backends[b].out.extend(told);
        Ran::Done("SELECT 1".into())
    }

    fn touches(&self, b: usize, sql: &str) -> Option<Vec<usize>> {
        let trigger = self.backends[b]
            .transaction
            .as_ref()
            .and_then(|t| t.trigger)
            .unwrap_or(self.trigger);
        let with_trigger = if trigger { vec![0, 1] } else { vec![0] };
        Some(match sql.split(' ').nth(1)? {
            "t" if sql.starts_with("COPY") => vec![0],
            "t" => with_trigger,
            "u" => vec![1],
            "a" => vec![2],
            "b" => vec![3],
            "g" => [vec![4], with_trigger].concat(),
            "on_write()" => vec![1],
            "TRIGGER" => vec![0, CATALOG],
            _ => return None,
        })
    }

    pub(super) fn run(&mut self, b: usize, sql: &str, simple: bool) -> Ran {
        let word = sql.split(' ').next().unwrap_or_default();
        let backend = &mut self.backends[b];
        match word {
            "BEGIN" => {
                let repeatable = sql.ends_with("REPEATABLE READ");
                let transaction = self.begin(b);
                if repeatable && transaction.snapshot.is_some() {
                    return Ran::Failed("25001");
                }
                transaction.repeatable |= repeatable;
                self.backends[b].state.block = true;
                Ran::Done("BEGIN".into())
            }
            "COMMIT" if backend.state.failed => {
                self.abort(b);
                Ran::Done("ROLLBACK".into())
            }
            "COMMIT" if std::mem::take(&mut backend.cancelled) => {
                self.abort(b);
                Ran::Failed("57014")
            }
            "COMMIT" => Ran::Commits("COMMIT".into()),
            "ROLLBACK" => {
                self.abort(b);
                Ran::Done("ROLLBACK".into())
            }
            "EXECUTE" => {
                let named = sql
                    .split(' ')
                    .nth(1)
                    .and_then(|name| backend.statements.get(name));
                match named.cloned() {
                    Some(sql) => self.run(b, &sql, simple),
                    None => Ran::Failed("26000"),
                }
            }
            "SET" => {
                self.begin(b);
                self.backends[b].settings.now.set(sql);
                Ran::Done("SET".into())
            }
            _ => self.change(b, sql, word, simple),
        }
    }

    fn change(&mut self, b: usize, sql: &str, word: &str, simple: bool) -> Ran {
        let Some(mut tables) = self.touches(b, sql) else {
            return Ran::Failed("22012");
        };
        self.begin(b);
        match self.lock(b, &tables) {
            Err(code) => return Ran::Failed(code),
            Ok(false) => return Ran::Waits,
            Ok(true) => {}
        }
        let state = self.snapshot(b);
        let changed = |table: &usize| {
            self.changes[*table]
                .last()
                .is_some_and(|(since, _)| *since > state)
        };
        if tables.iter().any(changed) {
            return Ran::Failed("40001");
        }
        if word == "COPY" {
            return Ran::Copies;
        }
        if tables.contains(&CATALOG) {
            tables = vec![CATALOG];
            let trigger = word == "CREATE";
            self.begin(b).trigger = Some(trigger);
        }
        let number = self.write(b, &tables);
        if word == "SELECT" {
            let out = &mut self.backends[b].out;
            if simple {
                out.extend(description(false));
            }
            out.extend(row("on_write"));
        }
        Ran::Done(format!("{word} {number}"))
    }

    pub(super) fn make_visible(&mut self, b: usize) {
        let transaction = self.backends[b].transaction.take().unwrap_or_default();
        if !transaction.own.is_empty() {
            self.next_state();
        }
        for (table, number) in &transaction.own {
            self.changes[*table].push((self.state, *number));
            self.writes[*number].fate = Fate::Visible(self.state);
        }
        self.trigger = transaction.trigger.unwrap_or(self.trigger);
        let backend = &mut self.backends[b];
        backend.settings.commit();
        self.over(b);
    }

    pub(super) fn abort(&mut self, b: usize) {
        let backend = &mut self.backends[b];
        backend.settings.roll_back();
        for number in backend.transaction.take().unwrap_or_default().numbers {
            self.writes[number].fate = Fate::Undone;
        }
        self.over(b);
    }

    fn over(&mut self, b: usize) {
        let backend = &mut self.backends[b];
        (
            backend.state.block,
            backend.state.failed,
            backend.state.waits_for,
        ) = (false, false, None);
        backend.portals.clear();
        for lock in &mut self.locks {
            if *lock == Some(b) {
                *lock = None;
            }
        }
    }

    pub(super) fn extended(
        &mut self,
        b: usize,
        tag: u8,
        body: &[u8],
        rng: &mut Rng,
    ) -> Result<(), &'static str> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match tag {
            b'P' => {
                let parse = wire::parse(body).unwrap();
                let (name, sql) = (text(parse.name), text(parse.text));
                self.allowed(b, &sql)?;
                self.begin(b);
                let backend = &mut self.backends[b];
                if !name.is_empty() && backend.statements.contains_key(&name) {
                    return Err("42P05");
                }
                backend.statements.insert(name, sql);
                backend.out.extend(wire::PARSE_COMPLETE);
            }
            b'B' => {
                let bind = wire::bind(body).unwrap();
                let found = self.backends[b]
                    .statements
                    .get(&text(bind.statement))
                    .cloned();
                let sql = found.ok_or("26000")?;
                self.allowed(b, &sql)?;
                self.begin(b);
                let name = text(bind.portal);
                if !name.is_empty() && self.backends[b].portals.contains_key(&name) {
                    return Err("42P03");
                }
                let portal = Portal {
                    seen: self.look(b, &sql),
                    sql,
                    shown: None,
                    given: 0,
                };
                let backend = &mut self.backends[b];
                backend.portals.insert(name, portal);
                backend.out.extend(wire::BIND_COMPLETE);
            }
            b'D' => self.describe(b, body)?,
            b'C' => {
                let backend = &mut self.backends[b];
                match wire::target(body).ok_or("08P01")? {
                    wire::Target::Portal(name) => drop(backend.portals.remove(&text(name))),
                    wire::Target::Statement(name) => drop(backend.statements.remove(&text(name))),
                }
                backend.out.extend(wire::CLOSE_COMPLETE);
            }
            b'E' => {
                let (name, limit) = wire::execute(body).unwrap();
                self.execute(b, text(name), limit, rng);
            }
            _ => return Err("08P01"),
        }
        Ok(())
    }

    fn describe(&mut self, b: usize, body: &[u8]) -> Result<(), &'static str> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let backend = &mut self.backends[b];
        let (sql, mut told) = match wire::target(body).ok_or("08P01")? {
            wire::Target::Portal(name) => {
                let portal = backend.portals.get(&text(name)).ok_or("34000")?;
                (&portal.sql, Vec::new())
            }
            wire::Target::Statement(name) => {
                let sql = backend.statements.get(&text(name)).ok_or("26000")?;
                (sql, message(b't', &[b"\0\0"]))
            }
        };
        let selects = columns(sql).is_some();
        if selects && backend.state.failed {
            return Err("25P02");
        }
        told.extend(match selects {
            true => description(false),
            false => message(b'n', &[]),
        });
        backend.out.extend(told);
        Ok(())
    }

    pub(super) fn execute(&mut self, b: usize, name: String, limit: i32, rng: &mut Rng) {
        let Some(portal) = self.backends[b].portals.get(&name).cloned() else {
            return self.fail(b, "34000", false);
        };
        let ran = match (self.allowed(b, &portal.sql), &portal.seen) {
            (Err(code), _) => Ran::Failed(code),
            (Ok(()), Some(seen)) => {
                let shown = portal.shown.unwrap_or_else(|| self.shown(b, seen));
                let left = rows(&portal.sql).saturating_sub(portal.given);
                let most = if limit > 0 {
                    limit as usize
                } else {
                    usize::MAX
                };
                let count = left.min(most);
                let backend = &mut self.backends[b];
                for _ in 0..count {
                    backend.out.extend(row(&shown));
                }
                if let Some(held) = backend.portals.get_mut(&name) {
                    held.given += if count < most { left + 1 } else { count };
                    held.shown = Some(shown);
                }
                if count == most {
                    return backend.out.extend(message(b's', &[]));
                }
                Ran::Done(format!("SELECT {count}"))
            }
            (Ok(()), None) if portal.sql == QUESTION => self.tell_locks(b),
            (Ok(()), None) => self.run(b, &portal.sql, false),
        };
        if matches!(ran, Ran::Waits) {
            self.backends[b]
                .tasks
                .push_front(Task::Execute(name, limit));
        } else {
            self.ran(b, ran, None, rng);
        }
    }
}
