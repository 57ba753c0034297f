//! Facts about a medium: its release as far as its files tell, its
//! architectures, kernels, loaders and boot code.

use super::{Distribution, Medium};
use crate::tree::{EntryId, Tree};
use serde::Serialize;

/// Only 9legacy has it, of those that install fossil: Bell Labs' last release
/// is older than the cipher.
const ONLY_LEGACY: &str = "sys/src/libsec/port/chacha.c";
/// Sources that both have: without them nothing tells the two apart.
const BOTH: &str = "sys/src/libsec/port/aes.c";

/// Files in which releases of 9front have the commit of the branch that
/// `sysupdate` pulls.
const COMMITS: [&str; 2] = ["dist/9front/.git/refs/heads/front", ".git/refs/heads/front"];

/// Program that an architecture needs to be of use on a machine.
const INIT: &str = "init";

/// Facts about a medium from its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// In words: `9legacy`, `Plan 9 from Bell Labs, fourth edition`, …
    pub system: String,
    /// Number of the release, as the names of the medium have it.
    pub release: Option<String>,
    /// Commit of the sources, as the system's own repository has it.
    pub commit: Option<String>,
    /// Doubt about the release, in a sentence.
    pub unsure: Option<String>,
    pub architectures: Vec<Architecture>,
    /// Paths of loaders, boot sectors and master boot records.
    pub boot_files: Vec<String>,
}

/// One processor's part of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Architecture {
    /// As Plan 9 names it (`$cputype`).
    pub name: String,
    /// Programs in its `bin`, with those in folders of it.
    pub programs: usize,
    /// Paths of kernels.
    pub kernels: Vec<String>,
}

impl Facts {
    /// Looks at the tree of `medium`, which is `called` so: names of files,
    /// addresses, the name of a release.
    pub fn of(medium: &Medium, called: &[String]) -> Self {
        let tree = &*medium.tree;
        let release = called.iter().find_map(|name| front_release(name)).map(str::to_owned);
        let release = release.filter(|_| medium.distribution == Distribution::Front);
        let commit = COMMITS.iter().find_map(|path| commit(tree, path));
        let has = |path: &str| tree.find(path.as_bytes()).is_some();
        let (system, unsure) = match medium.distribution {
            Distribution::Sample => ("the embedded sample, which is not Plan 9".to_owned(), None),
            Distribution::Front => (
                "9front".to_owned(),
                release.is_none().then(|| {
                    "No file of the tree contains the number of the release, as far as p9img knows: it is in the name \
                     of the downloaded file"
                        .to_owned()
                }),
            ),
            Distribution::Legacy if has(ONLY_LEGACY) => ("9legacy".to_owned(), None),
            Distribution::Legacy if has(BOTH) => ("Plan 9 from Bell Labs, fourth edition".to_owned(), None),
            Distribution::Legacy => (
                "9legacy or Plan 9 from Bell Labs, fourth edition".to_owned(),
                Some("The sources that would distinguish the two are not on it".to_owned()),
            ),
        };
        let (mut architectures, mut boot_files) = (Vec::new(), Vec::new());
        for top in children(tree, EntryId::ROOT) {
            let (name, id) = top;
            if !tree.entry(id).is_dir() {
                continue;
            }
            let files: Vec<(String, EntryId)> = children(tree, id).collect();
            let names = || files.iter().filter(|(_, id)| !tree.entry(*id).is_dir()).map(|(n, _)| n);
            boot_files.extend(names().filter(|n| is_boot_file(n)).map(|n| format!("{name}/{n}")));
            let kernels: Vec<String> = names().filter(|n| is_kernel(n)).map(|n| format!("{name}/{n}")).collect();
            let bin = tree.child(id, b"bin").filter(|bin| tree.entry(*bin).is_dir());
            let programs = bin.map_or(0, |bin| programs(tree, bin));
            if !kernels.is_empty() || programs > 0 && tree.child(id, INIT.as_bytes()).is_some() {
                architectures.push(Architecture { name, programs, kernels });
            }
        }
        Self { system, release, commit, unsure, architectures, boot_files }
    }

    /// Whether the tree has this file, by [`Facts`] of it.
    pub fn has(&self, path: &str) -> bool {
        self.boot_files.iter().chain(self.architectures.iter().flat_map(|a| &a.kernels)).any(|p| p == path)
    }
}

/// The number in names such as `9front-11952.amd64.iso.gz`.
fn front_release(name: &str) -> Option<&str> {
    let rest = &name[name.rfind("9front-")? + "9front-".len()..];
    let number = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
    let ends = rest[number.len()..].chars().next().is_none_or(|c| !c.is_ascii_alphanumeric());
    (!number.is_empty() && ends).then_some(number)
}

/// The commit that a file of a git directory names.
fn commit(tree: &Tree, path: &str) -> Option<String> {
    let content = tree.entry(tree.find(path.as_bytes())?).content().filter(|c| c.len() <= 64)?;
    let text = String::from_utf8(content.read_all().ok()?).ok()?;
    let hex = text.trim_end();
    (hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| hex.to_owned())
}

