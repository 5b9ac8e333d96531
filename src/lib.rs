//! Larder: a caching sidecar for PostgreSQL.
//!
//! Floors, arrows only point down (`tests/tidy.rs` checks it):
//!
//! | floor | modules | what |
//! |---|---|---|
//! | 5 | `app` | wires the parts, drains them |
//! | 4 | `proxy` `watch` `admin` | one client and its upstream; our own connections; HTTP |
//! | 3 | `net` | sockets, nothing about SQL |
//! | 2 | `session` | the protocol brain of one client: no socket, no clock |
//! | 1 | `cache` | answers, and whether they still hold |
//! | 0 | `wire` `sql` `why` `config` `metrics` `guard` | bytes ⇄ messages; what a statement does; pure |
//!
//! A read: client → net → wire → session → sql → cache → (hit) client; (miss) upstream → session → cache.
//! A write: session → cache::version. Change enters by that one door.
#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod cache;
pub mod config;
mod guard;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod proxy;
pub mod session;
pub mod sql;
pub mod watch;
pub mod why;
pub mod wire;
