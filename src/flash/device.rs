//! Block devices of a Linux host, and what the host knows of them.

use super::Target;
use crate::count;
use crate::read_at::SECTOR;
use rustix::fs::{Advice, OFlags, fadvise};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Facts about a device, by which people recognise it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub path: PathBuf,
    /// As the device itself says; empty when it does not.
    pub model: String,
    /// Bytes.
    pub len: u64,
    pub removable: bool,
    /// Its partitions: names, and bytes.
    pub partitions: Vec<(String, u64)>,
}

/// Reason why a device is not written to.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("There is no {path}")]
    Missing { path: PathBuf },
    #[error("{path} is neither a block device nor a file")]
    Kind { path: PathBuf },
    #[error("{path} is a partition: give the whole device that it is on, {whole}")]
    Partition { path: PathBuf, whole: String },
    #[error("{path} is read-only: is the card's switch at `lock`?")]
    ReadOnly { path: PathBuf },
    #[error(
        "{path} has sectors of {found}, expected 512: no board starts from such a card, because its partition table \
         counts sectors of 512 bytes; use another card or card reader", found = count::of(found, "byte")
    )]
    Sectors { path: PathBuf, found: u32 },
    #[error("{path} has no medium in it")]
    Empty { path: PathBuf },
    #[error("{what} is mounted on {at}: unmount it first, if {path} is really the card")]
    Mounted { path: PathBuf, what: String, at: String },
    #[error("{path} contains this system ({what}), so it is not the card")]
    System { path: PathBuf, what: String },
    #[error("{path} is in use by {what}: it is not the card, or must be released first")]
    InUse { path: PathBuf, what: String },
    #[error("Cannot open {path}: only root and the group `disk` may write to cards")]
    Denied { path: PathBuf },
    #[error("Cannot use {path}")]
    Io { path: PathBuf, source: io::Error },
}

/// An opened device, or a file that stands for one.
pub struct Device {
    file: File,
    pub facts: Facts,
}

impl Device {
    /// Opens a device for writing, if it is one that may be written to. The
    /// kernel lets nobody mount it as long as this is open.
    ///
    /// # Errors
    /// Fails when it is a partition, mounted, the system's own, read-only,
    /// empty, or no device.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => DeviceError::Missing { path: path.into() },
            io::ErrorKind::PermissionDenied => DeviceError::Denied { path: path.into() },
            io::ErrorKind::ReadOnlyFilesystem => DeviceError::ReadOnly { path: path.into() },
            io::ErrorKind::ResourceBusy => DeviceError::InUse { path: path.into(), what: "this system".into() },
            _ => DeviceError::Io { path: path.into(), source },
        };
        let meta = fs::metadata(path).map_err(failed)?;
        let kind = meta.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(DeviceError::Kind { path: path.into() });
        }
        let mut facts = Facts { path: path.into(), ..Facts::default() };
        if kind.is_block_device() {
            look(&mut facts, meta.rdev())?;
        } else {
            facts.model = "a file".into();
            // As a device is: a user who may write everything may write this, too.
            if meta.permissions().readonly() {
                return Err(DeviceError::ReadOnly { path: path.into() });
            }
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if kind.is_block_device() {
            // Fails when the device or a part of it is mounted or claimed.
            options.custom_flags(OFlags::EXCL.bits() as i32);
        }
        let mut file = options.open(path).map_err(failed)?;
        if kind.is_block_device() {
            sectors_are_known(path, rustix::fs::ioctl_blksszget(&file).map_err(|e| failed(e.into()))?)?;
        }
        facts.len = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if facts.len == 0 {
            return Err(DeviceError::Empty { path: path.into() });
        }
        Ok(Self { file, facts })
    }
}

/// Refuses a device whose logical sectors are not those of the images.
fn sectors_are_known(path: &Path, found: u32) -> Result<(), DeviceError> {
    if u64::from(found) == SECTOR { Ok(()) } else { Err(DeviceError::Sectors { path: path.into(), found }) }
}

/// Major and minor number as `/proc` and `/sys` write them.
fn number(rdev: u64) -> String {
    format!("{}:{}", rustix::fs::major(rdev), rustix::fs::minor(rdev))
}

