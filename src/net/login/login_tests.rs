use super::*;
use crate::wire::scram::{Binding, Secret, Server, Step};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The server's end: what it says, and what it hears.
struct Far {
    stream: DuplexStream,
    pending: Vec<u8>,
}

impl Far {
    async fn ask(&mut self, code: u32, data: &[u8]) {
        let mut out = Vec::new();
        frame::put(&mut out, b'R', &[&code.to_be_bytes(), data].concat());
        // Who has refused us is gone.
        let _ = self.stream.write_all(&out).await;
    }

    async fn startup(&mut self) -> Vec<u8> {
        let len = self.stream.read_u32().await.unwrap() as usize;
        let mut packet = vec![0; len - 4];
        self.stream.read_exact(&mut packet).await.unwrap();
        packet
    }

    async fn answer(&mut self) -> Vec<u8> {
        match hear(&mut self.stream, &mut self.pending, b"p", 1 << 16).await {
            Ok(Heard::Message(_, body)) => body,
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, tag: u8, body: &[u8]) {
        let mut out = Vec::new();
        frame::put(&mut out, tag, body);
        // Who has refused us is gone.
        let _ = self.stream.write_all(&out).await;
    }

    async fn greet(&mut self) {
        self.ask(0, b"").await;
        self.say(b'S', b"TimeZone\0UTC\0").await;
        self.say(b'N', b"SNOTICE\0\0").await;
        self.say(b'S', b"server_version\x0015.1\0").await;
        self.say(b'K', &[0, 0, 0, 7, 1, 2, 3, 4, 5]).await;
        self.say(b'Z', b"I").await;
        self.say(b'N', b"SNOTICE\0\0").await;
    }
}

fn parameters() -> Vec<(Box<str>, Box<str>)> {
    vec![
        ("user".into(), "ann".into()),
        ("database".into(), "shop".into()),
    ]
}

/// Logs in to a server that does as the script says.
async fn against<F: Future<Output = Far> + Send + 'static>(
    credentials: &Credentials,
    binding: Option<&[u8]>,
    private: bool,
    script: impl FnOnce(Far) -> F,
) -> Result<LoggedIn<DuplexStream>, LoginError> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let far = tokio::spawn(script(Far {
        stream: far,
        pending: Vec::new(),
    }));
    let result = login(
        near,
        &Login {
            parameters: &parameters(),
            credentials,
            channel_binding: binding,
            must_bind: false,
            private,
        },
    )
    .await;
    // What the script asserts counts.
    far.await.unwrap();
    result
}

