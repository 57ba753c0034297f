//! One digest for a whole tree: what a manifest says of its inputs.

use super::{Entry, Tree};
use crate::hex::hex;
use sha2::{Digest as _, Sha256};
use std::io;
use std::num::NonZeroUsize;

/// Bytes read at a time.
const CHUNK: u64 = 1 << 16;

impl Tree {
    /// SHA-256, in hexadecimal, over one line for each entry in walk order:
    /// path, mode, uid, gid, mtime, length and the SHA-256 of the bytes. Uses
    /// `jobs` threads; their number does not change the digest.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn digest(&self, jobs: NonZeroUsize) -> io::Result<String> {
        let entries = self.entries();
        let share = entries.len().div_ceil(jobs.get()).max(1);
        let parts: Vec<io::Result<Vec<String>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = entries
                .chunks(share)
                .map(|chunk| scope.spawn(move || chunk.iter().map(content).collect::<io::Result<Vec<_>>>()))
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

fn content(entry: &Entry) -> io::Result<String> {
    let Some(content) = entry.content() else { return Ok("-".into()) };
    let mut hash = Sha256::new();
    let mut buf = vec![0; content.len().min(CHUNK) as usize];
    let mut at = 0;
    while at < content.len() {
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
        let digest = |t: &Tree, n| t.digest(NonZeroUsize::new(n).unwrap()).unwrap();
        let one = digest(&tree("x", "sys"), 1);
        assert_eq!(one, digest(&tree("x", "sys"), 7));
        assert_ne!(one, digest(&tree("y", "sys"), 1));
        assert_ne!(one, digest(&tree("x", "adm"), 1));
    }
}
