//! Big-endian fields of on-disk structures, one after the other.

/// Reads fields from the front of bytes. Bytes past the end are zero:
/// callers read whole structures, and a fuzzer shall not make them panic.
pub(super) struct Get<'a>(pub &'a [u8]);

impl<'a> Get<'a> {
    /// The next `n` bytes, or those that are left.
    pub(super) fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }
    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let bytes = self.take(N);
        out[..bytes.len()].copy_from_slice(bytes);
        out
    }
    pub(super) fn u8(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }
    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }
    pub(super) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }
    pub(super) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }
    /// A text in a field of `len` bytes: up to its first zero, which the last byte counts as.
    pub(super) fn text(&mut self, len: usize) -> Vec<u8> {
        let field = self.take(len);
        let field = &field[..field.len().min(len - 1)];
        field.iter().copied().take_while(|b| *b != 0).collect()
    }
}

/// Appends fields.
#[derive(Default)]
pub(super) struct Put(pub Vec<u8>);

impl Put {
    pub(super) fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }
    pub(super) fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend(v.to_be_bytes());
        self
    }
    pub(super) fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend(v.to_be_bytes());
        self
    }
    /// A text, filled up with zeros to `len` bytes.
    ///
    /// # Panics
    /// If it does not fit with a zero at its end: callers have checked.
    pub(super) fn text(&mut self, text: &[u8], len: usize) -> &mut Self {
        assert!(text.len() < len, "a checked name");
        let end = self.0.len() + len;
        self.0.extend(text);
        self.0.resize(end, 0);
        self
    }
}
