//! A small ISO 9660 image for the tests and for the fuzz target, which takes
//! this file as it is: nothing but the standard library is used.
//!
//! Every description has the same tree: `Read.me`, `empty`, `same` (the bytes
//! of `Read.me`), `sys/Large` in two extents, and with Rock Ridge `link`, which
//! leads to `sys/Large`.

/// Kind of metadata in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Plan9,
    RockRidge,
    Utf8,
    Joliet,
    Conform,
}

pub const ALL: [How; 5] = [How::Plan9, How::RockRidge, How::Utf8, How::Joliet, How::Conform];

/// Blocks of the image's parts.
pub const README: u32 = 19;
pub const LARGE: u32 = 20;
pub const ROOT: u32 = 23;
pub const SYS: u32 = 24;
const TABLE: u32 = 25;
const PATHS: u32 = 26;
const CONTINUED: u32 = 27;
const BLOCKS: u32 = 28;
const SECTOR: usize = 2048;

/// Content of `Read.me`.
pub const TEXT: &[u8] = b"Plan 9\n";
/// Bytes of `sys/Large`: a full block, and a part of the next.
pub const LARGE_LEN: usize = SECTOR + 100;
/// Time of recording of everything: 2026-01-02 03:04:05, in a zone an hour
/// east.
const TIME: [u8; 7] = [126, 1, 2, 3, 4, 5, 4];

/// Offset of the `n`th record of the directory at `block`, in bytes.
pub fn record_at(image: &[u8], block: u32, n: usize) -> usize {
    (0..n).fold(block as usize * SECTOR, |at, _| at + usize::from(image[at]))
}

fn both(n: u32) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

/// A directory record.
pub fn record(name: &[u8], block: u32, len: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend(both(block));
    out.extend(both(len));
    out.extend(TIME);
    out.extend([flags, 0, 0, 1, 0, 0, 1, name.len() as u8]);
    out.extend(name);
    out.resize(out.len() + out.len() % 2, 0);
    out.extend(system_use);
    out.resize(out.len() + out.len() % 2, 0);
    out[0] = u8::try_from(out.len()).expect("a record of at most 255 bytes");
    out
}

fn descriptor(kind: u8, system: &[u8], escapes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; SECTOR];
    out[0] = kind;
    out[1..7].copy_from_slice(b"CD001\x01");
    out[8..40].fill(b' ');
    out[8..8 + system.len()].copy_from_slice(system);
    out[80..88].copy_from_slice(&both(BLOCKS));
    out[88..88 + escapes.len()].copy_from_slice(escapes);
    out[128..132].copy_from_slice(&[0, 8, 8, 0]);
    out[140..144].copy_from_slice(&PATHS.to_le_bytes());
    out[156..190].copy_from_slice(&record(&[0], ROOT, SECTOR as u32, 2, &[]));
    out
}

fn entry(name: &[u8; 2], body: &[u8]) -> Vec<u8> {
    [name, &[body.len() as u8 + 4, 1][..], body].concat()
}

fn plan9(name: &[u8], mode: u32) -> Vec<u8> {
    let string = |s: &[u8]| [&[s.len() as u8], s].concat();
    let mut out = [string(name), string(b"glenda"), string(b"sys")].concat();
    out.resize(out.len() + out.len() % 2, 0);
    out.extend(both(mode));
    out
}

pub fn rock(name: &[u8], mode: u32, link: &[u8]) -> Vec<u8> {
    let mut out = entry(b"PX", &[both(mode), both(1), both(0), both(0)].concat());
    out.extend(entry(b"NM", &[b"\0", name].concat()));
    if !link.is_empty() {
        out.extend(entry(b"SL", &[b"\0", link].concat()));
    }
    out
}

/// The records of one entry; more than one for several extents.
fn records(how: How, stored: &str, name: &str, mode: u32, extents: &[(u32, u32)]) -> Vec<u8> {
    let dir = mode & 0x8000_0000 != 0;
    let posix = if dir { 0o040_755 } else { 0o100_000 | mode & 0o777 };
    let (id, system): (Vec<u8>, Vec<u8>) = match how {
        How::Plan9 => (stored.into(), plan9(name.as_bytes(), mode)),
        How::RockRidge => (format!("{stored};1").into(), rock(name.as_bytes(), posix, b"")),
        How::Utf8 => (name.into(), vec![]),
        How::Joliet => (name.encode_utf16().flat_map(u16::to_be_bytes).collect(), vec![]),
        How::Conform => (stored.into(), vec![]),
    };
    let last = extents.len() - 1;
    let one = |(i, (block, len)): (usize, &(u32, u32))| {
        record(&id, *block, *len, (u8::from(dir) * 2) | if i < last { 0x80 } else { 0 }, &system)
    };
    extents.iter().enumerate().flat_map(one).collect()
}

/// The image.
pub fn image(how: How) -> Vec<u8> {
    let mut out = vec![0; BLOCKS as usize * SECTOR];
    let mut put = |block: u32, bytes: &[u8]| {
        let at = block as usize * SECTOR;
        out[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let system: &[u8] = match how {
        How::Plan9 => b"PLAN 9 ISO9660",
        How::Utf8 => b"UTF8",
        _ => b"ISO9660",
    };
    put(16, &descriptor(1, system, &[]));
    if how == How::Joliet {
        put(17, &descriptor(2, b"", b"%/C"));
    } else {
        put(17, &descriptor(3, b"", b""));
    }
    put(18, &descriptor(255, b"", b""));

    let own = match how {
        How::RockRidge => {
            let continued = [both(CONTINUED), both(100), both(18)].concat();
            [entry(b"SP", &[0xBE, 0xEF, 0]), entry(b"CE", &continued)].concat()
        }
        _ => vec![],
    };
    let mut er = vec![0; 100];
    er.extend(entry(b"ER", b"\x0A\0\0\x01RRIP_1991A"));
    put(CONTINUED, &er);
    let file = |stored, name, mode, extents: &[(u32, u32)]| records(how, stored, name, mode, extents);
    let mut root = [record(&[0], ROOT, SECTOR as u32, 2, &own), record(&[1], ROOT, SECTOR as u32, 2, &[])].concat();
    root.extend(file("F000000", "Read.me", 0o775, &[(README, TEXT.len() as u32)]));
    root.extend(file("EMPTY", "empty", 0o664, &[(0, 0)]));
    root.extend(file("SAME", "same", 0x4000_0000 | 0o664, &[(README, TEXT.len() as u32)]));
    root.extend(file("SYS", "sys", 0x8000_0000 | 0o775, &[(SYS, SECTOR as u32)]));
    if how == How::RockRidge {
        root.extend(record(b"LINK.;1", 0, 0, 0, &rock(b"link", 0o120_777, b"\0\x03sys\0\x05Large")));
    }
    put(ROOT, &root);
    let mut sys = [record(&[0], SYS, SECTOR as u32, 2, &[]), record(&[1], ROOT, SECTOR as u32, 2, &[])].concat();
    sys.extend(file("F000001", "Large", 0o664, &[(LARGE + 1, SECTOR as u32), (LARGE, 100)]));
    put(SYS, &sys);
    put(README, TEXT);
    put(LARGE, &[b'b'; 100]);
    put(LARGE + 1, &[b'a'; SECTOR]);
    if how == How::Conform {
        // As mk9660 leaves it: in no directory, after the last of them.
        put(TABLE, b"F000000 Read.me\nF000001 Large\n");
    }
    out
}
