//! Writes a streamOptimized VMDK in one pass over the disk's clusters.
//!
//! ```text
//! header | descriptor | grains … table | grains … table | directory | footer | end
//! ```
//!
//! A grain table follows the grains of its 32 MiB of the disk, as in VMware's
//! own streams; tables without grains are left out. The header cannot know
//! where the directory is, so it points to the end, and the footer, a copy of
//! the header, knows. A reader of the stream needs no seek.

use super::descriptor::Descriptor;
use super::format::{
    FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEWLINES, GD_AT_END, GRAIN, GRAIN_MARKER, Header, MARKER_DIRECTORY, MARKER_END,
    MARKER_FOOTER, MARKER_TABLE, TABLE_ENTRIES, marker,
};
use crate::artifact::cluster::round_up;
use crate::artifact::codec::{Packed, store_zlib, wrap_zlib};
use crate::artifact::container::sink::Cluster;
use crate::artifact::error::Error;
use crate::artifact::output::digest::Running;
use crate::artifact::output::file::Output;
use crate::lab::Controller;
use crate::read_at::SECTOR;

/// Sectors reserved for the descriptor.
const DESCRIPTOR_SECTORS: u64 = 20;
/// Sector of the first grain, as in VMware's streams.
const OVERHEAD: u64 = 128;
/// Bytes of a grain table.
const TABLE_BYTES: u64 = TABLE_ENTRIES as u64 * 4;
/// Bytes that table entries, 32-bit sector numbers, can address.
const MOST_FILE: u64 = (1 << 32) * SECTOR;

/// A VMDK being written at some offset of a file.
pub struct VmdkWriter {
    /// File offset of the VMDK's first byte.
    base: u64,
    /// Name of the VMDK.
    name: String,
    controller: Controller,
    /// Length of the disk, sectors.
    capacity: u64,
    /// Bytes written so far, a whole number of sectors.
    len: u64,
    /// Sector of each table, 0 for none.
    directory: Vec<u32>,
    /// The table being filled: its index, its entries.
    table: Option<(usize, Vec<u32>)>,
    buffer: Vec<u8>,
    data: u64,
    grains: u64,
    /// Digest of all bytes up to here, for the disk's content that was
    /// announced.
    hash: Option<([u8; 32], Running)>,
}

impl VmdkWriter {
    /// A writer for a disk of `size` bytes, a whole number of sectors.
    /// `content` is the digest that [`VmdkWriter::finish`] is to get, if it was
    /// computed before: then the file is digested while it is written.
    pub fn new(
        output: &Output,
        base: u64,
        name: &str,
        size: u64,
        controller: Controller,
        content: Option<[u8; 32]>,
    ) -> Result<Self, Error> {
        let mut writer = Self {
            base,
            name: name.to_owned(),
            controller,
            capacity: size / SECTOR,
            len: OVERHEAD * SECTOR,
            directory: Vec::new(),
            table: None,
            buffer: Vec::new(),
            data: 0,
            grains: 0,
            hash: None,
        };
        let tables = writer.header(GD_AT_END).tables();
        let limit = u64::from(u32::MAX) * TABLE_BYTES;
        if tables * TABLE_BYTES >= limit {
            return Err(Error::TooLarge { path: output.target().to_owned(), format: "VMDK", found: size, limit });
        }
        writer.directory = vec![0; tables as usize];
        if let Some(content) = content {
            let hash = Running::new();
            hash.update(writer.start(content));
            writer.hash = Some((content, hash));
        }
        Ok(writer)
    }

    /// Bytes before the first grain.
    fn start(&self, content: [u8; 32]) -> Vec<u8> {
        let descriptor = Descriptor { file: &self.name, capacity: self.capacity, controller: self.controller, content };
        let mut start = self.header(GD_AT_END).encode().to_vec();
        start.extend_from_slice(descriptor.text().as_bytes());
        debug_assert!(start.len() as u64 <= (1 + DESCRIPTOR_SECTORS) * SECTOR);
        start.resize((OVERHEAD * SECTOR) as usize, 0);
        start
    }

    fn header(&self, gd_offset: u64) -> Header {
        Header {
            version: 3,
            flags: FLAG_NEWLINES | FLAG_COMPRESSED | FLAG_MARKERS,
            capacity: self.capacity,
            grain: GRAIN,
            descriptor_offset: 1,
            descriptor_size: DESCRIPTOR_SECTORS,
            table_entries: TABLE_ENTRIES,
            gd_offset,
            overhead: OVERHEAD,
        }
    }

    /// Writes whole sectors at the end; returns the sector they begin at.
    fn append(&mut self, output: &Output, bytes: &[u8]) -> Result<u32, Error> {
        let at = self.len;
        self.len += bytes.len() as u64;
        if self.len > MOST_FILE {
            let path = output.target().to_owned();
            return Err(Error::TooLarge { path, format: "VMDK", found: self.len, limit: MOST_FILE });
        }
        output.write(self.base + at, bytes)?;
        if let Some((_, hash)) = &self.hash {
            hash.update(bytes.to_vec());
        }
        Ok((at / SECTOR) as u32)
    }

