//! The worst cases of `blob.put` and `blob.get`, which have no constraints.

use aos_air::schema::Value;

use super::read;
use super::{Denied, WorstCase};

/// Judges a `blob.put`: bytes cost their length; a blob that is elsewhere has no bound.
pub(super) fn put(params: &Value) -> Result<WorstCase, Denied> {
    match (read::field(params, "bytes"), read::field(params, "blob_ref")) {
        (Some(Value::Bytes(bytes)), None) => Ok(WorstCase { bytes: Some(bytes.len() as u64), ..WorstCase::FREE }),
        (None, Some(_)) => Ok(WorstCase { bytes: None, ..WorstCase::FREE }),
        _ => Err(Denied::params("`blob.put` takes either `bytes` or `blob_ref`, and not both")),
    }
}

/// Judges a `blob.get`, which brings up to `inline_max` bytes.
pub(super) fn get(params: &Value) -> Result<WorstCase, Denied> {
    Ok(WorstCase { bytes: Some(read::nat(params, "inline_max").unwrap_or_default()), ..WorstCase::FREE })
}
