//! Opening a partition of a venti, as a small file system: arenas as a folder
//! with a file for each arena, whole, as rdarena(8) copies it; an index
//! section with the table of its index; a bloom filter with nothing.

use super::arena;
use super::format::{
    ARENA_HEAD_MAGIC, ARENAS_MAGIC, ArenaHead, ArenaTail, ArenasHead, BLANK, BLOCK, BLOOM_MAGIC, BloomHead, CONFIG_AT,
    CONFIG_LEN, HEAD_LEN, SECTION_MAGIC, SectionHead, base_at, table_at,
};
use super::layout::Kind;
use super::table::{self, Index, Lines, Range};
use super::{dump, section};
use crate::count;
use crate::read_at::ReadAt;
use crate::tree::{Meta, Mode};
use crate::{ErrorKind, FileSystem, Finding, Node};
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Reason why bytes are not a partition of a venti.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of a variant says what its fields are")]
pub enum OpenError {
    /// No header of any kind where one should be.
    #[error(
        "Not a venti partition: neither a header of arenas or an index section at byte {BLANK} nor a bloom filter's at 0"
    )]
    Unknown,
    /// Header that contradicts itself or the partition.
    #[error("Bad header of {what} (byte {at}): {why}")]
    Header { what: &'static str, at: u64, why: String },
    /// Table of arenas that contradicts itself or the partition.
    #[error("Bad table of arenas (byte {at}): {why}")]
    Table { at: u64, why: String },
    /// Failure to read the partition.
    #[error("Cannot read the partition")]
    Io(#[from] io::Error),
}

impl OpenError {
    /// Kind of this error, the same for all formats.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown => ErrorKind::NotThisFormat,
            Self::Header { .. } | Self::Table { .. } => ErrorKind::Damaged,
            Self::Io(_) => ErrorKind::Io,
        }
    }
}

/// An opened partition.
pub struct Venti {
    pub(super) dev: Arc<dyn ReadAt>,
    pub(super) part: Part,
}

pub(super) enum Part {
    Arenas(Arenas),
    Section(Section),
    Bloom(BloomHead),
}

/// A partition of arenas.
pub(super) struct Arenas {
    pub head: ArenasHead,
    pub arenas: Vec<Range>,
}

/// An index section.
pub(super) struct Section {
    pub head: SectionHead,
    /// The index's table, or what is wrong with it.
    pub index: Result<Index, String>,
}

/// Opens a partition of a venti; reads its header and table only.
///
/// # Errors
/// Fails when the bytes are no such partition, are damaged, or cannot be read.
pub fn open(dev: Arc<dyn ReadAt>) -> Result<Venti, OpenError> {
    let header = |what, at| move |why| OpenError::Header { what, at, why };
    let magic = |at: u64| -> io::Result<u32> {
        let mut b = [0; 4];
        if at.saturating_add(4) <= dev.len() {
            dev.read_at(at, &mut b)?;
        }
        Ok(u32::from_be_bytes(b))
    };
    let mut b = [0; HEAD_LEN];
    if dev.len() >= BLANK + HEAD_LEN as u64 {
        dev.read_at(BLANK, &mut b)?;
        match magic(BLANK)? {
            ARENAS_MAGIC => {
                let head = ArenasHead::parse(&b).map_err(header("a partition of arenas", BLANK))?;
                let part = Part::Arenas(Arenas::open(&*dev, head)?);
                return Ok(Venti { dev, part });
            }
            SECTION_MAGIC => {
                let head = SectionHead::parse(&b).map_err(header("an index section", BLANK))?;
                let text = table::read(&*dev, table_at(head.block), head.base.into())?;
                let part = Part::Section(Section { head, index: Index::parse(&text) });
                return Ok(Venti { dev, part });
            }
            _ => {}
        }
    }
    if magic(0)? == BLOOM_MAGIC {
        dev.read_at(0, &mut b[..BloomHead::LEN])?;
        let head = BloomHead::parse(&b, dev.len()).map_err(header("a bloom filter", 0))?;
        return Ok(Venti { dev, part: Part::Bloom(head) });
    }
    // The header's magic may be what is damaged.
    let lost =
        |what| OpenError::Header { what, at: BLANK, why: "it has no magic, but the rest is a bloom filter".into() };
    if magic(base_at(BLOCK))? == ARENA_HEAD_MAGIC {
        return Err(lost("a partition of arenas"));
    }
    if Index::begins(&table::read(&*dev, table_at(BLOCK), table_at(BLOCK) + HEAD_LEN as u64)?) {
        return Err(lost("an index section"));
    }
    Err(OpenError::Unknown)
}

impl Arenas {
    fn open(dev: &dyn ReadAt, head: ArenasHead) -> Result<Self, OpenError> {
        let at = table_at(head.block);
        let wrong = |why| OpenError::Table { at, why };
        let text = table::read(dev, at, head.base.into())?;
        let arenas = Lines::new(&text).and_then(|mut l| l.ranges(head.base.into())).map_err(wrong)?;
        let end = dev.len() / u64::from(head.block) * u64::from(head.block);
        match arenas.last() {
            Some(a) if a.stop > end => {
                let why = format!("{} ends at byte {}, but the last whole block at {end}", a.name, a.stop);
                Err(wrong(why))
            }
            _ => Ok(Self { head, arenas }),
        }
    }
}

