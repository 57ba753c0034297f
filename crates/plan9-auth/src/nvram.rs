//! The nvram block: who a machine is before anybody types.
//!
//! Four fields, each with a checksum byte after it; 9front adds an AES key.
//! The block stands at the start of the nvram partition. Facts:
//! `struct Nvrsafe` in /sys/include/authsrv.h, /sys/src/libauthsrv/readnvram.c.

use super::{AesKey, DOMAIN_LEN, DesKey, NAME_LEN, get_text, put_text};
use crate::bytes;
use std::fmt;
use std::ops::Range;
use thiserror::Error;

/// Bytes of 9legacy's block.
const LEN: usize = 109;
/// Bytes of 9front's block.
const LEN_AES: usize = 126;

const MACHINE_KEY: Range<usize> = 0..7;
const AUTH_KEY: Range<usize> = 8..15;
const CONFIG: Range<usize> = 16..30;
const AUTHID: Range<usize> = 31..31 + NAME_LEN;
const AUTHDOM: Range<usize> = 60..60 + DOMAIN_LEN;
const AES_KEY: Range<usize> = 109..125;

/// Fields of the nvram block.
#[derive(Clone, PartialEq, Eq)]
pub struct Nvram {
    /// Key of `authid`'s password.
    pub machine_key: DesKey,
    /// The user that owns the host, such as `bootes`.
    pub authid: String,
    /// Authentication domain, such as `plan9.example`: at most 47 bytes.
    pub authdom: String,
    /// 9front only: the key for dp9ik; zeros where there is none.
    pub aes_key: Option<AesKey>,
}

impl fmt::Debug for Nvram {
    /// Shows the block without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nvram").field("authid", &self.authid).field("authdom", &self.authdom).finish_non_exhaustive()
    }
}

