//! Larder's own exchanges against PostgreSQL's: who is let in, in what words who is not.
//!
//! The parts are driven here without a Larder around them: `verify` behind a socket of the test's own, `login` into a
//! server whose pg_hba.conf asks in every way.

use crate::postgres::{Options, Postgres, binaries};
use crate::tls::{PASSWORD, world};
use crate::tunnel::{Directory, said};
use crate::wireclient::{Answered, Batch, Client, Frame, Login as Past, PATIENCE, Transcript};
use larder::config::{Address, Auth, Config, Flags, Secret, User};
use larder::metrics::Metrics;
use larder::net::login::{Credentials, LoggedIn, Login, LoginError, login};
use larder::net::users::{Question, Users};
use larder::net::{Start, Stream, Tls};
use larder::proxy::verify::{Verified, verify};
use larder::watch::authquery::AuthQuery;
use larder::watch::control::Control;
use larder::wire::scram::Secret as ScramSecret;
use larder::wire::verifier::{Md5Hash, Verifier};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;

/// Roles as PostgreSQL keeps them.
const ROLES: &str = "
    SET password_encryption = 'scram-sha-256';
    CREATE ROLE ann LOGIN PASSWORD 's3cret';
    CREATE ROLE expired LOGIN PASSWORD 's3cret' VALID UNTIL '2001-01-01';
    CREATE ROLE nologin NOLOGIN PASSWORD 's3cret';
    CREATE ROLE odd LOGIN PASSWORD U&'p\\00ad\\2168\\00a0\\00e9';
    CREATE ROLE prohibited LOGIN PASSWORD U&'a\\0627';
    CREATE ROLE nothing LOGIN PASSWORD U&'\\00ad';
    CREATE ROLE passwordless LOGIN;
    SET password_encryption = 'md5';
    CREATE ROLE old LOGIN PASSWORD 's3cret';";

/// A server whose databases are named after the way it asks there; the superuser is let in everywhere.
fn server() -> &'static Postgres {
    static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
        let mut options = Options::new()
            .hba("local all postgres trust")
            .hba("host all postgres 127.0.0.1/32 trust");
        for (database, method) in [
            ("scram", "scram-sha-256"),
            ("md5", "md5"),
            ("clear", "password"),
            ("no", "reject"),
            ("absent", "scram-sha-256"),
        ] {
            options = options
                .hba(&format!("local {database} all {method}"))
                .hba(&format!("host {database} all 127.0.0.1/32 {method}"));
        }
        let server = options.start();
        let mut admin = Past::new(server.port(), "postgres", "postgres").connect();
        for database in ["scram", "md5", "clear", "no"] {
            admin.ok(&format!("CREATE DATABASE {database}"));
        }
        for role in ROLES.split_inclusive(';') {
            admin.ok(&role.replace("\\\\", "\\"));
        }
        server
    });
    &SERVER
}

/// What the server keeps of a role's password.
fn kept(role: &str) -> String {
    let mut admin = Past::new(server().port(), "postgres", "postgres").connect();
    let query = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'");
    admin.ok(&query).value().expect("a password")
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn parameters(user: &str, database: &str) -> Vec<(Box<str>, Box<str>)> {
    vec![
        ("user".into(), user.into()),
        ("database".into(), database.into()),
    ]
}

async fn dial(unix: bool) -> Stream {
    let server = server();
    if unix {
        let path = server
            .socket_directory()
            .join(format!(".s.PGSQL.{}", server.port()));
        Stream::Unix(UnixStream::connect(path).await.expect("the socket"))
    } else {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).await;
        Stream::Tcp(stream.expect("the port"))
    }
}

async fn log_in(
    user: &str,
    database: &str,
    credentials: &Credentials,
    unix: bool,
) -> Result<LoggedIn<Stream>, LoginError> {
    let how = Login {
        parameters: &parameters(user, database),
        credentials,
        channel_binding: None,
        must_bind: false,
        private: unix,
    };
    login(dial(unix).await, &how).await
}

