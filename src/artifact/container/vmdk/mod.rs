//! Sparse VMDK: streamOptimized as VMware's tools write it, and its plain
//! relative for reading. `doc/vmdk.md` has the format.

mod check;
mod descriptor;
pub mod format;
pub mod read;
pub mod write;

pub use read::Vmdk;

use crate::artifact::container::reader::{Opened, Reader};
use std::sync::Arc;

pub(super) const READER: Reader = Reader {
    name: "VMDK",
    of: "a VMDK image",
    matches: Vmdk::matches,
    open: |file, _| {
        let disk = Arc::new(Vmdk::open(file)?);
        Ok(Opened { disk: disk.clone(), check: Box::new(move |_, say| disk.check(say)) })
    },
};
