//! What each fuzz target does with its bytes: one function a target, shared with the corpus test.
//!
//! * A target does more than not panic: what is read must be what was sent, a shorter prefix never reads as
//!   something else, a canonical form is its own canonical form.
//! * `TARGETS` names them all, so that a corpus directory without a function, or the reverse, fails the test.

mod conversation;

use larder::admin::command;
use larder::config::{Config, Flags};
use larder::net::login::{Credentials, Login, LoginError, login as log_in};
use larder::sql::catalog::rows::{Rows, Rule};
use larder::sql::{self, Catalog};
use larder::wire::frame::{self, Frame, HEAD};
use larder::wire::scram::{Binding, Prover, Secret, Server, Step};
use larder::wire::verifier::Verifier;
use larder::wire::{message, startup};

/// Name (of the corpus directory, too) and function of a target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("bind", bind),
    ("canonical", canonical),
    ("client_stream", client_stream),
    ("config", config),
    ("console", console),
    ("conversation", conversation),
    ("hint", hint),
    ("login", login),
    ("node_tree", node_tree),
    ("scram", scram),
    ("sql", analyse),
    ("startup", startup),
    ("upstream_stream", upstream_stream),
    ("verifier", verifier),
];

/// Calls `look` for every whole frame, as a reader of a stream would come by them, and checks that none of them
/// could have been seen earlier or differently.
fn frames(data: &[u8], mut look: impl FnMut(u8, &[u8])) {
    let mut rest = data;
    loop {
        match frame::peek(rest) {
            Frame::Whole { tag, body } => {
                let len = HEAD + body.len();
                for cut in [0, 1, HEAD - 1, HEAD, len / 2, len - 1] {
                    match frame::peek(&rest[..cut.min(len - 1)]) {
                        Frame::Short => assert!(cut.min(len - 1) < HEAD),
                        Frame::Part { tag: t, len: l } => assert_eq!((t, l), (tag, len)),
                        other => panic!("a prefix reads as {other:?}"),
                    }
                }
                let mut again = Vec::new();
                frame::put(&mut again, tag, body);
                assert_eq!(again, &rest[..len]);
                let (bytes, count) = frame::run(rest, tag);
                assert!(bytes >= len && bytes <= rest.len() && count >= 1);
                assert_eq!(frame::run(&rest[..bytes], tag), (bytes, count));
                look(tag, body);
                rest = &rest[len..];
            }
            Frame::Part { len, .. } => return assert!(len > rest.len()),
            Frame::Short => return assert!(rest.len() < HEAD),
            Frame::Malformed => return,
        }
    }
}

/// A client's bytes after the start.
pub fn client_stream(data: &[u8]) {
    frames(data, |tag, body| match tag {
        b'Q' => {
            if let Some(text) = message::query(body) {
                assert_eq!(text.len() + 1, body.len());
                assert!(!text.contains(&0));
            }
        }
        b'P' => {
            if let Some(parse) = message::parse(body) {
                let (mut whole, mut again) = (Vec::new(), Vec::new());
                frame::put(&mut whole, tag, body);
                message::put_parse(&mut again, &parse);
                assert_eq!(whole, again);
            }
        }
        b'B' => bind(body),
        b'D' | b'C' => {
            if let Some(message::Target::Statement(name) | message::Target::Portal(name)) =
                message::target(body)
            {
                assert_eq!(name.len() + 2, body.len());
            }
        }
        b'E' => {
            if let Some((portal, _)) = message::execute(body) {
                assert_eq!(portal.len() + 5, body.len());
            }
        }
        _ => {}
    });
}

/// An upstream's bytes after authentication.
pub fn upstream_stream(data: &[u8]) {
    frames(data, |tag, body| match tag {
        b'D' => {
            if let Some(fields) = message::data_row(body) {
                let held: usize = fields.iter().map(|f| 4 + f.map_or(0, <[u8]>::len)).sum();
                assert!(held + 2 <= body.len());
            }
        }
        b'S' => {
            if let Some((name, value)) = message::parameter_status(body) {
                assert_eq!(name.len() + value.len() + 2, body.len());
            }
        }
        _ => {}
    });
}