/// Asks who is logged in.
async fn current_user(mut done: LoggedIn<Stream>) -> String {
    let query = Batch::new().query("SELECT current_user").terminate();
    done.stream.write_all(&query.0).await.expect("the query");
    let mut answer = Vec::new();
    done.stream.read_to_end(&mut answer).await.expect("rows");
    let mut rest = &answer[..];
    let mut frames = Vec::new();
    while rest.len() > 4 {
        let len = 1 + u32::from_be_bytes(rest[1..5].try_into().expect("four")) as usize;
        frames.push(Frame {
            tag: rest[0],
            body: rest[5..len].to_vec(),
        });
        rest = &rest[len..];
    }
    frames.value().expect("a row")
}

#[test]
fn what_postgresql_keeps_of_a_password_is_what_larder_derives() {
    for (role, password) in [
        ("ann", "s3cret"),
        ("odd", "p\u{ad}\u{2168}\u{a0}\u{e9}"),
        ("odd", "pIX \u{e9}"),
        ("prohibited", "a\u{627}"),
        ("nothing", "\u{ad}"),
        ("old", "s3cret"),
    ] {
        match Verifier::parse(&kept(role)).expect(role) {
            Verifier::Scram(secret) => {
                let ours =
                    ScramSecret::derive(password.as_bytes(), &secret.salt, secret.iterations);
                assert!(ours == secret, "{role}");
            }
            Verifier::Md5(hash) => {
                assert!(hash == Md5Hash::derive(role, password.as_bytes()), "{role}");
            }
            Verifier::Plain(_) => panic!("{role} is kept as it is"),
        }
    }
}

#[test]
fn every_way_that_postgresql_asks_is_answered() {
    let md5 = || Credentials::Md5(Md5Hash::derive("old", b"s3cret"));
    let password = || Credentials::password("s3cret");
    runtime().block_on(async {
        for (user, database, credentials, unix) in [
            ("ann", "scram", password(), false),
            ("ann", "scram", password(), true),
            ("odd", "scram", Credentials::password("pIX \u{e9}"), false),
            (
                "prohibited",
                "scram",
                Credentials::password("a\u{627}"),
                false,
            ),
            ("nothing", "scram", Credentials::password("\u{ad}"), false),
            ("ann", "md5", password(), false), // asks for SCRAM, since that is what it keeps
            ("old", "md5", password(), false),
            ("old", "md5", md5(), false),
            ("old", "md5", md5(), true),
            ("ann", "clear", password(), true),
            ("old", "clear", password(), true),
            ("postgres", "scram", Credentials::None, false),
            ("postgres", "scram", password(), true),
        ] {
            let done = log_in(user, database, &credentials, unix).await;
            let done = done.unwrap_or_else(|e| panic!("{user} {database}: {e}"));
            assert!(done.pid > 0 && done.secret.len() == 4 && done.unread.is_empty());
            assert_eq!(current_user(done).await, user);
        }
    });
}

#[test]
fn the_greeting_is_the_one_that_a_client_would_have_had() {
    let direct = Past::new(server().port(), "ann", "scram").password("s3cret");
    let direct = direct.connect();
    let done = runtime().block_on(async {
        let password = Credentials::password("s3cret");
        log_in("ann", "scram", &password, false).await
    });
    let done = done.expect("a login");
    let statuses = done.statuses.iter();
    let statuses = statuses.map(|(name, value)| (name.to_string(), value.to_string()));
    assert!(!direct.parameters.is_empty());
    assert!(statuses.eq(direct.greeting.iter().filter(|f| f.tag == b'S').map(pair)));
}

fn pair(status: &Frame) -> (String, String) {
    let mut words = status.body.split(|b| *b == 0);
    let mut word = || String::from_utf8_lossy(words.next().expect("a word")).into_owned();
    (word(), word())
}

#[test]
fn a_refusal_is_the_very_one_that_a_client_would_have_had() {
    for (user, database, password) in [
        ("ann", "scram", "wrong"),
        ("ann", "clear", "wrong"),
        ("old", "md5", "wrong"),
        ("old", "scram", "s3cret"), // an md5 hash fits no SCRAM
        ("expired", "scram", "s3cret"),
        ("expired", "clear", "s3cret"),
        ("nologin", "scram", "s3cret"),
        ("nobody", "scram", "s3cret"),
        ("passwordless", "scram", "s3cret"),
        ("ann", "absent", "s3cret"),
        ("ann", "no", "s3cret"),
    ] {
        let unix = database == "clear";
        let mut past = Past::new(server().port(), user, database).password(password);
        if unix {
            let name = format!(".s.PGSQL.{}", server().port());
            past = past.socket(&server().socket_directory().join(name));
        }
        let direct = past.try_connect().err().expect("a refusal");
        let direct = direct.last().expect("a frame");
        let ours = runtime().block_on(async {
            let password = Credentials::password(password);
            log_in(user, database, &password, unix).await.err()
        });
        let Some(LoginError::Refused(bytes)) = ours else {
            panic!("{user} {database}: {ours:?}")
        };
        assert_eq!(direct.tag, b'E');
        assert_eq!(bytes[5..], direct.body, "{user} {database}");
    }
}

