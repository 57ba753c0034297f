//! Verifying arenas: head against tail, every clump against its score and the
//! directory, the sums against both. The rules are those of
//! `/sys/src/cmd/venti/srv/syncarena.c` and `arena.c`.

use super::format::{ArenaTail, Clump, ClumpInfo, SCORE_LEN, Stats};
use super::read::{Arenas, head, tail};
use super::table::Range;
use super::whack::unwhack;
use crate::Finding;
use crate::count;
use crate::hex::hex;
use crate::read_at::ReadAt;
use sha1::{Digest as _, Sha1};
use std::io;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// Bytes of the largest arena whose seal is verified.
const MOST_SEALED: u64 = 16 << 30;

/// Checks all arenas; kinds of findings are listed in `doc/venti.md`.
pub(super) fn arenas(dev: &dyn ReadAt, a: &Arenas, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
    for range in &a.arenas {
        let mut say = |kind, message: String| report(Finding { kind, message: format!("{}: {message}", range.name) });
        let t = match tail(dev, &a.head, range)? {
            Ok(t) => t,
            Err(why) => {
                say("arena-tail", format!("Bad tail: {why}"));
                continue;
            }
        };
        check_head(dev, a, range, &t, &mut say)?;
        let arena = Arena::new(a.head.block, range);
        if arena.check_stats(&t, &mut say) {
            arena.check_log(dev, &t, &mut say)?;
        }
        arena.check_seal(dev, &t, &mut say)?;
    }
    Ok(())
}

type Say<'a> = &'a mut dyn FnMut(&'static str, String);

fn check_head(dev: &dyn ReadAt, a: &Arenas, range: &Range, t: &ArenaTail, say: Say<'_>) -> io::Result<()> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    if t.name != range.name.as_bytes() {
        say("arena-name", format!("The tail calls it {:?}", text(&t.name)));
    }
    let h = match head(dev, range)? {
        Ok(h) => h,
        Err(why) => {
            say("arena-head", format!("Bad head: {why}"));
            return Ok(());
        }
    };
    let mut differs = |what: &str, head: String, other: String| {
        if head != other {
            say("arena-head", format!("The head says {what} {head}, expected {other}"));
        }
    };
    differs("name", text(&h.name), text(&t.name));
    differs("version", h.version.to_string(), t.version.to_string());
    differs("block size", h.block.to_string(), a.head.block.to_string());
    differs("length", h.size.to_string(), (range.stop - range.start).to_string());
    differs("clump magic", format!("{:08x}", h.clump_magic), format!("{:08x}", t.clump_magic));
    Ok(())
}

/// The place of an arena's log and directory.
pub(super) struct Arena {
    block: u64,
    /// First byte of the log.
    base: u64,
    /// Bytes of log and directory.
    size: u64,
}

impl Arena {
    /// An arena that has at least three blocks, as one with a tail has.
    pub(super) fn new(block: u32, range: &Range) -> Self {
        let block = u64::from(block);
        Self { block, base: range.start + block, size: range.stop - range.start - 2 * block }
    }

    /// Clumps in a block of the directory.
    fn per_block(&self) -> u64 {
        self.block / ClumpInfo::LEN as u64
    }

    /// Bytes of the directory of so many clumps.
    fn directory_len(&self, clumps: u32) -> u64 {
        (u64::from(clumps) / self.per_block() + 1) * self.block
    }

    /// Offset of clump `i` in the directory.
    fn info_at(&self, i: u32) -> u64 {
        let (block, slot) = (u64::from(i) / self.per_block(), u64::from(i) % self.per_block());
        self.base + self.size - (block + 1) * self.block + slot * ClumpInfo::LEN as u64
    }

    /// Whether log and directory of so many clumps can be in the arena.
    pub(super) fn holds(&self, s: &Stats) -> bool {
        s.used.checked_add(self.directory_len(s.clumps)).is_some_and(|n| n <= self.size)
    }

    /// Bytes of log and directory: of the addresses that the arena has.
    pub(super) fn len(&self) -> u64 {
        self.size
    }

