//! `p9img extract`: files out of an image, all of them or none.

use crate::cli::commands::cat;
use crate::cli::image::{self, ImagePath};
use crate::cli::outcome::{Outcome, Usage};
use crate::cli::progress::Spinner;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{interrupt, say};
use crate::count;
use crate::fs::{FileSystem, MOST_TIMES, Node, most, walk};
use crate::modes;
use crate::shown;
use crate::stop::Stoppable;
use anyhow::Context as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

const INTERRUPTED: &str = "Interrupted; nothing was extracted";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// IMAGE[:PARTITION[:PATH]]
    pub place: String,
    /// File or folder to create; must not exist
    pub dest: PathBuf,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let dest = &args.dest;
    if dest.symlink_metadata().is_ok() {
        return Err(Usage(format!("{} exists already: extract needs a new path", dest.display())).into());
    }
    let (fs, path, len): (Box<dyn FileSystem>, _, _) = match image::open(&args.place)? {
        ImagePath::Disk { partition: None, .. } => {
            return Err(Usage(format!("{} names no file system: give IMAGE:PARTITION", args.place)).into());
        }
        ImagePath::Disk { disk, partition: Some(name), path } => {
            (image::open_partition(&disk, &name)?, path, disk.len())
        }
        ImagePath::Whole { fs, path, len } => (fs, path, len),
    };
    let path = path.unwrap_or_default();
    let (_, node) = image::find(&*fs, &path).with_context(|| format!("Cannot extract {}", args.place))?;
    let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // All files are written next to the destination, and get its name at the end.
    let work = tempfile::Builder::new()
        .prefix(".p9img-extract-")
        .tempdir_in(parent)
        .with_context(|| format!("Cannot write in {}", parent.display()))?;
    let stop = interrupt::flag()?;
    let inside = work.path().join("x");
    let mut copy = Copy { fs: &*fs, files: 0, renamed: None, left: most(len), modeless: 0, stop };
    let spinner = Spinner::new(cli.quiet, format!("Extracting {}", args.place));
    copy.all(&node, &inside)?;
    drop(spinner);
    let renamed = copy.renamed.take();
    fs::rename(&inside, dest).with_context(|| format!("Cannot create {}", dest.display()))?;
    if copy.modeless > 0 {
        say::note(&format!(
            "the file system of {} stores no modes: {} without their modes",
            dest.display(),
            count::either(copy.modeless, "file or folder is", "files and folders are")
        ));
    }
    if let Some((count, first)) = renamed {
        say::note(&format!(
            "{} bytes that Plan 9 has in no name, each written as %XX, such as {first} (doc/media.md)",
            count::either(count, "name holds", "names hold")
        ));
    }
    if !cli.quiet {
        say::note(&format!("{} in {}", count::of(copy.files, "file"), dest.display()));
    }
    Ok(Outcome::Good)
}

struct Copy<'a> {
    fs: &'a dyn FileSystem,
    files: u64,
    /// Number of names that are different on the host, and the first of them there.
    renamed: Option<(u64, String)>,
    /// Bytes that may still be written.
    left: u64,
    /// Files and folders whose mode the host's file system does not store.
    modeless: u64,
    /// Becomes true when the user interrupts.
    stop: Arc<AtomicBool>,
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
            anyhow::ensure!(!self.stop.load(Ordering::Relaxed), INTERRUPTED);
            check_name(&child.name)?;
            let name = shown::name(&child.name);
            if name.as_bytes() != &*child.name {
                self.renamed.get_or_insert((0, name)).0 += 1;
            }
            let to = dest.join(shown::name(path));
            if child.meta.mode.is_dir() {
                fs::create_dir(&to).with_context(|| format!("Cannot create {}", to.display()))?;
                dirs.push((to, child.meta.mode));
                return Ok(());
            }
            self.file(child, &to)
        })?;
        for (dir, mode) in dirs.into_iter().rev() {
            // The owner keeps the right to remove what was extracted.
            let kept = File::open(&dir).and_then(|dir| modes::set(&dir, mode.perm() | 0o700));
            self.count(kept.with_context(|| format!("Cannot set the mode of {}", dir.display()))?);
        }
        Ok(())
    }

    fn file(&mut self, node: &Node, dest: &Path) -> anyhow::Result<()> {
        let context = || format!("Cannot extract {}", shown::name(&node.name));
        self.left = self.left.checked_sub(node.len).with_context(|| {
            format!("The lengths of the image's files add up to more than {MOST_TIMES} times its own: it is damaged; extract parts of it")
        })?;
        anyhow::ensure!(!self.stop.load(Ordering::Relaxed), INTERRUPTED);
        let file = File::create_new(dest).with_context(context)?;
        cat::copy(self.fs, node, &mut Stoppable(&file, &self.stop)).with_context(context)?;
        let kept = modes::set(&file, node.meta.mode.perm() | 0o400).with_context(context)?;
        self.count(kept);
        match file.set_modified(UNIX_EPOCH + Duration::from_secs(node.meta.mtime.into())) {
            // Such a file system has times of its own, too.
            Err(_) if !kept => {}
            other => other.with_context(context)?,
        }
        self.files += 1;
        Ok(())
    }

    fn count(&mut self, kept: bool) {
        self.modeless += u64::from(!kept);
    }
}

