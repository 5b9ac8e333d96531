//! Statements of Larder's own: what asks about Larder in SQL is answered here, as one column of text.
//!
//! * Answered is only what is alone in its message. Behind messages of an open pipeline, and in a failed block, it goes
//!   to PostgreSQL, which does not know it and says so, with the block's own error first (25P02).
//! * The rows are of the moment at which the statement's turn has come, and they wait behind all that is owed
//!   (hazard 50).

use std::rc::Rc;

use super::pending::{Item, Owed};
use super::probe::OWN;
use super::statements::Portal;
use super::text::Text;
use super::{Form, Io, Mode, Session};
use crate::cache::Micros;
use crate::metrics::Outcome;
use crate::sql::explained::{Explained, explained, parameters};
use crate::sql::statement::{Analysis, Statement};
use crate::wire::{frame, message};

/// How far into a text such a statement is told by its words.
const HEAD: usize = 256;
/// The type `text`.
const TEXT: [u8; 4] = 25u32.to_be_bytes();

/// A statement that Larder answers itself.
#[derive(Debug)]
pub enum Ours {
    /// `SHOW larder.last`: what became of the last statement that was not itself this one.
    Last,
    /// `SHOW` of one of Larder's own settings: PostgreSQL does not know them before they are set (42704).
    Setting(&'static str),
    /// `EXPLAIN (LARDER)` of this.
    Explain(Rc<Text>),
    /// `EXPLAIN (LARDER, …)`, with an option that cannot be given.
    Refused,
}

/// Why it is not answered.
const REFUSED: &str = "EXPLAIN (LARDER) takes no other option";
const REFUSED_HINT: &str = "It says what Larder does with a statement and runs nothing. Ask PostgreSQL about its plan by an \
    EXPLAIN of its own.";

impl Ours {
    /// Whether a text in full may be one: such texts are analysed even where nothing else is.
    pub fn may_be(sql: &[u8]) -> bool {
        let named = |window: &[u8]| window.eq_ignore_ascii_case(b"larder");
        sql[..sql.len().min(HEAD)].windows(6).any(named)
    }

    /// The one that a text is.
    pub fn of(sql: &[u8], analysis: &Analysis) -> Option<Ours> {
        match &*analysis.statements {
            [Statement::Show(name)] if **name == *"larder.last" => Some(Ours::Last),
            [Statement::Show(name)] if OWN.contains(&&**name) => OWN
                .into_iter()
                .find(|own| *own == &**name)
                .map(Ours::Setting),
            [_] if analysis.refused.is_none() && Ours::may_be(sql) => {
                match explained(std::str::from_utf8(sql).ok()?)? {
                    Explained::Statement(sql) => {
                        Some(Ours::Explain(Rc::new(Text::new(sql.as_bytes(), true))))
                    }
                    Explained::Refused => Some(Ours::Refused),
                }
            }
            _ => None,
        }
    }

    /// Whether PostgreSQL takes it, too.
    pub fn is_known_upstream(&self) -> bool {
        matches!(self, Ours::Setting(_))
    }

    /// The name of its column.
    fn column(&self) -> &'static str {
        match self {
            Ours::Last => "larder.last",
            Ours::Setting(name) => name,
            Ours::Explain(_) | Ours::Refused => "QUERY PLAN",
        }
    }

    /// Its command tag.
    fn tag(&self) -> &'static str {
        match self {
            Ours::Last | Ours::Setting(_) => "SHOW",
            Ours::Explain(_) | Ours::Refused => "EXPLAIN",
        }
    }

    /// Its ParameterDescription: types that were not declared are text.
    pub fn describe_parameters(&self, declared: &[u8]) -> Vec<u8> {
        let written = match self {
            Ours::Explain(text) => parameters(&text.analysis.shape),
            Ours::Last | Ours::Setting(_) | Ours::Refused => 0,
        };
        let (declared, _) = declared.as_chunks::<4>();
        let count = usize::from(written).max(declared.len());
        let mut body = (count as u16).to_be_bytes().to_vec();
        for n in 0..count {
            let named = declared.get(n).filter(|oid| **oid != [0; 4]);
            body.extend_from_slice(named.unwrap_or(&TEXT));
        }
        let mut out = Vec::new();
        frame::put(&mut out, b't', &body);
        out
    }

    /// Its RowDescription in the format asked for.
    pub fn describe(&self, format: u8) -> Vec<u8> {
        let mut out = Vec::new();
        message::put_text_column(&mut out, self.column());
        if let Some(last) = out.last_mut() {
            *last = format;
        }
        out
    }
}

/// The portal of such a statement.
#[derive(Debug)]
pub struct OurPortal {
    text: Rc<Text>,
    types: Rc<[u8]>,
    /// Bind behind its names.
    tail: Box<[u8]>,
    format: u8,
    /// The rows that it has still to give; `None`: it has not run.
    left: Option<std::vec::IntoIter<String>>,
}

impl OurPortal {
    /// Its description.
    pub fn describe(&self) -> Vec<u8> {
        let ours = self.text.ours.as_ref();
        ours.map_or_else(Vec::new, |ours| ours.describe(self.format))
    }
}

impl Session {
    /// The rows of this moment.
    fn our_rows(&mut self, ours: &Ours, form: Form<'_>, now: Micros) -> Vec<String> {
        match ours {
            Ours::Last => vec![self.last_word()],
            Ours::Setting(name) => vec![self.own_word(name)],
            Ours::Explain(text) => {
                let mut lines = self.explain(text, form, now).lines();
                if !self.settings.is_utf8() {
                    let ascii = |c: char| if c.is_ascii() { c } else { '?' };
                    for line in &mut lines {
                        *line = line.chars().map(ascii).collect();
                    }
                }
                lines
            }
            Ours::Refused => Vec::new(),
        }
    }

