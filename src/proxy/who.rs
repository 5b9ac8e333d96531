//! What passes by one client, as it is noted on the roll.
//!
//! * Two stores a turn at most, on a line that no other thread writes. What may lag behind is noted when something was
//!   noted last so long ago, and when the client leaves.

use super::Door;
use crate::cache::Micros;
use crate::metrics::Listed;

/// So much may what is noted lag behind.
const LAG: Micros = 10_000;

/// A client on the roll.
pub struct Who {
    pub listed: Listed,
    statements: u64,
    transactions: u64,
    received: u64,
    sent: u64,
    busy: u64,
    noted: Micros,
}

impl Who {
    pub fn new(listed: Listed) -> Who {
        Who {
            listed,
            statements: 0,
            transactions: 0,
            received: 0,
            sent: 0,
            busy: 0,
            noted: 0,
        }
    }

    /// A turn is over.
    #[inline]
    pub fn passed(&mut self, received: u64, sent: u64, now: Micros, door: &Door) {
        self.received += received;
        self.sent += sent;
        let (statements, transactions, busy) = door.thread.passed().take();
        self.busy += busy;
        if statements > 0 || transactions > 0 {
            self.statements += statements;
            self.transactions += transactions;
            self.listed.meter.counts(self.statements, self.transactions);
        }
        if now >= self.noted + LAG {
            self.noted = now;
            if received > 0 {
                self.listed.asks(door.unix(now));
            }
            self.tell();
        }
    }

    fn tell(&self) {
        self.listed.meter.tells(self.received, self.sent, self.busy);
    }

    /// The client has left: nothing lags behind any more.
    pub fn leaves(self) {
        self.tell();
    }
}
