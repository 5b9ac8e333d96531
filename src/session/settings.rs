//! The settings of a session as far as an answer's bytes may depend on them.
//!
//! * Known: what the backend says of itself ([`super::probe()`], once at login and again after every opaque statement), what it
//!   reports (ParameterStatus), the startup message, and what the client sets. Anything else makes the settings
//!   unknown, and nothing hits until they were read again (hazards 13, 19).
//! * Changes are the transaction's: ROLLBACK and ROLLBACK TO undo them, COMMIT ends SET LOCAL. RESET ALL leaves the
//!   role alone.
//! * Everything not on the reviewed list of harmless settings is in the key, known or not.

mod constants;
mod journal;
mod keyed;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

pub use constants::{is_of_constants, is_of_text};
use journal::Journal;

use super::locks::Patience;
use super::probe::{HARMLESS, OWN, Probed, TRACKED};
use super::welcome::{Greeting, Reported};
use super::wishes::{Unread, Wish};
use crate::cache::key::Context;
use crate::cache::servers::{Mark, Server, Servers};
use crate::config::Pooler;
use crate::guard::{Guard, stands};
use crate::sql::statement::{Isolation, Setting};
use crate::why::Why;
use crate::wire::startup::Startup;

/// Whether a reported setting may show in an answer.
pub fn is_reported(name: &str) -> bool {
    !HARMLESS.contains(&name) || name == "client_encoding"
}

/// What the client has set: for the session, and for the transaction only.
#[derive(Clone, Debug, Default)]
struct Layer {
    session: Rc<BTreeMap<Box<str>, Box<str>>>,
    local: Rc<BTreeMap<Box<str>, Box<str>>>,
}

/// The settings of a session.
#[derive(Debug)]
pub struct Settings {
    database: Box<str>,
    startup: Vec<(Box<str>, Box<str>)>,
    reported: Arc<Reported>,
    probed: Option<Arc<Probed>>,
    peer: Peer,
    asking: Asking,
    /// The probe was made before the client could set anything.
    pristine: bool,
    patience: Patience,
    layer: Layer,
    journal: Journal,
    derived: Derived,
    beside: Beside,
}

/// What is in no key.
#[derive(Debug)]
struct Beside {
    /// The application's name.
    application: Box<str>,
    /// Texts were once read in another way than they stand.
    strange: bool,
    /// What the client was warned of.
    warned: Unread,
}

/// Whether the backend is to be asked.
#[derive(Debug, Default)]
struct Asking {
    /// It did not answer the probe.
    refused: bool,
    /// A read was passed on because the settings are unknown.
    missed: bool,
}

/// The backend behind the session.
#[derive(Debug, Default)]
struct Peer {
    /// BackendKeyData's process id.
    announced: Option<i32>,
    /// Process id and start as it said itself.
    backend: Option<(i32, Option<Box<str>>)>,
    /// There is none now; the one that greeted was the one that the upstream had announced.
    absent: bool,
}

/// What follows from the settings, worked out at first need.
#[derive(Debug, Default)]
struct Derived {
    gate: Cell<Option<Result<(), Why>>>,
    own_snapshots: Cell<Option<bool>>,
    plain: Cell<Option<bool>>,
    wish: Cell<Option<Wish>>,
    context: Option<Arc<Context>>,
    path: Option<Rc<[Box<str>]>>,
    reading: Option<Rc<str>>,
}

/// Reported since PostgreSQL 14.
const RECOVERY: &str = "in_hot_standby";

/// Stands for `SET LOCAL … TO DEFAULT` in a key: no setting's value has a NUL.
const DEFAULT: &str = "\0default";

impl Settings {
    /// Before login.
    pub fn new(database: &str, startup: &Startup<'_>) -> Settings {
        let application = startup.get("application_name");
        Settings {
            database: database.into(),
            startup: keyed::of_startup(startup),
            reported: Arc::default(),
            probed: None,
            peer: Peer::default(),
            asking: Asking::default(),
            pristine: true,
            patience: Patience::UNKNOWN,
            layer: Layer::default(),
            journal: Vec::new(),
            derived: Derived::default(),
            beside: Beside {
                application: application.unwrap_or_default().into(),
                strange: false,
                warned: Unread::default(),
            },
        }
    }

