//! What operators reach: the HTTP listener.

pub mod http;
