//! Writes a qcow2 image in one pass over the disk's clusters.
//!
//! ```text
//! header | compressed clusters, packed byte by byte … L2 table … | L1 | refcounts
//! ```
//!
//! Clusters arrive in ascending order, so an L2 table is complete, and
//! written, when the first cluster after its range arrives: memory does not
//! grow with the disk. An incompressible cluster and an L2 table need a whole
//! cluster of the file; the room skipped to reach the next boundary goes into a
//! short list of gaps, which later streams fill.
//!
//! In an image over a base, a cluster that is not written is the base's. One that is all zeros,
//! but not in the base, is marked as such in its table.

use super::format::{COPIED, Compression, HEADER_LEN, Header, MOST_L1, ZERO, backing_format, be64, compressed_entry};
use crate::artifact::cluster::{CLUSTER, round_up};
use crate::artifact::codec::{Method, Packed};
use crate::artifact::container::sink::{Cluster, Sink};
use crate::artifact::container::writer::{Writer, no_parts};
use crate::artifact::error::Error;
use crate::artifact::job::Job;
use crate::artifact::layer::Layer;
use crate::artifact::output::file::Output;
use crate::lab::Format;

const BITS: u32 = CLUSTER.trailing_zeros();
const SIZE: u64 = CLUSTER as u64;
/// Entries of an L2 table; also how many clusters one L1 entry covers.
const L2_ENTRIES: u64 = SIZE / 8;
/// Refcounts of 16 bits in one refcount block.
const REFCOUNTS: u64 = SIZE / 2;
/// Gaps remembered for later streams.
const GAPS: usize = 16;
/// Lowest file offset that an entry for a compressed cluster cannot hold.
const MOST_FILE: u64 = 1 << (62 - (BITS - 8));

/// Writer of qcow2 with zstd clusters.
pub(in crate::artifact) const ZSTD: Writer = Writer {
    format: Format::Qcow2,
    method: Some(Method::Zstd),
    parts: no_parts,
    open: |output, job, _, _| Ok(Box::new(Qcow2Sink::new(output, job, Compression::Zstd)?)),
};

/// Writer of qcow2 with zlib clusters.
pub(in crate::artifact) const ZLIB: Writer = Writer {
    format: Format::Qcow2Zlib,
    method: Some(Method::Deflate4k),
    open: |output, job, _, _| Ok(Box::new(Qcow2Sink::new(output, job, Compression::Zlib)?)),
    ..ZSTD
};

pub struct Qcow2Sink {
    output: Output,
    size: u64,
    compression: Compression,
    l1: Vec<u64>,
    /// The L2 table being filled: its index in `l1`, its entries.
    l2: Option<(usize, Vec<u64>)>,
    /// Name of the base, if the image is over one.
    base: Option<String>,
    /// Clusters that the base has with other bytes, the last first, as far as no table has them yet.
    replaced: Vec<u64>,
    /// Offset of the next stream unless it fits into a gap.
    end: u64,
    /// Unused `start..end` in the file.
    gaps: Vec<(u64, u64)>,
    /// Uses of each cluster of the file.
    refcounts: Vec<u16>,
    data: u64,
}

impl Qcow2Sink {
    /// A writer for the disk of a job.
    pub fn new(output: Output, job: &Job, compression: Compression) -> Result<Self, Error> {
        let size = job.disk.len();
        let l1 = size.div_ceil(SIZE * L2_ENTRIES);
        if l1 > MOST_L1 / 8 {
            let limit = MOST_L1 / 8 * L2_ENTRIES * SIZE;
            return Err(Error::TooLarge { path: output.target().to_owned(), format: "qcow2", found: size, limit });
        }
        let (base, mut replaced) = match &job.layer {
            Layer::Over(over) => (Some(over.base.clone()), over.replaced.clone()),
            Layer::Whole | Layer::Base(_) => (None, Vec::new()),
        };
        replaced.reverse();
        let mut sink = Self {
            output,
            base,
            replaced,
            size,
            compression,
            l1: vec![0; l1.max(1) as usize],
            l2: None,
            end: 0,
            gaps: Vec::new(),
            refcounts: Vec::new(),
            data: 0,
        };
        let header = sink.whole_clusters(1);
        debug_assert_eq!(header, 0);
        Ok(sink)
    }

    /// Counts one more use of each cluster that `offset..offset + len` touches.
    fn count(&mut self, offset: u64, len: u64) {
        let last = (offset + len - 1) / SIZE;
        if self.refcounts.len() as u64 <= last {
            self.refcounts.resize(last as usize + 1, 0);
        }
        for n in &mut self.refcounts[(offset / SIZE) as usize..=last as usize] {
            *n += 1; // a cluster has room for fewer than 65,536 streams
        }
    }

    /// Room for `n` clusters on a cluster boundary.
    fn whole_clusters(&mut self, n: u64) -> u64 {
        let at = round_up(self.end, SIZE);
        if at > self.end {
            if self.gaps.len() == GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push((self.end, at));
        }
        self.end = at + n * SIZE;
        self.count(at, n * SIZE);
        at
    }

