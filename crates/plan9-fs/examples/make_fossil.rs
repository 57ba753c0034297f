//! Makes a fossil volume of a folder: `make_fossil FOLDER VOLUME MIB`.
//!
//! Equal folders give equal bytes: names are sorted, all times are 0, all files
//! belong to `sys`, and of the host's modes only "executable" counts.

use plan9_fs::fossil::{Base, Fossil, Options};
use plan9_fs::tree::{Content, EntryId, Meta, Mode, Tree};
use plan9_fs::{Extent, ReadAt};
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

fn meta(mode: Mode) -> Meta {
    Meta::new(mode, "sys", "sys", 0)
}

/// Adds what is in a folder, in the order that a [`Tree`] wants.
fn add(tree: &mut Tree, parent: EntryId, folder: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let host = fs::metadata(&path)?;
        if host.is_dir() {
            let dir = tree.push(parent, name.as_bytes(), meta(Mode::dir(0o775)), None);
            add(tree, dir, &path)?;
        } else if host.is_file() {
            let mode = if host.permissions().mode() & 0o111 == 0 { 0o664 } else { 0o775 };
            let content = Content::Host { path: path.into(), len: host.len() };
            tree.push(parent, name.as_bytes(), meta(Mode::file(mode)), Some(content));
        }
    }
    Ok(())
}

/// Writes the parts of a volume that hold something; the rest stays a hole.
fn write(volume: &dyn ReadAt, file: &File) -> io::Result<()> {
    file.set_len(volume.len())?;
    let mut buf = vec![0; 1 << 20];
    for Extent { offset, len } in volume.extents() {
        for at in (offset..offset + len).step_by(buf.len()) {
            let n = buf.len().min((offset + len - at) as usize);
            volume.read_at(at, &mut buf[..n])?;
            file.write_all_at(&buf[..n], at)?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [folder, volume, mib] = &args[..] else { return Err("usage: make_fossil FOLDER VOLUME MIB".into()) };
    let mut tree = Tree::new(meta(Mode::dir(0o775)));
    add(&mut tree, EntryId::ROOT, Path::new(folder))?;
    let tree = Arc::new(tree);
    let options = Options {
        len: mib.parse::<u64>()? << 20,
        config: "fossil config\nfsys main config fossil\nfsys main open -V -c 3000\n".into(),
        name: "main".into(),
        epoch: 0,
    };
    let fossil = Fossil::layout(&Arc::new(Base::layout(&tree)?), &tree, &options)?;
    write(&fossil, &File::create(volume)?)?;
    println!("{} of {} blocks are in use", fossil.blocks_used(), fossil.blocks());
    Ok(())
}
