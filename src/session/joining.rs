//! Coalescing as a session sees it: a miss that waits for an equal one, or that equal ones wait for.
//!
//! * A session waits where a hit could be given, with nothing of its own under way and outside of every block that the
//!   upstream knows of, and takes no message of its client meanwhile: order and transaction are what they were. Then the message is taken again from its start, as if it had
//!   come now: it hits, leads, waits once more, or goes upstream.
//! * It waits no longer than `cache.coalesce_wait` in all, for no more than [`ROUNDS`] leaders. A client that Larder has
//!   let in needs no connection to the database for it.
//! * Only a read leads that is a fill from its begin to its end: whole, and with its Sync behind it.
//!
//! Not here: the table (`cache::flight`), the clock and the wake-up (`proxy::landing`).

use std::sync::Arc;
use std::task::{Context, Poll};

use super::decision::{How, Pass};
use super::reach::Link;
use super::unit::{Ahead, ahead};
use super::{FULL, Io, Mode, Next, Session};
use crate::cache::Micros;
use crate::cache::fill::Fill;
use crate::cache::flight::{Asks, Entered, Lead, Ticket, Wait, enter};
use crate::metrics::Coalesced;
use crate::wire::frame::{self, Frame, HEAD};

/// How many leaders a statement waits for, one after the other.
const ROUNDS: u8 = 2;

/// What a session has to do with an equal miss.
#[derive(Debug)]
pub(super) struct Joining {
    /// Its client's statement came then.
    since: Micros,
    rounds: u8,
    /// It waits now.
    holds: bool,
    /// What it waits for, or has waited for and not been answered yet.
    wait: Option<Ticket>,
    /// It leads, and has no upstream connection yet.
    lead: Option<Lead>,
}

impl Session {
    /// Whether the client's statement waits for an equal one.
    pub fn is_following(&self) -> bool {
        self.joining.as_ref().is_some_and(|joining| joining.holds)
    }

    /// What it waits for, and until when at most.
    pub fn follows(&self) -> Option<(&Arc<Wait>, Micros)> {
        let joining = self.joining.as_ref().filter(|joining| joining.holds)?;
        let until = joining
            .since
            .saturating_add(self.thread.live().coalesce_wait);
        Some((joining.wait.as_deref()?, until))
    }

    /// Ready once the client's bytes can be taken again.
    pub fn poll_followed(&self, cx: &Context<'_>) -> Poll<()> {
        match self.follows() {
            Some((wait, _)) => wait.poll_over(cx),
            None => Poll::Ready(()),
        }
    }

    /// The session is over, whatever is still to be said: nobody waits for what it has asked.
    pub fn leave_flights(&mut self) {
        self.joining = None;
        self.pending.release();
    }

    /// Bytes of a client whose statement waits, or has waited.
    #[cold]
    pub(super) fn client_again(&mut self, buf: &[u8], io: &mut Io<'_>) -> (usize, Next) {
        if !self.lands(io.now) || io.client.len() >= FULL {
            return (0, Next::Continue);
        }
        let first = statement(buf);
        let (used, next) = self.take(&buf[..first], io);
        if used > 0
            && let Some(joining) = self.joining.take_if(|joining| !joining.holds)
            && joining.wait.is_some()
        {
            // Else it has been forgotten on its way upstream.
            self.thread.shared(io.now.saturating_sub(joining.since));
        }
        if next == Next::Close || used < first || first == buf.len() {
            return (used, next);
        }
        let (more, next) = self.take(&buf[first..], io);
        (first + more, next)
    }

    fn lands(&mut self, now: Micros) -> bool {
        let limit = self.thread.live().coalesce_wait;
        let Some(joining) = self.joining.as_mut().filter(|joining| joining.holds) else {
            return true;
        };
        let over = joining.wait.as_ref().is_none_or(|wait| wait.is_over());
        if joining
            .wait
            .as_ref()
            .is_some_and(|wait| wait.is_cancelled())
        {
            joining.rounds = ROUNDS;
        }
        joining.holds = !over && now < joining.since.saturating_add(limit);
        !joining.holds
    }

    /// Before a statement goes upstream. Whether it waits for an equal one instead.
    #[inline]
    pub(super) fn joins(&mut self, pass: &mut Pass, how: &How<'_>, now: Micros) -> bool {
        (pass.fill.is_some() || self.joining.is_some()) && self.join(pass, how, now)
    }

    fn join(&mut self, pass: &mut Pass, how: &How<'_>, now: Micros) -> bool {
        let joining = self.joining.take();
        let limit = self.thread.live().coalesce_wait;
        let alike = self.thread.mode() == Mode::On
            && limit > 0
            && how.serve
            && how.last
            && how.limit <= 0
            && self.pending.is_empty();
        let linked = self.link.state == Link::Held;
        let mut joining = joining.unwrap_or(Joining {
            since: now,
            rounds: 0,
            holds: false,
            wait: None,
            lead: None,
        });
        // One that is looked at must be asked anew.
        let looked_at = |fill: &&mut Fill| fill.aside().is_some();
        if let Some(fill) = pass.fill.as_mut().filter(|fill| alike && !looked_at(fill)) {
            let again = joining.lead.take();
            // The locks of a block that the upstream knows might be what the other waits for.
            let free = self.transaction.status() == b'I' || !self.transaction.told;
            let in_time = now < joining.since.saturating_add(limit);
            let asks = Asks {
                described: how.describe,
                now,
                limit,
                waits: free && in_time && joining.rounds < ROUNDS,
            };
            let entered = match again {
                Some(lead) if lead.renew(fill, now) => Entered::Leads(lead),
                _ => enter(fill, asks),
            };
            match entered {
                Entered::Follows(wait) => {
                    joining.rounds += 1;
                    (joining.holds, joining.wait) = (true, Some(wait));
                    self.joining = Some(joining);
                    return true;
                }
                Entered::Leads(lead) if linked => fill.lead(lead),
                Entered::Leads(lead) => joining.lead = Some(lead),
                Entered::Alone => {}
            }
        }
        if !linked && (joining.wait.is_some() || joining.lead.is_some()) {
            // Until there is a connection.
            self.joining = Some(joining);
        } else if let Some(wait) = joining.wait {
            let wait = wait.goes();
            self.link.cancelled = Some(wait).filter(|wait| wait.is_cancelled());
            self.thread.coalesced(Coalesced::Freed);
        }
        false
    }
}

/// The length of the statement at the start, its Sync included.
fn statement(buf: &[u8]) -> usize {
    match frame::peek(buf) {
        Frame::Whole { tag: b'Q', body } => HEAD + body.len(),
        Frame::Whole {
            tag: b'P' | b'B', ..
        } => match ahead(buf) {
            Ahead::Unit(unit) => buf.len().min(unit.bytes.len() + HEAD),
            _ => buf.len(),
        },
        _ => buf.len(),
    }
}
