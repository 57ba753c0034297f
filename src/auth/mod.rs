//! Plan 9 authentication data: password to key, nvram, the key file.
//!
//! A password becomes a 56-bit DES key ([`DesKey`]). Every node holds the host
//! owner's key in its nvram partition ([`Nvram`]); the authentication server
//! also holds everybody's keys in `/adm/keys` ([`KeyFile`]), encrypted with the
//! key from its nvram. Formats: `doc/auth.md`.

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