    /// Calls `visit` with the first `clumps` entries of the directory, up to
    /// one that was never written.
    pub(super) fn directory(&self, dev: &dyn ReadAt, clumps: u32, visit: &mut dyn FnMut(ClumpInfo)) -> io::Result<()> {
        let mut buf = Buffer::default();
        for i in 0..clumps {
            let bytes = buf.get(dev, self.info_at(i), ClumpInfo::LEN, self.info_block(i))?;
            if bytes.iter().all(|b| *b == 0) {
                break;
            }
            visit(ClumpInfo::parse(bytes));
        }
        Ok(())
    }

    /// End of the block of the directory with clump `i`.
    fn info_block(&self, i: u32) -> u64 {
        self.base + self.size - u64::from(i) / self.per_block() * self.block
    }

    /// True when the log can be looked at.
    fn check_stats(&self, t: &ArenaTail, say: Say<'_>) -> bool {
        let mut good = true;
        for (what, s) in [("indexed", &t.indexed), ("stored", &t.stored)] {
            if !self.holds(s) {
                let message = format!(
                    "{} {what}, in {}, which do not fit into {} with their directory",
                    count::either(s.clumps, "clump is", "clumps are"),
                    count::of(s.used, "byte"),
                    self.size
                );
                say("arena-stats", message);
                good = false;
            }
            if s.compressed > s.clumps {
                say("arena-stats", format!("{} of {} {what} clumps are compressed", s.compressed, s.clumps));
            }
            if t.indexed == t.stored {
                break;
            }
        }
        let (i, s) = (&t.indexed, &t.stored);
        if i.clumps > s.clumps || i.used > s.used {
            let message = format!(
                "{} indexed, in {}, but only {} in {} stored",
                count::either(i.clumps, "clump is", "clumps are"),
                count::of(i.used, "byte"),
                s.clumps,
                s.used
            );
            say("arena-stats", message);
        }
        good
    }

