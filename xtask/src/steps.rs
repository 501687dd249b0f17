//! Runs steps one after the other: one line and the time for each, and what failed once more at the end.
//!
//! Never here: what the steps are; see `main.rs`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::workspace::Workspace;

/// The steps of one command.
pub struct Steps {
    log: PathBuf,
    failures: Vec<Failure>,
}

struct Failure {
    step: String,
    said: String,
}

impl Steps {
    /// Starts a list of steps; their output is kept in the target folder until the next step.
    pub fn new(workspace: &Workspace) -> Result<Self, String> {
        let folder = workspace.target.join("xtask");
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Self { log: folder.join("step.log"), failures: Vec::new() })
    }

    /// Runs a command quietly; its output appears only when it fails.
    pub fn run(&mut self, step: &str, command: Command) {
        let log = self.log.clone();
        self.act(step, move || run_into(&log, command).map(|()| ((), String::new())));
    }

    /// Runs a command with its output in view.
    pub fn show(&mut self, step: &str, mut command: Command) {
        println!("{step}");
        let end = match command.status() {
            Ok(status) if status.success() => return,
            Ok(status) => format!("{status}; its output is above"),
            Err(error) => format!("does not start: {error}"),
        };
        self.failures.push(Failure { step: step.to_owned(), said: end });
    }

    /// Runs a step of our own; it hands on a value with a few words, or says all that is wrong.
    pub fn act<T>(&mut self, step: &str, action: impl FnOnce() -> Result<(T, String), String>) -> Option<T> {
        print!("{step:<24}");
        // A line that is not shown yet is no reason to stop.
        drop(std::io::stdout().flush());
        let start = Instant::now();
        let end = action();
        let seconds = start.elapsed().as_secs_f64();
        match end {
            Ok((value, words)) => {
                println!("ok     {seconds:7.1} s  {words}");
                Some(value)
            }
            Err(said) => {
                println!("FAILED {seconds:7.1} s");
                self.failures.push(Failure { step: step.to_owned(), said });
                None
            }
        }
    }

    /// Says that a step was left out, and why.
    pub fn skip(&self, step: &str, why: &str) {
        println!("{step:<24}skipped: {why}");
    }

    /// Prints every failure; true when there was none.
    pub fn finish(self) -> bool {
        for Failure { step, said } in &self.failures {
            eprintln!("\n──── {step} failed\n{}", said.trim_end());
        }
        if !self.failures.is_empty() {
            let names: Vec<&str> = self.failures.iter().map(|failure| failure.step.as_str()).collect();
            eprintln!("\nfailed: {}", names.join(", "));
        }
        self.failures.is_empty()
    }
}

/// Runs a command with both outputs in one file, in the order they were written.
fn run_into(log: &PathBuf, mut command: Command) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", log.display());
    let file = File::create(log).map_err(io)?;
    command.stdin(Stdio::null()).stderr(file.try_clone().map_err(io)?).stdout(file);
    let line = format!("{command:?}").replace('"', "");
    let status = command.status().map_err(|error| format!("{line}\ndoes not start: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let said = std::fs::read(log).map_err(io)?;
    Err(format!("{line}\n{}", String::from_utf8_lossy(&said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_kept_and_the_next_one_runs() {
        let folder = std::env::temp_dir().join(format!("xtask-steps-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut steps = Steps { log: folder.join("step.log"), failures: Vec::new() };
        let rustc = |argument: &str| {
            let mut command = Command::new("rustc");
            command.arg(argument);
            command
        };
        steps.run("wrong", rustc("--no-such-flag"));
        steps.run("right", rustc("--version"));
        steps.run("absent", Command::new("no-such-program-anywhere"));
        assert_eq!(steps.act("own", || Ok((7, "seven".to_owned()))), Some(7));
        std::fs::remove_dir_all(&folder).unwrap();

        let failed: Vec<&str> = steps.failures.iter().map(|failure| failure.step.as_str()).collect();
        assert_eq!(failed, ["wrong", "absent"]);
        let said: Vec<&str> = steps.failures.iter().map(|failure| failure.said.as_str()).collect();
        assert!(
            said[0].starts_with("rustc --no-such-flag\n") && said[0].contains("Unrecognized option"),
            "{}",
            said[0]
        );
        assert!(said[1].contains("does not start"), "{}", said[1]);
        assert!(!steps.finish());
    }
}
