//! The snapshots other than main, and the tree that names them all: as ream
//! (`ream.c`) and the installer (`rc/bin/inst/mountgefs`) leave them.

use super::area::Area;
use super::bulk::{self, Root};
use super::format::{
    ADM_ROOT_QID, BLOCK64, Dir, K_CONF, K_LABEL, K_SNAP, K_UP, Label, MAIN_ROOT_QID, NOWHERE, Pointer, Snap, USERS_QID,
    data_key, entry_key, number_key, text_key,
};
use super::items::owner;
use super::limits::LayoutError;
use super::users::Users;
use crate::tree::{EntryId, Meta, Mode, Tree};

/// Generations, which are the snapshots' numbers, too.
const EMPTY: u64 = 0;
const ADM: u64 = 1;
pub(super) const MAIN: u64 = 2;
const OTHER: u64 = 3;
/// The next one that the server gives out.
pub(super) const NEXT: u64 = 4;

/// Number of snapshots that were made from `empty`.
const FORKS: u32 = 3;

/// Roots of the trees.
#[derive(Clone, Copy)]
pub(super) struct Roots {
    empty: Root,
    adm: Root,
    other: Root,
    pub main: Root,
}

type Values = Vec<(Vec<u8>, Vec<u8>)>;

/// A directory: its entry, and its way up.
fn dir(values: &mut Values, up: u64, name: &[u8], qid: u64, meta: &Meta, owners: [i32; 3]) {
    values.push((entry_key(up, name), Dir::new(qid, meta, 0, owners).write()));
    values.push((number_key(K_UP, qid), entry_key(up, name)));
}

/// Metadata of everything that ream makes: adm's, last changed by none, in
/// 1970.
fn reamed(mode: Mode) -> (Meta, [i32; 3]) {
    (Meta::new(mode, "adm", "adm", 0), [-1, 0, -1])
}

/// Makes the trees of empty, adm and other; main is not there yet. `text` is
/// the file of users, `qid` gives out qid paths.
pub(super) fn small(
    area: &mut Area,
    tree: &Tree,
    users: &Users,
    text: &[u8],
    qid: &mut dyn FnMut() -> u64,
) -> Result<Roots, LayoutError> {
    let first = area.add_bytes(text);
    let (meta, ids) = reamed(Mode::dir(0o775));
    let mut adm = Values::new();
    for n in 0..(area.end() - first) {
        let pointer = Pointer { address: first + n, hash: 0, generation: ADM };
        adm.push((data_key(USERS_QID, n * BLOCK64), pointer.write().to_vec()));
    }
    let (file, _) = reamed(Mode::file(0o664));
    let entry = Dir::new(USERS_QID, &file, text.len() as u64, ids);
    adm.push((entry_key(ADM_ROOT_QID, b"users"), entry.write()));
    dir(&mut adm, NOWHERE, b"", ADM_ROOT_QID, &meta, ids);

    let mut empty = Values::new();
    dir(&mut empty, NOWHERE, b"", MAIN_ROOT_QID, &meta, ids);
    let mut other = empty.clone();
    // No snapshots are made of it.
    other.push((text_key(K_CONF, b"retain"), Vec::new()));
    homes(&mut other, tree, users, qid)?;
    let mut make = |generation, mut values: Values| {
        values.sort();
        bulk::load(area, generation, &values)
    };
    let empty = make(EMPTY, empty);
    Ok(Roots { empty, adm: make(ADM, adm), other: make(OTHER, other), main: empty })
}

/// A place for temporary files of everybody who has one in main.
fn homes(values: &mut Values, tree: &Tree, users: &Users, qid: &mut dyn FnMut() -> u64) -> Result<(), LayoutError> {
    let Some(usr) = tree.find(b"usr") else { return Ok(()) };
    let has_tmp = |id: &EntryId| tree.child(*id, b"tmp").is_some_and(|tmp| tree.entry(tmp).is_dir());
    let those: Vec<EntryId> = tree.entry(usr).children().iter().copied().filter(has_tmp).collect();
    if those.is_empty() {
        return Ok(());
    }
    let meta = &tree.entry(usr).meta;
    let top = qid();
    dir(values, MAIN_ROOT_QID, b"usr", top, meta, owner(meta, users, || "usr".into())?);
    for id in those {
        let entry = tree.entry(id);
        let meta = Meta { mode: Mode::dir(0o700), ..entry.meta.clone() };
        let owners = owner(&meta, users, || format!("usr/{}", String::from_utf8_lossy(&entry.name)))?;
        let home = qid();
        dir(values, top, &entry.name, home, &meta, owners);
        dir(values, home, b"tmp", qid(), &meta, owners);
    }
    Ok(())
}

/// The tree of labels and snapshots.
pub(super) fn snap_tree(area: &mut Area, roots: &Roots) -> Root {
    let mut values = Values::new();
    let all = [
        (&b"adm"[..], ADM, Label::MUTABLE, roots.adm),
        (b"empty", EMPTY, 0, roots.empty),
        (b"main", MAIN, Label::MUTABLE, roots.main),
        (b"other", OTHER, Label::MUTABLE, roots.other),
    ];
    for (name, generation, flags, root) in all {
        let label = Label { snap: generation, flags };
        let snap = Snap {
            references: if generation == EMPTY { FORKS } else { 0 },
            labels: 1,
            height: root.height,
            flags: 0,
            generation,
            before: EMPTY,
            after: if generation == EMPTY { MAIN } else { u64::MAX },
            base: EMPTY,
            root: Pointer { address: root.index, hash: 0, generation },
        };
        values.push((text_key(K_LABEL, name), label.write()));
        values.push((number_key(K_SNAP, generation), snap.write()));
    }
    values.sort();
    bulk::load(area, NEXT - 1, &values)
}