#[test]
fn what_cannot_be_answered_says_what_to_do() {
    let md5 = || Credentials::Md5(Md5Hash::derive("old", b"s3cret"));
    for (user, database, credentials, unix, expected) in [
        (
            "ann",
            "clear",
            Credentials::password("s3cret"),
            false,
            "sslmode=require",
        ),
        ("old", "clear", md5(), true, "only the md5 hash"),
        ("ann", "scram", md5(), false, "only the md5 hash"),
        ("ann", "scram", Credentials::None, false, "no password"),
    ] {
        let done = runtime().block_on(async { log_in(user, database, &credentials, unix).await });
        match done {
            Err(LoginError::Unable(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{user} {database}: {other:?}"),
        }
    }
}

/// A door that verifies its clients, and then is a wire to the server with a login of its own.
struct Door {
    port: u16,
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
}

struct Shared {
    users: Users,
    /// Encrypts both sides, if there is any; then logins upstream must be bound to it.
    tls: Option<(Tls, Address)>,
    /// What logged in upstream, login by login; nothing where the exchange was relayed.
    seen: Mutex<Vec<Option<Arc<Credentials>>>>,
}

impl Door {
    fn new(auth: &Auth, list: &[User]) -> (Door, Option<mpsc::UnboundedReceiver<Question>>) {
        Door::with(auth, list, None)
    }

    fn with(
        auth: &Auth,
        list: &[User],
        tls: Option<(Tls, Address)>,
    ) -> (Door, Option<mpsc::UnboundedReceiver<Question>>) {
        let runtime = runtime();
        let (users, questions) = Users::new(auth, list, ("app", None)).expect("users");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            users,
            tls,
            seen: Mutex::default(),
        });
        let all = shared.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, all.clone()));
            }
        });
        let door = Door {
            port,
            shared,
            runtime,
        };
        (door, questions)
    }

    fn seen(&self) -> Vec<Option<Arc<Credentials>>> {
        std::mem::take(&mut self.shared.seen.lock().expect("no panic"))
    }
}

impl Shared {
    fn saw(&self, credentials: Option<Arc<Credentials>>) {
        self.seen.lock().expect("no panic").push(credentials);
    }

    async fn dial(&self) -> std::io::Result<Stream> {
        match &self.tls {
            Some((tls, address)) => tls.upstream.connect(address, PATIENCE).await,
            None => Ok(dial(false).await),
        }
    }
}

