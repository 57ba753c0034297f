//! `p9img extract`: files out of an image, all of them or none.

use super::args::{Cli, Extract};
use super::image::{self, Place};
use super::progress::Spinner;
use super::{Outcome, Usage, cat, say};
use crate::fs::{FileSystem, Node, walk};
use anyhow::Context as _;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// A hostile image can claim files without end that share the same blocks, or
/// that are all hole; a real one holds a few times its own size at the most.
const MOST_TIMES: u64 = 16;
/// What even the smallest image may hold.
const LEAST: u64 = 1 << 30;

pub fn run(cli: &Cli, args: &Extract) -> anyhow::Result<Outcome> {
    let dest = &args.dest;
    if dest.symlink_metadata().is_ok() {
        return Err(Usage(format!("{} exists already: extract makes it new", dest.display())).into());
    }
    let (fs, path, len): (Box<dyn FileSystem>, _, _) = match image::open(&args.place)? {
        Place::Disk { partition: None, .. } => {
            return Err(Usage(format!("{} names no file system: give IMAGE:PARTITION", args.place)).into());
        }
        Place::Disk { disk, partition: Some(name), path } => (image::open_partition(&disk, &name)?, path, disk.len()),
        Place::Whole { fs, path, len } => (fs, path, len),
    };
    let path = path.unwrap_or_default();
    let node = fs.find(path.as_bytes()).with_context(|| format!("Cannot extract {}", args.place))?;
    let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Everything is written beside the destination and appears under its name at the end.
    let work = tempfile::Builder::new()
        .prefix(".p9img-extract-")
        .tempdir_in(parent)
        .with_context(|| format!("Cannot write in {}", parent.display()))?;
    let inside = work.path().join("x");
    let mut copy = Copy { fs: &*fs, files: 0, left: len.saturating_mul(MOST_TIMES).max(LEAST) };
    let spinner = Spinner::new(cli.quiet, format!("Extracting {}", args.place));
    copy.all(&node, &inside)?;
    drop(spinner);
    fs::rename(&inside, dest).with_context(|| format!("Cannot create {}", dest.display()))?;
    if !cli.quiet {
        say::note(&format!("{} files in {}", copy.files, dest.display()));
    }
    Ok(Outcome::Good)
}

struct Copy<'a> {
    fs: &'a dyn FileSystem,
    files: u64,
    /// Bytes that may still be written.
    left: u64,
}

impl Copy<'_> {
    fn all(&mut self, node: &Node, dest: &Path) -> anyhow::Result<()> {
        if !node.meta.mode.is_dir() {
            return self.file(node, dest);
        }
        fs::create_dir(dest).with_context(|| format!("Cannot create {}", dest.display()))?;
        // Directories get their modes last, or a read-only one could not be filled.
        let mut dirs = vec![(dest.to_path_buf(), node.meta.mode)];
        walk(self.fs, node, &mut |path, child| {
            check_name(&child.name)?;
            let to = dest.join(OsStr::from_bytes(path));
            if child.meta.mode.is_dir() {
                fs::create_dir(&to).with_context(|| format!("Cannot create {}", to.display()))?;
                dirs.push((to, child.meta.mode));
                return Ok(());
            }
            self.file(child, &to)
        })?;
        for (dir, mode) in dirs.into_iter().rev() {
            // The owner keeps the right to remove what was extracted.
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode.perm() | 0o700))
                .with_context(|| format!("Cannot set the mode of {}", dir.display()))?;
        }
        Ok(())
    }

    fn file(&mut self, node: &Node, dest: &Path) -> anyhow::Result<()> {
        let context = || format!("Cannot extract {}", String::from_utf8_lossy(&node.name));
        self.left = self.left.checked_sub(node.len).with_context(|| {
            format!("The image claims more than {MOST_TIMES} times its own size in files: it is damaged; extract parts")
        })?;
        let mut file = File::create_new(dest).with_context(context)?;
        cat::copy(self.fs, node, &mut file).with_context(context)?;
        file.set_permissions(fs::Permissions::from_mode(node.meta.mode.perm() | 0o400)).with_context(context)?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(node.meta.mtime.into())).with_context(context)?;
        self.files += 1;
        Ok(())
    }
}

/// A name that would leave the folder is refused.
fn check_name(name: &[u8]) -> anyhow::Result<()> {
    let escapes = name.is_empty() || name == b"." || name == b".." || name.iter().any(|b| matches!(b, 0 | b'/'));
    anyhow::ensure!(!escapes, "The image holds a file named {:?}, which no folder can", OsStr::from_bytes(name));
    Ok(())
}
