//! Fetching from servers good and bad: the right file, or one clear error, and
//! never a wrong file in the store.

mod commands;
mod tls;
mod transfer;
mod web;

use p9img::digest::Digest;
use p9img::media::fetch::{FetchError, Fetched, Monitor, Settings, Wanted, fetch};
use p9img::media::store::{Name, Store};
use p9img::read_at::ReadAt as _;
use std::time::Duration;

/// Enough for fifty cuts at different places, and quick.
const LEN: usize = 300_007;

/// The medium of most tests, of this version.
fn medium(version: u32) -> Vec<u8> {
    (0..LEN as u32).map(|i| ((i ^ version).wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

/// Bytes of [`archive`].
const ARCHIVE: usize = 303_616;

/// A medium of this version that p9img can read: a system's marks, and bytes of
/// no meaning.
fn archive(version: u32) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let junk = medium(version);
    let marks = ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc"].map(|path| (path, &b""[..]));
    for (path, bytes) in marks.into_iter().chain([("junk", &junk[..])]) {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    assert_eq!(bytes.len(), ARCHIVE);
    bytes
}

struct Quiet;

impl Monitor for Quiet {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}
}

/// A store that checks itself when the test is over.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        Self { dir, store }
    }

    fn get(&self, urls: &[String], sha256: Option<Digest>, len: Option<u64>) -> Result<Fetched, FetchError> {
        let limit = Duration::from_millis(400);
        let settings = Settings { connect: limit, idle: limit, pause: Duration::ZERO, ..Settings::default() };
        let wanted = Wanted { name: "m", urls, sha256, len, said_by: "the test" };
        // As another run: it remembers nothing.
        let store = Store::at(self.dir.path());
        fetch(&store, &settings, &wanted, &Quiet)
    }

    /// Fetches and has the right bytes.
    fn gets(&self, urls: &[String], bytes: &[u8]) -> Fetched {
        let fetched = self.get(urls, Some(Digest::of(bytes)), None).unwrap();
        let mut found = vec![0; fetched.file.len() as usize];
        fetched.file.read_at(0, &mut found).unwrap();
        assert!(found == bytes);
        self.holds(&[bytes]);
        fetched
    }

    /// Fails, names the address and says these words; nothing is in the store.
    fn fails(&self, url: &str, sha256: Option<Digest>, words: &[&str]) {
        let error = self.get(&[url.to_owned()], sha256, None).unwrap_err().to_string();
        for word in [url, "medium m"].iter().chain(words) {
            assert!(error.contains(word), "should say {word:?}: {error}");
        }
        assert!(!error.contains('\n'), "one sentence: {error}");
        self.holds(&[]);
    }

    /// The store has these files and no other.
    fn holds(&self, files: &[&[u8]]) {
        let mut expected: Vec<_> = files.iter().map(|bytes| Name::Content(Digest::of(bytes))).collect();
        expected.sort();
        let found: Vec<_> = self.store.entries().unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(found, expected);
        assert!(found.iter().all(|name| self.store.verify(name).unwrap()));
        let content = self.dir.path().join("content");
        let names = std::fs::read_dir(content).map_or(0, |d| d.count());
        assert_eq!(names, 2 * files.len(), "a file and its record, and nothing else");
    }
}
