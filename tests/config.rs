//! What configurations say, and what is said about wrong ones.

use larder::config::{
    Address, ChannelBinding, ClientCertificates, Config, Flags, KEYS, LogFormat, Mode, RootCert,
    SslMode, SslNegotiation, TlsMode, Ttl, Workers,
};
use std::path::PathBuf;
use std::time::Duration;

const URL: &str = "postgres://app:s3cret@db.example/shop";

/// A configuration file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path =
            std::env::temp_dir().join(format!("larder-config-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        File(path)
    }

    fn flags(&self) -> Flags {
        Flags {
            config: Some(self.0.clone()),
            ..Flags::default()
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn environment(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    variables
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect::<Vec<_>>()
        .into_iter()
}

fn load(flags: &Flags, variables: &[(&str, &str)]) -> Config {
    Config::load_with(flags, environment(variables)).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(flags: &Flags, variables: &[(&str, &str)]) -> String {
    let error = Config::load_with(flags, environment(variables))
        .expect_err("must be refused")
        .to_string();
    assert!(!error.contains("s3cret"), "shows the password: {error}");
    error
}

fn file_refused(name: &str, text: &str) -> String {
    refused(
        &File::new(name, text).flags(),
        &[("LARDER_UPSTREAM__URL", URL)],
    )
}

fn upstream() -> Flags {
    Flags {
        upstream: Some(URL.into()),
        ..Flags::default()
    }
}

#[test]
fn defaults() {
    let config = load(&upstream(), &[]);
    assert_eq!(
        config.listen,
        ["127.0.0.1:6432".parse::<Address>().unwrap()]
    );
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9432");
    assert_eq!(config.server.drain, Duration::from_secs(30));
    assert_eq!(config.server.workers, Workers::Auto);
    assert_eq!(config.cache.mode, Mode::On);
    assert_eq!(config.cache.ttl, Ttl::Auto);
    assert_eq!(config.cache.max_answer, 1 << 20);
    assert_eq!(config.cache.coalesce_wait, Duration::from_secs(1));
    assert!(config.cache.memory > 0);
    assert_eq!(config.catalog.refresh, Duration::from_secs(5));
    assert!(config.auth.relay && config.users.is_empty());
    assert_eq!(config.auth.recheck, Duration::from_secs(60));
    assert_eq!(config.upstream.hosts[0].to_string(), "db.example:5432");
    assert_eq!(config.upstream.connect_timeout, Duration::from_secs(10));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn the_file_in_the_repository_is_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/larder.toml");
    let flags = Flags {
        config: Some(path.into()),
        ..upstream()
    };
    assert_eq!(load(&flags, &[]), load(&upstream(), &[]));

    // With the comment signs gone it is a file that says something about every key, and the same again.
    let text: String = std::fs::read_to_string(path).unwrap();
    let spoken: String = text
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|l| l.starts_with('[') || l.split(' ').nth(1) == Some("="))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let config = load(&File::new("spoken", &spoken).flags(), &[]);
    let [rule] = &*config.rules else {
        panic!("{:?}", config.rules)
    };
    assert_eq!(rule.table.as_deref(), Some("public.prices"));
    assert_eq!(rule.ttl, Some(Duration::from_secs(5)));
    assert!(!rule.off && !rule.trust && rule.max_bytes == Some(64 << 10));
    assert_eq!(config.users.len(), 1);
    let [function] = &*config.catalog.functions else {
        panic!("{:?}", config.catalog.functions)
    };
    assert_eq!(function.name.to_string(), "app.order_total(integer)");
    assert_eq!(function.reads.as_deref(), Some(&["app.orders".into()][..]));
    assert_eq!(
        (function.writes.as_deref(), function.pure),
        (Some(&[][..]), Some(false))
    );
    assert_eq!(config.cache.max_answer, 1 << 20);
    for key in KEYS {
        let last = key.rsplit('.').next().unwrap();
        assert!(
            spoken.contains(&format!("\n{last} = ")) || spoken.contains(&format!("[[{last}]]")),
            "{key} is not in config/larder.toml"
        );
    }
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file() {
    let file = File::new(
        "layers",
        "[cache]\nttl = '1s'\nmemory = '8MB'\nmode = 'off'\n[server]\nworkers = 3\n",
    );
    let variables = [
        ("LARDER_UPSTREAM__URL", URL),
        ("LARDER_CACHE__TTL", "2s"),
        ("LARDER_CACHE__MEMORY", "16MB"),
        ("LARDER_LOG__FORMAT", "json"),
    ];
    let flags = Flags {
        ttl: Some("3s".into()),
        ..file.flags()
    };
    let config = load(&flags, &variables);
    assert_eq!(config.cache.ttl, Ttl::Fixed(Duration::from_secs(3)));
    assert_eq!(config.cache.memory, 16 << 20);
    assert_eq!(config.cache.mode, Mode::Off);
    assert_eq!(config.server.workers, Workers::Fixed(3));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn every_key_is_a_variable() {
    for (variable, value) in [
        ("LARDER_SERVER__DRAIN", "1s"),
        ("LARDER_SERVER__WORKERS", "2"),
        ("LARDER_UPSTREAM__CONNECT_TIMEOUT", "1s"),
        ("LARDER_LISTEN__ADDRESS", "127.0.0.1:1,[::1]:1"),
        ("LARDER_LISTEN__UNIX", "/tmp"),
        ("LARDER_ADMIN__ADDRESS", "127.0.0.1:1"),
        ("LARDER_CACHE__MODE", "observe"),
        ("LARDER_CACHE__TTL", "1s"),
        ("LARDER_CACHE__MEMORY", "4MB"),
        ("LARDER_CACHE__MAX_ANSWER", "1kB"),
        ("LARDER_CATALOG__REFRESH", "1s"),
        ("LARDER_AUTH__RELAY", "false"),
        ("LARDER_AUTH__RECHECK", "1s"),
        ("LARDER_AUTH__AUTH_FILE", "/tmp/userlist.txt"),
        ("LARDER_AUTH__AUTH_QUERY", "SELECT $1, 'x'"),
        ("LARDER_LOG__FORMAT", "text"),
        ("LARDER_LOG__LEVEL", "debug"),
    ] {
        let changed = load(&upstream(), &[(variable, value)]);
        assert_ne!(changed, load(&upstream(), &[]), "{variable}");
    }
}

#[test]
fn listen() {
    let addresses = |variables: &[(&str, &str)], listen: &[&str]| -> Vec<String> {
        let flags = Flags {
            listen: listen.iter().map(|l| l.to_string()).collect(),
            ..upstream()
        };
        load(&flags, variables)
            .listen
            .iter()
            .map(Address::to_string)
            .collect()
    };
    assert_eq!(
        addresses(&[], &["0.0.0.0:5432", "/run/larder"]),
        ["0.0.0.0:5432", "/run/larder/.s.PGSQL.5432"]
    );
    assert_eq!(
        addresses(&[], &["/run/larder"]),
        ["/run/larder/.s.PGSQL.6432"]
    );
    assert_eq!(
        addresses(&[], &["/run/larder/.s.PGSQL.7"]),
        ["/run/larder/.s.PGSQL.7"]
    );
    assert_eq!(
        addresses(&[("LARDER_LISTEN__UNIX", "/a, /b")], &[]),
        ["/a/.s.PGSQL.6432", "/b/.s.PGSQL.6432"]
    );
    // Flags replace, of either kind.
    assert_eq!(
        addresses(&[("LARDER_LISTEN__UNIX", "/a")], &["127.0.0.1:1"]),
        ["127.0.0.1:1"]
    );
    let file = File::new(
        "listen",
        "[listen]\naddress = ['127.0.0.1:1', '[::1]:1']\nunix = '/a'\n",
    );
    let config = load(&file.flags(), &[("LARDER_UPSTREAM__URL", URL)]);
    assert_eq!(config.listen.len(), 3);
}

#[test]
fn unknown_names_are_errors_with_the_nearest() {
    for (text, expected) in [
        (
            "[cache]\nmemroy = '1MB'",
            "unknown key `cache.memroy`; did you mean `cache.memory`?",
        ),
        (
            "[cach]\nmemory = '1MB'",
            "unknown key `cach`; did you mean `cache`?",
        ),
        (
            "[server]\nttl = '1s'",
            "unknown key `server.ttl`; did you mean `cache.ttl`?",
        ),
        (
            "[cache]\ncolour = 'red'",
            "unknown key `cache.colour`; [cache] has `mode`, `ttl`, `transactions`, `memory`, `max_answer`, `coalesce_wait`",
        ),
        (
            "[pancakes]\nx = 1",
            "unknown key `pancakes`; the tables are `server`,",
        ),
        (
            "[[rule]]\ntabel = 'public.t'\nttl = '1s'",
            "did you mean `rule.0.table`?",
        ),
        (
            "[cache]\nmode = 'obsreve'",
            "cache.mode: `obsreve` is not a value it takes; did you mean `observe`?",
        ),
        (
            "[cache]\nmode = 'sideways'",
            "write one of `on`, `observe`, `off`",
        ),
        (
            "[log]\nlevel = 'verbose'",
            "log.level: `verbose` is not a value it takes; write one of `error`,",
        ),
    ] {
        let error = file_refused("unknown", text);
        assert!(error.contains(expected), "{text}: {error}");
        assert!(
            error.contains("unknown.toml"),
            "does not name the file: {error}"
        );
    }
    for (variable, expected) in [
        ("LARDER_CACHE__MEMROY", "did you mean LARDER_CACHE__MEMORY?"),
        (
            "LARDER_LISTEN_ADDRESS",
            "did you mean LARDER_LISTEN__ADDRESS?",
        ),
        (
            "LARDER_PANCAKES",
            "variables are called LARDER_SECTION__KEY",
        ),
    ] {
        let error = refused(&upstream(), &[(variable, "s3cret")]);
        assert!(
            error.starts_with(&format!(
                "unknown environment variable {variable}; {expected}"
            )),
            "{error}"
        );
    }
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_called_larder_are_not_ours() {
    let variables = [
        ("LARDER_SERVICE_HOST", "10.0.0.1"),
        ("LARDER_SERVICE_PORT", "6432"),
        ("LARDER_SERVICE_PORT_POSTGRES", "6432"),
        ("LARDER_PORT", "tcp://10.0.0.1:6432"),
        ("LARDER_PORT_6432_TCP", "tcp://10.0.0.1:6432"),
        ("LARDER_PORT_6432_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(load(&upstream(), &variables), load(&upstream(), &[]));
}

#[test]
fn wrong_values_say_what_to_write_and_where_they_came_from() {
    for (text, expected) in [
        (
            "[cache]\nttl = 5",
            "cache.ttl: `5` is not a duration: write a number with a unit",
        ),
        (
            "[cache]\nmemory = '256XB'",
            "cache.memory: `256XB` is not a size",
        ),
        ("[cache]\nmax_answer = '1TB'", "is more than cache.memory"),
        (
            "[server]\nworkers = 0",
            "server.workers: must be more than zero",
        ),
        (
            "[server]\nworkers = 'many'",
            "server.workers: `many` is neither \"auto\" nor a number",
        ),
        (
            "[server]\ndrain = ['1s']",
            "server.drain: expected a text, found a list",
        ),
        (
            "[catalog]\nrefresh = '0s'",
            "catalog.refresh: must be more than zero",
        ),
        (
            "[listen]\naddress = '127.0.0.1'",
            "listen.address: `127.0.0.1` is not an address: write host:port",
        ),
        (
            "[listen]\naddress = '/run/larder'",
            "Unix sockets are listen.unix",
        ),
        ("[listen]\nunix = 'run/larder'", "is not an absolute path"),
        ("[listen]\naddress = ''", "nothing to listen on"),
        (
            "[listen]\naddress = 'db.example:5432'",
            "which is where Larder itself listens",
        ),
        (
            "[admin]\naddress = '/run/admin'",
            "admin.address: must be host:port",
        ),
        (
            "[[rule]]\ntable = 't'\nttl = '1s'",
            "`t` does not name a schema: write \"schema.table\", such as \"public.t\"",
        ),
        (
            "[[rule]]\ntable = 'public.t'",
            "Give ttl, off, trust or max_bytes",
        ),
        ("[[rule]]\nttl = '1s'", "whom does it mean?"),
        (
            "[[rule]]\nrole = 'a'\noff = true\nttl = '1s'",
            "`off = true` leaves nothing",
        ),
        (
            "[[rule]]\nmatches = '('\noff = true",
            "is no regular expression",
        ),
        (
            "[[rule]]\ntable = 'a.b'\nttl = '1s'\n[[rule]]\ntable = 'a.b'\nttl = '2s'",
            "has a rule already",
        ),
        (
            "[[function]]\nname = 'app.f'\nread = ['app.t']",
            "unknown key `function.0.read`; did you mean `function.0.reads`?",
        ),
        (
            "[[functon]]\nname = 'app.f'",
            "unknown key `functon`; did you mean `function`?",
        ),
        ("[[function]]\nreads = []", "`name` is missing"),
        (
            "[[function]]\nname = 'f'\npure = true",
            "`f` does not name a schema: write \"schema.name\", such as \"public.f\"",
        ),
        (
            "[[function]]\nname = 'a.f(int'\npure = true",
            "`a.f(int` is no function's name",
        ),
        (
            "[[function]]\nname = 'a.f(int,)'\npure = true",
            "its arguments are not types divided by commas",
        ),
        (
            "[[function]]\nname = 'a.f(varchar(3))'\npure = true",
            "its arguments are not types divided by commas",
        ),
        (
            "[[function]]\nname = 'a.f'\nreads = ['t']",
            "function.0.reads: `t` does not name a schema",
        ),
        (
            "[[function]]\nname = 'a.f'\nreads = 3",
            "function.0.reads: expected a text or a list of texts",
        ),
        (
            "[[function]]\nname = 'a.f'\npure = 'maybe'",
            "function.0.pure: `maybe` is neither true nor false",
        ),
        (
            "[[function]]\nname = 'a.f'\npure = true\nwrites = ['a.t']",
            "function.0: `a.f` is declared pure, and to read or write tables",
        ),
        (
            "[[function]]\nname = 'a.f'\npure = false",
            "function.0: nothing is declared of `a.f`: say reads, writes or pure = true",
        ),
        (
            "[[function]]\nname = 'pg_catalog.now()'\npure = true",
            "`pg_catalog.now()` is PostgreSQL's own",
        ),
        (
            "[[function]]\nname = 'a.f( Int )'\npure = true\n[[function]]\nname = 'a.f(int)'\nreads = []",
            "function.1: `a.f(int)` is declared already",
        ),
        (
            "[auth]\nrelay = 'perhaps'",
            "auth.relay: `perhaps` is neither true nor false",
        ),
        (
            "[auth]\nrecheck = '0s'",
            "auth.recheck: must be more than zero",
        ),
        (
            "[auth]\nauth_query = 'SELECT 1'",
            "auth.auth_query: must contain $1",
        ),
        (
            "[auth]\nauth_dbname = 'app'",
            "auth.auth_dbname: nothing runs there",
        ),
        ("[auth]\nauth_flie = 'x'", "did you mean `auth.auth_file`?"),
        (
            "[[users]]\nname = 'ann'",
            "users.0: `ann` could log in with nothing",
        ),
        ("[[users]]\npassword = 's3cret'", "`name` is missing"),
        (
            "[[users]]\nname = 'ann'\npassword = 1234",
            "users.0.password: expected a string, found a number",
        ),
        (
            "[[users]]\nname = 'ann'\npasswd = 's3cret'",
            "did you mean `users.0.password`?",
        ),
        (
            "[[users]]\nname = 'ann'\npassword = 's3cret'\npassword_file = 'x'",
            "keep one",
        ),
        (
            "[[users]]\nname = 'ann'\ncertificate = true",
            "does not log in upstream: give upstream_password",
        ),
        (
            "[[users]]\nname = 'ann'\npassword = 'a'\n[[users]]\nname = 'ann'\npassword = 'b'",
            "users.1: `ann` is there already",
        ),
        ("cache = 'on'", "cache: expected a table, found a text"),
    ] {
        let error = file_refused("wrong", text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let error = refused(&upstream(), &[("LARDER_CACHE__TTL", "soon")]);
    assert!(
        error.starts_with("environment variable LARDER_CACHE__TTL: `soon` is not a duration"),
        "{error}"
    );
    let error = refused(
        &Flags {
            drain: Some("soon".into()),
            ..upstream()
        },
        &[],
    );
    assert!(
        error.starts_with("flag for server.drain: `soon` is not a duration"),
        "{error}"
    );
}

#[test]
fn the_upstream_is_needed() {
    assert!(
        refused(&Flags::default(), &[])
            .contains("no upstream: say where the database is with --upstream")
    );
}

fn with(parameters: &str) -> Flags {
    Flags {
        upstream: Some(format!("{URL}?{parameters}")),
        ..Flags::default()
    }
}

#[test]
fn the_way_to_the_upstream_is_encrypted_as_the_url_or_the_file_says() {
    for (mode, expected) in [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ] {
        let url = format!("sslmode={mode}&sslrootcert=/r");
        assert_eq!(load(&with(&url), &[]).upstream.tls.mode, expected);
        let variables = [
            ("LARDER_UPSTREAM__SSLMODE", mode),
            ("LARDER_UPSTREAM__SSLROOTCERT", "/r"),
        ];
        // A key of its own wins over the URL.
        let tls = load(&with("sslmode=disable"), &variables).upstream.tls;
        assert_eq!(tls.mode, expected);
        assert_eq!(tls.root, Some(RootCert::File("/r".into())));
    }
    let file = File::new(
        "upstreamtls",
        "[upstream]\nsslmode = 'require'\nsslcert = '/c'\nsslkey = '/k'\nsslnegotiation = 'direct'\nchannel_binding = 'require'\n",
    );
    let tls = load(&file.flags(), &[("LARDER_UPSTREAM__URL", URL)])
        .upstream
        .tls;
    assert_eq!(tls.identity, Some(("/c".into(), "/k".into())));
    assert_eq!(tls.negotiation, SslNegotiation::Direct);
    assert_eq!(tls.channel_binding, ChannelBinding::Require);
    for (text, word) in [
        ("sslmode = 'verify-full'", "sslrootcert"),
        ("sslmode = 'requires'", "did you mean `require`?"),
        ("sslmod = 'require'", "upstream.sslmode"),
        ("sslnegotiation = 'direct'", "cannot fall back"),
        ("sslkey = '/k'", "need each other"),
    ] {
        let error = file_refused("upstreamtls2", &format!("[upstream]\n{text}\n"));
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn the_way_of_clients_is_encrypted_as_the_file_says() {
    let file = File::new(
        "clienttls",
        "[tls]\nmode = 'require'\ncertificate = '/c'\nkey = '/k'\nclient_ca = '/a'\nclient_certificates = 'require'\n",
    );
    let tls = load(&file.flags(), &[("LARDER_UPSTREAM__URL", URL)]).tls;
    assert_eq!(tls.mode, TlsMode::Require);
    assert_eq!(tls.client_certificates, ClientCertificates::Require);
    assert_eq!(tls.certificate, Some("/c".into()));
    let variables = [
        ("LARDER_TLS__MODE", "allow"),
        ("LARDER_TLS__SELF_SIGNED", "true"),
    ];
    let tls = load(&upstream(), &variables).tls;
    assert!(tls.self_signed && tls.mode == TlsMode::Allow);
    for (text, word) in [
        ("mode = 'on'", "allow"),
        ("mode = 'allow'", "tls.self_signed"),
        ("mode = 'allow'\nself_signed = 'maybe'", "tls.self_signed"),
        ("mode = 'allow'\nkey = '/k'", "tls.certificate"),
        ("certificat = '/c'", "tls.certificate"),
        (
            "mode = 'require'\nself_signed = true\nclient_certificates = 'require'",
            "tls.client_ca",
        ),
    ] {
        let error = file_refused("clienttls2", &format!("[tls]\n{text}\n"));
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn the_password_is_in_no_complaint() {
    for text in [
        // Quotes forgotten, twice: the reader's own text shows the line.
        "[upstream]\nurl = postgres://app:s3cret@db.example/shop\n",
        "[upstream]\nurl = \"postgres://app:s3cret@db.example/shop\n",
        "[upstream]\nurl = ['postgres://app:s3cret@db.example/shop']\n",
        "[upstream]\nurl = { s3cret = 'x' }\n",
        "[upstream]\nurl = 'app:s3cret@db.example/shop'\n",
        "[upstream]\nurl = 'postgres://app:s3cret'\n",
        "[cache]\nmode = ['s3cret']\n",
    ] {
        let file = File::new("password", text);
        let error = refused(&file.flags(), &[]);
        assert!(
            error.contains("password.toml"),
            "does not name the file: {error}"
        );
    }
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let error = refused(
        &Flags {
            config: Some("/nowhere/larder.toml".into()),
            ..upstream()
        },
        &[],
    );
    assert!(
        error.contains("cannot read the configuration file /nowhere/larder.toml"),
        "{error}"
    );
}

#[test]
fn what_is_looked_at_is_a_share() {
    let file = File::new(
        "share",
        "[verify]\nsample = 0.001\noutside_writers = false\n",
    );
    let config = load(&file.flags(), &[("LARDER_UPSTREAM__URL", URL)]);
    assert_eq!(config.verify.sample, "0.001".parse().unwrap());
    assert!(!config.verify.outside_writers && load(&upstream(), &[]).verify.outside_writers);
    for (name, text, expected) in [
        ("much", "sample = 1.5", "from 0 to 1"),
        ("percent", "sample = '1%'", "from 0 to 1"),
        (
            "maybe",
            "outside_writers = 'maybe'",
            "neither true nor false",
        ),
        ("near", "outside_writer = false", "outside_writers"),
    ] {
        let said = file_refused(name, &format!("[verify]\n{text}\n"));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn numbers_and_texts_read_alike() {
    let file = File::new("alike", "[server]\nworkers = '2'\n");
    let config = load(&file.flags(), &[("LARDER_UPSTREAM__URL", URL)]);
    assert_eq!(config.server.workers, Workers::Fixed(2));
}