/// Refuses a name that would leave the folder.
fn check_name(name: &[u8]) -> anyhow::Result<()> {
    let escapes = name.is_empty() || name == b"." || name == b".." || name.iter().any(|b| matches!(b, 0 | b'/'));
    anyhow::ensure!(!escapes, "The image has a file named {:?}, which a folder cannot store", shown::name(name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::TreeFs;
    use crate::modes::testing::without;
    use crate::tree::{Content, EntryId, Meta, Mode, Tree};
    use rustix::io::Errno;

    /// A directory with one file.
    fn small() -> TreeFs {
        let mut tree = Tree::new(Meta::new(Mode::dir(0o755), "sys", "sys", 0));
        tree.push(EntryId::ROOT, b"f", Meta::new(Mode::file(0o640), "sys", "sys", 7), Some(Content::bytes(*b"")));
        TreeFs::new(Arc::new(tree))
    }

    #[test]
    fn where_modes_do_not_stick_files_are_extracted_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let fs = small();
        let extract = |name: &str| {
            let mut copy = Copy { fs: &fs, files: 0, renamed: None, left: 1, modeless: 0, stop: Arc::default() };
            copy.all(&fs.root().unwrap(), &dir.path().join(name)).unwrap();
            assert!(dir.path().join(name).join("f").is_file());
            (copy.files, copy.modeless)
        };
        assert_eq!(extract("a"), (1, 0));
        assert_eq!(without(Some(Errno::PERM), || extract("b")), (1, 2));
    }

    #[test]
    fn an_interrupt_ends_it_at_the_next_file_or_bytes() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let stop = Arc::new(AtomicBool::new(true));
        let fs = small();
        let mut copy = Copy { fs: &fs, files: 0, renamed: None, left: 1, modeless: 0, stop: stop.clone() };
        let said = copy.all(&fs.root().unwrap(), &dir.path().join("x")).unwrap_err();
        assert!(said.to_string().contains("Interrupted"), "{said}");
        assert_eq!(copy.files, 0);
        let file = File::create(dir.path().join("f")).unwrap();
        assert!(Stoppable(&file, &stop).write(b"x").is_err());
        stop.store(false, Ordering::Relaxed);
        assert!(Stoppable(&file, &stop).write(b"x").is_ok());
    }

    fn image(names: &[&[u8]]) -> TreeFs {
        let meta = |mode| Meta::new(mode, "sys", "sys", 1);
        let mut tree = Tree::new(meta(Mode::dir(0o755)));
        for name in names {
            let dir = tree.push(EntryId::ROOT, &[name, &b"d"[..]].concat(), meta(Mode::dir(0o755)), None);
            tree.push(dir, name, meta(Mode::file(0o644)), Some(Content::bytes(*b"x")));
        }
        TreeFs::new(Arc::new(tree))
    }

    fn copy<'a>(fs: &'a TreeFs, to: &Path) -> anyhow::Result<Copy<'a>> {
        let mut copy = Copy { fs, files: 0, renamed: None, left: 1000, modeless: 0, stop: Arc::default() };
        copy.all(&fs.find(b"")?, to)?;
        Ok(copy)
    }

    #[test]
    fn names_that_act_on_a_terminal_are_written_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let names: [&[u8]; 5] = [b"\x1b[31m", b"100%", b"a\nb", b"plain", b"\xff"];
        let fs = image(&names);
        let done = copy(&fs, &dir.path().join("x")).unwrap();
        assert_eq!((done.files, done.renamed), (5, Some((6, "%1B[31md".into()))));
        for name in names {
            let shown = shown::name(name);
            let path = format!("{shown}d/{shown}");
            assert_eq!(fs::read(dir.path().join("x").join(&path)).unwrap(), b"x");
            // The form that is shown is valid as an argument.
            let found = image::find(&fs, &path).unwrap();
            assert_eq!((&found.0, &*found.1.name), (&[name, b"d/", name].concat(), name));
        }
        assert_eq!(copy(&image(&[b"a", b"b%20"]), &dir.path().join("y")).unwrap().renamed, None);
    }

    #[test]
    fn names_that_no_folder_can_have_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (i, name) in [&b".."[..], b".", b"a/b", b"a\0", b"/etc\x1b"].iter().enumerate() {
            let fs = image(&[name]);
            let to = dir.path().join(i.to_string());
            let e = copy(&fs, &to).err().unwrap().to_string();
            assert!(e.contains("which a folder cannot store") && !e.contains(char::is_control), "{e}");
        }
    }
}
