//! The upstream connection as the session sees it: whether there is one at this moment.
//!
//! * A client that Larder itself has let in has none until something needs it ([`Session::reach`]); a client whose
//!   login was relayed has its own from the first byte to the last.
//! * Nothing is written towards an upstream that is not there: the message that needs one is left where it is and taken
//!   again when it came. So what is assumed of the backend (statements, portals) is always of the backend that hears it.

use std::rc::Rc;
use std::sync::Arc;

use super::text::Text;
use super::welcome::Greeting;
use super::{Copy, Footing, Io, Mode, Phase, Session, Thread};
use crate::cache::flight::Wait;
use crate::cache::servers::Mark;
use crate::sql::statement::Statement;
use crate::wire::message;
use crate::wire::startup::Startup;

/// Whether there is an upstream connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// There is one.
    #[default]
    Held,
    /// None, and nothing has needed one.
    Free,
    /// None, and the client waits for one.
    Wanted,
}

/// What ties a session to its upstream connection.
#[derive(Debug, Default)]
pub struct Tie {
    pub state: Link,
    /// Larder itself has let the client in: its upstream connections are not its own.
    pub welcomed: bool,
    /// The backend holds something of this client's that no transaction ends.
    pub pinned: bool,
    /// Something has run there that may have made statements or portals unseen.
    pub strays: bool,
    /// What has run there while no catalog said what it does.
    unsure: Vec<Rc<Text>>,
    /// What the backend has said.
    greeting: Option<Arc<Greeting>>,
    /// Process id and secret as the client was told, where they are the backend's own.
    pub key: Box<[u8]>,
    /// The wait of a statement that was cancelled meanwhile, and runs there until it is answered.
    pub cancelled: Option<Arc<Wait>>,
}

/// How many texts wait to be judged.
const UNSURE: usize = 16;

impl Session {
    /// A session for a client that Larder has let in, told what `greeting` says: it has no upstream.
    pub fn welcomed(thread: Rc<Thread>, startup: &Startup<'_>, greeting: &Greeting) -> Session {
        let mut session = Session::new(thread, startup);
        session.flow.phase = Phase::Running;
        session.link.state = Link::Free;
        session.link.welcomed = true;
        session.meet(greeting, true);
        if session.thread.mode() != Mode::Off {
            session.database = session.thread.ledger.database(session.database.name());
        }
        session
    }

    /// Before anything is sent to the upstream for a client's message. `false`: there is none; the message is to be
    /// taken again later.
    pub(super) fn reach(&mut self, io: &mut Io<'_>) -> bool {
        if self.link.state == Link::Held {
            if !self.transaction.held.is_empty() {
                self.tell(io);
            }
            return true;
        }
        self.link.state = Link::Wanted;
        false
    }

    /// Whether the client waits for an upstream connection.
    pub fn wants_link(&self) -> bool {
        self.link.state == Link::Wanted
    }

    /// Whether there is an upstream connection.
    pub fn is_linked(&self) -> bool {
        self.link.state == Link::Held
    }

    /// What a cancel request of the client names, where that is the backend's own.
    pub fn cancel_key(&self) -> &[u8] {
        &self.link.key
    }

    /// A backend stands behind the session from now on; `told`: the greeting that the client has heard.
    pub fn link(&mut self, greeting: &Arc<Greeting>, told: &Greeting, io: &mut Io<'_>) {
        self.link.state = Link::Held;
        self.statements.meet_backend();
        for (name, value) in &greeting.statuses {
            if !told.statuses.iter().any(|(n, v)| n == name && v == value) {
                message::put_parameter_status(io.client, name, value);
            }
        }
        self.meet(greeting, false);
        self.database.meet(greeting.is_direct());
        self.link.greeting = Some(greeting.clone());
    }

    fn meet(&mut self, greeting: &Greeting, absent: bool) {
        self.settings.meet(greeting, absent);
        self.stand_on(greeting);
    }

