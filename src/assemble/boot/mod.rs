//! Ways to start a node from its disk: the FAT partition that firmware or boot
//! code looks in, and the code in the MBR.
//!
//! Each way has a file with its [`BootKind`], and [`of`] is the only list. A way
//! knows the files of the medium and what was rendered for the node
//! ([`BootJob`]), and nothing of other partitions.

mod bios;
mod job;
mod pi;
mod uboot;
mod uefi;

pub(super) use job::{BootJob, BootKind, Sectors};

use crate::lab::{Boot, Node};

/// Ways that `node` starts, in the order of their partitions on the disk.
pub(super) fn of(node: &Node) -> Vec<&'static BootKind> {
    match node.board.boot() {
        Boot::Pc => {
            let both = [(node.firmware.has_uefi(), &uefi::KIND), (node.firmware.has_bios(), &bios::KIND)];
            both.into_iter().filter_map(|(has, kind)| has.then_some(kind)).collect()
        }
        Boot::UBoot => vec![&uboot::KIND],
        Boot::Pi => vec![&pi::KIND],
    }
}
