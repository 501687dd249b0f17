//! The table of a run, as text that stands in a document.

use core::fmt;
use std::path::Path;
use std::time::Duration;

use crate::Done;

/// Where the table stands in `docs/performance.md`: between these two lines.
const MARKS: [&str; 2] = ["<!-- table -->", "<!-- end of table -->"];

/// Rows of what, how much, and how much in comparison.
#[derive(Default)]
pub struct Table(Vec<[String; 3]>);

impl Table {
    /// Adds a time and its ratio to the bare call.
    pub fn ratio(&mut self, row: &str, time: Duration, bare: Duration) {
        let ratio = time.as_secs_f64() / bare.as_secs_f64();
        self.add(row, shown(time), format!("{ratio:.2} of the bare call"));
    }

    /// Adds a time.
    pub fn time(&mut self, row: &str, time: Duration) {
        self.add(row, shown(time), String::new());
    }

    /// Adds how many there were in a second.
    pub fn rate(&mut self, row: &str, count: u32, time: Duration, remark: &str) {
        self.add(row, format!("{:.0} events/s", f64::from(count) / time.as_secs_f64()), remark.into());
    }

    /// Adds a size.
    pub fn bytes(&mut self, row: &str, bytes: u64, remark: &str) {
        self.add(row, format!("{bytes} bytes"), remark.into());
    }

    fn add(&mut self, row: &str, value: String, remark: String) {
        self.0.push([row.into(), value, remark]);
    }
}

/// Returns the one in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    if time < Duration::from_millis(1) {
        format!("{:.2} µs", time.as_secs_f64() * 1e6)
    } else {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | figure | |\n|---|---|---|")?;
        self.0.iter().try_for_each(|[row, value, remark]| writeln!(f, "| {row} | {value} | {remark} |"))
    }
}

/// Puts the table into `docs/performance.md`.
pub fn write(text: &str) -> Done<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
    let document = std::fs::read_to_string(&path)?;
    let [start, end] = MARKS;
    let (before, rest) = document.split_once(start).ok_or("the document has no place for the table")?;
    let (_, after) = rest.split_once(end).ok_or("the document's place for the table has no end")?;
    Ok(std::fs::write(path, format!("{before}{start}\n{text}\n{end}{after}"))?)
}
