use super::*;

/// Files that go with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("larder-users-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        // As a secret is replaced: a new file under the old name.
        let fresh = self.0.join("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, &path).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn user(name: &str) -> User {
    User {
        name: name.into(),
        password: None,
        password_file: None,
        certificate: false,
        upstream_password: None,
        upstream_password_file: None,
    }
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text.into()))
}

fn with_password(name: &str, password: &str) -> User {
    User {
        password: secret(password),
        ..user(name)
    }
}

fn users(auth: &Auth, users: &[User], password: Option<&str>) -> Result<Users, String> {
    let password = password.and_then(secret);
    Users::new(auth, users, ("app", password.as_ref())).map(|(users, _)| users)
}

async fn known(users: &Users, name: &str) -> Option<Arc<Known>> {
    match users.find(name).await {
        Found::Known(known) => Some(known),
        Found::Unknown => None,
        Found::Unreachable(error) => panic!("{error}"),
    }
}

fn logs_in_with(known: &Known, credentials: &Credentials) -> bool {
    known.upstream.as_deref() == Some(credentials)
}

/// Whether the user's check is one that this password fits.
fn fits(known: &Known, name: &str, password: &str) -> bool {
    match &known.check {
        Check::Scram(kept) => {
            *kept == scram::Secret::derive(password.as_bytes(), &kept.salt, kept.iterations)
        }
        Check::Md5(hash) => *hash == Md5Hash::derive(name, password.as_bytes()),
        Check::Nothing => false,
    }
}

#[tokio::test]
async fn the_urls_user_is_known_by_its_password_and_not_without_one() {
    let auth = Auth::default();
    let with = users(&auth, &[], Some("md5secret")).unwrap();
    let app = known(&with, "app").await.unwrap();
    assert!(fits(&app, "app", "md5secret") && !app.certificate);
    assert!(logs_in_with(&app, &Credentials::password("md5secret")));
    assert_eq!(known(&with, "ann").await, None);
    for nothing in [None, Some("")] {
        let without = users(&auth, &[], nothing).unwrap();
        assert_eq!(known(&without, "app").await, None);
    }
}

#[tokio::test]
async fn each_kind_of_verifier_logs_in_upstream_with_what_it_gives() {
    let scram = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let md5 = "md507159c47ee1b19ae4fb9c40d480856c4";
    let list = [
        with_password("plain", "secret"),
        with_password("scram", scram),
        with_password("a", md5),
        User {
            upstream_password: secret("other"),
            ..with_password("both", "secret")
        },
        User {
            certificate: true,
            upstream_password: secret("other"),
            ..user("shown")
        },
        User {
            certificate: true,
            ..with_password("twice", "secret")
        },
    ];
    let users = users(&Auth::default(), &list, None).unwrap();
    let plain = known(&users, "plain").await.unwrap();
    assert!(fits(&plain, "plain", "secret"));
    assert!(logs_in_with(&plain, &Credentials::password("secret")));
    let scram = known(&users, "scram").await.unwrap();
    assert!(fits(&scram, "scram", "pencil"));
    assert_eq!(scram.upstream, None, "the proof's keys");
    let a = known(&users, "a").await.unwrap();
    assert!(fits(&a, "a", "b"));
    assert!(logs_in_with(
        &a,
        &Credentials::Md5(Md5Hash::derive("a", b"b"))
    ));
    let both = known(&users, "both").await.unwrap();
    assert!(fits(&both, "both", "secret"));
    assert!(logs_in_with(&both, &Credentials::password("other")));
    let shown = known(&users, "shown").await.unwrap();
    assert_eq!((&shown.check, shown.certificate), (&Check::Nothing, true));
    let twice = known(&users, "twice").await.unwrap();
    assert!(twice.certificate && fits(&twice, "twice", "secret"));
}

