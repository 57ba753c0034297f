//! Looking things up in a tree: what leaves say, changed by the messages that
//! wait in the pivots above, the lowest first.
//!
//! No image leads a reader in circles: heights count down, and a block must
//! have all its keys between those that the pivot above says, so that it can
//! be below one of them only.

use super::format::{Dir, Pointer, Snap, get32, get64};
use super::node::{CLEAR, CLOBBER, DELETE, INSERT, Message, Node, RELINK, REPREV, WSTAT};
use super::volume::{Volume, block_name};
use crate::error::damaged;
use std::collections::BTreeMap;
use std::io;

/// Higher than any tree: with two values in each pivot, one of all the blocks
/// that there can be.
pub(super) const MAX_HEIGHT: u32 = 50;

/// Keys and values.
pub(super) type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// The keys from one on, up to another.
#[derive(Clone, Copy)]
pub(super) struct Range<'a> {
    pub from: &'a [u8],
    /// `None`: to the end.
    pub to: Option<&'a [u8]>,
}

impl Range<'_> {
    pub(super) fn has(&self, key: &[u8]) -> bool {
        key >= self.from && self.to.is_none_or(|to| key < to)
    }
}

/// The first key after all that begin with `prefix`; `None` when there is none.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|b| *b != 255)?;
    let mut out = prefix[..=kept].to_vec();
    out[kept] += 1;
    Some(out)
}

impl Volume {
    /// The values of a tree whose keys begin with `prefix`.
    pub(super) fn scan(&self, root: &Pointer, height: u32, prefix: &[u8]) -> io::Result<Values> {
        let end = behind(prefix);
        self.range(root, height, Range { from: prefix, to: end.as_deref() })
    }

    /// One value.
    pub(super) fn lookup(&self, root: &Pointer, height: u32, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let end = [key, &[0]].concat();
        Ok(self.range(root, height, Range { from: key, to: Some(&end) })?.remove(key))
    }

    /// The values of a tree in a range.
    pub(super) fn range(&self, root: &Pointer, height: u32, want: Range<'_>) -> io::Result<Values> {
        if height == 0 || height > MAX_HEIGHT {
            return Err(damaged(format!(
                "The tree at {:x} has height {height}, but may have 1 to {MAX_HEIGHT}",
                root.address
            )));
        }
        let mut out = Values::new();
        self.gather(root, height, Range { from: &[], to: None }, want, &mut out)?;
        Ok(out)
    }

    fn gather(
        &self,
        at: &Pointer,
        height: u32,
        within: Range<'_>,
        want: Range<'_>,
        out: &mut Values,
    ) -> io::Result<()> {
        let node = self.node(at)?;
        fits(&node, height, within).map_err(|(_, why)| damaged(format!("{}: {why}", block_name(at.address))))?;
        if !node.is_pivot() {
            for i in (0..node.len()).filter(|i| want.has(node.key(*i))) {
                out.insert(node.key(i).to_vec(), node.value(i).to_vec());
            }
            return Ok(());
        }
        for i in 0..node.len() {
            let from = node.key(i);
            let to = if i + 1 < node.len() { Some(node.key(i + 1)) } else { within.to };
            let before = to.is_some_and(|to| to <= want.from);
            let behind = want.to.is_some_and(|end| from >= end);
            if !before && !behind {
                self.gather(&node.child(i).0, height - 1, Range { from, to }, want, out)?;
            }
        }
        for message in node.messages().filter(|m| want.has(m.key)) {
            apply(&message, out).map_err(|why| damaged(format!("{}: {why}", block_name(at.address))))?;
        }
        Ok(())
    }
}

/// Whether a block can be at a height, with all its keys within a range; else
/// the kind of finding, and why.
pub(super) fn fits(node: &Node, height: u32, within: Range<'_>) -> Result<(), (&'static str, String)> {
    if node.is_pivot() != (height > 1) {
        let what = if node.is_pivot() { "pivot" } else { "leaf" };
        return Err(("height", format!("it is a {what}, but at height {height}")));
    }
    match within.has(node.key(0)) && within.has(node.last_key()) {
        true => Ok(()),
        false => Err(("order", "its keys are out of the range that the pivot above gives".into())),
    }
}

