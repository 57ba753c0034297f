//! An opened file system: blocks by their tags, through the cache where there
//! is one, and the way from an entry to its blocks. For images of any origin,
//! hostile ones included. Nothing stays in memory after a call.

use super::config::{Config, Device};
use super::format::{
    BLOCK, BUCKET, BUCKETS, Dentry, ENTRIES, Form, HEADER_AT, Header, Kind, PAYLOAD, POINTERS, ROOT_AT, SUPER_AT,
    SUPER_PATH, State, Super, Tag, bucket_entry, device_blocks, pointers,
};
use crate::count;
use crate::error::damaged;
use crate::read_at::ReadAt;
use crate::shared::pointers::addresses;
use crate::{Beside, ErrorKind};
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Reason why bytes are not a partition of a cwfs64x.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum OpenError {
    /// Too few bytes for the first blocks.
    #[error("Not a partition of a cwfs64x: {len} too few for its first blocks", len = count::either(len, "byte is", "bytes are"))]
    TooShort { len: u64 },
    /// No tag of a configuration or a super block where one should be.
    #[error("Not a partition of a cwfs64x: block 0 is not a configuration, block 2 not a super block")]
    Tags,
    /// Configuration that cannot be read.
    #[error("Bad configuration of a cwfs64x (block 0): {why}")]
    Config { why: String },
    /// Configuration that names a partition which is not there.
    #[error("{path} belongs to this cwfs64x, but there is no partition {name} on its disk")]
    Beside { path: String, name: String },
    /// Header of a cache that contradicts itself or the configuration.
    #[error("Bad cache of a cwfs64x: {why}")]
    Cache { why: String },
    /// Super block that contradicts itself or the partition.
    #[error("Bad super block of a cwfs64x (block {at}): {why}")]
    Super { at: u64, why: String },
    /// Failure to read the partition.
    #[error("Cannot read the partition")]
    Io(#[from] io::Error),
}

impl OpenError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooShort { .. } => ErrorKind::TooSmall,
            Self::Tags => ErrorKind::NotThisFormat,
            Self::Config { .. } | Self::Beside { .. } | Self::Cache { .. } | Self::Super { .. } => ErrorKind::Damaged,
            Self::Io(_) => ErrorKind::Io,
        }
    }
}

/// One of the two file systems: the live one or the dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Live,
    Dumps,
}

/// Role of a partition in its cwfs64x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The cache, with its worm.
    Main,
    /// A worm alone, as of its last dump.
    Worm,
    Other,
}

/// A cache.
pub(super) struct CachePart {
    dev: Arc<dyn ReadAt>,
    pub header: Header,
    pub config: Config,
}

pub(super) struct Volume {
    pub part: Part,
    pub cache: Option<CachePart>,
    /// The worm, or the plain device, and its blocks.
    dev: Arc<dyn ReadAt>,
    pub blocks: u64,
    pub super_at: u64,
    pub superblock: Super,
    /// Address of the root, and of the root of the dumps.
    pub root: u64,
    pub dump_root: Option<u64>,
    /// First address after the blocks in use.
    pub end: u64,
}

/// Bytes of a block from `within` on.
fn read_within(dev: &dyn ReadAt, at: u64, within: usize, buf: &mut [u8]) -> io::Result<()> {
    let offset = at.checked_mul(BLOCK as u64).and_then(|o| o.checked_add(within as u64));
    dev.read_at(offset.ok_or_else(|| damaged(format!("Block {at} is after the last one")))?, buf)
}

fn block_of(dev: &dyn ReadAt, at: u64) -> io::Result<Vec<u8>> {
    let mut b = vec![0; BLOCK];
    read_within(dev, at, 0, &mut b)?;
    Ok(b)
}

fn tag_of(dev: &dyn ReadAt, at: u64) -> io::Result<Tag> {
    let mut b = [0; Tag::LEN];
    read_within(dev, at, PAYLOAD, &mut b)?;
    Ok(Tag::parse(&b))
}

/// The super block at `at` of a device, if there is one.
pub(super) fn super_of(dev: &dyn ReadAt, at: u64) -> io::Result<Option<Super>> {
    let block = block_of(dev, at)?;
    Ok((Tag::of(&block) == Tag { kind: Kind::SUPER, path: SUPER_PATH }).then(|| Super::parse(&block)))
}

