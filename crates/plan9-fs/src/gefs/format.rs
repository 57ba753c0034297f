//! The fixed structures of a gefs: super block, arena headers, records of
//! files and snapshots, keys. `doc/gefs.md` has the byte maps.
//!
//! Everything is big-endian. `parse` functions take any bytes of the right
//! length; `write` functions fill exactly the structure. Nothing here knows
//! where a structure lies.

use super::hash::hash;
use crate::count;
use crate::shared::get;
use crate::tree::{Meta, Mode};

/// Bytes in a block.
pub(super) const BLOCK: usize = 16384;
/// The same, for addresses.
pub(super) const BLOCK64: u64 = BLOCK as u64;
/// First bytes of a super block: the version that p9img reads.
pub(super) const VERSION: [u8; 8] = *b"gefs9.00";
/// First bytes of all versions.
pub(super) const NAME: [u8; 4] = *b"gefs";
/// Bytes for messages in a pivot (`Bufspc` in `/sys/src/cmd/gefs/dat.h`).
pub(super) const MESSAGE_SPACE: usize = (BLOCK - PIVOT_HEAD) / 2;
/// Bytes for values in a pivot.
pub(super) const PIVOT_SPACE: usize = BLOCK - PIVOT_HEAD - MESSAGE_SPACE;
/// Bytes for values in a leaf.
pub(super) const LEAF_SPACE: usize = BLOCK - LEAF_HEAD;
/// Bytes for records in a block of a log or of a list of dead blocks.
pub(super) const LOG_SPACE: usize = BLOCK - LOG_HEAD;
pub(super) const PIVOT_HEAD: usize = 10;
pub(super) const LEAF_HEAD: usize = 6;
pub(super) const LOG_HEAD: usize = 36;
/// Longest key and longest value, in bytes.
pub(super) const MAX_KEY: usize = 256;
pub(super) const MAX_VALUE: usize = 512;
/// Most arenas (`unpacksb` asserts fewer than 256).
pub(super) const MAX_ARENAS: u32 = 255;

/// Types of blocks.
pub(super) const PIVOT: u16 = 1;
pub(super) const LEAF: u16 = 2;
pub(super) const LOG: u16 = 3;
pub(super) const DEAD: u16 = 4;
pub(super) const ARENA: u16 = 5;

/// Kinds of keys: their first byte.
pub(super) const K_DATA: u8 = 0;
pub(super) const K_ENTRY: u8 = 1;
pub(super) const K_UP: u8 = 2;
pub(super) const K_LABEL: u8 = 3;
pub(super) const K_SNAP: u8 = 4;
pub(super) const K_DEAD: u8 = 5;
pub(super) const K_CONF: u8 = 6;

/// Records of a log: their low byte.
pub(super) const ALLOC1: u8 = 1;
pub(super) const FREE1: u8 = 2;
pub(super) const SYNC: u8 = 3;
pub(super) const ALLOC: u8 = 4;
pub(super) const FREE: u8 = 5;

/// qid paths of the roots of main and adm, of the file of users, and the first
/// for anything else.
pub(super) const MAIN_ROOT_QID: u64 = 0;
pub(super) const ADM_ROOT_QID: u64 = 1;
pub(super) const USERS_QID: u64 = 2;
pub(super) const FIRST_QID: u64 = 3;
/// The directory that the root is in.
pub(super) const NOWHERE: u64 = u64::MAX;

pub(super) fn get16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(get(b, at))
}
pub(super) fn get32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(get(b, at))
}
pub(super) fn get64(b: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(get(b, at))
}
pub(super) fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_be_bytes());
}
pub(super) fn put64(b: &mut [u8], at: usize, v: u64) {
    b[at..at + 8].copy_from_slice(&v.to_be_bytes());
}

/// A pointer to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pointer {
    /// Byte of the partition.
    pub address: u64,
    pub hash: u64,
    pub generation: u64,
}

impl Pointer {
    pub(super) const LEN: usize = 24;
    pub(super) const NONE: Self = Self { address: u64::MAX, hash: u64::MAX, generation: u64::MAX };

    /// Reads the first bytes of `b`, of which there are enough.
    pub(super) fn parse(b: &[u8]) -> Self {
        Self { address: get64(b, 0), hash: get64(b, 8), generation: get64(b, 16) }
    }

