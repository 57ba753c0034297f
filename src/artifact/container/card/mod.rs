//! Images of cards, each alone in a compressed file: what Raspberry Pi Imager,
//! balenaEtcher and `p9img flash` take.
//!
//! The compressor sees the disk from front to back, holes as zeros, so memory
//! does not grow with the disk and no image lies on this machine in between. It
//! works on blocks of one size, each by itself, on several threads: their number
//! does not change a byte.

mod blocks;
mod zip;

use crate::artifact::cluster::CLUSTER;
use crate::artifact::codec::ZSTD_LEVEL;
use crate::artifact::container::sink::{Cluster, Sink};
use crate::artifact::container::writer::{Writer, no_parts};
use crate::artifact::error::Error;
use crate::artifact::job::Image;
use crate::artifact::output::file::Output;
use crate::hex::hex;
use crate::lab::Format;
use blocks::{BLOCK, Blocks};
use liblzma::stream::{Check, Filters, LzmaOptions, MtStreamBuilder, Stream};
use liblzma::write::XzEncoder;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::num::NonZeroUsize;
use zip::Zip;

/// Preset of xz: its own default, but with a dictionary of half the size, so that
/// four threads take as much memory as two.
const XZ_LEVEL: u32 = 6;
const XZ_DICTIONARY: u32 = 4 << 20;
/// Bytes that a thread of xz compresses by itself, and the most threads.
const XZ_BLOCK: u64 = 8 << 20;
const XZ_THREADS: u32 = 4;

/// Writer of a card's image in a zip archive.
pub(in crate::artifact) const ZIP: Writer = Writer {
    format: Format::Sd,
    method: None,
    parts: |job, settings| vec![settings.epoch.to_le_bytes().to_vec(), job.node.name.clone().into_bytes()],
    open: |output, job, settings, _| {
        let (len, node) = (job.disk.len(), &job.node.name);
        Ok(Box::new(CardSink::zip(output, len, settings.jobs, node, settings.epoch)?))
    },
};

/// Writer of a card's image under xz.
pub(in crate::artifact) const XZ: Writer = Writer {
    format: Format::SdXz,
    method: None,
    parts: no_parts,
    open: |output, job, settings, _| Ok(Box::new(CardSink::xz(output, job.disk.len(), settings.jobs)?)),
};

/// Writer of a card's image under zstd.
pub(in crate::artifact) const ZST: Writer = Writer {
    format: Format::SdZst,
    method: None,
    parts: no_parts,
    open: |output, job, settings, _| Ok(Box::new(CardSink::zstd(output, job.disk.len(), settings.jobs)?)),
};

fn xz_stream(threads: u32) -> Result<Stream, liblzma::stream::Error> {
    let mut options = LzmaOptions::new_preset(XZ_LEVEL)?;
    options.dict_size(XZ_DICTIONARY);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    MtStreamBuilder::new().threads(threads).block_size(XZ_BLOCK).filters(filters).check(Check::Crc64).encoder()
}

/// Compressor of blocks into zstd frames.
fn zstd_packer() -> io::Result<blocks::Pack> {
    let mut zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    Ok(Box::new(move |block| zstd.compress(block)))
}

enum Encoder {
    Zip(Blocks, Zip),
    Xz(XzEncoder<Vec<u8>>),
    Zstd(Blocks),
}

impl Encoder {
    /// Takes the next bytes of the image, a whole block except at its end.
    fn write(&mut self, block: Vec<u8>, file: &mut BufWriter<File>) -> io::Result<()> {
        match self {
            Self::Zip(blocks, zip) => {
                zip.add(&block);
                blocks.push(block, &mut |packed| zip.packed(packed, file))
            }
            Self::Zstd(blocks) => blocks.push(block, &mut |packed| file.write_all(packed)),
            Self::Xz(encoder) => {
                encoder.write_all(&block)?;
                file.write_all(encoder.get_ref())?;
                encoder.get_mut().clear();
                Ok(())
            }
        }
    }

    fn finish(self, output: &Output, file: &mut BufWriter<File>) -> io::Result<()> {
        match self {
            Self::Zip(blocks, mut zip) => {
                blocks.finish(&mut |packed| zip.packed(packed, file))?;
                let end = zip.end();
                file.write_all(&end)?;
                file.flush()?;
                // What was not known at the start.
                output.write(0, &zip.start()).map_err(io::Error::other)?;
                zip.check(BufReader::new(file.get_ref()))
            }
            Self::Zstd(blocks) => blocks.finish(&mut |packed| file.write_all(packed)),
            Self::Xz(encoder) => file.write_all(&encoder.finish()?),
        }?;
        file.flush()
    }
}

pub struct CardSink {
    output: Output,
    file: BufWriter<File>,
    /// Until the end.
    encoder: Option<Encoder>,
    len: u64,
    /// Bytes of the disk that went in, with those in `block`.
    at: u64,
    /// The block being filled.
    block: Vec<u8>,
    data: u64,
    hash: Sha256,
    image: Option<Image>,
}

impl CardSink {
    /// A zip archive with the one file `NODE.img`; `epoch` is its time.
    pub fn zip(output: Output, len: u64, threads: NonZeroUsize, node: &str, epoch: u32) -> Result<Self, Error> {
        let zip = Zip::new(&format!("{node}.img"), len, epoch);
        let mut file = BufWriter::new(output.stream()?);
        file.write_all(&zip.start()).map_err(|e| output.error(e))?;
        let blocks = Blocks::new(threads, zip::packer);
        Ok(Self::new(output, len, file, Encoder::Zip(blocks, zip)))
    }

