//! Builds with the real cargo: a small workspace that each test writes, and the counter of the ladder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aos_air::abi::{Call, DomainEvent, Reply};
use aos_air::cbor::write;
use aos_air::module::Entry;
use aos_kernel::guest::{Allowance, CallError, Guest};

use crate::wasm::{Engine, Guests, Strategy};

use super::toolchain::Toolchain;
use super::{BuildError, Builder, Built, Progress};

/// Writes files below `root`.
fn write_files(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    }
}

const SMALL: &[(&str, &str)] = &[
    (
        "guest/Cargo.toml",
        "[workspace]\n[package]\nname = \"small-guest\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [lib]\ncrate-type = [\"cdylib\"]\n[dependencies]\nbeside = { path = \"../beside\" }\n",
    ),
    (
        "guest/Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"beside\"\nversion = \"0.1.0\"\n\n\
         [[package]]\nname = \"small-guest\"\nversion = \"0.1.0\"\ndependencies = [\n \"beside\",\n]\n",
    ),
    (
        "guest/src/lib.rs",
        "#![no_std]\n#[unsafe(no_mangle)]\nextern \"C\" fn step(at: usize) -> *const u8 {\n    \
         beside::place().wrapping_add(at).wrapping_add(include_str!(\"../text\").len())\n}\n\
         #[panic_handler]\nfn panic(_: &core::panic::PanicInfo<'_>) -> ! {\n    loop {}\n}\n",
    ),
    ("guest/text", "four"),
    ("beside/Cargo.toml", "[package]\nname = \"beside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
    ("beside/src/lib.rs", "#![no_std]\npub fn place() -> *const u8 {\n    file!().as_ptr()\n}\n"),
];

/// The small workspace in a folder of its own, with a cache beside it.
struct Small {
    root: tempfile::TempDir,
}

impl Small {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        write_files(root.path(), SMALL);
        Self { root }
    }

    fn build(&self) -> Result<Built, BuildError> {
        self.builder().build(&self.root.path().join("guest"), &mut |_| {})
    }

    fn builder(&self) -> Builder {
        Builder::new(&self.root.path().join("cache"))
    }

    fn kept_file(&self) -> PathBuf {
        let kept = fs::read_dir(self.root.path().join("cache/wasm")).expect("a cache").next().expect("an entry");
        fs::read_dir(kept.expect("an entry").path())
            .expect("a folder")
            .next()
            .expect("a module")
            .expect("an entry")
            .path()
    }
}

#[test]
fn what_changes_the_module_is_built_again_and_nothing_else() {
    let small = Small::new();
    let first = small.build().expect("built");
    assert_eq!((first.package.as_str(), first.cached, &first.wasm[..4]), ("small-guest", false, &b"\0asm"[..]));
    let again = small.build().expect("built");
    assert_eq!(again, Built { cached: true, ..first.clone() });

    let mut last = first;
    for (file, text) in [
        ("guest/src/lib.rs", SMALL[2].1.replace("wrapping_add(at)", "wrapping_add(at + 1)")),
        ("guest/text", "fifteen letters".into()),
        ("beside/src/lib.rs", SMALL[5].1.replace("file!()", "concat!(file!(), 1)")),
    ] {
        write_files(small.root.path(), &[(file, &text)]);
        let built = small.build().expect("built");
        assert!(!built.cached && built.digest != last.digest, "{file}");
        assert!(small.build().expect("built").cached, "{file}");
        last = built;
    }
    write_files(
        small.root.path(),
        &[("guest/target/output", "x"), ("guest/target/CACHEDIR.TAG", ""), ("guest/.hidden", "x")],
    );
    assert!(small.build().expect("built").cached, "what cannot belong to the module");
    let forced = small.builder().force(true).build(&small.root.path().join("guest"), &mut |_| {}).expect("built");
    assert_eq!(forced, last);
}

#[test]
fn a_damaged_module_is_built_again() {
    let small = Small::new();
    let first = small.build().expect("built");
    let file = small.kept_file();
    let mut wasm = fs::read(&file).expect("a module");
    wasm[10] ^= 1;
    fs::write(&file, wasm).expect("written");
    assert_eq!(small.build().expect("built"), first);
    assert_eq!(fs::read(small.kept_file()).expect("a module"), first.wasm);
}

#[test]
fn two_folders_give_the_same_bytes() {
    let [one, other] = [Small::new(), Small::new()].map(|small| (small.build().expect("built"), small));
    assert_eq!(one.0, other.0);
    let wasm = String::from_utf8_lossy(&one.0.wasm).into_owned();
    assert!(wasm.contains("/beside/src/lib.rs"), "a place in the sources is in the module");
    assert!(!wasm.contains(one.1.root.path().to_str().expect("a name")));
}

#[test]
fn the_counter_is_the_same_from_a_copy_of_the_repository_and_runs() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("some where else");
    copy_sources(&repository, &copy);
    let builder = Builder::new(&folder.path().join("cache"));
    let [here, there] = [&repository, &copy].map(|root| {
        builder.clone().force(true).build(&root.join("examples/00-counter/reducer"), &mut |_| {}).expect("built")
    });
    assert_eq!(here.digest, there.digest);
    assert!(!here.cached && !there.cached);
    [Strategy::Optimised, Strategy::Unoptimised].map(|strategy| runs(strategy, &here)).windows(2).for_each(|fuel| {
        assert_eq!(fuel[0], fuel[1], "fuel in both strategies");
    });
}

