//! What plans, signatures and effects cost in the kernel, each beside what it cannot be faster than.
//!
//! `cargo bench -p aos-kernel --bench effects` prints the table that stands in `docs/performance.md`. All rows take turns
//! within one run, and the median turn counts, so that a machine that gets slower is slower for all of them.
//! Here: the turns and the table. Read next: `world.rs`, the world that is measured; `signatures.rs`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on stops")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark reads a clock and fills the cores"
)]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod policies;
mod signatures;
mod world;

use std::time::{Duration, Instant};

use crate::policies::Sets;
use crate::signatures::Signed;
use crate::world::Running;

/// Turns of each contender; one more comes first and does not count.
const TURNS: usize = 100;

/// What a turn of one contender took, per piece: a row of the table each.
type Turn<'a> = Box<dyn FnMut() -> Vec<(&'static str, Duration)> + 'a>;

fn main() {
    let signed = Signed::new();
    let mut events = Running::new();
    let mut steps = Running::new();
    let mut raises = Running::new();
    let mut effects = Running::new();
    let instances = Running::new();
    let decisions = Running::new();
    let sets = Sets::new();
    let mut contenders: Vec<Turn<'_>> = vec![
        Box::new(|| vec![signed.bare_sign()]),
        Box::new(|| vec![signed.sign()]),
        Box::new(|| vec![signed.bare_verify()]),
        Box::new(|| vec![signed.verify()]),
        Box::new(|| vec![signed.verify_on_all_cores()]),
        Box::new(|| vec![events.events()]),
        Box::new(|| vec![instances.bare_steps()]),
        Box::new(|| vec![steps.steps()]),
        Box::new(|| vec![raises.raises()]),
        Box::new(|| vec![decisions.decisions()]),
        Box::new(|| sets.decide()),
        Box::new(|| effects.effects()),
    ];
    let mut rows: Vec<(&str, Vec<Duration>)> = Vec::new();
    for first in 0..=TURNS {
        for place in 0..contenders.len() {
            let next = (first + place) % contenders.len();
            for (row, time) in contenders.get_mut(next).map(|turn| turn()).unwrap_or_default() {
                match rows.iter_mut().find(|(known, _)| *known == row) {
                    Some((_, times)) => times.push(time),
                    // The first turn warms up.
                    None => rows.push((row, Vec::new())),
                }
            }
        }
    }
    let rows: Vec<(&str, Duration)> = rows.into_iter().map(|(row, times)| (row, median(times))).collect();
    print(&rows);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A row, the rows whose sum it is compared with, and what that sum is called.
const TABLE: &[(&str, &[&str], &str)] = &[
    (signatures::BARE_SIGN, &[], ""),
    (signatures::SIGN, &[signatures::BARE_SIGN], "the bare signature"),
    (signatures::BARE_VERIFY, &[], ""),
    (signatures::VERIFY, &[signatures::BARE_VERIFY], "the bare verification"),
    (signatures::ALL_CORES, &[signatures::VERIFY], "the row above"),
    (policies::TWO, &[], ""),
    (policies::TWO_OF_MANY, &[policies::TWO], "the row above"),
    (policies::MANY, &[policies::TWO], "that with 2"),
    (world::EVENT, &[], ""),
    (world::BARE_STEP, &[], ""),
    (world::STEP, &[world::BARE_STEP], "the row above"),
    (world::RAISE, &[world::EVENT], "an event"),
    (world::DECISION, &[], ""),
    (world::ASKED, &[world::EVENT, world::DECISION], "an event and that decision"),
    (world::ANSWERED, &[world::EVENT, signatures::BARE_VERIFY], "an event and a bare verification"),
    (
        world::WHOLE,
        &[world::EVENT, world::EVENT, world::DECISION, signatures::BARE_VERIFY],
        "two events, the decision and a bare verification",
    ),
];

fn print(rows: &[(&str, Duration)]) {
    let time = |row: &str| rows.iter().find(|(known, _)| *known == row).map_or(Duration::ZERO, |(_, time)| *time);
    println!("| what | time | a second | |\n|---|---|---|---|");
    for (row, bounds, bound_name) in TABLE {
        let (took, bound) = (time(row).as_secs_f64(), bounds.iter().map(|row| time(row)).sum::<Duration>());
        let ratio = match bounds {
            [] => String::new(),
            _ => format!("{:.2} of {bound_name}", took / bound.as_secs_f64()),
        };
        println!("| {row} | {:.2} µs | {:.0} | {ratio} |", took * 1e6, 1.0 / took);
    }
}

/// Runs something so many times and returns what one took.
fn each<T>(items: impl IntoIterator<Item = T>, mut run: impl FnMut(T)) -> Duration {
    let mut count = 0;
    let items: Vec<T> = items.into_iter().collect();
    let start = Instant::now();
    for item in items {
        run(item);
        count += 1;
    }
    start.elapsed() / count
}
