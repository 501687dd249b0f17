//! The project's own commands: `cargo xtask check`, `cargo xtask test` and `cargo xtask tidy`.
//!
//! Lives here: which steps a command has, and in what order. Never here: a dependency on a crate of the product, so
//! that these commands start within seconds on a new machine.
//! Read next: `tidy/mod.rs` for the rules of the tree, `tools.rs` for what is installed and when.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people: printing is what it does")]

mod steps;
mod tidy;
mod tools;
mod workspace;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use steps::Steps;
use tools::Tool;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check           format, clippy, docs, cargo-deny and tidy: what CI runs besides tests
  test [ARGS]     all tests: wasm32 builds of the pure floors, doc tests, nextest;
                  with ARGS only `cargo nextest run ARGS`
  tidy            the rules that only this repository has
  tidy --bless    the same, after the digests in docs/formats.toml are rewritten";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let command = match words.as_slice() {
        ["check"] => check,
        ["test"] => test,
        ["test", filter @ ..] => return finish(Workspace::read().and_then(|workspace| some_tests(&workspace, filter))),
        ["tidy"] => |workspace: &Workspace| tidy_alone(workspace, false),
        ["tidy", "--bless"] => |workspace: &Workspace| tidy_alone(workspace, true),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    finish(Workspace::read().and_then(|workspace| command(&workspace)))
}

/// Turns a command's end into an exit code: 0 yes, 1 no, 3 the machine lacks something.
fn finish(end: Result<bool, String>) -> ExitCode {
    match end {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(3)
        }
    }
}

/// Runs every check; a step that fails does not keep the others from running.
fn check(workspace: &Workspace) -> Result<bool, String> {
    tools::component("rustfmt")?;
    tools::component("clippy")?;
    let mut steps = Steps::new(workspace)?;

    steps.run("format", cargo(["fmt", "--all", "--check"]));
    steps.act("tidy", || tidy::check(workspace, false).map(|said| ((), said)));
    steps.run("clippy", cargo(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    let mut doc = cargo(["doc", "--locked", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    steps.run("doc", doc);
    if let Some(cargo_deny) = steps.act("cargo-deny at hand", || tools::ensure(Tool::Deny, workspace)) {
        let mut deny = Command::new(&cargo_deny);
        deny.args(["--locked", "check", "bans", "licenses", "sources"]);
        steps.run("deny", deny);
        if advisories_lie_here() {
            let mut advisories = Command::new(&cargo_deny);
            advisories.args(["--locked", "check", "--disable-fetch", "advisories"]);
            steps.run("advisories", advisories);
        } else {
            steps.skip("advisories", "no local copy of the advisory database (`cargo deny fetch db` makes one)");
        }
    }
    Ok(steps.finish())
}

/// Runs every test of the workspace; nextest comes last, so that its summary is what one sees.
fn test(workspace: &Workspace) -> Result<bool, String> {
    tools::wasm_target()?;
    let mut steps = Steps::new(workspace)?;
    let nextest = steps.act("cargo-nextest at hand", || tools::ensure(Tool::Nextest, workspace));

    // Floors 0 and 1, and what auditors run, must build where there is no operating system; the guest's crate is built
    // alone, because beside them it would get their `std` features.
    steps.run("wasm32: floors 0 and 1", wasm32(&["aos-air", "aos-kernel", "aos-replay"]));
    steps.run("wasm32: guest", wasm32(&["aos-sdk"]));
    steps.run("doc tests", cargo(["test", "--locked", "--workspace", "--doc"]));
    if let Some(nextest) = nextest {
        let mut command = Command::new(nextest);
        command.args(["nextest", "run", "--locked", "--workspace"]);
        steps.show("nextest", command);
    }
    Ok(steps.finish())
}

/// Runs nextest alone, with the caller's own arguments.
fn some_tests(workspace: &Workspace, filter: &[&str]) -> Result<bool, String> {
    tools::wasm_target()?;
    let mut steps = Steps::new(workspace)?;
    if let Some(nextest) = steps.act("cargo-nextest at hand", || tools::ensure(Tool::Nextest, workspace)) {
        let mut command = Command::new(nextest);
        command.args(["nextest", "run", "--locked"]).args(filter);
        steps.show("nextest", command);
    }
    Ok(steps.finish())
}

/// Runs tidy and prints what it found.
fn tidy_alone(workspace: &Workspace, bless: bool) -> Result<bool, String> {
    match tidy::check(workspace, bless) {
        Ok(said) => {
            println!("{said}");
            Ok(true)
        }
        Err(findings) => {
            eprintln!("{findings}");
            Ok(false)
        }
    }
}

fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments);
    command
}

fn wasm32(packages: &[&str]) -> Command {
    let mut command = cargo(["build", "--locked", "--target", tools::WASM_TARGET]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    command
}

/// Says whether cargo-deny would find an advisory database without fetching one.
fn advisories_lie_here() -> bool {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let folder = cargo_home.map(|home| home.join("advisory-dbs"));
    folder.and_then(|folder| folder.read_dir().ok()).is_some_and(|mut entries| entries.next().is_some())
}
