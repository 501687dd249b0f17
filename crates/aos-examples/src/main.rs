//! The ladder's runner: builds a demo's reducer, runs its world on its events against its services, and replays it.
//!
//! Parses, calls, prints; what happens to a world happens in `aos-host`. Read next: `run.rs`, then `out.rs`.
#![forbid(unsafe_code)]

mod demo;
mod error;
mod events;
mod llm;
mod node;
mod out;
mod run;
mod server;
mod story;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use crate::demo::Demo;
use crate::error::RunError;
use crate::out::Output;

/// The word that stands for every demo.
const ALL: &str = "all";

/// Runs the demos of the ladder, each a world of its own. Without a demo it lists them.
#[derive(Parser)]
#[command(name = "aos-examples", version)]
struct Arguments {
    /// The demo to run, by its slug or number, or `all`.
    demo: Option<String>,
    /// Builds the WASM again, whatever the cache holds.
    #[arg(long)]
    force_build: bool,
    /// Prints one JSON object per demo and line.
    #[arg(long)]
    json: bool,
    /// Keeps the demo's world in this folder [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Writes the demo's recorded world to this file as well.
    #[arg(long, value_name = "FILE", requires = "demo")]
    record: Option<PathBuf>,
    /// The folder that holds the demos.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"))]
    examples: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.record.is_some() && arguments.demo.as_deref() == Some(ALL) {
        let words = "a recording holds one world: name one demo";
        Arguments::command().error(ErrorKind::ArgumentConflict, words).exit();
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let mut output = Output::new(arguments.json);
    match work(&arguments, &mut output) {
        Ok(exit) => ExitCode::from(exit),
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit())
        }
    }
}

/// Does what was asked for; returns 0, or 1 where an input was refused or an effect has no answer.
fn work(arguments: &Arguments, output: &mut Output) -> Result<u8, RunError> {
    let demos = demo::find(&arguments.examples)?;
    let chosen: Vec<&Demo> = match arguments.demo.as_deref() {
        None => {
            output.list(&demos)?;
            return Ok(0);
        }
        Some(ALL) => demos.iter().collect(),
        Some(word) => vec![demo::choose(&demos, word)?],
    };
    let mut exit = 0;
    for (place, demo) in chosen.into_iter().enumerate() {
        let options = run::Options {
            force_build: arguments.force_build,
            data: arguments.data.as_deref(),
            record: arguments.record.as_deref(),
        };
        let story = run::run(demo, &options, output)?;
        let unanswered = story.open.iter().any(|(.., standing)| *standing == run::UNANSWERED);
        if !story.happened.refused.is_empty() || unanswered {
            exit = 1;
        }
        if place > 0 {
            output.gap()?;
        }
        output.story(demo, &story)?;
    }
    Ok(exit)
}
