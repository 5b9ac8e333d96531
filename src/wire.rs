//! Bytes ⇄ messages of PostgreSQL's protocol 3.0 (manual, chapter 55): pure functions, nothing about SQL.

pub mod frame;
pub mod message;
pub mod scram;
pub mod startup;
pub mod verifier;
