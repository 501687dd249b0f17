//! Receipts and decisions: their bytes, their signatures, and signatures that only some verifiers take.
//!
//! The golden bytes are also in `spec/vectors/receipts`, for an implementation in another language.

use aos_air::cbor::write;
use aos_air::def::{AdapterKey, Principal, PublicKey, Trust};
use aos_air::hash::Digest;
use aos_air::signature::{UnusableKey, VerifyingKey};
use aos_kernel::gate::Spend;
use aos_kernel::id::{IntentId, WorldId};
use aos_kernel::receipt::{DecisionRefused, Keys, PrincipalDecision, Receipt, ReceiptRefused, Status, verify};
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _};
use proptest::prelude::*;
use serde::Deserialize;

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

fn receipt() -> Receipt {
    Receipt {
        world: WorldId(Digest::from_bytes([1; 32])),
        intent: IntentId(Digest::from_bytes([2; 32])),
        adapter: "http".into(),
        key_id: "main".into(),
        status: Status::Ok,
        payload: vec![0xa0],
        cost: Spend { calls: 1, tokens: 0, cents: 2, bytes: 300 },
        started_ns: 1_700_000_000_000_000_000,
        finished_ns: 1_700_000_000_000_000_001,
    }
}

fn decision() -> PrincipalDecision {
    PrincipalDecision {
        world: WorldId(Digest::from_bytes([1; 32])),
        manifest: Digest::from_bytes([3; 32]),
        manifest_seq: 4,
        intent: IntentId(Digest::from_bytes([2; 32])),
        approve: true,
        expires_at_ns: 1_700_000_000_000_000_000,
    }
}