    pub(super) fn write(&self) -> [u8; Self::LEN] {
        let mut b = [0; Self::LEN];
        put64(&mut b, 0, self.address);
        put64(&mut b, 8, self.hash);
        put64(&mut b, 16, self.generation);
        b
    }
}

/// The super block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Super {
    /// Height of the snapshot tree, and its root.
    pub height: u32,
    pub root: (u64, u64),
    /// Head and tail of the dead blocks of the snapshot tree.
    pub dead: [(u64, u64); 2],
    pub flags: u64,
    pub next_qid: u64,
    pub next_generation: u64,
    pub queue: u64,
    /// First header of each arena: address and hash.
    pub arenas: Vec<(u64, u64)>,
}

impl Super {
    // Offsets of the fields.
    pub(super) const BLOCK_AT: usize = 8;
    pub(super) const MESSAGES_AT: usize = 12;
    pub(super) const COUNT_AT: usize = 16;
    pub(super) const HEIGHT_AT: usize = 20;
    pub(super) const ROOT_AT: usize = 24;
    pub(super) const DEAD_AT: usize = 40;
    pub(super) const FLAGS_AT: usize = 72;
    pub(super) const NEXT_QID_AT: usize = 80;
    pub(super) const NEXT_GENERATION_AT: usize = 88;
    pub(super) const QUEUE_AT: usize = 96;
    const ARENAS_AT: usize = 104;

    /// Reads a block.
    ///
    /// # Errors
    /// Reason why no server would use it.
    pub(super) fn parse(b: &[u8]) -> Result<Self, String> {
        if b[..8] != VERSION {
            return Err(format!("it says {:?}, but p9img reads gefs9.00 alone", String::from_utf8_lossy(&b[..8])));
        }
        let (block, messages, arenas) =
            (get32(b, Self::BLOCK_AT), get32(b, Self::MESSAGES_AT), get32(b, Self::COUNT_AT));
        if block as usize != BLOCK || messages as usize != MESSAGE_SPACE {
            return Err(format!(
                "it says blocks of {block} with {messages} for messages, not {BLOCK} and {MESSAGE_SPACE}",
                block = count::of(block, "byte")
            ));
        }
        if arenas == 0 || arenas > MAX_ARENAS {
            return Err(format!(
                "it says {arenas}, but there may be 1 to {MAX_ARENAS}",
                arenas = count::of(arenas, "arena")
            ));
        }
        let end = Self::ARENAS_AT + 16 * arenas as usize;
        let (found, said) = (hash(&b[..end]), get64(b, end));
        if found != said {
            return Err(format!("its hash is {found:016x}, but it says {said:016x}"));
        }
        let pair = |at| (get64(b, at), get64(b, at + 8));
        Ok(Self {
            height: get32(b, Self::HEIGHT_AT),
            root: pair(Self::ROOT_AT),
            dead: [pair(Self::DEAD_AT), pair(Self::DEAD_AT + 16)],
            flags: get64(b, Self::FLAGS_AT),
            next_qid: get64(b, Self::NEXT_QID_AT),
            next_generation: get64(b, Self::NEXT_GENERATION_AT),
            queue: get64(b, Self::QUEUE_AT),
            arenas: (0..arenas as usize).map(|i| pair(Self::ARENAS_AT + 16 * i)).collect(),
        })
    }

    /// The whole block.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(BLOCK);
        b.extend(VERSION);
        for v in [BLOCK as u32, MESSAGE_SPACE as u32, self.arenas.len() as u32, self.height] {
            b.extend(v.to_be_bytes());
        }
        let pairs = [self.root, self.dead[0], self.dead[1]].into_iter().flat_map(|(a, h)| [a, h]);
        let numbers = [self.flags, self.next_qid, self.next_generation, self.queue];
        let arenas = self.arenas.iter().flat_map(|(a, h)| [*a, *h]);
        for v in pairs.chain(numbers).chain(arenas) {
            b.extend(v.to_be_bytes());
        }
        b.extend(hash(&b).to_be_bytes());
        b.resize(BLOCK, 0);
        b
    }
}

