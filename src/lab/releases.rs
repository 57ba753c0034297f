//! The releases that have a name without a section in the lab: data in
//! `media/releases.toml`, which is part of p9img.

use super::model::{Arch, Medium, Origin, Said};
use crate::digest::Digest;
use serde::Deserialize;
use std::sync::LazyLock;

/// One release of a Plan 9 system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub name: String,
    /// Description, for people.
    pub what: String,
    /// Architecture of its machines; the 386 where the file says none.
    #[serde(default)]
    pub arch: ReleaseArch,
    /// Addresses of the file, best first.
    pub urls: Vec<String>,
    /// SHA-256 of the file, where somebody has published it.
    pub sha256: Option<Digest>,
    /// Bytes of that file.
    pub length: Option<u64>,
    /// Source of the digest.
    pub source: String,
}

impl Release {
    /// The release as a medium of a lab.
    pub fn medium(&self) -> Medium {
        Medium { origin: Origin::Urls(self.urls.clone()), sha256: self.sha256, len: self.length, said: Said::Releases }
    }
}

/// Architecture as the file of releases names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ReleaseArch {
    #[default]
    #[serde(rename = "386")]
    I386,
    #[serde(rename = "amd64")]
    Amd64,
    #[serde(rename = "arm64")]
    Arm64,
}

impl From<ReleaseArch> for Arch {
    fn from(arch: ReleaseArch) -> Self {
        match arch {
            ReleaseArch::I386 => Self::I386,
            ReleaseArch::Amd64 => Self::Amd64,
            ReleaseArch::Arm64 => Self::Arm64,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    release: Vec<Release>,
}

static RELEASES: LazyLock<Vec<Release>> = LazyLock::new(|| {
    // A test reads the same text: a file that cannot be read does not pass it.
    toml::from_str::<File>(include_str!("../../media/releases.toml")).map_or_else(|_| Vec::new(), |f| f.release)
});

/// All of them, in the order of the file.
pub fn all() -> &'static [Release] {
    &RELEASES
}

/// The one of that name.
pub fn find(name: &str) -> Option<&'static Release> {
    RELEASES.iter().find(|r| r.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::{SAMPLE, names};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_file_of_releases_is_right() {
        let file = toml::from_str::<File>(include_str!("../../media/releases.toml")).unwrap();
        assert_eq!(file.release.len(), all().len());
        let names: BTreeSet<_> = all().iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names.len(), all().len(), "a name appears twice");
        for name in ["9legacy", "9front-11554", "plan9-4e"] {
            assert!(names.contains(name), "{name}");
        }
        for release in all() {
            for (word, arch) in [("amd64", ReleaseArch::Amd64), ("arm64", ReleaseArch::Arm64)] {
                assert_eq!(release.arch == arch, release.urls[0].contains(word), "{}", release.name);
            }
            assert!(release.name != SAMPLE && names::label("", &release.name).is_ok(), "{}", release.name);
            assert!(!release.urls.is_empty() && !release.source.is_empty() && !release.what.is_empty());
            for url in &release.urls {
                assert_eq!(names::url(url).as_ref(), Ok(url));
            }
        }
        let digests: BTreeSet<_> = all().iter().filter_map(|r| r.sha256).collect();
        assert_eq!(digests.len(), all().iter().filter(|r| r.sha256.is_some()).count());
    }
}
