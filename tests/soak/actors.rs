//! Who does what in the long run, and what each of them must never see.

use crate::accounts::{ACCOUNTS, Versioned, read, write};
use crate::wireclient::{Answered, Batch, Bind, Client, Login};
use crate::{House, SUPERUSER};
use std::net::Shutdown;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// So many pages there are, with so many bytes each.
pub const PAGES: usize = 1500;
pub const BODY: usize = 512;
const WRITERS: usize = 2;

/// What all of them share.
pub struct Soak {
    began: Instant,
    accounts: [Versioned; ACCOUNTS],
    pages: Vec<Versioned>,
    stop: AtomicBool,
    violations: Mutex<Vec<String>>,
    /// Columns of `pages`, and how often that was changed: odd while it is being changed.
    columns: AtomicU64,
    columns_changed: AtomicU64,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
    pub lost: AtomicU64,
    pub killed: AtomicU64,
    pub reloads: AtomicU64,
    pub changes: AtomicU64,
    pub quits: AtomicU64,
}

impl Default for Soak {
    fn default() -> Soak {
        Soak {
            began: Instant::now(),
            accounts: Default::default(),
            pages: (0..PAGES).map(|_| Versioned::default()).collect(),
            stop: AtomicBool::new(false),
            violations: Mutex::default(),
            columns: AtomicU64::new(3),
            columns_changed: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            killed: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            quits: AtomicU64::new(0),
        }
    }
}