    /// Room for `len` bytes anywhere.
    fn bytes(&mut self, len: u64) -> u64 {
        let at = match self.gaps.iter().position(|(start, end)| end - start >= len) {
            Some(i) => {
                let start = self.gaps[i].0;
                self.gaps[i].0 += len;
                start
            }
            None => {
                self.end += len;
                self.end - len
            }
        };
        self.count(at, len);
        at
    }

    fn flush_l2(&mut self) -> Result<(), Error> {
        if let Some((index, mut entries)) = self.l2.take() {
            while let Some(n) = self.replaced.pop_if(|n| (*n / L2_ENTRIES) as usize <= index) {
                let entry = &mut entries[(n % L2_ENTRIES) as usize];
                if *entry == 0 {
                    *entry = ZERO;
                }
            }
            let at = self.whole_clusters(1);
            self.output.write(at, &be64(&entries))?;
            self.l1[index] = COPIED | at;
        }
        Ok(())
    }

    /// Writes all tables before that of this index.
    fn go_on(&mut self, to: usize) -> Result<(), Error> {
        loop {
            if self.l2.as_ref().is_some_and(|(i, _)| *i != to) {
                self.flush_l2()?;
            }
            // A table of zeros alone, where the base has something.
            let Some(index) = self.replaced.last().map(|n| (n / L2_ENTRIES) as usize).filter(|i| *i < to) else {
                return Ok(());
            };
            self.l2 = Some((index, vec![0; L2_ENTRIES as usize]));
        }
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { path: self.output.target().to_owned(), format: "qcow2", found: self.end, limit: MOST_FILE }
    }
}

impl Sink for Qcow2Sink {
    fn cluster(&mut self, cluster: &Cluster<'_>) -> Result<Option<u64>, Error> {
        let index = (cluster.index / L2_ENTRIES) as usize;
        self.go_on(index)?;
        let (entry, place) = match cluster.packed {
            Packed::Deflate { stream: bytes, .. } | Packed::Zstd { frame: bytes } => {
                let at = self.bytes(bytes.len() as u64);
                self.output.write(at, bytes)?;
                self.data += bytes.len() as u64;
                (compressed_entry(BITS, at, bytes.len() as u64), Some(at))
            }
            Packed::Incompressible => {
                let at = self.whole_clusters(1);
                self.output.write(at, cluster.bytes)?;
                self.data += SIZE;
                (COPIED | at, None)
            }
        };
        if self.end >= MOST_FILE {
            return Err(self.too_large());
        }
        let (_, entries) = self.l2.get_or_insert_with(|| (index, vec![0; L2_ENTRIES as usize]));
        entries[(cluster.index % L2_ENTRIES) as usize] = entry;
        Ok(place)
    }

    fn finish(&mut self, _content: [u8; 32]) -> Result<(), Error> {
        self.go_on(self.l1.len())?;
        let l1_offset = self.whole_clusters((self.l1.len() as u64 * 8).div_ceil(SIZE));
        self.output.write(l1_offset, &be64(&self.l1))?;

        // The refcounts count their own blocks and table too: grow both until
        // they cover the file that they are part of.
        let used = self.end.div_ceil(SIZE);
        let (mut blocks, mut tables) = (0, 0);
        loop {
            let total = used + blocks + tables;
            let next = (total.div_ceil(REFCOUNTS), (blocks * 8).div_ceil(SIZE).max(1));
            if next == (blocks, tables) {
                break;
            }
            (blocks, tables) = next;
        }
        let refcount_offset = self.whole_clusters(tables);
        let first_block = self.whole_clusters(blocks);
        let table: Vec<u64> = (0..blocks).map(|i| first_block + i * SIZE).collect();
        self.output.write(refcount_offset, &be64(&table))?;
        let counts: Vec<u8> = self.refcounts.iter().flat_map(|n| n.to_be_bytes()).collect();
        self.output.write(first_block, &counts)?;
        self.output.set_len(self.end)?;

        let header = Header {
            version: 3,
            cluster_bits: BITS,
            size: self.size,
            l1_size: self.l1.len() as u32,
            l1_offset,
            refcount_offset,
            refcount_clusters: tables as u32,
            compression: self.compression,
            backing: None,
        };
        // The first cluster has nothing but the header, and what follows it.
        let Some(base) = &self.base else {
            // The eight zeros after it end the (empty) list of header extensions.
            return self.output.write(0, &[&header.encode()[..], &[0; 8]].concat());
        };
        let extensions = backing_format("qcow2");
        let name = (HEADER_LEN + extensions.len()) as u64;
        let header = Header { backing: Some((name, base.len() as u32)), ..header };
        self.output.write(0, &[&header.encode()[..], &extensions, base.as_bytes()].concat())
    }

    fn file(&self) -> &Output {
        &self.output
    }

    fn into_output(self: Box<Self>) -> Output {
        self.output
    }

    fn data_bytes(&self) -> u64 {
        self.data
    }
}
