//! Who says which digest a medium has.

use std::fmt;

/// Source of a medium's expected digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidBy {
    Lab,
    Lock,
    Releases,
    /// The request.
    Caller,
}

impl fmt::Display for SaidBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lab => "lab.toml",
            Self::Lock => "p9img.lock",
            Self::Releases => "p9img's list of releases",
            Self::Caller => "the request",
        })
    }
}
