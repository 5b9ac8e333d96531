//! The integration tests: one binary, one PostgreSQL, a Larder for each test.
//!
//! Every module compares what a client sees through Larder with what PostgreSQL itself says. Named after the
//! promise they hold Larder to (`p1_…`, `p6_…`) where there is one.

#[path = "../support/accounts.rs"]
mod accounts;
#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/larder.rs"]
mod larder;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/tunnel.rs"]
mod tunnel;
#[path = "../support/wireclient.rs"]
mod wireclient;

#[path = "../support/ground.rs"]
mod ground;

mod badinput;
mod coalescing;
mod commands;
mod configuration;
mod consistency;
mod console;
mod demo;
mod departures;
mod explain;
mod failover;
mod failure;
mod functions;
mod hidden;
mod hiddenwrites;
mod hints;
mod hits;
mod introspection;
mod locks;
mod login;
mod metrics;
mod page;
mod passthrough;
mod pooling;
mod portals;
mod prepared;
mod privileges;
mod prometheus;
mod readings;
mod restarts;
mod rights;
mod selfcheck;
mod settings;
mod severed;
mod show;
mod startup;
mod statements;
mod steering;
mod storms;
mod tls;
mod transactions;
mod twins;
mod upgrade;
mod upstream;
mod writekinds;
mod writes;
