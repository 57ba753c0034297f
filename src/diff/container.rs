//! Two image files: their containers, and the disks in them.

use super::{Difference, Sink, bytes, disk, field, text};
use crate::artifact::{self, ova, qcow2::Qcow2, vmdk::Vmdk, zip};
use crate::read_at::{ReadAt, Window};
use crate::shown;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Texts in containers are read up to this length, bytes.
const MAX_TEXT: u64 = 1 << 20;

/// Bytes of a qcow2 header that are compared as fields: offset, length, name.
const QCOW2: [(u64, usize, &str); 19] = [
    (0, 4, "magic"),
    (4, 4, "version"),
    (8, 8, "backing_file_offset"),
    (16, 4, "backing_file_size"),
    (20, 4, "cluster_bits"),
    (24, 8, "size"),
    (32, 4, "crypt_method"),
    (36, 4, "l1_size"),
    (40, 8, "l1_table_offset"),
    (48, 8, "refcount_table_offset"),
    (56, 4, "refcount_table_clusters"),
    (60, 4, "nb_snapshots"),
    (64, 8, "snapshots_offset"),
    (72, 8, "incompatible_features"),
    (80, 8, "compatible_features"),
    (88, 8, "autoclear_features"),
    (96, 4, "refcount_order"),
    (100, 4, "header_length"),
    (104, 1, "compression_type"),
];

/// The same of a sparse VMDK's header; little-endian.
const VMDK: [(u64, usize, &str); 14] = [
    (0, 4, "magicNumber"),
    (4, 4, "version"),
    (8, 4, "flags"),
    (12, 8, "capacity"),
    (20, 8, "grainSize"),
    (28, 8, "descriptorOffset"),
    (36, 8, "descriptorSize"),
    (44, 4, "numGTEsPerGT"),
    (48, 8, "rgdOffset"),
    (56, 8, "gdOffset"),
    (64, 8, "overHead"),
    (72, 1, "uncleanShutdown"),
    (73, 4, "end-of-line characters"),
    (77, 2, "compressAlgorithm"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Raw,
    Qcow2,
    Vmdk,
    Ova,
    Zip,
    /// Container of this name, of which no part has a name here.
    Other(&'static str),
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "VMDK",
            Self::Ova => "OVA",
            Self::Zip => "zip",
            Self::Other(name) => name,
        }
    }
}

/// An opened image file.
#[derive(Clone)]
pub struct Image {
    kind: Kind,
    file: Arc<dyn ReadAt>,
    disk: Arc<dyn ReadAt>,
}

impl Image {
    /// Opens an image by what the file begins with.
    ///
    /// # Errors
    /// As [`artifact::from`].
    pub fn open(file: Arc<dyn ReadAt>) -> io::Result<Self> {
        let disk = artifact::from(file.clone())?;
        Self::of(file, disk)
    }

    /// Opens an image file at this path, which may be over another beside it.
    ///
    /// # Errors
    /// As [`artifact::open`].
    pub fn open_at(path: &Path, file: Arc<dyn ReadAt>) -> io::Result<Self> {
        let disk = artifact::layers_over(file.clone(), &artifact::beside(path))?.disk;
        Self::of(file, disk)
    }

    fn of(file: Arc<dyn ReadAt>, disk: Arc<dyn ReadAt>) -> io::Result<Self> {
        let mut start = [0; 512];
        let n = file.len().min(512) as usize;
        file.read_at(0, &mut start[..n])?;
        let start = &start[..n];
        let kind = match () {
            () if Qcow2::matches(start) => Kind::Qcow2,
            () if Vmdk::matches(start) => Kind::Vmdk,
            () if ova::matches(start) => Kind::Ova,
            () if zip::matches(start) => Kind::Zip,
            () => artifact::reader(start).map_or(Kind::Raw, |reader| Kind::Other(reader.name)),
        };
        Ok(Self { kind, disk, file })
    }
}

