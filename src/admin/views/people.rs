//! Who is connected, on both sides, in PgBouncer's columns.
//!
//! What PgBouncer has and Larder has not is empty or 0: the local address, cancel requests that wait, servers that are
//! tested, replication connections (their bytes are not looked at). Columns of Larder's own are at the end.

use super::super::desk::Desk;
use super::{Value, View, row, time};
use crate::config::Setting;
use crate::metrics::State;
use crate::net::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The settings in force, looked up once for all rows.
struct Settings(Vec<Setting>);

impl Settings {
    fn of(desk: &Desk) -> Settings {
        Settings((desk.settings)())
    }

    fn get(&self, key: &str) -> &str {
        let found = self.0.iter().find(|setting| setting.key == key);
        found.map_or("", |setting| &setting.value)
    }

    fn number(&self, key: &str) -> u64 {
        self.get(key).parse().unwrap_or(0)
    }
}

#[derive(Default)]
struct Pool {
    cl_active: u64,
    cl_waiting: u64,
    sv_active: u64,
    sv_idle: u64,
    maxwait: Duration,
    pooled: bool,
    relayed: u64,
}

const POOLS: &[&str] = &[
    "database",
    "user",
    "cl_active",
    "cl_waiting",
    "cl_active_cancel_req",
    "cl_waiting_cancel_req",
    "sv_active",
    "sv_active_cancel",
    "sv_being_canceled",
    "sv_idle",
    "sv_used",
    "sv_tested",
    "sv_login",
    "maxwait",
    "maxwait_us",
    "pool_mode",
    "load_balance_hosts",
    "sv_relayed",
];

/// Connections by database and user.
pub fn pools(desk: &Desk) -> View {
    let mut pools: BTreeMap<(Box<str>, Box<str>), Pool> = BTreeMap::new();
    let key = |state: &State| (state.name.database.clone(), state.name.user.clone());
    for client in desk.metrics.roll.clients() {
        let pool = pools.entry(key(&client)).or_default();
        match client.waits {
            Some(waits) => {
                pool.cl_waiting += 1;
                pool.maxwait = pool.maxwait.max(waits);
            }
            None => pool.cl_active += 1,
        }
    }
    for server in desk.metrics.roll.servers() {
        let pool = pools.entry(key(&server)).or_default();
        pool.pooled |= server.name.pooled;
        pool.relayed += u64::from(!server.name.pooled);
        match server.link {
            Some(_) => pool.sv_active += 1,
            None => pool.sv_idle += 1,
        }
    }
    let settings = Settings::of(desk);
    let mode = settings.get("pool.mode");
    let rows = pools.into_iter().map(|((database, user), pool)| {
        row![
            &*database,
            &*user,
            pool.cl_active,
            pool.cl_waiting,
            0u64,
            0u64,
            pool.sv_active,
            0u64,
            0u64,
            pool.sv_idle,
            0u64,
            0u64,
            0u64,
            pool.maxwait.as_secs(),
            u64::from(pool.maxwait.subsec_micros()),
            // A connection that a client has logged in on itself is its own until it leaves.
            if pool.pooled { mode } else { "session" },
            Value::Null,
            pool.relayed,
        ]
    });
    View {
        columns: POOLS,
        rows: rows.collect(),
    }
}

const CONNECTION: &[&str] = &[
    "type",
    "user",
    "database",
    "replication",
    "state",
    "addr",
    "port",
    "local_addr",
    "local_port",
    "connect_time",
    "request_time",
    "wait",
    "wait_us",
    "close_needed",
    "ptr",
    "link",
    "remote_pid",
    "tls",
    "application_name",
    "prepared_statements",
    "id",
];

fn connection(kind: &str, state: State) -> Vec<Value> {
    let is = match (kind, state.waits, state.link) {
        (_, Some(_), _) => "waiting",
        ("S", _, None) => "idle",
        _ => "active",
    };
    let waits = state.waits.unwrap_or_default();
    let (addr, port) = match state.name.peer.rsplit_once(':') {
        Some((addr, port)) => (addr.trim_matches(['[', ']']), port.parse().unwrap_or(0)),
        None => (&*state.name.peer, 0u64),
    };
    row![
        kind,
        &*state.name.user,
        &*state.name.database,
        "none",
        is,
        addr,
        port,
        "",
        0u64,
        time(state.since),
        time(state.asked),
        waits.as_secs(),
        u64::from(waits.subsec_micros()),
        u64::from(state.ends),
        format!("{kind}{}", state.id),
        state.link,
        u64::try_from(state.pid).unwrap_or(0),
        if state.name.tls { "TLS" } else { "" },
        &*state.name.application,
        0u64,
        state.id,
    ]
}

fn listed(kinds: [(&str, Vec<State>); 2]) -> View {
    let rows = kinds.into_iter().flat_map(|(kind, states)| {
        let rows = states.into_iter();
        rows.map(move |state| connection(kind, state))
            .collect::<Vec<_>>()
    });
    View {
        columns: CONNECTION,
        rows: rows.collect(),
    }
}

