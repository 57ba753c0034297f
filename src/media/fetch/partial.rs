//! A download that is not complete, and the note that is needed to go on with
//! it.
//!
//! A small text next to the bytes says what the server called this version of
//! the file, and the digest of the bytes up to some point. A run that finds
//! them goes on from that point, after it has checked that they are the ones:
//! what was written after it by a run that was killed is fetched again.

use crate::digest::Digest;
use crate::hex::hex;
use crate::lock;
use crate::media::store::{Lock, Room, Store, StoreError};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Bytes between two points that a killed run can be taken up from.
const STEP: u64 = 2 << 20;
/// Bytes of the text that are read.
const LARGEST: u64 = 16 << 10;

/// Validators of a version of a file, from the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    pub etag: Option<String>,
    pub modified: Option<String>,
    /// Bytes of the whole file.
    pub total: Option<u64>,
}

impl Version {
    /// Validator for `If-Range`, where a weak tag is not allowed.
    pub fn validator(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| !tag.starts_with("W/")).or(self.modified.as_deref())
    }
}

/// The text of the file next to the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    pub version: Version,
    /// So many bytes have this digest.
    good: Option<(u64, Digest)>,
    /// The file was complete once, and had this digest.
    pub complete: Option<Digest>,
}

impl Note {
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |key: &str, value: Option<String>| {
            let _ = value.map(|value| writeln!(text, "{key} {value}"));
        };
        line("etag", self.version.etag.clone());
        line("modified", self.version.modified.clone());
        line("total", self.version.total.map(|n| n.to_string()));
        line("good", self.good.map(|(n, digest)| format!("{n} {digest}")));
        line("complete", self.complete.map(|digest| digest.to_string()));
        text
    }

    /// Empty when anything in it cannot be understood: then all is fetched anew.
    pub fn parse(text: &str) -> Self {
        let parse = || {
            let mut note = Self::default();
            for line in text.split_terminator('\n') {
                match line.split_once(' ')? {
                    ("etag", value) => note.version.etag = Some(value.into()),
                    ("modified", value) => note.version.modified = Some(value.into()),
                    ("total", value) => note.version.total = Some(value.parse().ok()?),
                    ("good", value) => {
                        let (n, digest) = value.split_once(' ')?;
                        note.good = Some((n.parse().ok()?, digest.parse().ok()?));
                    }
                    ("complete", value) => note.complete = Some(value.parse().ok()?),
                    _ => return None,
                }
            }
            Some(note)
        };
        parse().unwrap_or_default()
    }
}

/// A download from one address, locked against others.
pub(super) struct Partial {
    path: PathBuf,
    _lock: Lock,
    file: File,
    pub note: Note,
    hash: Sha256,
    len: u64,
    /// Whether some of the bytes came by an earlier request.
    pub resumed: bool,
}

