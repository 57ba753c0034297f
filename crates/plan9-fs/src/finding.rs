//! Results of checks.

use std::fmt;

/// Violation of a format's rules, or a remark, that a check reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A short, stable word for the kind of damage, such as `label-tag`.
    pub kind: &'static str,
    /// Message: what is wrong, where, expected and found, in one sentence with
    /// no full stop.
    pub message: String,
}

/// Kinds of finding that are remarks: what readers and servers do with all the
/// same, and what a disk in honest use may have.
const REMARKS: [&str; 6] = ["nobody", "name-text", "long-name", "free-count", "in-venti", "qcow2-lost"];

impl Finding {
    /// Whether this is worth knowing, but no damage: a volume with remarks
    /// alone is sound.
    pub fn is_remark(&self) -> bool {
        REMARKS.contains(&self.kind)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.kind)
    }
}