fn unable(result: Result<LoggedIn<DuplexStream>, LoginError>) -> String {
    match result {
        Err(LoginError::Unable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_asks_nothing_is_greeted() {
    let done = against(&Credentials::None, None, false, |mut far| async {
        assert_eq!(
            far.startup().await,
            b"\0\x03\0\0user\0ann\0database\0shop\0\0"
        );
        far.greet().await;
        far
    })
    .await
    .unwrap();
    let statuses: Vec<_> = done.statuses.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(statuses, [("TimeZone", "UTC"), ("server_version", "15.1")]);
    assert_eq!((done.pid, &*done.secret), (7, &[1, 2, 3, 4, 5][..]));
}

#[tokio::test]
async fn a_password_goes_in_clear_text_only_where_nobody_listens() {
    let password = Credentials::password("s3cret");
    let done = against(&password, None, true, |mut far| async {
        far.startup().await;
        far.ask(3, b"").await;
        assert_eq!(far.answer().await, b"s3cret\0");
        far.greet().await;
        far
    });
    done.await.unwrap();
    for (credentials, private, expected) in [
        (password, false, "sslmode=require"),
        (
            Credentials::Md5(Md5Hash::derive("ann", b"s3cret")),
            true,
            "only the md5 hash",
        ),
        (
            Credentials::Scram(Keys::derive(b"s3cret", b"x", 1)),
            true,
            "only the SCRAM keys",
        ),
        (Credentials::None, true, "no password"),
    ] {
        let text = unable(
            against(&credentials, None, private, |mut far| async {
                far.startup().await;
                far.ask(3, b"").await;
                let mut rest = Vec::new();
                far.stream.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, b"", "nothing leaves");
                far
            })
            .await,
        );
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn md5_is_answered_with_the_password_or_its_hash() {
    for credentials in [
        Credentials::password("s3cret"),
        Credentials::Md5(Md5Hash::derive("ann", b"s3cret")),
    ] {
        let done = against(&credentials, None, false, |mut far| async {
            far.startup().await;
            far.ask(5, &[1, 2, 3, 4]).await;
            let theirs =
                postgres_protocol::authentication::md5_hash(b"ann", b"s3cret", [1, 2, 3, 4]);
            assert_eq!(far.answer().await, format!("{theirs}\0").as_bytes());
            far.greet().await;
            far
        });
        done.await.unwrap();
    }
}

/// A SCRAM server that offers `offer` and keeps `secret`.
async fn scram_server(mut far: Far, offer: &[u8], secret: Secret, end: Option<Vec<u8>>) -> Far {
    far.startup().await;
    far.ask(10, offer).await;
    let initial = far.answer().await;
    let (mechanism, rest) = message::cstr(&initial).unwrap();
    let binding = match mechanism {
        b"SCRAM-SHA-256-PLUS" => Binding::Chosen(b"cert"),
        _ => Binding::Impossible,
    };
    let mut server = Server::new(&secret, false, binding, "abc".into());
    let Ok(Step::Continue(first)) = server.step(&rest[4..]) else {
        panic!()
    };
    far.ask(11, &first).await;
    match (server.step(&far.answer().await).unwrap(), end) {
        (_, Some(end)) => far.ask(12, &end).await,
        (Step::Proven(last, _), None) => far.ask(12, &last).await,
        (Step::Wrong, None) => far.say(b'E', b"SFATAL\0C28P01\0Mno\0\0").await,
        (Step::Continue(_), None) => panic!(),
    }
    far.greet().await;
    far
}

const BOTH: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
const ONE: &[u8] = b"SCRAM-SHA-256\0\0";

fn secret() -> Secret {
    Secret::derive(b"s3cret", b"salt", 4096)
}

#[tokio::test]
async fn scram_is_spoken_with_the_password_or_the_keys_and_bound_to_the_channel() {
    for credentials in [
        Credentials::password("s3cret"),
        Credentials::Scram(Keys::derive(b"s3cret", b"salt", 4096)),
    ] {
        for (binding, offer) in [
            (None, ONE),
            (None, BOTH),
            (Some(&b"cert"[..]), ONE),
            (Some(&b"cert"[..]), BOTH),
        ] {
            let run = |far| scram_server(far, offer, secret(), None);
            against(&credentials, binding, false, run).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_login_that_must_be_bound_is_bound_or_does_not_happen() {
    for (code, data, binding) in [
        (0, &b""[..], Some(&b"cert"[..])),
        (3, b"", Some(b"cert")),
        (5, b"salt", Some(b"cert")),
        (10, ONE, Some(b"cert")),
        (10, BOTH, None),
    ] {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut far = Far {
            stream: far,
            pending: Vec::new(),
        };
        let how = Login {
            parameters: &parameters(),
            credentials: &Credentials::password("s3cret"),
            channel_binding: binding,
            must_bind: true,
            private: true,
        };
        far.ask(code, data).await;
        let text = unable(login(near, &how).await);
        assert!(text.starts_with("channel_binding=require"), "{text}");
        far.startup().await;
        let mut rest = Vec::new();
        far.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"", "nothing leaves");
    }
}

#[tokio::test]
async fn the_keys_of_a_password_are_derived_once() {
    let credentials = Credentials::password("s3cret");
    for _ in 0..2 {
        let run = |far| scram_server(far, ONE, secret(), None);
        against(&credentials, None, false, run).await.unwrap();
    }
    // Another salt is another question.
    let other = Secret::derive(b"s3cret", b"other", 1);
    let run = |far| scram_server(far, ONE, other, None);
    against(&credentials, None, false, run).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_kept_byte_for_byte() {
    let credentials = Credentials::password("wrong");
    let run = |far| scram_server(far, ONE, secret(), None);
    match against(&credentials, None, false, run).await {
        Err(LoginError::Refused(bytes)) => {
            assert_eq!(&*bytes, b"E\0\0\0\x17SFATAL\0C28P01\0Mno\0\0");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_not_believed() {
    let credentials = Credentials::password("s3cret");
    let run = |far| scram_server(far, ONE, secret(), Some(b"v=AAAA".to_vec()));
    let text = unable(against(&credentials, None, false, run).await);
    assert!(text.contains("is not the server it should be"), "{text}");
    // Or does not even try to.
    for first in [true, false] {
        let text = unable(
            against(&credentials, None, false, move |mut far| async move {
                far.startup().await;
                far.ask(10, ONE).await;
                let initial = far.answer().await;
                if !first {
                    let mut server =
                        Server::new(&secret(), true, Binding::Impossible, "abc".into())
                            .step(&initial[18..])
                            .into_iter();
                    let Some(Step::Continue(challenge)) = server.next() else {
                        panic!()
                    };
                    far.ask(11, &challenge).await;
                    far.answer().await;
                }
                far.greet().await;
                far
            })
            .await,
        );
        assert!(text.contains("is not the server it should be"), "{text}");
    }
}

#[tokio::test]
async fn what_larder_does_not_speak_is_named() {
    for (code, data, expected) in [
        (7, &b""[..], "GSSAPI"),
        (9, b"", "SSPI"),
        (2, b"", "Kerberos"),
        (10, b"OAUTHBEARER\0\0", "OAUTHBEARER"),
    ] {
        let credentials = Credentials::password("s3cret");
        let text = unable(
            against(&credentials, None, true, move |mut far| async move {
                far.startup().await;
                far.ask(code, data).await;
                far
            })
            .await,
        );
        assert!(
            text.contains(expected) && text.contains("pg_hba.conf"),
            "{text}"
        );
    }
    let md5 = Credentials::Md5(Md5Hash::derive("ann", b"s3cret"));
    let text = unable(
        against(&md5, None, true, |mut far| async {
            far.startup().await;
            far.ask(10, ONE).await;
            far
        })
        .await,
    );
    assert!(text.contains("only the md5 hash"), "{text}");
}

#[test]
fn nothing_is_shown() {
    for credentials in [
        Credentials::password("s3cret"),
        Credentials::Scram(Keys::derive(b"s3cret", b"x", 1)),
        Credentials::Md5(Md5Hash::derive("ann", b"s3cret")),
    ] {
        let shown = format!("{credentials:?}");
        assert!(
            shown.contains("***") && !shown.contains("s3cret"),
            "{shown}"
        );
        assert!(shown.len() < 30, "{shown}");
    }
}

proptest! {
    #[test]
    fn whatever_a_server_says_is_an_end(
        messages in proptest::collection::vec(
            ((0usize..8), (0u32..14), proptest::collection::vec(any::<u8>(), 0..12)),
            0..6,
        ),
        private in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut out = Vec::new();
            for (tag, code, body) in messages {
                let tag = [b'R', b'R', b'R', b'S', b'K', b'Z', b'N', b'x'][tag];
                let code = code.to_be_bytes();
                let head = if tag == b'R' { &code[..] } else { b"" };
                frame::put(&mut out, tag, &[head, &body].concat());
            }
            let credentials = Credentials::password("s3cret");
            let _ = against(&credentials, None, private, |mut far| async move {
                far.stream.write_all(&out).await.unwrap();
                far.stream.shutdown().await.unwrap();
                // What the client says is not read: the pipe is wide enough.
                far
            })
            .await;
        });
    }
}
