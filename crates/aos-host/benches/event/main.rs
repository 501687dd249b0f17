//! What an event costs, from the bare engine call up to the disk, as one table of one run on one core.
//!
//! `cargo bench -p aos-host --bench event` prints the table; with `-- --write` it also replaces the one in
//! `docs/performance.md`. What each row means is said there. Never here: what the kernel costs without an engine, which
//! `aos-kernel`'s benchmarks have. Read next: `memory.rs`, then `durable.rs`, `idle.rs`.
#![expect(clippy::print_stdout, reason = "a program for people: printing is what it does")]

mod bare;
mod counter;
mod durable;
mod idle;
mod machine;
mod memory;
mod table;

use std::error::Error;

use counter::Counter;
use table::Table;

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The two children of a run, which measure what needs a process of its own.
    match words.as_slice() {
        [idle::CHILD, ..] => return idle::child(&Counter::build()?),
        [durable::CHILD, group, commits] => {
            return durable::child(&Counter::build()?, group.parse()?, commits.parse()?);
        }
        _ => {}
    }
    let core = machine::keep_to_one_core()?;
    let counter = Counter::build()?;
    let mut table = Table::default();
    memory::measure(&counter, &mut table)?;
    durable::measure(&counter, &mut table)?;
    idle::measure(&mut table)?;
    let text = format!("{}\n\n{table}", machine::describe(core)?);
    println!("{text}");
    if words.contains(&"--write") { table::write(&text) } else { Ok(()) }
}