/// The header of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub log: (u64, u64),
    /// Bytes besides both headers.
    pub size: u64,
    pub used: u64,
}

impl Header {
    // Offsets of the fields, after the block's type.
    pub(super) const LOG_AT: usize = 2;
    pub(super) const SIZE_AT: usize = 18;
    pub(super) const USED_AT: usize = 26;

    /// Reads a block of type [`ARENA`].
    pub fn parse(b: &[u8]) -> Self {
        let log = (get64(b, Self::LOG_AT), get64(b, Self::LOG_AT + 8));
        Self { log, size: get64(b, Self::SIZE_AT), used: get64(b, Self::USED_AT) }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut b = vec![0; BLOCK];
        put16(&mut b, 0, ARENA);
        for (i, v) in [self.log.0, self.log.1, self.size, self.used].into_iter().enumerate() {
            put64(&mut b, Self::LOG_AT + 8 * i, v);
        }
        b
    }
}

/// A block of records: of a log, or addresses of dead blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Records {
    /// Address of the next block.
    pub next: u64,
    pub bytes: Vec<u8>,
}

impl Records {
    // Offsets of the fields, after the block's type. The records are at [`LOG_HEAD`].
    pub(super) const LEN_AT: usize = 2;
    pub(super) const HASH_AT: usize = 4;
    pub(super) const NEXT_AT: usize = 12;

    /// Reads a block that should be of type `kind`.
    ///
    /// # Errors
    /// Reason why the block is none of that type.
    pub(super) fn parse(b: &[u8], kind: u16) -> Result<Self, String> {
        let (found, len) = (get16(b, 0), usize::from(get16(b, Self::LEN_AT)));
        if found != kind {
            return Err(format!("it has type {found}, not {kind}"));
        }
        if len > LOG_SPACE {
            return Err(format!(
                "it says {len} of records, but has room for {LOG_SPACE}",
                len = count::of(len, "byte")
            ));
        }
        let bytes = &b[LOG_HEAD..LOG_HEAD + len];
        let (said, real) = (get64(b, Self::HASH_AT), hash(bytes));
        if said != real {
            return Err(format!("the hash of its records is {real:016x}, but it says {said:016x}"));
        }
        Ok(Self { next: get64(b, Self::NEXT_AT), bytes: bytes.to_vec() })
    }

    /// The whole block of a log.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut b = vec![0; BLOCK];
        put16(&mut b, 0, LOG);
        put16(&mut b, Self::LEN_AT, self.bytes.len() as u16);
        put64(&mut b, Self::HASH_AT, hash(&self.bytes));
        let next = Pointer { address: self.next, ..Pointer::NONE };
        b[Self::NEXT_AT..][..Pointer::LEN].copy_from_slice(&next.write());
        b[LOG_HEAD..LOG_HEAD + self.bytes.len()].copy_from_slice(&self.bytes);
        b
    }
}

/// Record of a file or directory in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dir {
    pub flags: u64,
    pub qid: u64,
    pub version: u32,
    /// Type of the qid: the upper eight bits of the mode.
    pub kind: u8,
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub atime: i64,
    pub mtime: i64,
    pub len: u64,
    pub uid: i32,
    pub gid: i32,
    pub muid: i32,
}

impl Dir {
    pub(super) const LEN: usize = 61;
    const SECOND: i64 = 1_000_000_000;
    // Offsets of the fields.
    pub(super) const FLAGS_AT: usize = 0;
    pub(super) const QID_AT: usize = 8;
    pub(super) const VERSION_AT: usize = 16;
    pub(super) const KIND_AT: usize = 20;
    pub(super) const MODE_AT: usize = 21;
    pub(super) const ATIME_AT: usize = 25;
    pub(super) const MTIME_AT: usize = 33;
    pub(super) const LENGTH_AT: usize = 41;
    pub(super) const UID_AT: usize = 49;
    pub(super) const GID_AT: usize = 53;
    pub(super) const MUID_AT: usize = 57;

    pub(super) fn new(qid: u64, meta: &Meta, len: u64, [uid, muid, gid]: [i32; 3]) -> Self {
        let time = i64::from(meta.mtime) * Self::SECOND;
        let kind = (meta.mode.0 >> 24) as u8;
        let mode = meta.mode.0;
        Self { flags: 0, qid, version: 0, kind, mode, atime: time, mtime: time, len, uid, gid, muid }
    }

