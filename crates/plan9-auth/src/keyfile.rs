//! The key file `/adm/keys`: everybody's keys, encrypted with the machine's.
//!
//! 8 bytes of salt, then records of 73 bytes; all of it in one DES-CBC with a
//! zero initial vector, so the salt is what keeps equal first records from
//! giving equal bytes. Facts: /sys/src/cmd/auth/keyfs.c, /sys/include/authsrv.h.
//! 9front reads this form too; its newer AES form is not written here.

use super::{AesKey, DesKey, NAME_LEN, get_text, put_text};
use crate::bytes;
use std::fmt;
use thiserror::Error;

/// Bytes in front of the records (`KEYDBOFF`).
const SALT_LEN: usize = 8;
/// Bytes of a record (`KEYDBLEN`).
const RECORD_LEN: usize = 73;
/// Bytes of a record's secret, its terminating NUL included (`SECRETLEN`).
const SECRET_LEN: usize = 32;
/// First bytes of 9front's form, in clear.
const AES_MAGIC: &[u8; 8] = b"AES KEYS";
/// Bytes of 9front's salt, which stands in front of the records, encrypted.
const AES_SALT_LEN: usize = 16;
/// Bytes of a record of 9front's form: the AES key comes last.
const AES_RECORD_LEN: usize = RECORD_LEN + 16;

/// Whether a user may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// User who may log in.
    Ok,
    /// User who may not.
    Disabled,
}

/// One user.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Name of the user: 1 to 27 bytes without blank, slash or control character.
    pub name: String,
    /// Key of the user's password.
    pub key: DesKey,
    /// 9front's form only: the key for dp9ik.
    pub aes_key: Option<AesKey>,
    /// Whether the user may log in.
    pub status: Status,
    /// Number of warnings of the key's expiry that were sent.
    pub warnings: u8,
    /// Seconds since 1970-01-01 UTC when the key expires; 0: never.
    pub expires: u32,
    /// For protocols such as POP and CHAP; empty: none.
    pub secret: String,
}

impl fmt::Debug for KeyRecord {
    /// Shows the record without key and secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord").field("name", &self.name).field("status", &self.status).finish_non_exhaustive()
    }
}

impl KeyRecord {
    /// A user who may log in, whose key never expires and who has no secret.
    pub fn new(name: &str, key: DesKey) -> Self {
        let secret = String::new();
        Self { name: name.into(), key, aes_key: None, status: Status::Ok, warnings: 0, expires: 0, secret }
    }

    fn write(&self, record: &mut [u8]) -> Result<(), KeyFileError> {
        put_text(&mut record[..NAME_LEN], &self.name).ok_or_else(|| KeyFileError::Name(self.name.clone()))?;
        record[28..35].copy_from_slice(&self.key.0);
        record[35] = u8::from(self.status == Status::Disabled);
        record[36] = self.warnings;
        record[37..41].copy_from_slice(&self.expires.to_le_bytes());
        put_text(&mut record[41..41 + SECRET_LEN], &self.secret)
            .ok_or_else(|| KeyFileError::Secret { name: self.name.clone(), len: self.secret.len() })
    }

    /// Reads record number `i`.
    fn parse(r: &[u8], i: usize) -> Result<Self, KeyFileError> {
        let name = get_text(&r[..NAME_LEN]);
        if !name_ok(&name) {
            return Err(KeyFileError::Record(i));
        }
        let status = match r[35] {
            0 => Status::Ok,
            1 => Status::Disabled,
            found => return Err(KeyFileError::Status { record: i, name, found }),
        };
        let mut key = [0; 7];
        key.copy_from_slice(&r[28..35]);
        let expires = u32::from_le_bytes([r[37], r[38], r[39], r[40]]);
        let secret = get_text(&r[41..RECORD_LEN]);
        let aes_key = r.get(RECORD_LEN..AES_RECORD_LEN).map(|key| {
            let mut own = [0; 16];
            own.copy_from_slice(key);
            AesKey(own)
        });
        Ok(Self { name, key: DesKey(key), aes_key, status, warnings: r[36], expires, secret })
    }
}

