//! The whole of 9legacy through Plan 9's own tools in a guest: an hour, so all
//! of it runs in `just thorough` alone, or with
//!
//!     P9IMG_THOROUGH=1 cargo test --release --test boot whole:: -- --ignored --nocapture
//!
//! `installed` has replica/applylog install everything, as Plan 9's installer
//! does, from files that have lost owners, modes and times; `forms` builds the
//! grid from every form of the medium, an image of disk/mk9660's among them.

mod forms;
mod installed;

use crate::built::{Artifact, Lab};
use crate::plan9::good;
use p9img::guest::{Disk, NetworkCard, Shell};
use p9img::lab::{Arch, Controller, Mac, Nic};
use p9img::media::{Medium, Selection};
use p9img::tree::{EntryId, Meta, Tree};
use p9img_test::guest::{Guest, Machine};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(600);
/// A command that copies everything.
const LONG: Duration = Duration::from_secs(3 * 3600);

/// Files of the medium that go into nodes, and the release's records.
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

/// The lab's plan9n2, started, with these disks after its own.
fn start(lab: &Lab, disks: Vec<Disk>) -> Guest {
    let node = lab.node("plan9n2");
    let mut machine = Machine::new(Controller::Ide, lab.disk("plan9n2", Artifact::Qcow2));
    machine.network = Some(NetworkCard { model: Nic::E1000, mac: Mac(node.mac) });
    machine.disks.extend(disks);
    machine.start().unwrap()
}

fn shell(guest: &mut Guest) -> Shell<'_> {
    Shell::new(&mut guest.console, "plan9n2# ", SHORT).unwrap_or_else(|e| panic!("{e}"))
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