    fn last_word(&self) -> String {
        match self.last {
            (Outcome::Bypass, Some(why)) => format!("bypass: {}", why.label()),
            (outcome, _) => outcome.label().into(),
        }
    }

    /// A setting of ours as it was set, or what holds where it was not.
    fn own_word(&self, name: &str) -> String {
        match (self.settings.own(name).flatten(), name) {
            (Some(value), _) => value.into(),
            (None, "larder.cache") => "on".into(),
            (None, "larder.ttl") => self.thread.live().rules.default_words(),
            (None, _) => "off".into(),
        }
    }

    /// Whether only PostgreSQL can answer it: what it asks for is not known here.
    fn is_theirs(&self, ours: &Ours) -> bool {
        matches!(ours, Ours::Setting(name) if self.thread.mode() == Mode::Off || self.settings.own(name).is_none())
    }

    /// Answers a simple query if it is ours. `None`: it is not; `Some(false)`: not now.
    pub(super) fn our_query(&mut self, text: &Text, io: &mut Io<'_>) -> Option<bool> {
        let ours = text.ours.as_ref()?;
        if self.pending.forwarded() || self.transaction.status() == b'E' {
            return None;
        }
        if !self.knows_enough(text, ours, io) {
            return Some(false);
        }
        if self.is_theirs(ours) {
            return None;
        }
        if matches!(ours, Ours::Refused) {
            return Some(self.refuse_ours(true, io));
        }
        self.statements.query(false);
        self.pending.local = false;
        let mut bytes = ours.describe(0);
        for row in self.our_rows(ours, Form::default(), io.now) {
            message::put_text_row(&mut bytes, &row);
        }
        message::put_complete(&mut bytes, ours.tag());
        let simple = true;
        self.answer(Item::Ours { simple, bytes }, io);
        Some(true)
    }

    /// Whether what is told is known: nothing is awaited, and the session's settings were read. Else it is asked for.
    fn knows_enough(&mut self, text: &Text, ours: &Ours, io: &mut Io<'_>) -> bool {
        let asks = match ours {
            Ours::Last => return true,
            Ours::Refused => return self.settled(io),
            Ours::Explain(_) | Ours::Setting(_) if !self.settled(io) => return false,
            Ours::Setting(_) => text,
            Ours::Explain(text) => text,
        };
        let wants = self.wants_probe(asks);
        if wants {
            self.ask_itself(io);
        }
        !wants
    }

    /// Refuses a statement with an error of PostgreSQL's, so that its block fails, too. `false`: not now.
    fn refuse_ours(&mut self, simple: bool, io: &mut Io<'_>) -> bool {
        if !self.reach(io) {
            return false;
        }
        let mut words = Vec::new();
        let severity = message::Severity::Error;
        message::put_error(&mut words, severity, "42601", REFUSED, REFUSED_HINT);
        self.fail_instead(words, io);
        if simple {
            frame::put(io.upstream, b'S', b"");
            self.owe(Owed::Sync);
            self.statements.query(false);
            self.pending.close();
        }
        true
    }

    /// Parses a statement that is refused. `None`: it is none.
    pub(super) fn our_parse(&mut self, text: &Text, io: &mut Io<'_>) -> Option<bool> {
        if !matches!(text.ours, Some(Ours::Refused)) || self.transaction.status() == b'E' {
            return None;
        }
        Some(self.settled(io) && self.refuse_ours(false, io))
    }

    /// Binds a statement of ours. `None`: it is none, or the portal cannot live here; `Some(false)`: not now.
    pub(super) fn our_bind(&mut self, bind: &message::Bind<'_>, io: &mut Io<'_>) -> Option<bool> {
        let named = self.statements.named(bind.statement)?;
        let text = named.text.clone();
        let (ours, types) = (text.ours.as_ref()?, named.types.clone());
        if !self.statements.takes_portal(bind.portal) {
            return None;
        }
        if !self.settled(io) || !self.knows_enough(&text, ours, io) {
            return Some(false);
        }
        if self.is_theirs(ours) {
            return None;
        }
        let format = match bind.tail {
            [.., 0, 1, 0, format] => *format,
            _ => 0,
        };
        let portal = OurPortal {
            text: text.clone(),
            types,
            tail: bind.tail.into(),
            format,
            left: None,
        };
        self.statements
            .place(bind.portal, Some(Portal::Ours(portal)));
        self.emit(message::BIND_COMPLETE, io);
        self.pending.local = true;
        Some(true)
    }

    /// Executes a portal of ours, if there is one of that name.
    pub(super) fn our_execute(&mut self, name: &[u8], limit: i32, io: &mut Io<'_>) {
        let Some(Portal::Ours(mut portal)) = self.statements.take_local(name) else {
            return;
        };
        let text = portal.text.clone();
        if let Some(ours) = &text.ours {
            let mut left = match portal.left.take() {
                Some(left) => left,
                None => {
                    let form = Form {
                        types: &portal.types,
                        tail: Some(&portal.tail),
                    };
                    self.our_rows(ours, form, io.now).into_iter()
                }
            };
            let most = usize::try_from(limit).unwrap_or(0);
            let (mut bytes, mut given) = (Vec::new(), 0);
            while (most == 0 || given < most)
                && let Some(row) = left.next()
            {
                message::put_text_row(&mut bytes, &row);
                given += 1;
            }
            if most > 0 && given == most {
                bytes.extend_from_slice(message::PORTAL_SUSPENDED);
            } else {
                message::put_complete(&mut bytes, ours.tag());
            }
            portal.left = Some(left);
            let simple = false;
            self.answer(Item::Ours { simple, bytes }, io);
        }
        self.statements.place(name, Some(Portal::Ours(portal)));
    }
}