    /// Whether texts were once read in another way than they stand.
    pub fn was_strange(&self) -> bool {
        self.beside.strange
    }

    fn changed(&mut self) {
        self.derived = Derived::default();
    }

    /// BackendKeyData.
    pub fn announce(&mut self, pid: i32) {
        self.peer.announced = Some(pid);
        self.changed();
    }

    /// ParameterStatus.
    pub fn report(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        // Promoted: what was read of it in recovery is read again. (A primary does not become a standby.)
        let promoted =
            name == RECOVERY && self.reported.get(RECOVERY).is_some_and(|v| **v == *"on");
        self.beside.strange |= constants::is_strange(&name, value);
        if name == "application_name" {
            self.beside.application = value.into();
        }
        if is_reported(&name) {
            Arc::make_mut(&mut self.reported).insert(name.into(), value.into());
            self.changed();
        }
        if promoted {
            self.forget();
        }
    }

    /// The answer to [`probe`](super::probe::probe); `false` if it is not one.
    pub fn read(&mut self, fields: &[Option<&[u8]>]) -> bool {
        let Some(probed) = Probed::read(fields) else {
            return false;
        };
        self.peer.backend = Some(probed.backend.clone());
        self.probe_is(Arc::new(probed));
        true
    }

    fn probe_is(&mut self, probed: Arc<Probed>) {
        self.patience.read(&probed.timeouts, self.is_untouched());
        self.probed = Some(probed);
        let tracked = |name: &str| {
            TRACKED.contains(&name) || matches!(name, "role" | "session_authorization")
        };
        if self.layer.session.keys().any(|name| tracked(name)) {
            Rc::make_mut(&mut self.layer.session).retain(|name, _| !tracked(name));
        }
        self.changed();
    }

    /// A backend that greeted stands behind the session now, or (`absent`) would if one were needed.
    pub fn meet(&mut self, greeting: &Greeting, absent: bool) {
        self.reported = greeting.reported.clone();
        let mut reported = self.reported.iter();
        self.beside.strange |= reported.any(|(name, value)| constants::is_strange(name, value));
        self.peer = Peer {
            announced: Some(greeting.pid).filter(|_| !absent),
            backend: greeting.backend().cloned().filter(|_| !absent),
            absent: absent && greeting.is_direct(),
        };
        if let Some(application) = &greeting.application {
            self.beside.application = application.clone();
        }
        self.asking.refused = false;
        match &greeting.probed {
            Some(probed) => self.probe_is(probed.clone()),
            None => self.probed = None,
        }
        self.changed();
    }

    /// Nothing but what the backend said at its login is in force.
    pub fn renew(&mut self, greeting: &Greeting) {
        self.layer = Layer::default();
        self.pristine = true;
        self.meet(greeting, false);
    }

    /// The backend has gone back to the others; what it said of its settings is still so.
    pub fn leave(&mut self) {
        let direct = self.backend().is_some();
        self.peer = Peer {
            absent: direct,
            ..Peer::default()
        };
        self.changed();
    }

    /// Whether nothing but what the backend said of itself at login is in force.
    pub fn is_pristine(&self) -> bool {
        self.pristine && self.layer.session.is_empty() && self.probed.is_some()
    }

    fn is_untouched(&self) -> bool {
        self.pristine && self.layer.session.is_empty() && self.journal.is_empty()
    }

    /// Whether no time-out that may be in force is short.
    pub fn is_patient(&self) -> bool {
        self.patience.is_long()
    }

    /// The backend's server, as far as it has said which; `mark`: of before it was asked.
    pub fn server(&self, servers: &Servers, mark: &Mark) -> Server {
        match &self.probed {
            Some(probed) => servers.named(&probed.started, probed.position, mark),
            None => Server::UNKNOWN,
        }
    }

    /// Whether the backend must be asked.
    pub fn unknown(&self) -> bool {
        self.probed.is_none() && !self.asking.refused
    }

    /// Whether the backend was asked and has answered.
    pub fn known(&self) -> bool {
        self.probed.is_some()
    }

