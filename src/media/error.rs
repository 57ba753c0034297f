//! Reason why something cannot be a medium.

use super::deb::DebError;
use super::git::GitError;
use super::iso::IsoError;
use super::listing::PathError;
use super::metadata::{self, MAX_RECORDS, MetadataError};
use super::store::StoreError;
use super::tar::TarError;
use super::zip::ZipError;
use crate::count;
use crate::foreign::Foreign;
use std::io;
use std::path::PathBuf;

/// Reason why something cannot be a medium.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    #[error("There is no medium at {path}: give a folder with {marks}")]
    Missing { path: PathBuf, marks: String },
    #[error("{path} is not a Plan 9 medium; none of these was found: {looked_for}")]
    Unknown { path: PathBuf, looked_for: String },
    #[error("{path} is {name}, which p9img does not read: {advice}", name = .found.name, advice = .found.advice)]
    Foreign { path: PathBuf, found: Foreign },
    #[error(
        "{path} is a web page (HTML), not a medium: download the file itself; the address may have answered with a \
         page about it"
    )]
    WebPage { path: PathBuf },
    #[error("{path} contains no Plan 9 system: looked for {marks}")]
    NotPlan9 { path: PathBuf, marks: String },
    #[error("{path} contains no Plan 9 system, but {inner}, {what}: unpack it, and give that file")]
    Within { path: PathBuf, inner: String, what: String },
    #[error("{path} contains no Plan 9 system: its partition {partition} is {name}. {advice}", name = .found.name, advice = .found.advice)]
    Partition { path: PathBuf, partition: String, found: Foreign },
    #[error("Cannot read the tar archive {path}")]
    Tar { path: PathBuf, source: TarError },
    #[error("Cannot read the zip archive {path}")]
    Zip { path: PathBuf, source: ZipError },
    #[error("Cannot read the Debian package {path}")]
    Deb { path: PathBuf, source: DebError },
    #[error("The {how} stream of {path} is damaged or cut off: get the file again")]
    Compressed { path: PathBuf, how: &'static str, source: io::Error },
    #[error(
        "{len} the end of the {how} data of {path}, at byte {end}, and no {how} data: download the file again, or cut \
         them off with `truncate -s {end}`", len = count::either(len, "byte follows", "bytes follow")
    )]
    Trailing { path: PathBuf, how: &'static str, end: u64, len: u64 },
    #[error("The {how} stream of {path} becomes longer than {most}, which is more than any medium; refusing to unpack \
             it", most = count::of(most, "byte"))]
    Bomb { path: PathBuf, how: &'static str, most: u64 },
    #[error(
        "{path} has more than {most} compressions inside each other, which is more than any medium; refusing to \
         unpack it"
    )]
    Layers { path: PathBuf, most: usize },
    #[error(
        "{path} must be unpacked into a cache, but there is no home folder: set P9IMG_CACHE to a folder for the cache"
    )]
    NoCache { path: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("Cannot read the git repository {path}")]
    Git { path: PathBuf, source: GitError },
    #[error("The file {PATH} of the medium has {len}, but p9img reads at most {MAX_RECORDS}", PATH = metadata::PATH, len = count::of(len, "byte"))]
    Records { len: u64 },
    #[error("Cannot read {path} of the medium")]
    Read { path: PathBuf, source: io::Error },
    #[error("The symbolic link {path} of the medium leads back to {ancestor}: remove the loop")]
    LinkLoop { path: PathBuf, ancestor: PathBuf },
    #[error("The symbolic link {path} of the medium leads to {target}, outside of it: replace it with a copy")]
    LinkLeaves { path: PathBuf, target: PathBuf },
    #[error("{path} of the medium is a {kind}: Plan 9 trees contain files and directories only")]
    Special { path: PathBuf, kind: &'static str },
    #[error("Plan 9 cannot store the path {path:?} of the medium: {why}")]
    Path { path: PathBuf, why: PathError },
    #[error("Cannot read {path} as an ISO 9660 image")]
    Iso { path: PathBuf, source: Box<IsoError> },
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}
