//! Images of cards, each alone in a compressed file: what Raspberry Pi Imager,
//! balenaEtcher and `p9img flash` take.
//!
//! The compressor sees the disk from front to back, holes as zeros, so memory
//! does not grow with the disk and no image lies on this machine in between.
//! Libraries are those of the other formats, whose output does not depend on
//! the processor.

use crate::artifact::cluster::CLUSTER;
use crate::artifact::codec::{DEFLATE_LEVEL, ZSTD_LEVEL};
use crate::artifact::container::sink::{Cluster, Sink};
use crate::artifact::container::writer::{Writer, no_parts};
use crate::artifact::error::Error;
use crate::artifact::job::Image;
use crate::artifact::output::file::Output;
use crate::hex::hex;
use crate::lab::Format;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use time::OffsetDateTime;
use zip::write::SimpleFileOptions;

/// Preset of xz: its own default.
const XZ_LEVEL: u32 = 6;
/// Bytes from which on lengths in a zip archive need 64 bits.
const ZIP64: u64 = u32::MAX as u64;
/// Zeros that are written at a time.
const ZEROS: usize = 1 << 20;

/// Writer of a card's image in a zip archive.
pub(in crate::artifact) const ZIP: Writer = Writer {
    format: Format::Sd,
    method: None,
    parts: |job, settings| vec![settings.epoch.to_le_bytes().to_vec(), job.node.name.clone().into_bytes()],
    open: |output, job, settings, _| {
        Ok(Box::new(CardSink::zip(output, job.disk.len(), &job.node.name, settings.epoch)?))
    },
};

/// Writer of a card's image under xz.
pub(in crate::artifact) const XZ: Writer = Writer {
    format: Format::SdXz,
    method: None,
    parts: no_parts,
    open: |output, job, _, _| Ok(Box::new(CardSink::xz(output, job.disk.len())?)),
};

/// Writer of a card's image under zstd.
pub(in crate::artifact) const ZST: Writer = Writer {
    format: Format::SdZst,
    method: None,
    parts: no_parts,
    open: |output, job, _, _| Ok(Box::new(CardSink::zstd(output, job.disk.len())?)),
};

enum Encoder {
    Zip(Box<zip::ZipWriter<BufWriter<File>>>),
    Xz(liblzma::write::XzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Zip(w) => w.write_all(bytes),
            Self::Xz(w) => w.write_all(bytes),
            Self::Zstd(w) => w.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        let mut file = match self {
            Self::Zip(w) => w.finish().map_err(io::Error::other)?,
            Self::Xz(w) => w.finish()?,
            Self::Zstd(w) => w.finish()?,
        };
        file.flush()
    }
}

pub struct CardSink {
    output: Output,
    /// Until the end.
    encoder: Option<Encoder>,
    len: u64,
    /// Bytes of the disk that went in.
    at: u64,
    data: u64,
    hash: Sha256,
    image: Option<Image>,
    zeros: Vec<u8>,
}

impl CardSink {
    /// A zip archive with the one file `NODE.img`; `epoch` is its time.
    pub fn zip(output: Output, len: u64, node: &str, epoch: u32) -> Result<Self, Error> {
        let mut writer = zip::ZipWriter::new(BufWriter::new(output.stream()?));
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .compression_level(Some(i64::from(DEFLATE_LEVEL)))
            .last_modified_time(dos_time(epoch))
            .unix_permissions(0o644)
            .large_file(len >= ZIP64);
        writer.start_file(format!("{node}.img"), options).map_err(|e| output.error(io::Error::other(e)))?;
        Ok(Self::new(output, len, Encoder::Zip(Box::new(writer))))
    }

    pub fn xz(output: Output, len: u64) -> Result<Self, Error> {
        let encoder = liblzma::write::XzEncoder::new(BufWriter::new(output.stream()?), XZ_LEVEL);
        Ok(Self::new(output, len, Encoder::Xz(encoder)))
    }

    pub fn zstd(output: Output, len: u64) -> Result<Self, Error> {
        let writer = BufWriter::new(output.stream()?);
        let encoder = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL).map_err(|e| output.error(e))?;
        Ok(Self::new(output, len, Encoder::Zstd(encoder)))
    }

    fn new(output: Output, len: u64, encoder: Encoder) -> Self {
        let zeros = vec![0; ZEROS];
        Self { output, encoder: Some(encoder), len, at: 0, data: 0, hash: Sha256::new(), image: None, zeros }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        match &mut self.encoder {
            Some(encoder) => encoder.write(bytes).map_err(|e| self.output.error(e)),
            None => Ok(()),
        }
    }

    /// Zeros up to byte `end` of the disk.
    fn skip_to(&mut self, end: u64) -> Result<(), Error> {
        let zeros = std::mem::take(&mut self.zeros);
        while self.at < end {
            self.output.go_on()?;
            let n = (end - self.at).min(ZEROS as u64) as usize;
            self.write(&zeros[..n])?;
        }
        self.zeros = zeros;
        Ok(())
    }
}

/// The archive's time; it counts from 1980 and, so, never fails for a lab.
fn dos_time(epoch: u32) -> zip::DateTime {
    let t = OffsetDateTime::from_unix_timestamp(epoch.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let year = u16::try_from(t.year()).unwrap_or(0);
    zip::DateTime::from_date_and_time(year, t.month().into(), t.day(), t.hour(), t.minute(), t.second())
        .unwrap_or_default()
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
            encoder.finish().map_err(|e| self.output.error(e))?;
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
