//! What the database says of itself, and of what Larder's role may do.

use super::super::explainer::Asker;
use super::Findings;
use super::theschema;
use crate::config::{Config, PoolMode, Pooler, SslMode};
use crate::watch::once::Once;

/// The oldest release that is tested.
const OLDEST: u32 = 130_000;

/// Functions that Larder calls: on its own connections, and `true` on those of clients, too.
const NEEDED: [(&str, bool, &str); 6] = [
    (
        "pg_catalog.pg_control_system()",
        true,
        "which cluster a session is in",
    ),
    (
        "pg_catalog.pg_control_checkpoint()",
        true,
        "its timeline: a promoted server is told from the one before",
    ),
    (
        "pg_catalog.pg_stat_get_activity(integer)",
        true,
        "when a backend was started",
    ),
    (
        "pg_catalog.pg_postmaster_start_time()",
        true,
        "which server a session is on",
    ),
    (
        "pg_catalog.pg_lock_status()",
        true,
        "what a transaction has written",
    ),
    (
        "pg_catalog.pg_terminate_backend(integer, bigint)",
        false,
        "to end a backend whose connection was lost",
    ),
];

const FACTS: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
    pg_is_in_recovery(), current_setting('wal_level'), current_setting('max_connections'), \
    current_setting('superuser_reserved_connections'), current_setting('server_encoding'), \
    (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), \
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) \
        OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE'), \
    current_setting('default_transaction_isolation'), \
    (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')";

/// Who else is a Larder: own connections have that name.
const OTHERS: &str = "SELECT count(DISTINCT coalesce(client_addr::text, 'local')) \
    FROM pg_catalog.pg_stat_activity WHERE application_name = 'larder' AND pid <> pg_backend_pid()";

/// Settings of roles and databases that close what they should not: who, setting, value.
const TIMEOUTS: &str = "SELECT CASE WHEN s.setrole = 0 THEN 'every role' ELSE 'role ' || s.setrole::regrole::text END \
        || CASE WHEN s.setdatabase = 0 THEN '' ELSE ' in database ' || d.datname END, \
        split_part(c, '=', 1), split_part(c, '=', 2), s.setrole::regrole::text = current_user::text \
    FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c \
    WHERE split_part(c, '=', 1) IN ('statement_timeout', 'idle_session_timeout', \
        'idle_in_transaction_session_timeout', 'transaction_timeout') \
    AND (s.setdatabase = 0 OR d.datname = current_database()) ORDER BY 1, 2";

pub(super) async fn look(asker: &Asker<'_>, findings: &mut Findings) {
    let config = asker.config;
    let once = match asker.connect().await {
        Ok(once) => once,
        Err(error) => {
            return findings.fail(
                "upstream",
                error.to_string(),
                "Check upstream.url, its password, pg_hba.conf and the network: clients get no further than this.",
            );
        }
    };
    let user = &config.upstream.user;
    findings.ok("upstream", format!("{} lets {user} in", once.address));
    connection(asker, &once, findings).await;
    match once.row(FACTS).await {
        Ok(facts) => facts_of(config, &facts, findings),
        Err(words) => unasked(findings, "server", &words),
    }
    privileges(&once, findings).await;
    auth_query(config, &once, findings).await;
    timeouts(config, &once, findings).await;
    others(&once, findings).await;
    theschema::look(asker, &once, findings).await;
}

fn unasked(findings: &mut Findings, subject: &'static str, words: &str) {
    let remedy = "Let Larder's role read the system catalogs.";
    findings.warn(subject, format!("cannot be asked: {words}"), remedy);
}

/// TLS, and whether a pooler is in between.
async fn connection(asker: &Asker<'_>, once: &Once, findings: &mut Findings) {
    let config = asker.config;
    let upstream = &config.upstream;
    let shown = asker.dialer.shown(&once.address, &upstream.database).await;
    let shown = match shown {
        Ok(shown) => shown,
        Err(words) => return unasked(findings, "connection", &words),
    };
    let mode = upstream.tls.mode.word();
    match (shown.tls, upstream.tls.mode >= SslMode::VerifyCa) {
        (true, true) => findings.ok("tls", format!("encrypted and verified (sslmode={mode})")),
        (true, false) => findings.note(
            "tls",
            format!("encrypted, but the server is not verified (sslmode={mode})"),
            "Set upstream.sslmode = \"verify-full\" and upstream.sslrootcert.",
        ),
        (false, _) if is_near(&once.address) => {
            findings.ok(
                "tls",
                format!("not encrypted, on this machine (sslmode={mode})"),
            );
        }
        (false, _) => findings.warn(
            "tls",
            format!("not encrypted (sslmode={mode})"),
            "Set ssl = on in the server and upstream.sslmode = \"verify-full\".",
        ),
    }
    match (shown.direct, upstream.pooler) {
        (true, Pooler::None) => findings.ok("pooler", "none in between"),
        (true, _) => findings.note(
            "pooler",
            "none in between, though upstream.pooler names one",
            "Remove upstream.pooler where there is none.",
        ),
        (false, Pooler::None) => findings.fail(
            "pooler",
            "the backend that answers is not the one that was announced: a pooler stands in between, and nothing is served",
            "Connect Larder to PostgreSQL itself (it pools), or set upstream.pooler = \"session\" if the pooler keeps a \
                connection for as long as its client stays.",
        ),
        (false, Pooler::Session) => findings.ok("pooler", "one in session mode, as configured"),
        (false, Pooler::Transaction) => findings.warn(
            "pooler",
            "one in transaction mode: nothing is served from memory",
            "Connect Larder to PostgreSQL itself, or to a pool in session mode.",
        ),
    }
}

