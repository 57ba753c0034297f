//! U-Boot, as on QEMU's ARM machine: a FAT partition with a script.

use super::super::error::AssembleError;
use super::job::{BootJob, BootKind, InMbr, Sectors};
use crate::disk::mbr::TYPE_FAT_LBA;
use crate::disk::uimage;
use crate::fs::fat::{Fat, FatFile};
use crate::tree::Content;

pub(super) const KIND: BootKind =
    BootKind { name: "dos", in_mbr: Some(InMbr { kind: TYPE_FAT_LBA, active: true }), lay_out, mbr_code: None };

/// Lays out the script that U-Boot looks for, and the kernel and plan9.ini that the
/// script loads.
fn lay_out(job: &BootJob<'_>, at: Sectors) -> Result<Fat, AssembleError> {
    let script = job.rendered.boot_script.as_deref().unwrap_or_default();
    let mut files = vec![FatFile::new("boot.scr", Content::bytes(uimage::script(script, job.epoch)), job.epoch)];
    files.extend(job.kernel()?);
    files.push(job.plan9_ini());
    job.plain_fat(&files, at).map_err(|source| AssembleError::Dos { node: job.node_name(), source })
}
