//! Types between the readers of containers and the table of them.

use crate::artifact::container::findings::Say;
use crate::read_at::ReadAt;
use std::io;
use std::sync::Arc;

/// Reader of a container.
pub struct Reader {
    /// Name in lists and comparisons.
    pub name: &'static str,
    /// Name of such a file in a sentence, with its article.
    pub of: &'static str,
    /// Whether a file begins as such a container does.
    pub matches: fn(&[u8]) -> bool,
    pub(in crate::artifact) open: fn(Arc<dyn ReadAt>, Below<'_>) -> io::Result<Opened>,
}

/// Opens the disk under an image that has only what changed, by the name that the image
/// gives it.
pub type Below<'a> = &'a dyn Fn(&str) -> io::Result<Arc<dyn ReadAt>>;

/// Container that was opened.
pub(in crate::artifact) struct Opened {
    pub disk: Arc<dyn ReadAt>,
    pub check: Check,
}

/// Verifies the structures of a container, and its sums if the first argument says
/// so.
pub(in crate::artifact) type Check = Box<dyn Fn(bool, Say<'_>) -> io::Result<()> + Send + Sync>;
