//! A Raspberry Pi in QEMU, from its card.
//!
//! QEMU has the board but not its firmware, so p9img does here what the
//! firmware does: reads `config.txt`, loads the kernel that it names to 0x8000,
//! puts the line of `cmdline.txt` into ATAGs at 0x100, sends three of the four
//! processors to sleep and starts the first. Where QEMU's board is not what the
//! kernel expects, the kernel in memory (never the one on the card) is changed
//! in [`CHANGES`]; `doc/pi.md` tells how each was found.

use super::program::{drive, option};
use crate::count;
use crate::disk::{OpenDiskError, open_disk};
use crate::fs;
use crate::guest::machine::Disk;
use crate::read_at::ReadAt;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The emulator of Pis.
pub const QEMU: &str = "qemu-system-arm";
/// Its board.
pub const BOARD: &str = "raspi2b";
/// Address at which firmware loads a 32-bit kernel, and for which Plan 9's are
/// linked.
const LOAD: u32 = 0x8000;
const VIRTUAL: u32 = 0x8000_8000;
/// Address of the ATAGs, and of the memory that the kernel uses itself.
const ATAGS: usize = 0x100;
const ATAGS_END: usize = 0x2000;
/// Names of the two files that QEMU loads, in a node's folder.
pub const START: &str = "start.bin";
pub const KERNEL: &str = "kernel.bin";
/// Variables in addition to those of the card: more processors than one only
/// get in each other's way on the cores of a host.
pub const CMDLINE: &str = "*ncpu=1";
/// Bytes of memory that the board's firmware leaves to the processor.
const MEMORY: u32 = 0x3C00_0000;
/// Bytes of a file that is read from a card.
const MOST: u64 = 16 << 20;

/// Changes of a kernel in memory, with their reasons.
pub const CHANGES: [(&str, Change, &str); 2] = [
    ("wdogfeed", Change::Returns, "QEMU takes arming the watchdog for the reset itself"),
    ("sdhostcmd", Change::Without("tsleep"), "QEMU's card controller raises no interrupt when the card is ready"),
];

/// Bytes of a card in QEMU, which takes powers of two alone; `None` where there
/// is no such number.
pub const fn card_len(len: u64) -> Option<u64> {
    len.checked_next_power_of_two()
}

/// Makes a card as large as QEMU takes it: the added bytes are zeros, and take
/// no room.
///
/// # Errors
/// Fails when the file cannot be changed.
pub fn grow(card: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(card)?;
    let len = file.metadata()?.len();
    match card_len(len) {
        Some(larger) if larger > len => file.set_len(larger),
        _ => Ok(()),
    }
}

/// A change of one function.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It returns at once.
    Returns,
    /// It does not call that other one.
    Without(&'static str),
}

