//! Gets what can be got out of a damaged fossil: `recover VOLUME FOLDER`.
//!
//! Everything readable is written below FOLDER; where a block of a file is
//! damaged, the copy has zeros. Each loss is said, with its path and reason.
//! The exit code is 0 only when nothing is lost.

use plan9_fs::fossil::{self, BLOCK};
use plan9_fs::read_at::HostFile;
use plan9_fs::{FileSystem, Node, shown};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Results of a recovery.
#[derive(Debug, Default)]
struct Recovery {
    /// Files whose bytes are all there.
    whole: u64,
    /// Files with at least one damaged block.
    partly: u64,
    /// Losses, one sentence each.
    losses: Vec<String>,
    /// Directories that were visited: damage must not lead in circles.
    seen: BTreeSet<u64>,
}

impl Recovery {
    fn lose(&mut self, path: &str, why: impl std::fmt::Display) {
        self.losses.push(format!("{path}: {why}"));
    }

    /// Copies what is below `dir`, whose path is `path`, into the folder `to`.
    fn directory(&mut self, fs: &dyn FileSystem, dir: &Node, path: &str, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        if !self.seen.insert(dir.handle[0]) {
            self.lose(path, "this directory is in two places");
            return Ok(());
        }
        let children = match fs.children(dir) {
            Ok(children) => children,
            Err(e) => {
                self.lose(path, format!("the directory cannot be read: {e}"));
                return Ok(());
            }
        };
        for child in children {
            // An image may hold any name: escaped, it stays inside the folder.
            let name = match shown::name(&child.name).replace('/', "%2F") {
                name if matches!(&*name, "" | "." | "..") => format!("%2E{name}"),
                name => name,
            };
            let (path, to) = (format!("{path}/{name}"), to.join(name));
            match child.meta.mode.is_dir() {
                true => self.directory(fs, &child, &path, &to)?,
                false => self.file(fs, &child, &path, &to)?,
            }
        }
        Ok(())
    }

    /// Copies a file block by block.
    fn file(&mut self, fs: &dyn FileSystem, file: &Node, path: &str, to: &Path) -> io::Result<()> {
        let out = File::create(to)?;
        let (mut buf, mut at, mut lost) = (vec![0; BLOCK], 0, 0);
        let mut first = None;
        while at < file.len {
            let n = file.len.saturating_sub(at).min(BLOCK as u64) as usize;
            match fs.read(file, at, &mut buf[..n]) {
                Ok(0) => break,
                // A hole of the image stays one.
                Ok(n) if buf[..n].iter().any(|b| *b != 0) => out.write_all_at(&buf[..n], at)?,
                Ok(_) => {}
                Err(e) => {
                    lost += n;
                    first.get_or_insert_with(|| format!("at byte {at}: {e}"));
                    // A length that damage made up would keep this busy for ever.
                    if lost > 64 << 20 {
                        break;
                    }
                }
            }
            at += n as u64;
        }
        out.set_len(at.min(file.len))?;
        match first {
            None => self.whole += 1,
            Some(why) => {
                self.partly += 1;
                self.lose(path, format!("{lost} of {} bytes are lost, the first {why}", file.len));
            }
        }
        Ok(())
    }
}

