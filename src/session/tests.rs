//! Tests of the session: a client's and an upstream's bytes go in, what comes out is looked at.
//!
//! `world` feeds a session by hand, `backend` is a small PostgreSQL with two tables: what a client is told through
//! Larder is compared with what it would have been told without it. `simulation` runs many clients through one ledger
//! and one store against `simulation_server`, whose commits become visible when they like.

mod backend;
mod binding_tests;
mod describe_tests;
mod execute_tests;
mod explained_tests;
mod hints_tests;
mod joining_tests;
mod ledger_tests;
mod limits_tests;
mod locks_tests;
mod order_tests;
mod portal_tests;
mod random_tests;
mod refusal_tests;
mod selfcheck_tests;
mod simulation;
mod simulation_client;
mod simulation_oracle;
mod simulation_server;
mod world;
