//! The pool of the simulation: backends that serve one client after another, as `proxy::far` hands them on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Line, Rng, Simulation};
use crate::session::tests::simulation_client::Client;
use crate::session::tests::simulation_server::{Server, TABLES};
use crate::session::tests::world::{messages, own_row_of};
use crate::session::{Greeting, Io, Session};
use crate::wire::message;
use crate::wire::startup::Startup;

/// So many backends serve the clients of one user, as a rule.
const ENOUGH: usize = 2;

/// Backends at rest, and what each of all has said at its login.
#[derive(Default)]
pub struct Pool {
    idle: Vec<(&'static str, usize)>,
    greetings: BTreeMap<usize, Arc<Greeting>>,
    /// How many have gone from one client to another.
    pub shared: usize,
}

impl Pool {
    /// What a client of that user is told: what some backend has said.
    pub fn greet(&mut self, user: &'static str, server: &mut Server) -> Arc<Greeting> {
        let known = self.greetings.iter();
        let found = known
            .filter(|(b, _)| server.backends[**b].user == user)
            .map(|(_, greeting)| greeting.clone())
            .next();
        found.unwrap_or_else(|| {
            let b = self.start(user, server);
            self.idle.push((user, b));
            self.greetings[&b].clone()
        })
    }

    fn start(&mut self, user: &'static str, server: &mut Server) -> usize {
        let b = server.start(user);
        let mut statuses = Vec::new();
        for (tag, body) in messages(&std::mem::take(&mut server.backends[b].out)) {
            if tag == b'S'
                && let Some((name, value)) = message::parameter_status(body)
            {
                statuses.push((name.into(), value.into()));
            }
        }
        let pid = b as i32 + 1;
        let answer = own_row_of(user, pid, "hex", "read committed");
        let row = messages(&answer).into_iter().find(|(tag, _)| *tag == b'D');
        let fields = row.and_then(|(_, body)| message::data_row(body)).unwrap();
        let greeting = Greeting::new(statuses, pid, Some(&fields), 0);
        self.greetings.insert(b, Arc::new(greeting));
        b
    }

    /// A backend is at rest.
    pub fn give(&mut self, user: &'static str, b: usize) {
        self.idle.push((user, b));
        self.shared += 1;
    }

    /// One that is alive.
    fn take(&mut self, user: &'static str, more: bool, server: &mut Server) -> Option<usize> {
        if let Some(at) = self.idle.iter().position(|(of, _)| *of == user) {
            return Some(self.idle.swap_remove(at).1);
        }
        let all = self.greetings.keys();
        let alive = |b: &&usize| server.backends[**b].user == user && !server.backends[**b].dead;
        (more || all.filter(alive).count() < ENOUGH).then(|| self.start(user, server))
    }
}

impl Simulation {
    /// A client comes; `guest`: Larder itself lets it in.
    pub(super) fn connect(&mut self, user: &'static str, place: usize, guest: bool) -> Line {
        let parameters = vec![("user", user), ("database", "shop")];
        let startup = Startup {
            packet: b"",
            major: 3,
            minor: 0,
            parameters,
        };
        let mut client = Client::new(place);
        let guest = guest.then(|| self.pool.greet(user, &mut self.server));
        let (session, backend) = match &guest {
            Some(greeting) => {
                client.welcome();
                let session = Session::welcomed(self.thread.clone(), &startup, greeting);
                (session, usize::MAX)
            }
            None => {
                let session = Session::new(self.thread.clone(), &startup);
                (session, self.server.start(user))
            }
        };
        Line {
            user,
            client,
            session: Some(session),
            backend,
            guest,
            nowhere: Vec::new(),
            unread: Vec::new(),
            unheard: Vec::new(),
            to_client: Vec::new(),
            leaving: false,
            stalled: 0,
        }
    }

    /// A client that waits for a backend gets one; `more`: one that is started for it.
    pub(super) fn link(&mut self, n: usize, more: bool) -> Result<(), String> {
        let line = &mut self.lines[n];
        let (Some(session), Some(told)) = (&mut line.session, &line.guest) else {
            return Ok(());
        };
        if !session.wants_link() {
            return Ok(());
        }
        let Some(b) = self.pool.take(line.user, more, &mut self.server) else {
            return Ok(());
        };
        line.backend = b;
        let mut io = Io {
            client: &mut line.to_client,
            upstream: &mut self.server.backends[b].inbox,
            now: self.server.now,
        };
        session.link(&self.pool.greetings[&b], told, &mut io);
        self.note(|| format!("client {n} has backend {b}"));
        self.feed(n, true)
    }

    /// Whether nothing is on its way to or from its backend.
    pub(super) fn is_at_rest(&self, line: &Line) -> bool {
        let backend = &self.server.backends[line.backend];
        line.unheard.is_empty() && backend.inbox.is_empty() && backend.out.is_empty()
    }

    /// A client's backend goes to others, if nothing in it is the client's.
    pub(super) fn part(&mut self, n: usize) {
        let line = &self.lines[n];
        if line.guest.is_none() || !line.is_linked() || !self.is_at_rest(line) {
            return;
        }
        let line = &mut self.lines[n];
        let Some(session) = &mut line.session else {
            return;
        };
        if !session.may_unlink() {
            return;
        }
        let (b, user) = (line.backend, line.user);
        if session.unlink() {
            self.server.reset(b, false);
        }
        self.pool.give(user, b);
        self.note(|| format!("client {n} leaves backend {b} to others"));
    }

    /// All who have nothing else to do ask the same.
    pub(super) fn herd(&mut self, rng: &mut Rng) -> Result<(), String> {
        let sql = format!("SELECT v FROM {}", TABLES[rng.below(5)]);
        for n in 0..self.lines.len() {
            let line = &mut self.lines[n];
            if line.client.is_quiet() && !line.leaving {
                line.client.ask(&sql, &self.server);
                self.note(|| format!("client {n} asks with the others"));
                self.hear_client(n, self.lines[n].client.said.len())?;
            }
        }
        Ok(())
    }

    /// How many reads that have waited for another's came to that.
    pub(super) fn coalesced(&self, result: &str) -> usize {
        let metrics = self.thread.metrics.render().unwrap_or_default();
        let name = format!("larder_coalesced_total{{result=\"{result}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&*name));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}
