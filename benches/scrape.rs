//! Time of a scrape with many statements seen: `cargo bench --bench scrape`.
//!
//! The promise is 20 ms with 10,000; a hit is not held up at all, and a text that a thread sees for the first time for no
//! longer than the thread's records are walked through.

use larder::metrics::{Metrics, Name, Outcome, SHOWN, number};
use std::hint::black_box;
use std::time::{Duration, Instant};

const STATEMENTS: usize = 10_000;
const THREADS: usize = 2;
const CLIENTS: usize = 5_000;
const ROUNDS: usize = 50;
const LIMIT: Duration = Duration::from_millis(20);

fn main() {
    let metrics = Metrics::telling_apart(STATEMENTS, SHOWN, THREADS).expect("metrics");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| metrics.roll.client(Name::default()))
        .collect();
    let recorders: Vec<_> = (0..THREADS)
        .map(|n| metrics.recorder(n).expect("a thread"))
        .collect();
    for recorder in &recorders {
        for n in 0..STATEMENTS {
            let shape =
                format!("SELECT a{n}, b, c, d FROM some_table_{n} WHERE id = ? AND e IN (?, ...)");
            let record = recorder.book.record(number(&shape), &shape);
            for _ in 0..=n % 7 {
                recorder.book.hit(&record, 300, 120);
            }
            recorder.book.outcome(&record, Outcome::Miss, None);
        }
    }
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            black_box(metrics.render().expect("an exposition"));
            began.elapsed()
        })
        .collect();
    times.sort();
    let (median, most) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    let bytes = metrics.render().expect("an exposition").len();
    println!(
        "{STATEMENTS} statements on {THREADS} threads, {CLIENTS} clients: median {median:.2?}, most {most:.2?}, {bytes} bytes"
    );
    let kept = median <= LIMIT || cfg!(debug_assertions);
    assert!(
        kept,
        "a scrape takes {median:?}, and {LIMIT:?} are promised"
    );
    drop(clients);
}
