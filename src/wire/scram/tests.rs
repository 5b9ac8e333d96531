use super::*;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;

const SALT_TEXT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

fn secret(password: &str) -> Secret {
    Secret::derive(
        password.as_bytes(),
        &STANDARD.decode(SALT_TEXT).unwrap(),
        4096,
    )
}

fn said(step: Result<Step, Refusal>) -> Vec<u8> {
    match step {
        Ok(Step::Continue(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

/// RFC 7677, section 3.
#[test]
fn the_rfcs_own_exchange() {
    let secret = secret("pencil");
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
    let mut server = Server::new(&secret, false, Binding::Impossible, nonce);
    let first = said(server.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
    let expected =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(String::from_utf8(first).unwrap(), expected);
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let Ok(Step::Proven(answer, keys)) = server.step(last.as_bytes()) else {
        panic!()
    };
    assert_eq!(answer, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    // The keys come from the proof alone, and are the password's.
    assert_eq!(keys, Keys::derive(b"pencil", &secret.salt, 4096));
}

/// Lets the two roles talk; what the client found at the end, and the keys the server found.
fn talk(mut prover: Prover, mut server: Server<'_>, password: &[u8]) -> Option<Keys> {
    let challenge = prover
        .challenge(&said(server.step(&prover.first())))
        .unwrap();
    let keys = Keys::derive(password, &challenge.salt, challenge.iterations);
    match server.step(&prover.proof(&keys)).unwrap() {
        Step::Proven(last, keys) => {
            prover.finish(&last).unwrap();
            Some(keys)
        }
        Step::Wrong => None,
        Step::Continue(_) => panic!("a third round"),
    }
}

#[test]
fn both_roles_agree_with_and_without_channel_binding() {
    let secret = secret("pencil");
    let prover = |binding, offered| Prover::new("abc".into(), binding, offered);
    for (prover, binding) in [
        (prover(None, false), Binding::Impossible),
        (prover(Some(&b"cert"[..]), false), Binding::Impossible),
        (prover(None, true), Binding::Offered),
        (prover(Some(&b"cert"[..]), true), Binding::Chosen(b"cert")),
    ] {
        let mechanism = prover.mechanism().as_bytes();
        let end_point = (binding != Binding::Impossible).then_some(&b"cert"[..]);
        assert_eq!(Binding::choice(mechanism, end_point), Ok(binding));
        let server = Server::new(&secret, false, binding, "xyz".into());
        assert_eq!(
            talk(prover, server, b"pencil"),
            Some(Keys::derive(b"pencil", &secret.salt, 4096))
        );
    }
    let server = Server::new(&secret, false, Binding::Impossible, "xyz".into());
    assert_eq!(talk(prover(None, false), server, b"pencils"), None);
}

#[test]
fn a_captured_pair_of_keys_logs_in_where_the_same_secret_is_kept() {
    let secret = secret("pencil");
    let server = |nonce: &str| Server::new(&secret, false, Binding::Impossible, nonce.into());
    let captured = talk(Prover::new("a".into(), None, false), server("b"), b"pencil").unwrap();
    let (mut prover, mut server) = (Prover::new("c".into(), None, false), server("d"));
    prover
        .challenge(&said(server.step(&prover.first())))
        .unwrap();
    let Ok(Step::Proven(last, again)) = server.step(&prover.proof(&captured)) else {
        panic!()
    };
    assert_eq!(again, captured);
    assert_eq!(prover.finish(&last), Ok(()));
}

#[test]
fn another_implementation_of_the_client_is_let_in_and_lets_us_be_its_server() {
    let secret = secret("pe\u{ad}ncil"); // SASLprep drops the soft hyphen
    for (binding, channel) in [
        (Binding::Impossible, ChannelBinding::unsupported()),
        (Binding::Impossible, ChannelBinding::unrequested()),
        (
            Binding::Chosen(b"cert"),
            ChannelBinding::tls_server_end_point(b"cert".to_vec()),
        ),
    ] {
        let mut client = ScramSha256::new(b"pencil", channel);
        let mut server = Server::new(&secret, false, binding, nonce(&[7; NONCE]));
        client.update(&said(server.step(client.message()))).unwrap();
        let Ok(Step::Proven(last, _)) = server.step(client.message()) else {
            panic!()
        };
        client.finish(&last).unwrap();
    }
}

#[test]
fn a_doomed_exchange_looks_like_any_other_until_its_end() {
    let process = [9; 32];
    let mock = Secret::mock("ann", &process);
    assert_eq!(mock, Secret::mock("ann", &process));
    assert_ne!(mock.salt, Secret::mock("bob", &process).salt);
    assert_ne!(mock.salt, Secret::mock("ann", &[8; 32]).salt);
    assert_eq!((mock.salt.len(), mock.iterations), (SALT, ITERATIONS));
    let server = Server::new(&mock, true, Binding::Impossible, "xyz".into());
    assert_eq!(
        talk(Prover::new("abc".into(), None, false), server, b"any"),
        None
    );
    // Not even who knows the right password of a doomed user comes in.
    let secret = secret("pencil");
    let server = Server::new(&secret, true, Binding::Impossible, "xyz".into());
    assert_eq!(
        talk(Prover::new("abc".into(), None, false), server, b"pencil"),
        None
    );
}

#[test]
fn a_downgrade_of_the_channel_is_refused() {
    let secret = secret("pencil");
    let mut server = Server::new(&secret, false, Binding::Offered, "xyz".into());
    let refusal = server.step(b"y,,n=,r=abc").unwrap_err();
    assert_eq!(
        (refusal.sqlstate, &*refusal.message),
        ("28000", "SCRAM channel binding negotiation error")
    );
    // Another certificate between: the proof is bound to the wrong one.
    let mut server = Server::new(&secret, false, Binding::Chosen(b"ours"), "xyz".into());
    let mut prover = Prover::new("abc".into(), Some(b"theirs"), true);
    prover
        .challenge(&said(server.step(&prover.first())))
        .unwrap();
    let keys = Keys::derive(b"pencil", &secret.salt, 4096);
    let refusal = server.step(&prover.proof(&keys)).unwrap_err();
    assert_eq!(
        (refusal.sqlstate, &*refusal.message),
        ("28000", "SCRAM channel binding check failed")
    );
}

#[test]
fn what_was_refused_is_over() {
    let secret = secret("pencil");
    for refused in [&b""[..], b"n,,n=user\0,r=nonce", b"x"] {
        let mut server = Server::new(&secret, false, Binding::Impossible, "server".into());
        assert!(server.step(refused).is_err());
        let again = server.step(b"n,,n=user,r=nonce").err();
        assert_eq!(again.map(|r| r.sqlstate), Some("08P01"), "{refused:?}");
    }
}

#[test]
fn a_server_that_does_not_know_the_secret_is_refused() {
    let keys = Keys::derive(b"pencil", b"salt", 1);
    let prover = || {
        let mut prover = Prover::new("abc".into(), None, false);
        let challenge = prover.challenge(b"r=abcdef,s=c2FsdA==,i=1").unwrap();
        assert_eq!((&*challenge.salt, challenge.iterations), (&b"salt"[..], 1));
        prover.proof(&keys);
        prover
    };
    for (last, expected) in [
        (&b"v=AAAA"[..], Broken::Impostor),
        (
            b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            Broken::Impostor,
        ),
        (b"v=", Broken::Impostor),
        (b"e=other-error", Broken::Refused("other-error".into())),
        (b"", Broken::Malformed("no signature")),
    ] {
        assert_eq!(prover().finish(last), Err(expected));
    }
    // Before there was a proof there is nothing to sign.
    let early = Prover::new("abc".into(), None, false);
    assert!(early.finish(b"v=AAAA").is_err());
}

#[test]
fn a_lying_server_costs_little() {
    for first in [
        &b""[..],
        b"r=abc,s=c2FsdA==,i=1",     // nothing added to our nonce
        b"r=xyz,s=c2FsdA==,i=1",     // not ours
        b"r=abc\x01,s=c2FsdA==,i=1", // not printable
        b"r=abcd,s=!,i=1",
        b"r=abcd,s=c2FsdA==,i=0",
        b"r=abcd,s=c2FsdA==,i=1000001",
        b"r=abcd,s=c2FsdA==,i=99999999999999999999",
        b"m=x,r=abcd,s=c2FsdA==,i=1",
        b"r=abcd,s=c2FsdA==,i=1\xff",
    ] {
        let mut prover = Prover::new("abc".into(), None, false);
        assert!(prover.challenge(first).is_err(), "{}", first.escape_ascii());
    }
}

#[test]
fn passwords_are_prepared_as_postgresql_prepares_them() {
    for (password, expected) in [
        (&b"plain"[..], &b"plain"[..]),
        ("\u{2168}".as_bytes(), b"IX"),
        ("a\u{a0}b".as_bytes(), b"a b"),
        ("\u{ad}".as_bytes(), "\u{ad}".as_bytes()), // nothing would be left
        (b"\xff", b"\xff"),                         // not UTF-8
        (b"a\x07", b"a\x07"),                       // prohibited
        ("\u{627}1".as_bytes(), "\u{627}1".as_bytes()), // mixed directions
    ] {
        assert_eq!(prepared(password), expected, "{}", password.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_judged(
        first in "(n|y|p=tls-server-end-point|p=x|)[,a]{0,3}(n=,r=[a-z]{1,3})?[,=a-z\\x00]{0,6}",
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        plus in any::<bool>(),
    ) {
        let secret = Secret::mock("ann", &[1; 32]);
        let binding = if plus { Binding::Chosen(b"cert") } else { Binding::Impossible };
        for message in [first.as_bytes(), &bytes] {
            let mut server = Server::new(&secret, false, binding, "xyz".into());
            if let Ok(Step::Continue(_)) = server.step(message) {
                let _ = server.step(&bytes);
            }
            let mut prover = Prover::new("n".into(), None, plus);
            let _ = (prover.challenge(message), prover.finish(message));
        }
        let _ = Secret::parse(&first);
    }

    #[test]
    fn no_proof_but_the_right_one_is_let_in(proof in any::<[u8; 32]>(), doomed in any::<bool>()) {
        let secret = Secret::mock("ann", &[1; 32]);
        let mut server = Server::new(&secret, doomed, Binding::Impossible, "xyz".into());
        server.step(b"n,,n=,r=abc").unwrap();
        let last = format!("c=biws,r=abcxyz,p={}", STANDARD.encode(proof));
        prop_assert_eq!(server.step(last.as_bytes()), Ok(Step::Wrong));
    }
}
