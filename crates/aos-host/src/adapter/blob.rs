//! Blobs in and out of the store: `blob.put` and `blob.get`.
//!
//! What is put becomes durable in the commit that has the receipt. Never here: the store itself.

use aos_air::hash::Digest;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

use super::{Adapter, Answer, Call, Cost, Effect, Failed};

/// Performs `blob.put` and `blob.get`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlobAdapter;

/// `sys/BlobPutParams@1`.
#[derive(Deserialize)]
struct PutParams {
    blob_ref: Option<Digest>,
    bytes: Option<ByteBuf>,
}

/// `sys/BlobPutReceipt@1`.
#[derive(Serialize)]
struct PutReceipt {
    blob_ref: Digest,
    size: u64,
}

/// `sys/BlobGetParams@1`.
#[derive(Deserialize)]
struct GetParams {
    blob_ref: Digest,
    inline_max: Option<u64>,
}

/// `sys/BlobGetReceipt@1`.
#[derive(Serialize)]
struct GetReceipt<'a> {
    blob_ref: Digest,
    size: u64,
    bytes: Option<&'a Bytes>,
}

impl Adapter for BlobAdapter {
    fn name(&self) -> &str {
        "blob"
    }

    fn perform(&self, effect: &Effect, call: &mut Call<'_>) -> Result<Answer, Failed> {
        match &*effect.kind {
            "blob.put" => put(effect.params()?, call),
            "blob.get" => get(&effect.params()?, call),
            _ => Err(effect.unknown_kind()),
        }
    }
}

fn put(params: PutParams, call: &mut Call<'_>) -> Result<Answer, Failed> {
    let (blob_ref, size) = match (params.blob_ref, params.bytes) {
        (None, None) => return Err(Failed::new("blob.nothing", "`blob.put` has neither bytes nor a hash")),
        // Only a check that it is there.
        (Some(hash), None) => (hash, size(&call.blob(&hash)?)),
        (expected, Some(bytes)) => {
            let size = size(&bytes);
            let hash = Digest::of(&bytes);
            if let Some(expected) = expected.filter(|expected| *expected != hash) {
                return Err(Failed::new("blob.mismatch", format!("the bytes have the hash {hash}, not {expected}")));
            }
            (call.store(bytes.into_vec())?, size)
        }
    };
    Ok(Answer::of(&PutReceipt { blob_ref, size })?.costing(Cost { bytes: size, ..Cost::default() }))
}

fn get(params: &GetParams, call: &Call<'_>) -> Result<Answer, Failed> {
    let bytes = call.blob(&params.blob_ref)?;
    let size = size(&bytes);
    let inline = params.inline_max.is_some_and(|most| size <= most);
    let receipt = GetReceipt { blob_ref: params.blob_ref, size, bytes: inline.then(|| Bytes::new(&bytes)) };
    Ok(Answer::of(&receipt)?.costing(Cost { bytes: if inline { size } else { 0 }, ..Cost::default() }))
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
