//! Result of reading a medium of any kind.

use super::listing::Listing;

/// Result of reading a container.
#[derive(Debug, Default)]
pub struct Listed {
    pub listing: Listing,
    /// Source of the listing's owners, modes and times if there are no records
    /// of the release, in words. `None`: there is none.
    pub metadata: Option<&'static str>,
    /// Everything listed has all of these, and the release's records are not asked.
    pub complete: bool,
    /// Source of the names, if a container can store them in several ways.
    pub names: Option<&'static str>,
    /// Notes for the user, each a sentence with no full stop.
    pub notes: Vec<String>,
    /// Paths that were not taken, because they are an old node's own.
    pub left_out: Vec<String>,
}
