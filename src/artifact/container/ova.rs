//! OVA: the descriptor, the manifest and the VMDK in one ustar archive.
//!
//! The order is descriptor, manifest, disk, as the OVF specification (DSP0243)
//! wants it. Descriptor and manifest depend on the disk's length and digest,
//! so their room is reserved, the VMDK is written after it, and they
//! are filled in at the end: no byte is copied.

use crate::artifact::cluster::round_up;
use crate::artifact::codec::Method;
use crate::artifact::container::findings::Say;
use crate::artifact::container::ovf;
use crate::artifact::container::ovf::Disk;
use crate::artifact::container::reader::{Opened, Reader};
use crate::artifact::container::sink::{Cluster, Sink};
use crate::artifact::container::vmdk::Vmdk;
use crate::artifact::container::vmdk::write::VmdkWriter;
use crate::artifact::container::writer::Writer;
use crate::artifact::error::Error;
use crate::artifact::machine::Machine;
use crate::artifact::output::digest;
use crate::artifact::output::file::Output;
use crate::count;
use crate::hex::hex;
use crate::lab::Format;
use crate::read_at::{ReadAt, Window};
use std::io;
use std::sync::Arc;

/// Bytes of a tar block.
const BLOCK: u64 = 512;
/// Members looked at before giving up: an OVA has a handful.
const MOST_MEMBERS: usize = 1000;
/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;

pub(super) const READER: Reader = Reader {
    name: "OVA",
    of: "an OVA",
    matches,
    open: |file, _| {
        let disk = Arc::new(Vmdk::open(Arc::new(vmdk(file.clone())?))?);
        let check = {
            let disk = disk.clone();
            move |data: bool, say: Say<'_>| {
                disk.check(&mut *say)?;
                if data { check_manifest(&file, say) } else { Ok(()) }
            }
        };
        Ok(Opened { disk, check: Box::new(check) })
    },
};

/// Writer of OVAs.
pub(in crate::artifact) const WRITER: Writer = Writer {
    format: Format::Ova,
    method: Some(Method::Deflate),
    parts: |job, settings| {
        let machine = serde_json::to_string(&(&job.node, settings.epoch)).unwrap_or_default();
        vec![machine.into_bytes(), settings.ovf_template.clone().into_bytes()]
    },
    open: |output, job, settings, content| {
        let (size, template) = (job.disk.len(), &settings.ovf_template);
        Ok(Box::new(OvaSink::new(output, size, &job.node, template, settings.epoch, content)?))
    },
};

pub struct OvaSink {
    output: Output,
    vmdk: VmdkWriter,
    node: Machine,
    template: String,
    epoch: u32,
    /// Room for the descriptor, bytes.
    ovf_len: u64,
    disk: Disk,
    /// SHA-256 of the VMDK, if it was computed while the VMDK was written.
    sha256: Option<[u8; 32]>,
}

impl OvaSink {
    /// A writer for a disk of `size` bytes; `content` as for [`VmdkWriter::new`].
    pub fn new(
        output: Output,
        size: u64,
        node: &Machine,
        template: &str,
        epoch: u32,
        content: Option<[u8; 32]>,
    ) -> Result<Self, Error> {
        let vmdk_name = vmdk_name(node);
        // The longest that the descriptor can become: numbers of every digit.
        let widest = Disk { size, populated: u64::MAX, file_size: u64::MAX, content: [0; 32] };
        let ovf_len = ovf::render(template, node, &vmdk_name, &widest)?.len() as u64;
        let base = 3 * BLOCK + round_up(ovf_len, BLOCK) + round_up(manifest_len(node), BLOCK);
        let controller = Format::Ova.controller(node.controller);
        let vmdk = VmdkWriter::new(&output, base, &vmdk_name, size, controller, content)?;
        let disk = Disk { size, populated: 0, file_size: 0, content: [0; 32] };
        Ok(Self { output, vmdk, node: node.clone(), template: template.to_owned(), epoch, ovf_len, disk, sha256: None })
    }

    /// Writes a member's header at `at`; returns where its data begins.
    fn header(&self, at: u64, name: &str, len: u64) -> Result<u64, Error> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).map_err(|e| self.output.error(e))?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::from(self.epoch));
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(len);
        header.set_cksum();
        self.output.write(at, header.as_bytes())?;
        Ok(at + BLOCK)
    }
}

