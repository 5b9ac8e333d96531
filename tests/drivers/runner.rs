//! One driver's script run once: step by step, with what it printed, what went over the wire, and what Larder counted.
//!
//! A script prints one JSON object a line for each step and waits for a line on its standard input before the next, so
//! that Larder's metrics can be read between them. Nothing is asked of Larder over the driver's own connection.

use crate::ground::SUPERUSER;
use crate::larder::Larder;
use crate::relay::{Record, Relay};
use crate::roster::{Driver, Entry, Program};
use crate::tunnel::Caller;
use crate::wireclient::Login;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where to connect, as libpq's environment variables say it.
#[derive(Clone)]
pub struct Target {
    pub port: u16,
    pub database: String,
    pub entry: Entry,
}

/// Whom Larder lets in itself, and the password.
pub const DRIVER: (&str, &str) = ("driver", "secret");

impl Target {
    /// What a script finds in its environment.
    pub fn variables(&self) -> Vec<(String, String)> {
        let (user, password) = self.user();
        let mut own = vec![
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", user.to_owned()),
            ("PGDATABASE", self.database.clone()),
            ("TZ", "UTC".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        if let Some(password) = password {
            own.push(("PGPASSWORD", password.to_owned()));
        }
        if self.entry == Entry::Encrypted {
            own.push(("PGSSLMODE", "require".to_owned()));
        }
        let own = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        own.collect()
    }

    /// Who logs in.
    pub fn user(&self) -> (&'static str, Option<&'static str>) {
        match self.entry {
            Entry::Relayed => (SUPERUSER, None),
            Entry::Verified | Entry::Encrypted => (DRIVER.0, Some(DRIVER.1)),
        }
    }

    /// As a URL.
    pub fn url(&self) -> String {
        let (user, password) = self.user();
        let password = password.map(|p| format!(":{p}")).unwrap_or_default();
        let Target { port, database, .. } = self;
        format!("postgres://{user}{password}@127.0.0.1:{port}/{database}")
    }

    /// The login of this program's own wire client.
    pub fn login(&self) -> Login {
        let (user, password) = self.user();
        let login = Login::new(self.port, user, &self.database);
        match password {
            Some(password) => login.password(password),
            None => login,
        }
    }
}

/// One step of a run.
pub struct Step {
    pub name: String,
    /// What the script printed.
    pub line: String,
    /// Whether it read rows.
    pub read: bool,
    /// What Larder counted; empty without one.
    pub counted: Counts,
    /// Whether a client holds a connection to the upstream after it.
    pub holds: bool,
    /// What the driver sent.
    pub sent: Vec<String>,
}

/// One run.
pub struct Run {
    pub steps: Vec<Step>,
    pub records: Vec<Record>,
    /// What it wrote on its standard error.
    pub complaints: String,
    pub well: bool,
}

impl Run {
    /// What a driver calls itself, from its first step.
    pub fn version(&self) -> String {
        let first: Option<Value> = self
            .steps
            .first()
            .and_then(|s| serde_json::from_str(&s.line).ok());
        let version = first.and_then(|v| Some(v.get("version")?.as_str()?.to_owned()));
        version.unwrap_or_default()
    }

    /// The first step after which a client held a connection to the upstream.
    pub fn holds_from(&self) -> Option<&str> {
        let step = self.steps.iter().find(|step| step.holds);
        step.map(|step| step.name.as_str())
    }

    /// Whether one was held after the last step that was taken while the driver was connected.
    pub fn holds_at_the_end(&self) -> bool {
        let connected = |step: &&Step| step.name != "close";
        let last = self.steps.iter().rev().find(connected);
        last.is_some_and(|step| step.holds)
    }
}

/// Larder's counters: outcomes, and bypasses by their reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts(BTreeMap<String, i64>);

impl Counts {
    /// … and whether a client holds a connection.
    fn now(larder: &Larder) -> (Counts, bool) {
        let (mut counts, mut holds) = (BTreeMap::new(), false);
        for line in larder.metrics().lines() {
            let labelled = |name: &str| {
                let rest = line.strip_prefix(name)?;
                let (label, value) = rest.split_once("\"} ")?;
                Some((label.to_owned(), value.parse::<f64>().ok()? as i64))
            };
            if let Some((outcome, value)) = labelled("larder_queries_total{outcome=\"") {
                counts.insert(outcome, value);
            } else if let Some((reason, value)) = labelled("larder_bypass_total{reason=\"") {
                counts.insert(format!("bypass: {reason}"), value);
            } else if let Some((state, value)) = labelled("larder_upstream_connections{state=\"") {
                holds |= state == "client" && value > 0;
            }
        }
        counts.remove("bypass");
        (Counts(counts), holds)
    }

    fn since(&self, before: &Counts) -> Counts {
        let grown = self.0.iter().map(|(name, value)| {
            let before = before.0.get(name).copied().unwrap_or(0);
            (name.clone(), value - before)
        });
        Counts(grown.filter(|(_, value)| *value != 0).collect())
    }

    /// Whether something was answered from memory, and nothing that could have been was not.
    pub fn hit(&self) -> bool {
        let answered = |name: &str| matches!(name, "hit" | "other" | "write");
        self.0.contains_key("hit") && self.0.keys().all(|name| answered(name))
    }

    /// What kept it from being a hit.
    pub fn why(&self) -> Vec<String> {
        let others = self
            .0
            .keys()
            .filter(|n| !matches!(n.as_str(), "hit" | "other"));
        let word = |name: &String| name.trim_start_matches("bypass: ").to_owned();
        let mut why: Vec<_> = others.map(word).collect();
        if why.is_empty() && !self.0.contains_key("hit") {
            why.push("not counted as a read".into());
        }
        why
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self.0.iter().map(|(name, value)| format!("{value} {name}"));
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

/// `tests/drivers`.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers")
}

/// Where `scripts/drivers.sh` installs.
pub fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("target/tmp is in target").join("drivers")
}

/// A Python that has a module: the one `scripts/drivers.sh` made, else the system's.
pub fn python(module: &str) -> Option<PathBuf> {
    let own = installed().join("python/bin/python");
    let places = [own, "/usr/bin/python3".into(), "python3".into()];
    places.into_iter().find(|python| {
        let tried = Command::new(python)
            .args(["-c", &format!("import {module}")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    })
}

/// The command of a driver that is a program, or why there is none.
pub fn command(driver: &Driver) -> Result<Option<Command>, String> {
    let reason = installed().join("not-run").join(driver.name);
    let reason = std::fs::read_to_string(reason);
    let reason = reason.ok().map(|text| text.trim().to_owned());
    let found = |program: PathBuf| {
        if program.is_absolute() && !program.exists() {
            let default = || "it is not installed: make test-drivers installs it".to_owned();
            return Err(reason.clone().unwrap_or_else(default));
        }
        Ok(program)
    };
    let command = match driver.program {
        Program::Inside(_) => return Ok(None),
        Program::Psql(script) => {
            let mut psql = crate::depth::program("psql");
            psql.args(["-X", "-q", "-f"]).arg(here().join(script));
            psql
        }
        Program::Python(module, script) => {
            let missing = || format!("Python's {module} is not installed: make deps");
            let python = python(module).ok_or_else(|| reason.clone().unwrap_or_else(missing));
            let mut command = Command::new(python?);
            let mut words = script.split(' ');
            let file = words.next().expect("a script");
            command.arg(here().join("python").join(file)).args(words);
            command
        }
        Program::Node(script) => {
            // Modules are looked for beside the script.
            let place = found(installed().join("node/node_modules"))?;
            let place = place.parent().expect("a parent");
            for file in ["steps.mjs", script] {
                std::fs::copy(here().join("node").join(file), place.join(file)).expect(file);
            }
            let mut command = Command::new("node");
            command.arg("--no-warnings").arg(place.join(script));
            command
        }
        Program::Installed(words) => {
            let place = |word: &&str| {
                let word = word.replace("{installed}", &installed().display().to_string());
                word.replace("{here}", &here().display().to_string())
            };
            let mut words = words.iter().map(place);
            let mut command = Command::new(found(words.next().expect("a program").into())?);
            command.args(words);
            command
        }
    };
    Ok(Some(command))
}

/// A script under way, and how to talk to it.
enum Script {
    Process(Child),
    Thread(std::thread::JoinHandle<()>),
}

/// What a script inside this process talks through: the same lines as over standard input and output.
pub struct Talk {
    pub target: Target,
    out: PipeWriter,
    go_on: BufReader<PipeReader>,
}

impl Talk {
    /// Ends a step: says what it saw, and waits.
    pub fn step(&mut self, name: &str, mut seen: Value) {
        seen["step"] = name.into();
        writeln!(self.out, "{seen}").expect("the runner reads");
        let mut line = String::new();
        self.go_on.read_line(&mut line).expect("the runner answers");
    }
}

/// Runs a driver's script against a port, through a relay of its own; `larder` counts where there is one.
pub fn run(driver: &Driver, target: &Target, larder: Option<&Larder>) -> Run {
    let relay = Relay::to(target.port);
    // What runs inside this program speaks no TLS of its own.
    let inside = matches!(driver.program, Program::Inside(_));
    let tunnel =
        (inside && target.entry == Entry::Encrypted).then(|| Caller::plain().tunnel(relay.port));
    let target = Target {
        port: tunnel.as_ref().map_or(relay.port, |tunnel| tunnel.port),
        ..target.clone()
    };
    let (out_reader, out) = std::io::pipe().expect("a pipe");
    let (go_on, mut go_on_writer) = std::io::pipe().expect("a pipe");
    let (mut complaints_reader, complaints) = std::io::pipe().expect("a pipe");
    let mut script = match driver.program {
        Program::Inside(function) => {
            drop(complaints);
            let go_on = BufReader::new(go_on);
            let talk = Talk { target, out, go_on };
            Script::Thread(std::thread::spawn(move || function(talk)))
        }
        _ => {
            let mut command = command(driver).expect("it was there").expect("a program");
            for name in std::env::vars().map(|(name, _)| name) {
                if name.starts_with("PG") {
                    command.env_remove(name);
                }
            }
            command.envs(target.variables()).current_dir("/");
            command.stdin(go_on).stdout(out).stderr(complaints);
            Script::Process(command.spawn().expect("the driver's script"))
        }
    };
    let collecting = std::thread::spawn(move || {
        let mut text = String::new();
        let _partial = complaints_reader.read_to_string(&mut text);
        text
    });
    let mut steps = Vec::new();
    let (mut before, _) = larder.map(Counts::now).unwrap_or_default();
    for line in BufReader::new(out_reader).lines() {
        let Ok(line) = line else { break };
        let Some(seen) = serde_json::from_str::<Value>(&line)
            .ok()
            .filter(|v| v.get("step").is_some())
        else {
            // Not a step: a driver that talks; it is compared like one.
            steps.push(unasked(line));
            continue;
        };
        let (now, holds) = larder.map(Counts::now).unwrap_or_default();
        // From the first one on it is held, until the end may tell.
        let name = seen["step"].as_str().unwrap_or_default();
        let settled = steps.iter().any(|step: &Step| step.holds)
            && !["clean", "reset", "returned"]
                .contains(&name.split(' ').next().unwrap_or_default());
        let holds = holds && (settled || still_holds(larder));
        steps.push(Step {
            name: seen["step"].as_str().unwrap_or_default().to_owned(),
            read: seen.get("rows").is_some(),
            line,
            counted: now.since(&before),
            holds,
            sent: relay.sent(),
        });
        before = now;
        let _gone = writeln!(go_on_writer);
    }
    drop(go_on_writer);
    let well = match &mut script {
        Script::Process(child) => child.wait().expect("our child").success(),
        Script::Thread(_) => true,
    };
    let well = match script {
        Script::Thread(thread) => thread.join().is_ok(),
        Script::Process(_) => well,
    };
    Run {
        steps,
        records: relay.records(),
        complaints: collecting.join().expect("a reader"),
        well,
    }
}

/// Whether a client holds a connection: what has just been given back may still be counted for a moment.
fn still_holds(larder: Option<&Larder>) -> bool {
    (0..5).all(|_| {
        std::thread::sleep(Duration::from_millis(20));
        larder.is_some_and(|larder| Counts::now(larder).1)
    })
}

/// Waits until the clients of the run before have left: a connection is placed on the thread with the fewest, and what is
/// known of statements is known per thread.
pub fn settle(larder: &Larder) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while larder.metric("larder_client_connections", &[]) > 0.0 || still_lent(larder) {
        assert!(
            Instant::now() < deadline,
            "a client that has left is served"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn still_lent(larder: &Larder) -> bool {
    Counts::now(larder).1
}

fn unasked(line: String) -> Step {
    Step {
        name: String::new(),
        line,
        read: false,
        counted: Counts::default(),
        holds: false,
        sent: Vec::new(),
    }
}

/// What two runs differ in, if they do: the steps' lines first, then every message to the client.
pub fn difference(direct: &Run, through: &Run) -> Option<String> {
    let mut told = String::new();
    for at in 0..direct.steps.len().max(through.steps.len()) {
        let line = |run: &Run| run.steps.get(at).map(|s| s.line.clone());
        let (expected, got) = (line(direct), line(through));
        if expected != got {
            let or = |line: Option<String>| line.unwrap_or_else(|| "(nothing)".into());
            let _ = write!(
                told,
                "\n  printed, direct:  {}\n  printed, through: {}",
                or(expected),
                or(got)
            );
            break;
        }
    }
    if direct.well != through.well {
        let _ = write!(told, "\n  ended well: {} / {}", direct.well, through.well);
    }
    if direct.records.len() != through.records.len() {
        let counts = (direct.records.len(), through.records.len());
        let _ = write!(told, "\n  connections: {} / {}", counts.0, counts.1);
    }
    for (number, (expected, got)) in direct.records.iter().zip(&through.records).enumerate() {
        if let Some(text) = differing(expected, got) {
            let _ = write!(told, "\n  connection {number}: {text}");
            break;
        }
    }
    if !told.is_empty() && !through.complaints.is_empty() {
        let last = through.complaints.lines().last().unwrap_or_default();
        let _ = write!(told, "\n  it complains: {last}");
    }
    (!told.is_empty()).then_some(told)
}

fn differing(expected: &Record, got: &Record) -> Option<String> {
    if expected.opaque || got.opaque {
        return None;
    }
    let comparable = |record: &Record| {
        let mut frames = crate::wireclient::normalised(record.backend.clone());
        // What authentication says differs each time; that it says it does not.
        for frame in frames.iter_mut().filter(|f| f.tag == b'R') {
            frame.body.truncate(4);
        }
        // Where in PostgreSQL's source an error was raised: for a statement that only Larder knew, it may be its Parse
        // that is refused, not its Bind.
        for frame in frames.iter_mut().filter(|f| f.tag == b'E') {
            let fields = frame.body.split(|b| *b == 0);
            let kept = fields.filter(|f| !matches!(f.first(), Some(b'F' | b'L' | b'R')));
            frame.body = kept.collect::<Vec<_>>().join(&0);
        }
        frames
    };
    let (expected, got) = (comparable(expected), comparable(got));
    if expected == got {
        return None;
    }
    let at = expected
        .iter()
        .zip(&got)
        .take_while(|(a, b)| a == b)
        .count();
    let near = |frames: &[_]| {
        let from = at.saturating_sub(3);
        let shown = frames.iter().skip(from).take(6);
        shown
            .map(|f: &crate::wireclient::Frame| format!("{f:?}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    Some(format!(
        "message {at} to the client differs\n    direct:  … {}\n    through: … {}",
        near(&expected),
        near(&got)
    ))
}