    /// Reads a value; `None` when it is of another length.
    pub(super) fn parse(b: &[u8]) -> Option<Self> {
        (b.len() == Self::LEN).then(|| Self {
            flags: get64(b, Self::FLAGS_AT),
            qid: get64(b, Self::QID_AT),
            version: get32(b, Self::VERSION_AT),
            kind: b[Self::KIND_AT],
            mode: get32(b, Self::MODE_AT),
            atime: get64(b, Self::ATIME_AT).cast_signed(),
            mtime: get64(b, Self::MTIME_AT).cast_signed(),
            len: get64(b, Self::LENGTH_AT),
            uid: get32(b, Self::UID_AT).cast_signed(),
            gid: get32(b, Self::GID_AT).cast_signed(),
            muid: get32(b, Self::MUID_AT).cast_signed(),
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(Self::LEN);
        b.extend(self.flags.to_be_bytes());
        b.extend(self.qid.to_be_bytes());
        b.extend(self.version.to_be_bytes());
        b.push(self.kind);
        b.extend(self.mode.to_be_bytes());
        b.extend(self.atime.to_be_bytes());
        b.extend(self.mtime.to_be_bytes());
        b.extend(self.len.to_be_bytes());
        for id in [self.uid, self.gid, self.muid] {
            b.extend(id.to_be_bytes());
        }
        b
    }

    pub(super) fn is_dir(&self) -> bool {
        Mode(self.mode).is_dir()
    }

    /// The last change in seconds, as the server rounds it.
    pub(super) fn seconds(&self) -> u32 {
        let half = Self::SECOND / 2;
        (self.mtime.saturating_add(half) / Self::SECOND).clamp(0, u32::MAX.into()) as u32
    }
}

/// A snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snap {
    /// Snapshots made from it, and labels.
    pub references: u32,
    pub labels: u32,
    pub height: u32,
    pub flags: u32,
    pub generation: u64,
    pub before: u64,
    pub after: u64,
    pub base: u64,
    pub root: Pointer,
}

impl Snap {
    pub(super) const LEN: usize = 48 + Pointer::LEN;
    // Offsets of the fields.
    pub(super) const REFERENCES_AT: usize = 0;
    pub(super) const LABELS_AT: usize = 4;
    pub(super) const HEIGHT_AT: usize = 8;
    pub(super) const FLAGS_AT: usize = 12;
    pub(super) const GENERATION_AT: usize = 16;
    pub(super) const BEFORE_AT: usize = 24;
    pub(super) const AFTER_AT: usize = 32;
    pub(super) const BASE_AT: usize = 40;
    /// Offset of the pointer to the root.
    pub(super) const ROOT_AT: usize = 48;

    /// Reads a value; `None` when it is of another length.
    pub(super) fn parse(b: &[u8]) -> Option<Self> {
        (b.len() == Self::LEN).then(|| Self {
            references: get32(b, Self::REFERENCES_AT),
            labels: get32(b, Self::LABELS_AT),
            height: get32(b, Self::HEIGHT_AT),
            flags: get32(b, Self::FLAGS_AT),
            generation: get64(b, Self::GENERATION_AT),
            before: get64(b, Self::BEFORE_AT),
            after: get64(b, Self::AFTER_AT),
            base: get64(b, Self::BASE_AT),
            root: Pointer::parse(&b[Self::ROOT_AT..]),
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(Self::LEN);
        for v in [self.references, self.labels, self.height, self.flags] {
            b.extend(v.to_be_bytes());
        }
        for v in [self.generation, self.before, self.after, self.base] {
            b.extend(v.to_be_bytes());
        }
        b.extend(self.root.write());
        b
    }
}

/// Snapshot and flags of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub snap: u64,
    pub flags: u32,
}

impl Label {
    /// The flag of what may be changed.
    pub(super) const MUTABLE: u32 = 1;
    const LEN: usize = 13;
    // Offsets of the fields, after the kind of a key.
    pub(super) const SNAP_AT: usize = 1;
    pub(super) const FLAGS_AT: usize = 9;

