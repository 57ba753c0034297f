//! Leaves and pivots: blocks of keys with values, and in pivots messages.
//! [`Filler`] puts one together; [`Node`] reads one of any origin.

use super::format::{
    BLOCK, LEAF, LEAF_HEAD, LEAF_SPACE, MAX_KEY, MAX_VALUE, MESSAGE_SPACE, PIVOT, PIVOT_HEAD, PIVOT_SPACE, Pointer,
    get16, put16,
};
use crate::count;

/// Bytes of a value and of a message besides key and value: lengths and kind.
const VALUE_COST: usize = 4;
const MESSAGE_COST: usize = 5;
// Offsets in the head of a block, after its type: number and bytes of the values and,
// in pivots, of the messages.
pub(super) const COUNT_AT: usize = 2;
pub(super) const BYTES_AT: usize = 4;
pub(super) const MESSAGE_COUNT_AT: usize = 6;
pub(super) const MESSAGE_BYTES_AT: usize = 8;
/// Bytes of a value's or message's offset in the table.
const SLOT: usize = 2;
/// Bytes of a pivot's value: a pointer and the fill.
pub(super) const CHILD: usize = Pointer::LEN + 2;
/// Bytes that the server leaves free in a pivot before it splits it: two keys
/// with pointers (`filledpiv` in `tree.c`).
const PIVOT_RESERVE: usize = 2 * (8 + MAX_KEY + Pointer::LEN);

/// Kinds of messages.
pub(super) const INSERT: u8 = 1;
pub(super) const DELETE: u8 = 2;
pub(super) const CLEAR: u8 = 3;
pub(super) const CLOBBER: u8 = 4;
pub(super) const WSTAT: u8 = 5;
pub(super) const RELINK: u8 = 6;
pub(super) const REPREV: u8 = 7;

/// A leaf or pivot while it is filled, in the order of its keys.
pub(super) struct Filler {
    block: Vec<u8>,
    head: usize,
    space: usize,
    count: usize,
    bytes: usize,
}

