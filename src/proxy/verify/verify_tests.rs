use super::*;
use crate::config::{Auth, Secret as Password, User};
use crate::wire::frame::Frame;
use crate::wire::scram::Keys;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, DuplexStream};

fn user(name: &str, password: Option<&str>) -> User {
    User {
        name: name.into(),
        password: password.map(|p| Password::new(p.into())),
        password_file: None,
        certificate: false,
        upstream_password: None,
        upstream_password_file: None,
    }
}

fn users(relay: bool) -> Users {
    let auth = Auth {
        relay,
        ..Auth::default()
    };
    let scram = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let shown = User {
        certificate: true,
        upstream_password: Some(Password::new("other".into())),
        ..user("shown", None)
    };
    let list = [
        user("ann", Some("s3cret")),
        user("eve", Some(scram)),
        user("a", Some("md507159c47ee1b19ae4fb9c40d480856c4")),
        shown,
        User {
            certificate: true,
            ..user("twice", Some("s3cret"))
        },
    ];
    Users::new(&auth, &list, ("app", None)).unwrap().0
}

/// The client's end.
struct Far {
    stream: DuplexStream,
    pending: Vec<u8>,
    /// What was heard, type by type and the code of each request.
    heard: Vec<String>,
}

impl Far {
    async fn hears(&mut self) -> Option<(u8, Vec<u8>)> {
        match hear(&mut self.stream, &mut self.pending, b"", 1 << 16).await {
            Ok(Heard::Message(tag, body)) => {
                let code = if tag == b'R' { body[3] } else { 0 };
                self.heard.push(format!("{}{code}", char::from(tag)));
                Some((tag, body))
            }
            _ => None,
        }
    }

    async fn says(&mut self, body: &[u8]) {
        let mut out = Vec::new();
        frame::put(&mut out, b'p', body);
        let _ = self.stream.write_all(&out).await;
    }

    async fn initial(&mut self, mechanism: &str, data: &[u8]) {
        let len = (data.len() as u32).to_be_bytes();
        self.says(&[mechanism.as_bytes(), b"\0", &len, data].concat())
            .await;
    }

    /// The whole exchange with another implementation's client.
    async fn scram(&mut self, mechanism: &str, binding: ChannelBinding, password: &str) {
        let mut scram = ScramSha256::new(password.as_bytes(), binding);
        self.hears().await;
        self.initial(mechanism, scram.message()).await;
        let Some((b'R', body)) = self.hears().await else {
            return;
        };
        scram.update(&body[4..]).unwrap();
        self.says(scram.message()).await;
        if let Some((b'R', body)) = self.hears().await {
            scram.finish(&body[4..]).unwrap();
        }
    }
}

/// Verifies a client that does as the script says; what became of it, and all that it heard afterwards.
async fn with<F: Future<Output = Far> + Send + 'static>(
    name: &str,
    users: &Users,
    end_point: Option<&[u8]>,
    certificate: Option<&str>,
    script: impl FnOnce(Far) -> F,
) -> (Verified, Vec<String>, Vec<u8>) {
    let (mut near, far) = tokio::io::duplex(1 << 17);
    let far = tokio::spawn(script(Far {
        stream: far,
        pending: Vec::new(),
        heard: Vec::new(),
    }));
    let mut pending = Vec::new();
    let verified = verify(&mut near, &mut pending, name, users, end_point, certificate);
    let verified = verified.await.unwrap();
    drop(near);
    let mut far = far.await.unwrap();
    let mut rest = far.pending;
    far.stream.read_to_end(&mut rest).await.unwrap();
    (verified, far.heard, rest)
}

fn fields(error: &[u8]) -> Vec<String> {
    let Frame::Whole { tag: b'E', body } = frame::peek(error) else {
        panic!("{}", error.escape_ascii())
    };
    body.split(|b| *b == 0)
        .filter(|f| !f.is_empty())
        .map(|f| String::from_utf8(f.to_vec()).unwrap())
        .collect()
}

fn wrong(name: &str) -> Vec<String> {
    let message = format!("Mpassword authentication failed for user \"{name}\"");
    vec!["SFATAL".into(), "VFATAL".into(), "C28P01".into(), message]
}

const SCRAM: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";

