//! The vault on real files: what a person and a world can do with it, what damages it, and that no value gets out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_host::adapter::vault::VaultAdapter;
use aos_host::adapter::{Adapter, Answer, Call, Effect, Failed};
use aos_host::keys::vault::{Intake, SECRET_BYTES_MAX, Vault, VaultError};
use aos_host::keys::{Keys, Secret};
use serde::Serialize;

const VALUE: &[u8] = b"sk-live-0123456789/+abcdef";
const KEY: [u8; 32] = [9; 32];

fn secret(value: &[u8]) -> Secret {
    Secret::new(value.to_vec())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn value(vault: &Vault, binding: &str) -> Vec<u8> {
    vault.secret(binding, None).unwrap().expose().to_vec()
}

#[test]
fn a_value_goes_from_the_intake_into_versions_and_the_one_in_use_is_chosen() {
    let data = tempfile::tempdir().unwrap();
    let vault = Vault::open_with(data.path(), &KEY).unwrap();
    let [one, two] = [b"first value", b"other value"].map(|value| vault.intake(&secret(value)).unwrap());
    let first = vault.put("shop", &one.handle, &one.digest).unwrap();
    assert_eq!((first.version, first.digest), (1, one.digest));
    let second = vault.put("shop", &two.handle, &two.digest).unwrap();
    assert_eq!((second.version, value(&vault, "shop")), (2, b"first value".to_vec()));
    // A handle is good for one put.
    assert!(matches!(vault.put("shop", &one.handle, &one.digest), Err(VaultError::HandleUnknown { .. })));
    // Another process sees it all.
    let vault = Vault::open_with(data.path(), &KEY).unwrap();
    assert_eq!(vault.rotate("shop", 2, &two.digest).unwrap(), second);
    assert_eq!(value(&vault, "shop"), b"other value");
    assert_eq!(vault.rotate("shop", 1, &one.digest).unwrap(), first);
    assert_eq!(value(&vault, "shop"), b"first value");
    assert!(vault.secret("shop", Some(&one.digest)).is_ok());
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let vault = Vault::open_with(data.path(), &KEY).unwrap();
    let Intake { handle, digest } = vault.intake(&secret(VALUE)).unwrap();
    let waiting = vault.intake(&secret(VALUE)).unwrap();
    // Equal values do not show.
    assert_ne!(digest, waiting.digest);
    vault.put("shop", &handle, &digest).unwrap();
    let file = data.path().join("vault/secrets");
    let before = fs::read(&file).unwrap();
    let wrong = Digest::of(VALUE);
    let long = "b".repeat(257);
    let refusals = [
        vault.put("shop", "intake:none", &digest).unwrap_err().code(),
        vault.put("shop", &waiting.handle, &wrong).unwrap_err().code(),
        vault.put("", &waiting.handle, &waiting.digest).unwrap_err().code(),
        vault.put(&long, &waiting.handle, &waiting.digest).unwrap_err().code(),
        vault.rotate("none", 1, &digest).unwrap_err().code(),
        vault.rotate("shop", 2, &digest).unwrap_err().code(),
        vault.rotate("shop", 1, &wrong).unwrap_err().code(),
        vault.secret("none", None).unwrap_err().code(),
        vault.secret("shop", Some(&wrong)).unwrap_err().code(),
        vault.intake(&secret(b"")).unwrap_err().code(),
        vault.intake(&secret(&vec![1; SECRET_BYTES_MAX + 1])).unwrap_err().code(),
        vault.discard("intake:none").unwrap_err().code(),
    ];
    insta::assert_debug_snapshot!(refusals, @r#"
    [
        "vault.handle_unknown",
        "vault.digest",
        "vault.binding_form",
        "vault.binding_form",
        "vault.binding_unknown",
        "vault.version_unknown",
        "vault.digest",
        "vault.binding_unknown",
        "vault.digest",
        "vault.size",
        "vault.size",
        "vault.handle_unknown",
    ]
    "#);
    assert_eq!(fs::read(&file).unwrap(), before);
    vault.discard(&waiting.handle).unwrap();
    assert_eq!(vault.discard(&waiting.handle).unwrap_err().code(), "vault.handle_unknown");
    vault.intake(&secret(&vec![1; SECRET_BYTES_MAX])).unwrap();
}

#[test]
fn another_key_opens_nothing_and_the_right_one_still_does() {
    let data = tempfile::tempdir().unwrap();
    let vault = Vault::open_with(data.path(), &KEY).unwrap();
    let intake = vault.intake(&secret(VALUE)).unwrap();
    vault.put("shop", &intake.handle, &intake.digest).unwrap();
    let refused = Vault::open_with(data.path(), &[8; 32]).err().unwrap();
    assert_eq!(
        (refused.code(), refused.to_string().as_str()),
        ("vault.wrong_key", "the master key does not open the vault",)
    );
    assert_eq!(value(&Vault::open_with(data.path(), &KEY).unwrap(), "shop"), VALUE);
}

#[test]
fn damage_is_noticed_wherever_it_is_and_the_file_is_left_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let vault = Vault::open_with(data.path(), &KEY).unwrap();
    let intake = vault.intake(&secret(VALUE)).unwrap();
    vault.put("shop", &intake.handle, &intake.digest).unwrap();
    let file = data.path().join("vault/secrets");
    let bytes = fs::read(&file).unwrap();
    let damaged = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let opened = Vault::open_with(data.path(), &KEY).err().map(|error| error.code());
        let used = [
            vault.secret("shop", None).err().map(|error| error.code()),
            vault.intake(&secret(VALUE)).err().map(|error| error.code()),
        ];
        assert_eq!(fs::read(&file).unwrap(), bytes);
        assert_eq!((opened, used), (Some("vault.damaged"), [Some("vault.damaged"); 2]));
    };
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        damaged(&flipped);
        damaged(&bytes[..at]);
    }
    let mut longer = bytes.clone();
    longer.push(0);
    damaged(&longer);
    fs::write(&file, &bytes).unwrap();
    assert_eq!(value(&vault, "shop"), VALUE);
    // Another version of the format is not damage.
    let mut newer = bytes[..bytes.len() - 32].to_vec();
    newer[10] = b'2';
    let checksum = Digest::of(&newer);
    newer.extend_from_slice(checksum.as_bytes());
    fs::write(&file, &newer).unwrap();
    assert_eq!(vault.secret("shop", None).unwrap_err().code(), "vault.format");
}

