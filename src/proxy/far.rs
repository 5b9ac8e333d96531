//! The upstream side of a client: a connection of its own, one from a pool, or none at this moment.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::cancel::Registered;
use super::line::Line;
use super::reception::Guest;
use crate::config::PoolMode;
use crate::metrics::{Counted, Listed, RollEntry};
use crate::net::Stream;
use crate::net::pool::{Lease, Pool, Pools, Refusal, Reset};
use crate::session::{Greeting, Session};

/// What a client that Larder has let in gets its connections by.
pub struct Home {
    pub pools: Rc<Pools>,
    pub pool: Rc<Pool>,
    pub guest: Guest,
    pub key: Registered,
}

impl Home {
    /// What the client was told.
    pub fn greeting(&self) -> &Greeting {
        &self.guest.0.greeting
    }
}

type Coming = Pin<Box<dyn Future<Output = Result<(Stream, Lease), Refusal>>>>;

/// The upstream side of a client.
pub struct Far {
    /// The connection; none: nothing has needed one.
    pub line: Option<Line>,
    home: Option<Home>,
    lease: Option<Lease>,
    coming: Option<Coming>,
    /// Why none came.
    pub refused: Option<Refusal>,
    /// The client's own connection is counted and on the roll.
    own: Option<(Counted, Listed)>,
}

impl Far {
    /// A connection that is the client's own from its login on.
    pub fn own(line: Line, counted: Counted, listed: Listed) -> Far {
        Far {
            line: Some(line),
            home: None,
            lease: None,
            coming: None,
            refused: None,
            own: Some((counted, listed)),
        }
    }

    /// Connections of a pool, when they are needed.
    pub fn pooled(home: Home) -> Far {
        Far {
            line: None,
            home: Some(home),
            lease: None,
            coming: None,
            refused: None,
            own: None,
        }
    }

    /// The connection's number on the roll.
    pub fn number(&self) -> Option<u64> {
        let own = self.own.as_ref().map(|(_, listed)| listed.id);
        own.or(self.lease.as_ref().map(|lease| lease.listed.id))
    }

    /// Notes on the roll whose connection it is.
    pub fn note(&self, client: &RollEntry) {
        client.waits(self.coming.is_some());
        client.links(self.number());
        let own = self.own.as_ref().map(|(_, listed)| listed);
        if let Some(listed) = own.or(self.lease.as_ref().map(|lease| &lease.listed)) {
            listed.links(Some(client.id));
        }
    }

    /// What the client's cancel requests name, where Larder has given it.
    pub fn cancel_key(&self) -> Option<Box<[u8]>> {
        let (pid, secret) = &self.home.as_ref()?.key.key;
        Some([&pid.to_be_bytes(), &**secret].concat().into())
    }

    /// Whether the client may no longer be served without the upstream's consent.
    pub fn is_revoked(&self) -> bool {
        self.home
            .as_ref()
            .is_some_and(|home| home.guest.0.is_revoked())
    }

    /// How long a transaction may rest; `None`: for ever.
    pub fn idle_transaction_timeout(&self) -> Option<Duration> {
        let limit = self.home.as_ref()?.pools.limits().idle_transaction_timeout;
        (!limit.is_zero()).then_some(limit)
    }

    /// Gets a connection. Ready once there is one, or none will come.
    pub fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(home) = &self.home else {
            return Poll::Pending;
        };
        let coming = self.coming.get_or_insert_with(|| {
            let (pools, pool, entry) = (home.pools.clone(), home.pool.clone(), &home.guest.0);
            let metrics = pools.metrics.clone();
            let acquired = pools.acquire(pool, entry.greeting.clone(), entry.since);
            Box::pin(async move {
                let began = Instant::now();
                let acquired = acquired.await;
                metrics.counts.waited(began.elapsed());
                acquired
            })
        });
        match coming.as_mut().poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok((stream, lease))) => {
                home.key.aim(&lease.key, &lease.place.address);
                self.line = Some(Line::new(stream, Vec::new()));
                self.lease = Some(lease);
            }
            Poll::Ready(Err(refusal)) => self.refused = Some(refusal),
        }
        self.coming = None;
        Poll::Ready(())
    }

    /// Tells the session of a connection that has come.
    pub fn introduce(&self, session: &mut Session, io: &mut crate::session::Io<'_>) {
        if let (Some(lease), Some(home)) = (&self.lease, &self.home) {
            session.link(&lease.greeting, &home.guest.0.greeting, io);
        }
    }

    /// Whether the connection is one that others get between this client's transactions.
    pub fn is_shared(&self) -> bool {
        let mode = self.home.as_ref().map(|home| home.pools.limits().mode);
        self.lease.is_some() && mode == Some(PoolMode::Transaction)
    }

    /// Gives a shared connection back if nothing in it is the client's any more.
    pub fn part(&mut self, session: &mut Session) {
        if self.is_at_rest() && session.may_unlink() {
            let reset = match session.unlink() {
                true => Reset::Statements,
                false => Reset::None,
            };
            self.give_back(reset);
        }
    }

    /// The client leaves: its connection goes back, if it is of a pool and at rest.
    pub fn leave(&mut self, session: &Session) {
        if self.lease.is_some() && self.is_at_rest() && session.may_recycle() {
            self.give_back(Reset::All);
        }
    }

    fn is_at_rest(&self) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| !line.ended && line.waiting() == 0 && line.unread.is_empty())
    }

    fn give_back(&mut self, reset: Reset) {
        let (Some(line), Some(lease), Some(home)) =
            (self.line.take(), self.lease.take(), &self.home)
        else {
            return;
        };
        lease.listed.links(None);
        if home.key.rest() {
            home.pools.release(line.into_stream(), lease, reset);
        }
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> usize {
        self.line.as_ref().map_or(0, Line::waiting)
    }

    /// The connection there was has ended.
    pub fn ended(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.ended)
    }

    /// As [`Line::flush`].
    pub fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match &mut self.line {
            Some(line) => line.flush(cx),
            None => Ok(()),
        }
    }

    /// As [`Line::send`]; without a connection there is nobody who misses it.
    pub fn send(&mut self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.line {
            Some(line) => line.send(cx, bytes),
            None => {
                bytes.clear();
                Ok(())
            }
        }
    }

    /// As [`Line::close_write`].
    pub fn close_write(&mut self, cx: &mut Context<'_>) {
        if let Some(line) = &mut self.line {
            line.close_write(cx);
        }
    }
}