    pub(super) fn parse(b: &[u8]) -> Option<Self> {
        (b.len() == Self::LEN && b[0] == K_SNAP)
            .then(|| Self { snap: get64(b, Self::SNAP_AT), flags: get32(b, Self::FLAGS_AT) })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        [&[K_SNAP][..], &self.snap.to_be_bytes(), &self.flags.to_be_bytes()].concat()
    }
}

/// A key of a kind and a number: a directory's way up, or a snapshot.
pub(super) fn number_key(kind: u8, n: u64) -> Vec<u8> {
    [&[kind][..], &n.to_be_bytes()].concat()
}

/// The key of the piece of a file at `offset`.
pub(super) fn data_key(qid: u64, offset: u64) -> Vec<u8> {
    [&[K_DATA][..], &qid.to_be_bytes(), &offset.to_be_bytes()].concat()
}

/// The key of a file in a directory.
pub(super) fn entry_key(dir: u64, name: &[u8]) -> Vec<u8> {
    [&[K_ENTRY][..], &dir.to_be_bytes(), &(name.len() as u16).to_be_bytes(), name, &[0]].concat()
}

/// The key of a label or of a word of the configuration.
pub(super) fn text_key(kind: u8, text: &[u8]) -> Vec<u8> {
    [&[kind], text].concat()
}

/// Directory and name of a key that [`entry_key`] made.
pub(super) fn parse_entry_key(key: &[u8]) -> Option<(u64, &[u8])> {
    let (&kind, rest) = key.split_first()?;
    if kind != K_ENTRY || rest.len() < 11 {
        return None;
    }
    let name = &rest[10..rest.len() - 1];
    let whole = usize::from(get16(rest, 8)) == name.len() && rest.last() == Some(&0);
    whole.then(|| (get64(rest, 0), name))
}

/// qid path and offset of a key that [`data_key`] made.
pub(super) fn parse_data_key(key: &[u8]) -> Option<(u64, u64)> {
    (key.len() == 17 && key[0] == K_DATA).then(|| (get64(key, 1), get64(key, 9)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_dat_h() {
        assert_eq!((MESSAGE_SPACE, PIVOT_SPACE, LEAF_SPACE, LOG_SPACE), (8187, 8187, 16378, 16348));
        let meta = Meta::new(Mode::dir(0o775), "sys", "sys", 7);
        let d = Dir::new(9, &meta, 0, [-1, 2, 10_000]);
        assert_eq!((d.write().len(), Dir::parse(&d.write()), d.seconds()), (61, Some(d), 7));
        let s = Snap {
            references: 2,
            labels: 1,
            height: 3,
            flags: 0,
            generation: 4,
            before: 5,
            after: 6,
            base: 7,
            root: Pointer { address: 8, hash: 9, generation: 10 },
        };
        assert_eq!((s.write().len(), Snap::parse(&s.write())), (72, Some(s)));
        let l = Label { snap: 2, flags: 1 };
        assert_eq!(Label::parse(&l.write()), Some(l));
    }

    #[test]
    fn a_super_block_comes_back_and_a_changed_one_does_not() {
        let s = Super {
            height: 1,
            root: (BLOCK64, 2),
            dead: [(u64::MAX, u64::MAX); 2],
            flags: 0,
            next_qid: 3,
            next_generation: 4,
            queue: 0,
            arenas: vec![(1, 2); 8],
        };
        let mut b = s.write();
        assert_eq!(Super::parse(&b), Ok(s));
        b[80] ^= 1;
        assert!(Super::parse(&b).unwrap_err().starts_with("its hash is "));
    }

    #[test]
    fn keys_of_names_carry_their_length_first() {
        let key = entry_key(NOWHERE, b"");
        assert_eq!(key, [1, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0]);
        assert!(entry_key(1, b"zz") < entry_key(1, b"aaa"));
        assert_eq!(parse_entry_key(&entry_key(7, b"name")), Some((7, &b"name"[..])));
        assert_eq!(parse_entry_key(&key[..11]), None);
        assert_eq!(parse_data_key(&data_key(7, BLOCK64)), Some((7, BLOCK64)));
    }
}