#[test]
fn somebody_who_can_write_the_file_cannot_move_values() {
    // Two vaults under one key: a value of one does not open in the other, and a file with a right checksum and
    // exchanged places does not pass as the vault's own.
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for (data, name) in [(&one, b"value one"), (&two, b"value two")] {
        let vault = Vault::open_with(data.path(), &KEY).unwrap();
        for binding in ["aa", "bb"] {
            let intake = vault.intake(&secret(&[&name[..], binding.as_bytes()].concat())).unwrap();
            vault.put(binding, &intake.handle, &intake.digest).unwrap();
        }
    }
    let file = one.path().join("vault/secrets");
    let mut bytes = fs::read(&file).unwrap();
    let at = |bytes: &[u8], name: &[u8]| bytes.windows(2).position(|window| window == name).unwrap();
    let (a, b) = (at(&bytes, b"aa"), at(&bytes, b"bb"));
    bytes[a..a + 2].copy_from_slice(b"bb");
    bytes[b..b + 2].copy_from_slice(b"aa");
    let content = bytes.len() - 32;
    let checksum = Digest::of(&bytes[..content]);
    bytes[content..].copy_from_slice(checksum.as_bytes());
    fs::write(&file, &bytes).unwrap();
    assert_eq!(Vault::open_with(one.path(), &KEY).err().unwrap().code(), "vault.wrong_key");
}

#[test]
fn the_master_key_lies_beside_the_vault_and_is_not_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let vault = Vault::open(data.path()).unwrap();
    let intake = vault.intake(&secret(VALUE)).unwrap();
    vault.put("shop", &intake.handle, &intake.digest).unwrap();
    assert_eq!(value(&Vault::open(data.path()).unwrap(), "shop"), VALUE);
    // The key's file is not one of an adapter's keys.
    Keys::open(data.path()).unwrap();
    let key = data.path().join("keys/vault.key");
    for file in files(data.path()) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let text = fs::read(&key).unwrap();
    let code = || Vault::open(data.path()).err().map(|error| error.code());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(code(), Some("keys.open"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, &text[..text.len() - 2]).unwrap();
    assert_eq!(code(), Some("keys.damaged"));
    fs::remove_file(&key).unwrap();
    assert_eq!(code(), Some("vault.key_missing"));
    assert!(!key.exists());
    fs::write(&key, &text).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(code(), None);
}