impl Soak {
    pub fn running(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// DDL and grants shut the whole cache for as long as a catalog takes to load: they come together, and then rest.
    fn storms(&self) -> bool {
        self.began.elapsed().as_secs() % 20 < 6
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Something was seen that must never be: the run ends.
    pub fn violated(&self, what: String) {
        self.violations.lock().unwrap().push(what);
        self.stop();
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    fn judge(&self, what: &str, verdict: Result<(), String>) {
        count(&self.reads);
        if let Err(wrong) = verdict {
            self.violated(format!("{what}: {wrong}"));
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Numbers that look drawn at random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    /// Some pages are asked for far more often than others.
    fn page(&mut self) -> usize {
        let most = [PAGES, PAGES, PAGES / 10, 20][self.below(4)];
        self.below(most)
    }
}

/// A connection that is made again when it is gone.
struct Line {
    login: Login,
    client: Option<Client>,
}

impl Line {
    fn new(login: Login) -> Line {
        Line {
            login,
            client: None,
        }
    }

    fn get(&mut self) -> Option<&mut Client> {
        if self.client.is_none() {
            self.client = self.login.try_connect().ok();
        }
        if self.client.is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.client.as_mut()
    }

    fn drop(&mut self) {
        self.client = None;
    }
}

/// Starts them all.
pub fn start<'s>(scope: &'s Scope<'s, '_>, soak: &'s Soak, house: &'s House) {
    for n in 0..WRITERS {
        let login = house.login(n % 2 == 0);
        scope.spawn(move || writer(soak, Line::new(login), n));
    }
    for n in 0..4 {
        let login = house.login(n % 2 == 0);
        scope.spawn(move || account_reader(soak, Line::new(login), n));
        let login = house.login(n % 2 == 1);
        scope.spawn(move || page_reader(soak, Line::new(login), n));
    }
    let (login, reader) = (
        house.login(true),
        house.larder.login("soak_reader", crate::DATABASE),
    );
    scope.spawn(move || granter(soak, Line::new(login), Line::new(reader)));
    scope.spawn(move || changer(soak, Line::new(house.login(false))));
    for n in 0..2 {
        let login = house.login(n % 2 == 0);
        scope.spawn(move || quitter(soak, &login, n));
    }
    let postgres = Login::new(house.server.port(), SUPERUSER, "postgres");
    let other = postgres.clone();
    scope.spawn(move || assassin(soak, postgres.connect()));
    scope.spawn(move || reloader(soak, other.connect(), house.larder.pid()));
}

fn page_body(version: u64) -> String {
    let word = format!("{version}/");
    word.chars().cycle().take(BODY).collect()
}

/// Each account and each page has one writer, so that versions grow in the order of the acknowledgements.
fn writer(soak: &Soak, mut line: Line, number: usize) {
    let mut dice = Dice(number as u64);
    for step in 0.. {
        if !soak.running() {
            return;
        }
        let Some(client) = line.get() else { continue };
        let done = if step % 2 == 0 {
            let id = (step / 2 * WRITERS + number) % ACCOUNTS;
            let account = &soak.accounts[id];
            let version = account.next();
            let done = write(client, id, version, step as u64 / 7);
            if done {
                account.acknowledge(version);
            }
            done
        } else {
            let id = dice.page() / WRITERS * WRITERS + number;
            let page = &soak.pages[id];
            let version = page.next();
            let done = write_page(client, id, version, dice.below(4));
            if done {
                page.acknowledge(version);
            }
            done
        };
        count(if done { &soak.writes } else { &soak.lost });
        if !done {
            line.drop();
        }
        // A write voids every answer of its table: so seldom that some are asked for again before.
        std::thread::sleep(Duration::from_millis(15));
    }
}

fn write_page(client: &mut Client, id: usize, version: u64, way: usize) -> bool {
    let body = page_body(version);
    let update = format!("UPDATE pages SET version = {version}, body = '{body}' WHERE id = {id}");
    let upsert = format!(
        "INSERT INTO pages (id, version, body) VALUES ({id}, {version}, '{body}')
         ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body"
    );
    let answers = match way {
        0 => vec![client.query(&update)],
        1 => vec![client.extended(
            "UPDATE pages SET version = $1::bigint, body = $2 WHERE id = $3::int",
            &[&version.to_string(), &body, &id.to_string()],
        )],
        2 => vec![client.query(&upsert)],
        _ => {
            let sql = [
                "BEGIN",
                "SAVEPOINT a",
                "DELETE FROM scratch",
                "ROLLBACK TO a",
                &update,
                "COMMIT",
            ];
            sql.iter().map(|sql| client.query(sql)).collect()
        }
    };
    let done = |answer: &Vec<_>| answer.tags().ends_with('Z') && answer.error().is_none();
    answers.iter().all(done)
}

fn account_reader(soak: &Soak, mut line: Line, number: usize) {
    let mut dice = Dice(100 + number as u64);
    while soak.running() {
        let id = dice.below(ACCOUNTS);
        let account = &soak.accounts[id];
        let Some(client) = line.get() else { continue };
        let before = account.before();
        match read(client, id, dice.below(5) as u64) {
            None => line.drop(),
            Some((a, b)) if a != b => {
                soak.violated(format!("account {id}: torn: versions {a} and {b}"));
            }
            Some((a, _)) => soak.judge(&format!("account {id}"), account.judge(before, a)),
        }
    }
}

fn page_reader(soak: &Soak, mut line: Line, number: usize) {
    let mut dice = Dice(200 + number as u64);
    let mut prepared = false;
    while soak.running() {
        let id = dice.page();
        let page = &soak.pages[id];
        let known = line.client.is_some();
        let Some(client) = line.get() else { continue };
        prepared &= known;
        let changed = soak.columns_changed.load(Ordering::SeqCst);
        let columns = soak.columns.load(Ordering::SeqCst);
        let before = page.before();
        let rows = read_page(client, id, dice.below(5), &mut prepared);
        let Some(row) = rows else {
            line.drop();
            continue;
        };
        let [version, body] = [&row[1], &row[2]].map(|column| column.clone().unwrap_or_default());
        let version: u64 = version.parse().unwrap_or(u64::MAX);
        let after = soak.columns_changed.load(Ordering::SeqCst);
        if changed.is_multiple_of(2) && after == changed && row.len() as u64 != columns {
            soak.violated(format!(
                "page {id} has {} columns, not {columns}",
                row.len()
            ));
        }
        if body != page_body(version) {
            soak.violated(format!("page {id}: torn: version {version} and {body}"));
        }
        soak.judge(&format!("page {id}"), page.judge(before, version));
    }
}

type Row = Vec<Option<String>>;

/// A page in one of many ways; `None` if the connection or the statement failed.
fn read_page(client: &mut Client, id: usize, way: usize, prepared: &mut bool) -> Option<Row> {
    let text = id.to_string();
    let inlined = format!("SELECT * FROM pages WHERE id = {id}");
    let read = "SELECT * FROM pages WHERE id = $1";
    let answers = match way {
        0 => vec![client.query(&inlined)],
        1 => vec![client.extended(read, &[&text])],
        2 => {
            let rows = format!("SELECT * FROM pages WHERE id BETWEEN {id} AND {id} LIMIT 3");
            let batch = Batch::new().unnamed(&rows, &[]);
            vec![client.run(batch.sync())]
        }
        3 => {
            let block = ["BEGIN READ ONLY", &inlined, &inlined, "COMMIT"];
            block.iter().map(|sql| client.query(sql)).collect()
        }
        _ => {
            let mut batch = Batch::new();
            if !*prepared {
                batch = batch.parse("page", read, &[23]).describe_statement("page");
            }
            let bind = Bind {
                statement: "page",
                params: &[Some(text.as_bytes())],
                ..Bind::default()
            };
            *prepared = true;
            vec![client.run(batch.bind(bind).execute("", 0).sync())]
        }
    };
    let whole = |answer: &Vec<_>| answer.tags().ends_with('Z') && answer.error().is_none();
    if !answers.iter().all(whole) {
        return None;
    }
    answers.iter().flat_map(|answer| answer.rows()).next_back()
}

/// P6: what was taken away is not shown any more, by nobody's answer.
fn granter(soak: &Soak, mut line: Line, mut reader: Line) {
    let read = "SELECT word FROM secrets WHERE id = 1";
    for step in 0.. {
        if !soak.running() {
            return;
        }
        if !soak.storms() {
            std::thread::sleep(Duration::from_millis(200));
            continue;
        }
        let Some(client) = line.get() else { continue };
        let (sql, allowed) = match step % 2 {
            0 => ("GRANT SELECT ON secrets TO soak_reader", true),
            _ => ("REVOKE SELECT ON secrets FROM soak_reader", false),
        };
        let answer = client.query(sql);
        if answer.error().is_some() || !answer.tags().ends_with('Z') {
            line.drop();
            continue;
        }
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end && soak.running() {
            let Some(client) = reader.get() else { continue };
            let answer = client.query(read);
            match (answer.sqlstate().as_deref(), answer.value().as_deref()) {
                (None, Some("open")) if allowed => count(&soak.reads),
                (Some("42501"), None) if !allowed => count(&soak.reads),
                (None, Some(_)) | (Some("42501"), _) => {
                    soak.violated(format!("behind {sql}: {answer:?}"));
                }
                _ => reader.drop(),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Columns and indexes come and go.
fn changer(soak: &Soak, mut line: Line) {
    let script = [
        ("ALTER TABLE pages ADD COLUMN extra int", 4),
        ("CREATE INDEX soak_index ON pages (version)", 4),
        ("ALTER TABLE pages DROP COLUMN extra", 3),
        ("DROP INDEX soak_index", 3),
        ("ANALYZE pages", 3),
        ("TRUNCATE scratch", 3),
    ];
    let mut step = 0;
    while soak.running() {
        std::thread::sleep(Duration::from_millis(800));
        if !soak.storms() {
            continue;
        }
        let Some(client) = line.get() else { continue };
        let (sql, columns) = script[step % script.len()];
        soak.columns_changed.fetch_or(1, Ordering::SeqCst);
        // Others hold locks for as long as they read.
        let answer = client.query(sql);
        let again = matches!(
            answer.sqlstate().as_deref(),
            Some("42701" | "42P07" | "42703" | "42704")
        );
        if again || (answer.error().is_none() && answer.tags().ends_with('Z')) {
            soak.columns.store(columns, Ordering::SeqCst);
            count(&soak.changes);
            step += 1;
            soak.columns_changed.fetch_add(1, Ordering::SeqCst);
        } else {
            // Whether it has happened is known when it is tried again: until then the number stays odd.
            line.drop();
        }
    }
}

/// Leaves anywhere: in the middle of a message, an answer, a transaction, a COPY.
fn quitter(soak: &Soak, login: &Login, number: u64) {
    let mut dice = Dice(300 + number);
    while soak.running() {
        std::thread::sleep(Duration::from_millis(30));
        let Ok(mut client) = login.try_connect() else {
            continue;
        };
        let batch = match dice.below(5) {
            0 => {
                Batch::new().query("INSERT INTO scratch (word) VALUES ('a'); SELECT * FROM scratch")
            }
            1 => Batch::new()
                .unnamed("SELECT * FROM pages WHERE id < $1::int", &["40"])
                .unnamed("INSERT INTO scratch (word) VALUES ($1)", &["b"])
                .sync(),
            2 => Batch::new()
                .query("BEGIN")
                .query("INSERT INTO scratch (word) VALUES ('c')")
                .query("COMMIT"),
            3 => Batch::new()
                .query("COPY scratch (word) FROM STDIN")
                .copy_data(b"d\n")
                .copy_done(),
            _ => Batch::new().query("SELECT body FROM pages").sync(),
        };
        let most = dice.below(batch.0.len() + 1);
        client.send(Batch(batch.0[..most].to_vec()));
        for _ in 0..dice.below(4) {
            if client.frame_within(Duration::from_millis(5)).is_none() {
                break;
            }
        }
        if dice.below(2) == 0 {
            client.sock.shutdown(Shutdown::Both);
        }
        count(&soak.quits);
    }
}

/// One backend at random; Larder's own, without which nothing hits, only while it storms.
fn assassin(soak: &Soak, mut client: Client) {
    let sql = |all: bool| {
        format!(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
             WHERE datname = '{}' AND ({all} OR application_name <> 'larder') ORDER BY random() LIMIT 1) p",
            crate::DATABASE
        )
    };
    while soak.running() {
        std::thread::sleep(Duration::from_millis(400));
        client.ok(&sql(soak.storms()));
        count(&soak.killed);
    }
}

/// Both are told to read their configuration again.
fn reloader(soak: &Soak, mut client: Client, larder: u32) {
    for step in 0.. {
        if !soak.running() {
            return;
        }
        std::thread::sleep(Duration::from_secs(3));
        match step % 2 {
            0 => {
                client.ok(&format!("ALTER SYSTEM SET work_mem = '{}kB'", 4096 + step));
                client.ok("SELECT pg_reload_conf()");
            }
            _ => {
                let kill = Command::new("kill")
                    .args(["-HUP", &larder.to_string()])
                    .status();
                assert!(kill.expect("kill").success());
            }
        }
        count(&soak.reloads);
    }
}
