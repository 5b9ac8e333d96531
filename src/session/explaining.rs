//! How a statement is explained in a session at one moment.
//!
//! * The verdict is the one that the statement itself would get: it is asked for in the same places, and nothing is
//!   sent, kept or counted. What is added are words (`sql::because`).
//! * Of the session's settings only the names of those are told that were set.
//!
//! Not here: the form of the answer (`explain`), when it is asked for (`ours`).

use std::rc::Rc;
use std::sync::Arc;

use super::decision::Pass;
use super::explain::{Explanation, Invalidated, Kept, Reason, Told, time};
use super::ours::Ours;
use super::text::Text;
use super::wishes::Wish;
use super::{Mode, probe};
use super::{Phase, Session, Thread};
use crate::cache::Micros;
use crate::cache::key::Asked;
use crate::cache::reply::Reply;
use crate::cache::servers::Mark;
use crate::metrics::{Outcome, number};
use crate::sql::because::{Asking, Invalidates, Link, queries};
use crate::sql::explained::parameters;
use crate::sql::statement::Statement;
use crate::sql::{Cacheable, Catalog, Query, resolve, resolve_execute};
use crate::why::Why;
use crate::wire::message;
use crate::wire::startup::Startup;

/// How a statement would be asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form<'a> {
    /// Declared parameter types, as in Parse.
    pub types: &'a [u8],
    /// Bind behind its names; `None`: by simple protocol.
    pub tail: Option<&'a [u8]>,
}

/// What a look-up would find.
enum Found {
    /// An answer of that age, good for so long, that took so long.
    Hit(Micros, Micros, Micros),
    /// None; or one that these words say why it is none.
    Miss(Option<String>),
    /// Which one it would look up is not known.
    Open,
}

impl Session {
    /// A session that has just logged in, of somebody who only asks what would be: nothing of it is ever sent. `statuses`:
    /// what a server reports; `answer`: that to [`super::probe()`].
    pub fn at_rest(
        thread: Rc<Thread>,
        startup: &Startup<'_>,
        statuses: &[(&str, &str)],
        answer: &[Option<&[u8]>],
    ) -> Option<Session> {
        let mut session = Session::new(thread, startup);
        let database = session.thread.ledger.database(session.database.name());
        session.footing.baselines = database.baselines();
        session.database = database;
        session.flow.phase = Phase::Running;
        session.transaction.ready(b'I');
        for (name, value) in statuses {
            session.settings.report(name, value);
        }
        let pid = std::str::from_utf8((*answer.first()?)?).ok()?;
        session.settings.announce(pid.parse().ok()?);
        if !session.settings.read(answer) {
            return None;
        }
        let servers = &session.thread.ledger.servers;
        session.footing.server = session.settings.server(servers, &Mark::default());
        servers.choose(session.footing.server);
        Some(session)
    }

    /// Explains a text, or what an EXPLAIN (LARDER) asks about.
    pub fn explain_sql(&mut self, sql: &str) -> Explanation {
        let text = Rc::new(Text::new(sql.as_bytes(), true));
        let text = match &text.ours {
            Some(Ours::Explain(text)) => text.clone(),
            _ => text,
        };
        let mut told = self.explain(&text, Form::default(), 0);
        // There is no cache to look into.
        told.stamp.clear();
        if let (Some(now), Some(kept)) = (&mut told.now, &told.ttl) {
            *now = kept.words();
        }
        told
    }

    /// Explains a text as if it came now, alone.
    pub fn explain(&mut self, text: &Rc<Text>, form: Form<'_>, now: Micros) -> Explanation {
        let context = self.settings.context(&self.thread.contexts);
        let asked = Asked {
            context,
            text: text.analysis.canonical.as_bytes(),
            types: form.types,
            tail: form.tail,
            limit: 0,
        };
        let (pass, gate) = self.would_be(text, &asked, now);
        let mut told = Explanation {
            larder: word(pass.outcome),
            statement: (!text.analysis.shape.is_empty())
                .then(|| format!("{:016x}", number(&text.analysis.shape))),
            ..Explanation::default()
        };
        let executed = match text.single() {
            Some(Statement::Execute(name, _)) => {
                let executed = self.executed(name);
                told.notes.push(match &executed {
                    Some(_) => format!("what follows is of the prepared statement {name}"),
                    None => format!("what the prepared statement {name} is, is not known here"),
                });
                executed
            }
            _ => None,
        };
        let path = self.settings.path();
        let catalog = self.database.catalog();
        let Some(catalog) = catalog.filter(|_| self.thread.mode() != Mode::Off) else {
            told.reasons
                .extend(pass.why.map(|why| Reason::new(why, None)));
            return told;
        };
        let asking = Asking {
            catalog: &catalog,
            path: &path,
        };
        let query = match &executed {
            Some(executed) => executed.body(),
            None => text.single().and_then(|one| queries(one).first().copied()),
        };
        let reads = pass.effects.first().and_then(|e| e.reads.as_ref().ok());
        told.reasons = self.in_the_way(&asking, &pass, query);
        if let Some(query) = query {
            let links = asking.reads(query);
            told.reads = links.iter().map(|link| tell(&catalog, link)).collect();
        }
        invalidated(&asking, text, executed.as_deref(), &pass, &mut told);
        if let (Some(reads), Some(_)) = (reads, query) {
            if gate.is_err() {
                let words = "by itself the statement is cacheable";
                told.notes.push(words.into());
            }
            if let Some(why) = self.overruled_by(text, &catalog, &path) {
                told.notes.push(format!(
                    "a rule trusts it, although: {}: {}",
                    why.label(),
                    why.text()
                ));
            }
            let found = self.found(text, &asked, gate.unwrap_or_default(), now);
            self.of_answers(text, &asked, &catalog, reads, found, &mut told);
        }
        self.of_execute(executed.as_ref(), &catalog, &path, &mut told);
        told
    }

