//! Key files: made once, found again, refused when others can read them or when they are damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aos_host::adapter::Status;
use aos_host::dispatch::in_doubt;
use aos_host::keys::{KeyError, Keys, Signer};

use super::dispatch::{order, said};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_is_made_once_and_found_again() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("keys");
    let mut keys = Keys::open(data.path()).unwrap();
    let http = keys.newest("http").unwrap().public();
    let mail = keys.newest("mail").unwrap().public();
    assert_eq!(keys.newest("http").unwrap().public(), http);
    assert_ne!(http.key, mail.key);
    assert!(http.key_id.starts_with('k') && http.key_id.len() == 33, "{}", http.key_id);
    assert_eq!(Keys::open(data.path()).unwrap().newest("http").unwrap().public(), http);
    assert_eq!(files(&folder).len(), 2);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for file in files(&folder) {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn the_newest_key_that_a_world_trusts_signs_for_it() {
    let data = tempfile::tempdir().unwrap();
    let mut keys = Keys::open(data.path()).unwrap();
    let old = keys.newest("http").unwrap().public();
    let new = keys.make("http").unwrap().public();
    assert_eq!(keys.newest("http").unwrap().public(), new);
    for keys in [keys, Keys::open(data.path()).unwrap()] {
        let chosen = |trusted: &[_]| keys.trusted("http", trusted).map(|signer| signer.public());
        assert_eq!(chosen(std::slice::from_ref(&old)).unwrap(), old);
        assert_eq!(chosen(&[new.clone(), old.clone()]).unwrap(), new);
        // Another adapter's key, and another key under a known id.
        let mut other = new.clone();
        other.adapter = "mail".to_owned();
        let mut forged = new.clone();
        forged.key = old.key;
        for trusted in [vec![], vec![other], vec![forged]] {
            let refused = chosen(&trusted).unwrap_err();
            assert_eq!(
                (refused.code(), refused.to_string().as_str()),
                ("keys.not_held", "this node holds no key that is trusted for adapter `http`",)
            );
        }
    }
}

#[test]
fn a_signature_is_of_the_key_that_says_so() {
    let order = order("test", aos_host::adapter::Class::Once, 1, "ok");
    let finished = in_doubt(&order.effect, &order.signer);
    // Verifies under the signer's public key, with its adapter and id in the receipt.
    assert_eq!(said(&finished, &order.signer).status, Status::InDoubt);
    let other = Signer::new("test", 0, &[8; 32]);
    assert!(std::panic::catch_unwind(|| said(&finished, &other)).is_err());
    let shown = format!("Signer {{ adapter: \"test\", key_id: {:?}, .. }}", other.public().key_id);
    assert_eq!(format!("{other:?}"), shown);
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let data = tempfile::tempdir().unwrap();
    Keys::open(data.path()).unwrap().newest("http").unwrap();
    let [file] = &files(&data.path().join("keys"))[..] else { panic!("one key") };
    for mode in [0o640, 0o604, 0o660, 0o644] {
        set_mode(file, mode);
        let refused = Keys::open(data.path()).unwrap_err();
        assert_eq!(refused.code(), "keys.open");
        let expected = format!("`{}`: others may use it (mode {mode:03o})", file.display());
        assert!(refused.to_string().ends_with(&expected), "{refused}");
    }
    set_mode(file, 0o600);
    Keys::open(data.path()).unwrap();
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let data = tempfile::tempdir().unwrap();
    let public = Keys::open(data.path()).unwrap().newest("http").unwrap().public();
    let [file] = &files(&data.path().join("keys"))[..] else { panic!("one key") };
    let bytes = fs::read(file).unwrap();
    let write = |bytes: &[u8]| {
        fs::write(file, bytes).unwrap();
        Keys::open(data.path())
    };
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            match write(&flipped) {
                Err(refused) => assert_eq!(refused.code(), "keys.damaged", "byte {at} bit {bit}"),
                // The time only orders keys.
                Ok(mut keys) => assert_eq!(keys.newest("http").unwrap().public(), public, "byte {at} bit {bit}"),
            }
        }
        assert_eq!(write(&bytes[..at]).unwrap_err().code(), "keys.damaged");
    }
    assert_eq!(write(&[b'x'; 4096]).unwrap_err().code(), "keys.damaged");
    write(&bytes).unwrap();
    // Under another name it would be another key.
    fs::rename(file, file.with_file_name("mail.k0.key")).unwrap();
    assert_eq!(Keys::open(data.path()).unwrap_err().code(), "keys.damaged");
}

#[test]
fn names_that_are_not_adapters_make_no_files() {
    let data = tempfile::tempdir().unwrap();
    let mut keys = Keys::open(data.path()).unwrap();
    for name in ["", "Http", "../http", "a/b", "http.request", "a b", &"a".repeat(65)] {
        assert!(matches!(keys.make(name), Err(KeyError::Name { .. })), "{name}");
    }
    assert!(files(&data.path().join("keys")).is_empty());
}
