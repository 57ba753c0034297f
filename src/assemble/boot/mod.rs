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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::board::BOARDS;
    use crate::lab::{Lab, RoleFacts};
    use std::path::Path;

    #[test]
    fn a_disk_begins_with_what_its_machine_starts_from() {
        let facts = [RoleFacts { name: "cpu".into(), ..RoleFacts::default() }];
        let names = |keys: &str| {
            let text = format!("[lab]\nname = \"l\"\n[[node]]\nname = \"n\"\nroles = [\"cpu\"]\n{keys}\n");
            let lab = Lab::parse(&text, "lab.toml", Path::new(""), &facts).unwrap_or_else(|e| panic!("{e:?}"));
            of(&lab.nodes[0]).iter().map(|boot| (boot.name, boot.in_mbr.is_some_and(|e| e.active))).collect::<Vec<_>>()
        };
        assert_eq!(names(""), [("9fat", false)]);
        assert_eq!(names("arch = \"amd64\"\nfirmware = \"uefi\""), [("esp", false)]);
        assert_eq!(names("arch = \"amd64\"\nfirmware = \"both\""), [("esp", false), ("9fat", false)]);
        for spec in BOARDS.iter().filter(|spec| spec.boot != Boot::Pc) {
            assert_eq!(names(&format!("board = \"{}\"", spec.word)), [("dos", true)], "{}", spec.word);
        }
    }
}