fn keys() -> Keys {
    let key = public(&signer());
    Keys::of(&Trust {
        adapters: vec![AdapterKey { adapter: "http".into(), key_id: "main".into(), key }],
        principals: vec![Principal { name: "ann".into(), key, roles: Vec::new() }],
        hosts: Vec::new(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[derive(Deserialize)]
struct Vectors {
    key: String,
    receipt: Golden,
    decision: Golden,
    keys: Vec<Key>,
    signatures: Vec<Case>,
}

#[derive(Deserialize)]
struct Golden {
    bytes: String,
    signature: String,
}

#[derive(Deserialize)]
struct Key {
    what: String,
    key: String,
    usable: bool,
}

#[derive(Deserialize)]
struct Case {
    what: String,
    message: String,
    signature: String,
    verifies: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../../spec/vectors/receipts/receipts.json")).unwrap()
}

/// Writes what the vectors hold; the test below holds the file against it.
fn made() -> serde_json::Value {
    let (key, receipt, decision) = (signer(), receipt(), decision());
    let signed = |message: &[u8]| hex(&key.sign(message).to_bytes());
    let keys = key_cases().into_iter().map(|(what, point)| {
        serde_json::json!({"what": what, "key": hex(&point), "usable": VerifyingKey::of(&PublicKey(point)).is_ok()})
    });
    let trusted = VerifyingKey::of(&public(&key)).unwrap();
    let signatures = signature_cases(&key).into_iter().map(|(what, message, signature)| {
        let verifies = trusted.verify(&message, &signature).is_ok();
        serde_json::json!({"what": what, "message": hex(&message), "signature": hex(&signature), "verifies": verifies})
    });
    serde_json::json!({
        "about": "A receipt and a decision, signed with the ed25519 key whose secret is 32 times 07; public keys that may stand in a manifest and that may not; signatures under that key.",
        "key": public(&key).to_string(),
        "receipt": {"bytes": hex(&receipt.encode()), "signature": signed(&receipt.message())},
        "decision": {"bytes": hex(&decision.encode()), "signature": signed(&decision.message())},
        "keys": keys.collect::<Vec<_>>(),
        "signatures": signatures.collect::<Vec<_>>(),
    })
}

#[test]
fn the_vectors_are_what_this_kernel_makes() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../../spec/vectors/receipts/receipts.json")).unwrap();
    assert_eq!(file, made(), "{}", serde_json::to_string_pretty(&made()).unwrap());
}

#[test]
fn a_receipt_and_a_decision_have_golden_bytes() {
    let file = vectors();
    assert_eq!(file.key, public(&signer()).to_string());
    assert_eq!(keys().receipt(&bytes(&file.receipt.bytes), &bytes(&file.receipt.signature)), Ok(receipt()));
    assert_eq!(keys().decision("ann", &bytes(&file.decision.bytes), &bytes(&file.decision.signature)), Ok(decision()));
    insta::assert_snapshot!(hex(&receipt().encode()), @"8a0158200101010101010101010101010101010101010101010101010101010101010101582002020202020202020202020202020202020202020202020202020202020202026468747470646d61696e0041a08401000219012c1b17979cfe362a00001b17979cfe362a0001");
    insta::assert_snapshot!(String::from_utf8_lossy(&receipt().message()[..14]).escape_debug().to_string(), @r#"aos/receipt/1\0"#);
    insta::assert_snapshot!(hex(&decision().encode()), @"870158200101010101010101010101010101010101010101010101010101010101010101582003030303030303030303030303030303030303030303030303030303030303030458200202020202020202020202020202020202020202020202020202020202020202f51b17979cfe362a0000");
    insta::assert_snapshot!(String::from_utf8_lossy(&decision().message()[..13]).escape_debug().to_string(), @r#"aos/decide/1\0"#);
}

/// Encodings of points, as what stands in a trust block.
fn key_cases() -> Vec<(String, [u8; 32])> {
    let honest = signer().verifying_key().to_edwards();
    let mut cases = vec![("an honest key".to_owned(), honest.compress().to_bytes())];
    for (index, point) in EIGHT_TORSION.iter().enumerate() {
        cases.push((format!("a point of small order, {index}"), point.compress().to_bytes()));
    }
    cases.push(("an honest key and a point of order 8".into(), (honest + EIGHT_TORSION[1]).compress().to_bytes()));
    cases.push(("an honest key and the point of order 2".into(), (honest + EIGHT_TORSION[4]).compress().to_bytes()));
    // y = p and y = p + 1 are 0 and 1 in another spelling; so is x = 0 with its sign bit set.
    let mut y = [0xff; 32];
    (y[0], y[31]) = (0xed, 0x7f);
    cases.push(("zero in another spelling".into(), y));
    y[0] = 0xee;
    cases.push(("the identity in another spelling".into(), y));
    // The least y beyond the field that is a point of large order.
    y[0] = 0xf0;
    cases.push(("a point of large order in another spelling".into(), y));
    let mut signed = [0; 32];
    (signed[0], signed[31]) = (1, 0x80);
    cases.push(("the identity with a sign".into(), signed));
    let mut off = [0; 32];
    off[0] = 2;
    cases.push(("no point".into(), off));
    cases
}

#[test]
fn only_keys_that_no_forger_can_use_are_trusted() {
    for Key { what, key, usable } in vectors().keys {
        let key = PublicKey(bytes(&key).try_into().unwrap());
        assert_eq!(VerifyingKey::of(&key).is_ok(), usable, "{what}");
        assert_eq!(usable, what == "an honest key", "{what}");
        let trust = Trust {
            adapters: vec![AdapterKey { adapter: "http".into(), key_id: "main".into(), key }],
            ..Trust::default()
        };
        assert_eq!(Keys::of(&trust).adapter("http", "main").is_some(), usable, "{what}");
    }
    let weak = PublicKey(EIGHT_TORSION[1].compress().to_bytes());
    assert_eq!(VerifyingKey::of(&weak), Err(UnusableKey::Weak));
}

/// The challenge that a signature answers: H(R, A, M) modulo the group's order.
fn challenge(r: &[u8; 32], a: &[u8; 32], message: &[u8]) -> Scalar {
    use ed25519_dalek::Sha512;
    use ed25519_dalek::ed25519::signature::digest::Digest as _;
    let hash: [u8; 64] = Sha512::new().chain_update(r).chain_update(a).chain_update(message).finalize().into();
    Scalar::from_bytes_mod_order_wide(&hash)
}

/// Signs with a nonce point that is not `nonce * B` alone: what somebody with the secret key could publish.
fn sign_around(key: &SigningKey, message: &[u8], torsion: EdwardsPoint, nonce: u64) -> Vec<u8> {
    let nonce = Scalar::from(nonce);
    let r = (ED25519_BASEPOINT_POINT * nonce + torsion).compress().to_bytes();
    let k = challenge(&r, &key.verifying_key().to_bytes(), message);
    let s = nonce + k * key.to_scalar();
    [r, s.to_bytes()].concat()
}

/// Adds the group's order to the scalar: the same number to a verifier that does not look.
fn with_long_scalar(signature: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut out = signature.to_vec();
    let mut carry = 0_u16;
    for (byte, order) in out[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    out
}

/// Signatures under the honest key, each with its message.
fn signature_cases(key: &SigningKey) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let message = receipt().message();
    let honest = key.sign(&message).to_bytes().to_vec();
    let mut cases = vec![
        ("an honest one".to_owned(), message.clone(), honest.clone()),
        (
            "over the bytes without the domain".into(),
            message.clone(),
            key.sign(&receipt().encode()).to_bytes().to_vec(),
        ),
        ("with a scalar beyond the group's order".into(), message.clone(), with_long_scalar(&honest)),
        ("one byte short".into(), message.clone(), honest[..63].to_vec()),
        ("one byte long".into(), message.clone(), [honest.as_slice(), &[0]].concat()),
        ("all zero".into(), message.clone(), vec![0; 64]),
        (
            "a nonce of its own, without torsion".into(),
            message.clone(),
            sign_around(key, &message, EdwardsPoint::default(), 5),
        ),
    ];
    for index in [1, 2, 4] {
        let torsion = EIGHT_TORSION[index];
        let around = sign_around(key, &message, torsion, 5);
        cases.push((format!("a nonce point of mixed order, {index}"), message.clone(), around));
        let around = sign_around(key, &message, torsion, 0);
        cases.push((format!("a nonce point of small order, {index}"), message.clone(), around));
    }
    cases.push((
        "a nonce point that is the identity".into(),
        message.clone(),
        sign_around(key, &message, EdwardsPoint::default(), 0),
    ));
    cases
}

#[test]
fn only_the_strict_rule_counts() {
    let key = VerifyingKey::of(&public(&signer())).unwrap();
    for Case { what, message, signature, verifies } in vectors().signatures {
        assert_eq!(key.verify(&bytes(&message), &bytes(&signature)).is_ok(), verifies, "{what}");
        let expected = ["an honest one", "a nonce of its own, without torsion"].contains(&what.as_str());
        assert_eq!(verifies, expected, "{what}");
    }
}

/// The rules really differ: `verify` takes what `verify_strict` refuses, so one of them has to be the only one.
#[test]
fn another_rule_would_take_more() {
    let message = receipt().message();
    let small = sign_around(&signer(), &message, EdwardsPoint::default(), 0);
    let signature = Signature::from_slice(&small).unwrap();
    assert!(signer().verifying_key().verify(&message, &signature).is_ok());
    assert!(VerifyingKey::of(&public(&signer())).unwrap().verify(&message, &small).is_err());
    // Under a key of small order anybody signs anything; here with R = identity and S = 0.
    let weak = ed25519_dalek::VerifyingKey::from_bytes(&EdwardsPoint::default().compress().to_bytes()).unwrap();
    let mut forged = [0; 64];
    forged[0] = 1;
    assert!(weak.verify(b"anything", &Signature::from_bytes(&forged)).is_ok());
}

#[test]
fn each_bit_counts() {
    let key = VerifyingKey::of(&public(&signer())).unwrap();
    let (bytes, signature) = (receipt().encode(), signer().sign(&receipt().message()).to_bytes());
    assert_eq!(verify(&bytes, &signature, &key), Ok(()));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed, &signature, &key).is_err(), "bit {bit} of the bytes");
        assert!(keys().receipt(&changed, &signature).is_err(), "bit {bit} of the bytes");
    }
    for bit in 0..512 {
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&bytes, &changed, &key).is_err(), "bit {bit} of the signature");
    }
}

