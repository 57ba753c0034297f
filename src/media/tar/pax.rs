//! Extended headers of POSIX.1-2001: lines of `LENGTH KEY=VALUE`, which say of
//! the next member (or of all that follow) what its header has no room for.

use super::error::TarError;

/// Values of the records; if a key appears twice, the last.
#[derive(Clone, Debug, Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub mtime: Option<u64>,
    pub uname: Option<Vec<u8>>,
    pub gname: Option<Vec<u8>>,
    /// The member is stored as GNU's sparse files are.
    pub sparse: bool,
}

impl Pax {
    /// Adds the records in `text`, the data of the header at byte `at`.
    ///
    /// # Errors
    /// For the first that is none.
    pub fn read(&mut self, mut text: &[u8], at: u64) -> Result<(), TarError> {
        while !text.is_empty() {
            let (record, rest) = record(text).ok_or(TarError::Record { at })?;
            let equals = record.iter().position(|b| *b == b'=').ok_or(TarError::Record { at })?;
            self.put(&record[..equals], &record[equals + 1..]).ok_or(TarError::Record { at })?;
            text = rest;
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"uname" => self.uname = Some(value.to_vec()),
            b"gname" => self.gname = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            // Plan 9 counts whole seconds, from 1970 on.
            b"mtime" if value.starts_with(b"-") => self.mtime = Some(0),
            b"mtime" => self.mtime = Some(decimal(value.split(|b| *b == b'.').next()?)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            // Times of access, attributes, comments: nothing that Plan 9 has.
            _ => {}
        }
        Some(())
    }
}

/// The first record's `KEY=VALUE`, and what comes after it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = text.iter().take(20).position(|b| *b == b' ')?;
    let len = usize::try_from(decimal(&text[..blank])?).ok()?;
    let (record, rest) = text.split_at_checked(len)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    Some((record, rest))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(digits).ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_others_refused() {
        let mut pax = Pax::default();
        let text = b"12 path=a/b\n20 mtime=1234567.89\n9 size=9\n14 comment=xy\n";
        pax.read(text, 0).unwrap();
        assert_eq!((pax.path.as_deref(), pax.mtime, pax.size), (Some(&b"a/b"[..]), Some(1_234_567), Some(9)));
        for bad in
            [&b"12 path=a/b"[..], b"0 \n", b"3 \n", b"x path=a\n", b"10 size=-1\n", b"999999999999999999999999 a=b\n"]
        {
            assert!(Pax::default().read(bad, 7).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