    /// What would become of it, as `plan` decides.
    fn would_be(
        &mut self,
        text: &Rc<Text>,
        asked: &Asked<'_>,
        now: Micros,
    ) -> (Pass, Result<Wish, Why>) {
        let gate = self.gate().and_then(|()| self.own_snapshot(true));
        let gate = gate.and_then(|()| self.trusted(text));
        let (gate, wish) = self.bound(text, gate);
        let mut gate = gate.map(|()| wish);
        let mut pass = *self.pass(text, asked.context);
        let catalogs =
            |e: &crate::sql::Effect| matches!(&e.reads, Ok(reads) if reads.of_catalogs());
        if pass.effects.iter().any(catalogs) && self.transaction.status() != b'I' {
            gate = gate.and(Err(Why::CatalogMoment));
        }
        self.judge(text, asked, gate.map(drop), &mut pass, now);
        // Nothing is kept of it.
        pass.fill = None;
        (pass, gate)
    }

    /// All reasons, the one that decides first.
    fn in_the_way(&self, asking: &Asking<'_>, pass: &Pass, query: Option<&Query>) -> Vec<Reason> {
        let Some(why) = pass.why else {
            return Vec::new();
        };
        let own = pass.effects.first().and_then(|e| e.reads.as_ref().err());
        let (Some(query), Some(own)) = (query, own) else {
            return vec![Reason::new(why, None)];
        };
        let obstacles = asking.obstacles(query, *own).into_iter();
        let mut all: Vec<_> = obstacles.map(|o| Reason::new(o.why, o.what)).collect();
        if why != *own {
            all.insert(0, Reason::new(why, None));
        }
        all
    }

    /// What is said of the answer to a read: its key, how long it is kept, whether there is one.
    fn of_answers(
        &mut self,
        text: &Text,
        asked: &Asked<'_>,
        catalog: &Arc<Catalog>,
        reads: &Cacheable,
        found: Found,
        told: &mut Explanation,
    ) {
        told.key = self.key_parts(text, asked);
        let (ttl, rule) = self.kept_for(text, reads, catalog);
        told.ttl = Some(Kept::new(ttl, &rule));
        let database = self.database.clone();
        if told.larder == word(Outcome::Miss) {
            told.now = Some(match &found {
                Found::Hit(age, left, cost) if self.thread.mode() == Mode::On => format!(
                    "hit now: {} old, at most {} more, spares {}",
                    time(*age),
                    time(*left),
                    time(*cost)
                ),
                Found::Hit(..) => "would hit now; cache.mode is observe".into(),
                Found::Miss(_) => format!("miss now; would be kept {}: {rule}", time(ttl)),
                Found::Open => Kept::new(ttl, &rule).words(),
            });
        }
        match found {
            Found::Hit(..) => told.stamp.push("current".into()),
            Found::Miss(Some(words)) => told.stamp.push(words),
            Found::Miss(None) => told.stamp.push("no answer in memory".into()),
            Found::Open => {
                let words = "which answer is looked up depends on the parameters";
                told.stamp.push(words.into());
            }
        }
        let written = database.being_written(reads.relations());
        for relation in written {
            let name = catalog.words(relation);
            told.stamp.push(format!("a write to {name} is under way"));
        }
        if database.anything_being_written() {
            let words = "a write is under way that may be to any table";
            told.stamp.push(words.into());
        }
        if let Some(raises) = database.catalog_raises() {
            let words = format!("catalog loaded, version {raises}");
            told.stamp.push(words);
        }
    }