#[tokio::test]
async fn the_right_password_gives_what_logs_in_upstream() {
    let users = users(true);
    for (name, password, expected) in [
        ("ann", "s3cret", Credentials::password("s3cret")),
        ("eve", "pencil", {
            let salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
            let salt = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, salt);
            Credentials::Scram(Keys::derive(b"pencil", &salt.unwrap(), 4096))
        }),
    ] {
        for (end_point, mechanism) in [
            (None, SCRAM),
            (Some(&b"cert"[..]), SCRAM),
            (Some(b"cert"), PLUS),
        ] {
            let (verified, heard, rest) =
                with(name, &users, end_point, None, move |mut far| async move {
                    let binding = match mechanism {
                        PLUS => ChannelBinding::tls_server_end_point(b"cert".to_vec()),
                        _ => ChannelBinding::unsupported(),
                    };
                    far.scram(mechanism, binding, password).await;
                    far
                })
                .await;
            let Verified::Ours(credentials) = verified else {
                panic!("{verified:?}")
            };
            assert_eq!(*credentials, expected);
            assert_eq!(heard, ["R10", "R11", "R12"]);
            assert_eq!(rest, b"", "AuthenticationOk is the caller's");
        }
    }
}

#[tokio::test]
async fn an_old_hash_is_verified_by_md5() {
    let users = users(true);
    let md5 = |password: &'static str| {
        move |mut far: Far| async move {
            let (_, body) = far.hears().await.unwrap();
            let salt = body[4..8].try_into().unwrap();
            let response =
                postgres_protocol::authentication::md5_hash(b"a", password.as_bytes(), salt);
            far.says(format!("{response}\0").as_bytes()).await;
            far
        }
    };
    let (verified, heard, _) = with("a", &users, None, None, md5("b")).await;
    let Verified::Ours(credentials) = verified else {
        panic!("{verified:?}")
    };
    assert_eq!(*credentials, Credentials::Md5(Md5Hash::derive("a", b"b")));
    assert_eq!(heard, ["R5"]);
    let (verified, _, rest) = with("a", &users, None, None, md5("c")).await;
    assert!(matches!(verified, Verified::Refused));
    assert_eq!(fields(&rest), wrong("a"));
    for (body, code, message) in [
        (&b"\0"[..], "C28P01", "Mempty password returned by client"),
        (b"abc", "C08P01", "Minvalid password packet size"),
        (b"a\0bc\0", "C08P01", "Minvalid password packet size"),
    ] {
        let (_, _, rest) = with("a", &users, None, None, move |mut far| async move {
            far.hears().await;
            far.says(body).await;
            far
        })
        .await;
        assert_eq!(fields(&rest)[2..], [code, message]);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_alike() {
    let users = users(false);
    let mut salts = Vec::new();
    for name in ["ann", "eve", "nobody", "nobody"] {
        let (salt, salted) = tokio::sync::oneshot::channel();
        let (verified, heard, rest) = with(name, &users, None, None, |mut far| async {
            let mut scram = ScramSha256::new(b"wrong", ChannelBinding::unsupported());
            let (_, offer) = far.hears().await.unwrap();
            assert_eq!(&offer[4..], b"SCRAM-SHA-256\0\0");
            far.initial(SCRAM, scram.message()).await;
            let (_, body) = far.hears().await.unwrap();
            let first = String::from_utf8(body[4..].to_vec()).unwrap();
            let attributes: Vec<_> = first.split(',').map(str::to_owned).collect();
            assert_eq!(attributes[2], "i=4096");
            salt.send(attributes[1].clone()).unwrap();
            scram.update(&body[4..]).unwrap();
            far.says(scram.message()).await;
            far
        })
        .await;
        assert!(matches!(verified, Verified::Refused));
        assert_eq!(
            (heard.join(" "), fields(&rest)),
            ("R10 R11".into(), wrong(name))
        );
        salts.push(salted.await.unwrap());
    }
    assert_eq!(salts[2], salts[3], "asked twice, the same salt");
    assert!(salts.iter().all(|s| s.len() == salts[0].len()));
}

#[tokio::test]
async fn whom_larder_does_not_know_it_does_not_judge() {
    let (verified, heard, rest) =
        with("nobody", &users(true), None, None, |far| async { far }).await;
    assert!(matches!(verified, Verified::Relay));
    assert!(heard.is_empty() && rest.is_empty());
}

#[tokio::test]
async fn a_certificate_must_name_the_user() {
    let users = users(true);
    let silent = |far| async { far };
    let (verified, _, rest) = with("shown", &users, None, Some("shown"), silent).await;
    let Verified::Ours(credentials) = verified else {
        panic!("{verified:?}")
    };
    assert_eq!(*credentials, Credentials::password("other"));
    assert_eq!(rest, b"");
    for name in ["shown", "twice"] {
        for (certificate, expected) in [
            (
                None,
                "Mconnection requires a valid client certificate".to_owned(),
            ),
            (
                Some("ann"),
                format!("Mcertificate authentication failed for user \"{name}\""),
            ),
        ] {
            let (verified, _, rest) = with(name, &users, None, certificate, silent).await;
            assert!(matches!(verified, Verified::Refused));
            assert_eq!(fields(&rest)[2..], ["C28000".to_owned(), expected]);
        }
    }
    // The certificate alone is not enough where there is a password, too.
    let right = |password: &'static str| {
        move |mut far: Far| async move {
            let binding = ChannelBinding::unsupported();
            far.scram(SCRAM, binding, password).await;
            far
        }
    };
    let (verified, ..) = with("twice", &users, None, Some("twice"), right("s3cret")).await;
    assert!(matches!(verified, Verified::Ours(_)));
    let (verified, ..) = with("twice", &users, None, Some("twice"), right("other")).await;
    assert!(matches!(verified, Verified::Refused));
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    let users = users(true);
    let long = [&b"SCRAM-SHA-256\0\0\0\x04\0"[..], &[b'a'; 1024]].concat();
    let mut long_frame = Vec::new();
    frame::put(&mut long_frame, b'p', &long);
    for (bytes, expected) in [
        (
            &b"X\0\0\0\x04"[..],
            "C08P01 Mexpected SASL response, got message type 88",
        ),
        (
            b"p\0\0\0\x03",
            "C28P01 Mpassword authentication failed for user \"ann\"",
        ),
        (
            b"p\x7f\xff\xff\xff",
            "C28P01 Mpassword authentication failed for user \"ann\"",
        ),
        (
            &long_frame,
            "C28P01 Mpassword authentication failed for user \"ann\"",
        ),
        (b"p\0\0\0\x05a", "C08P01 Minvalid string in message"),
        (
            b"p\0\0\0\x0aPLAIN\0",
            "C08P01 Mclient selected an invalid SASL authentication mechanism",
        ),
        (
            b"p\0\0\0\x12SCRAM-SHA-256\0",
            "C08P01 Minsufficient data left in message",
        ),
        (
            b"p\0\0\0\x17SCRAM-SHA-256\0\0\0\0\x09n",
            "C08P01 Minsufficient data left in message",
        ),
        (
            b"p\0\0\0\x18SCRAM-SHA-256\0\0\0\0\x01nn",
            "C08P01 Minvalid message format",
        ),
        (
            b"p\0\0\0\x16SCRAM-SHA-256\0\0\0\0\0",
            "C08P01 Mmalformed SCRAM message DThe message is empty.",
        ),
    ] {
        let bytes = bytes.to_vec();
        let (verified, _, rest) = with("ann", &users, None, None, move |mut far| async move {
            far.hears().await;
            far.stream.write_all(&bytes).await.unwrap();
            far
        })
        .await;
        assert!(matches!(verified, Verified::Refused));
        assert_eq!(fields(&rest)[2..].join(" "), expected);
    }
}