impl Filler {
    pub(super) fn leaf() -> Self {
        Self::new(LEAF, LEAF_HEAD, LEAF_SPACE)
    }
    pub(super) fn pivot() -> Self {
        Self::new(PIVOT, PIVOT_HEAD, PIVOT_SPACE)
    }
    fn new(kind: u16, head: usize, space: usize) -> Self {
        let mut block = vec![0; BLOCK];
        put16(&mut block, 0, kind);
        Self { block, head, space, count: 0, bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is room for one more.
    pub(super) fn fits(&self, key: usize, value: usize) -> bool {
        let reserve = if self.head == PIVOT_HEAD { PIVOT_RESERVE } else { 0 };
        SLOT * (self.count + 1) + self.bytes + VALUE_COST + key + value + reserve <= self.space
    }

    /// Adds a value, for which there is room.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes += VALUE_COST + key.len() + value.len();
        let offset = self.space - self.bytes;
        put16(&mut self.block, self.head + SLOT * self.count, offset as u16);
        let mut at = self.head + offset;
        for part in [&(key.len() as u16).to_be_bytes()[..], key, &(value.len() as u16).to_be_bytes(), value] {
            self.block[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.count += 1;
    }

    /// The block, and its fill.
    pub(super) fn finish(mut self) -> (Vec<u8>, u16) {
        put16(&mut self.block, COUNT_AT, self.count as u16);
        put16(&mut self.block, BYTES_AT, self.bytes as u16);
        (self.block, (SLOT * self.count + self.bytes) as u16)
    }
}

/// A change that waits in a pivot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub kind: u8,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Position of a key and its value in a block: start, end, end.
type Cell = [u16; 3];

/// A leaf or pivot, all of whose keys and values lie within it, and all of
/// whose keys have at least the byte that says their kind.
pub(super) struct Node {
    block: Vec<u8>,
    values: Vec<Cell>,
    messages: Vec<Cell>,
}

impl Node {
    /// Takes a block apart.
    ///
    /// # Errors
    /// Reason why it is neither leaf nor pivot.
    pub(super) fn parse(block: Vec<u8>) -> Result<Self, String> {
        let counts = |at| (usize::from(get16(&block, at)), usize::from(get16(&block, at + 2)));
        let (values, messages) = match get16(&block, 0) {
            LEAF => (cells(&block, "value", LEAF_HEAD, LEAF_SPACE, counts(COUNT_AT), 0)?, Vec::new()),
            PIVOT => {
                let at = PIVOT_HEAD + PIVOT_SPACE;
                let values = cells(&block, "value", PIVOT_HEAD, PIVOT_SPACE, counts(COUNT_AT), 0)?;
                (values, cells(&block, "message", at, MESSAGE_SPACE, counts(MESSAGE_COUNT_AT), 1)?)
            }
            other => return Err(format!("it has type {other}, neither leaf (2) nor pivot (1)")),
        };
        if values.is_empty() {
            return Err("it has no values".into());
        }
        let node = Self { block, values, messages };
        if let Some(i) = (1..node.len()).find(|i| node.key(*i) <= node.key(i - 1)) {
            return Err(format!("the key of value {i} is not after that of value {}", i - 1));
        }
        if let Some(i) = (1..node.messages.len()).find(|i| node.message(*i).key < node.message(i - 1).key) {
            return Err(format!("the key of message {i} is before that of message {}", i - 1));
        }
        if node.is_pivot()
            && let Some(i) = (0..node.len()).find(|i| node.value(*i).len() != CHILD)
        {
            return Err(format!(
                "value {i} has {}, but a pivot's have {CHILD}",
                count::of(node.value(i).len(), "byte")
            ));
        }
        Ok(node)
    }

    pub(super) fn is_pivot(&self) -> bool {
        get16(&self.block, 0) == PIVOT
    }
    /// Values, of which there is at least one.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
    pub(super) fn key(&self, i: usize) -> &[u8] {
        let [start, end, _] = self.values[i];
        &self.block[usize::from(start)..usize::from(end)]
    }
    pub(super) fn value(&self, i: usize) -> &[u8] {
        let [_, start, end] = self.values[i];
        &self.block[usize::from(start) + 2..usize::from(end)]
    }
    pub(super) fn last_key(&self) -> &[u8] {
        self.key(self.len() - 1)
    }
    /// Child of a pivot: the pointer to the block below, and the fill that it
    /// should have.
    pub(super) fn child(&self, i: usize) -> (Pointer, u16) {
        let value = self.value(i);
        (Pointer::parse(value), get16(value, Pointer::LEN))
    }
    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        (0..self.messages.len()).map(|i| self.message(i))
    }
    fn message(&self, i: usize) -> Message<'_> {
        let [start, middle, end] = self.messages[i].map(usize::from);
        Message { kind: self.block[start - 3], key: &self.block[start..middle], value: &self.block[middle + 2..end] }
    }

    /// The table and all values and messages, as the header says.
    pub(super) fn fill(&self) -> u16 {
        let sizes = if self.is_pivot() { get16(&self.block, MESSAGE_BYTES_AT) } else { 0 };
        let slots = SLOT * (self.values.len() + self.messages.len());
        (slots as u16).wrapping_add(get16(&self.block, BYTES_AT)).wrapping_add(sizes)
    }

    /// Whether the header says the bytes that there are.
    pub(super) fn sizes(&self) -> Result<(), String> {
        let sum = |cells: &[Cell], cost: usize| -> usize {
            cells.iter().map(|[start, _, end]| usize::from(end - start) - 2 + cost).sum()
        };
        let check = |what, at, real| match usize::from(get16(&self.block, at)) {
            said if said == real => Ok(()),
            said => Err(format!("its {what} have {real}, but it says {said}", real = count::of(real, "byte"))),
        };
        check("values", BYTES_AT, sum(&self.values, VALUE_COST))?;
        if self.is_pivot() { check("messages", MESSAGE_BYTES_AT, sum(&self.messages, MESSAGE_COST)) } else { Ok(()) }
    }
}

/// Positions of the values or messages of an area. `lead` bytes come before the
/// length of a key.
fn cells(
    block: &[u8],
    what: &str,
    head: usize,
    space: usize,
    (count, bytes): (usize, usize),
    lead: usize,
) -> Result<Vec<Cell>, String> {
    if SLOT * count + bytes > space {
        return Err(format!(
            "it says {} of {bytes}, but has room for {space}",
            count::of(count, what),
            bytes = count::of(bytes, "byte")
        ));
    }
    let area = &block[head..head + space];
    let mut out = Vec::with_capacity(count);
    for i in 0..count {
        let offset = usize::from(get16(area, SLOT * i));
        let outside = || format!("{what} {i} is outside its area");
        let length = |at: usize| area.get(at..at + 2).map(|b| usize::from(get16(b, 0))).ok_or_else(outside);
        if offset < SLOT * count {
            return Err(outside());
        }
        let start = offset + lead + 2;
        let key = length(offset + lead)?;
        let middle = start + key;
        let value = length(middle)?;
        let end = middle + 2 + value;
        if end > space {
            return Err(outside());
        }
        if key == 0 {
            return Err(format!("{what} {i} has an empty key"));
        }
        if key > MAX_KEY || value > MAX_VALUE {
            return Err(format!("{what} {i} has a key of {key} and a value of {value}", key = count::of(key, "byte")));
        }
        out.push([start, middle, end].map(|at| (head + at) as u16));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let mut f = Filler::leaf();
        let mut n = 0u16;
        while f.fits(2, 40) {
            f.push(&n.to_be_bytes(), &[n as u8; 40]);
            n += 1;
        }
        // 2 for the table, 4 for lengths.
        assert_eq!(usize::from(n), LEAF_SPACE / 48);
        let (block, fill) = f.finish();
        let node = Node::parse(block).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((node.len(), node.fill(), node.sizes()), (usize::from(n), fill, Ok(())));
        assert_eq!((node.key(5), node.value(5)), (&[0, 5][..], &[5; 40][..]));
        assert_eq!(fill, 48 * n);
    }

    #[test]
    fn nothing_outside_a_block_is_looked_at() {
        let mut f = Filler::leaf();
        f.push(b"k", b"value");
        f.push(b"l", b"");
        let whole = f.finish().0;
        let said = |at: usize, bytes: &[u8]| {
            let mut b = whole.clone();
            b[at..at + bytes.len()].copy_from_slice(bytes);
            Node::parse(b).err().unwrap()
        };
        assert_eq!(said(0, &[0, 5]), "it has type 5, neither leaf (2) nor pivot (1)");
        assert_eq!(said(2, &[0, 0]), "it has no values");
        assert_eq!(said(2, &[255, 255]), "it says 65535 values of 15 bytes, but has room for 16378");
        assert_eq!(said(6, &[63, 249]), "value 0 is outside its area");
        assert_eq!(said(6, &[0, 3]), "value 0 is outside its area");
        let at = |n: usize| BLOCK - n;
        assert_eq!(said(at(10), &[1, 255]), "value 0 is outside its area");
        // An offset to where nothing is.
        assert_eq!(said(6, &[0, 7]), "value 0 has an empty key");
        assert_eq!(said(at(8), b"m"), "the key of value 1 is not after that of value 0");
    }
}