/// The file's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Random in Plan 9; derived here, so that equal inputs give equal bytes.
    pub salt: [u8; 8],
    /// Records of the users; writing puts those without a secret last.
    pub records: Vec<KeyRecord>,
}

/// Reason why a key file cannot be made or read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
#[non_exhaustive]
pub enum KeyFileError {
    /// Name that a record cannot hold.
    #[error(
        "The name {0:?} cannot be in a key file: expected 1 to 27 bytes that are not blank, slash or control character"
    )]
    Name(String),
    /// Secret that does not fit into a record.
    #[error("The secret of {name} has {len}, of at most 31, none of them NUL", len = bytes(len))]
    Secret { name: String, len: usize },
    /// Name of two records.
    #[error("The key file has two records of {0}")]
    Duplicate(String),
    /// Length in bytes that no key file has.
    #[error(
        "The key file has {n}, but 8 of salt and a multiple of 73 are expected (9front's with AES: 24 and a multiple of 89)", n = bytes(.0)
    )]
    Length(usize),
    /// Number of the first record without a valid name.
    #[error("Record {0} of the key file has no valid name: it was encrypted with another key")]
    Record(usize),
    /// Status that Plan 9 does not know.
    #[error("Record {record} of the key file ({name}) has status {found}, but 0 or 1 is expected")]
    Status { record: usize, name: String, found: u8 },
}

fn name_ok(name: &str) -> bool {
    !name.is_empty()
        && name.len() < NAME_LEN
        && !name.contains(|c: char| c == ' ' || c == '/' || c.is_ascii_control() || c == char::REPLACEMENT_CHARACTER)
}

impl KeyFile {
    /// The file's bytes, encrypted with the machine key of the node's nvram.
    ///
    /// Plan 9's reader drops the last 8 bytes before it decrypts, which spoils
    /// up to 15 bytes of the last record's secret; records without a secret
    /// are therefore written last.
    ///
    /// # Errors
    /// Fails when a name or secret does not fit, or two records have one name.
    pub fn to_bytes(&self, machine_key: DesKey) -> Result<Vec<u8>, KeyFileError> {
        self.check()?;
        let mut out = Vec::with_capacity(SALT_LEN + self.records.len() * RECORD_LEN);
        out.extend_from_slice(&self.salt);
        let (with, without): (Vec<_>, Vec<_>) = self.records.iter().partition(|r| !r.secret.is_empty());
        for r in with.into_iter().chain(without) {
            let mut record = [0; RECORD_LEN];
            r.write(&mut record)?;
            out.extend_from_slice(&record);
        }
        machine_key.cbc_encrypt(&mut out);
        Ok(out)
    }

    /// Decrypts and reads a key file. An empty file holds no keys.
    ///
    /// # Errors
    /// Fails when the length is wrong, or a record makes no sense: mostly
    /// because `machine_key` is another machine's.
    pub fn parse(bytes: &[u8], machine_key: DesKey) -> Result<Self, KeyFileError> {
        if bytes.is_empty() {
            return Ok(Self { salt: [0; 8], records: Vec::new() });
        }
        if bytes.len() < SALT_LEN || !(bytes.len() - SALT_LEN).is_multiple_of(RECORD_LEN) {
            return Err(KeyFileError::Length(bytes.len()));
        }
        let mut plain = bytes.to_vec();
        machine_key.cbc_decrypt(&mut plain);
        let mut salt = [0; 8];
        salt.copy_from_slice(&plain[..SALT_LEN]);
        let records = plain[SALT_LEN..].chunks_exact(RECORD_LEN).enumerate().map(|(i, r)| KeyRecord::parse(r, i));
        Ok(Self { salt, records: records.collect::<Result<_, _>>()? })
    }