#[test]
fn writers_of_several_processes_lose_nothing() {
    let data = tempfile::tempdir().unwrap();
    Vault::open_with(data.path(), &KEY).unwrap();
    let intakes: Vec<Intake> = std::thread::scope(|scope| {
        // Each has a vault of its own, as a process would.
        let write = || {
            let vault = Vault::open_with(data.path(), &KEY).unwrap();
            (0..20).map(|_| vault.intake(&secret(VALUE)).unwrap()).collect::<Vec<_>>()
        };
        let threads = [(); 4].map(|()| scope.spawn(write));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let vault = Vault::open_with(data.path(), &KEY).unwrap();
    for (version, intake) in (1..).zip(&intakes) {
        assert_eq!(vault.put("shop", &intake.handle, &intake.digest).unwrap().version, version);
    }
}

#[derive(Serialize)]
struct Put<'a> {
    alias: &'a str,
    binding_id: &'a str,
    value_ref: &'a str,
    expected_digest: Digest,
}

#[derive(Serialize)]
struct Rotate<'a> {
    alias: &'a str,
    binding_id: &'a str,
    version: u64,
    expected_digest: Digest,
}

fn perform(vault: &Arc<Vault>, kind: &str, params: &impl Serialize) -> Result<Answer, Failed> {
    let name = if kind == "vault.put" { "Put" } else { "Rotate" };
    let schema = |what: &str| format!("sys/Vault{name}{what}@1").parse::<Name>().unwrap();
    let params = cbor::to_vec(params).unwrap();
    aos_air::built_in::schema(&schema("Params")).unwrap().shape.check(&params).unwrap();
    let answer = Call::alone(|call| VaultAdapter(Arc::clone(vault)).perform(&Effect::of(kind, params), call))?;
    aos_air::built_in::schema(&schema("Receipt")).unwrap().shape.check(&answer.payload).unwrap();
    Ok(answer)
}

#[test]
fn a_world_puts_and_rotates_and_no_file_answer_or_error_holds_the_value() {
    let data = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::open(data.path()).unwrap());
    let mut said = Vec::new();
    let intakes = [VALUE, b"sk-live-another-value"].map(|value| vault.intake(&secret(value)).unwrap());
    for Intake { handle, digest } in &intakes {
        let put = Put { alias: "shop", binding_id: "shop", value_ref: handle, expected_digest: *digest };
        said.push(perform(&vault, "vault.put", &put).unwrap().payload);
        let again = perform(&vault, "vault.put", &put).unwrap_err();
        assert_eq!((&*again.code, again.sent), ("vault.handle_unknown", false));
        said.push(again.to_string().into_bytes());
    }
    let rotate = Rotate { alias: "shop", binding_id: "shop", version: 2, expected_digest: intakes[1].digest };
    let rotated: BTreeMap<String, serde_cbor_value::Any> =
        cbor::from_slice(&perform(&vault, "vault.rotate", &rotate).unwrap().payload).unwrap();
    assert_eq!(rotated.keys().collect::<Vec<_>>(), ["alias", "binding_id", "digest", "version"]);
    assert_eq!(value(&vault, "shop"), b"sk-live-another-value");
    let wrong = Rotate { version: 3, ..rotate };
    said.push(perform(&vault, "vault.rotate", &wrong).unwrap_err().to_string().into_bytes());
    // A file with a damaged value: its error is about the place, not the value.
    for file in files(data.path()) {
        said.push(fs::read(file).unwrap());
    }
    let file = data.path().join("vault/secrets");
    fs::write(&file, &fs::read(&file).unwrap()[1..]).unwrap();
    let damaged = vault.secret("shop", None).unwrap_err();
    said.push(format!("{damaged} {damaged:?}").into_bytes());
    for bytes in said {
        for value in [VALUE, b"sk-live-another-value"] {
            assert!(!secret(value).is_in(&bytes), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// Any CBOR value, of which only the place matters.
mod serde_cbor_value {
    #[derive(Debug)]
    pub struct Any;

    impl<'de> serde::Deserialize<'de> for Any {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_ignored_any(serde::de::IgnoredAny).map(|_| Self)
        }
    }
}
