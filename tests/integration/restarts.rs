//! The database stops, crashes, fills up and starts again while clients hit, fill and write.
//!
//! Whatever a client was told has happened is there, nothing older is shown after it, and hits return without a restart of
//! Larder.

use crate::consistency::{SCHEMA, storm};
use crate::ground::Ground;
use crate::larder::at_exit;
use crate::postgres::Stop;
use crate::wireclient::{Answered, Batch, Login};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const READ: &str = "SELECT version FROM rows_a WHERE id = 1";

/// How long a storm lasts: `LARDER_STORM` seconds, or so many.
fn seconds(default: u64) -> Duration {
    let given = std::env::var("LARDER_STORM").ok();
    Duration::from_secs(given.map_or(default, |given| given.parse().expect("seconds")))
}

/// A server of its own, with a role that Larder lets in itself.
fn ground(name: &str) -> (Ground, Vec<Login>) {
    let users = std::env::temp_dir().join(format!("larder-users-{}-{name}", std::process::id()));
    std::fs::write(&users, "\"app\" \"secret\"\n").unwrap();
    at_exit(&format!("rm -f '{}'", users.display()));
    let ground = Ground::alone_with(name, SCHEMA, |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("SERVER__WORKERS", "2")
            .set("AUTH__AUTH_FILE", &users.display().to_string())
    });
    ground
        .direct()
        .ok("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
    ground.warm("rows_a");
    let app = Login::new(ground.port, "app", name).password("secret");
    let logins = vec![ground.login(), app];
    (ground, logins)
}

fn restarts(name: &str, how: &[Stop]) {
    let (mut ground, logins) = ground(name);
    let mut turn = 0;
    // Held open over the restarts: transactions, a copy, one that only hits.
    let over = |ground: &Ground| {
        logins
            .iter()
            .map(|login| ground.over(login))
            .collect::<Vec<_>>()
    };
    let everyone = over(&ground);
    let lost = storm(&mut ground, &logins, seconds(5), &mut |ground| {
        std::thread::sleep(Duration::from_millis(1200));
        let mut held = Vec::new();
        for login in &everyone {
            let Ok(mut writing) = login.try_connect() else {
                continue;
            };
            writing.query("BEGIN");
            writing.query("INSERT INTO rows_a VALUES (100, 1)");
            let Ok(mut copying) = login.try_connect() else {
                continue;
            };
            copying.send(
                Batch::new()
                    .query("COPY rows_a FROM STDIN")
                    .copy_data(b"200\t1\n"),
            );
            let Ok(mut reading) = login.try_connect() else {
                continue;
            };
            reading.query("BEGIN");
            reading.query(READ);
            held.push((writing, copying, reading));
        }
        let server = ground.own.as_mut().expect("its own");
        server.stop(how[turn % how.len()]);
        turn += 1;
        server.start_again();
        for (mut writing, mut copying, mut reading) in held {
            let told = writing.query("COMMIT");
            assert!(!told.complete().contains(&"COMMIT".to_owned()), "{told:?}");
            let told = copying.run(Batch::new().copy_done());
            assert!(told.complete().is_empty(), "{told:?}");
            let _ = reading.query("COMMIT");
        }
    });
    assert!(
        lost > 0,
        "no write was ever lost: the restarts were not tested"
    );
    for login in &logins {
        ground.larder.wait_hit(login, READ);
    }
    let left = "SELECT count(*) FROM rows_a WHERE id >= 100";
    assert_eq!(ground.direct().ok(left).value().as_deref(), Some("0"));
    assert_eq!(ground.through().ok(left).value().as_deref(), Some("0"));
}

#[test]
fn p9_nothing_stale_while_the_server_restarts() {
    restarts("restarts_fast", &[Stop::Fast, Stop::Immediate]);
}

#[test]
fn p9_nothing_stale_while_the_server_is_killed() {
    restarts("restarts_killed", &[Stop::Kill]);
}