/// Reason why a card cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PiError {
    #[error("Cannot open the card")]
    Disk(#[from] OpenDiskError),
    #[error("Cannot read the partition {0} of the card")]
    Volume(&'static str, #[source] Box<fs::OpenError>),
    #[error("Cannot read {path} of the card")]
    Read { path: String, source: io::Error },
    #[error("{path} of the card has {len}, more than {MOST}", len = count::of(len, "byte"))]
    Large { path: String, len: u64 },
    #[error("config.txt of the card has no line kernel=NAME")]
    NoKernel,
    #[error("{path} of the card is not an a.out for ARM with symbols")]
    Symbols { path: String },
    #[error("{0} is not in the kernel's symbols: p9img cannot run this kernel in QEMU")]
    NoFunction(&'static str),
    #[error("{function} does not call {other}: p9img cannot run this kernel in QEMU")]
    NoCall { function: &'static str, other: &'static str },
    #[error("The kernel and its symbols are not of the same build: {0} is elsewhere")]
    Differ(&'static str),
    #[error("cmdline.txt has {len}, but between 0x100 and 0x2000 there is room for {most}", len = count::of(len, "byte"))]
    Cmdline { len: usize, most: usize },
}

/// Contents of a board's memory before it starts.
#[derive(Debug)]
pub struct Loaded {
    /// For address 0: the first instructions and the ATAGs.
    pub start: Vec<u8>,
    /// For address 0x8000.
    pub kernel: Vec<u8>,
}

impl Loaded {
    /// Reads the card as the firmware does. `more` is appended to the line of
    /// `cmdline.txt`.
    ///
    /// # Errors
    /// Fails when something of it is missing, or the kernel is an unknown one.
    pub fn from_card(card: &Arc<dyn ReadAt>, more: &str) -> Result<Self, PiError> {
        let disk = open_disk(card.clone())?;
        let volume = |name: &'static str| {
            let part = disk.partition(name)?;
            fs::open(Arc::new(part), None, &fs::alone).map_err(|source| PiError::Volume(name, source.into()))
        };
        let dos = volume("dos")?;
        let config = read(&*dos, "config.txt")?;
        let config = String::from_utf8_lossy(&config);
        let name = config.lines().find_map(|l| l.trim().strip_prefix("kernel=")).ok_or(PiError::NoKernel)?;
        let mut kernel = read(&*dos, name)?;
        let line = read(&*dos, "cmdline.txt")?;
        let line = format!("{} {more}", String::from_utf8_lossy(&line).trim());
        let symbols = format!("arm/s{name}");
        let aout = read(&*volume("fossil")?, &symbols)?;
        change(&mut kernel, &aout, &symbols)?;
        Ok(Self { start: start(line.trim())?, kernel })
    }
}

fn read(volume: &dyn fs::FileSystem, path: &str) -> Result<Vec<u8>, PiError> {
    let failed = |source| PiError::Read { path: path.to_owned(), source };
    let node = volume.find(path.as_bytes()).map_err(failed)?;
    if node.len > MOST {
        return Err(PiError::Large { path: path.into(), len: node.len });
    }
    let mut out = vec![0; node.len as usize];
    volume.read_exact(&node, 0, &mut out).map_err(failed)?;
    Ok(out)
}

/// The arguments for a Pi 2 with this card; the last serial
/// port that is added is the mini UART. All paths are relative to where QEMU
/// is started. There is no network: see `doc/pi.md`.
pub fn arguments(card: &Disk, start: &Path, kernel: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    for a in [
        "-accel",
        "tcg",
        "-icount",
        "shift=6",
        "-machine",
        BOARD,
        "-display",
        "none",
        "-chardev",
        "null,id=uart0",
        "-serial",
        "chardev:uart0",
    ] {
        args.push(a.into());
    }
    args.extend(["-bios".into(), kernel.into()]);
    args.extend(["-device".into(), option("loader,file=", start, ",addr=0,force-raw=on")]);
    args.extend(["-drive".into(), drive(card, ",if=sd,cache.no-flush=on")]);
    args
}

/// The first instructions and the ATAGs.
fn start(cmdline: &str) -> Result<Vec<u8>, PiError> {
    // Which processor is it? The first goes to the kernel. Another lets its
    // mailbox 3 interrupt it, sleeps until something is in it, takes that, and
    // goes there; as the firmware's own, which polls instead (armstub7).
    let branch = |from: u32, to: i64| 0x0A00_0000 | ((to - i64::from(from) - 8) >> 2) as u32 & 0xFF_FFFF;
    let code: [u32; 19] = [
        0xEE10_0FB0,                   // 00 mrc p15, 0, r0, c0, c0, 5
        0xE210_0003,                   // 04 ands r0, r0, #3
        branch(0x08, i64::from(LOAD)), // 08 beq kernel
        0xE59F_1034,                   // 0c ldr r1, [pc, #0x34] (48)
        0xE081_1100,                   // 10 add r1, r1, r0, lsl #2
        0xE3A0_2008,                   // 14 mov r2, #8
        0xE581_2000,                   // 18 str r2, [r1]: mailbox 3 interrupts
        0xE59F_3024,                   // 1c ldr r3, [pc, #0x24] (48)
        0xE283_307C,                   // 20 add r3, r3, #0x7c: cc, its clearing side
        0xE083_3200,                   // 24 add r3, r3, r0, lsl #4
        0xE320_F003,                   // 28 wfi
        0xE593_4000,                   // 2c ldr r4, [r3]
        0xE354_0000,                   // 30 cmp r4, #0
        branch(0x34, 0x28),            // 34 beq 28
        0xE583_4000,                   // 38 str r4, [r3]
        0xE3A0_2000,                   // 3c mov r2, #0
        0xE581_2000,                   // 40 str r2, [r1]
        0xE12F_FF14,                   // 44 bx r4
        0x4000_0050,                   // 48 the local registers for mailbox interrupts
    ];
    let mut out: Vec<u8> = code.iter().flat_map(|c| c.to_le_bytes()).collect();
    out.resize(ATAGS, 0);
    let most = ATAGS_END - ATAGS - 64;
    if cmdline.len() >= most {
        return Err(PiError::Cmdline { len: cmdline.len(), most });
    }
    let mut line = cmdline.as_bytes().to_vec();
    line.resize((line.len() + 1).next_multiple_of(4), 0);
    let mut words = |list: &[u32]| list.iter().for_each(|w| out.extend(w.to_le_bytes()));
    words(&[5, 0x5441_0001, 0, 0, 0]);
    words(&[4, 0x5441_0002, MEMORY, 0]);
    words(&[2 + line.len() as u32 / 4, 0x5441_0009]);
    out.extend(line);
    out.extend([0; 8]);
    Ok(out)
}

/// Makes [`CHANGES`] in a kernel; `aout` is the same one with symbols.
fn change(kernel: &mut [u8], aout: &[u8], path: &str) -> Result<(), PiError> {
    let bad = || PiError::Symbols { path: path.into() };
    let (text, symbols) = symbols(aout).ok_or_else(bad)?;
    for (function, change, _) in CHANGES {
        let address = *symbols.get(function).ok_or(PiError::NoFunction(function))?;
        let end = symbols.values().copied().filter(|v| *v > address).min().unwrap_or(address);
        let at = (address.wrapping_sub(VIRTUAL)) as usize;
        let len = (end - address) as usize;
        let (Some(mine), Some(theirs)) = (kernel.get_mut(at..at + len), text.get(at..at + len)) else {
            return Err(PiError::Differ(function));
        };
        if mine != theirs || len < 4 {
            return Err(PiError::Differ(function));
        }
        match change {
            // mov pc, lr
            Change::Returns => mine[..4].copy_from_slice(&0xE1A0_F00E_u32.to_le_bytes()),
            Change::Without(other) => {
                let target = *symbols.get(other).ok_or(PiError::NoFunction(other))?;
                let mut found = false;
                for (i, word) in mine.chunks_exact_mut(4).enumerate() {
                    let from = address.wrapping_add(4 * i as u32);
                    let call = 0xEB00_0000 | (target.wrapping_sub(from).wrapping_sub(8) >> 2) & 0xFF_FFFF;
                    if *word == call.to_le_bytes() {
                        // mov r0, r0
                        word.copy_from_slice(&0xE1A0_0000_u32.to_le_bytes());
                        found = true;
                    }
                }
                if !found {
                    return Err(PiError::NoCall { function, other });
                }
            }
        }
    }
    Ok(())
}

/// The text segment of a Plan 9 a.out (a.out(6)) for ARM, and the addresses of
/// its functions by name.
fn symbols(aout: &[u8]) -> Option<(&[u8], BTreeMap<&str, u32>)> {
    const MAGIC: u32 = 0x647;
    let word = |at: usize| Some(u32::from_be_bytes(aout.get(at..at + 4)?.try_into().ok()?));
    if word(0)? != MAGIC {
        return None;
    }
    let (text, data, syms) = (word(4)? as usize, word(8)? as usize, word(16)? as usize);
    let code = aout.get(32..text.checked_add(32)?)?;
    let from = text.checked_add(32)?.checked_add(data)?;
    let mut table = aout.get(from..from.checked_add(syms)?)?;
    let mut out = BTreeMap::new();
    while table.len() > 5 {
        let value = u32::from_be_bytes(table[..4].try_into().ok()?);
        let kind = table[4] & 0x7F;
        table = &table[5..];
        if matches!(kind, b'z' | b'Z') {
            // A path: a byte, then pairs that end with a pair of zeros.
            table = table.get(1..)?;
            let end = table.chunks(2).position(|pair| pair == [0, 0])?;
            table = table.get(2 * end + 2..)?;
            continue;
        }
        let end = table.iter().position(|b| *b == 0)?;
        if matches!(kind, b'T' | b't' | b'L' | b'l')
            && let Ok(name) = std::str::from_utf8(&table[..end])
        {
            out.insert(name, value);
        }
        table = &table[end + 1..];
    }
    Some((code, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An a.out of words, with functions at their offsets in bytes.
    fn aout(text: &[u32], functions: &[(&str, u32)]) -> Vec<u8> {
        let mut syms = Vec::new();
        // A path first, as the linker puts them.
        syms.extend([0, 0, 0, 1, b'z' | 0x80, 0, 0, 1, 0, 2, 0, 0]);
        for (name, at) in functions {
            syms.extend((VIRTUAL + at).to_be_bytes());
            syms.push(b'T' | 0x80);
            syms.extend(name.as_bytes());
            syms.push(0);
        }
        let header = [0x647, 4 * text.len() as u32, 0, 0, syms.len() as u32, VIRTUAL, 0, 0];
        let mut out: Vec<u8> = header.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
        out.extend(text.iter().flat_map(|w| w.to_le_bytes()));
        out.extend(syms);
        out
    }

    const FUNCTIONS: [(&str, u32); 4] = [("tsleep", 0), ("wdogfeed", 4), ("sdhostcmd", 12), ("end", 24)];
    /// At 16, from sdhostcmd: bl tsleep.
    const TEXT: [u32; 7] = [1, 0xE52D_E008, 3, 4, 0xEBFF_FFFA, 6, 7];

    fn bytes(text: &[u32]) -> Vec<u8> {
        text.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    #[test]
    fn two_places_of_the_kernel_change() {
        let mut kernel = bytes(&TEXT);
        change(&mut kernel, &aout(&TEXT, &FUNCTIONS), "s").unwrap();
        assert_eq!(kernel, bytes(&[1, 0xE1A0_F00E, 3, 4, 0xE1A0_0000, 6, 7]));
    }

    #[test]
    fn an_unknown_kernel_is_refused() {
        let said = |kernel: &[u32], aout: &[u8]| change(&mut bytes(kernel), aout, "s").unwrap_err().to_string();
        assert!(said(&TEXT, b"no").contains("not an a.out"));
        assert!(said(&TEXT, &aout(&TEXT, &FUNCTIONS[..1])).starts_with("wdogfeed is not in the kernel's symbols"));
        let other = [1, 2, 3, 4, 5, 6, 7];
        assert!(said(&other, &aout(&TEXT, &FUNCTIONS)).contains("not of the same build"));
        assert!(said(&TEXT[..3], &aout(&TEXT, &FUNCTIONS)).contains("not of the same build"));
        assert!(said(&other, &aout(&other, &FUNCTIONS)).starts_with("sdhostcmd does not call tsleep"));
        let good = aout(&TEXT, &FUNCTIONS);
        for at in 0..good.len() {
            let _ = change(&mut bytes(&TEXT), &good[..at], "s");
            let mut bad = good.clone();
            bad[at] ^= 0xFF;
            let _ = change(&mut bytes(&TEXT), &bad, "s");
        }
    }

    #[test]
    fn a_card_grows_to_a_power_of_two_and_keeps_its_bytes() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let card = dir.path().join("card");
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8 + 1).collect();
        for (len, larger) in [(256_000_000, 268_435_456), (268_435_456, 268_435_456), (268_435_457, 536_870_912)] {
            std::fs::write(&card, &bytes).unwrap();
            OpenOptions::new().write(true).open(&card).unwrap().set_len(len).unwrap();
            for _ in 0..2 {
                // A card that has grown stays as it is.
                grow(&card).unwrap();
                let meta = std::fs::metadata(&card).unwrap();
                assert_eq!((meta.len(), card_len(len)), (larger, Some(larger)), "{len}");
                assert!(meta.blocks() * 512 < 2 << 20, "{len}: it takes {} blocks", meta.blocks());
            }
            let mut found = vec![0; bytes.len() + 5000];
            let file = std::fs::File::open(&card).unwrap();
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, 0).unwrap();
            assert!(found[..bytes.len()] == bytes && found[bytes.len()..].iter().all(|b| *b == 0), "{len}");
        }
        assert_eq!(card_len((1 << 63) + 1), None);
        assert!(grow(&dir.path().join("none")).is_err());
    }

    #[test]
    fn atags_are_where_the_kernel_looks() {
        let start = start("a=1 b='2 3'").unwrap();
        let word = |at: usize| u32::from_le_bytes(start[at..at + 4].try_into().unwrap());
        assert_eq!(word(8), 0x0A00_1FFC);
        assert_eq!(word(0x34), 0x0AFF_FFFB);
        assert_eq!((word(0x100), word(0x104)), (5, 0x5441_0001));
        assert_eq!((word(0x124), word(0x128)), (5, 0x5441_0009));
        assert_eq!(&start[0x12C..0x138], b"a=1 b='2 3'\0");
        assert_eq!((word(0x138), start.len()), (0, 0x140));
        assert!(matches!(super::start(&"x".repeat(9000)), Err(PiError::Cmdline { .. })));
    }
}
