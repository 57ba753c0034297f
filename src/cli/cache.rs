//! Where the store is on this machine.

use crate::media::store::Store;
use std::path::PathBuf;

/// Replaces the platform's cache folder.
pub const VARIABLE: &str = "P9IMG_CACHE";

impl Store {
    /// The store in `P9IMG_CACHE`, else in the platform's cache folder
    /// (`$XDG_CACHE_HOME`, `~/.cache`, `~/Library/Caches`).
    ///
    /// # Errors
    /// When neither says where that is.
    pub fn platform() -> anyhow::Result<Self> {
        let folder = folder().ok_or_else(|| {
            anyhow::anyhow!("There is no home folder to keep media in: set {VARIABLE} to a folder for the cache")
        })?;
        Ok(Self::at(folder))
    }
}

#[expect(clippy::disallowed_methods, reason = "where the cache is never reaches an artifact")]
fn folder() -> Option<PathBuf> {
    use etcetera::base_strategy::BaseStrategy as _;
    match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => std::path::absolute(path).ok(),
        None => Some(etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("p9img")),
    }
}
