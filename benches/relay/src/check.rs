//! Ping-pong through the relay and past it: what the delay really is.

use crate::{Relay, now};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Sends every byte back.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let address = listener.local_addr().expect("address");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut socket = socket;
                let _ = socket.set_nodelay(true);
                let mut buffer = [0; 65536];
                while let Ok(n @ 1..) = socket.read(&mut buffer) {
                    if socket.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Round-trip times in nanoseconds. A pause before each lets both sides fall asleep, as they do when the other is far.
fn ping(address: SocketAddr, rounds: usize, pause: Duration) -> Vec<u64> {
    let mut socket = TcpStream::connect(address).expect("connect");
    socket.set_nodelay(true).expect("nodelay");
    let mut buffer = [0; 64];
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds + 100 {
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let start = now();
        socket.write_all(&[7; 64]).expect("write");
        socket.read_exact(&mut buffer).expect("read");
        if round >= 100 {
            times.push(now() - start);
        }
    }
    times
}

/// A stream that checks order and completeness: bytes come back as they were sent.
fn order(address: SocketAddr) {
    let mut socket = TcpStream::connect(address).expect("connect");
    let mut reader = socket.try_clone().expect("clone");
    let sent: Vec<u8> = (0..16 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let copy = sent.clone();
    let writer = thread::spawn(move || {
        for chunk in copy.chunks(7919) {
            socket.write_all(chunk).expect("write");
        }
        socket
            .shutdown(std::net::Shutdown::Write)
            .expect("shutdown");
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).expect("read");
    writer.join().expect("writer");
    assert!(back == sent, "the relay changed the stream");
}

fn start(to: SocketAddr, delay: u64) -> SocketAddr {
    let mut relay =
        Relay::new(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), to, delay).expect("relay");
    let address = relay.address().expect("address");
    thread::spawn(move || relay.run());
    address
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Nanoseconds each way that the relay takes beyond its delay, with one client.
pub fn calibrate(delay_us: u64) -> u64 {
    let (wanted, echo) = (delay_us * 1000, echo());
    let mut trim = 0;
    for _ in 0..2 {
        let near = median(ping(echo, 1000, Duration::from_micros(2 * delay_us)));
        let through = start(echo, wanted.saturating_sub(trim));
        let far = median(ping(through, 1000, Duration::ZERO));
        trim = (trim + far.saturating_sub(near) / 2).saturating_sub(wanted);
    }
    trim
}

/// Prints the round trips as a table.
pub fn run(delay_us: u64, delay: u64, rounds: usize) {
    let echo = echo();
    let through = start(echo, delay);
    order(through);
    println!("| path | p50, µs | p90, µs | p99, µs | max, µs |\n|---|---:|---:|---:|---:|");
    let away = Duration::from_micros(2 * delay_us);
    for (name, address, clients, pause) in [
        ("direct, 1 client", echo, 1, Duration::ZERO),
        (
            "direct, 1 client, pausing for the delay between",
            echo,
            1,
            away,
        ),
        ("through the relay, 1 client", through, 1, Duration::ZERO),
        (
            "direct, 32 clients, pausing for the delay between",
            echo,
            32,
            away,
        ),
        ("through the relay, 32 clients", through, 32, Duration::ZERO),
    ] {
        let ping = move || ping(address, rounds / clients, pause);
        let threads: Vec<_> = (0..clients).map(|_| thread::spawn(ping)).collect();
        let mut times: Vec<u64> = threads
            .into_iter()
            .flat_map(|t| t.join().expect("ping"))
            .collect();
        times.sort_unstable();
        let at =
            |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)] as f64 / 1000.0;
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} |",
            at(500),
            at(900),
            at(990),
            at(1000)
        );
    }
    println!(
        "\nasked for: {} µs each way, {} µs on top of the direct round trip",
        delay_us,
        2 * delay_us
    );
}