    /// The bytes of 9front's form, with a key for dp9ik in each record that
    /// has one and zeros in the others. `iv` is random in Plan 9; only the
    /// file's salt depends on it.
    ///
    /// # Errors
    /// As [`KeyFile::to_bytes`].
    pub fn to_aes_bytes(&self, iv: [u8; AES_SALT_LEN], machine_key: AesKey) -> Result<Vec<u8>, KeyFileError> {
        self.check()?;
        let mut out = AES_MAGIC.to_vec();
        out.extend_from_slice(&iv);
        for r in &self.records {
            let mut record = [0; AES_RECORD_LEN];
            r.write(&mut record)?;
            if let Some(key) = r.aes_key {
                record[RECORD_LEN..].copy_from_slice(&key.0);
            }
            out.extend_from_slice(&record);
        }
        machine_key.cbc_encrypt(&mut out[AES_MAGIC.len()..]);
        Ok(out)
    }

    /// Decrypts and reads 9front's form; the salt stays empty.
    ///
    /// # Errors
    /// As [`KeyFile::parse`].
    pub fn parse_aes(bytes: &[u8], machine_key: AesKey) -> Result<Self, KeyFileError> {
        let start = AES_MAGIC.len() + AES_SALT_LEN;
        let whole = bytes.len().checked_sub(start).is_some_and(|n| n.is_multiple_of(AES_RECORD_LEN));
        if !whole || !bytes.starts_with(AES_MAGIC) {
            return Err(KeyFileError::Length(bytes.len()));
        }
        let mut plain = bytes.to_vec();
        machine_key.cbc_decrypt(&mut plain[AES_MAGIC.len()..]);
        let records = plain[start..].chunks_exact(AES_RECORD_LEN).enumerate().map(|(i, r)| KeyRecord::parse(r, i));
        Ok(Self { salt: [0; SALT_LEN], records: records.collect::<Result<_, _>>()? })
    }

