//! Distribution of Plan 9 that a medium has.

use crate::lab::Arch;
use crate::tree::Tree;
use serde::Serialize;
use std::fmt;

/// A family of Plan 9 systems that are installed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Distribution {
    /// 9legacy and the Bell Labs fourth edition: fossil and venti.
    #[serde(rename = "9legacy")]
    Legacy,
    #[serde(rename = "9front")]
    Front,
    /// The embedded sample: laid out like 9legacy, but not Plan 9.
    #[serde(rename = "sample")]
    Sample,
}

/// The files that tell the families apart, as (family, all of these exist).
const MARKS: [(Distribution, &[&str]); 3] = [
    (Distribution::Sample, &["sys/README.sample", "386/9load"]),
    (Distribution::Front, &["sys/lib/sysconfig/proto/distproto", "rc/bin/cpurc"]),
    (Distribution::Legacy, &["386/9load", "rc/bin/cpurc", "sys/src/9/boot/boot.c"]),
];

/// A medium without sources is still 9legacy with these.
const BINARY_LEGACY: &[&str] = &["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc"];

impl Distribution {
    /// The name that folders of roles and users use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "9legacy",
            Self::Front => "9front",
            Self::Sample => "sample",
        }
    }

    /// Recognises the system in `tree` by the files it cannot lack.
    pub fn recognise(tree: &Tree) -> Option<Self> {
        Self::recognise_by(|path| tree.find(path.as_bytes()).is_some())
    }

    /// As [`Distribution::recognise`], when `has` says which paths there are.
    pub fn recognise_by(has: impl Fn(&str) -> bool) -> Option<Self> {
        let has_all = |paths: &[&str]| paths.iter().all(|p| has(p));
        MARKS
            .iter()
            .find(|(_, paths)| has_all(paths))
            .map(|(d, _)| *d)
            .or_else(|| has_all(BINARY_LEGACY).then_some(Self::Legacy))
    }

    /// Files that were looked for, for the message when nothing was recognised.
    pub fn marks() -> String {
        format!("{} (9legacy) or {} (9front)", BINARY_LEGACY.join(", "), MARKS[1].1.join(", "))
    }

    /// The default `include` patterns for an image of this system.
    pub fn default_include(self, arch: Arch) -> Vec<String> {
        let whole = [arch.name(), "sys", "lib", "rc", "acme", "adm", "cfg", "cron", "mail", "usr"];
        // Mount points: the system expects the folders, nothing is in them.
        let empty = ["mnt", "n", "fd", "tmp", "lp"];
        let mut all: Vec<_> = whole.iter().chain(&empty).map(|top| format!("{top}/**")).collect();
        // An amd64 kernel of 9front is compiled with headers of the 386.
        all.extend((self == Self::Front).then(|| "386/include/**".to_owned()));
        // The files that start a PC are in the folder of the 386 for all of
        // them: without it, the node's disk could not be a medium.
        all.extend((arch == Arch::Amd64).then(|| "386/{mbr,pbs,pbslba,9load,9bootfat,*.efi}".to_owned()));
        all
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