impl Volume {
    /// Opens the partition `dev`; `beside` finds others of its disk by name.
    pub(super) fn open(dev: Arc<dyn ReadAt>, beside: &Beside<'_>) -> Result<Self, OpenError> {
        let len = dev.len();
        if len <= ROOT_AT * BLOCK as u64 {
            return Err(OpenError::TooShort { len });
        }
        let (first, second) = (tag_of(&*dev, 0)?, tag_of(&*dev, HEADER_AT)?);
        let is = |tag: Tag, kind, path| tag == Tag { kind, path };
        // Other volumes begin with code or magic numbers, where a zero and a ten
        // may lie by chance.
        let mut text = [0];
        dev.read_at(0, &mut text)?;
        if is(first, Kind::CONFIG, 0) && text[0].is_ascii_graphic() {
            return Self::main(dev, is(second, Kind::CACHE, SUPER_PATH), beside);
        }
        if is(second, Kind::CACHE, SUPER_PATH) {
            let why =
                format!("its kind is {}; a cache whose configuration is elsewhere cannot be read", first.kind.name());
            return Err(OpenError::Config { why });
        }
        match super_of(&*dev, SUPER_AT)? {
            Some(s) if s.cwraddr != 0 => Self::worm(dev),
            Some(s) => Self::plain(dev, s),
            None => Err(OpenError::Tags),
        }
    }

    fn plain(dev: Arc<dyn ReadAt>, superblock: Super) -> Result<Self, OpenError> {
        let device = device_blocks(dev.len());
        if let Some(why) = superblock.flaw(device) {
            return Err(OpenError::Super { at: SUPER_AT, why });
        }
        let blocks = dev.len() / BLOCK as u64;
        let end = superblock.fsize;
        Ok(Self {
            part: Part::Other,
            cache: None,
            dev,
            blocks,
            super_at: SUPER_AT,
            superblock,
            root: ROOT_AT,
            dump_root: None,
            end,
        })
    }

    fn worm(dev: Arc<dyn ReadAt>) -> Result<Self, OpenError> {
        let (mut at, mut superblock) = (SUPER_AT, Super::default());
        for found in Chain::new(&*dev) {
            (at, superblock) = found?;
        }
        let device = device_blocks(dev.len());
        let flaw = superblock.flaw(device).or_else(|| {
            let out = |a: &u64| *a < SUPER_AT || *a >= superblock.fsize;
            let roots = [superblock.cwraddr, superblock.roraddr];
            roots.into_iter().find(out).map(|a| format!("a root is at {a}, outside of what is in use"))
        });
        match flaw {
            Some(why) => Err(OpenError::Super { at, why }),
            None => Ok(Self {
                part: Part::Worm,
                cache: None,
                blocks: dev.len() / BLOCK as u64,
                dev,
                super_at: at,
                root: superblock.cwraddr,
                dump_root: Some(superblock.roraddr),
                end: superblock.fsize,
                superblock,
            }),
        }
    }

    fn main(dev: Arc<dyn ReadAt>, is_cache: bool, beside: &Beside<'_>) -> Result<Self, OpenError> {
        let config = Config::parse(&block_of(&*dev, 0)?[..PAYLOAD]).map_err(|why| OpenError::Config { why })?;
        let device = config.device("main").map_err(|why| OpenError::Config { why })?;
        let Device::Cached(cache, worm) = device else {
            return Err(OpenError::Config { why: "filsys main is not a cached worm".into() });
        };
        let find = |path: String| {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            beside(&name).ok_or(OpenError::Beside { path, name })
        };
        let dev = if is_cache { dev } else { find(cache)? };
        let block = block_of(&*dev, HEADER_AT)?;
        if Tag::of(&block) != (Tag { kind: Kind::CACHE, path: SUPER_PATH }) {
            let kind = Tag::of(&block).kind.name();
            return Err(OpenError::Cache { why: format!("block {HEADER_AT} has the kind {kind}") });
        }
        let worm = find(worm)?;
        let header = Header::parse(&block);
        if let Some(why) = header.flaw(dev.len() / BLOCK as u64, device_blocks(worm.len())) {
            return Err(OpenError::Cache { why });
        }
        let at = header.sbaddr;
        let mut out = Self {
            part: Part::Main,
            cache: Some(CachePart { dev, header, config }),
            blocks: worm.len() / BLOCK as u64,
            dev: worm,
            super_at: at,
            superblock: Super::default(),
            root: header.cwraddr,
            dump_root: Some(header.roraddr),
            end: header.fsize,
        };
        let block = out.bytes(Side::Live, at)?;
        let tag = Tag::of(&block);
        if tag != (Tag { kind: Kind::SUPER, path: SUPER_PATH }) {
            return Err(OpenError::Super { at, why: format!("it has the kind {}", tag.kind.name()) });
        }
        out.superblock = Super::parse(&block);
        match out.superblock.flaw(header.fsize) {
            Some(why) => Err(OpenError::Super { at, why }),
            None => Ok(out),
        }
    }