fn is_near(address: &crate::config::Address) -> bool {
    match address {
        crate::config::Address::Unix(_) => true,
        crate::config::Address::Tcp(host, _) => {
            host == "localhost" || host.starts_with("127.") || host == "::1"
        }
    }
}

fn facts_of(config: &Config, facts: &[Option<String>], findings: &mut Findings) {
    let fact = |n: usize| facts.get(n).cloned().flatten().unwrap_or_default();
    let number = |n: usize| fact(n).parse::<u32>().unwrap_or_default();
    match number(0) {
        version if version < OLDEST => findings.warn(
            "server",
            format!("PostgreSQL {}", fact(1)),
            "Larder is tested with PostgreSQL 13 to 18.",
        ),
        _ => findings.ok("server", format!("PostgreSQL {}", fact(1))),
    }
    if fact(2) == "t" {
        findings.warn(
            "recovery",
            "the server is in recovery (a standby): nothing is served from memory, as it shows another server's writes late",
            "Let upstream.url lead to the primary, with target_session_attrs=read-write where it names several.",
        );
    } else {
        findings.ok("recovery", "no: it takes writes");
    }
    if fact(6) != "UTF8" {
        findings.warn(
            "encoding",
            format!("the database's encoding is {}: nothing is served", fact(6)),
            "Only databases in UTF8 are served from memory.",
        );
    }
    if fact(9).eq_ignore_ascii_case("serializable") {
        findings.warn(
            "isolation",
            "the default is SERIALIZABLE: nothing is served",
            "Set default_transaction_isolation = 'read committed' for the roles whose reads shall be served.",
        );
    }
    let replicates = if fact(7) == "t" { "may" } else { "may not" };
    findings.note(
        "outside writes",
        format!(
            "not followed: writes past Larder show when the time to live ends (wal_level = {}, the role {replicates} replicate)",
            fact(3)
        ),
        "Let every writer go through Larder, or give the tables that others write a short ttl by a [[rule]].",
    );
    match fact(8) == "t" {
        true => findings.ok("lost backends", "the role may end other roles' backends"),
        false => findings.note(
            "lost backends",
            "the role may not end other roles' backends: after a lost connection what was being written stays uncached \
                until PostgreSQL ends the backend itself",
            "GRANT pg_signal_backend to Larder's role, or set client_connection_check_interval and tcp_keepalives in the server.",
        ),
    }
    connections(config, (number(4), number(5), number(10)), findings);
}

/// Pools against what the server allows.
fn connections(config: &Config, (most, reserved, used): (u32, u32, u32), findings: &mut Findings) {
    let room = most.saturating_sub(reserved);
    let pool = &config.pool;
    let found = format!("the server allows {room} beside its superusers', {used} are open");
    let size = pool.pool_size.unwrap_or(match pool.mode {
        PoolMode::Session => 0,
        PoolMode::Transaction => 20,
    });
    let wanted = match (size, pool.max_client_conn) {
        (0, 0) => {
            return findings.note(
                "connections",
                format!("{found}; as many clients as come may each want one"),
                "Set pool.mode = \"transaction\" or pool.pool_size, and pool.max_client_conn.",
            );
        }
        (0, clients) => clients,
        (size, _) => size + pool.reserve,
    };
    let words = match size {
        0 => format!("{found}; {wanted} clients may each want one"),
        _ => format!("{found}; Larder opens up to {wanted} per user and database"),
    };
    // A few are Larder's own.
    if wanted + 4 > room as usize {
        findings.warn(
            "connections",
            words,
            "Lower pool.pool_size or pool.max_client_conn, or raise max_connections in the server.",
        );
    } else {
        findings.ok("connections", words);
    }
}

