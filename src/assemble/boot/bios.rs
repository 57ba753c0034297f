//! A PC's BIOS: code in the MBR and in the boot sector of 9fat.

use super::super::error::AssembleError;
use super::job::{BootJob, BootKind, Sectors};
use crate::disk::mbr::ENTRIES_AT;
use crate::fs::fat::{self, Fat};

pub(super) const KIND: BootKind = BootKind { name: "9fat", in_mbr: None, lay_out, mbr_code: Some(mbr_code) };

/// Lays out the files with the loader first, as it must be, and plan9.ini last, so
/// that bytes that differ between nodes come after those that do not.
fn lay_out(job: &BootJob<'_>, at: Sectors) -> Result<Fat, AssembleError> {
    let boot = &job.rendered.boot;
    let mut files = vec![job.file(&boot.loader)?];
    files.extend(job.kernel()?);
    files.push(job.plan9_ini());
    let (_, boot_code) = job.content(&boot.pbs)?;
    let boot_code = Some(job.read(&boot.pbs, &boot_code)?);
    let options = fat::Options { boot_code, ..fat::Options::hard_disk(at.count, at.start, job.epoch) };
    Fat::layout(&files, &options).map_err(|source| AssembleError::Fat { node: job.node_name(), source })
}

fn mbr_code(job: &BootJob<'_>) -> Result<Vec<u8>, AssembleError> {
    let path = &job.rendered.boot.mbr;
    let (_, code) = job.content(path)?;
    if code.len() > ENTRIES_AT as u64 {
        return Err(AssembleError::MbrCode { medium: job.medium.name.clone(), path: path.clone(), len: code.len() });
    }
    job.read(path, &code)
}