fn ovf_name(node: &Machine) -> String {
    format!("{}.ovf", node.name)
}

fn vmdk_name(node: &Machine) -> String {
    format!("{}-disk1.vmdk", node.name)
}

/// The manifest: no space before the parenthesis, one after the equals sign,
/// or importers refuse it.
fn manifest(node: &Machine, ovf: &[u8; 32], vmdk: &[u8; 32]) -> String {
    let line = |name: String, digest: &[u8]| format!("SHA256({name})= {}\n", hex(digest));
    line(ovf_name(node), ovf) + &line(vmdk_name(node), vmdk)
}

fn manifest_len(node: &Machine) -> u64 {
    manifest(node, &[0; 32], &[0; 32]).len() as u64
}

impl Sink for OvaSink {
    fn cluster(&mut self, cluster: &Cluster<'_>) -> Result<Option<u64>, Error> {
        self.vmdk.cluster(&self.output, cluster)
    }

    fn finish(&mut self, content: [u8; 32]) -> Result<(), Error> {
        (self.disk.file_size, self.sha256) = self.vmdk.finish(&self.output, content)?;
        self.disk.populated = self.vmdk.populated();
        self.disk.content = content;
        Ok(())
    }

    fn file(&self) -> &Output {
        &self.output
    }

    fn into_output(self: Box<Self>) -> Output {
        self.output
    }

    fn data_bytes(&self) -> u64 {
        self.vmdk.data_bytes()
    }

    fn seal(&mut self) -> Result<(u64, [u8; 32]), Error> {
        use sha2::{Digest as _, Sha256};
        let (name, vmdk_name) = (ovf_name(&self.node), vmdk_name(&self.node));
        let mut ovf = ovf::render(&self.template, &self.node, &vmdk_name, &self.disk)?.into_bytes();
        if ovf.len() as u64 > self.ovf_len {
            let (node, found) = (self.node.name.clone(), ovf.len() as u64);
            return Err(Error::Descriptor { node, found, reserved: self.ovf_len });
        }
        // White space may follow the root element; it keeps the reserved length.
        ovf.resize(self.ovf_len as usize, b' ');

        let ovf_at = self.header(0, &name, self.ovf_len)?;
        self.output.write(ovf_at, &ovf)?;
        let manifest_at = ovf_at + round_up(self.ovf_len, BLOCK);
        let manifest_at = self.header(manifest_at, &format!("{}.mf", self.node.name), manifest_len(&self.node))?;
        let vmdk_at = manifest_at + round_up(manifest_len(&self.node), BLOCK);
        let vmdk_at = self.header(vmdk_at, &vmdk_name, self.disk.file_size)?;
        let vmdk = match self.sha256 {
            Some(sha256) => sha256,
            None => digest::file(&self.output, vmdk_at, Some(self.disk.file_size))?.1,
        };
        let manifest = manifest(&self.node, &Sha256::digest(&ovf).into(), &vmdk);
        self.output.write(manifest_at, manifest.as_bytes())?;
        // Two blocks of zeros end the archive.
        self.output.set_len(vmdk_at + self.disk.file_size + 2 * BLOCK)?;
        digest::file(&self.output, 0, None)
    }
}

/// A file of an OVA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Offset of its bytes in the archive.
    pub offset: u64,
    pub len: u64,
}

/// The files of an OVA, in their order.
///
/// # Errors
/// `InvalidData` when the archive is damaged.
pub fn members(file: &dyn ReadAt) -> io::Result<Vec<Member>> {
    let bad = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let (mut out, mut at) = (Vec::new(), 0u64);
    while out.len() < MOST_MEMBERS {
        let mut header = tar::Header::new_old();
        file.read_at(at, header.as_mut_bytes())
            .map_err(|e| bad(format!("OVA ends at byte {at} without an end: {e}")))?;
        if header.as_bytes().iter().all(|b| *b == 0) {
            return Ok(out);
        }
        if !checksum_matches(&header) {
            return Err(bad(format!("OVA member at byte {at} has a wrong checksum")));
        }
        let len = header.entry_size().map_err(|e| bad(format!("OVA member at byte {at} has no length: {e}")))?;
        let offset = at + BLOCK;
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let (mode, mtime) = (header.mode().unwrap_or(0), header.mtime().unwrap_or(0));
        out.push(Member { name, mode, mtime, offset, len });
        at = len
            .checked_next_multiple_of(BLOCK)
            .and_then(|len| offset.checked_add(len))
            .ok_or_else(|| bad(format!("OVA member at byte {at} has an impossible length")))?;
    }
    Err(bad(format!("OVA has more than {MOST_MEMBERS} members")))
}