impl Venti {
    /// Kind of the partition.
    pub fn holds(&self) -> Kind {
        match &self.part {
            Part::Arenas(_) => Kind::Arenas,
            Part::Section(_) => Kind::Section,
            Part::Bloom(_) => Kind::Bloom,
        }
    }

    /// The configuration in the partition; `None` when it has none.
    ///
    /// # Errors
    /// Fails when the image cannot be read.
    pub fn config(&self) -> io::Result<Option<Vec<u8>>> {
        if self.holds() == Kind::Bloom {
            return Ok(None);
        }
        let mut text = vec![0; CONFIG_LEN];
        self.dev.read_at(CONFIG_AT, &mut text)?;
        let Some(text) = text.strip_prefix(b"venti config\n") else { return Ok(None) };
        Ok(Some(text.iter().copied().take_while(|b| *b != 0).collect()))
    }

    /// The header of a bloom filter.
    pub(super) fn bloom(&self) -> Option<&BloomHead> {
        match &self.part {
            Part::Bloom(head) => Some(head),
            _ => None,
        }
    }

    /// One of the files: an arena, or the table of the index.
    fn file(&self, i: usize) -> io::Result<Node> {
        let (name, len, times) = match &self.part {
            Part::Arenas(a) => {
                let Some(range) = a.arenas.get(i) else { return Err(io::ErrorKind::NotFound.into()) };
                let written = tail(&*self.dev, &a.head, range)?.map_or(0, |t| t.written);
                (range.name.clone().into_bytes(), range.stop - range.start, written)
            }
            Part::Section(s) => (b"index".to_vec(), self.table(s)?.len() as u64, 0),
            Part::Bloom(_) => return Err(io::ErrorKind::NotFound.into()),
        };
        let meta = Meta::new(Mode::file(0o444), "sys", "sys", times);
        Ok(Node { name, meta, len, qid: None, handle: [i as u64 + 1, 0, 0, 0] })
    }

    fn table(&self, s: &Section) -> io::Result<Vec<u8>> {
        table::read(&*self.dev, table_at(s.head.block), s.head.base.into())
    }
}

/// The last block of an arena, or what is wrong with it.
pub(super) fn tail(dev: &dyn ReadAt, head: &ArenasHead, arena: &Range) -> io::Result<Result<ArenaTail, String>> {
    let block = u64::from(head.block);
    if arena.stop - arena.start < 3 * block {
        return Ok(Err(format!("it has {}, less than three blocks", count::of(arena.stop - arena.start, "byte"))));
    }
    let mut b = vec![0; HEAD_LEN];
    dev.read_at(arena.stop - block, &mut b)?;
    Ok(ArenaTail::parse(&b))
}

/// The first block of an arena, or what is wrong with it.
pub(super) fn head(dev: &dyn ReadAt, arena: &Range) -> io::Result<Result<ArenaHead, String>> {
    let mut b = vec![0; HEAD_LEN];
    dev.read_at(arena.start, &mut b)?;
    Ok(ArenaHead::parse(&b))
}

impl FileSystem for Venti {
    fn kind(&self) -> &'static str {
        match self.holds() {
            Kind::Arenas => "venti arenas",
            Kind::Section => "venti index section",
            Kind::Bloom => "venti bloom filter",
        }
    }

    fn root(&self) -> io::Result<Node> {
        let meta = Meta::new(Mode::dir(0o555), "sys", "sys", 0);
        Ok(Node { name: Vec::new(), meta, len: 0, qid: None, handle: [0; 4] })
    }

    fn children(&self, dir: &Node) -> io::Result<Vec<Node>> {
        if dir.handle[0] != 0 {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let n = match &self.part {
            Part::Arenas(a) => a.arenas.len(),
            Part::Section(_) => 1,
            Part::Bloom(_) => 0,
        };
        let mut out = (0..n).map(|i| self.file(i)).collect::<io::Result<Vec<_>>>()?;
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn read(&self, file: &Node, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let Some(i) = file.handle[0].checked_sub(1) else { return Err(io::ErrorKind::IsADirectory.into()) };
        match &self.part {
            Part::Arenas(a) => {
                let Some(range) = a.arenas.get(i as usize) else { return Err(io::ErrorKind::NotFound.into()) };
                let n = (range.stop - range.start).saturating_sub(offset).min(buf.len() as u64) as usize;
                if n > 0 {
                    self.dev.read_at(range.start + offset, &mut buf[..n])?;
                }
                Ok(n)
            }
            Part::Section(s) => {
                let text = self.table(s)?;
                let rest = &text[usize::try_from(offset).unwrap_or(usize::MAX).min(text.len())..];
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                Ok(n)
            }
            Part::Bloom(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn verifies_contents(&self) -> bool {
        true
    }

    fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        match &self.part {
            Part::Arenas(a) => arena::arenas(&*self.dev, a, report),
            Part::Section(s) => section::section(&*self.dev, s, report),
            // Its header was checked to open it; which bits must be set,
            // only the arenas know.
            Part::Bloom(_) => Ok(()),
        }
    }

    fn dump(&self, out: &mut dyn io::Write) -> io::Result<()> {
        dump::dump(self, out)
    }
}
