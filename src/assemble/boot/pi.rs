//! A Raspberry Pi's ROM and firmware: a FAT partition with the firmware itself.

use super::super::error::AssembleError;
use super::job::{BootJob, BootKind, InMbr, Sectors};
use crate::disk::mbr::TYPE_FAT_LBA;
use crate::fs::fat::{Fat, FatFile};
use crate::media::firmware::FirmwareError;

pub(super) const KIND: BootKind =
    BootKind { name: "dos", in_mbr: Some(InMbr { kind: TYPE_FAT_LBA, active: true }), lay_out, mbr_code: None };

/// Lays out the files for ROM, firmware and kernel. Those that differ between nodes
/// come last.
fn lay_out(job: &BootJob<'_>, at: Sectors) -> Result<Fat, AssembleError> {
    let firmware = job.firmware.ok_or_else(|| FirmwareError::None { node: job.node_name() })?;
    let own = firmware.files(job.node.board)?;
    let mut files: Vec<_> = own.into_iter().map(|(name, content)| FatFile::new(name, content, job.epoch)).collect();
    files.extend(job.kernel()?);
    if let Some(pi) = &job.rendered.pi {
        files.extend([job.text("config.txt", &pi.config_txt), job.text("cmdline.txt", &pi.cmdline_txt)]);
    }
    job.plain_fat(&files, at).map_err(|source| AssembleError::Dos { node: job.node_name(), source })
}