/// Who is connected.
pub fn clients(desk: &Desk) -> View {
    listed([("C", desk.metrics.roll.clients()), ("S", Vec::new())])
}

/// Connections to the database.
pub fn servers(desk: &Desk) -> View {
    listed([("C", Vec::new()), ("S", desk.metrics.roll.servers())])
}

/// Both.
pub fn sockets(desk: &Desk) -> View {
    let roll = &desk.metrics.roll;
    listed([("C", roll.clients()), ("S", roll.servers())])
}

/// Where clients go.
pub fn databases(desk: &Desk) -> View {
    let (clients, servers) = (desk.metrics.roll.clients(), desk.metrics.roll.servers());
    let gates = &desk.target.gates;
    let known = desk.shared.ledger.all();
    let mut names: BTreeSet<Box<str>> = known.iter().map(|known| known.name().into()).collect();
    let with_catalog = known.iter().filter(|known| known.catalog().is_some());
    let with_catalog: BTreeSet<Box<str>> = with_catalog.map(|known| known.name().into()).collect();
    names.extend(gates.named());
    let now = desk.target.now();
    let (host, port) = match now.as_ref().map(|place| &place.address) {
        Some(Address::Tcp(host, port)) => (Some(host.clone()), u64::from(*port)),
        Some(other) => (Some(other.to_string()), 0),
        None => (None, 0),
    };
    let settings = Settings::of(desk);
    let rows = names.iter().map(|name| {
        let of = |states: &[State]| states.iter().filter(|s| s.name.database == *name).count();
        row![
            &**name,
            host.clone(),
            port,
            &**name,
            Value::Null,
            settings.number("pool.pool_size"),
            settings.number("pool.min_pool_size"),
            settings.number("pool.reserve"),
            settings.get("pool.server_lifetime"),
            settings.get("pool.mode"),
            Value::Null,
            0u64,
            of(&servers),
            0u64,
            of(&clients),
            u64::from(gates.is_paused(name)),
            u64::from(gates.is_disabled(name)),
            with_catalog.contains(name),
        ]
    });
    View {
        columns: &[
            "name",
            "host",
            "port",
            "database",
            "force_user",
            "pool_size",
            "min_pool_size",
            "reserve_pool_size",
            "server_lifetime",
            "pool_mode",
            "load_balance_hosts",
            "max_connections",
            "current_connections",
            "max_client_connections",
            "current_client_connections",
            "paused",
            "disabled",
            "catalog_loaded",
        ],
        rows: rows.collect(),
    }
}

/// Who is connected, by name.
pub fn users(desk: &Desk) -> View {
    let mut users: BTreeMap<Box<str>, [u64; 2]> = BTreeMap::new();
    for client in desk.metrics.roll.clients() {
        users.entry(client.name.user).or_default()[0] += 1;
    }
    for server in desk.metrics.roll.servers() {
        users.entry(server.name.user).or_default()[1] += 1;
    }
    let settings = Settings::of(desk);
    let mode = settings.get("pool.mode");
    let row = |(user, [clients, servers]): (Box<str>, [u64; 2])| {
        row![
            &*user,
            Value::Null,
            Value::Null,
            mode,
            0u64,
            servers,
            0u64,
            clients
        ]
    };
    View {
        columns: &[
            "name",
            "pool_size",
            "reserve_pool_size",
            "pool_mode",
            "max_user_connections",
            "current_connections",
            "max_user_client_connections",
            "current_client_connections",
        ],
        rows: users.into_iter().map(row).collect(),
    }
}

/// How many of what.
pub fn lists(desk: &Desk) -> View {
    let (clients, servers) = (desk.metrics.roll.clients(), desk.metrics.roll.servers());
    let used = servers.iter().filter(|server| server.link.is_some());
    let used = used.count();
    let all = || clients.iter().chain(&servers);
    let users: BTreeSet<_> = all().map(|state| &state.name.user).collect();
    let pools: BTreeSet<_> = all()
        .map(|state| (&state.name.database, &state.name.user))
        .collect();
    View {
        columns: &["list", "items"],
        rows: vec![
            row!["databases", desk.shared.ledger.all().len()],
            row!["users", users.len()],
            row!["peers", 0u64],
            row!["pools", pools.len()],
            row!["peer_pools", 0u64],
            row!["free_clients", 0u64],
            row!["used_clients", clients.len()],
            row!["login_clients", 0u64],
            row!["free_servers", servers.len() - used],
            row!["used_servers", used],
            row!["dns_names", 0u64],
            row!["dns_zones", 0u64],
            row!["dns_queries", 0u64],
            row!["dns_pending", 0u64],
            row!["statements", desk.metrics.statements.lines().len()],
            row!["entries", desk.shared.store.entries()],
        ],
    }
}
