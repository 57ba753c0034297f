//! Images with some bytes changed, and what must hold of them: whatever keeps
//! somebody from reading the whole tree, a check finds.

use crate::read_at::{ReadAt, check_range};
use crate::{FileSystem, walk};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// Bytes that are read at the start and at the end of each file.
const SOME: u64 = 256 << 10;
/// Most bytes that `extract` writes from the smallest image.
const MOST: u64 = 1 << 30;

/// A sound image, and where its structures are: the lines of 16 bytes that are
/// not all zeros, and the next one.
pub(crate) struct Sound {
    bytes: Arc<[u8]>,
    spots: Vec<usize>,
}

/// Change of one byte.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    To(u8),
    Bit(u8),
}

/// Places among the spots, and what is done there.
pub(crate) type Wounds = Vec<(Index, Change)>;

pub(crate) fn some() -> impl Strategy<Value = Wounds> {
    let change = prop_oneof![any::<u8>().prop_map(Change::To), (0..8u8).prop_map(Change::Bit)];
    prop::collection::vec((any::<Index>(), change), 1..4)
}

impl Sound {
    /// An image whose files hold zeros alone, so that its structures are all
    /// that can be wounded.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let lines = bytes.chunks(16).map(|line| line.iter().any(|b| *b != 0));
        let used: Vec<bool> = lines.collect();
        let hurts = |i: usize| used[i] || i > 0 && used[i - 1];
        let spots = (0..used.len()).filter(|i| hurts(*i)).flat_map(|i| 16 * i..(16 * i + 16).min(bytes.len()));
        let spots = spots.collect();
        Self { spots, bytes: bytes.into() }
    }

    /// The image with wounds.
    pub(crate) fn wounded(&self, wounds: &Wounds) -> Arc<dyn ReadAt> {
        let mut changed: Vec<(usize, u8)> = Vec::new();
        for (at, change) in wounds {
            let at = self.spots[at.index(self.spots.len())];
            let new = match change {
                Change::To(new) => *new,
                Change::Bit(bit) => self.bytes[at] ^ 1 << bit,
            };
            changed.push((at, new));
        }
        Arc::new(Wounded { bytes: self.bytes.clone(), changed })
    }

    /// The image with every bit of every spot turned, one at a time; `step`
    /// leaves out all but each so manyth.
    pub(crate) fn each_bit(&self, step: usize) -> impl Iterator<Item = (String, Arc<dyn ReadAt>)> + '_ {
        let all = self.spots.iter().flat_map(|at| (0..8).map(move |bit| (*at, bit)));
        all.step_by(step).map(|(at, bit)| {
            let changed = vec![(at, self.bytes[at] ^ 1 << bit)];
            let image: Arc<dyn ReadAt> = Arc::new(Wounded { bytes: self.bytes.clone(), changed });
            (format!("bit {bit} of byte {at:#x}"), image)
        })
    }
}

struct Wounded {
    bytes: Arc<[u8]>,
    changed: Vec<(usize, u8)>,
}

impl ReadAt for Wounded {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_range("wounded image", offset, buf.len(), self.len())?;
        let from = offset as usize;
        buf.copy_from_slice(&self.bytes[from..from + buf.len()]);
        for (at, new) in &self.changed {
            if let Some(b) = at.checked_sub(from).and_then(|i| buf.get_mut(i)) {
                *b = *new;
            }
        }
        Ok(())
    }
}

/// Reads everything as `ls`, `cat` and `extract` do; why they would fail.
pub(crate) fn read_everything(fs: &dyn FileSystem) -> Result<(), String> {
    let root = fs.root().map_err(|e| format!("root: {e}"))?;
    let mut claimed = 0u64;
    let mut names = std::collections::BTreeSet::new();
    walk::<io::Error>(fs, &root, &mut |path, n| {
        let shown = String::from_utf8_lossy(path).into_owned();
        let fail = |why: String| Err(io::Error::other(format!("{shown}: {why}")));
        if n.name.is_empty() || n.name == b"." || n.name == b".." || n.name.iter().any(|b| matches!(b, 0 | b'/')) {
            return fail("no folder can hold this name".into());
        }
        if !names.insert(path.to_vec()) {
            return fail("the name appears twice".into());
        }
        if n.meta.mode.is_dir() {
            return Ok(());
        }
        claimed = claimed.saturating_add(n.len);
        let (mut at, mut buf) = (0, vec![0; 20_000]);
        while at < n.len {
            match fs.read(n, at, &mut buf) {
                Ok(0) => return fail(format!("it ends at {at}, not at {}", n.len)),
                Ok(got) => at += got as u64,
                Err(e) => return fail(format!("at {at}: {e}")),
            }
            if at >= SOME && at < n.len.saturating_sub(SOME) {
                at = n.len - SOME;
            }
        }
        Ok(())
    })
    .map_err(|e| e.to_string())?;
    if claimed > MOST { Err(format!("the files have {claimed} bytes")) } else { Ok(()) }
}

/// Tests the property on one image.
///
/// # Errors
/// Fails when the tree cannot be read, though a check finds nothing.
pub(crate) fn found(fs: &dyn FileSystem) -> Result<(), String> {
    let Err(why) = read_everything(fs) else { return Ok(()) };
    match super::findings(fs).is_empty() {
        true => Err(format!("a check finds nothing, but {why}")),
        false => Ok(()),
    }
}

/// Tests the property on images from a strategy, opened by `open`; one that cannot be
/// opened has it. `file` is the source file of the test, for its recorded failures.
pub(crate) fn what_cannot_be_read_is_found<S, F, E>(
    file: &'static str,
    images: &S,
    open: impl Fn(S::Value) -> Result<F, E>,
) where
    S: Strategy<Value: Debug>,
    F: FileSystem,
{
    let config = ProptestConfig { source_file: Some(file), ..ProptestConfig::default() };
    let property = |image| open(image).map_or(Ok(()), |fs| found(&fs).map_err(TestCaseError::fail));
    TestRunner::new(config).run(images, property).unwrap_or_else(|e| panic!("{e}"));
}

/// Tests the property on images with one bit changed, which [`Sound::each_bit`] makes.
pub(crate) fn no_bit_hides_what_cannot_be_read<F: FileSystem, E>(
    images: impl Iterator<Item = (String, Arc<dyn ReadAt>)>,
    open: impl Fn(Arc<dyn ReadAt>) -> Result<F, E>,
) {
    for (wound, image) in images {
        let Ok(fs) = open(image) else { continue };
        found(&fs).unwrap_or_else(|e| panic!("{wound}: {e}"));
    }
}
