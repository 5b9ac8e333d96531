//! A TCP relay that delays each direction by a fixed time, to put a server "0.5 ms away" on one machine.
//!
//! usage: relay --listen A:P --to A:P [--delay-us N] [--trim-ns N]      N microseconds each way (default 250)
//!        relay --check [--delay-us N] [--trim-ns N] [--rounds N]       measures its own accuracy by ping-pong
//!
//! * One thread, epoll and a timerfd: the event loops of runtimes count in milliseconds, which is more than the
//!   delay itself, and a thread per connection would take the cores from what is measured.
//! * Every chunk is stamped when it is read and leaves at stamp + delay. The delay is the same for all, so what is on
//!   its way is one queue in order of departure, and bytes of one connection cannot overtake each other.
//! * A sleeping thread is late, once for the arrival of a chunk and once for the timer, and system calls take their time:
//!   0.1 ms a round trip on a small virtual machine. So the relay first plays ping-pong with itself and takes
//!   what it measures too much (`trim`) off the delay.
//! * No bandwidth limit. A receiver that does not read stops its sender after `WINDOW` bytes, nobody else.
//! * An end of stream travels like data. A TCP handshake does not: connecting takes no longer than without.

mod check;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

/// Bytes of one direction that may be on their way or unwritten before its sender is no longer read.
const WINDOW: usize = 4 << 20;
const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// Nanoseconds of CLOCK_MONOTONIC, the clock the timerfd counts in.
pub fn now() -> u64 {
    let t = rustix::time::clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// One direction of a connection: from `ends[side]` to `ends[1 - side]`.
#[derive(Default)]
struct Flow {
    /// Arrived but not taken by the receiver's socket yet.
    unwritten: VecDeque<Vec<u8>>,
    /// Bytes under way or unwritten.
    held: usize,
    /// The end of stream has arrived at the far side.
    ending: bool,
    /// The sender has closed.
    read_closed: bool,
    /// The receiver has been told so, or is gone.
    done: bool,
}

struct Pair {
    serial: u64,
    ends: [TcpStream; 2],
    flows: [Flow; 2],
    interest: [EventFlags; 2],
}

/// Something that arrives at the far side at `due`; no data means the end of the stream.
struct Parcel {
    due: u64,
    slot: usize,
    serial: u64,
    side: usize,
    data: Option<Vec<u8>>,
}

pub struct Relay {
    listener: TcpListener,
    to: SocketAddr,
    /// Nanoseconds from a chunk's reading to its writing.
    delay: u64,
    epoll: OwnedFd,
    timer: OwnedFd,
    armed: u64,
    pairs: Vec<Option<Pair>>,
    serial: u64,
    queue: VecDeque<Parcel>,
    buffer: Vec<u8>,
}

impl Relay {
    pub fn new(listen: SocketAddr, to: SocketAddr, delay: u64) -> std::io::Result<Relay> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        epoll::add(
            &epoll,
            &timer,
            EventData::new_u64(TIMER),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(Relay {
            listener,
            to,
            delay,
            epoll,
            timer,
            armed: 0,
            pairs: Vec::new(),
            serial: 0,
            queue: VecDeque::new(),
            buffer: vec![0; 256 << 10],
        })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn run(&mut self) -> std::io::Result<()> {
        let mut events = Vec::with_capacity(256);
        loop {
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    // edge-triggered: its expiry needs no reading
                    TIMER => self.armed = 0,
                    token => {
                        let (slot, side) = ((token >> 1) as usize, (token & 1) as usize);
                        let flags = event.flags;
                        let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
                        if gone || flags.contains(EventFlags::IN) {
                            self.read(slot, side, gone);
                        }
                        if flags.contains(EventFlags::OUT) {
                            self.flush(slot, 1 - side);
                        }
                        self.settle(slot);
                    }
                }
            }
            self.deliver();
            self.arm()?;
        }
    }

    fn accept(&mut self) {
        while let Ok((client, _)) = self.listener.accept() {
            let Ok(server) = TcpStream::connect(self.to) else {
                continue; // the client sees its connection end
            };
            let slot = self
                .pairs
                .iter()
                .position(Option::is_none)
                .unwrap_or(self.pairs.len());
            let ends = [client, server];
            let prepared = ends.iter().enumerate().try_for_each(|(side, end)| {
                end.set_nodelay(true)?;
                end.set_nonblocking(true)?;
                let token = EventData::new_u64((slot as u64) << 1 | side as u64);
                epoll::add(&self.epoll, end, token, EventFlags::IN)?;
                Ok::<(), std::io::Error>(())
            });
            if prepared.is_err() {
                continue;
            }
            self.serial += 1;
            let pair = Pair {
                serial: self.serial,
                ends,
                flows: Default::default(),
                interest: [EventFlags::IN; 2],
            };
            if slot == self.pairs.len() {
                self.pairs.push(None);
            }
            self.pairs[slot] = Some(pair);
        }
    }

    /// Takes one chunk from `ends[side]` and sends it on its way.
    fn read(&mut self, slot: usize, side: usize, gone: bool) {
        let Some(pair) = self.pairs[slot].as_mut() else {
            return;
        };
        let flow = &mut pair.flows[side];
        if flow.read_closed && gone {
            // epoll reports a dead socket for ever, asked or not
            let _ = epoll::delete(&self.epoll, &pair.ends[side]);
        }
        if flow.read_closed || flow.held >= WINDOW {
            return;
        }
        let data = match pair.ends[side].read(&mut self.buffer) {
            Ok(0) => None,
            Ok(n) => Some(self.buffer[..n].to_vec()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => None,
        };
        flow.read_closed = data.is_none();
        flow.held += data.as_ref().map_or(0, Vec::len);
        self.queue.push_back(Parcel {
            due: now() + self.delay,
            slot,
            serial: pair.serial,
            side,
            data,
        });
    }

    /// Hands over everything that is due.
    fn deliver(&mut self) {
        while self.queue.front().is_some_and(|p| p.due <= now()) {
            let Some(Parcel {
                slot,
                serial,
                side,
                data,
                ..
            }) = self.queue.pop_front()
            else {
                return;
            };
            let Some(pair) = self.pairs[slot].as_mut().filter(|p| p.serial == serial) else {
                continue;
            };
            match data {
                Some(data) => pair.flows[side].unwritten.push_back(data),
                None => pair.flows[side].ending = true,
            }
            self.flush(slot, side);
            self.settle(slot);
        }
    }

    /// Writes what has arrived of the flow that starts at `ends[side]`, as far as the socket takes it.
    fn flush(&mut self, slot: usize, side: usize) {
        let Some(pair) = self.pairs[slot].as_mut() else {
            return;
        };
        let flow = &mut pair.flows[side];
        let out = &mut pair.ends[1 - side];
        while let Some(chunk) = flow.unwritten.front_mut() {
            match out.write(chunk) {
                Ok(n) => {
                    flow.held -= n;
                    if n == chunk.len() {
                        flow.unwritten.pop_front();
                    } else {
                        chunk.drain(..n);
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    // the receiver is gone: both directions end
                    pair.flows.iter_mut().for_each(|f| f.done = true);
                    return;
                }
            }
        }
        if flow.ending && !flow.done {
            flow.done = true;
            let _ = out.shutdown(Shutdown::Write);
        }
    }

    /// Drops a finished pair, or asks epoll for what the pair now waits for.
    fn settle(&mut self, slot: usize) {
        let Some(pair) = self.pairs[slot].as_mut() else {
            return;
        };
        if pair.flows.iter().all(|f| f.done) {
            self.pairs[slot] = None; // closing the sockets takes them out of the epoll
            return;
        }
        for side in 0..2 {
            let mut want = EventFlags::empty();
            if !pair.flows[side].read_closed && pair.flows[side].held < WINDOW {
                want |= EventFlags::IN;
            }
            if !pair.flows[1 - side].unwritten.is_empty() {
                want |= EventFlags::OUT;
            }
            if want != pair.interest[side] {
                pair.interest[side] = want;
                let token = EventData::new_u64((slot as u64) << 1 | side as u64);
                let _ = epoll::modify(&self.epoll, &pair.ends[side], token, want);
            }
        }
    }

    /// Sets the timer to the next departure; an armed one is kept, since departures only get later.
    fn arm(&mut self) -> std::io::Result<()> {
        let Some(next) = self.queue.front().map(|p| p.due) else {
            return Ok(());
        };
        if self.armed == next {
            return Ok(());
        }
        self.armed = next;
        let value = Timespec {
            tv_sec: (next / 1_000_000_000) as i64,
            tv_nsec: (next % 1_000_000_000) as _,
        };
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spec = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }
}

fn main() {
    let (mut listen, mut to, mut trim) = (None, None, None);
    let (mut delay_us, mut rounds, mut checking) = (250, 4000, false);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        if flag == "--check" {
            checking = true;
            continue;
        }
        let value = args
            .next()
            .unwrap_or_else(|| panic!("{flag} needs a value"));
        match flag.as_str() {
            "--listen" => listen = Some(value.parse().expect("--listen ADDRESS:PORT")),
            "--to" => to = Some(value.parse().expect("--to ADDRESS:PORT")),
            "--delay-us" => delay_us = value.parse().expect("--delay-us MICROSECONDS"),
            "--trim-ns" => trim = Some(value.parse().expect("--trim-ns NANOSECONDS")),
            "--rounds" => rounds = value.parse().expect("--rounds N"),
            _ => panic!("unknown option {flag}"),
        }
    }
    let trim = trim.unwrap_or_else(|| check::calibrate(delay_us));
    println!(
        "relay: {delay_us} µs each way, of which {} µs are the relay's own",
        trim as f64 / 1000.0
    );
    let delay = (delay_us * 1000).saturating_sub(trim);
    if checking {
        return check::run(delay_us, delay, rounds);
    }
    let listen = listen.expect("--listen ADDRESS:PORT");
    Relay::new(listen, to.expect("--to ADDRESS:PORT"), delay)
        .and_then(|mut relay| relay.run())
        .unwrap_or_else(|e| panic!("relay: {e}"));
}