    /// The backend was asked; if it gave no answer it is not asked again until there is a new reason.
    pub fn asked(&mut self) {
        self.asking.refused = self.probed.is_none();
        self.asking.missed = false;
    }

    /// A read was passed on because they are unknown.
    pub fn miss(&mut self) {
        self.asking.missed = true;
    }

    /// Whether one was since the backend was last asked.
    pub fn missed(&self) -> bool {
        self.asking.missed
    }

    /// Something may have changed unseen.
    pub fn forget(&mut self) {
        self.probed = None;
        self.asking.refused = false;
        self.pristine = false;
        self.changed();
    }

    /// Process id and start of the backend; `None` where it is not known to be the one that was announced.
    pub fn backend(&self) -> Option<(i32, Option<Box<str>>)> {
        self.peer
            .backend
            .clone()
            .filter(|(pid, _)| self.peer.announced == Some(*pid))
    }

    /// The backend that was announced, if it was not asked and the upstream is known to announce its own (`direct`).
    pub fn announced(&self, direct: bool) -> Option<(i32, Option<Box<str>>)> {
        let peer = &self.peer;
        let pid = peer
            .announced
            .filter(|_| direct && peer.backend.is_none())?;
        Some((pid, None))
    }

    /// Whether answers may be served and kept under these settings.
    #[inline]
    pub fn gate(&self, pooler: Pooler) -> Result<(), Why> {
        if let Some(gate) = self.derived.gate.get() {
            return gate;
        }
        let gate = self.judge(pooler);
        self.derived.gate.set(Some(gate));
        gate
    }

    /// Whether the session is known to have nothing in a temporary schema.
    pub fn nothing_temporary(&self) -> bool {
        !self.unknown() && self.probed.as_ref().is_some_and(|probed| !probed.temporary)
    }

    fn judge(&self, pooler: Pooler) -> Result<(), Why> {
        let Some(probed) = &self.probed else {
            return Err(Why::Settings);
        };
        if !self.is_utf8() && stands(Guard::Encoding) {
            return Err(Why::Encoding);
        }
        if !self.strings_conform() {
            return Err(Why::StringSyntax);
        }
        if self.layer.is_too_much() {
            return Err(Why::Settings);
        }
        if probed.temporary && stands(Guard::NoTemporary) {
            return Err(Why::TempSchema);
        }
        // Another backend may answer each transaction, and what was read of one says nothing of the next.
        let hidden = self.backend().is_none() && !self.peer.absent;
        if pooler == Pooler::Transaction || (pooler == Pooler::None && hidden) {
            return Err(Why::Pooler);
        }
        let recovers = probed.recovery || self.is(RECOVERY, "on");
        if recovers && stands(Guard::NotInRecovery) {
            return Err(Why::Recovery);
        }
        // Each statement is a transaction of that isolation, and a hit would take no part in its conflicts.
        if self.isolation() == Some(Isolation::Serializable) {
            return Err(Why::Isolation);
        }
        Ok(())
    }

    /// A SET that has taken effect.
    pub fn set(&mut self, setting: &Setting, in_transaction: bool) {
        self.patience
            .set(&setting.name, setting.value.as_deref(), !setting.local);
        if HARMLESS.contains(&&*setting.name) || (setting.local && !in_transaction) {
            return;
        }
        if &*setting.name == "session_authorization" {
            return self.forget(); // resets the role, too
        }
        self.changed();
        let name = setting.name.clone();
        if self.is_too_much(setting) {
            self.layer.is_too_much_now(setting.local);
            return self.forget();
        }
        if setting.local {
            let value = setting.value.clone().unwrap_or_else(|| DEFAULT.into());
            if setting.value.is_none() && !self.pristine {
                return self.forget();
            }
            Rc::make_mut(&mut self.layer.local).insert(name, value);
            return;
        }
        Rc::make_mut(&mut self.layer.local).remove(&name);
        let session = Rc::make_mut(&mut self.layer.session);
        match &setting.value {
            Some(value) => {
                session.insert(name, value.clone());
            }
            None => {
                session.remove(&name);
                if !self.pristine {
                    self.forget();
                }
            }
        }
    }