/// Changes values as a message says.
///
/// # Errors
/// Reason why the message does not apply.
pub(super) fn apply(m: &Message<'_>, values: &mut Values) -> Result<(), String> {
    match m.kind {
        INSERT => {
            values.insert(m.key.to_vec(), m.value.to_vec());
        }
        DELETE | CLEAR | CLOBBER => {
            values.remove(m.key);
        }
        WSTAT | RELINK | REPREV => {
            let value = values.get_mut(m.key).ok_or("a message changes a value that does not exist")?;
            let changed = if m.kind == WSTAT { wstat(value, m.value) } else { link(value, m) };
            *value = changed.ok_or_else(|| format!("a message of kind {} is not possible here", m.kind))?;
        }
        other => return Err(format!("there is a message of unknown kind {other}")),
    }
    Ok(())
}

/// A file changed by [`WSTAT`].
fn wstat(value: &[u8], change: &[u8]) -> Option<Vec<u8>> {
    let mut d = Dir::parse(value)?;
    let (bits, mut rest) = change.split_first()?;
    d.version = d.version.wrapping_add(1);
    let mut take = |bit: u8, n: usize| -> Option<Option<&[u8]>> {
        if bits & 1 << bit == 0 {
            return Some(None);
        }
        let (field, more) = rest.split_at_checked(n)?;
        rest = more;
        Some(Some(field))
    };
    if let Some(b) = take(0, 8)? {
        d.len = get64(b, 0);
    }
    if let Some(b) = take(1, 4)? {
        d.mode = get32(b, 0);
        d.kind = (d.mode >> 24) as u8;
    }
    if let Some(b) = take(2, 8)? {
        d.mtime = get64(b, 0).cast_signed();
    }
    if let Some(b) = take(3, 8)? {
        d.atime = get64(b, 0).cast_signed();
    }
    for (bit, id) in [(4, &mut d.uid), (5, &mut d.gid), (6, &mut d.muid)] {
        if let Some(b) = take(bit, 4)? {
            *id = get32(b, 0).cast_signed();
        }
    }
    (rest.is_empty() && bits & 0x80 == 0).then(|| d.write())
}

/// A snapshot changed by [`RELINK`] or [`REPREV`].
fn link(value: &[u8], m: &Message<'_>) -> Option<Vec<u8>> {
    let mut s = Snap::parse(value)?;
    let (to, [labels, references]) = (m.value.get(..8)?, m.value.get(8..)?.try_into().ok()?);
    *(if m.kind == RELINK { &mut s.after } else { &mut s.before }) = get64(to, 0);
    let more = |n: u32, by: u8| n.checked_add_signed(i32::from(by.cast_signed()));
    s.labels = more(s.labels, labels)?;
    s.references = more(s.references, references)?;
    Some(s.write())
}

#[cfg(test)]
mod tests {
    use super::super::format::entry_key;
    use super::*;
    use crate::tree::{Meta, Mode};

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        assert_eq!(behind(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(behind(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(behind(&[255]), None);
    }

    #[test]
    fn messages_change_values_in_their_order() {
        let key = entry_key(3, b"f");
        let dir = Dir::new(7, &Meta::new(Mode::file(0o664), "a", "b", 5), 9, [1, 2, 3]);
        let value = dir.write();
        let mut values = Values::new();
        let mut say = |kind, value: &[u8]| apply(&Message { kind, key: &key, value }, &mut values);
        assert_eq!(say(WSTAT, &[0]), Err("a message changes a value that does not exist".into()));
        say(CLEAR, &[]).unwrap();
        say(INSERT, &value).unwrap();
        let all = [&[0x7f][..], &77u64.to_be_bytes(), &0o600u32.to_be_bytes(), &1u64.to_be_bytes()].concat();
        let ids = [9i32, 8, -1].map(i32::to_be_bytes).concat();
        say(WSTAT, &[&all[..], &2u64.to_be_bytes(), &ids].concat()).unwrap();
        say(WSTAT, &[0]).unwrap();
        assert_eq!(say(WSTAT, &[1, 2]), Err("a message of kind 5 is not possible here".into()));
        assert_eq!(say(9, &[]), Err("there is a message of unknown kind 9".into()));
        let mut want = Dir { version: 2, len: 77, mode: 0o600, mtime: 1, atime: 2, uid: 9, gid: 8, muid: -1, ..dir };
        want.kind = 0;
        assert_eq!(Dir::parse(&values[&key]), Some(want));
        apply(&Message { kind: DELETE, key: &key, value: &[] }, &mut values).unwrap();
        assert!(values.is_empty());
    }
}
