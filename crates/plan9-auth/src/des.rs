//! The 56-bit DES keys of Plan 9 and the cipher mode of its key file.
//!
//! Plan 9 keeps a DES key packed into 7 bytes, without the parity bits that
//! the standard spreads over 8. Facts: /sys/src/libauthsrv/passtokey.c,
//! /sys/src/libsec/port/des.c, /sys/src/libsec/port/desCBC.c.

use super::cbc;
use des::Des;
use des::cipher::{Block, BlockCipherEncrypt as _, KeyInit as _};
use std::fmt;

/// Longest part of a password that counts, in bytes (`ANAMELEN` - 1).
const PASSWORD_LEN: usize = 27;

/// A DES key in Plan 9's packed form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DesKey(pub [u8; 7]);

impl fmt::Debug for DesKey {
    /// Never shows the key: it is as good as the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DesKey(…)")
    }
}

impl DesKey {
    /// The key that `password` stands for. Only its first 27 bytes count, as
    /// in Plan 9.
    ///
    /// Eight characters of seven bits are packed into the key. A longer
    /// password goes on in steps of eight characters, the last step backing up
    /// to be whole; each step encrypts its characters with the key so far
    /// before it packs them.
    pub fn from_password(password: &str) -> Self {
        let bytes = &password.as_bytes()[..password.len().min(PASSWORD_LEN)];
        // At least eight characters; a NUL ends them, and packing reads it.
        let mut text = [b' '; PASSWORD_LEN + 1];
        text[..bytes.len()].copy_from_slice(bytes);
        if bytes.len() < 8 {
            text[bytes.len()] = 0;
        }
        let mut left = bytes.len();
        let mut at = 0;
        loop {
            let mut chunk = [0; 8];
            chunk.copy_from_slice(&text[at..at + 8]);
            let key = Self::pack(chunk);
            if left <= 8 {
                return key;
            }
            left -= 8;
            at += 8;
            if left < 8 {
                at -= 8 - left;
                left = 8;
            }
            let mut chunk = [0; 8];
            chunk.copy_from_slice(&text[at..at + 8]);
            text[at..at + 8].copy_from_slice(&key.encrypt(chunk));
        }
    }

    fn pack(text: [u8; 8]) -> Self {
        let mut key = [0; 7];
        for (i, k) in key.iter_mut().enumerate() {
            *k = (text[i] >> i).wrapping_add(((u16::from(text[i + 1]) << (7 - i)) & 0xff) as u8);
        }
        Self(key)
    }

    /// The standard's 8-byte form: 7 bits in the upper part of each byte, odd
    /// parity in the lowest bit.
    fn spread(self) -> [u8; 8] {
        let bits = self.0.iter().fold(0u64, |bits, b| bits << 8 | u64::from(*b));
        let mut out = [0; 8];
        for (i, b) in out.iter_mut().enumerate() {
            let seven = ((bits >> (49 - 7 * i)) & 0x7f) as u8;
            *b = seven << 1 | u8::from(seven.count_ones().is_multiple_of(2));
        }
        out
    }

    fn cipher(self) -> Des {
        Des::new(&self.spread().into())
    }

    /// Encrypts one block.
    pub fn encrypt(self, block: [u8; 8]) -> [u8; 8] {
        let mut b: Block<Des> = block.into();
        self.cipher().encrypt_block(&mut b);
        b.into()
    }

    /// Encrypts in place: CBC with a zero initial vector. A tail shorter than
    /// a block is XORed with the encryption of the last cipher block.
    pub fn cbc_encrypt(self, data: &mut [u8]) {
        cbc::encrypt(&self.cipher(), data);
    }

    /// The inverse of [`DesKey::cbc_encrypt`] for data of the same length.
    pub fn cbc_decrypt(self, data: &mut [u8]) {
        cbc::decrypt(&self.cipher(), data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keys computed apart from this code: packing by hand, DES by OpenSSL.
    #[test]
    fn passwords_become_these_keys() {
        for (password, key) in GOLDEN {
            assert_eq!(DesKey::from_password(password).0, *key, "{password}");
        }
    }

    const GOLDEN: &[(&str, [u8; 7])] = &[
        ("", [0x00, 0x10, 0x08, 0x04, 0x02, 0x81, 0x40]),
        ("a", [0x61, 0x00, 0x08, 0x04, 0x02, 0x81, 0x40]),
        ("glenda", [0x67, 0x76, 0xd9, 0x4d, 0x0e, 0x03, 0x40]),
        ("password", [0xf0, 0xf0, 0x7c, 0x7e, 0x7f, 0xcb, 0xc9]),
        ("plan9grid", [0xec, 0x60, 0xf8, 0x66, 0xd3, 0xdb, 0xb5]),
        ("correct horse battery", [0x9e, 0xce, 0xd0, 0xc1, 0xdf, 0x93, 0x5d]),
        ("a password of 27 characters", [0xd2, 0x99, 0x6a, 0x78, 0x34, 0x87, 0x87]),
    ];

    #[test]
    fn only_27_bytes_count_even_inside_a_character() {
        let a = DesKey::from_password(&"x".repeat(27));
        assert_eq!(a, DesKey::from_password(&"x".repeat(40)));
        assert_ne!(a, DesKey::from_password(&"x".repeat(26)));
        DesKey::from_password(&"ä".repeat(20));
    }

    proptest! {
        #[test]
        fn decryption_undoes_encryption(key: [u8; 7], data: Vec<u8>) {
            let mut work = data.clone();
            DesKey(key).cbc_encrypt(&mut work);
            DesKey(key).cbc_decrypt(&mut work);
            prop_assert_eq!(work, data);
        }
    }
}
