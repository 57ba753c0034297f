//! Object ids: what git calls an object is the digest of its bytes.

use crate::hex::hex;
use sha1_checked::Sha1;
use sha2::{Digest as _, Sha256};

/// Whether this is an object's id: of SHA-1, or of SHA-256 in repositories that use that.
pub fn is_id(text: &str) -> bool {
    matches!(text.len(), SHA1 | SHA256) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Digits of an id of SHA-1.
const SHA1: usize = 40;
/// Digits of an id of SHA-256.
pub const SHA256: usize = 64;

/// Id of an object, computed while its bytes come.
pub enum Sum {
    /// The one that finds the traces of published attacks (`SHAttered` and
    /// later ones), as git's own does.
    Sha1(Box<Sha1>),
    Sha256(Sha256),
}

impl Sum {
    /// Begins an object of this kind and length, whose id has as many digits as `like`.
    pub fn new(like: &str, kind: &str, len: u64) -> Self {
        let mut sum =
            if like.len() == SHA256 { Self::Sha256(Sha256::new()) } else { Self::Sha1(Box::new(Sha1::new())) };
        sum.add(format!("{kind} {len}\0").as_bytes());
        sum
    }

    pub fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
        }
    }

    /// The id; `None` when the bytes were made to have the id of others.
    pub fn finish(self) -> Option<String> {
        match self {
            Self::Sha1(sum) => {
                let found = sum.try_finalize();
                (!found.has_collision()).then(|| hex(found.hash()))
            }
            Self::Sha256(sum) => Some(hex(&sum.finalize())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        let of = |like: &str, kind: &str, bytes: &[u8]| {
            let mut sum = Sum::new(like, kind, bytes.len() as u64);
            bytes.chunks(3).for_each(|part| sum.add(part));
            sum.finish()
        };
        let (short, long) = ("0".repeat(SHA1), "0".repeat(SHA256));
        // `git hash-object`, and `git init --object-format=sha256`.
        assert_eq!(of(&short, "blob", b"hello\n").unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(of(&short, "tree", b"").unwrap(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        let empty = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321";
        assert_eq!(of(&long, "tree", b"").unwrap(), empty);
        assert!(is_id(&short) && is_id(empty) && !is_id("ce01") && !is_id(&"G".repeat(SHA1)));
    }
}