    fn check_log(&self, dev: &dyn ReadAt, t: &ArenaTail, say: Say<'_>) -> io::Result<()> {
        let (mut log, mut directory) = (Buffer::default(), Buffer::default());
        let mut sum = Stats::default();
        let end = self.base + t.stored.used;
        let sums = |sum: &Stats, said: &Stats, what: &str, say: Say<'_>| {
            let said = Stats { sealed: false, ..*said };
            if *sum != said {
                let of = |s: &Stats| {
                    let Stats { clumps, compressed, used, uncompressed, .. } = s;
                    format!(
                        "{clumps}, {compressed} compressed, in {used}, {uncompressed} before compression",
                        clumps = count::of(clumps, "clump"),
                        used = count::of(used, "byte")
                    )
                };
                say("arena-stats", format!("The tail says {what} {}, expected {}", of(&said), of(sum)));
            }
        };
        for i in 0..t.stored.clumps {
            if i == t.indexed.clumps && t.indexed != t.stored {
                sums(&sum, &t.indexed, "indexed", say);
            }
            let at = self.base + sum.used;
            let place = format!("Clump {i} at byte {} of the log", sum.used);
            if end - at < Clump::LEN as u64 {
                say("arena-stats", format!("{place} begins at the end of {}", count::of(t.stored.used, "byte")));
                return Ok(());
            }
            let clump = Clump::parse(log.get(dev, at, Clump::LEN, end)?);
            let clump = match clump {
                Ok(c) if c.magic == t.clump_magic => c,
                Ok(c) => {
                    let message = format!("{place} has magic {:08x}, expected {:08x}", c.magic, t.clump_magic);
                    say("clump-magic", message);
                    return Ok(());
                }
                Err(why) => {
                    say("clump", format!("{place} is damaged: {why}"));
                    return Ok(());
                }
            };
            let info = clump.info;
            if end - at < info.clump_len() {
                say("arena-stats", format!("{place} passes the end of {}", count::of(t.stored.used, "byte")));
                return Ok(());
            }
            if info.is_lost() {
                say("clump-lost", format!("{place} is marked as lost"));
            } else {
                let data = log.get(dev, at + Clump::LEN as u64, info.stored.into(), end)?;
                check_data(&clump, data, &place, say);
            }
            let said = ClumpInfo::parse(directory.get(dev, self.info_at(i), ClumpInfo::LEN, self.info_block(i))?);
            if said != info {
                let of = |c: &ClumpInfo| {
                    format!("{} of type {}, {}, {} stored", hex(&c.score), c.kind, count::of(c.len, "byte"), c.stored)
                };
                say("clump-info", format!("{place} is {}, but {} in the directory", of(&info), of(&said)));
            }
            sum.clumps += 1;
            sum.compressed += u32::from(info.stored < info.len);
            sum.used += info.clump_len();
            sum.uncompressed += u64::from(info.len);
        }
        sums(&sum, &t.stored, "stored", say);
        self.check_end(dev, t, sum.used, say)
    }

    /// Checks the bytes after the log: zeros, or clumps that the tail does not
    /// count.
    fn check_end(&self, dev: &dyn ReadAt, t: &ArenaTail, used: u64, say: Say<'_>) -> io::Result<()> {
        let room = self.size - self.directory_len(t.stored.clumps);
        if used + 4 > room {
            return Ok(());
        }
        let mut b = [0; 4];
        dev.read_at(self.base + used, &mut b)?;
        match u32::from_be_bytes(b) {
            0 => {}
            m if m == t.clump_magic => {
                say("unrecorded", format!("Clumps follow byte {used} of the log, which the tail does not count"));
            }
            m => say("clump-end", format!("Magic {m:08x} follows byte {used} of the log, its end; expected 00000000")),
        }
        Ok(())
    }

    /// The digest over a full arena.
    fn check_seal(&self, dev: &dyn ReadAt, t: &ArenaTail, say: Say<'_>) -> io::Result<()> {
        let mut seal = [0; SCORE_LEN];
        let end = self.base + self.size + self.block;
        dev.read_at(end - SCORE_LEN as u64, &mut seal)?;
        // Venti seals some time after the arena became full. An image may
        // also claim one that would take hours to read.
        if !t.indexed.sealed || seal == [0; SCORE_LEN] || self.size > MOST_SEALED {
            return Ok(());
        }
        let mut sum = Sha1::new();
        let mut at = self.base - self.block;
        let mut buf = vec![0; CHUNK];
        while at < end - SCORE_LEN as u64 {
            let n = (end - SCORE_LEN as u64 - at).min(CHUNK as u64) as usize;
            dev.read_at(at, &mut buf[..n])?;
            sum.update(&buf[..n]);
            at += n as u64;
        }
        sum.update([0; SCORE_LEN]);
        let found: [u8; SCORE_LEN] = sum.finalize().into();
        if found != seal {
            say("arena-seal", format!("Its seal is {}, expected {}", hex(&seal), hex(&found)));
        }
        Ok(())
    }
}

fn check_data(clump: &Clump, data: &[u8], place: &str, say: Say<'_>) {
    let unpacked;
    let data = if clump.compressed {
        match unwhack(data, clump.info.len.into()) {
            Ok(d) => {
                unpacked = d;
                &unpacked[..]
            }
            Err(why) => {
                say("clump-data", format!("{place} cannot be decompressed: {why}"));
                return;
            }
        }
    } else {
        data
    };
    let score: [u8; SCORE_LEN] = Sha1::digest(data).into();
    if score != clump.info.score {
        let message = format!("{place} has score {}, but its data {}", hex(&clump.info.score), hex(&score));
        say("clump-score", message);
    }
}

/// Bytes read ahead, for many small reads that mostly ascend.
#[derive(Default)]
struct Buffer {
    at: u64,
    bytes: Vec<u8>,
}

impl Buffer {
    /// `n` bytes at `at`, of which nothing past `end` is read.
    fn get(&mut self, dev: &dyn ReadAt, at: u64, n: usize, end: u64) -> io::Result<&[u8]> {
        let have = at.checked_sub(self.at).filter(|skip| skip + n as u64 <= self.bytes.len() as u64);
        let skip = match have {
            Some(skip) => skip as usize,
            None => {
                self.at = at;
                self.bytes.resize((end - at).min(CHUNK as u64) as usize, 0);
                dev.read_at(at, &mut self.bytes)?;
                0
            }
        };
        Ok(&self.bytes[skip..skip + n])
    }
}