#[test]
fn each_refusal_has_its_code() {
    let code = |receipt: &Receipt, signer: &SigningKey| {
        let signature = signer.sign(&receipt.message()).to_bytes();
        keys().receipt(&receipt.encode(), &signature).map_err(|refused| refused.code())
    };
    let other = SigningKey::from_bytes(&[8; 32]);
    assert_eq!(code(&receipt(), &signer()), Ok(receipt()));
    assert_eq!(code(&receipt(), &other), Err("receipt.signature"));
    assert_eq!(code(&Receipt { adapter: "llm".into(), ..receipt() }, &signer()), Err("receipt.key_unknown"));
    assert_eq!(code(&Receipt { key_id: "old".into(), ..receipt() }, &signer()), Err("receipt.key_unknown"));
    let form = keys().receipt(&[0x80], &[0; 64]).map_err(|refused| refused.code());
    assert_eq!(form, Err("receipt.form"));
    // A decision's signature is none for a receipt, nor the other way round.
    let (bytes, decided) = (decision().encode(), signer().sign(&decision().message()).to_bytes());
    assert_eq!(keys().decision("ann", &bytes, &decided), Ok(decision()));
    let refused = |who: &str, bytes: &[u8], signature: &[u8]| {
        keys().decision(who, bytes, signature).map_err(|refused: DecisionRefused| refused.code())
    };
    let as_receipt = signer().sign(&[b"aos/receipt/1\0".as_slice(), &bytes].concat()).to_bytes();
    assert_eq!(refused("ann", &bytes, &as_receipt), Err("decision.signature"));
    assert_eq!(refused("bob", &bytes, &decided), Err("actor.unknown"));
    assert_eq!(refused("ann", &receipt().encode(), &decided), Err("decision.form"));
    let denied = PrincipalDecision { approve: false, ..decision() };
    assert_eq!(refused("ann", &denied.encode(), &decided), Err("decision.signature"));
    let form = keys().receipt(&bytes, &decided).unwrap_err();
    assert!(matches!(form, ReceiptRefused::Form(_)));
}

