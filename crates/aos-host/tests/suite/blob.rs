//! The blob adapter over a real store: what it answers fits the receipt schemas, and what it stores is read back.

use std::collections::BTreeMap;
use std::time::Instant;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_host::adapter::blob::BlobAdapter;
use aos_host::adapter::{Adapter, Answer, Call, Cancellation, Effect, Failed, STORED_BYTES_MAX};
use aos_kernel::blobs::Blobs;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::dispatch::LONG;

type Stored = BTreeMap<Digest, Vec<u8>>;

fn perform(kind: &str, params: &impl Serialize, stored: &mut Stored) -> Result<Answer, Failed> {
    let name = kind.split('.').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<String>();
    let schema = |what: &str| format!("sys/{name}{what}@1").parse::<Name>().unwrap();
    let params = cbor::to_vec(params).unwrap();
    aos_air::built_in::schema(&schema("Params")).unwrap().shape.check(&params).unwrap();
    let (cancellation, secrets) = (Cancellation::default(), BTreeMap::new());
    let before = stored.clone();
    let mut call = Call::new(Instant::now() + LONG, &cancellation, &before, &secrets);
    let answer = BlobAdapter.perform(&Effect::of(kind, params), &mut call)?;
    aos_air::built_in::schema(&schema("Receipt")).unwrap().shape.check(&answer.payload).unwrap();
    stored.extend(call.into_parts().0);
    Ok(answer)
}

#[derive(Serialize)]
struct Put {
    blob_ref: Option<Digest>,
    bytes: Option<ByteBuf>,
}

#[derive(Serialize)]
struct Get {
    blob_ref: Digest,
    inline_max: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Receipt {
    blob_ref: Digest,
    size: u64,
    #[serde(default)]
    bytes: Option<ByteBuf>,
}

fn receipt(answer: &Answer) -> Receipt {
    cbor::from_slice(&answer.payload).unwrap()
}

#[test]
fn bytes_go_in_and_come_out() {
    let mut stored = Stored::new();
    let (hello, hash) = (ByteBuf::from(b"hello".to_vec()), Digest::of(b"hello"));
    for blob_ref in [None, Some(hash)] {
        let put = perform("blob.put", &Put { blob_ref, bytes: Some(hello.clone()) }, &mut stored).unwrap();
        assert_eq!(receipt(&put), Receipt { blob_ref: hash, size: 5, bytes: None });
        assert_eq!(put.cost.bytes, 5);
        assert_eq!(stored.blob(&hash).unwrap(), b"hello");
    }
    let there = perform("blob.put", &Put { blob_ref: Some(hash), bytes: None }, &mut stored).unwrap();
    assert_eq!(receipt(&there), Receipt { blob_ref: hash, size: 5, bytes: None });
    // Inline up to its most and not one below.
    for (inline_max, inline) in [(None, false), (Some(4), false), (Some(5), true), (Some(u64::MAX), true)] {
        let got = perform("blob.get", &Get { blob_ref: hash, inline_max }, &mut stored).unwrap();
        let bytes = inline.then(|| hello.clone());
        assert_eq!(receipt(&got), Receipt { blob_ref: hash, size: 5, bytes }, "{inline_max:?}");
        assert_eq!(got.cost.bytes, if inline { 5 } else { 0 });
    }
}

#[test]
fn what_is_not_there_or_not_right_has_a_code() {
    let mut stored = Stored::new();
    let (hash, other) = (Digest::of(b"hello"), Digest::of(b"other"));
    let bytes = || Some(ByteBuf::from(b"hello".to_vec()));
    let code = |result: Result<Answer, Failed>| {
        let failed = result.unwrap_err();
        assert!(!failed.sent && !failed.retriable);
        failed.code.into_owned()
    };
    let mut put = |blob_ref, bytes| code(perform("blob.put", &Put { blob_ref, bytes }, &mut stored));
    assert_eq!(put(None, None), "blob.nothing");
    assert_eq!(put(Some(other), bytes()), "blob.mismatch");
    assert_eq!(put(Some(hash), None), "blob.missing");
    let get = Get { blob_ref: hash, inline_max: None };
    assert_eq!(code(perform("blob.get", &get, &mut stored)), "blob.missing");
    stored.insert(hash, b"hullo".to_vec());
    assert_eq!(code(perform("blob.get", &get, &mut stored)), "blob.damaged");
    let effect = Effect::of("blob.drop", cbor::to_vec(&get).unwrap());
    assert_eq!(code(Call::alone(|call| BlobAdapter.perform(&effect, call))), "adapter.kind");
}

#[test]
fn the_blobs_of_an_answer_have_a_limit() {
    Call::alone(|call| {
        let half = vec![1; STORED_BYTES_MAX / 2];
        call.store(half.clone()).unwrap();
        // The same bytes are kept once.
        call.store(half).unwrap();
        call.store(vec![2; STORED_BYTES_MAX - STORED_BYTES_MAX / 2]).unwrap();
        assert_eq!(call.store(vec![3]).unwrap_err().code, "adapter.blobs");
        call.store(Vec::new()).unwrap();
    });
}
