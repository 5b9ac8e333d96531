//! What operators reach: the console in SQL, and HTTP.

pub mod call;
pub mod command;
pub mod console;
pub mod desk;
pub mod http;
pub mod status;
pub mod views;