    /// RESET ALL, or with `role` DISCARD ALL.
    pub fn reset_all(&mut self, role: bool) {
        self.layer.is_reset();
        self.patience.reset();
        if !self.pristine {
            return self.forget();
        }
        let keep = |name: &str| !role && name == "role";
        Rc::make_mut(&mut self.layer.session).retain(|name, _| keep(name));
        Rc::make_mut(&mut self.layer.local).retain(|name, _| keep(name));
        self.changed();
    }

    /// The settings that the text of dates follows, as the backend last reported them.
    pub fn dates(&self) -> Rc<str> {
        let all = ["datestyle", "intervalstyle", "timezone"];
        let told = all.map(|name| self.reported.get(name).map_or("", |value| value));
        told.join("\0").into()
    }

    fn now(&self, name: &str) -> Option<&str> {
        let set = self
            .layer
            .local
            .get(name)
            .or_else(|| self.layer.session.get(name));
        match set {
            Some(value) if &**value != DEFAULT => Some(value),
            _ => {
                let at = TRACKED.iter().position(|tracked| *tracked == name)?;
                self.probed.as_ref().map(|probed| &*probed.values[at])
            }
        }
    }

    /// What Larder's own settings say, as far as they are known.
    #[inline]
    pub fn wish(&self) -> Wish {
        self.derived.wish.get().unwrap_or_else(|| {
            let wish = Wish::of(
                OWN.map(|name| self.now(name)),
                self.now("client_min_messages"),
            );
            self.derived.wish.set(Some(wish));
            wish
        })
    }

    /// One of Larder's own settings: what it was set to, if it was. `None`: that is not known.
    pub fn own(&self, name: &str) -> Option<Option<&str>> {
        let value = self.now(name).filter(|value| !value.is_empty());
        self.known().then_some(value)
    }

    /// What the client was warned of.
    pub fn warned(&mut self) -> &mut Unread {
        &mut self.beside.warned
    }

    /// The application's name.
    pub fn application(&self) -> &str {
        &self.beside.application
    }

    /// The isolation of a transaction that names none.
    pub fn isolation(&self) -> Option<Isolation> {
        match self.now("default_transaction_isolation")? {
            "read committed" | "read uncommitted" => Some(Isolation::ReadCommitted),
            "repeatable read" => Some(Isolation::RepeatableRead),
            "serializable" => Some(Isolation::Serializable),
            _ => None,
        }
    }

    /// Whether a transaction that does not say is READ ONLY.
    pub fn read_only(&self) -> Option<bool> {
        Some(self.now("default_transaction_read_only")? == "on")
    }

    /// Whether each statement of a transaction that names no isolation has a snapshot of its own.
    pub fn own_snapshots(&self) -> bool {
        self.derived.own_snapshots.get().unwrap_or_else(|| {
            let own = self.isolation() == Some(Isolation::ReadCommitted);
            self.derived.own_snapshots.set(Some(own));
            own
        })
    }

    /// `current_user`, as far as it is known.
    pub fn role(&self) -> Option<&str> {
        let probed = self.probed.as_ref()?;
        match self
            .layer
            .local
            .get("role")
            .or_else(|| self.layer.session.get("role"))
        {
            Some(role) if &**role == "none" => Some(&probed.session_user),
            Some(role) if &**role != DEFAULT => Some(role),
            _ => Some(&probed.current_user),
        }
    }

    /// The schemas in which unqualified names are looked up.
    pub fn path(&mut self) -> Rc<[Box<str>]> {
        if let Some(path) = &self.derived.path {
            return path.clone();
        }
        let role = self.role().unwrap_or_default();
        let path: Rc<[Box<str>]> = identifiers(self.now("search_path").unwrap_or_default())
            .into_iter()
            .map(|name| {
                if name == "$user" {
                    role.into()
                } else {
                    name.into()
                }
            })
            .collect();
        self.derived.path = Some(path.clone());
        path
    }
}