async fn privileges(once: &Once, findings: &mut Findings) {
    let mut missing = 0;
    for (function, of_clients, reason) in NEEDED {
        let roles = match of_clients {
            true => "'public', current_user",
            false => "current_user, current_user",
        };
        let query = format!(
            "SELECT bool_and(has_function_privilege(r, '{function}', 'EXECUTE')) FROM unnest(ARRAY[{roles}]::name[]) r"
        );
        match once.row(&query).await {
            Ok(row) if row.first().is_some_and(|may| may.as_deref() == Some("t")) => {}
            // It is younger than the server.
            Err(words) if words.contains("does not exist") => {}
            Ok(_) => {
                missing += 1;
                findings.warn(
                    "privileges",
                    format!("not everybody may call {function}, which tells {reason}"),
                    &format!(
                        "GRANT EXECUTE ON FUNCTION {function} TO PUBLIC, as PostgreSQL does itself."
                    ),
                );
            }
            Err(words) => {
                missing += 1;
                unasked(findings, "privileges", &words);
            }
        }
    }
    if missing == 0 {
        findings.ok("privileges", "what Larder asks may be asked");
    }
}

async fn auth_query(config: &Config, once: &Once, findings: &mut Findings) {
    let Some(query) = &config.auth.auth_query else {
        return;
    };
    let user = &config.upstream.user;
    let prepared = once
        .client()
        .prepare_typed(query, &[tokio_postgres::types::Type::TEXT]);
    let answer = match prepared.await {
        Ok(statement) => once.client().query(&statement, &[user]).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(rows) if rows.len() == 1 => findings.ok("auth_query", format!("it finds {user}")),
        Ok(rows) => findings.warn(
            "auth_query",
            format!("it gives {} rows for {user}, one is expected", rows.len()),
            "Let it give one row, name and verifier, of the user that $1 names.",
        ),
        Err(error) => findings.fail(
            "auth_query",
            match error.as_db_error() {
                Some(words) => words.to_string(),
                None => error.to_string(),
            },
            "Let Larder's role run auth.auth_query, by a SECURITY DEFINER function for instance.",
        ),
    }
}

/// Time-outs that end what should stay.
async fn timeouts(config: &Config, once: &Once, findings: &mut Findings) {
    let own = "SELECT current_setting('statement_timeout'), current_setting('idle_session_timeout', true)";
    let own = match once.row(own).await {
        Ok(own) => own,
        Err(words) => return unasked(findings, "time-outs", &words),
    };
    let set = |n: usize| {
        own.get(n)
            .cloned()
            .flatten()
            .filter(|value| value != "0" && !value.is_empty())
    };
    let mut any = false;
    if let Some(value) = set(0) {
        any = true;
        findings.warn(
            "time-outs",
            format!("statement_timeout = {value} for Larder's role: loading a large catalog may fail by it"),
            "ALTER ROLE of upstream.url SET statement_timeout = 0.",
        );
    }
    if let Some(value) = set(1) {
        any = true;
        findings.warn(
            "time-outs",
            format!("idle_session_timeout = {value} for Larder's role: what is kept in memory is void whenever its connection is closed"),
            "ALTER ROLE of upstream.url SET idle_session_timeout = 0.",
        );
    }
    let rows = once.rows(TIMEOUTS).await.unwrap_or_default();
    for row in rows {
        let field = |n: usize| row.get(n).cloned().flatten().unwrap_or_default();
        let (who, name, value) = (field(0), field(1), field(2));
        if value == "0" || field(3) == "t" {
            continue;
        }
        any = true;
        let found = format!("{name} = {value} for {who}");
        match &*name {
            "idle_session_timeout" if config.pool.mode == PoolMode::Transaction => findings.warn(
                "time-outs",
                format!("{found}: it closes connections that are kept for others"),
                "Let it be more than pool.server_idle_timeout, or 0: Larder closes what nobody uses.",
            ),
            "idle_session_timeout" => findings.note(
                "time-outs",
                format!("{found}: clients whose reads hit are idle to PostgreSQL, and lose their connection"),
                "Set it to 0 and let Larder or the application close what nobody uses.",
            ),
            "idle_in_transaction_session_timeout" => findings.note(
                "time-outs",
                format!("{found}: a transaction whose reads are answered from memory is idle to PostgreSQL meanwhile"),
                "Let it be longer than the application's longest transaction.",
            ),
            _ => findings.note("time-outs", format!("{found}: it does not count what is answered from memory"), ""),
        }
    }
    if !any {
        findings.ok("time-outs", "none that would hurt");
    }
}

/// Other Larders in front of the same server.
async fn others(once: &Once, findings: &mut Findings) {
    let count = match once.row(OTHERS).await {
        Ok(row) => row.first().cloned().flatten(),
        Err(words) => return unasked(findings, "other Larders", &words),
    };
    let count: u64 = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let remedy = "What is written through one shows through another when the time to live ends. Let all that write a \
        table go through one Larder, or give the table a short ttl by a [[rule]].";
    match count {
        0 => findings.ok("other Larders", "none is connected"),
        1 => findings.note(
            "other Larders",
            "one address has Larders connected; each Larder keeps the promise of own writes (P1) for its own clients only",
            remedy,
        ),
        _ => findings.warn(
            "other Larders",
            format!("{count} addresses have Larders connected: each keeps the promise of own writes (P1) for its own clients only"),
            remedy,
        ),
    }
}
