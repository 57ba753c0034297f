//! AES as 9front uses it: keys from passwords, and CBC with a tail.
//!
//! Facts: `passtoaeskey` in 9front's /sys/src/libauthsrv/passtokey.c,
//! /sys/src/libsec/port/aesCBC.c.

use super::cbc;
use aes::Aes128;
use aes::cipher::KeyInit as _;
use std::fmt;

/// Salt and number of rounds of the hash of a password.
const SALT: &[u8] = b"Plan 9 key derivation";
const ROUNDS: u32 = 9001;

/// A key for dp9ik.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AesKey(pub [u8; 16]);

impl fmt::Debug for AesKey {
    /// Never shows the key: it is as good as the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesKey(…)")
    }
}

impl AesKey {
    /// The key that `password` stands for.
    pub fn from_password(password: &str) -> Self {
        let mut key = [0; 16];
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(password.as_bytes(), SALT, ROUNDS, &mut key);
        Self(key)
    }

    /// Encrypts in place: CBC with a zero initial vector. A tail shorter than
    /// a block is XORed with the encryption of the last cipher block.
    pub fn cbc_encrypt(self, data: &mut [u8]) {
        cbc::encrypt(&Aes128::new(&self.0.into()), data);
    }

    /// The inverse of [`AesKey::cbc_encrypt`] for data of the same length.
    pub fn cbc_decrypt(self, data: &mut [u8]) {
        cbc::decrypt(&Aes128::new(&self.0.into()), data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Computed apart from this code, by Python's hashlib.
    #[test]
    fn passwords_become_these_keys() {
        for (password, key) in GOLDEN {
            assert_eq!(AesKey::from_password(password).0, *key, "{password}");
        }
    }

    const GOLDEN: &[(&str, [u8; 16])] = &[
        ("password", [0x15, 0xd1, 0x32, 0x56, 0x34, 0x42, 0x11, 0xe5, 0x6c, 0x52, 0xf5, 0x0c, 0x53, 0x9d, 0xe2, 0x23]),
        (
            "correct horse battery staple",
            [0xaa, 0x0a, 0x18, 0xf2, 0x57, 0xd1, 0x09, 0x66, 0xb8, 0xc0, 0x04, 0xca, 0xa2, 0x67, 0x43, 0x93],
        ),
        ("glenda", [0x18, 0xe4, 0x3c, 0xf8, 0x79, 0xe0, 0xe1, 0xf4, 0xa1, 0xf6, 0x80, 0x92, 0xf4, 0xb7, 0xf8, 0x37]),
    ];

    proptest! {
        #[test]
        fn decryption_undoes_encryption(key: [u8; 16], data: Vec<u8>) {
            let mut work = data.clone();
            AesKey(key).cbc_encrypt(&mut work);
            AesKey(key).cbc_decrypt(&mut work);
            prop_assert_eq!(work, data);
        }
    }
}
