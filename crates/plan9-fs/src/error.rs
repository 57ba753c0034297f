//! Kinds of errors that all formats share.

use std::io;

/// Kind of an error, the same for all formats: what a program that does not
/// care for the format's details decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bytes without the signs of this format.
    NotThisFormat,
    /// Bytes with the signs of this format, but contradictions.
    Damaged,
    /// Fewer bytes than the format, or the files to store, need.
    TooSmall,
    /// Something that the format cannot hold, or that this crate does not do.
    Unsupported,
    /// Failure to read the bytes themselves.
    Io,
}

/// Error of a reader whose bytes contradict the format.
pub(crate) fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