/// Finds the first VMDK of an OVA, where it lies in the file.
///
/// # Errors
/// `InvalidData` when the archive is damaged or holds no VMDK.
pub fn vmdk(file: Arc<dyn ReadAt>) -> io::Result<Window<Arc<dyn ReadAt>>> {
    let bad = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut at = 0u64;
    for _ in 0..MOST_MEMBERS {
        let mut header = tar::Header::new_old();
        file.read_at(at, header.as_mut_bytes())
            .map_err(|e| bad(format!("OVA has no VMDK before byte {at}, where it ends: {e}")))?;
        if header.as_bytes().iter().all(|b| *b == 0) {
            return Err(bad(format!("OVA has no VMDK among the members before byte {at}")));
        }
        if !checksum_matches(&header) {
            return Err(bad(format!("OVA member at byte {at} has a wrong checksum")));
        }
        let len = header.entry_size().map_err(|e| bad(format!("OVA member at byte {at} has no length: {e}")))?;
        let name = header.path_bytes();
        let data = at + BLOCK;
        if name.to_ascii_lowercase().ends_with(b".vmdk") {
            return Window::new(file, data, len).map_err(|e| bad(format!("OVA is cut off: {e}")));
        }
        at = len
            .checked_next_multiple_of(BLOCK)
            .and_then(|len| data.checked_add(len))
            .ok_or_else(|| bad(format!("OVA member at byte {at} has an impossible length")))?;
    }
    Err(bad(format!("OVA has no VMDK among its first {MOST_MEMBERS} members")))
}

/// Verifies the digests that the manifest of an OVA has for its other members.
fn check_manifest(file: &Arc<dyn ReadAt>, say: Say<'_>) -> io::Result<()> {
    let members = match members(&**file) {
        Ok(members) => members,
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            say("ova", e.to_string());
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    let Some(mf) = members.iter().find(|m| m.name.to_ascii_lowercase().ends_with(".mf")) else { return Ok(()) };
    let bytes = |m: &Member| Window::new(file.clone(), m.offset, m.len);
    if mf.len > MAX_MANIFEST {
        say("ova-manifest", format!("{} has {}, more than any manifest", mf.name, count::of(mf.len, "byte")));
        return Ok(());
    }
    let mut text = vec![0; mf.len as usize];
    file.read_at(mf.offset, &mut text)?;
    for line in String::from_utf8_lossy(&text).lines().filter(|l| !l.trim().is_empty()) {
        let parts = line.split_once('(').and_then(|(kind, rest)| Some((kind.trim(), rest.rsplit_once(")=")?)));
        let Some((kind, (name, said))) = parts else {
            say("ova-manifest", format!("{}: {line:?} is not KIND(NAME)= DIGEST", mf.name));
            continue;
        };
        let Some(member) = members.iter().find(|m| m.name == name) else {
            say("ova-manifest", format!("{} has a digest of {name}, which is not in the OVA", mf.name));
            continue;
        };
        // Digests of other kinds nobody writes any more.
        if kind != "SHA256" {
            continue;
        }
        let Ok(window) = bytes(member) else {
            say("ova", format!("{name} is cut off: it should have {}", count::of(member.len, "byte")));
            continue;
        };
        let found = hex(&digest::whole(&window)?);
        if !said.trim().eq_ignore_ascii_case(&found) {
            let m = format!("{name} has the SHA-256 {found}, but {} says {}", mf.name, said.trim());
            say("ova-digest", m);
        }
    }
    Ok(())
}

/// Whether a file begins as a tar archive does whose first member is of an OVA.
pub fn matches(start: &[u8]) -> bool {
    let ustar = start.get(257..262) == Some(b"ustar");
    let name = start.get(..100).and_then(|field| field.split(|b| *b == 0).next()).unwrap_or_default();
    let name = name.to_ascii_lowercase();
    ustar && [&b".ovf"[..], b".mf", b".cert", b".vmdk"].iter().any(|end| name.ends_with(end))
}

fn checksum_matches(header: &tar::Header) -> bool {
    let bytes = header.as_bytes();
    let sum: u32 =
        bytes.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
    header.cksum().is_ok_and(|expected| expected == sum)
}
