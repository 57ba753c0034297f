//! The whole of 9legacy through Plan 9's own tools in a guest: an hour, so all
//! of it is ignored unless asked for.
//!
//!     cargo test --release --test whole -- --ignored --nocapture
//!
//! `installed` has replica/applylog install everything, as Plan 9's installer
//! does, from files that have lost owners, modes and times; `forms` builds the
//! grid from every form of the medium, an image of disk/mk9660's among them.

#[path = "../boot/built.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod built;
mod forms;
mod installed;

use built::{Artifact, Lab};
use p9img::ReadAt as _;
use p9img::fs::fossil::{Base, Fossil, Options, needed_len};
use p9img::guest::{ConsoleError, Disk, Guest, Link, Machine, NetworkCard, Output, Shell};
use p9img::lab::{Arch, Controller, Mac, Nic};
use p9img::media::{Medium, Selection};
use p9img::tree::{EntryId, Meta, Tree};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(600);
/// A command that copies everything.
const LONG: Duration = Duration::from_secs(3 * 3600);

/// 9legacy's folder, or `None` with a loud word.
fn medium(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("P9IMG_TEST_MEDIA").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folder = named.clone().unwrap_or_else(|| home.join(".cache/p9img-test-media")).join("9legacy");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(named.is_none(), "P9IMG_TEST_MEDIA is set, but {} is missing", folder.display());
    eprintln!("SKIPPED {test}: no medium 9legacy (set P9IMG_TEST_MEDIA)");
    None
}

/// What of the medium goes into nodes, and the release's records.
fn selected(media: &Path, epoch: u32) -> Tree {
    let medium = Medium::open("9legacy", media, epoch, None).unwrap();
    let mut include = medium.distribution.default_include(Arch::I386);
    include.push("dist/**".into());
    Selection::new(&include, &[]).unwrap().apply(&medium.tree)
}

/// The same tree with other attributes.
fn with(tree: &Tree, meta: impl Fn(&Meta) -> Meta) -> Tree {
    let mut new = Tree::new(meta(&tree.entry(EntryId::ROOT).meta));
    let mut dirs = BTreeMap::from([(Vec::new(), EntryId::ROOT)]);
    tree.walk(|path, _, entry| {
        if path.is_empty() {
            return;
        }
        let (above, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        let id = new.push(dirs[above], name, meta(&entry.meta), entry.content().cloned());
        if entry.is_dir() {
            dirs.insert(path.to_vec(), id);
        }
    });
    new
}

/// Writes a fossil that holds `tree` and nothing else.
fn write_fossil(tree: &Arc<Tree>, epoch: u32, out: &Path) {
    let base = Arc::new(Base::layout(tree).unwrap());
    let options = Options {
        len: needed_len(&base, tree).unwrap() + (8 << 20),
        config: "fossil config\nfsys main config\nfsys main open -V -c 3000\n".into(),
        name: "main".into(),
        epoch,
    };
    let fossil = Fossil::layout(&base, tree, &options).unwrap();
    let file = File::create(out).unwrap();
    file.set_len(fossil.len()).unwrap();
    let mut buf = vec![0; 1 << 20];
    for e in fossil.extents() {
        for at in (e.offset..e.end()).step_by(1 << 20) {
            let part = &mut buf[..(e.end() - at).min(1 << 20) as usize];
            fossil.read_at(at, part).unwrap();
            file.write_all_at(part, at).unwrap();
        }
    }
}

/// The lab's plan9n2, started, with these disks behind its own.
fn start(lab: &Lab, disks: Vec<Disk>) -> Guest {
    let node = lab.node("plan9n2");
    let mut machine = Machine::new(Controller::Ide, lab.disk("plan9n2", Artifact::Qcow2));
    let link = Link::Alone("10.9.0.0/24".parse().unwrap());
    machine.network = Some(NetworkCard { model: Nic::E1000, mac: Mac(node.mac), link });
    machine.disks.extend(disks);
    machine.start().unwrap()
}

fn shell(guest: &mut Guest) -> Shell<'_> {
    Shell::new(&mut guest.console, "plan9n2# ", SHORT).unwrap_or_else(|e| panic!("{e}"))
}

fn good(result: Result<Output, ConsoleError>) -> String {
    let output = result.unwrap_or_else(|e| panic!("{e}"));
    assert!(output.succeeded(), "{}\n{}", output.status, output.text);
    output.text
}

/// Serves a partition on /n/idle without asking who it is.
fn serve(sh: &mut Shell, partition: &str) {
    good(sh.run(
        &format!(
            "fossil/fossil -c 'fsys main config {partition}' -c 'fsys main open -AWPVr -c 3000' -c 'fsys main' \
             -c 'srv -AWP idle' && mount /srv/idle /n/idle"
        ),
        SHORT,
    ));
}
