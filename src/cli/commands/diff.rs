//! `p9img diff`: differences between two images, media, manifests, or places in them.

use crate::cli::image::{self, ImagePath};
use crate::cli::outcome::{Outcome, Usage};
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::diff::{self, Budget, Compared, Difference, Image};
use crate::fs::FileSystem;
use crate::fs::TreeFs;
use crate::media::store::Store;
use crate::media::{Medium, Source};
use anyhow::Context as _;
use serde_json::Value;
use std::sync::Arc;

/// Bytes of the longest manifest that is read.
const MAX_MANIFEST: u64 = 64 << 20;

/// One of the two arguments, opened.
enum Side {
    Image(Image),
    Manifest(Value),
    Partition(String, diff::Side),
    Files(Files),
}

/// A place in a file system or a medium.
struct Files {
    fs: Box<dyn FileSystem>,
    path: String,
    /// Bytes of the image or partition that has the files.
    len: u64,
}

impl Files {
    /// The path as it is in the file system; if it does not exist there, as it was given.
    fn meant(&self) -> Vec<u8> {
        image::find(&*self.fs, &self.path).map_or_else(|_| self.path.clone().into_bytes(), |(path, _)| path)
    }
}

impl Side {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Image(_) => "a disk image",
            Self::Manifest(_) => "a manifest",
            Self::Partition(..) => "a partition",
            Self::Files(_) => "a tree of files",
        }
    }

    /// Files of this side; the side itself if it has none.
    fn files(self) -> Result<Files, Self> {
        match self {
            Self::Files(files) => Ok(files),
            Self::Partition(name, side) => match side.open() {
                Ok(fs) => Ok(Files { fs, path: String::new(), len: side.bytes.len() }),
                Err(_) => Err(Self::Partition(name, side)),
            },
            other => Err(other),
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// IMAGE[:PARTITION[:PATH]], or a manifest.json
    pub a: String,
    /// The other side: of the same kind as A
    pub b: String,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

pub fn run(_cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let mut count = 0u64;
    let mut sink = |d: Difference| {
        count += 1;
        match args.json {
            true => say::json_line(&d),
            // A difference quotes what the images hold: one of several lines is still one line.
            false => say::line(format_args!("{}", d.to_string().replace('\n', "\\n"))),
        }
    };
    let mut note = None;
    match (a, b) {
        (Side::Image(a), Side::Image(b)) => match diff::images(&a, &b, &mut sink)? {
            Compared { container: true, .. } => {}
            Compared { disk: true, .. } => note = Some("the containers differ, the disks in them are equal"),
            Compared { .. } => note = Some("the disks differ"),
        },
        (Side::Manifest(a), Side::Manifest(b)) => diff::manifests(&a, &b, &mut sink)?,
        (Side::Partition(name, a), Side::Partition(_, b)) => diff::partitions(&name, &a, &b, false, &mut sink)?,
        (a, b) => match (a.files(), b.files()) {
            (Ok(a), Ok(b)) => {
                let mut budget = Budget::new(a.len.max(b.len));
                let [x, y] = [&a, &b].map(Files::meant);
                diff::trees("files", (&*a.fs, &x), (&*b.fs, &y), &mut budget, &mut sink)?;
            }
            (a, b) => {
                let kind = |r: Result<Files, Side>| r.map_or_else(|s| s.kind(), |_| "a tree of files");
                let (a, b) = (kind(a), kind(b));
                return Err(Usage(format!("{} is {a} and {} is {b}: give two of the same kind", args.a, args.b)).into());
            }
        },
    }
    if let (Some(note), false) = (note, args.json) {
        say::note(note);
    }
    Ok(if count == 0 && note.is_none() { Outcome::Good } else { Outcome::Differs })
}

fn open(place: &str) -> anyhow::Result<Side> {
    let alone = image::split(place).ok().filter(|(_, rest)| rest.is_none());
    if let Some((path, _)) = alone {
        return match Source::open(path, Store::platform().ok().as_ref())? {
            Source::Other(bytes) => {
                let mut first = [0];
                if !bytes.is_empty() {
                    bytes.read_at(0, &mut first)?;
                }
                if first == *b"{" && bytes.len() <= MAX_MANIFEST {
                    let mut text = vec![0; bytes.len() as usize];
                    bytes.read_at(0, &mut text)?;
                    let value = serde_json::from_slice(&text);
                    return Ok(Side::Manifest(value.with_context(|| format!("Cannot read the manifest {place}"))?));
                }
                Ok(Side::Image(Image::open_at(path, bytes).with_context(|| format!("Cannot open the image {place}"))?))
            }
            source => {
                let medium = Medium::read("medium", path, source, 0)?;
                let fs = Box::new(TreeFs::new(medium.tree));
                Ok(Side::Files(Files { fs, path: String::new(), len: u64::MAX }))
            }
        };
    }
    Ok(match image::open(place)? {
        ImagePath::Disk { disk, partition: Some(name), path: None } => {
            let lba = disk.find(&name).ok().map(crate::disk::PartInfo::lba);
            let bytes = image::partition(&disk, &name)?;
            Side::Partition(name, diff::Side { bytes, lba, disk: Some(Arc::new(disk)) })
        }
        ImagePath::Disk { disk, partition: Some(name), path: Some(path) } => {
            Side::Files(Files { fs: image::open_partition(&disk, &name)?, path, len: disk.len() })
        }
        ImagePath::Disk { disk, .. } => Side::Image(Image::open(Arc::clone(disk.source()))?),
        ImagePath::Whole { fs, path, len } => Side::Files(Files { fs, path: path.unwrap_or_default(), len }),
    })
}
