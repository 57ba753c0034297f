//! SHA-256 digests as values.

use crate::hex::hex;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// A SHA-256. Shown and read as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// SHA-256 over fields with their lengths, so that two lists of fields are never the
/// same bytes.
#[derive(Default)]
pub struct FieldHasher {
    hash: Sha256,
    key: Option<[u8; 32]>,
}

impl FieldHasher {
    pub fn new() -> Self {
        Self::default()
    }

    /// With a key, which is hashed before the fields and after them: a digest tells
    /// nothing of them to anybody who has not the key.
    pub fn keyed(key: [u8; 32]) -> Self {
        Self { hash: Sha256::new_with_prefix(key), key: Some(key) }
    }

    pub fn field(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    /// Adds a field whose length is always the same, or ends before the next in
    /// another way.
    pub fn bare(&mut self, bytes: impl AsRef<[u8]>) {
        self.hash.update(bytes);
    }

    pub fn finish(mut self) -> Digest {
        if let Some(key) = self.key {
            self.hash.update(key);
        }
        Digest(self.hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|e| serde::de::Error::custom(format!("{text:?} is {e}")))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reason why a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    /// Takes both cases: some release notes print capitals.
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(NotADigest);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.chunks(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or(NotADigest);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_borders() {
        let of = |fields: &[&str]| {
            let mut hash = FieldHasher::new();
            fields.iter().for_each(|field| hash.field(field));
            hash.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["ab"]), Digest::of(b"\x02\0\0\0\0\0\0\0ab"));
        let mut keyed = FieldHasher::keyed([7; 32]);
        keyed.bare("ab");
        assert_eq!(keyed.finish(), Digest::of(&[&[7; 32][..], b"ab", &[7; 32]].concat()));
    }

    #[test]
    fn digests_are_read_as_they_are_shown() {
        let digest = Digest::of(b"plan9");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Digest>(), Err(NotADigest));
        }
    }
}
