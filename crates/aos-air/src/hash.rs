//! Digests: one function for content, one keyed function with a purpose for everything else.
//!
//! Content (a blob, a definition's canonical bytes, a module) is named by plain BLAKE3-256, so `b3sum` agrees.
//! Identities and commitments go through [`Purpose`], BLAKE3's derive-key mode, so that bytes of one purpose never
//! pass for another. Never here: what is hashed, and in which order; that stands beside each format.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use std::sync::OnceLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3-256 digest. Shown and read as `blake3:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes content: the name of a blob, of a definition's canonical bytes, of a WASM module.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Takes 32 bytes as a digest without checking where they come from.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the digest's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 hexadecimal digits without the `blake3:` prefix.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().as_str().into()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is `blake3:` and 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = text.strip_prefix("blake3:").ok_or(NotADigest)?;
        if hex.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotADigest);
        }
        blake3::Hash::from_hex(hex).map(|hash| Self(*hash.as_bytes())).map_err(|_| NotADigest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
            let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| D::Error::custom("a hash has 32 bytes"))?;
            Ok(Self(bytes))
        }
    }
}

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident = $context:literal,)*) => {
        /// What a keyed digest is for. Each purpose has its own context string, which is part of the format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Purpose { $($(#[$doc])* $name,)* }

        impl Purpose {
            /// Every purpose, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the context string that separates this purpose from all others.
            pub const fn context(self) -> &'static str {
                match self { $(Self::$name => $context,)* }
            }
        }
    };
}

purposes! {
    /// A world's id, over its genesis without the id.
    World = "aos/world/1",
    /// A block's hash, over its header.
    Block = "aos/block/1",
    /// An inner node of the mountain range, over its two children.
    MountainNode = "aos/mountain-node/1",
    /// The root of the mountain range, over the count of leaves and the peaks.
    Mountain = "aos/mountain/1",
    /// A block's `changes`, over every changed key with its value before and after.
    Changes = "aos/changes/1",
    /// The key of a cell in the state index, over reducer and key.
    CellKey = "aos/cell-key/1",
    /// The key of a used input id in the state index, over actor and id.
    InputKey = "aos/input-key/1",
    /// What an input id was used for, over the input.
    Input = "aos/input/1",
    /// The entropy of one call, over seed, height and ordinal.
    Entropy = "aos/entropy/1",
    /// The hash of an event as a module sees it, over schema and value.
    Event = "aos/event/1",
    /// A typed value, over its schema's closure and its canonical bytes.
    Value = "aos/value/1",
    /// The id of an intent, over world, height, ordinal, request, grant and origin.
    Intent = "aos/intent/1",
    /// What an intent asks for, over kind, canonical parameters and the author's own key.
    Request = "aos/request/1",
    /// The key that an adapter shows outside against doing a thing twice, over world, origin and the author's own key.
    Outward = "aos/outward/1",
    /// A recorded world's bundle, over all its bytes.
    Bundle = "aos/bundle/1",
}

impl Purpose {
    /// Hashes `bytes` for this purpose.
    pub fn hash(self, bytes: &[u8]) -> Digest {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Starts a digest for this purpose that takes its bytes in parts.
    pub fn hasher(self) -> Hasher {
        static KEYS: OnceLock<Vec<ContextKey>> = OnceLock::new();
        let keys =
            KEYS.get_or_init(|| Self::ALL.iter().map(|purpose| hash_derive_key_context(purpose.context())).collect());
        let key = keys.get(self as usize).copied();
        Hasher(blake3::Hasher::new_from_context_key(&key.unwrap_or_else(|| hash_derive_key_context(self.context()))))
    }
}

/// A digest being made, for one [`Purpose`].
#[derive(Clone)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Takes further bytes.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// Ends the digest.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Hashes a typed value: its schema's closure and its canonical bytes, so that equal bytes of two schemas differ.
pub fn value_hash(closure: &Digest, canonical: &[u8]) -> Digest {
    Purpose::Value.hasher().update(closure.as_bytes()).update(canonical).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_derive_key_mode_of_its_context() {
        for purpose in Purpose::ALL {
            let expected = blake3::derive_key(purpose.context(), b"abc");
            assert_eq!(purpose.hash(b"abc").as_bytes(), &expected, "{purpose:?}");
        }
    }

    #[test]
    fn text_round_trips_and_refuses_what_is_not_exact() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let upper = digest.to_string().to_uppercase().replace("BLAKE3", "blake3");
        for bad in ["", "blake3:", "blake3:00", digest.to_hex().as_str(), &upper] {
            assert_eq!(bad.parse::<Digest>(), Err(NotADigest), "{bad}");
        }
    }
}
