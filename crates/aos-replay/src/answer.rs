//! What a replay comes to, and its form on the way out. `spec/replay.md` has the form.

use alloc::string::ToString;
use alloc::vec::Vec;

use aos_air::cbor::write;
use aos_kernel::World;
use aos_kernel::bundle::BundleError;
use aos_kernel::error::Fault;
use aos_kernel::id::{BlockHash, Height, StateRoot, WorldId};

/// Where a history ends whose every frame came out as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The world.
    pub world: WorldId,
    /// The height of the last frame.
    pub height: Height,
    /// The hash of the last block, which names the whole history.
    pub head: BlockHash,
    /// The root of the state, where the last block names one.
    pub state_root: Option<StateRoot>,
}

impl Replayed {
    pub(crate) fn of(world: &World) -> Self {
        Self { world: world.id(), height: world.height(), head: world.head().1, state_root: world.state_root() }
    }
}

/// Why there is no such end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The bytes are no whole bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The history is damaged, comes out otherwise, or cannot be run.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl ReplayError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bundle(error) => error.code(),
            Self::Fault(fault) => fault.code(),
        }
    }
}

/// Returns the answer's bytes: `{head, world, height, state_root}`, or `{code, message}`, in canonical CBOR.
pub fn encode(result: &Result<Replayed, ReplayError>) -> Vec<u8> {
    let mut out = Vec::new();
    match result {
        Ok(replayed) => {
            write::map(&mut out, 4);
            write::text(&mut out, "head");
            write::bytes(&mut out, replayed.head.0.as_bytes());
            write::text(&mut out, "world");
            write::bytes(&mut out, replayed.world.0.as_bytes());
            write::text(&mut out, "height");
            write::uint(&mut out, replayed.height.0);
            write::text(&mut out, "state_root");
            write::bytes_or_null(&mut out, replayed.state_root.as_ref().map(|root| root.0.as_bytes().as_slice()));
        }
        Err(error) => {
            write::map(&mut out, 2);
            write::text(&mut out, "code");
            write::text(&mut out, error.code());
            write::text(&mut out, "message");
            write::text(&mut out, &error.to_string());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use aos_air::cbor::check;
    use aos_air::hash::Digest;

    use super::*;

    #[test]
    fn answers_are_canonical() {
        let digest = Digest::of(b"");
        for state_root in [None, Some(StateRoot(digest))] {
            let replayed = Replayed { world: WorldId(digest), height: Height(24), head: BlockHash(digest), state_root };
            assert_eq!(check(&encode(&Ok(replayed))), Ok(()));
        }
        let failed = encode(&Err(BundleError::Digest.into()));
        assert_eq!(check(&failed), Ok(()));
        assert_eq!(failed.get(..19), Some(&b"\xa2\x64code\x6dbundle.digest"[..19]));
    }
}
