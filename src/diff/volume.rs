//! Two partitions, or two volumes without partitions.

use super::{Budget, Difference, Sink, bytes, fat, files, fossil, nvram};
use crate::disk::DiskImage;
use crate::fs::{self, OpenError, fat::FatFs};
use crate::read_at::ReadAt;
use std::io;
use std::sync::Arc;

/// One side of a comparison.
#[derive(Clone)]
pub struct Side {
    pub bytes: Arc<dyn ReadAt>,
    /// First sector on its disk, if it has one.
    pub lba: Option<u64>,
    /// The disk that it is a partition of.
    pub disk: Option<Arc<DiskImage>>,
}

impl Side {
    /// Opens the file system.
    ///
    /// # Errors
    /// As [`fs::open`].
    pub fn open(&self) -> Result<Box<dyn fs::FileSystem>, OpenError> {
        fs::open(self.bytes.clone(), self.lba, &|name| self.disk.as_ref().and_then(|d| d.beside(name)))
    }
}

/// Compares the partitions called `name`. With `table`, their second sector is
/// a partition table that was compared already.
///
/// # Errors
/// Error of `sink`.
pub fn partitions(name: &str, a: &Side, b: &Side, table: bool, sink: &mut Sink<'_>) -> io::Result<()> {
    let len = (a.bytes.len(), b.bytes.len());
    match bytes::equal(&*a.bytes, &*b.bytes) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(e) => sink(Difference::new(name, "unreadable", e.to_string()))?,
    }
    if len.0 != len.1 {
        sink(Difference::new(name, "length", "bytes").values(len.0.to_string(), len.1.to_string()))?;
    }
    let mut budget = Budget::new(len.0.max(len.1));
    let sides: (&dyn ReadAt, &dyn ReadAt) = (&*a.bytes, &*b.bytes);
    if let (Ok(x), Ok(y)) = (fs::fossil::open(a.bytes.clone()), fs::fossil::open(b.bytes.clone())) {
        return fossil::compare(name, (&x, &y), sides, &mut budget, sink);
    }
    let kinds = (a.open(), b.open());
    let what = match &kinds {
        (Ok(x), Ok(y)) if x.kind() == y.kind() && x.kind() == "fat" => {
            let open = |s: &Side| FatFs::open(s.bytes.clone(), s.lba);
            if let (Ok(x), Ok(y)) = (open(a), open(b)) {
                return fat::compare(name, (&x, &y), sides, table, &mut budget, sink);
            }
            x.kind()
        }
        (Ok(x), Ok(y)) if x.kind() == y.kind() => {
            files::compare(name, (&**x, b""), (&**y, b""), &mut budget, &mut |_| {}, sink)?;
            x.kind()
        }
        (Err(OpenError::Unknown { .. }), Err(OpenError::Unknown { .. })) => "bytes",
        (x, y) => {
            let say = |r: &Result<Box<dyn fs::FileSystem>, OpenError>| match r {
                Ok(fs) => fs.kind().to_owned(),
                Err(OpenError::Unknown { .. }) => "none".into(),
                Err(e) => match std::error::Error::source(e) {
                    Some(why) => format!("{e}: {why}"),
                    None => e.to_string(),
                },
            };
            sink(Difference::new(name, "file-system", "file system").values(say(x), say(y)))?;
            "bytes"
        }
    };
    let end = len.0.min(len.1);
    let from = if name == "nvram" && what == "bytes" {
        let n = nvram::LEN.min(end) as usize;
        let (mut x, mut y) = (vec![0; n], vec![0; n]);
        if a.bytes.read_at(0, &mut x).is_ok() && b.bytes.read_at(0, &mut y).is_ok() {
            nvram::compare(name, &x, &y, sink)?;
        }
        n as u64
    } else {
        0
    };
    bytes::compare(name, "bytes", what, sides, (from, end), 0, sink)
}
