//! Keys of the tree, four bits at a time.

use alloc::vec::Vec;

/// A run of nibbles, one to a byte in memory and two to a byte when encoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
// INVARIANT: each byte is below 16.
pub struct Nibbles(Vec<u8>);

impl Nibbles {
    /// Splits a key into its nibbles, the high one of each byte first.
    pub fn of_key(key: &[u8]) -> Self {
        Self(key.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).collect())
    }

    /// Joins the nibbles back to a key; none where their count is odd.
    pub fn to_key(&self) -> Option<Vec<u8>> {
        let pairs = self.0.chunks_exact(2);
        pairs.remainder().is_empty().then(|| pairs.filter_map(pair).collect())
    }

    /// Returns the nibbles.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Returns the nibbles from `start` on.
    pub fn from(&self, start: usize) -> Self {
        Self(self.0.get(start..).unwrap_or_default().to_vec())
    }

    /// Returns the first `len` nibbles.
    pub fn to(&self, len: usize) -> Self {
        Self(self.0.get(..len).unwrap_or(&self.0).to_vec())
    }

    /// Returns this run, then `nibble`, then `rest`.
    pub fn join(&self, nibble: u8, rest: &Self) -> Self {
        let mut joined = self.0.clone();
        joined.push(nibble & 0x0f);
        joined.extend_from_slice(&rest.0);
        Self(joined)
    }

    /// Appends `rest`.
    pub fn extend(&mut self, rest: &Self) {
        self.0.extend_from_slice(&rest.0);
    }

    /// Counts the nibbles that `a` and `b` share at their start.
    pub fn shared(a: &[u8], b: &[u8]) -> usize {
        a.iter().zip(b).take_while(|(a, b)| a == b).count()
    }

    /// Packs the run: a first byte that is 0 for an even count, or 16 plus the first nibble for an odd one, then pairs.
    pub fn encode(&self) -> Vec<u8> {
        let (first, rest) = if self.0.len() % 2 == 1 { self.0.split_at(1) } else { self.0.split_at(0) };
        let head = first.first().map_or(0, |nibble| 0x10 | nibble);
        core::iter::once(head).chain(rest.chunks_exact(2).filter_map(pair)).collect()
    }

    /// Unpacks a run; none where the first byte is not as [`Nibbles::encode`] writes it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first()?;
        let mut nibbles = Vec::with_capacity(rest.len() * 2 + 1);
        match head >> 4 {
            0 if *head == 0 => {}
            1 => nibbles.push(head & 0x0f),
            _ => return None,
        }
        nibbles.extend(rest.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]));
        Some(Self(nibbles))
    }
}

fn pair(pair: &[u8]) -> Option<u8> {
    if let [high, low] = pair { Some(high << 4 | low) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_pack_and_unpack() {
        for len in 0..6 {
            let run = Nibbles((0..len).collect());
            assert_eq!(Nibbles::decode(&run.encode()), Some(run.clone()), "{len}");
        }
        assert_eq!(Nibbles::of_key(&[0x1f, 0x20]).to_key(), Some(vec![0x1f, 0x20]));
        assert_eq!(Nibbles::of_key(&[0x1f]).from(1).to_key(), None);
        for bad in [&[][..], &[0x01], &[0x20]] {
            assert_eq!(Nibbles::decode(bad), None, "{bad:x?}");
        }
    }
}