#[test]
fn a_form_is_read_strictly() {
    let good = receipt().encode();
    let mut long = good.clone();
    long.push(0);
    assert!(Receipt::decode(&long).is_err());
    let mut other_version = good.clone();
    other_version[1] = 2;
    assert!(Receipt::decode(&other_version).is_err());
    for end in 0..good.len() {
        assert!(Receipt::decode(&good[..end]).is_err(), "{end}");
    }
    let mut indefinite = good.clone();
    indefinite[0] = 0x9f;
    indefinite.push(0xff);
    assert!(Receipt::decode(&indefinite).is_err());
    let mut status = Vec::new();
    write::text(&mut status, "main");
    let at = good.windows(status.len()).position(|window| window == status).unwrap() + status.len();
    let mut unknown = good.clone();
    unknown[at] = 6;
    assert!(Receipt::decode(&unknown).is_err());
    let decided = decision().encode();
    for end in 0..decided.len() {
        assert!(PrincipalDecision::decode(&decided[..end]).is_err(), "{end}");
    }
}

proptest! {
    #![proptest_config(crate::cases::cases(256))]

    /// Decoding gives back what was encoded, and encoding what was decoded.
    #[test]
    fn forms_round_trip(
        ids in prop::array::uniform2(prop::array::uniform32(any::<u8>())),
        adapter in "[a-z]{0,9}",
        status in prop::sample::select(Status::ALL),
        payload in prop::collection::vec(any::<u8>(), 0..40),
        numbers in prop::array::uniform6(any::<u64>()),
        approve in any::<bool>(),
    ) {
        let [calls, tokens, cents, bytes, started_ns, finished_ns] = numbers;
        let (world, intent) = (WorldId(Digest::from_bytes(ids[0])), IntentId(Digest::from_bytes(ids[1])));
        let cost = Spend { calls, tokens, cents, bytes };
        let receipt = Receipt { world, intent, adapter, key_id: "k".into(), status, payload, cost, started_ns, finished_ns };
        prop_assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
        let decision = PrincipalDecision { world, manifest: world.0, manifest_seq: calls, intent, approve, expires_at_ns: tokens };
        prop_assert_eq!(PrincipalDecision::decode(&decision.encode()), Ok(decision));
    }

    /// Bytes are read as one form only.
    #[test]
    fn what_decodes_is_canonical(at in 0_usize..200, byte in any::<u8>()) {
        let mut bytes = receipt().encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(read) = Receipt::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}