/// Recovers the live tree of an opened fossil into a folder.
fn recover(fs: &dyn FileSystem, to: &Path) -> io::Result<Recovery> {
    let mut done = Recovery::default();
    match fs.root() {
        Ok(root) => done.directory(fs, &root, "", to)?,
        Err(e) => done.lose("/", format!("the root cannot be read: {e}")),
    }
    Ok(done)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [volume, folder] = &args[..] else { return Err("usage: recover VOLUME FOLDER".into()) };
    let fossil = fossil::open(Arc::new(HostFile::new(File::open(volume)?)?))?;
    let done = recover(&fossil, Path::new(folder))?;
    for loss in &done.losses {
        eprintln!("lost: {loss}");
    }
    println!("{} files are whole, {} in part", done.whole, done.partly);
    Ok(if done.losses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan9_fs::ReadAt as _;
    use plan9_fs::fossil::{Base, Fossil, Options, data_offset};
    use plan9_fs::tree::{Content, EntryId, Meta, Mode, Tree};

    const LEN: u64 = 2 << 20;

    /// A volume with `a` (three blocks), `d/b` and `e/c`.
    fn image() -> Vec<u8> {
        let meta = |mode| Meta::new(mode, "sys", "sys", 0);
        let file = |byte: u8, len| Some(Content::bytes(vec![byte; len]));
        let mut tree = Tree::new(meta(Mode::dir(0o775)));
        tree.push(EntryId::ROOT, b"a", meta(Mode::file(0o664)), file(b'a', 3 * BLOCK));
        for (dir, name) in [(b"d", b"b"), (b"e", b"c")] {
            let dir = tree.push(EntryId::ROOT, dir, meta(Mode::dir(0o775)), None);
            tree.push(dir, name, meta(Mode::file(0o664)), file(name[0], 10));
        }
        let tree = Arc::new(tree);
        let options = Options { len: LEN, config: "fossil config\n".into(), name: "main".into(), epoch: 0 };
        let volume = Fossil::layout(&Arc::new(Base::layout(&tree).unwrap()), &tree, &options).unwrap();
        let mut bytes = vec![0; LEN as usize];
        volume.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn run(image: Vec<u8>) -> (Recovery, tempfile::TempDir) {
        let to = tempfile::tempdir().unwrap();
        (recover(&fossil::open(Arc::new(image)).unwrap(), to.path()).unwrap(), to)
    }

    /// Damages the label of the block at a byte of the image: its tag is
    /// another's then.
    fn damage(image: &mut [u8], at: usize) {
        let data = data_offset(LEN).unwrap() as usize;
        let label = fossil::open(Arc::new(image.to_vec())).unwrap().header().label as usize * BLOCK;
        image[label + (at - data) / BLOCK * fossil::LABEL_LEN + 13] ^= 0x55;
    }

    fn find(image: &[u8], bytes: &[u8]) -> usize {
        image.windows(bytes.len()).position(|w| w == bytes).unwrap()
    }

    #[test]
    fn a_sound_volume_comes_back_whole() {
        let (done, to) = run(image());
        assert_eq!((done.whole, done.partly, done.losses), (3, 0, vec![]));
        assert_eq!(fs::read(to.path().join("a")).unwrap(), vec![b'a'; 3 * BLOCK]);
        assert_eq!(fs::read(to.path().join("e/c")).unwrap(), b"cccccccccc");
    }

    #[test]
    fn what_lies_beside_the_damage_comes_back_and_losses_are_said() {
        let mut image = image();
        let block = find(&image, &[b'a'; 64]) + BLOCK;
        damage(&mut image, block);
        let (done, to) = run(image);
        assert_eq!((done.whole, done.partly), (2, 1));
        assert_eq!(done.losses.len(), 1, "{:?}", done.losses);
        let words = format!("/a: {BLOCK} of {} bytes are lost, the first at byte {BLOCK}: ", 3 * BLOCK);
        assert!(done.losses[0].starts_with(&words), "{:?}", done.losses);
        let a = fs::read(to.path().join("a")).unwrap();
        assert_eq!(a, [vec![b'a'; BLOCK], vec![0; BLOCK], vec![b'a'; BLOCK]].concat());
    }

    #[test]
    fn a_lost_directory_takes_only_its_own_files_along() {
        let mut image = image();
        // The block of names of `d` holds the name of `b`, and the magic of such blocks.
        let data = data_offset(LEN).unwrap() as usize;
        let names = (data..image.len()).step_by(BLOCK).find(|at| {
            let block = &image[*at..*at + BLOCK];
            block[..4] == [0x56, 0x56, 0xfc, 0x7a] && block.windows(3).any(|w| w == [0, 1, b'b'])
        });
        damage(&mut image, names.unwrap());
        let (done, to) = run(image);
        assert_eq!((done.whole, done.partly), (2, 0), "{:?}", done.losses);
        assert!(done.losses[0].starts_with("/d: the directory cannot be read: "), "{:?}", done.losses);
        assert_eq!(fs::read(to.path().join("e/c")).unwrap(), b"cccccccccc");
        assert!(!to.path().join("d/b").exists());
    }
}