#[tokio::test]
async fn a_client_that_leaves_hears_nothing() {
    let users = users(true);
    let (verified, _, _) = with("ann", &users, None, None, |mut far| async {
        far.hears().await;
        far.stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        far.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
        far
    })
    .await;
    assert!(matches!(verified, Verified::Refused));
}

#[tokio::test]
async fn what_was_received_too_far_is_kept_and_used() {
    let users = users(true);
    let (mut near, mut far) = tokio::io::duplex(1 << 16);
    let mut pending = b"p\0\0\0\x2cSCRAM-SHA-256\0\0\0\0\x16n,,n=,r=abcdefghijklmn".to_vec();
    let verifying = tokio::spawn(async move {
        let verified = verify(&mut near, &mut pending, "ann", &users, None, None).await;
        (verified.unwrap(), pending)
    });
    let mut heard = vec![0; 24 + 9];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard[24], b'R', "{}", heard.escape_ascii());
    drop(far);
    let (verified, pending) = verifying.await.unwrap();
    assert!(matches!(verified, Verified::Refused));
    assert!(pending.is_empty());
}

proptest! {
    #[test]
    fn no_bytes_let_anybody_in(
        name in prop_oneof![Just("ann"), Just("a"), Just("nobody"), Just("shown")],
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        bodies in proptest::collection::vec("(SCRAM-SHA-256\\x00\\x00\\x00\\x00\\x0c)?n,,n=,r=[a-z,=\\x00]{0,6}", 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            static USERS: std::sync::LazyLock<Users> = std::sync::LazyLock::new(|| users(false));
            for raw in [true, false] {
                let (bytes, bodies) = (bytes.clone(), bodies.clone());
                let (verified, ..) = with(name, &USERS, None, None, |mut far| async move {
                    if raw {
                        let _ = far.stream.write_all(&bytes).await;
                    } else {
                        for body in bodies {
                            far.says(body.as_bytes()).await;
                        }
                    }
                    let _ = far.stream.shutdown().await;
                    far
                })
                .await;
                assert!(matches!(verified, Verified::Refused));
            }
        });
    }
}