#[test]
fn what_could_let_anybody_in_stops_the_start() {
    let files = Directory::new("wrong");
    let two_lines = files.write("two", "s3cret\nmore\n");
    let empty = files.write("empty", "\n");
    let list = files.write("list", "\"ann\" \"s3cret\"\n\"bob\" \"\"\n");
    let file = |path: &Path| User {
        password_file: Some(path.into()),
        ..user("ann")
    };
    for (user, expected) in [
        (user("ann"), "could log in with nothing"),
        (
            User {
                certificate: true,
                ..user("ann")
            },
            "could log in with nothing",
        ),
        (with_password("ann", ""), "the password is empty"),
        (
            with_password("ann", "SCRAM-SHA-256$s3cret"),
            "begins like a SCRAM secret",
        ),
        (file(&two_lines), "has several lines"),
        (file(&empty), "the password is empty"),
        (file(&files.0.join("absent")), "No such file"),
        (
            User {
                upstream_password: secret(
                    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
                ),
                ..with_password("ann", "s3cret")
            },
            "logs in nowhere",
        ),
    ] {
        let error = users(&Auth::default(), &[user], None).err().unwrap();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let auth = Auth {
        auth_file: Some(list),
        ..Auth::default()
    };
    let error = users(&auth, &[], None).err().unwrap();
    assert!(
        error.contains("list: line 2: the password is empty"),
        "{error}"
    );
}

#[tokio::test]
async fn the_nearer_source_wins() {
    let files = Directory::new("nearer");
    let auth = Auth {
        auth_file: Some(files.write(
            "list",
            "\"app\" \"file\"\n\"ann\" \"file\"\n\"bob\" \"file\"\n",
        )),
        ..Auth::default()
    };
    let all = users(&auth, &[with_password("ann", "table")], Some("url")).unwrap();
    for (name, password) in [("app", "url"), ("ann", "table"), ("bob", "file")] {
        assert!(
            fits(&known(&all, name).await.unwrap(), name, password),
            "{name}"
        );
    }
    let all = users(&auth, &[with_password("app", "table")], Some("url")).unwrap();
    assert!(fits(&known(&all, "app").await.unwrap(), "app", "table"));
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_wrong_ones_change_nothing() {
    let files = Directory::new("again");
    let user = User {
        password_file: Some(files.write("password", "first\r\n")),
        ..user("ann")
    };
    let auth = Auth {
        auth_file: Some(files.write("list", "\"bob\" \"first\"")),
        ..Auth::default()
    };
    let users = users(&auth, &[user], None).unwrap();
    let before = known(&users, "ann").await.unwrap();
    assert!(fits(&before, "ann", "first"));
    assert_eq!(users.reread(), Ok(false));

    files.write("list", "\"bob\" \"second\"");
    assert_eq!(users.reread(), Ok(true));
    assert!(fits(&known(&users, "bob").await.unwrap(), "bob", "second"));
    // Ann's salt is the same as before: a client that remembers it is not confused, and no work was done again.
    assert_eq!(known(&users, "ann").await.unwrap().check, before.check);

    files.write("list", "\"bob\" third");
    assert!(users.reread().unwrap_err().contains("line 1"));
    assert_eq!(users.reread(), Ok(false), "told once");
    assert!(fits(&known(&users, "bob").await.unwrap(), "bob", "second"));
    fs::remove_file(files.0.join("list")).unwrap();
    assert!(users.reread().is_err());
    assert!(known(&users, "bob").await.is_some());

    files.write("list", "\"eve\" \"x\"");
    files.write("password", "second");
    assert_eq!(users.reread(), Ok(true));
    assert_eq!(known(&users, "bob").await, None);
    assert!(fits(&known(&users, "ann").await.unwrap(), "ann", "second"));
}

#[tokio::test]
async fn the_urls_password_can_be_replaced() {
    let users = users(&Auth::default(), &[], Some("first")).unwrap();
    users.set_own_password(Some("second")).unwrap();
    assert!(fits(&known(&users, "app").await.unwrap(), "app", "second"));
    users.set_own_password(None).unwrap();
    assert_eq!(known(&users, "app").await, None);
}

fn asking() -> (Users, mpsc::UnboundedReceiver<Question>) {
    let auth = Auth {
        auth_query: Some("SELECT $1".into()),
        ..Auth::default()
    };
    let (users, questions) =
        Users::new(&auth, &[with_password("ann", "x")], ("app", None)).unwrap();
    (users, questions.unwrap())
}

#[tokio::test]
async fn an_answer_of_the_query_is_kept_until_a_proof_fails() {
    let (users, mut questions) = asking();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Some(question) = questions.recv().await {
            let kept = match &*question.user {
                "bob" => Ok(Some("secret".to_owned())),
                "bad" => Ok(Some("SCRAM-SHA-256$x".to_owned())),
                "down" => Err("the connection is lost".to_owned()),
                _ => Ok(None),
            };
            asked.push(question.user);
            question.answer.send(kept).unwrap();
        }
        asked
    });
    // Who is known otherwise is not asked for.
    assert!(known(&users, "ann").await.is_some());
    for _ in 0..2 {
        let bob = known(&users, "bob").await.unwrap();
        assert!(fits(&bob, "bob", "secret"));
        assert!(logs_in_with(&bob, &Credentials::password("secret")));
        assert_eq!(known(&users, "nobody").await, None);
    }
    users.failed("bob");
    assert!(known(&users, "bob").await.is_some());
    for name in ["bad", "down", "down"] {
        assert!(matches!(users.find(name).await, Found::Unreachable(_)));
    }
    drop(users);
    let asked = asked.await.unwrap();
    assert_eq!(
        asked.iter().map(|n| &**n).collect::<Vec<_>>(),
        ["bob", "nobody", "bob", "bad", "down", "down"]
    );
}

#[tokio::test]
async fn an_old_answer_is_asked_for_again_and_many_names_take_no_memory() {
    let (mut users, mut questions) = asking();
    let asked = tokio::spawn(async move {
        let mut asked = 0;
        while let Some(question) = questions.recv().await {
            asked += 1;
            let _ = question.answer.send(Ok(None));
        }
        asked
    });
    users.kept = Duration::ZERO;
    for _ in 0..2 {
        assert_eq!(known(&users, "bob").await, None);
    }
    for i in 0..ANSWERS.get() + 10 {
        assert_eq!(known(&users, &i.to_string()).await, None);
    }
    assert_eq!(lock(&users.answers).len(), ANSWERS.get());
    drop(users);
    assert_eq!(asked.await.unwrap(), ANSWERS.get() + 12);
}

#[tokio::test]
async fn a_query_that_nobody_runs_is_unreachable_and_not_unknown() {
    let (users, questions) = asking();
    drop(questions);
    assert!(matches!(users.find("bob").await, Found::Unreachable(_)));
}