    /// Writes a marker and what it announces; returns the sector of the latter.
    fn append_marked(&mut self, output: &Output, kind: u32, mut bytes: Vec<u8>) -> Result<u32, Error> {
        bytes.resize(round_up(bytes.len() as u64, SECTOR) as usize, 0);
        let sectors = bytes.len() as u64 / SECTOR;
        self.append(output, &marker(kind, sectors))?;
        self.append(output, &bytes)
    }

    fn flush_table(&mut self, output: &Output) -> Result<(), Error> {
        if let Some((index, entries)) = self.table.take() {
            self.directory[index] = self.append_marked(output, MARKER_TABLE, le32(&entries))?;
        }
        Ok(())
    }

    /// Writes one grain; returns the file offset of its deflate stream.
    pub fn cluster(&mut self, output: &Output, cluster: &Cluster<'_>) -> Result<Option<u64>, Error> {
        let index = (cluster.index / u64::from(TABLE_ENTRIES)) as usize;
        if self.table.as_ref().is_some_and(|(i, _)| *i != index) {
            self.flush_table(output)?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&(cluster.index * GRAIN).to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        let shareable = match cluster.packed {
            Packed::Deflate { stream, adler32 } => {
                wrap_zlib(stream, *adler32, &mut buffer);
                true
            }
            Packed::Zstd { .. } | Packed::Incompressible => {
                store_zlib(cluster.bytes, &mut buffer);
                false
            }
        };
        let stream_len = (buffer.len() as u64 - GRAIN_MARKER) as u32;
        buffer[8..12].copy_from_slice(&stream_len.to_le_bytes());
        buffer.resize(round_up(buffer.len() as u64, SECTOR) as usize, 0);
        let sector = self.append(output, &buffer)?;
        self.buffer = buffer;
        self.data += u64::from(stream_len);
        self.grains += 1;
        let (_, entries) = self.table.get_or_insert_with(|| (index, vec![0; TABLE_ENTRIES as usize]));
        entries[(cluster.index % u64::from(TABLE_ENTRIES)) as usize] = sector;
        // After the marker and the two bytes of the zlib header.
        Ok(shareable.then_some(self.base + u64::from(sector) * SECTOR + GRAIN_MARKER + 2))
    }

    /// Writes tables, footer, header and descriptor. Returns the VMDK's length
    /// and, where `content` is what was announced, its SHA-256.
    pub fn finish(&mut self, output: &Output, content: [u8; 32]) -> Result<(u64, Option<[u8; 32]>), Error> {
        self.flush_table(output)?;
        let directory = le32(&self.directory);
        let gd = self.append_marked(output, MARKER_DIRECTORY, directory)?;
        let footer = self.header(u64::from(gd)).encode().to_vec();
        self.append_marked(output, MARKER_FOOTER, footer)?;
        self.append(output, &marker(MARKER_END, 0))?;

        output.write(self.base, &self.start(content))?;
        let sha256 = self.hash.take().filter(|(announced, _)| *announced == content).map(|(_, hash)| hash.finish());
        Ok((self.len, sha256))
    }

    /// Bytes of compressed grains.
    pub fn data_bytes(&self) -> u64 {
        self.data
    }

    /// Bytes of the disk that grains hold.
    pub fn populated(&self) -> u64 {
        (self.grains * GRAIN).min(self.capacity) * SECTOR
    }
}

fn le32(entries: &[u32]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::output::folder::{Folder, Wait};
    use sha2::{Digest as _, Sha256};

    #[test]
    fn a_digest_on_the_way_is_the_files_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path(), Wait::No).unwrap();
        let mut all = Vec::new();
        for announced in [None, Some([7; 32]), Some([8; 32])] {
            let output = Output::new(folder.create("a.vmdk").unwrap(), std::sync::Arc::default()).unwrap();
            let size = 70 << 20;
            let mut vmdk = VmdkWriter::new(&output, 512, "a.vmdk", size, Controller::Ide, announced).unwrap();
            for index in [0, 1, 600] {
                let packed = Packed::Deflate { stream: vec![index as u8; 9000], adler32: 1 };
                vmdk.cluster(&output, &Cluster { index, bytes: &[], packed: &packed }).unwrap();
            }
            let (len, sha256) = vmdk.finish(&output, [7; 32]).unwrap();
            let mut bytes = vec![0; len as usize];
            output.read(512, &mut bytes).unwrap();
            let expected: [u8; 32] = Sha256::digest(&bytes).into();
            assert_eq!(sha256, (announced == Some([7; 32])).then_some(expected));
            all.push(expected);
        }
        assert!(all[0] == all[1] && all[1] == all[2]);
    }
}