/// Result of comparing two images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The files have equal bytes.
    pub container: bool,
    /// The disks in them have equal bytes.
    pub disk: bool,
}

/// Compares two images: containers first, then the disks.
///
/// # Errors
/// Error of `sink`; damage is a difference.
pub fn images(a: &Image, b: &Image, sink: &mut Sink<'_>) -> io::Result<Compared> {
    if let Ok(true) = bytes::equal(&*a.file, &*b.file) {
        return Ok(Compared { container: true, disk: true });
    }
    let mut named = false;
    let mut counting = |d: Difference| {
        named = true;
        sink(d)
    };
    if a.kind == b.kind {
        same_kind(a.kind, &a.file, &b.file, &mut counting)?;
    } else {
        let d = Difference::new("container", "format", "format");
        counting(d.values(a.kind.name(), b.kind.name()))?;
    }
    let equal = match bytes::equal(&*a.disk, &*b.disk) {
        Ok(equal) => equal,
        Err(e) => {
            counting(Difference::new("disk", "unreadable", e.to_string()))?;
            false
        }
    };
    if !equal {
        disk::compare(&a.disk, &b.disk, &mut counting)?;
    }
    if a.kind == b.kind && (equal && a.kind != Kind::Raw || !named) {
        // Differences that no field accounts for: tables, compressed streams,
        // padding.
        let place = a.kind.name();
        field(place, "length", "bytes of the file", (a.file.len(), b.file.len()), sink)?;
        if !named {
            let end = a.file.len().min(b.file.len());
            bytes::compare(place, "container", "tables, clusters or padding", (&a.file, &b.file), (0, end), 0, sink)?;
        }
    }
    Ok(Compared { container: false, disk: equal })
}

fn same_kind(kind: Kind, a: &Arc<dyn ReadAt>, b: &Arc<dyn ReadAt>, sink: &mut Sink<'_>) -> io::Result<()> {
    match kind {
        Kind::Raw | Kind::Other(_) => Ok(()),
        Kind::Qcow2 => {
            header("qcow2", &QCOW2, true, a, b, sink)?;
            bytes::compare("qcow2", "header", "header extensions", (a, b), (112, 512), 0, sink)
        }
        Kind::Vmdk => vmdk("VMDK", a, b, sink),
        Kind::Ova => members(a, b, sink),
        Kind::Zip => zipped(a, b, sink),
    }
}

/// The fields of a header.
fn header(
    place: &str,
    fields: &[(u64, usize, &str)],
    big: bool,
    a: &dyn ReadAt,
    b: &dyn ReadAt,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    for (at, len, name) in fields {
        let value = |side: &dyn ReadAt| {
            let mut raw = [0; 8];
            side.read_at(*at, &mut raw[..*len]).ok()?;
            if big {
                raw[..*len].reverse();
            }
            Some(u64::from_le_bytes(raw))
        };
        let (x, y) = (value(a), value(b));
        if x != y {
            let d = Difference::new(place, "header", format!("header field {name}")).at(*at);
            sink(Difference { a: x.map(|x| format!("{x:#x}")), b: y.map(|y| format!("{y:#x}")), ..d })?;
        }
    }
    Ok(())
}

fn vmdk(place: &str, a: &Arc<dyn ReadAt>, b: &Arc<dyn ReadAt>, sink: &mut Sink<'_>) -> io::Result<()> {
    header(place, &VMDK, false, a, b, sink)?;
    if let (Ok(x), Ok(y)) = (Vmdk::open(a.clone()), Vmdk::open(b.clone()))
        && let (Ok(x), Ok(y)) = (x.descriptor(), y.descriptor())
    {
        text::lines(place, "descriptor", "descriptor", &x, &y, sink)?;
    }
    Ok(())
}