    fn check(&self) -> Result<(), KeyFileError> {
        for (i, r) in self.records.iter().enumerate() {
            if !name_ok(&r.name) {
                return Err(KeyFileError::Name(r.name.clone()));
            }
            if self.records[..i].iter().any(|other| other.name == r.name) {
                return Err(KeyFileError::Duplicate(r.name.clone()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> KeyFile {
        let glenda = KeyRecord { secret: "sesame".into(), ..KeyRecord::new("glenda", DesKey([1, 2, 3, 4, 5, 6, 7])) };
        KeyFile { salt: *b"saltsalt", records: vec![glenda, KeyRecord::new("bootes", DesKey([7; 7]))] }
    }

    #[test]
    fn plain_text_has_the_fields_where_keyfs_looks() {
        let key = DesKey::from_password("password");
        let mut bytes = sample().to_bytes(key).unwrap();
        assert_eq!(bytes.len(), 8 + 2 * 73);
        assert!(!bytes.windows(6).any(|w| w == b"glenda"), "the names are encrypted too");
        key.cbc_decrypt(&mut bytes);
        assert_eq!(&bytes[..8], b"saltsalt");
        assert_eq!(&bytes[8..15], b"glenda\0");
        assert_eq!(bytes[36..43], [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(bytes[43..49], [0; 6]);
        assert_eq!(&bytes[49..56], b"sesame\0");
        assert_eq!(&bytes[81..88], b"bootes\0");
    }

    #[test]
    fn plan_9s_shorter_decryption_still_reads_all_but_the_last_secret() {
        // keyfs decrypts length - length % 73 bytes (/sys/src/cmd/auth/keyfs.c).
        let key = DesKey::from_password("password");
        let mut bytes = sample().to_bytes(key).unwrap();
        let n = bytes.len() - bytes.len() % 73;
        key.cbc_decrypt(&mut bytes[..n]);
        assert_eq!(&bytes[49..56], b"sesame\0");
        assert_eq!(&bytes[81..88], b"bootes\0");
        assert_eq!(bytes[109..116], [7; 7]);
    }

    #[test]
    fn wrong_inputs_are_named() {
        let key = DesKey([5; 7]);
        let bytes = sample().to_bytes(key).unwrap();
        assert_eq!(KeyFile::parse(&bytes, DesKey([6; 7])), Err(KeyFileError::Record(0)));
        assert_eq!(KeyFile::parse(&bytes[1..], key), Err(KeyFileError::Length(153)));
        assert_eq!(KeyFile::parse(&[], key).unwrap().records, []);
        for name in ["", "a b", "a/b", "a\n", "1234567890123456789012345678"] {
            let file = KeyFile { salt: [0; 8], records: vec![KeyRecord::new(name, key)] };
            assert_eq!(file.to_bytes(key), Err(KeyFileError::Name(name.into())));
        }
        let twice = KeyFile { salt: [0; 8], records: vec![KeyRecord::new("x", key), KeyRecord::new("x", key)] };
        assert_eq!(twice.to_bytes(key), Err(KeyFileError::Duplicate("x".into())));
        let mut odd = bytes;
        key.cbc_decrypt(&mut odd);
        odd[8 + 35] = 9;
        key.cbc_encrypt(&mut odd);
        assert_eq!(KeyFile::parse(&odd, key), Err(KeyFileError::Status { record: 0, name: "glenda".into(), found: 9 }));
    }

    #[test]
    fn the_form_of_9front_has_the_fields_where_its_keyfs_looks() {
        let key = AesKey::from_password("password");
        let with = KeyRecord { aes_key: Some(AesKey([9; 16])), ..sample().records[0].clone() };
        let file = KeyFile { records: vec![with, sample().records[1].clone()], ..sample() };
        let mut bytes = file.to_aes_bytes([5; 16], key).unwrap();
        assert_eq!(bytes.len(), 24 + 2 * 89);
        let back = KeyFile::parse_aes(&bytes, key).unwrap();
        assert_eq!((&back.records[0], back.records[1].aes_key), (&file.records[0], Some(AesKey([0; 16]))));
        assert_eq!(KeyFile::parse_aes(&bytes, AesKey([1; 16])), Err(KeyFileError::Record(0)));
        assert_eq!(KeyFile::parse_aes(&bytes[..100], key), Err(KeyFileError::Length(100)));
        assert_eq!(&bytes[..8], b"AES KEYS");
        key.cbc_decrypt(&mut bytes[8..]);
        assert_eq!(bytes[8..24], [5; 16]);
        assert_eq!(&bytes[24..31], b"glenda\0");
        assert_eq!(bytes[52..59], [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(&bytes[65..72], b"sesame\0");
        assert_eq!(bytes[97..113], [9; 16]);
        assert_eq!(&bytes[113..120], b"bootes\0");
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(key: [u8; 7], bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = KeyFile::parse(&bytes, DesKey(key));
            let _ = KeyFile::parse_aes(&[AES_MAGIC, &bytes[..]].concat(), AesKey([key[0]; 16]));
        }

        #[test]
        fn reading_undoes_writing(key: [u8; 7], salt: [u8; 8], users in proptest::collection::btree_map("[a-z0-9]{1,27}", any::<([u8; 7], bool, u8, u32)>(), 0..9)) {
            let records = users.into_iter().map(|(name, (key, off, warnings, expires))| KeyRecord {
                status: if off { Status::Disabled } else { Status::Ok }, warnings, expires, ..KeyRecord::new(&name, DesKey(key))
            }).collect();
            let file = KeyFile { salt, records };
            prop_assert_eq!(KeyFile::parse(&file.to_bytes(DesKey(key)).unwrap(), DesKey(key)).unwrap(), file);
        }
    }
}