/// Calls the counter and returns the fuel of each call.
fn runs(strategy: Strategy, counter: &Built) -> Vec<u64> {
    let modules = BTreeMap::from([(counter.digest, counter.wasm.clone())]);
    let mut guests = Guests::new(Engine::new(strategy, None).expect("an engine"), modules);
    let mut call = |count: Option<u64>, event: &[u8], context: Option<&[u8]>| {
        let state = count.map(state);
        let mut input = Vec::new();
        let call = Call { state: state.as_deref(), schema: "demo/CounterEvent@1", value: event, key: None, context };
        call.encode(&mut input);
        let mut output = Vec::new();
        let allowance = Allowance { fuel: 10_000_000, reply_bytes: 1_024 };
        let fuel = guests.call(&counter.digest, Entry::Reducer, &input, allowance, &mut output)?;
        Ok::<_, CallError>((fuel, Reply::decode(&output).expect("a reply")))
    };
    let add = |n: u8| [&b"\xa1\x63Add"[..], &[n]].concat();
    let (subtract_one, reset) = (&b"\xa1\x68Subtract\x01"[..], &b"\x65Reset"[..]);
    // Larger than the module's memory, so that its allocator has to grow it.
    let large = vec![0; 300_000];

    let reply =
        |count: Option<u64>, events| Reply { state: count.map(state), domain_events: events, ..Reply::default() };
    let milestone =
        DomainEvent { schema: "demo/Milestone@1".into(), value: b"\xa1\x65count\x18\x64".to_vec(), key: None };
    let mut fuel = Vec::new();
    for (count, event, context, expected) in [
        (None, &add(7)[..], None, reply(Some(7), vec![])),
        (Some(99), &add(1), None, reply(Some(100), vec![milestone])),
        (Some(1), subtract_one, None, reply(Some(0), vec![])),
        (Some(1), reset, None, reply(None, vec![])),
        (Some(1), &add(1), Some(&large[..]), reply(Some(2), vec![])),
    ] {
        let (used, found) = call(count, event, context).expect("a reply");
        assert_eq!(found, expected);
        fuel.push(used);
    }
    for (count, event, why) in [
        (None, subtract_one, "the count would fall below zero"),
        (Some(u64::MAX), &add(1)[..], "the count does not fit 64 bits"),
        (None, &b"\x65Other"[..], "the event does not decode"),
    ] {
        let (used, found) = call(count, event, None).expect("a reply");
        assert_eq!(found, Reply { error: Some(why.into()), ..Reply::default() });
        fuel.push(used);
    }
    fuel
}

/// The counter's state in canonical CBOR.
fn state(count: u64) -> Vec<u8> {
    let mut state = b"\xa1\x65count".to_vec();
    write::uint(&mut state, count);
    state
}

/// Copies a repository without its build output and its history.
fn copy_sources(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        if path.is_file() {
            fs::copy(&path, to.join(name)).expect("copied");
        } else if name != ".git" && !path.join("CACHEDIR.TAG").exists() {
            copy_sources(&path, &to.join(name));
        }
    }
}

#[test]
fn a_crate_that_does_not_build_says_why() {
    let without_library = SMALL[0].1.replace("cdylib", "rlib");
    for (file, text, code, says) in [
        ("guest/src/lib.rs", "fn broken( {}", "build.cargo", "src/lib.rs:1"),
        ("guest/Cargo.toml", without_library.as_str(), "build.no_artifact", "cdylib"),
        ("guest/Cargo.toml", "[package", "build.metadata", "Cargo.toml:1"),
        ("guest/Cargo.lock", "version = 4\n", "build.metadata", "--locked"),
    ] {
        let small = Small::new();
        write_files(small.root.path(), &[(file, text)]);
        let error = small.build().expect_err(file);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says), "{code}: {error}");
    }
    for (folder, code) in [("guest/src", "build.no_package"), ("nowhere", "build.io")] {
        let small = Small::new();
        let error = small.builder().build(&small.root.path().join(folder), &mut |_| {}).expect_err(folder);
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn progress_names_the_package_and_passes_on_what_cargo_says() {
    let small = Small::new();
    let mut heard = Vec::new();
    let mut listen = |progress: Progress<'_>| heard.push(format!("{progress:?}"));
    small.builder().build(&small.root.path().join("guest"), &mut listen).expect("built");
    assert_eq!(heard.first().map(String::as_str), Some(r#"Compiling { package: "small-guest" }"#));
    assert!(heard.iter().any(|line| line.contains("Cargo") && line.contains("Compiling beside v0.1.0")), "{heard:?}");
    heard.clear();
    small
        .builder()
        .build(&small.root.path().join("guest"), &mut |progress| heard.push(format!("{progress:?}")))
        .expect("built");
    assert_eq!(heard, Vec::<String>::new(), "a cached build is silent");
}

#[test]
fn a_missing_target_is_said_in_one_sentence_that_names_the_command() {
    let small = Small::new();
    let nowhere = Toolchain { version: String::new(), sysroot: small.root.path().join("no toolchain") };
    let mut heard = Vec::new();
    let folder = small.root.path().join("guest");
    let error =
        nowhere.add_target(&folder, &mut |progress| heard.push(format!("{progress:?}"))).expect_err("no target");
    assert_eq!((error.code(), heard), ("build.target_missing", vec!["AddingTarget".into()]));
    let text = error.to_string();
    let sentence = "the Rust target for WebAssembly is missing: run `rustup target add wasm32-unknown-unknown`";
    assert_eq!(text.lines().next(), Some(sentence), "{text}");
}