    /// One stream of xz, of many blocks.
    pub fn xz(output: Output, len: u64, threads: NonZeroUsize) -> Result<Self, Error> {
        let threads = u32::try_from(threads.get()).unwrap_or(XZ_THREADS).min(XZ_THREADS);
        let stream = xz_stream(threads).map_err(|e| output.error(e.into()))?;
        let file = BufWriter::new(output.stream()?);
        Ok(Self::new(output, len, file, Encoder::Xz(XzEncoder::new_stream(Vec::new(), stream))))
    }

    /// A frame of zstd for each block.
    pub fn zstd(output: Output, len: u64, threads: NonZeroUsize) -> Result<Self, Error> {
        let file = BufWriter::new(output.stream()?);
        Ok(Self::new(output, len, file, Encoder::Zstd(Blocks::new(threads, zstd_packer))))
    }

    fn new(output: Output, len: u64, file: BufWriter<File>, encoder: Encoder) -> Self {
        let (encoder, block) = (Some(encoder), Vec::with_capacity(BLOCK));
        Self { output, file, encoder, len, at: 0, block, data: 0, hash: Sha256::new(), image: None }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            self.filled(now.len())?;
            bytes = later;
        }
        Ok(())
    }

    /// Zeros up to byte `end` of the disk.
    fn skip_to(&mut self, end: u64) -> Result<(), Error> {
        while self.at < end {
            let n = (end - self.at).min((BLOCK - self.block.len()) as u64) as usize;
            self.block.resize(self.block.len() + n, 0);
            self.filled(n)?;
        }
        Ok(())
    }

    /// `n` more bytes are in the block, which goes on its way when it is full.
    fn filled(&mut self, n: usize) -> Result<(), Error> {
        self.at += n as u64;
        if self.block.len() < BLOCK && self.at < self.len {
            return Ok(());
        }
        self.output.go_on()?;
        self.hash.update(&self.block);
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        match &mut self.encoder {
            Some(encoder) => encoder.write(block, &mut self.file).map_err(|e| self.output.error(e)),
            None => Ok(()),
        }
    }
}

impl Sink for CardSink {
    fn cluster(&mut self, cluster: &Cluster<'_>) -> Result<Option<u64>, Error> {
        let at = cluster.index * CLUSTER as u64;
        self.skip_to(at)?;
        let bytes = &cluster.bytes[..(self.len - at).min(CLUSTER as u64) as usize];
        self.data += bytes.len() as u64;
        self.write(bytes)?;
        Ok(None)
    }

    fn finish(&mut self, _content: [u8; 32]) -> Result<(), Error> {
        self.skip_to(self.len)?;
        if let Some(encoder) = self.encoder.take() {
            encoder.finish(&self.output, &mut self.file).map_err(|e| self.output.error(e))?;
        }
        self.image = Some(Image { len: self.len, sha256: hex(&std::mem::take(&mut self.hash).finalize()) });
        Ok(())
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

    fn image(&self) -> Option<Image> {
        self.image.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::codec::Packed;
    use crate::artifact::output::folder::{Folder, Wait};
    use std::sync::Arc;

    /// Clusters of an image, by number.
    fn clusters() -> Vec<(u64, Vec<u8>)> {
        let cluster = |seed: u32| (0..CLUSTER as u32).map(|i| (i.wrapping_mul(i / 7 + seed) >> 9) as u8).collect();
        (0..60).chain([200, 201, 500, 799]).map(|i| (i, cluster(i as u32))).collect()
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_byte() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        let len = 800 * CLUSTER as u64 - 512;
        let mut image = vec![0; 800 * CLUSTER];
        for (i, bytes) in clusters() {
            image[i as usize * CLUSTER..][..CLUSTER].copy_from_slice(&bytes);
        }
        image.truncate(len as usize);
        for format in [Format::Sd, Format::SdXz, Format::SdZst] {
            let made = [1, 2, 16].map(|threads| {
                let threads = NonZeroUsize::new(threads).unwrap();
                let output = Output::new(folder.create("n").unwrap(), Arc::default()).unwrap();
                let card = match format {
                    Format::Sd => CardSink::zip(output, len, threads, "n", 0),
                    Format::SdXz => CardSink::xz(output, len, threads),
                    _ => CardSink::zstd(output, len, threads),
                };
                let mut card = card.unwrap();
                for (index, bytes) in &clusters() {
                    card.cluster(&Cluster { index: *index, bytes, packed: &Packed::Incompressible }).unwrap();
                }
                card.finish([0; 32]).unwrap();
                assert_eq!(card.image().unwrap().sha256, hex(&Sha256::digest(&image)));
                let mut bytes = vec![0; card.file().len().unwrap() as usize];
                card.file().read(0, &mut bytes).unwrap();
                bytes
            });
            assert!(made[0] == made[1] && made[1] == made[2], "{format:?}");
            let file = Arc::new(made[0].clone());
            let disk = crate::artifact::from(file).unwrap();
            let mut found = vec![0; image.len()];
            disk.read_at(0, &mut found).unwrap();
            assert!(disk.len() == len && found == image, "{format:?}");
        }
    }
}