    /// Every super block of the worm, from the first on.
    pub(super) fn chain(&self) -> Chain<'_> {
        Chain::new(&*self.dev)
    }

    /// Block `n` of the cache's buckets.
    pub(super) fn bucket_block(&self, n: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(cache) = &self.cache else { return Ok(None) };
        block_of(&*cache.dev, cache.header.maddr + n).map(Some)
    }

    /// The block of the cache that holds an address, for a side.
    fn cached(&self, side: Side, address: u64) -> io::Result<Option<(&Arc<dyn ReadAt>, u64)>> {
        let Some(CachePart { dev, header, config }) = &self.cache else { return Ok(None) };
        let bucket = address % header.msize;
        let mut b = [0; BUCKET];
        read_within(&**dev, header.maddr + bucket / BUCKETS, (bucket % BUCKETS) as usize * BUCKET, &mut b)?;
        let is_here = |i: &u64| {
            let (state, a) = bucket_entry(&b, *i as usize);
            a == address && state != State::NONE && (side == Side::Live || state.is_dumped())
        };
        let entry = (0..ENTRIES as u64).find(is_here);
        let at = |i| match config.newcache {
            true => bucket + i * header.msize,
            false => bucket * ENTRIES as u64 + i,
        };
        Ok(entry.map(|i| (dev, header.caddr + at(i))))
    }

    /// Bytes of a block from `within` on, whatever its tag.
    fn within(&self, side: Side, address: u64, within: usize, buf: &mut [u8]) -> io::Result<()> {
        if address >= self.blocks {
            return Err(damaged(format!("Block {address} is after the last one, {}", self.blocks.saturating_sub(1))));
        }
        match self.cached(side, address)? {
            Some((dev, at)) => read_within(&**dev, at, within, buf),
            None => read_within(&*self.dev, address, within, buf),
        }
    }

    /// A block, whatever its tag.
    pub(super) fn bytes(&self, side: Side, address: u64) -> io::Result<Vec<u8>> {
        let mut b = vec![0; BLOCK];
        self.within(side, address, 0, &mut b)?;
        Ok(b)
    }

    /// The tag of a block.
    pub(super) fn tag(&self, side: Side, address: u64) -> io::Result<Tag> {
        let mut b = [0; Tag::LEN];
        self.within(side, address, PAYLOAD, &mut b)?;
        Ok(Tag::parse(&b))
    }

    /// A block with a tag.
    pub(super) fn block(&self, side: Side, address: u64, want: Tag) -> io::Result<Vec<u8>> {
        let b = self.bytes(side, address)?;
        match Tag::of(&b) {
            have if have == want => Ok(b),
            have => Err(damaged(format!("Block {address}: {}", differs(have, want)))),
        }
    }

    /// Addresses of up to `max` blocks of a file or directory from number `bn`
    /// on; 0 for a hole. At least one, as far as one block of pointers reaches.
    pub(super) fn addresses(&self, side: Side, d: &Dentry, bn: u64, max: usize) -> io::Result<Vec<u64>> {
        let read = |address, below| {
            let want = Tag { kind: Kind::pointers(below), path: d.path() };
            self.block(side, address, want).map(|b| pointers(&b))
        };
        addresses::<Form>(d.pointers.tops(), bn, max, &read)
    }

    /// Reads `buf.len()` bytes at `offset` of a file; the range lies within
    /// its size.
    pub(super) fn read(&self, side: Side, d: &Dentry, offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let payload = PAYLOAD as u64;
        let (mut bn, mut within) = (offset / payload, (offset % payload) as usize);
        while !buf.is_empty() {
            let want = (within as u64 + buf.len() as u64).div_ceil(payload).min(POINTERS as u64) as usize;
            for address in self.addresses(side, d, bn, want)? {
                let n = buf.len().min(PAYLOAD - within);
                let (out, more) = buf.split_at_mut(n);
                if address == 0 {
                    out.fill(0);
                } else {
                    let b = self.bytes(side, address)?;
                    let (have, want) = (Tag::of(&b), Tag { kind: Kind::FILE, path: d.path() });
                    if have.kind != want.kind {
                        return Err(damaged(format!("Block {address}: {}", differs(have, want))));
                    }
                    out.copy_from_slice(&b[within..within + n]);
                }
                buf = more;
                (bn, within) = (bn + 1, 0);
                if buf.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Difference of two tags, in words.
pub(super) fn differs(have: Tag, want: Tag) -> String {
    let say = |t: Tag| format!("{} of path {}", t.kind.name(), t.path);
    format!("its tag says {}, but the pointer to it says {}", say(have), say(want))
}

/// The super blocks of a worm: where each is, and what it says.
pub(super) struct Chain<'a> {
    dev: &'a dyn ReadAt,
    next: Option<u64>,
}

impl<'a> Chain<'a> {
    fn new(dev: &'a dyn ReadAt) -> Self {
        Self { dev, next: Some(SUPER_AT) }
    }
}

impl Iterator for Chain<'_> {
    type Item = io::Result<(u64, Super)>;

    /// Addresses ascend, so this ends.
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take().filter(|at| *at < self.dev.len() / BLOCK as u64)?;
        match super_of(self.dev, at).transpose()? {
            Ok(s) => {
                self.next = (s.next > at).then_some(s.next);
                Some(Ok((at, s)))
            }
            Err(e) => Some(Err(e)),
        }
    }
}
