//! What the configuration asks of this machine.

use super::Findings;
use crate::config::{Address, Config, Mode, TlsMode, memory_limit};
use rustix::process::{Resource, getrlimit};

/// What a process opens beside its clients.
const OTHER_FILES: u64 = 200;

pub(super) fn look(config: &Config, findings: &mut Findings) {
    findings.ok("configuration", "read; every key is known");
    match config.cache.mode {
        Mode::On => {}
        Mode::Observe => findings.note(
            "mode",
            "observe: it is decided and counted what would be served, and nothing is",
            "Set cache.mode = \"on\" to serve.",
        ),
        Mode::Off => findings.warn(
            "mode",
            "off: everything passes through, nothing is served from memory",
            "Set cache.mode = \"on\" to serve, or \"observe\" to see what would be.",
        ),
    }
    listening(config, findings);
    memory(config, findings);
    open_files(config, findings);
}

fn listening(config: &Config, findings: &mut Findings) {
    let public: Vec<_> = config.listen.iter().filter(|a| !is_local(a)).collect();
    let names = |addresses: &[&Address]| {
        let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let all: Vec<_> = config.listen.iter().collect();
    if !public.is_empty() && config.tls.mode == TlsMode::Off {
        findings.warn(
            "clients",
            format!("{} can be reached by others, without TLS", names(&public)),
            "Set tls.mode = \"require\" with a certificate, or listen on 127.0.0.1 or a Unix socket.",
        );
    } else {
        findings.ok("clients", format!("listens on {}", names(&all)));
    }
    if !is_local(&config.admin.address) {
        findings.note(
            "operators",
            format!(
                "{} can be reached by others: metrics show names of tables",
                config.admin.address
            ),
            "Keep admin.address on 127.0.0.1, or behind a network policy.",
        );
    }
}

fn is_local(address: &Address) -> bool {
    match address {
        Address::Unix(_) => true,
        Address::Tcp(host, _) => {
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback())
        }
    }
}

fn memory(config: &Config, findings: &mut Findings) {
    let answers = config.cache.memory;
    let words = |bytes: u64| format!("{} MB", bytes >> 20);
    let (limit, whose) = match (memory_limit(), machine()) {
        (Some(limit), _) => (limit, "the control group's limit"),
        (None, Some(machine)) => (machine, "the machine's memory"),
        (None, None) => {
            let found = format!("{} for answers; no limit is known", words(answers));
            return findings.note("memory", found, "");
        }
    };
    let found = format!(
        "cache.memory is {}, {whose} {}",
        words(answers),
        words(limit)
    );
    // Connections and catalogs need some, too.
    if answers > limit / 4 * 3 {
        findings.warn(
            "memory",
            found,
            "Lower cache.memory to half of it or less, or raise the limit: connections and catalogs need memory, too.",
        );
    } else {
        findings.ok("memory", found);
    }
}

/// The machine's memory.
fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

fn open_files(config: &Config, findings: &mut Findings) {
    let Some(most) = getrlimit(Resource::Nofile).maximum else {
        return findings.ok("open files", "no limit");
    };
    let clients = config.pool.max_client_conn as u64;
    let room = most.saturating_sub(OTHER_FILES) / 2;
    let found = format!("at most {most}: room for about {room} clients with a connection each");
    if clients > room {
        findings.warn(
            "open files",
            format!("{found}; pool.max_client_conn is {clients}"),
            "Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd), or lower pool.max_client_conn.",
        );
    } else if room < 1000 {
        findings.note(
            "open files",
            found,
            "Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd) where there are more clients.",
        );
    } else {
        findings.ok("open files", found);
    }
}
