//! The catalog against a real PostgreSQL.
#[path = "support/postgres.rs"]
mod postgres;

use postgres::{Options, Stop};

#[tokio::test]
async fn the_server_comes_and_goes() {
    let mut server = Options::new().set("wal_level", "logical").start();
    let level = server.sql("postgres", "SHOW wal_level").await;
    assert_eq!(level, [[Some("logical".to_owned())]]);
    server.stop(Stop::Immediate);
    server.start_again();
    assert_eq!(server.sql("postgres", "SELECT 1").await.len(), 1);
    let directory = server.data_directory();
    drop(server);
    assert!(!directory.exists());
}
