//! The ids and positions at the kernel's border: newtypes, so that a height never passes for an index.

use core::fmt;

use aos_air::hash::Digest;

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub Digest);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(&self.0, f)
                }
            }
        )*
    };
}

digests! {
    /// Names a world: the digest of its genesis, which holds 32 random bytes.
    WorldId,
    /// Names a block, and through its header the world's whole history up to it.
    BlockHash,
    /// Names a world's whole state: the root of its state index.
    StateRoot,
    /// Names an intent, in all worlds: what a receipt answers.
    IntentId,
}

macro_rules! positions {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
            pub struct $name(pub u64);

            impl $name {
                /// Returns the position after this one.
                #[must_use]
                pub const fn next(self) -> Self {
                    Self(self.0 + 1)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(&self.0, f)
                }
            }
        )*
    };
}

positions! {
    /// The number of a frame in its world; the first frame has height 1, a world without frames stands at 0.
    Height,
    /// The number of a block in its world; the genesis is block 0.
    BlockIndex,
    /// The number of a plan instance in its world, from 1.
    InstanceId,
}