/// Reason why an nvram block cannot be made or is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
#[non_exhaustive]
pub enum NvramError {
    /// Name that does not fit into its field.
    #[error(
        "The {field} {value:?} does not fit the nvram block: it has {len}, of at most {max}, none of them NUL", len = bytes(len)
    )]
    Text { field: &'static str, value: String, len: usize, max: usize },
    /// Length in bytes: too few.
    #[error("The nvram block has {n}, but the shortest has 109", n = bytes(.0))]
    Short(usize),
    /// Checksum that is wrong.
    #[error(
        "The nvram block's checksum of the {field} at byte {at} is {found:#04x}, but the field gives {expected:#04x}"
    )]
    Sum { field: &'static str, at: usize, expected: u8, found: u8 },
    /// Name that must not be empty.
    #[error("The nvram block names no {0}: Plan 9 would ask for it on the console")]
    Empty(&'static str),
}

/// Plan 9's checksum: 9 plus all bytes. A block of zeros is therefore not valid.
fn sum(field: &[u8]) -> u8 {
    field.iter().fold(9, |s, b| s.wrapping_add(*b))
}

impl Nvram {
    /// The block, to be put at the start of the nvram partition: 109 bytes,
    /// or 126 with an AES key.
    ///
    /// # Errors
    /// Fails when a name is empty, too long or holds a NUL.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NvramError> {
        let mut out = vec![0; if self.aes_key.is_some() { LEN_AES } else { LEN }];
        out[MACHINE_KEY].copy_from_slice(&self.machine_key.0);
        for (field, range, text) in
            [("owner of the host", AUTHID, &self.authid), ("authentication domain", AUTHDOM, &self.authdom)]
        {
            if text.is_empty() {
                return Err(NvramError::Empty(field));
            }
            let max = range.len() - 1;
            put_text(&mut out[range], text).ok_or_else(|| NvramError::Text {
                field,
                value: text.clone(),
                len: text.len(),
                max,
            })?;
        }
        for range in [MACHINE_KEY, AUTH_KEY, CONFIG, AUTHID, AUTHDOM] {
            out[range.end] = sum(&out[range.clone()]);
        }
        if let Some(key) = &self.aes_key {
            out[AES_KEY].copy_from_slice(&key.0);
            out[AES_KEY.end] = sum(&key.0);
        }
        Ok(out)
    }

    /// Reads a block as Plan 9 does: the checksums of key, owner and domain
    /// must be right, the others may be anything.
    ///
    /// # Errors
    /// Fails when Plan 9 would ignore the block and ask on its console.
    pub fn parse(bytes: &[u8]) -> Result<Self, NvramError> {
        if bytes.len() < LEN {
            return Err(NvramError::Short(bytes.len()));
        }
        for (field, range) in
            [("machine key", MACHINE_KEY), ("owner of the host", AUTHID), ("authentication domain", AUTHDOM)]
        {
            let (at, expected) = (range.end, sum(&bytes[range]));
            if bytes[at] != expected {
                return Err(NvramError::Sum { field, at, expected, found: bytes[at] });
            }
        }
        let mut machine_key = [0; 7];
        machine_key.copy_from_slice(&bytes[MACHINE_KEY]);
        let (authid, authdom) = (get_text(&bytes[AUTHID]), get_text(&bytes[AUTHDOM]));
        if authid.is_empty() {
            return Err(NvramError::Empty("owner of the host"));
        }
        if authdom.is_empty() {
            return Err(NvramError::Empty("authentication domain"));
        }
        let aes_key = (bytes.len() >= LEN_AES && bytes[AES_KEY.end] == sum(&bytes[AES_KEY])).then(|| {
            let mut key = [0; 16];
            key.copy_from_slice(&bytes[AES_KEY]);
            AesKey(key)
        });
        Ok(Self { machine_key: DesKey(machine_key), authid, authdom, aes_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Nvram {
        Nvram {
            machine_key: DesKey::from_password("password"),
            authid: "bootes".into(),
            authdom: "plan9.lab".into(),
            aes_key: None,
        }
    }

    #[test]
    fn fields_stand_where_plan_9_looks() {
        let b = sample().to_bytes().unwrap();
        assert_eq!(b.len(), 109);
        assert_eq!(b[..8], [0xf0, 0xf0, 0x7c, 0x7e, 0x7f, 0xcb, 0xc9, 0xf6]);
        assert_eq!(b[8..16], [0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(b[30], 9);
        assert_eq!(&b[31..38], b"bootes\0");
        assert_eq!(&b[60..70], b"plan9.lab\0");
        let expected = b"plan9.lab".iter().fold(9u8, |s, c| s.wrapping_add(*c));
        assert_eq!(b[108], expected);
        let aes = Nvram { aes_key: Some(AesKey([3; 16])), ..sample() };
        let b = aes.to_bytes().unwrap();
        assert_eq!((b.len(), b[125]), (126, 9 + 48));
        assert_eq!(Nvram::parse(&b).unwrap(), aes);
    }

    #[test]
    fn damage_is_named() {
        let good = sample().to_bytes().unwrap();
        for (at, field) in [(0, "machine key"), (31, "owner of the host"), (108, "authentication domain")] {
            let mut b = good.clone();
            b[at] ^= 1;
            assert!(
                matches!(Nvram::parse(&b), Err(NvramError::Sum { field: f, .. }) if f == field),
                "{at}: {:?}",
                Nvram::parse(&b)
            );
        }
        assert_eq!(Nvram::parse(&good[..108]), Err(NvramError::Short(108)));
        assert!(matches!(Nvram::parse(&[0; 512]), Err(NvramError::Sum { field: "machine key", .. })));
        let mut b = good;
        b[AUTHID].fill(0);
        b[AUTHID.end] = 9;
        assert_eq!(Nvram::parse(&b), Err(NvramError::Empty("owner of the host")));
    }

    #[test]
    fn names_must_fit() {
        let long = Nvram { authid: "x".repeat(28), ..sample() };
        let said = long.to_bytes().unwrap_err().to_string();
        assert!(said.contains("has 28 bytes, of at most 27"), "{said}");
        assert!(Nvram { authid: "x".repeat(27), ..sample() }.to_bytes().is_ok());
        assert!(matches!(Nvram { authdom: String::new(), ..sample() }.to_bytes(), Err(NvramError::Empty(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(bytes: Vec<u8>) {
            let _ = Nvram::parse(&bytes);
        }

        #[test]
        fn reading_undoes_writing(key: [u8; 7], id in "[a-z0-9äö]{1,13}", dom in "[a-z.]{1,47}", aes: Option<[u8; 16]>) {
            let n = Nvram { machine_key: DesKey(key), authid: id, authdom: dom, aes_key: aes.map(AesKey) };
            let mut bytes = n.to_bytes().unwrap();
            bytes.resize(512, 0);
            let back = Nvram::parse(&bytes).unwrap();
            prop_assert_eq!((back.machine_key, &back.authid, &back.authdom), (n.machine_key, &n.authid, &n.authdom));
            prop_assert_eq!(back.aes_key, n.aes_key);
        }
    }
}
