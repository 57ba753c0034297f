//! A PC's UEFI: the EFI system partition.

use super::super::error::AssembleError;
use super::job::{BootJob, BootKind, InMbr, Sectors};
use crate::disk::mbr::TYPE_EFI;
use crate::fs::fat::{Fat, FatFile};
use crate::lab::ESP;

pub(super) const KIND: BootKind =
    BootKind { name: ESP, in_mbr: Some(InMbr { kind: TYPE_EFI, active: false }), lay_out, mbr_code: None };

/// Lays out the loader under the name that UEFI looks for, and the kernel and
/// plan9.ini that the loader reads.
fn lay_out(job: &BootJob<'_>, at: Sectors) -> Result<Fat, AssembleError> {
    let mut files = Vec::new();
    if let Some(efi) = &job.rendered.boot.efi {
        let file = job.file(efi)?;
        files.push(FatFile { name: format!("efi/boot/{}", file.name), ..file });
    }
    files.extend(job.kernel()?);
    files.push(job.plan9_ini());
    job.plain_fat(&files, at).map_err(|source| AssembleError::Esp { node: job.node_name(), source })
}
