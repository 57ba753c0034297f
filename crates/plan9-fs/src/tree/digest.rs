//! One digest for a whole tree: what a manifest says of its inputs.

use super::{Entry, Tree};
use crate::hex::hex;
use sha2::{Digest as _, Sha256};
use std::io;
use std::num::NonZeroUsize;

/// Bytes read at a time.
const CHUNK: u64 = 1 << 16;

/// Hook that long work asks between two pieces whether to continue: an error
/// ends it.
pub type GoOn = dyn Fn() -> io::Result<()> + Sync;

impl Tree {
    /// SHA-256, in hexadecimal, over one line for each entry in walk order:
    /// path, mode, uid, gid, mtime, length and the SHA-256 of the bytes. Uses
    /// `jobs` threads; their number does not change the digest. `go_on` is
    /// asked before each 64 KiB; its error ends the work.
    ///
    /// # Errors
    /// Error of a file that cannot be read, or of `go_on`.
    pub fn digest(&self, jobs: NonZeroUsize, go_on: &GoOn) -> io::Result<String> {
        let entries = self.entries();
        let share = entries.len().div_ceil(jobs.get()).max(1);
        let parts: Vec<io::Result<Vec<String>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = entries
                .chunks(share)
                .map(|chunk| {
                    scope.spawn(move || chunk.iter().map(|e| content(e, go_on)).collect::<io::Result<Vec<_>>>())
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
        });
        let mut contents = Vec::with_capacity(entries.len());
        for part in parts {
            contents.extend(part?);
        }
        let mut whole = Sha256::new();
        self.walk(|path, id, e| {
            let m = &e.meta;
            whole.update(path);
            let rest =
                format!("\0{:o} {} {} {} {} {}\n", m.mode.0, m.uid, m.gid, m.mtime, e.len(), contents[id.index()]);
            whole.update(rest);
        });
        Ok(hex(&whole.finalize()))
    }
}

fn content(entry: &Entry, go_on: &GoOn) -> io::Result<String> {
    let Some(content) = entry.content() else { return Ok("-".into()) };
    let mut hash = Sha256::new();
    let mut buf = vec![0; content.len().min(CHUNK) as usize];
    let mut at = 0;
    while at < content.len() {
        go_on()?;
        let n = (content.len() - at).min(CHUNK) as usize;
        content.read_at(at, &mut buf[..n])?;
        hash.update(&buf[..n]);
        at += n as u64;
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::super::{Content, EntryId, Meta, Mode};
    use super::*;

    fn tree(bytes: &str, uid: &str) -> Tree {
        let mut t = Tree::new(Meta::new(Mode::dir(0o775), "sys", "sys", 0));
        t.push(
            EntryId::ROOT,
            b"a",
            Meta::new(Mode::file(0o664), uid, "sys", 0),
            Some(Content::bytes(bytes.as_bytes())),
        );
        t.push(EntryId::ROOT, b"b", Meta::new(Mode::dir(0o775), "sys", "sys", 0), None);
        t
    }

    #[test]
    fn the_digest_sees_bytes_and_metadata_but_not_threads() {
        let digest = |t: &Tree, n| t.digest(NonZeroUsize::new(n).unwrap(), &|| Ok(())).unwrap();
        let one = digest(&tree("x", "sys"), 1);
        assert_eq!(one, digest(&tree("x", "sys"), 7));
        assert_ne!(one, digest(&tree("y", "sys"), 1));
        assert_ne!(one, digest(&tree("x", "adm"), 1));
    }

    #[test]
    fn the_hook_ends_the_work() {
        let refuse = || Err(io::Error::other("enough"));
        let said = tree("x", "sys").digest(NonZeroUsize::MIN, &refuse).unwrap_err();
        assert_eq!(said.to_string(), "enough");
    }
}
