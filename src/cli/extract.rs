//! `p9img extract`: files out of an image, all of them or none.

use super::args::{Cli, Extract};
use super::image::{self, Place};
use super::{Outcome, Usage, cat, say};
use crate::fs::{FileSystem, Node};
use anyhow::Context as _;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Deeper than any real tree; an image that claims more is damaged.
const MAX_DEPTH: usize = 1000;

pub fn run(cli: &Cli, args: &Extract) -> anyhow::Result<Outcome> {
    let dest = &args.dest;
    if dest.symlink_metadata().is_ok() {
        return Err(Usage(format!("{} exists already: extract makes it new", dest.display())).into());
    }
    let (fs, path): (Box<dyn FileSystem>, _) = match image::open(&args.place)? {
        Place::Disk { partition: None, .. } => {
            return Err(Usage(format!("{} names no file system: give IMAGE:PARTITION", args.place)).into());
        }
        Place::Disk { disk, partition: Some(name), path } => (image::open_partition(&disk, &name)?, path),
        Place::Whole { fs, path } => (fs, path),
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
    let count = copy(&*fs, &node, &inside, 0)?;
    fs::rename(&inside, dest).with_context(|| format!("Cannot create {}", dest.display()))?;
    if !cli.quiet {
        say::note(&format!("{count} files in {}", dest.display()));
    }
    Ok(Outcome::Good)
}

fn copy(fs: &dyn FileSystem, node: &Node, dest: &Path, depth: usize) -> anyhow::Result<u64> {
    anyhow::ensure!(depth < MAX_DEPTH, "Directories are nested deeper than {MAX_DEPTH}: the image is damaged");
    let context = || format!("Cannot extract {}", String::from_utf8_lossy(&node.name));
    let mut count = 1;
    let mode = node.meta.mode.perm();
    if node.meta.mode.is_dir() {
        fs::create_dir(dest).with_context(context)?;
        count = 0;
        for child in fs.children(node).with_context(context)? {
            let name = &child.name;
            let escapes =
                name.is_empty() || name == b"." || name == b".." || name.iter().any(|b| matches!(b, 0 | b'/'));
            anyhow::ensure!(
                !escapes,
                "The image holds a file named {:?}, which no folder can",
                OsStr::from_bytes(name)
            );
            count += copy(fs, &child, &dest.join(OsStr::from_bytes(name)), depth + 1)?;
        }
        // The owner keeps the right to remove what was extracted.
        fs::set_permissions(dest, fs::Permissions::from_mode(mode | 0o700)).with_context(context)?;
    } else {
        let mut file = File::create_new(dest).with_context(context)?;
        cat::copy(fs, node, &mut file).with_context(context)?;
        file.set_permissions(fs::Permissions::from_mode(mode | 0o400)).with_context(context)?;
        let time = UNIX_EPOCH + Duration::from_secs(node.meta.mtime.into());
        file.set_modified(time).with_context(context)?;
    }
    Ok(count)
}