impl Partial {
    /// Waits for others who fetch from there, and takes up what is good of it.
    pub fn open(store: &Store, url: &str) -> Result<Self, StoreError> {
        let (path, lock) = store.partial(url)?;
        let fail = |source| StoreError::Write { path: path.clone(), source };
        let note = read_note(&path);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(part(&path));
        let mut file = file.map_err(fail)?;
        let (hash, len) = match note.good {
            Some((len, digest)) => prefix(&mut file, len, digest),
            None => (Sha256::new(), 0),
        };
        let mut partial = Self { path: path.clone(), _lock: lock, file, note, hash, len, resumed: len > 0 };
        partial.seek().map_err(fail)?;
        Ok(partial)
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// Path of the bytes.
    pub fn path(&self) -> PathBuf {
        part(&self.path)
    }

    /// Drops all bytes; what comes now is `version`.
    pub fn restart(&mut self, version: Version) -> Result<(), StoreError> {
        (self.hash, self.len, self.resumed) = (Sha256::new(), 0, false);
        self.seek().map_err(|e| self.fail(e))?;
        self.note = Note { version, ..Note::default() };
        self.write_note()
    }

    pub fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|e| self.fail(e))?;
        self.hash.update(bytes);
        let before = self.len / STEP;
        self.len += bytes.len() as u64;
        if self.len / STEP > before { self.mark() } else { Ok(()) }
    }

    /// Looks whether there is room for more; what is there stays, for a run that finds more room.
    pub fn room(&mut self, room: &mut Room, store: &Store) -> Result<(), StoreError> {
        if let Err(e) = room.at(store, self.len) {
            self.mark()?;
            return Err(self.fail(e));
        }
        Ok(())
    }

    /// Notes that the bytes up to here are good.
    pub fn mark(&mut self) -> Result<(), StoreError> {
        self.note.good = (self.len > 0).then(|| (self.len, self.digest()));
        self.write_note()
    }

    /// Digest of all bytes so far.
    pub fn digest(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }

    /// Notes that the file was complete; its bytes are elsewhere now, or of no use.
    pub fn finish(&mut self, digest: Option<Digest>) -> Result<(), StoreError> {
        let _ = fs::remove_file(self.path());
        self.note.good = None;
        self.note.complete = digest;
        if digest.is_none() {
            let _ = fs::remove_file(&self.path);
            return Ok(());
        }
        self.write_note()
    }

    fn seek(&mut self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.len)).map(drop)
    }

    fn write_note(&self) -> Result<(), StoreError> {
        let dir = self.path.parent().unwrap_or(&self.path);
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
            let _ = lock::wait(file.path(), file.as_file());
            file.write_all(self.note.text().as_bytes())?;
            file.persist(&self.path).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(|e| self.fail(e))
    }

    fn fail(&self, source: io::Error) -> StoreError {
        StoreError::Write { path: self.path.clone(), source }
    }
}

fn part(note: &Path) -> PathBuf {
    note.with_extension("part")
}

fn read_note(path: &Path) -> Note {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)) {
        Ok(_) => Note::parse(&text),
        Err(_) => Note::default(),
    }
}

/// The state after the first `len` bytes, if they have this digest.
fn prefix(file: &mut File, len: u64, digest: Digest) -> (Sha256, u64) {
    let mut hash = Sha256::new();
    let copied = io::copy(&mut file.take(len), &mut Hashing(&mut hash));
    let same = copied.is_ok_and(|n| n == len) && hex(&hash.clone().finalize()) == digest.to_string();
    if same { (hash, len) } else { (Sha256::new(), 0) }
}

struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_as_it_was_written() {
        let note = Note {
            version: Version { etag: Some("\"a b\"".into()), modified: Some("Wed, 1".into()), total: Some(7) },
            good: Some((3, Digest::of(b"x"))),
            complete: Some(Digest::of(b"y")),
        };
        assert_eq!(Note::parse(&note.text()), note);
        assert_eq!(Note::parse(""), Note::default());
        for broken in ["etag", "good 3", "total x", "what is this", "good 3 00"] {
            assert_eq!(Note::parse(&format!("{}{broken}\n", note.text())), Note::default(), "{broken}");
        }
    }

    #[test]
    fn only_bytes_that_are_good_are_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let bytes: Vec<u8> = (0..STEP as u32 + 100).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        {
            let mut partial = Partial::open(&store, "u").unwrap();
            partial.restart(Version::default()).unwrap();
            partial.add(&bytes[..10]).unwrap();
            partial.mark().unwrap();
            // As a run that is killed: no more is noted until the next step.
            partial.add(&bytes[10..50]).unwrap();
        }
        {
            let mut partial = Partial::open(&store, "u").unwrap();
            assert_eq!((partial.len(), partial.digest()), (10, Digest::of(&bytes[..10])));
            partial.add(&bytes[10..]).unwrap();
        }
        let mut partial = Partial::open(&store, "u").unwrap();
        assert!(partial.len() >= STEP && partial.resumed);
        assert_eq!(partial.digest(), Digest::of(&bytes[..partial.len() as usize]));
        let path = partial.path();
        partial.mark().unwrap();
        drop(partial);
        let mut wrong = fs::read(&path).unwrap();
        wrong[5] ^= 1;
        fs::write(&path, wrong).unwrap();
        assert_eq!(Partial::open(&store, "u").unwrap().len(), 0, "flipped bytes are dropped");
    }
}
