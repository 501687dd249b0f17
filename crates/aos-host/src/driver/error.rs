//! Why a world cannot be made, opened or driven on.

use aos_air::diag::Findings;
use aos_kernel::error::Fault;
use aos_kernel::id::{BlockIndex, WorldId};

use super::Unverified;
use crate::dispatch::StartError;
use crate::keys::KeyError;
use crate::store::{self, Head};

/// A failure of the driver. After one, the driver takes nothing more.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The world stopped.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A block of the history, or something that it needs, is damaged or comes out otherwise.
    #[error("block {} ({}, up to height {}): {fault}", at.block, at.hash, at.height)]
    At {
        /// The block, as the store names it.
        at: Head,
        /// What is wrong.
        fault: Fault,
    },
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The manifest's modules cannot run.
    #[error("{0}")]
    Modules(Findings),
    /// The journal does not end at the durable head.
    #[error("world {world} ends at block {found}, and its durable head says block {head}")]
    Head {
        /// The world.
        world: WorldId,
        /// The last block that was found.
        found: BlockIndex,
        /// The block that the head names.
        head: BlockIndex,
    },
    /// A signature of the history does not count.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// The keys that the world trusts cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// An effect could not be handed to its adapter.
    #[error(transparent)]
    Dispatch(#[from] StartError),
    /// The clock stands outside what 64 bits of nanoseconds hold.
    #[error("the clock does not stand between 1970 and 2262")]
    Clock,
    /// The machine gives no random bytes.
    #[error("the machine gives no random bytes")]
    Entropy(#[source] getrandom::Error),
    /// An earlier failure stopped this driver.
    #[error("the driver has stopped on an earlier failure")]
    Stopped,
}

impl DriveError {
    /// Puts the block where a fault was found before it.
    pub(super) const fn at(at: Head) -> impl FnOnce(Fault) -> Self {
        move |fault| Self::At { at, fault }
    }

    /// Returns the stable code of this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fault(fault) | Self::At { fault, .. } => fault.code(),
            Self::Store(error) => error.code(),
            Self::Modules(findings) => findings.0.first().map_or("module.refused", |finding| finding.code),
            Self::Head { .. } => "head.mismatch",
            Self::Unverified(unverified) => unverified.refusal.code(),
            Self::Keys(error) => error.code(),
            Self::Dispatch(error) => error.code(),
            Self::Clock => "host.clock",
            Self::Entropy(_) => "host.entropy",
            Self::Stopped => "host.stopped",
        }
    }
}