    /// What a look-up would find.
    fn found(&self, text: &Text, asked: &Asked<'_>, wish: Wish, now: Micros) -> Found {
        if asked.tail.is_none() && parameters(&text.analysis.shape) > 0 {
            return Found::Open;
        }
        let mut passed = None;
        let describe = asked.tail.is_none();
        let entry = self.thread.store.lookup_or(asked, describe, now, |entry| {
            passed = Some(entry.header().stamp.passed());
        });
        match (entry, passed) {
            (Some(entry), _) => {
                let header = entry.header();
                let age = now.saturating_sub(header.made);
                match wish.end(header).saturating_sub(now) {
                    0 => {
                        let words = "the answer in memory is older than may be given";
                        Found::Miss(Some(words.into()))
                    }
                    left => Found::Hit(age, left, u64::from(header.cost)),
                }
            }
            (None, Some(Some(cause))) => {
                let cause = self.database.cause(&cause);
                Found::Miss(Some(format!("the answer in memory was raised by {cause}")))
            }
            (None, Some(None)) => {
                let words = "the answer in memory waits for a write that is under way";
                Found::Miss(Some(words.into()))
            }
            (None, None) => Found::Miss(None),
        }
    }

    /// Why it would not be kept if no rule trusted it.
    fn overruled_by(&self, text: &Text, catalog: &Catalog, path: &[Box<str>]) -> Option<Why> {
        let rules = &self.thread.live().rules;
        let statement = text.single().filter(|_| rules.trust())?;
        resolve(statement, Some(catalog), path).reads.err()
    }

    fn key_parts(&self, text: &Text, asked: &Asked<'_>) -> Vec<String> {
        let mut parts = vec![
            "database, session_user, current_user".into(),
            "text, without comments".into(),
        ];
        match asked.tail {
            None if parameters(&text.analysis.shape) > 0 => {
                parts.push("types and values of its parameters, and result formats".into());
            }
            None => parts.push("simple protocol".into()),
            Some(tail) => {
                let count = message::parameters(tail).map_or(0, |all| all.len());
                let declared = asked.types.len() / 4;
                parts.push(format!(
                    "{count} parameter values ({declared} declared types)"
                ));
                parts.push("parameter and result formats".into());
            }
        }
        let tracked = probe::TRACKED
            .iter()
            .filter(|name| !probe::OWN.contains(name));
        let tracked: Vec<&str> = tracked.copied().collect();
        parts.push(format!("settings: {}", tracked.join(", ")));
        let set = self.settings.names_set();
        if !set.is_empty() {
            parts.push(format!("settings of this session: {}", set.join(", ")));
        }
        parts
    }

    /// By the protocol the same statement may be cacheable.
    fn of_execute(
        &self,
        executed: Option<&Rc<Text>>,
        catalog: &Arc<Catalog>,
        path: &[Box<str>],
        told: &mut Explanation,
    ) {
        let Some(body) = executed.and_then(|text| text.body()) else {
            return;
        };
        let effect = resolve_execute(body, &Query::default(), Some(catalog), path);
        let words = match effect.reads {
            // The only thing against it is that it is an EXECUTE.
            Err(Why::Execute) => "cacheable".into(),
            Err(why) => format!("{}: {}", why.label(), why.text()),
            Ok(_) => return,
        };
        told.notes.push(format!(
            "sent by the protocol's Parse, Bind and Execute it would be {words}"
        ));
    }
}

/// What it makes old.
fn invalidated(
    asking: &Asking<'_>,
    text: &Text,
    executed: Option<&Text>,
    pass: &Pass,
    told: &mut Explanation,
) {
    let mut all = Invalidated::default();
    let statements = text.analysis.statements.iter().zip(pass.effects.iter());
    for (statement, effect) in statements {
        let statement = executed.and_then(Text::single).unwrap_or(statement);
        match asking.invalidates(statement, effect) {
            Invalidates::Nothing => {}
            Invalidates::Everything(_) if text.analysis.refused.is_some() => {
                let words =
                    "it was not analysed: unless PostgreSQL refuses it, it may write anything";
                all.everything = Some(words.into());
            }
            Invalidates::Everything(because) => {
                all.everything.get_or_insert(because);
                if effect.told {
                    let words = "in a transaction block only those tables are invalidated that it \
                        is seen to have locked for writing when it commits";
                    told.notes.push(words.into());
                }
            }
            Invalidates::Relations(links) => {
                let links = links.iter().map(|link| tell(asking.catalog, link));
                all.relations.extend(links);
            }
        }
        if effect.catalog && text.analysis.refused.is_none() {
            let words =
                "the catalog is loaded again, and nothing is answered from memory until it is";
            told.notes.push(words.into());
        }
    }
    let any = all.everything.is_some() || !all.relations.is_empty();
    told.invalidates = any.then_some(all);
}

fn tell(catalog: &Catalog, link: &Link) -> Told {
    Told {
        relation: catalog.words(link.relation),
        because: link.because.clone(),
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Hit | Outcome::Miss => "cacheable",
        Outcome::Bypass => "bypass",
        Outcome::Write => "write",
        Outcome::Other => "other",
    }
}
