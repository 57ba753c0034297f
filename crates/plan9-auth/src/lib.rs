//! Plan 9's authentication data: keys of passwords, the nvram block, the key
//! file.
//!
//! A password becomes a DES key of 56 bits ([`DesKey`]) and, in 9front, an AES
//! key as well ([`AesKey`]). Every node holds the host owner's key in its nvram
//! partition ([`Nvram`]); the authentication server also holds everybody's keys
//! in `/adm/keys` ([`KeyFile`]), encrypted with the key from its nvram.
//!
//! ```
//! use plan9_auth::{DesKey, KeyFile, KeyRecord, Nvram};
//! use std::error::Error;
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let machine_key = DesKey::from_password("a long password");
//! let nvram = Nvram { machine_key, authid: "bootes".into(), authdom: "plan9.example".into(), aes_key: None };
//! assert_eq!(Nvram::parse(&nvram.to_bytes()?)?, nvram);
//!
//! let glenda = KeyRecord::new("glenda", DesKey::from_password("glenda"));
//! let keys = KeyFile { salt: *b"8 bytes!", records: vec![glenda] };
//! let bytes = keys.to_bytes(machine_key)?;
//! assert_eq!(KeyFile::parse(&bytes, machine_key)?.records[0].name, "glenda");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here draws random bytes: equal inputs give equal bytes, and salts are
//! the caller's. `Debug` shows no key.

#![deny(missing_docs, unreachable_pub)]
#![forbid(unsafe_code)]
// The fence of clippy.toml: nothing that differs between two runs reaches an image.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod aes;
mod cbc;
mod des;
mod keyfile;
mod nvram;

pub use aes::AesKey;
pub use des::DesKey;
pub use keyfile::{KeyFile, KeyFileError, KeyRecord, Status};
pub use nvram::{Nvram, NvramError};

/// Bytes of a name, its terminating NUL included (`ANAMELEN`, /sys/include/authsrv.h).
pub const NAME_LEN: usize = 28;
/// Bytes of an authentication domain, its terminating NUL included (`DOMLEN`).
pub const DOMAIN_LEN: usize = 48;

/// `1 byte`, `2 bytes`.
fn bytes(n: &usize) -> String {
    if *n == 1 { "1 byte".into() } else { format!("{n} bytes") }
}

/// Writes `text` into a field that a NUL must end; `None` when it is too long
/// or holds a NUL itself.
fn put_text(field: &mut [u8], text: &str) -> Option<()> {
    if text.len() >= field.len() || text.contains('\0') {
        return None;
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Some(())
}

/// The text of a NUL-padded field, lossily; all of it when no NUL ends it.
fn get_text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}
