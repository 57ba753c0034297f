//! qcow2, version 3, with compressed clusters. `doc/qcow2.md` has the format.

mod check;
pub mod format;
pub mod overlay;
pub mod read;
pub mod write;

pub use format::backing_name;
pub use overlay::Overlay;
pub use read::{Qcow2, alone};

use crate::artifact::container::reader::{Opened, Reader};
use std::sync::Arc;

pub(super) const READER: Reader = Reader {
    name: "qcow2",
    of: "a qcow2 image",
    matches: Qcow2::matches,
    open: |file, below| {
        let disk = Arc::new(Qcow2::open_over(file, below)?);
        Ok(Opened { disk: disk.clone(), check: Box::new(move |_, say| disk.check(say)) })
    },
};