/// The identifiers of a list such as search_path's, folded as PostgreSQL folds them (`SplitIdentifierString`).
fn identifiers(list: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let name = if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                        chars.next();
                        name.push('"');
                    }
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    _ => name.push(c),
                }
            }
            rest = &quoted[end..];
            name
        } else {
            let end = rest.find([',', ' ', '\t', '\n']).unwrap_or(rest.len());
            let name = rest[..end].to_lowercase();
            rest = &rest[end..];
            name
        };
        found.push(name);
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    found.retain(|name| !name.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::Contexts;

    fn known() -> Settings {
        let startup = Startup {
            packet: b"",
            major: 3,
            minor: 0,
            parameters: vec![("user", "ann")],
        };
        let mut settings = Settings::new("shop", &startup);
        for (name, value) in [
            ("client_encoding", "UTF8"),
            ("server_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
        ] {
            settings.report(name, value);
        }
        settings.announce(7);
        assert!(settings.read(&row("0", "\"$user\", public")));
        settings
    }

    fn row<'a>(temporary: &'a str, path: &'a str) -> Vec<Option<&'a [u8]>> {
        let mut row: Vec<Option<&[u8]>> = vec![Some(b"7"), Some(b"t0"), Some(b"ann"), Some(b"ann")];
        row.push(Some(temporary.as_bytes()));
        row.extend([
            Some(&b"1/1/5"[..]),
            Some(b"f"),
            Some(b"t0"),
            Some(b"0/1"),
            Some(b"0"),
        ]);
        row.push(Some(path.as_bytes()));
        row.extend(std::iter::repeat_n(
            Some(b"x".as_slice()),
            TRACKED.len() - 1 - OWN.len(),
        ));
        row.extend(OWN.map(|_| Some(b"".as_slice())));
        row
    }

    fn set(name: &str, value: Option<&str>, local: bool) -> Setting {
        Setting {
            name: name.into(),
            value: value.map(Into::into),
            local,
        }
    }

    /// Hazard 77: more settings than are kept count as unknown, until they are undone; and what names mean stays known.
    #[test]
    fn more_settings_than_are_kept_count_against_the_cache() {
        let mut s = known();
        let long = "x".repeat(70_000);
        s.begin();
        s.set(&set("search_path", Some("elsewhere"), false), true);
        s.set(&set("app.long", Some(&long), false), true);
        assert_eq!(s.gate(Pooler::None), Err(Why::Settings));
        assert!(s.unknown() && s.path().is_empty());
        assert!(s.read(&row("0", "elsewhere")));
        assert_eq!(&*s.path()[0], "elsewhere");
        assert_eq!(s.gate(Pooler::None), Err(Why::Settings));
        s.end(false);
        assert!(s.read(&row("0", "public")));
        assert_eq!(s.gate(Pooler::None), Ok(()));
        s.set(&set("app.long", Some(&long), false), false);
        assert!(s.read(&row("0", "public")));
        assert_eq!(s.gate(Pooler::None), Err(Why::Settings));
        s.reset_all(false);
        assert!(s.read(&row("0", "public")));
        assert_eq!(s.gate(Pooler::None), Ok(()));
    }

    /// Hazards 13, 14: what constants mean is known by what is in force, and is not known in the dark.
    #[test]
    fn constants_are_read_under_what_is_in_force() {
        let mut s = known();
        let before = s.reading();
        s.report("application_name", "x");
        s.set(&set("app.x", Some("1"), false), false);
        assert_eq!(s.reading(), before);
        s.report("DateStyle", "ISO, DMY");
        assert_ne!(s.reading(), before);
        s.report("DateStyle", "");
        s.begin();
        s.set(&set("array_nulls", Some("off"), true), true);
        assert_ne!(s.reading(), before);
        s.forget();
        assert_eq!(s.reading(), None);
    }

    #[test]
    fn a_setting_changes_the_context_and_rollback_restores_it() {
        let contexts = Contexts::default();
        let mut s = known();
        let before = s.context(&contexts);
        s.begin();
        s.set(&set("bytea_output", Some("escape"), false), true);
        assert_ne!(s.context(&contexts), before);
        s.end(false);
        assert_eq!(s.context(&contexts), before);
    }

    #[test]
    fn set_local_ends_with_the_transaction_and_means_nothing_outside() {
        let contexts = Contexts::default();
        let mut s = known();
        let before = s.context(&contexts);
        s.set(&set("bytea_output", Some("escape"), true), false);
        assert_eq!(s.context(&contexts), before);
        s.begin();
        s.set(&set("bytea_output", Some("escape"), true), true);
        assert_ne!(s.context(&contexts), before);
        s.end(true);
        assert_eq!(s.context(&contexts), before);
    }

    #[test]
    fn savepoints_are_gone_back_to() {
        let contexts = Contexts::default();
        let mut s = known();
        s.begin();
        s.set(&set("a.b", Some("1"), false), true);
        let at_savepoint = s.context(&contexts);
        s.savepoint("x");
        s.set(&set("a.b", Some("2"), false), true);
        s.savepoint("y");
        s.rollback_to("x");
        assert_eq!(s.context(&contexts), at_savepoint);
        s.set(&set("a.b", Some("3"), false), true);
        s.release("x");
        s.end(true);
        assert_ne!(s.context(&contexts), at_savepoint);
    }

    #[test]
    fn reset_all_keeps_the_role_and_discard_all_does_not() {
        let contexts = Contexts::default();
        let mut s = known();
        let before = s.context(&contexts);
        s.set(&set("role", Some("bob"), false), false);
        let as_bob = s.context(&contexts);
        s.set(&set("datestyle", Some("german"), false), false);
        s.reset_all(false);
        assert_eq!(s.context(&contexts), as_bob);
        assert_eq!(&*s.path()[0], "bob");
        s.reset_all(true);
        assert_eq!(s.context(&contexts), before);
    }

    #[test]
    fn harmless_settings_are_not_in_the_key() {
        let contexts = Contexts::default();
        let mut s = known();
        let before = s.context(&contexts);
        s.set(&set("application_name", Some("x"), false), false);
        s.set(&set("statement_timeout", Some("5"), false), false);
        assert_eq!(s.context(&contexts), before);
    }

    #[test]
    fn what_is_not_known_shuts() {
        let mut s = known();
        assert_eq!(s.gate(Pooler::None), Ok(()));
        s.forget();
        assert_eq!(s.gate(Pooler::None), Err(Why::Settings));
        assert!(s.read(&row("16400", "public")));
        assert_eq!(s.gate(Pooler::None), Err(Why::TempSchema));
        assert!(s.read(&row("0", "public")));
        s.set(&set("bytea_output", None, false), false);
        assert_eq!(
            s.gate(Pooler::None),
            Err(Why::Settings),
            "the default is not known after an opaque statement"
        );
        let mut s = known();
        s.report("client_encoding", "LATIN1");
        assert_eq!(s.gate(Pooler::None), Err(Why::Encoding));
        let mut s = known();
        s.announce(8);
        assert_eq!(s.gate(Pooler::None), Err(Why::Pooler));
        s.changed();
        assert_eq!(s.gate(Pooler::Session), Ok(()));
        let mut s = known();
        s.changed();
        assert_eq!(s.gate(Pooler::Transaction), Err(Why::Pooler));
    }

    #[test]
    fn p6_a_server_in_recovery_shuts_until_it_was_asked_again() {
        let standby = || {
            let mut row = row("0", "public");
            row[6] = Some(b"t");
            row
        };
        // PostgreSQL 13 reports nothing.
        let mut s = known();
        assert!(s.read(&standby()));
        assert_eq!(s.gate(Pooler::None), Err(Why::Recovery));
        let mut s = known();
        s.report("in_hot_standby", "off");
        assert_eq!(s.gate(Pooler::None), Ok(()));
        s.report("in_hot_standby", "on");
        assert_eq!(s.gate(Pooler::None), Err(Why::Recovery));
        assert!(s.read(&standby()));
        s.report("in_hot_standby", "off");
        assert_eq!(s.gate(Pooler::None), Err(Why::Settings));
        assert!(s.unknown());
        assert!(s.read(&row("0", "public")));
        assert_eq!(s.gate(Pooler::None), Ok(()));
    }

    #[test]
    fn the_path_is_read_as_postgresql_reads_it() {
        assert_eq!(identifiers(r#""$user", public"#), ["$user", "public"]);
        assert_eq!(
            identifiers(r#"Foo,"Bar, ""x""" , b"#),
            ["foo", "Bar, \"x\"", "b"]
        );
        assert_eq!(identifiers(r#""""#), Vec::<String>::new());
        assert_eq!(identifiers(""), Vec::<String>::new());
    }
}
