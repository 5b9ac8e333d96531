//! `SHOW larder.last`: what became of the last statement that was not itself this one.

use super::{Io, Session};
use crate::metrics::Outcome;
use crate::wire::message;

const NAME: &str = "larder.last";

impl Session {
    /// The word of this moment.
    pub(super) fn last_word(&self) -> String {
        match self.last {
            (Outcome::Bypass, Some(why)) => format!("bypass: {}", why.label()),
            (outcome, _) => outcome.label().into(),
        }
    }

    /// Its description: ParameterDescription for a statement, RowDescription in the format asked for.
    pub(super) fn describe_last(statement: bool, format: u8) -> Vec<u8> {
        let mut out = Vec::new();
        if statement {
            crate::wire::frame::put(&mut out, b't', &[0, 0]);
        }
        message::put_text_column(&mut out, NAME);
        if let Some(last) = out.last_mut() {
            *last = format;
        }
        out
    }

    /// Its answer, in simple protocol with description and ReadyForQuery.
    pub(super) fn put_last(&self, io: &mut Io<'_>, simple: bool, word: &str) {
        if simple {
            io.client.extend(Session::describe_last(false, 0));
        }
        message::put_text_row(io.client, word);
        message::put_complete(io.client, "SHOW");
        if simple {
            io.client.extend(message::ready(self.transaction.status()));
        }
    }
}