/// One backend dies by SIGKILL: PostgreSQL ends all of them and recovers, without having been started anew.
#[test]
fn p9_nothing_stale_while_backends_are_killed() {
    let (mut ground, logins) = ground("restarts_crash");
    let lost = storm(&mut ground, &logins, seconds(5), &mut |ground| {
        std::thread::sleep(Duration::from_millis(1800));
        let Ok(mut direct) = ground.login().try_connect() else {
            return;
        };
        let Some(pid) = direct.query("SELECT pg_backend_pid()").value() else {
            return;
        };
        let Ok(mut other) = ground.login().try_connect() else {
            return;
        };
        let killed = Command::new("kill").args(["-9", &pid]).status();
        assert!(killed.expect("kill").success());
        // Until the server has noticed it still lets clients in, only to end them.
        while other.query("SELECT 1").value().is_some() {
            std::thread::sleep(Duration::from_millis(5));
        }
        while ground.login().try_connect().is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(
        lost > 0,
        "no write was ever lost: the crashes were not tested"
    );
    for login in &logins {
        ground.larder.wait_hit(login, READ);
    }
}

/// What a crash takes back was visible before: commits that did not wait for the disk.
#[test]
fn p9_a_commit_that_a_crash_took_back_is_not_served() {
    let (mut ground, logins) = ground("restarts_async");
    let mut taken = 0;
    for login in logins.iter().cycle().take(6) {
        let login = ground.over(login);
        ground.larder.wait_hit(&login, READ);
        let mut client = login.connect();
        client.ok("SET synchronous_commit = off");
        client.ok("UPDATE rows_a SET version = version + 1 WHERE id = 1");
        let seen = client.ok(READ).value();
        client.ok(READ);
        let server = ground.own.as_mut().expect("its own");
        server.stop(Stop::Kill);
        server.start_again();
        let now = ground.direct().ok(READ).value();
        for _ in 0..3 {
            if let Ok(mut client) = login.try_connect() {
                assert_eq!(client.ok(READ).value(), now);
            }
        }
        taken += usize::from(now != seen);
    }
    println!("{taken} of 6 commits were taken back");
}

/// A small file system; `None`, and said, where this process may not mount one.
struct Small(PathBuf);

impl Small {
    fn new(name: &str, megabytes: usize, owner: &Path) -> Option<Small> {
        let path = std::env::temp_dir().join(format!("larder-small-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .output();
        if !mount.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("NOT TESTED: a full disk: {mount:?}");
            let _ = std::fs::remove_dir(&path);
            return None;
        }
        at_exit(&format!(
            "umount -l '{0}' 2>/dev/null; rmdir '{0}' 2>/dev/null",
            path.display()
        ));
        let owner = std::fs::metadata(owner).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        Some(Small(path))
    }

    fn grow(&self, megabytes: usize) {
        let size = format!("remount,size={megabytes}m");
        let grown = Command::new("mount")
            .args(["-o", &size])
            .arg(&self.0)
            .status();
        assert!(grown.expect("mount").success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn p9_a_full_disk_is_an_error_that_is_told_and_nothing_stale() {
    let (ground, logins) = ground("restarts_full");
    let data = ground.own.as_ref().expect("its own").data_directory();
    let Some(small) = Small::new("table", 4, &data) else {
        return;
    };
    let mut direct = ground.direct();
    direct.ok(&format!(
        "CREATE TABLESPACE small LOCATION '{}'",
        small.0.display()
    ));
    direct.ok("CREATE TABLE filling (n int, t text) TABLESPACE small");
    direct.ok("ALTER TABLE filling ALTER t SET STORAGE PLAIN");
    let read = "SELECT count(*) FROM filling";
    for login in &logins {
        ground.larder.wait_hit(login, read);
        let mut client = ground.over(login).connect();
        let mut reader = ground.over(login).connect();
        for way in 0..3 {
            let insert =
                "INSERT INTO filling SELECT g, repeat('x', 1000) FROM generate_series(1, 1000) g";
            let mut full = false;
            for _ in 0..20 {
                let told = match way {
                    0 => client.query(insert),
                    1 => client.extended(insert, &[]),
                    _ => {
                        client.ok("BEGIN");
                        let told = client.query(insert);
                        let end = client.query("COMMIT");
                        assert_eq!(
                            end.complete(),
                            [if told.error().is_some() {
                                "ROLLBACK"
                            } else {
                                "COMMIT"
                            }]
                        );
                        told
                    }
                };
                assert_eq!(reader.ok(read).value(), direct.ok(read).value());
                if told.error().is_some() {
                    assert_eq!(told.sqlstate().as_deref(), Some("53100"), "{told:?}");
                    full = true;
                    break;
                }
            }
            assert!(full, "the disk is not full");
            assert_eq!(reader.ok(read).value(), direct.ok(read).value());
        }
        // Space is back.
        small.grow(64);
        client.ok("TRUNCATE filling");
        assert_eq!(reader.ok(read).value().as_deref(), Some("0"));
        client.ok("INSERT INTO filling VALUES (1, 'x')");
        assert_eq!(reader.ok(read).value().as_deref(), Some("1"));
        client.ok("TRUNCATE filling");
        ground.larder.wait_hit(login, read);
        small.grow(4);
    }
    direct.ok("DROP TABLE filling");
    direct.ok("DROP TABLESPACE small");
}

/// Where the write-ahead log is full PostgreSQL panics, and starts again once there is room.
#[test]
fn p9_a_full_write_ahead_log_ends_all_and_hits_return() {
    let (mut ground, logins) = ground("restarts_wal");
    let server = ground.own.as_mut().expect("its own");
    let data = server.data_directory();
    let Some(small) = Small::new("wal", 80, &data) else {
        return;
    };
    ground.direct().ok(
        "CREATE TABLE filling (n int, t text); ALTER TABLE filling ALTER t SET STORAGE PLAIN; CHECKPOINT",
    );
    let server = ground.own.as_mut().expect("its own");
    server.stop(Stop::Fast);
    let (log, moved) = (data.join("pg_wal"), small.0.join("pg_wal"));
    server.copy_data(&log, &moved);
    std::fs::remove_dir_all(&log).unwrap();
    std::os::unix::fs::symlink(&moved, &log).unwrap();
    server.start_again();
    // Nothing is recycled: the log grows until there is no room.
    for sql in [
        "ALTER SYSTEM SET max_wal_size = '10GB'",
        "ALTER SYSTEM SET checkpoint_timeout = '1h'",
        "SELECT pg_reload_conf()",
    ] {
        ground.direct().ok(sql);
    }
    let read = "SELECT count(*) FROM filling";
    for login in &logins {
        ground.larder.wait_hit(login, read);
    }
    let (mut writer, mut acknowledged) = (ground.through(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let told = writer.query(
            "INSERT INTO filling SELECT g, repeat('x', 1900) FROM generate_series(1, 2000) g",
        );
        if told.error().is_some() || !told.tags().ends_with('Z') {
            break;
        }
        acknowledged += 2000;
        let seen = ground.over(&logins[1]).connect().ok(read).value();
        assert_eq!(seen, Some(acknowledged.to_string()));
        assert!(Instant::now() < deadline, "the log is not full");
    }
    // Nobody is told anything but errors meanwhile, or what is true.
    for login in &logins {
        if let Ok(mut client) = ground.over(login).try_connect() {
            let told = client.query(read);
            assert!(
                told.value()
                    .is_none_or(|seen| seen == acknowledged.to_string()),
                "{told:?}"
            );
        }
    }
    small.grow(400);
    let deadline = Instant::now() + Duration::from_secs(60);
    // It may have ended itself while it recovered.
    while ground.login().try_connect().is_err() {
        assert!(Instant::now() < deadline, "it does not come back");
        let server = ground.own.as_mut().expect("its own");
        let ended = server
            .postmaster()
            .is_none_or(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if ended {
            server.stop(Stop::Fast);
            server.start_again();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for login in &logins {
        let now = ground.direct().ok(read).value();
        assert_eq!(ground.over(login).connect().ok(read).value(), now);
        ground.larder.wait_hit(login, read);
        ground
            .over(login)
            .connect()
            .ok("INSERT INTO filling VALUES (0, '')");
    }
    let now = ground.direct().ok(read).value();
    for login in &logins {
        assert_eq!(ground.over(login).connect().ok(read).value(), now);
    }
    drop(ground); // before its disk
    drop(small);
}