    /// The settings are those that were greeted with.
    fn stand_on(&mut self, greeting: &Greeting) {
        self.footing = Footing {
            server: greeting.server,
            mark: Mark::default(),
            baselines: greeting.baselines,
        };
    }

    /// Whether the backend could serve somebody else now: nothing is under way, and nothing in it is this client's.
    pub fn may_unlink(&mut self) -> bool {
        self.may_recycle()
            && !self.pending.local
            && !self.link.pinned
            && self.is_sure()
            && self.settings.is_pristine()
    }

    /// Whether the backend is kept only until a catalog says what has run there.
    pub fn waits_for_catalog(&self) -> bool {
        !self.link.unsure.is_empty() && !self.link.pinned && self.may_recycle()
    }

    /// Judges what has run before there was a catalog. `false`: it may have left something, or cannot be judged yet.
    fn is_sure(&mut self) -> bool {
        if self.link.unsure.is_empty() {
            return true;
        }
        let greeting = self.link.greeting.clone();
        let (Some(catalog), Some(greeting)) = (self.database.catalog(), greeting) else {
            return false;
        };
        self.settings.renew(&greeting);
        self.stand_on(&greeting);
        let context = self.settings.context(&self.thread.contexts);
        let path = self.settings.path();
        let opaque = |text: Rc<Text>| {
            let effects = text.effects(Some(&catalog), context, &path);
            effects.iter().any(|effect| effect.opaque || effect.leaves)
        };
        self.link.pinned = std::mem::take(&mut self.link.unsure)
            .into_iter()
            .any(opaque);
        if self.link.pinned {
            self.settings.forget();
        }
        !self.link.pinned
    }

    /// The backend goes back to the others. Gives whether names were prepared in it.
    pub fn unlink(&mut self) -> bool {
        self.link.state = Link::Free;
        self.link.strays = false;
        self.settings.leave();
        self.statements.unlink()
    }

    /// Whether the backend could serve somebody else now, once everything of this client is thrown out of it.
    pub fn may_recycle(&self) -> bool {
        self.link.state == Link::Held
            && self.flow.phase == Phase::Running
            && self.flow.copy == Copy::None
            && self.flow.client_left == 0
            && self.flow.upstream_left == 0
            && (self.transaction.status() == b'I' || !self.transaction.told)
            && self.pending.is_empty()
    }

    /// Whether the client has said goodbye to a Larder whose upstream connections are not its own, and nothing is left to do.
    pub fn is_leaving(&self) -> bool {
        self.link.welcomed && self.flow.parting && self.pending.is_empty()
    }

    /// Whether the client rests in a transaction that the upstream has open.
    pub fn rests_in_transaction(&self) -> bool {
        self.link.state == Link::Held
            && self.pending.is_empty()
            && self.transaction.told
            && self.transaction.status() != b'I'
    }

    /// Notes what a text leaves behind in the backend that ends with no transaction; `judged`: against a catalog.
    pub(super) fn pin(&mut self, text: &Rc<Text>, opaque: bool, judged: bool) {
        let tie = &mut self.link;
        let mut statements = text.analysis.statements.iter();
        let leaves = statements.any(leaves_something);
        if leaves || (opaque && (judged || tie.unsure.len() >= UNSURE)) {
            tie.pinned = true;
        } else if opaque && !tie.unsure.iter().any(|before| Rc::ptr_eq(before, text)) {
            tie.unsure.push(text.clone());
        }
    }
}

/// Whether a statement may leave something in its backend beyond its transaction.
fn leaves_something(statement: &Statement) -> bool {
    match statement {
        Statement::Set(settings) => settings
            .iter()
            .any(|setting| !setting.local && setting.value.is_some()),
        // DECLARE may be WITH HOLD.
        Statement::Declare(_)
        | Statement::Listen
        | Statement::Prepare(..)
        | Statement::Execute(..)
        | Statement::TemporaryTableAs(_)
        | Statement::Ddl { temporary: true }
        | Statement::Unfollowed
        | Statement::Opaque => true,
        _ => false,
    }
}