/// A comment's inside, and a text with comments.
pub fn hint(data: &[u8]) {
    let mut hints = sql::hint::Hints::default();
    hints.read(data);
    let mut hints = sql::hint::Hints::default();
    hints.read(&[b"/* larder:", data, b"*/"].concat());
    assert!(!hints.is_empty(), "whatever such a comment says, it counts");
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Some(plain) = sql::canonical::canonical(text) else {
        return;
    };
    let again = sql::canonical::canonical(&plain.text).expect("it is closed");
    assert!(again.hints.is_empty(), "no comment is left, so no hint");
    let off = sql::canonical::canonical(&format!("/* larder: off */{text}")).expect("it is closed");
    assert!(off.hints.off, "what follows does not undo it");
    assert_eq!((off.text, off.shape), (plain.text, plain.shape));
}

/// The body of a Bind message.
pub fn bind(data: &[u8]) {
    let Some(bind) = message::bind(data) else {
        return;
    };
    assert_eq!(
        bind.portal.len() + bind.statement.len() + 2 + bind.tail.len(),
        data.len()
    );
    if let Some(parameters) = message::parameters(bind.tail) {
        assert!(parameters.len() <= usize::from(u16::MAX));
        let held: usize = parameters
            .iter()
            .map(|(_, v)| 4 + v.map_or(0, <[u8]>::len))
            .sum();
        assert!(held + 6 <= bind.tail.len());
    }
}

/// A client's first packet.
pub fn startup(data: &[u8]) {
    let Ok(Some((first, used))) = startup::first(data) else {
        return;
    };
    assert!(used <= data.len() && used <= startup::LONGEST);
    for cut in [0, 3, 4, used / 2, used - 1] {
        assert_eq!(
            startup::first(&data[..cut]),
            Ok(None),
            "a prefix reads as a whole packet"
        );
    }
    if let startup::First::Startup(packet) = &first {
        for (name, _) in &packet.parameters {
            assert!(packet.get(name).is_some());
        }
    }
    assert_eq!(startup::first(&data[..used]), Ok(Some((first, used))));
}

/// A small database: tables t and u, a view v.
fn rows() -> Rows {
    let mut rows = Rows::empty_database();
    let t = rows.table("public", "t");
    let u = rows.table("public", "u");
    rows.view("public", "v", &[t, u]);
    rows.builtin("count", 0, b'i');
    rows.builtin("lower", 1, b'i');
    rows.builtin("now", 0, b's');
    rows.function("public", "f", 1, b'i');
    for operator in ["=", "+", "<", ">", "->>"] {
        rows.operator("pg_catalog", operator);
    }
    rows
}

/// A statement's text.
pub fn analyse(data: &[u8]) {
    let _ = sql::reads_the_clock(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let analysis = sql::analyse(text);
    let catalog = Catalog::build(1, rows());
    for statement in &analysis.statements {
        // without a catalog nothing is ever cacheable
        assert!(sql::resolve(statement, None, &[]).reads.is_err());
        let effect = sql::resolve(statement, Some(&catalog), &["public".into()]);
        if let Ok(cacheable) = &effect.reads {
            let relations = cacheable.relations();
            assert!(!relations.is_empty() && relations.is_sorted_by(|a, b| a < b));
            assert!(analysis.refused.is_none(), "cacheable, and not even parsed");
        }
    }
}

/// A statement's text, for what the key makes of it.
pub fn canonical(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = sql::canonical::canonical(text);
    let first = sql::analyse(text);
    if first.refused.is_some() {
        return;
    }
    let second = sql::analyse(&first.canonical);
    assert_eq!(
        second.refused, None,
        "the canonical text does not parse: {:?}",
        first.canonical
    );
    assert_eq!(
        first.canonical, second.canonical,
        "the canonical text is not its own"
    );
    let (first, second) = (
        format!("{:?}", first.statements),
        format!("{:?}", second.statements),
    );
    assert_eq!(first, second, "the canonical text says something else");
}

/// A rule's `pg_node_tree`, as the upstream sends it.
pub fn node_tree(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut rows = rows();
    let relation = rows.relation("public", "w", b'v');
    rows.rules.push(Rule {
        relation,
        view: true,
        action: text.into(),
    });
    let catalog = Catalog::build(1, rows);
    if let Ok(reads) = catalog.reads_of(relation) {
        assert!(!reads.is_empty());
    }
}

/// Environment variables, one `NAME=value` a line.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let environment = lines.map(|(name, value)| (format!("LARDER_{name}"), value.to_owned()));
    match Config::load_with(&Flags::default(), environment) {
        Ok(config) => assert!(config.server.workers.count() > 0),
        Err(error) => assert!(!error.to_string().is_empty(), "an error must say something"),
    }
}

