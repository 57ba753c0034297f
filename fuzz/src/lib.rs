//! Common code of the fuzz targets.
//!
//! Images are large and mostly file contents; a fuzzer that sees them as plain
//! bytes spends its time there. So a target for an image holds a valid one,
//! made by p9img's own writers, and the fuzzer's input says how to wound it.
//! Seeds are therefore not needed, and no binary is committed.

use p9img::fs::{FileSystem, Node};
use p9img::read_at::{ReadAt, check_range};
use p9img::tree::{Content, Meta, Mode, Tree};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Stamps everything that the targets make, seconds since 1970.
pub const EPOCH: u32 = 1_767_225_600;

/// A folder for parsers that read files, one for each process. `fuzz/run`
/// removes it, and keeps it in memory where the host has such a place.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("p9img-fuzz-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for scratch files");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a file in the folder")).expect("a folder");
        let options = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
        options.expect("a scratch file").write_all(bytes).expect("room for a scratch file");
    }
}

/// A valid image, and where wounds hurt: the lines of 16 bytes that are not
/// all zeros. The files of [`tree`] are zeros, so these are the structures.
pub struct Image {
    bytes: Arc<[u8]>,
    spots: Vec<u32>,
}

impl Image {
    pub fn new(of: &dyn ReadAt) -> Self {
        let mut bytes = vec![0; usize::try_from(of.len()).expect("an image that fits into memory")];
        of.read_at(0, &mut bytes).expect("a valid image");
        let lines = bytes.chunks(16).zip((0u32..).step_by(16));
        let spots = lines.filter(|(line, _)| line.iter().any(|b| *b != 0)).flat_map(|(_, at)| at..at + 16).collect();
        Self { bytes: bytes.into(), spots }
    }
}

/// An image with some bytes replaced, and perhaps its end cut off.
pub struct Wounded {
    base: Arc<[u8]>,
    wounds: Vec<(usize, Vec<u8>)>,
    len: usize,
}

impl Wounded {
    /// Understands `data`: an even first byte, and the rest is the whole
    /// image; an odd one, and the rest are wounds. A wound is a place (three
    /// bytes, little-endian, counted in the image's spots), a length (one
    /// byte) and so many new bytes; length 0 cuts the image off there.
    pub fn new(image: &Image, data: &[u8]) -> Self {
        let plain = |bytes: Arc<[u8]>| Self { len: (*bytes).len(), base: bytes, wounds: Vec::new() };
        let Some((how, mut rest)) = data.split_first() else { return plain(image.bytes.clone()) };
        if how % 2 == 0 {
            return plain(rest.into());
        }
        let mut wounded = plain(image.bytes.clone());
        while let Some(([a, b, c, len], more)) = rest.split_first_chunk::<4>() {
            let spot = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
            let at = image.spots[spot % image.spots.len()] as usize;
            let (bytes, more) = more.split_at(more.len().min(usize::from(*len)));
            if *len == 0 {
                wounded.len = wounded.len.min(at);
            } else {
                wounded.wounds.push((at, bytes.to_vec()));
            }
            rest = more;
        }
        wounded
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read_at(0, &mut bytes).expect("the whole length");
        bytes
    }
}

impl ReadAt for Wounded {
    fn len(&self) -> u64 {
        self.len as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("wounded image", offset, buf.len(), self.len as u64)?;
        let start = offset as usize;
        buf.copy_from_slice(&self.base[start..start + buf.len()]);
        for (at, bytes) in &self.wounds {
            let (from, to) = ((*at).max(start), (at + bytes.len()).min(start + buf.len()));
            if from < to {
                buf[from - start..to - start].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
        Ok(())
    }
}

/// A small tree with something of everything: files without bytes, of one
/// block and of many, a directory in a directory, one with many entries. All
/// bytes of files are zeros.
pub fn tree() -> Arc<Tree> {
    let meta = |mode| Meta::new(mode, "sys", "sys", EPOCH);
    let mut tree = Tree::new(meta(Mode::dir(0o775)));
    let root = p9img::tree::EntryId::ROOT;
    let file = |len: usize| Some(Content::bytes(vec![0; len]));
    let adm = tree.push(root, b"adm", meta(Mode::dir(0o555)), None);
    tree.push(adm, b"empty", meta(Mode::file(0o664)), file(0));
    tree.push(adm, b"users", meta(Mode::file(0o664)), file(300));
    let lib = tree.push(root, b"lib", meta(Mode::dir(0o775)), None);
    for i in 0..60 {
        tree.push(lib, format!("entry{i:03}").as_bytes(), meta(Mode::file(0o444)), file(i % 3));
    }
    let usr = tree.push(root, b"usr", meta(Mode::dir(0o775)), None);
    let glenda = tree.push(usr, b"glenda", meta(Mode::dir(0o700)), None);
    let deep = tree.push(glenda, b"lib", meta(Mode::dir(0o700)), None);
    tree.push(deep, b"block", meta(Mode::file(0o600)), file(8192));
    tree.push(deep, b"blocks", meta(Mode::file(0o600)), file(30_000));
    Arc::new(tree)
}

/// Nodes that a target looks at before it has seen enough.
const NODES: usize = 300;
/// Bytes that it reads of each file.
const BYTES: usize = 256 << 10;

/// Uses a file system as `ls -R`, `cat` and `fsck` do.
pub fn look(fs: &dyn FileSystem) {
    let mut left = NODES;
    if let Ok(root) = fs.root() {
        look_below(fs, &root, &mut left, 0);
    }
    let _ = fs.find(b"a/b/../c");
    let _ = fs.check(&mut |finding| drop(finding.to_string()));
    let _ = fs.dump(&mut io::sink());
}

fn look_below(fs: &dyn FileSystem, dir: &Node, left: &mut usize, depth: usize) {
    let Ok(children) = fs.children(dir) else { return };
    for child in children {
        if *left == 0 || depth > 40 {
            return;
        }
        *left -= 1;
        if child.meta.mode.is_dir() {
            look_below(fs, &child, left, depth + 1);
        } else {
            read(fs, &child);
        }
    }
}

fn read(fs: &dyn FileSystem, file: &Node) {
    let mut buf = vec![0; 10_000];
    let mut at = 0;
    while at < BYTES {
        match fs.read(file, at as u64, &mut buf) {
            Ok(n) if n > 0 => {
                assert!(n <= buf.len());
                at += n;
            }
            _ => break,
        }
    }
    for far in [file.len.saturating_sub(1), file.len, u64::MAX - 5] {
        let _ = fs.read(file, far, &mut buf);
    }
}