fn line(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "sorted at once; no artifact sees it")]
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Fills in what `/sys` knows and refuses what must not be written to.
fn look(facts: &mut Facts, rdev: u64) -> Result<(), DeviceError> {
    let path = facts.path.clone();
    let sys = fs::canonicalize(format!("/sys/dev/block/{}", number(rdev)))
        .map_err(|source| DeviceError::Io { path: path.clone(), source })?;
    let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if sys.join("partition").exists() {
        let whole = sys.parent().map(name).unwrap_or_default();
        return Err(DeviceError::Partition { path, whole: format!("/dev/{whole}") });
    }
    let own = name(&sys);
    let model = ["device/vendor", "device/model", "device/name", "loop/backing_file"].map(|f| line(sys.join(f)));
    facts.model = model.iter().filter(|m| !m.is_empty()).cloned().collect::<Vec<_>>().join(" ");
    facts.removable = line(sys.join("removable")) == "1";
    let parts: Vec<_> = names(&sys).into_iter().filter(|n| sys.join(n).join("partition").exists()).collect();
    let sectors = |dir: &Path| line(dir.join("size")).parse::<u64>().unwrap_or(0);
    facts.partitions = parts.iter().map(|n| (n.clone(), sectors(&sys.join(n)) * 512)).collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    for (part, dir) in parts.iter().map(|p| (p, sys.join(p))).chain([(&own, sys.clone())]) {
        let number = line(dir.join("dev"));
        if let Some(at) = mounted(&mounts, &number) {
            return Err(match at.as_str() {
                "/" | "/boot" | "/boot/efi" | "/usr" | "/home" | "/var" => {
                    DeviceError::System { path, what: format!("{part} is mounted on {at}") }
                }
                _ => DeviceError::Mounted { path, what: format!("/dev/{part}"), at },
            });
        }
        if swaps.lines().any(|l| l.split_whitespace().next() == Some(&format!("/dev/{part}"))) {
            return Err(DeviceError::System { path, what: format!("{part} is its swap space") });
        }
        if let Some(holder) = names(&dir.join("holders")).into_iter().next() {
            return Err(DeviceError::InUse { path, what: format!("/dev/{holder}, which lies on {part}") });
        }
    }
    if line(sys.join("ro")) == "1" {
        return Err(DeviceError::ReadOnly { path });
    }
    if sectors(&sys) == 0 {
        return Err(DeviceError::Empty { path });
    }
    Ok(())
}

/// Mount point of the device with this number, from the text of
/// `/proc/self/mountinfo`: the shortest one.
fn mounted(mounts: &str, number: &str) -> Option<String> {
    let fields = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let places = fields.filter(|f| f.get(2) == Some(&number)).filter_map(|f| Some((*f.get(4)?).to_owned()));
    places.min_by_key(String::len)
}

impl Target for Device {
    fn len(&self) -> u64 {
        self.facts.len
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn settle(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fadvise(&self.file, 0, None, Advice::DontNeed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_number() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 8:1 / /mnt/a\\040b rw - vfat /dev/sda1 rw\n\
                      31 22 8:1 / /m rw - vfat /dev/sda1 rw\nodd\n";
        assert_eq!(mounted(mounts, "8:1").as_deref(), Some("/m"));
        assert_eq!(mounted(mounts, "254:0").as_deref(), Some("/"));
        assert_eq!(mounted(mounts, "8:2"), None);
    }

    #[test]
    fn only_sectors_of_512_bytes_are_written_to() {
        let card = Path::new("/dev/sdX");
        assert!(sectors_are_known(card, 512).is_ok());
        for found in [4096, 2048, 0] {
            let said = sectors_are_known(card, found).unwrap_err().to_string();
            assert!(said.contains(&format!("sectors of {found} bytes, expected 512")), "{said}");
        }
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &Path| Device::open(path).map(|d| d.facts);
        assert!(matches!(open(&dir.path().join("none")), Err(DeviceError::Missing { .. })));
        assert!(matches!(open(dir.path()), Err(DeviceError::Kind { .. })));
        assert!(matches!(open(Path::new("/dev/null")), Err(DeviceError::Kind { .. })));
        let file = dir.path().join("card");
        fs::write(&file, b"").unwrap();
        assert!(matches!(open(&file), Err(DeviceError::Empty { .. })));
        fs::write(&file, [0; 512]).unwrap();
        assert_eq!(open(&file).unwrap().len, 512);
        let mut mode = fs::metadata(&file).unwrap().permissions();
        mode.set_readonly(true);
        fs::set_permissions(&file, mode).unwrap();
        assert!(matches!(open(&file), Err(DeviceError::ReadOnly { .. })));
    }
}
