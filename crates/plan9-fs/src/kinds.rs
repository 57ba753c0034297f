//! The kinds of file systems that [`open`] knows: the only list of them.

use crate::probe::{Beside, Holds, Kind, Probe, Volume};
use crate::read_at::ReadAt;
use crate::{ErrorKind, FileSystem, cwfs, fat, fossil, gefs, hjfs, venti};
use std::error::Error;
use std::sync::Arc;

/// Effect of damage of one kind on the kinds that come after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// No other kind has such signs: the search is over.
    Decides,
    /// The signs may be left over from before another kind was written over
    /// them: it is that one, if it opens.
    Waits,
}
use Damage::{Decides, Waits};

/// All kinds, in the order in which they are tried.
const KINDS: [(&Kind, Damage); 6] = [
    // Three of its blocks carry tags at their ends, which nothing else has.
    (&cwfs::KIND, Decides),
    // Its magic is in the first bytes, where no boot sector has these.
    (&hjfs::KIND, Decides),
    // So is that of gefs.
    (&gefs::KIND, Decides),
    // It begins with 127 KiB that it does not use, where a boot sector may be;
    // a FAT volume seldom has fossil's magic at 128 KiB.
    (&fossil::KIND, Waits),
    // It leaves the place of a boot sector alone, too.
    (&venti::KIND, Waits),
    // A boot sector has the weakest signs, and may be in front of the others.
    (&fat::KIND, Waits),
];

/// One kind that a volume was tried as in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tried {
    /// Name of the kind, such as `fossil`.
    pub kind: &'static str,
    /// Kind of the error.
    pub error: ErrorKind,
    /// Reason, in one sentence without a full stop.
    pub why: String,
}

/// Reason why a volume cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// None of this crate's file systems.
    #[error("No known file system: {}", neither(tried))]
    #[non_exhaustive]
    Unknown {
        /// All kinds, in the order in which they were tried.
        tried: Vec<Tried>,
    },
    /// A file system of this crate, but damaged so that it cannot be opened.
    #[error("This was {was}")]
    #[non_exhaustive]
    Damaged {
        /// Name of the kind, such as `fossil`.
        kind: &'static str,
        /// Rest of a sentence: the format, and that it is damaged.
        was: &'static str,
        /// The format's own error.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpenError {
    /// Kind of this error; [`ErrorKind::Io`] when the volume is unknown because
    /// it could not be read.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Unknown { tried } if tried.iter().any(|t| t.error == ErrorKind::Io) => ErrorKind::Io,
            Self::Unknown { .. } => ErrorKind::NotThisFormat,
        }
    }
}

/// `neither A (why) nor B (why)`.
fn neither(tried: &[Tried]) -> String {
    let all: Vec<_> = tried.iter().map(|t| format!("{} ({})", t.kind, t.why)).collect();
    format!("neither {}", all.join(" nor "))
}

/// Opens a volume of any kind.
///
/// `partition_lba` is its first sector on its disk, if the caller has it: a
/// check of FAT needs it. `beside` finds the disk's other partitions, of which
/// a cwfs64x needs one more ([`alone`](crate::alone) finds none).
///
/// # Errors
/// Fails when it is none of this crate's file systems, damaged, or unreadable.
pub fn open(
    bytes: Arc<dyn ReadAt>,
    partition_lba: Option<u64>,
    beside: &Beside<'_>,
) -> Result<Box<dyn FileSystem>, OpenError> {
    let volume = Volume { bytes, partition_lba, beside };
    let (mut tried, mut damaged) = (Vec::new(), None);
    for (kind, damage) in KINDS {
        match (kind.probe)(&volume) {
            Probe::Yes(fs) => return Ok(fs),
            Probe::Damaged(source) => {
                let e = OpenError::Damaged { kind: kind.name, was: kind.damaged, source };
                if damage == Decides {
                    return Err(e);
                }
                damaged.get_or_insert(e);
            }
            Probe::No(error, why) => tried.push(Tried { kind: kind.name, error, why }),
        }
    }
    Err(damaged.unwrap_or(OpenError::Unknown { tried }))
}

/// Whether Plan 9's installers name a partition so after the file system in
/// it: without any, it is damaged or was never formatted.
pub fn names_a_file_system(partition: &str) -> bool {
    KINDS.iter().any(|(kind, _)| kind.partitions.contains(&partition))
}

/// Content of a kind of file system, by its name in [`FileSystem::kind`] or
/// [`OpenError::Damaged`]; none for a part of one, such as the worm of a cwfs64x.
pub fn holds(kind: &str) -> Option<Holds> {
    // FAT has its name in capitals where a sentence has it.
    KINDS.iter().find(|(k, _)| k.name.eq_ignore_ascii_case(kind)).map(|(k, _)| k.holds)
}

/// Names of the kinds that hold all files of a system.
pub fn roots() -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter(|(kind, _)| kind.holds == Holds::Root).map(|(kind, _)| kind.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alone;

    #[test]
    fn what_is_nothing_says_what_was_tried() {
        let e = open(Arc::new(vec![0; 300 << 10]), None, &alone).err().unwrap();
        assert_eq!(e.kind(), ErrorKind::NotThisFormat);
        let said = e.to_string();
        let names =
            ["neither cwfs64x (", ") nor hjfs (", ") nor gefs (", ") nor fossil (", ") nor venti (", ") nor FAT ("];
        assert!(names.iter().all(|name| said.contains(name)), "{said}");
    }

    #[test]
    fn damage_that_decides_comes_before_a_boot_sector() {
        // The magic of hjfs, and then nothing.
        let mut bytes = vec![0; 300 << 10];
        bytes[..5].copy_from_slice(&[0x01, 0x1c, 0xe5, 0x0d, 0x6e]);
        let e = open(Arc::new(bytes), None, &alone).err().unwrap();
        assert_eq!(e.kind(), ErrorKind::Damaged);
        assert_eq!(e.to_string(), "This was an hjfs volume, but it is damaged");
        assert!(matches!(e, OpenError::Damaged { kind: "hjfs", .. }));
    }

    #[test]
    fn names_say_what_a_kind_holds() {
        for (kind, _) in KINDS {
            assert_eq!(holds(kind.name), Some(kind.holds), "{}", kind.name);
        }
        assert_eq!(["fat", "venti"].map(holds), [Some(Holds::Boot), Some(Holds::Archive)]);
        assert_eq!(["cwfs64x-worm", "venti arenas", ""].map(holds), [None; 3]);
        assert!(roots().all(|name| holds(name) == Some(Holds::Root)) && roots().any(|name| name == "cwfs64x"));
    }

    #[test]
    fn partitions_are_named_after_their_file_systems() {
        assert!(["9fat", "fossil", "fs", "fscache", "fsworm", "other"].into_iter().all(names_a_file_system));
        assert!(!["swap", "nvram", "arenas", "plan9", ""].into_iter().any(names_a_file_system));
    }
}
