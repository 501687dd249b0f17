//! Running the runner, copies of a demo that a test may change, and reducers small enough to be written into a test.
//!
//! Read next: `output.rs`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The ladder's own folder.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The cache of the tests, kept between runs.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("aos-cache")
}

/// What the runner did.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the runner without a terminal.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    run_with(arguments, |_| {})
}

pub fn run_with<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>, change: impl FnOnce(&mut Command)) -> Ran {
    let mut command = command(arguments);
    change(&mut command);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Makes a command that runs the runner, whatever the environment of the tests says.
pub fn command<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aos-examples"));
    command.args(arguments).env("AOS_CACHE_DIR", cache()).stdin(Stdio::null());
    for variable in
        ["RUST_LOG", "AOS_LLM_API_KEY", "AOS_LLM_PROTOCOL", "AOS_LLM_BASE_URL", "AOS_LLM_MODEL", "AOS_VAULT_KEY"]
    {
        command.env_remove(variable);
    }
    command
}

impl Ran {
    /// Returns the lines of a run that went well, as JSON.
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!((self.exit, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the one line of a run that went well, as JSON.
    pub fn line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }
}

/// A folder with one demo in it, which may be changed, and a place for data.
pub struct Ladder {
    folder: TempDir,
    name: &'static str,
}

impl Ladder {
    /// Copies the counter.
    pub fn counter() -> Self {
        Self::of("00-counter")
    }

    /// Copies a demo; its reducer is the ladder's own.
    pub fn of(name: &'static str) -> Self {
        let ladder = Self { folder: TempDir::new().unwrap(), name };
        let (from, to) = (examples().join(name), ladder.demo());
        for folder in ["", "air"] {
            fs::create_dir_all(to.join(folder)).unwrap();
            for entry in fs::read_dir(from.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    fs::copy(&path, to.join(folder).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        std::os::unix::fs::symlink(from.join("reducer").canonicalize().unwrap(), to.join("reducer")).unwrap();
        ladder
    }

    pub fn demo(&self) -> PathBuf {
        self.folder.path().join("examples").join(self.name)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn store(&self) -> PathBuf {
        self.data().join("node.aos")
    }

    /// Replaces a text that stands once in a file of the demo.
    pub fn replace(&self, file: &str, old: &str, new: &str) {
        let path = self.demo().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old}");
        fs::write(path, text.replace(old, new)).unwrap();
    }

    /// Puts a reducer of its own in the place of the counter's; `step` is the body of its entry.
    pub fn write_reducer(&self, step: &str) {
        let folder = self.demo().join("reducer");
        if folder.is_symlink() {
            fs::remove_file(&folder).unwrap();
        }
        fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = "[workspace]\n[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [lib]\ncrate-type = [\"cdylib\"]\n";
        let lock = "version = 4\n\n[[package]]\nname = \"small\"\nversion = \"0.1.0\"\n";
        let source = format!(
            "#![no_std]\nstatic INPUT: [u8; 4096] = [0; 4096];\n\
             #[unsafe(no_mangle)]\nextern \"C\" fn alloc(_: usize) -> *const u8 {{\n    INPUT.as_ptr()\n}}\n\
             #[unsafe(no_mangle)]\nextern \"C\" fn step(_: usize, _: usize) -> u64 {{\n    {step}\n}}\n\
             #[panic_handler]\nfn panic(_: &core::panic::PanicInfo<'_>) -> ! {{\n    loop {{}}\n}}\n"
        );
        for (file, text) in [("Cargo.toml", manifest), ("Cargo.lock", lock), ("src/lib.rs", &source)] {
            fs::write(folder.join(file), text).unwrap();
        }
    }

    /// Runs the demo with these arguments behind its name.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let folder = self.folder.path().join("examples");
        let slug = self.name.split_once('-').unwrap().1;
        run(["--examples", folder.to_str().unwrap(), slug].iter().chain(arguments))
    }

    /// Runs the demo on the data folder, as JSON.
    pub fn run_on_data(&self) -> Ran {
        self.run(&["--json", "--data", self.data().to_str().unwrap()])
    }
}

/// The body of a step that answers with a count, whatever comes in.
pub fn always(count: u8) -> String {
    assert!(count < 24, "one byte of CBOR");
    format!(
        "static REPLY: &[u8] = b\"\\xa1\\x65state\\x48\\xa1\\x65count\\x{count:02x}\";\n    \
         (REPLY.as_ptr() as u64) << 32 | REPLY.len() as u64"
    )
}