/// Serves one client of the door.
async fn pass(client: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut client = Stream::Tcp(client);
    let mut packet = vec![0; 8];
    client.read_exact(&mut packet).await?;
    while packet[4..] == [0x04, 0xd2, 0x16, 0x2f] || packet[4..] == [0x04, 0xd2, 0x16, 0x30] {
        client = match (client, &shared.tls) {
            (Stream::Tcp(mut socket), Some((tls, _))) if packet[7] == 0x2f => {
                socket.write_all(b"S").await?;
                tls.clients.accept(socket, &[], Start::Asked).await?
            }
            (mut client, _) => {
                client.write_all(b"N").await?;
                client
            }
        };
        client.read_exact(&mut packet).await?;
    }
    let len = u32::from_be_bytes(packet[..4].try_into().expect("four")) as usize;
    packet.resize(len, 0);
    client.read_exact(&mut packet[8..]).await?;
    let words: Vec<Box<str>> = packet[8..]
        .split(|b| *b == 0)
        .map(|w| String::from_utf8_lossy(w).into())
        .collect();
    let parameters: Vec<_> = words
        .chunks_exact(2)
        .filter(|pair| !pair[0].is_empty())
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect();
    let user = parameters.iter().find(|(n, _)| &**n == "user");
    let user = &user.expect("a user").1;
    let (end_point, name) = (
        client.server_end_point(),
        client.client_certificate_common_name(),
    );
    let mut pending = Vec::new();
    let verified = verify(
        &mut client,
        &mut pending,
        user,
        &shared.users,
        end_point.as_deref(),
        name.as_deref(),
    );
    let mut upstream = match verified.await? {
        Verified::Refused => return Ok(()),
        Verified::Relay => {
            shared.saw(None);
            let mut upstream = shared.dial().await?;
            upstream.write_all(&packet).await?;
            upstream
        }
        Verified::Ours(credentials) => {
            shared.saw(Some(credentials.clone()));
            let stream = shared.dial().await?;
            let end_point = stream.peer_end_point();
            let how = Login {
                parameters: &parameters,
                credentials: &credentials,
                channel_binding: end_point.as_deref(),
                must_bind: shared.tls.is_some(),
                private: stream.is_private(),
            };
            match login(stream, &how).await {
                Ok(done) => {
                    let mut out = Batch::new().raw(b'R', &[0; 4]);
                    for (name, value) in &done.statuses {
                        out = out.raw(b'S', format!("{name}\0{value}\0").as_bytes());
                    }
                    let key = [&done.pid.to_be_bytes(), &*done.secret].concat();
                    let out = out.raw(b'K', &key).raw(b'Z', b"I");
                    client.write_all(&out.0).await?;
                    client.flush().await?;
                    done.stream
                }
                Err(LoginError::Refused(bytes)) => {
                    client.write_all(&bytes).await?;
                    return client.flush().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

fn user(name: &str, password: &str) -> User {
    User {
        name: name.into(),
        password: Some(Secret::new(password.into())),
        password_file: None,
        certificate: false,
        upstream_password: None,
        upstream_password_file: None,
    }
}

fn ann_and_old() -> Vec<User> {
    vec![
        user("ann", &kept("ann")),
        user("old", &kept("old")),
        user("odd", "pIX \u{e9}"),
        user("expired", &kept("expired")),
    ]
}

#[test]
fn a_client_that_larder_lets_in_is_logged_in_upstream_with_what_its_proof_gives() {
    let (door, _) = Door::new(&Auth::default(), &ann_and_old());
    for (name, database, password) in [
        ("ann", "scram", "s3cret"),
        ("ann", "md5", "s3cret"),
        ("old", "md5", "s3cret"),
        ("odd", "scram", "p\u{ad}IX\u{a0}\u{e9}"),
        ("passwordless", "postgres", ""), // relayed, and let in by the server
    ] {
        let past = Past::new(door.port, name, database).password(password);
        let mut client = past.connect();
        assert_eq!(
            client.ok("SELECT current_user").value().as_deref(),
            Some(name)
        );
    }
    let kinds: Vec<_> = door
        .seen()
        .iter()
        .map(|c| c.as_deref().map(|c| format!("{c:?}")))
        .map(|c| c.map(|c| c.split('(').next().unwrap_or_default().to_owned()))
        .collect();
    let kinds: Vec<_> = kinds
        .iter()
        .map(|k| k.as_deref().unwrap_or("relayed"))
        .collect();
    assert_eq!(kinds, ["Scram", "Scram", "Md5", "Password", "relayed"]);
}

#[test]
fn libpq_and_tokio_postgres_are_let_in_and_sent_away() {
    let (door, _) = Door::new(&Auth::default(), &ann_and_old());
    let psql = binaries().join("psql");
    let psql = if psql.is_file() { psql } else { "psql".into() };
    for (name, database, password, right) in [
        ("ann", "scram", "s3cret", true),
        ("ann", "scram", "wrong", false),
        ("old", "md5", "s3cret", true),
        ("old", "md5", "wrong", false),
        ("odd", "scram", "p\u{2168} \u{e9}", true),
        ("nobody", "scram", "s3cret", false),
    ] {
        let refusal = format!("FATAL:  password authentication failed for user \"{name}\"");
        let port = door.port.to_string();
        let output = Command::new(&psql)
            .args([
                "-XAtw",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                name,
                "-d",
                database,
            ])
            .args(["-c", "SELECT current_user"])
            .envs([("PGPASSWORD", password), ("PGCLIENTENCODING", "UTF8")])
            // The libraries of the server under test are not this program's.
            .env_remove("LD_LIBRARY_PATH")
            .output();
        // A server without its clients' programs is no reason to fail.
        if let Ok(output) = output {
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.success(), right, "{name}: {output:?}");
            assert_eq!(text.trim(), if right { name } else { "" });
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(right || error.contains(&refusal), "{error}");
        }
        let outcome = runtime().block_on(async {
            let mut config = tokio_postgres::Config::new();
            config.host("127.0.0.1").port(door.port);
            config.user(name).dbname(database).password(password);
            let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            let row = client.query_one("SELECT current_user::text", &[]).await?;
            row.try_get::<_, String>(0)
        });
        match outcome {
            Ok(found) => assert!(right && found == name),
            Err(error) => {
                let error = error.as_db_error().expect("the server's error");
                assert!(!right && refusal.ends_with(error.message()), "{error:?}");
                assert_eq!(error.code().code(), "28P01");
            }
        }
    }
}

/// A role that may not log in any more is let in by Larder and sent away by its login upstream.
#[test]
fn an_expired_role_hears_from_the_server() {
    let (door, _) = Door::new(&Auth::default(), &ann_and_old());
    let refused = |port| {
        let past = Past::new(port, "expired", "scram").password("s3cret");
        past.try_connect().err().expect("a refusal").pop()
    };
    assert_eq!(refused(door.port), refused(server().port()));
}

/// What is told of a refusal, without where in PostgreSQL's source it was made and without salts and nonces.
fn told(transcript: &[Frame]) -> Vec<String> {
    let told = |frame: &Frame| match frame.tag {
        b'E' => {
            let fields = frame.body.split(|b| *b == 0);
            let fields = fields.filter(|f| !f.is_empty() && !b"FLR".contains(&f[0]));
            let fields: Vec<_> = fields.map(String::from_utf8_lossy).collect();
            format!("E {}", fields.join("; "))
        }
        b'R' if frame.body[3] == 10 => format!("R10 {}", frame.body[4..].escape_ascii()),
        b'R' => format!("R{}", frame.body[3]),
        b'!' => "gone".into(),
        tag => char::from(tag).to_string(),
    };
    transcript.iter().map(told).collect()
}

/// Sends messages one by one, each after the answer to the one before; all that was heard.
fn converse(port: u16, user: &str, database: &str, messages: &[Vec<u8>]) -> Transcript {
    let past = Past::new(port, user, database);
    let mut client = Client::over(past.dial().expect("the port"));
    client.send(Batch(past.startup()));
    let mut heard = Vec::new();
    for message in messages.iter().map(Some).chain([None]) {
        match client.try_frame() {
            Ok(frame) => heard.push(frame),
            Err(_) => {
                heard.push(Frame {
                    tag: b'!',
                    body: Vec::new(),
                });
                break;
            }
        }
        match message {
            Some(message) => {
                // The client's nonce is `abc`; the server's continues it.
                let nonce = heard.last().and_then(|f| {
                    let text = String::from_utf8_lossy(&f.body).into_owned();
                    Some(text.split_once("r=")?.1.split(',').next()?.to_owned())
                });
                let sent = match (nonce, std::str::from_utf8(message)) {
                    (Some(nonce), Ok(text)) => text.replace("NONCE", &nonce).into_bytes(),
                    _ => message.clone(),
                };
                client.send(Batch::new().raw(b'p', &sent));
            }
            None => break,
        }
    }
    if heard.last().is_some_and(|f| f.tag == b'E') {
        assert!(client.try_frame().is_err(), "said more after its error");
    }
    heard
}

fn initial(first: &str) -> Vec<u8> {
    let len = (first.len() as u32).to_be_bytes();
    [b"SCRAM-SHA-256\0", &len[..], first.as_bytes()].concat()
}

/// Every exchange that ends in a refusal, message by message the same as PostgreSQL's.
#[test]
fn what_a_refused_client_hears_is_what_postgresql_says() {
    let auth = Auth {
        relay: false,
        ..Auth::default()
    };
    let (door, _) = Door::new(&auth, &ann_and_old());
    let proof = "p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let mut conversations: Vec<Vec<Vec<u8>>> = vec![
        vec![
            initial("n,,n=,r=abc"),
            format!("c=biws,r=NONCE,{proof}").into(),
        ],
        vec![
            initial("y,,n=,r=abc"),
            format!("c=eSws,r=NONCE,{proof}").into(),
        ],
        vec![
            initial("y,,n=,r=abc"),
            format!("c=biws,r=NONCE,{proof}").into(),
        ],
        vec![
            initial("n,,n=,r=abc"),
            format!("c=biws,r=NONCE,x=y,{proof}").into(),
        ],
        vec![
            initial("n,,n=ann,r=abc,x=y"),
            format!("c=biws,r=NONCE,{proof}").into(),
        ],
        vec![
            initial("n,,n=,r=abc"),
            format!("c=biws,r=abc,{proof}").into(),
        ],
        vec![
            initial("n,,n=,r=abc"),
            format!("c=biws,r=NONCE,{proof},x=y").into(),
        ],
        vec![initial("n,,n=,r=abc"), b"c=biws,r=NONCE,p=AAAA".to_vec()],
        vec![initial("n,,n=,r=abc"), b"c=biws,r=NONCE,p=!".to_vec()],
        vec![initial("n,,n=,r=abc"), b"c=biws,r=NONCE".to_vec()],
        vec![initial("n,,n=,r=abc"), b"c=biws,r=NONCE,".to_vec()],
        vec![initial("n,,n=,r=abc"), b"c=biws,r=NONCE,1=2".to_vec()],
        vec![initial("n,,n=,r=abc"), b"r=NONCE".to_vec()],
        vec![initial("n,,n=,r=abc"), b"c".to_vec()],
        vec![initial("n,,n=,r=abc"), b"".to_vec()],
        vec![initial("n,,n=,r=abc"), b"c=biws\0".to_vec()],
        vec![b"SCRAM-SHA-256\0\xff\xff\xff\xff".to_vec(), b"x".to_vec()],
        vec![b"SCRAM-SHA-256".to_vec()],
        vec![b"SCRAM-SHA-256\0".to_vec()],
        vec![b"SCRAM-SHA-256\0\0\0\0\x09n,,".to_vec()],
        vec![b"SCRAM-SHA-256\0\0\0\0\x01n,,".to_vec()],
        vec![b"SCRAM-SHA-256-PLUS\0\0\0\0\x01n".to_vec()],
        vec![b"PLAIN\0\0\0\0\x01n".to_vec()],
        vec![b"".to_vec()],
        vec![initial(&"n,,n=,r=".repeat(200))],
    ];
    for first in [
        "",
        "x",
        "n",
        "nx",
        "n,",
        "n,x",
        "n,a=ann,n=,r=abc",
        "n,,",
        "n,,x",
        "n,,m=x",
        "n,,n",
        "n,,n=",
        "n,,n=,",
        "n,,n=,x",
        "n,,n=,r=",
        "n,,n=,r=a b",
        "n,,n=,r=a,1",
        "n,,n=,r=a,b",
        "n,,n=,r=a,b=,",
        "\u{1}",
        "p=tls-server-end-point,,n=,r=abc",
        "y",
        "n,,n=,r=a\u{7f}",
    ] {
        conversations.push(vec![initial(first)]);
    }
    for messages in conversations {
        let shown: Vec<_> = messages
            .iter()
            .map(|m| m.escape_ascii().to_string())
            .collect();
        for name in ["ann", "nobody"] {
            let direct = converse(server().port(), name, "scram", &messages);
            let ours = converse(door.port, name, "scram", &messages);
            assert_eq!(told(&ours), told(&direct), "{name}: {shown:?}");
        }
    }
    for message in ["", "\0", "abc", "abc\0", "abc\0d\0", "md5\0"] {
        let messages = [message.as_bytes().to_vec()];
        let direct = converse(server().port(), "old", "md5", &messages);
        let ours = converse(door.port, "old", "md5", &messages);
        assert_eq!(told(&ours), told(&direct), "{message:?}");
    }
    assert!(!door.shared.users.relay() && door.seen().is_empty());
}

#[test]
fn a_login_that_succeeds_says_the_same_messages_in_the_same_order() {
    let (door, _) = Door::new(&Auth::default(), &ann_and_old());
    for (name, database) in [("ann", "scram"), ("old", "md5")] {
        let tags = |port| {
            let past = Past::new(port, name, database).password("s3cret");
            told(&past.connect().greeting)
        };
        assert_eq!(tags(door.port), tags(server().port()));
    }
}

/// Runs the door's query as the superuser, in a database of its own.
fn run_query(door: &Door, questions: mpsc::UnboundedReceiver<Question>, query: &str) {
    run_query_as("postgres", door, questions, query);
}

fn run_query_as(
    role: &str,
    door: &Door,
    questions: mpsc::UnboundedReceiver<Question>,
    query: &str,
) {
    let url = server().url(role, "lookup");
    let flags = Flags {
        upstream: Some(url),
        ..Flags::default()
    };
    let config = Config::load_with(&flags, std::iter::empty()).expect("a configuration");
    let query = AuthQuery {
        control: Control {
            tls: Arc::new(Tls::new(&config.tls, &config.upstream.tls).expect("TLS")),
            upstream: config.upstream,
            refresh: config.catalog.refresh,
            metrics: Arc::new(Metrics::new(1).expect("metrics")),
        },
        database: "lookup".into(),
        query: query.into(),
    };
    door.runtime.spawn(query.run(questions));
}

fn lookup_database() {
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| {
        let mut admin = Past::new(server().port(), "postgres", "postgres").connect();
        admin.ok("CREATE DATABASE lookup");
        // Whoever may create a schema and a default could have made this.
        admin.ok("ALTER DATABASE lookup SET search_path = evil, pg_catalog");
        let mut inside = Past::new(server().port(), "postgres", "lookup").connect();
        inside.ok("CREATE SCHEMA evil");
        inside
            .ok("CREATE VIEW evil.pg_shadow AS SELECT 'ann'::name AS usename, 'forged' AS passwd");
    });
}

fn asking(relay: bool) -> Auth {
    Auth {
        relay,
        auth_query: Some("SELECT usename, passwd FROM pg_shadow WHERE usename=$1".into()),
        ..Auth::default()
    }
}

#[test]
fn auth_query_knows_whom_the_server_knows() {
    lookup_database();
    let auth = asking(true);
    let (door, questions) = Door::new(&auth, &[]);
    let query = auth.auth_query.as_deref().expect("a query");
    run_query(&door, questions.expect("questions"), query);
    let log_in = |name: &str, database: &str, password: &str| {
        let past = Past::new(door.port, name, database).password(password);
        past.try_connect().map_err(|t| t.sqlstate())
    };
    for (name, database) in [("ann", "scram"), ("old", "md5")] {
        assert!(log_in(name, database, "s3cret").is_ok());
        assert_eq!(
            log_in(name, database, "forged").err().flatten().as_deref(),
            Some("28P01")
        );
    }
    let seen = door.seen();
    assert!(matches!(seen[0].as_deref(), Some(Credentials::Scram(_))));
    assert!(matches!(seen[1].as_deref(), Some(Credentials::Md5(_))));
    assert_eq!(seen.len(), 2, "a wrong password never reaches the server");
    // No such role, and one without password: the server's to judge.
    assert!(log_in("nobody", "scram", "s3cret").is_err());
    assert!(log_in("passwordless", "postgres", "").is_ok());
    assert_eq!(door.seen(), [None, None]);
}

/// The function that the documentation shows, from there.
#[test]
fn auth_query_needs_no_superuser() {
    lookup_database();
    let text = include_str!("../../docs/authentication.md");
    let (_, function) = text.split_once("```sql\n").expect("a function");
    let (function, query) = function.split_once("-- auth_query = \"").expect("a query");
    let (query, _) = query.split_once('"').expect("its end");
    let mut inside = Past::new(server().port(), "postgres", "lookup").connect();
    inside.ok(
        "CREATE ROLE larder LOGIN; CREATE SCHEMA larder; GRANT USAGE ON SCHEMA larder TO larder",
    );
    inside.ok(function);
    let (door, questions) = Door::new(&asking(false), &[]);
    run_query_as("larder", &door, questions.expect("questions"), query);
    for (password, right) in [("s3cret", true), ("wrong", false)] {
        let past = Past::new(door.port, "ann", "scram").password(password);
        assert_eq!(past.try_connect().is_ok(), right);
    }
    let past = Past::new(door.port, "nobody", "scram").password("s3cret");
    assert!(past.try_connect().is_err());
    assert_eq!(door.seen().len(), 1);
}

#[test]
fn a_changed_password_holds_after_one_refusal_at_most() {
    lookup_database();
    let mut admin = Past::new(server().port(), "postgres", "postgres").connect();
    admin.ok("SET password_encryption = 'scram-sha-256'");
    admin.ok("CREATE ROLE changing LOGIN PASSWORD 'first'");
    let auth = asking(false);
    let (door, questions) = Door::new(&auth, &[]);
    let query = auth.auth_query.as_deref().expect("a query");
    run_query(&door, questions.expect("questions"), query);
    let log_in = |password: &str| {
        let past = Past::new(door.port, "changing", "scram").password(password);
        past.try_connect().is_ok()
    };
    assert!(log_in("first"));
    admin.ok("ALTER ROLE changing PASSWORD 'second'");
    assert!(
        !log_in("first"),
        "known for a moment, but not to the server"
    );
    let _kept_for_a_moment = log_in("second");
    assert!(log_in("second"));
    assert!(!log_in("first"));
}

#[test]
fn a_query_that_fails_is_not_an_unknown_user() {
    lookup_database();
    for (query, relay) in [
        (
            "SELECT usename, passwd FROM nowhere WHERE usename=$1",
            false,
        ),
        ("SELECT usename, passwd FROM nowhere WHERE usename=$1", true),
        ("SELECT $1::text", false),
        ("SELECT 'old'::text, $1::text", false),
        ("SELECT $1::text, 'x' UNION ALL SELECT 'y', 'z'", false),
    ] {
        let (door, questions) = Door::new(&asking(relay), &[]);
        run_query(&door, questions.expect("questions"), query);
        let past = Past::new(door.port, "ann", "scram").password("s3cret");
        match past.try_connect() {
            Ok(_) => assert!(relay && door.seen() == [None]),
            Err(heard) => {
                assert!(!relay, "{heard:?}");
                assert_eq!(heard.sqlstate().as_deref(), Some("57P03"));
                assert_eq!(heard.tags(), "E");
            }
        }
    }
}

/// TLS ends at the door, and both logins are bound to the certificates that were shown.
#[test]
fn both_logins_are_bound_to_their_connections() {
    let files = Directory::new("bound");
    let ours = world().authority.issue("larder", &["localhost"]);
    let variables = [
        ("LARDER_TLS__MODE", "allow".to_owned()),
        (
            "LARDER_TLS__CERTIFICATE",
            files.file("tls.crt", &ours.certificate),
        ),
        ("LARDER_TLS__KEY", files.file("tls.key", &ours.key)),
        (
            "LARDER_UPSTREAM__URL",
            world().url("scrammed", "localhost", "sslmode=verify-full"),
        ),
        ("LARDER_UPSTREAM__SSLROOTCERT", world().root()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let config = Config::load_with(&Flags::default(), variables.into_iter());
    let config = config.expect("a configuration");
    let tls = Tls::new(&config.tls, &config.upstream.tls).expect("TLS");
    let mut admin = Past::new(world().server.port(), "postgres", "postgres").connect();
    let kept = admin.ok("SELECT rolpassword FROM pg_authid WHERE rolname = 'scrammed'");
    let list = [user("scrammed", &kept.value().expect("a secret"))];
    let address = config.upstream.address.clone();
    let (door, _) = Door::with(&Auth::default(), &list, Some((tls, address)));
    let reach = |password: &str, more: &str| {
        let connection = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=scrammed dbname=postgres password='{password}' {more}",
            door.port
        );
        said(&connection, &["SELECT current_user"])
    };
    let bound = "sslmode=require channel_binding=require";
    assert_eq!(reach(PASSWORD, bound).as_deref(), Ok("scrammed"));
    let unbound = "sslmode=require channel_binding=disable";
    assert_eq!(reach(PASSWORD, unbound).as_deref(), Ok("scrammed"));
    assert_eq!(
        reach(PASSWORD, "sslmode=disable").as_deref(),
        Ok("scrammed")
    );
    let refused = reach("wrong", bound).unwrap_err();
    assert!(
        refused.contains("password authentication failed"),
        "{refused}"
    );
    assert_eq!(door.seen().len(), 3);
}
