//! Names: of definitions (`namespace/Name@version`), of variables, steps and grants, of effect kinds and capability types.
//!
//! Nothing here knows whether a name is defined; see `validate/`.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::NAME_BYTES_MAX;

/// The name of a definition: `namespace/Name@version`, at most [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
// INVARIANT: the text has the form that `parse` accepts.
pub struct Name(String);

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// There is no `/` between namespace and name, or no `@` before the version.
    #[error("a name has the form `namespace/Name@version`")]
    Form,
    /// The namespace is not `[a-z][a-z0-9._-]*`.
    #[error("a namespace starts with a-z and goes on with a-z, 0-9, `.`, `_`, `-`")]
    Namespace,
    /// The name is not `[A-Za-z][A-Za-z0-9._-]*`.
    #[error("a name starts with a letter and goes on with letters, digits, `.`, `_`, `-`")]
    Local,
    /// The version is not a positive integer of 64 bits without leading zero.
    #[error("a version is a positive integer without leading zero")]
    Version,
    /// The text is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    Length,
}

/// Namespace of the built-in definitions, which documents may refer to and never define.
pub const BUILT_IN: &str = "sys";

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// Which part is wrong.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NotAName::Length);
        }
        let (namespace, rest) = text.split_once('/').ok_or(NotAName::Form)?;
        let (local, version) = rest.rsplit_once('@').ok_or(NotAName::Form)?;
        let tail = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let mut bytes = namespace.bytes();
        if !bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
            || !bytes.all(|byte| tail(byte) && !byte.is_ascii_uppercase())
        {
            return Err(NotAName::Namespace);
        }
        let mut bytes = local.bytes();
        if !bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) || !bytes.all(tail) {
            return Err(NotAName::Local);
        }
        let digits = version.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || version.starts_with('0') || version.parse::<u64>().is_err() {
            return Err(NotAName::Version);
        }
        Ok(Self(text.into()))
    }

    /// Returns the whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the `/`.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Returns the part between `/` and `@`.
    pub fn local(&self) -> &str {
        let rest = self.0.split_once('/').map_or("", |(_, rest)| rest);
        rest.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// Tells whether the name lies in the namespace of the built-ins.
    pub fn is_built_in(&self) -> bool {
        self.namespace() == BUILT_IN
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        Self::parse(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Tells whether `text` may name a variable, a step or a grant: `[A-Za-z_][A-Za-z0-9_.-]{0,63}`.
pub fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Tells whether `text` may be an effect kind or a capability type: dotted lower-case words, `http.request`, at most 64 bytes.
pub fn is_dotted(text: &str) -> bool {
    text.len() <= 64
        && text.split('.').all(|word| {
            let mut bytes = word.bytes();
            bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
                && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_accepted_and_refused_part_by_part() {
        let cases = [
            ("demo/Counter@1", None),
            ("a.b-c_d/x.Y-z_0@18446744073709551615", None),
            ("sys/http.out@1", None),
            ("Counter@1", Some(NotAName::Form)),
            ("demo/Counter", Some(NotAName::Form)),
            ("Demo/Counter@1", Some(NotAName::Namespace)),
            ("/Counter@1", Some(NotAName::Namespace)),
            ("demo/1Counter@1", Some(NotAName::Local)),
            ("demo/Coun ter@1", Some(NotAName::Local)),
            ("demo/a/b@1", Some(NotAName::Local)),
            ("demo/Counter@0", Some(NotAName::Version)),
            ("demo/Counter@01", Some(NotAName::Version)),
            ("demo/Counter@", Some(NotAName::Version)),
            ("demo/Counter@18446744073709551616", Some(NotAName::Version)),
        ];
        for (text, expected) in cases {
            assert_eq!(Name::parse(text).err(), expected, "{text}");
        }
        let fits = format!("a/{}@1", "b".repeat(NAME_BYTES_MAX - 4));
        assert_eq!(Name::parse(&fits).map(|name| name.local().len()), Ok(NAME_BYTES_MAX - 4));
        assert_eq!(Name::parse(&format!("a{fits}")), Err(NotAName::Length));
    }

    #[test]
    fn identifiers_and_dotted_words() {
        for good in ["a", "_x", "A.b-c", &"x".repeat(64)] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", "1a", "a b", &"x".repeat(65)] {
            assert!(!is_identifier(bad), "{bad}");
        }
        for (text, expected) in
            [("http.request", true), ("timer", true), ("Http", false), ("a..b", false), (".a", false), ("", false)]
        {
            assert_eq!(is_dotted(text), expected, "{text}");
        }
    }
}