/// A session between a client and an upstream.
pub fn conversation(data: &[u8]) {
    conversation::play(data);
}

/// A SCRAM exchange's other side: the first byte chooses the channel binding, a 0xff parts the messages.
pub fn scram(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let binding = match choice % 3 {
        0 => Binding::Impossible,
        1 => Binding::Offered,
        _ => Binding::Chosen(b"certificate"),
    };
    let secret = Secret::mock("ann", &[1; 32]);
    let mut server = Server::new(&secret, false, binding, "server".into());
    let mut prover = Prover::new("client".into(), (*choice > 127).then_some(b"x"), true);
    for (number, message) in rest.split(|b| *b == 0xff).take(4).enumerate() {
        match server.step(message) {
            Ok(Step::Continue(answer)) => {
                assert_eq!(number, 0, "a second challenge");
                assert!(answer.starts_with(b"r="), "a challenge without nonce");
            }
            Ok(Step::Proven(..)) => panic!("a secret that no password fits was proven"),
            Ok(Step::Wrong) => assert!(number > 0, "judged before it was asked"),
            Err(refusal) => {
                // What a client sends does not get into logs by way of errors.
                let text = format!("{}{}", refusal.message, refusal.detail);
                assert!(text.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{text}");
            }
        }
        if let Ok(challenge) = prover.challenge(message) {
            assert!((1..=1_000_000).contains(&challenge.iterations));
        }
        assert!(prover.finish(message).is_err(), "proven before we proved");
    }
}

/// What is kept of a password, as a file or the upstream gives it.
pub fn verifier(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Verifier::parse(text) {
        Ok(Verifier::Plain(password)) => assert_eq!(&*password, text),
        Ok(Verifier::Scram(secret)) => assert!(secret.iterations > 0),
        Ok(Verifier::Md5(_)) => assert_eq!(text.len(), 35),
        Err(error) => assert!(!error.is_empty()),
    }
}

/// All that an upstream says during a login.
pub fn login(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let credentials = Credentials::password("s3cret");
    let parameters = [("user".into(), "ann".into())];
    let how = Login {
        parameters: &parameters,
        credentials: &credentials,
        channel_binding: None,
        must_bind: false,
        private: data.first().is_some_and(|b| b % 2 == 0),
    };
    let end = tokio::io::join(data, tokio::io::sink());
    match runtime.block_on(log_in(end, &how)) {
        Ok(done) => assert!(done.secret.is_empty() || (4..=256).contains(&done.secret.len())),
        Err(LoginError::Refused(bytes)) => assert_eq!(bytes[0], b'E'),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A command of the console: what is read once is read again with other space and comments around it, and a refusal says
/// a SQLSTATE and what to do.
pub fn console(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read = command::read(text);
    match &read {
        Ok(_) => {
            let around = format!("/* x */ -- y\n {text}\n;");
            assert_eq!(command::read(&around), read, "{text:?}");
        }
        Err(refused) => {
            assert_eq!(refused.sqlstate.len(), 5);
            assert!(!refused.text.is_empty());
        }
    }
}
