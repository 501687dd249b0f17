//! The machine of a run: one core of it, and a line that says which machine it was.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Done;

/// Set in the process that taskset has started.
const CORE: &str = "AOS_BENCH_CORE";

/// Starts this program again on the last core, if taskset is there. Returns the core, in the process that has it.
pub fn keep_to_one_core() -> Done<Option<String>> {
    if let Ok(core) = std::env::var(CORE) {
        return Ok(Some(core));
    }
    let core = (std::thread::available_parallelism()?.get() - 1).to_string();
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core]).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    // Returns only where there is no taskset.
    match command.env(CORE, &core).exec().kind() {
        ErrorKind::NotFound => Ok(None),
        other => Err(other.to_string().into()),
    }
}

/// Says when and on what the run was.
pub fn describe(core: Option<String>) -> Done<String> {
    let processors = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kept = core
        .map_or("not kept to one core, for want of taskset".into(), |core| format!("kept to core {core} by taskset"));
    let date = said("date", &["-u", "+%F"])?;
    let system = said("uname", &["-sr"])?;
    Ok(format!("{date}, {model}, {cores} cores, {system}; {kept}."))
}

fn said(program: &str, arguments: &[&str]) -> Done<String> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