fn children(tree: &Tree, dir: EntryId) -> impl Iterator<Item = (String, EntryId)> {
    let name = |id: EntryId| String::from_utf8_lossy(&tree.entry(id).name).into_owned();
    tree.entry(dir).children().iter().map(move |id| (name(*id), *id))
}

fn programs(tree: &Tree, dir: EntryId) -> usize {
    let below = |id: &EntryId| if tree.entry(*id).is_dir() { programs(tree, *id) } else { 1 };
    tree.entry(dir).children().iter().map(below).sum()
}

/// Names of what starts kernels, in both families.
fn is_boot_file(name: &str) -> bool {
    let starts = ["9load", "9boot", "pbs", "mbr"].iter().any(|s| name.starts_with(s));
    starts || name.ends_with(".efi") || name == "efiboot.fat"
}

/// Kernels are called `9` and the machine, such as `9pccpuf` or `9pi2`.
fn is_kernel(name: &str) -> bool {
    name.starts_with('9') && name.len() > 1 && !is_boot_file(name)
}

#[cfg(test)]
mod tests {
    use super::super::listing::{Attributes, Listing};
    use super::*;
    use crate::tree::Content;
    use std::sync::Arc;

    fn medium(distribution: Distribution, files: &[&str]) -> Medium {
        let mut listing = Listing::default();
        for path in files {
            let unix = Attributes::Unix { executable: true };
            listing.file(path.as_bytes(), unix, Content::bytes(*b"x")).unwrap();
        }
        Medium { distribution, tree: Arc::new(listing.tree(None, 0)), ..Medium::sample() }
    }

    #[test]
    fn kernels_and_what_loads_them_are_told_apart() {
        let files = [
            "386/9load",
            "386/9pcf",
            "386/bin/ls",
            "386/bin/aux/x",
            "386/init",
            "386/pbslba",
            "arm/9pi2",
            "mips/init",
            "mips/bin/ls",
            "spim/include/u.h",
            "rc/bin/9fs",
        ];
        let facts = Facts::of(&medium(Distribution::Legacy, &files), &[]);
        assert_eq!(facts.boot_files, ["386/9load", "386/pbslba"]);
        let all: Vec<_> = facts.architectures.iter().map(|a| (&*a.name, a.programs, a.kernels.join(" "))).collect();
        let want =
            [("386", 2, "386/9pcf"), ("arm", 0, "arm/9pi2"), ("mips", 1, "")].map(|(n, p, k)| (n, p, k.to_owned()));
        assert_eq!(all, want);
        assert!(facts.has("386/9pcf") && facts.has("386/9load") && !facts.has("386/9pccpuf"));
    }

    #[test]
    fn releases_are_told_apart_by_what_only_one_has() {
        let of = |files: &[&str]| Facts::of(&medium(Distribution::Legacy, files), &[]);
        assert_eq!(of(&[BOTH, ONLY_LEGACY]).system, "9legacy");
        assert_eq!(of(&[BOTH]).system, "Plan 9 from Bell Labs, fourth edition");
        let facts = of(&["386/9load"]);
        assert!(facts.system.contains(" or ") && facts.unsure.is_some());
        assert!(Facts::of(&Medium::sample(), &[]).system.contains("not Plan 9"));
    }

    #[test]
    fn a_release_is_in_names_and_a_commit_in_the_repository() {
        let path = "dist/9front/.git/refs/heads/front";
        let named = |called: &[&str], distribution| {
            let called: Vec<_> = called.iter().map(|s| (*s).to_owned()).collect();
            Facts::of(&medium(distribution, &[path]), &called)
        };
        let all = [
            ("/home/me/9front-11952.amd64.iso.gz", Some("11952")),
            ("http://9front.org/iso/9front-11554.386.iso.gz", Some("11554")),
            ("9front-11554-qcow2", Some("11554")),
            ("9front-11554", Some("11554")),
            ("9front-master", None),
            ("9front-11x.iso", None),
            ("9front", None),
        ];
        for (name, release) in all {
            let facts = named(&["somewhere", name], Distribution::Front);
            assert_eq!((facts.release.as_deref(), facts.unsure.is_none()), (release, release.is_some()), "{name}");
        }
        assert_eq!(named(&["9front-11952.iso"], Distribution::Legacy).release, None);
        assert_eq!(named(&[], Distribution::Front).commit, None, "an x is no commit");
        let mut listing = Listing::default();
        let hex = "0123456789abcdef0123456789abcdef01234567";
        let text = Content::bytes(format!("{hex}\n").into_bytes());
        listing.file(path.as_bytes(), Attributes::Unix { executable: false }, text).unwrap();
        let tree = Arc::new(listing.tree(None, 0));
        assert_eq!(commit(&tree, path).as_deref(), Some(hex));
    }
}