fn members(a: &Arc<dyn ReadAt>, b: &Arc<dyn ReadAt>, sink: &mut Sink<'_>) -> io::Result<()> {
    let (left, right) = match (ova::members(&**a), ova::members(&**b)) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => {
            let say = |r: io::Result<Vec<ova::Member>>| r.map_or_else(|e| e.to_string(), |_| "readable".into());
            return sink(Difference::new("OVA", "unreadable", "members").values(say(left), say(right)));
        }
    };
    let names = |m: &[ova::Member]| m.iter().map(|m| m.name.clone()).collect::<Vec<_>>().join(", ");
    field("OVA", "members", "members in their order", (names(&left), names(&right)), sink)?;
    for x in &left {
        let Some(y) = right.iter().find(|y| y.name == x.name) else { continue };
        let place = format!("OVA: {}", shown::name(x.name.as_bytes()));
        field(&place, "mode", "mode", (format!("{:o}", x.mode), format!("{:o}", y.mode)), sink)?;
        field(&place, "mtime", "mtime", (x.mtime, y.mtime), sink)?;
        field(&place, "length", "bytes", (x.len, y.len), sink)?;
        let windows = (Window::new(a.clone(), x.offset, x.len), Window::new(b.clone(), y.offset, y.len));
        let (Ok(one), Ok(two)) = windows else { continue };
        if x.name.to_ascii_lowercase().ends_with(".vmdk") {
            vmdk(&place, &(Arc::new(one) as Arc<dyn ReadAt>), &(Arc::new(two) as Arc<dyn ReadAt>), sink)?;
        } else if let (Some(one), Some(two)) = (read(&one), read(&two)) {
            text::lines(&place, "text", "text", &one, &two, &mut |d| {
                let part = d.offset.and_then(|line| item(&one, line as usize));
                let what = part.map_or(d.what.clone(), |part| format!("{} of the item {part:?}", d.what));
                sink(Difference { what, offset: None, ..d })
            })?;
        }
    }
    Ok(())
}

/// The name of the virtual hardware that line number `line` (from 1) of an OVF
/// descriptor is about.
fn item(ovf: &str, line: usize) -> Option<&str> {
    let lines: Vec<&str> = ovf.lines().map(str::trim).collect();
    let first = (0..line.min(lines.len())).rev().find(|i| lines[*i].starts_with("<Item") || lines[*i] == "</Item>")?;
    let inside = lines[first..].iter().take_while(|l| **l != "</Item>");
    let name =
        inside.clone().find_map(|l| l.strip_prefix("<rasd:ElementName>")?.strip_suffix("</rasd:ElementName>"))?;
    (lines[first] != "</Item>").then_some(name)
}

fn read(bytes: &dyn ReadAt) -> Option<String> {
    let mut out = vec![0; bytes.len().min(MAX_TEXT) as usize];
    bytes.read_at(0, &mut out).ok()?;
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn zipped(a: &Arc<dyn ReadAt>, b: &Arc<dyn ReadAt>, sink: &mut Sink<'_>) -> io::Result<()> {
    let (left, right) = match (zip::members(&**a), zip::members(&**b)) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => {
            let say = |r: io::Result<Vec<zip::Member>>| r.map_or_else(|e| e.to_string(), |_| "readable".into());
            return sink(Difference::new("zip", "unreadable", "members").values(say(left), say(right)));
        }
    };
    let names = |m: &[zip::Member]| m.iter().map(|m| m.name.clone()).collect::<Vec<_>>().join(", ");
    field("zip", "members", "members in their order", (names(&left), names(&right)), sink)?;
    for x in &left {
        let Some(y) = right.iter().find(|y| y.name == x.name) else { continue };
        let place = format!("zip: {}", shown::name(x.name.as_bytes()));
        field(&place, "method", "method of compression", (x.method, y.method), sink)?;
        field(&place, "mtime", "date and time (as DOS has it)", (x.time, y.time), sink)?;
        field(&place, "length", "bytes", (x.len, y.len), sink)?;
        field(&place, "length", "bytes compressed", (x.packed, y.packed), sink)?;
        field(&place, "checksum", "CRC-32", (format!("{:08x}", x.crc), format!("{:08x}", y.crc)), sink)?;
    }
    Ok(())
}
