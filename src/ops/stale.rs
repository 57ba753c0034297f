//! Nodes whose images were made with other passwords than the lab has now.
//!
//! Every node knows the host owner by its key in nvram, and the authentication
//! server knows all users by the keys in `/adm/keys`. So the images themselves are
//! read, and there is no record that could give away a password.

use super::Note;
use crate::artifact;
use crate::auth::{DesKey, KeyFile, Nvram};
use crate::disk::{DiskImage, PartInfo, open_disk};
use crate::fs::{self, FileSystem};
use crate::guest::DiskFormat;
use crate::guest::node_disk::{self, regular};
use crate::lab::Secrets;
use crate::read_at::{HostFile, ReadAt, SECTOR};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a key file that are read: those of ten thousand users.
const LARGEST: u64 = 1 << 20;

/// Notes on the nodes with these images that were made with other secrets than
/// the lab has now.
pub fn notes<'a>(images: impl IntoIterator<Item = (&'a str, &'a Path)>, secrets: &Secrets, owner: &str) -> Vec<Note> {
    let Some(password) = secrets.password(owner) else { return Vec::new() };
    let key = DesKey::from_password(password);
    let mut names: Vec<&str> = Vec::new();
    // For each set of users whose passwords have changed, the nodes that know the old ones.
    let mut users: BTreeMap<BTreeSet<String>, Vec<&str>> = BTreeMap::new();
    for (name, image) in images {
        let Some((disk, nvram)) = nvram(image) else { continue };
        if nvram.machine_key != key && !names.contains(&name) {
            names.push(name);
        }
        let others = others(&disk, &nvram, secrets, owner);
        if !others.is_empty() {
            let nodes = users.entry(others).or_default();
            if !nodes.contains(&name) {
                nodes.push(name);
            }
        }
    }
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut notes = Vec::new();
    if !names.is_empty() {
        notes.push(Note::OtherOwner { owner: owner.to_owned(), nodes: owned(names) });
    }
    let others = users.into_iter();
    notes.extend(
        others.map(|(users, nodes)| Note::OtherUsers { users: users.into_iter().collect(), nodes: owned(nodes) }),
    );
    notes
}

/// The disk in an image of the output folder, which is a file, and over no other but one of
/// p9img's own.
fn alone(image: &Path) -> Option<Arc<dyn ReadAt>> {
    if node_disk::below(image).is_some() {
        return node_disk::image(image, DiskFormat::Qcow2).ok();
    }
    let file = regular(image).and_then(HostFile::new).ok()?;
    artifact::from(Arc::new(file)).ok()
}

/// The disk in an image, and its nvram; none if either cannot be read.
fn nvram(image: &Path) -> Option<(DiskImage, Nvram)> {
    let disk = open_disk(alone(image)?).ok()?;
    let nvram = disk.partition("nvram").ok()?;
    let mut sector = vec![0; SECTOR as usize];
    nvram.read_at(0, &mut sector).ok()?;
    Nvram::parse(&sector).ok().map(|nvram| (disk, nvram))
}

/// Users in the key file of a disk whose passwords have changed. The host owner's
/// password is compared by nvram.
fn others(disk: &DiskImage, nvram: &Nvram, secrets: &Secrets, owner: &str) -> BTreeSet<String> {
    let roots = disk.partitions().iter().filter(|p| !disk.has_parts(p));
    let open =
        |p: &PartInfo| fs::open(Arc::new(disk.partition(&p.name).ok()?), Some(p.lba()), &|name| disk.beside(name)).ok();
    let files = roots.filter_map(open);
    let Some(file) = files.filter_map(|fs| key_file(&*fs, nvram)).next() else { return BTreeSet::new() };
    // 9front's key for dp9ik is of the same password.
    let other = |name: &str, key| secrets.password(name).is_some_and(|p| key != DesKey::from_password(p));
    file.records.into_iter().filter(|r| r.name != owner && other(&r.name, r.key)).map(|r| r.name).collect()
}

/// The key file in a root, opened with the key of its own node.
fn key_file(fs: &dyn FileSystem, nvram: &Nvram) -> Option<KeyFile> {
    let node = fs.find(b"adm/keys").ok().filter(|node| node.len <= LARGEST)?;
    let mut bytes = vec![0; node.len as usize];
    fs.read_exact(&node, 0, &mut bytes).ok()?;
    match nvram.aes_key {
        Some(key) if bytes.starts_with(b"AES KEYS") => KeyFile::parse_aes(&bytes, key).ok(),
        _ => KeyFile::parse(&bytes, nvram.machine_key).ok(),
    }
}
