//! This machine's store of media, and its way to the network.

use crate::media::Digest;
use crate::media::fetch::{Proxies, Settings};
use crate::media::store::{Name, Store, StoreError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Replaces the platform's cache folder.
pub const VARIABLE: &str = "P9IMG_CACHE";

/// Reason why this machine has no store, or no way to the network.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("There is no home folder for the cache of media: set {VARIABLE} to a folder for it")]
    NoHome,
    #[error("Cannot read {} (SSL_CERT_FILE)", path.display())]
    Certificates { path: PathBuf, source: io::Error },
}

impl Store {
    /// The store in `P9IMG_CACHE`, else in the platform's cache folder
    /// (`$XDG_CACHE_HOME`, `~/.cache`, `~/Library/Caches`).
    ///
    /// # Errors
    /// Fails when the user has neither the variable nor a home folder.
    pub fn platform() -> Result<Self, HostError> {
        Ok(Self::at(folder().ok_or(HostError::NoHome)?))
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

/// Removes a file by its digest, and all files made from it. Returns the number of
/// bytes freed.
///
/// # Errors
/// Fails when the store cannot be read or written.
pub fn forget(store: &Store, digest: Digest) -> Result<u64, StoreError> {
    let mut freed = 0;
    for entry in store.entries()? {
        let made_of = matches!(&entry.name, Name::Derived(key) if key.contains(&digest.to_string()));
        if (made_of || entry.name == Name::Content(digest)) && store.remove(&entry.name)? {
            freed += entry.len;
        }
    }
    Ok(freed)
}

/// Settings of the network: proxies and certificates are the user's.
///
/// # Errors
/// Fails when the file of certificates cannot be read.
#[expect(clippy::disallowed_methods, reason = "how the network is reached; what comes from it is verified")]
pub fn network() -> Result<Settings, HostError> {
    // Some programs read the names in capitals only, others in small letters only.
    let variable = |name: &str| {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        text(name).or_else(|| text(&name.to_uppercase()))
    };
    let all = variable("all_proxy");
    let mut settings = Settings {
        proxies: Proxies {
            // A web server that runs programs has HTTP_PROXY from its client: only the small one counts.
            http: std::env::var("http_proxy").ok().filter(|text| !text.is_empty()).or_else(|| all.clone()),
            https: variable("https_proxy").or(all),
            none_for: variable("no_proxy").unwrap_or_default(),
        },
        ..Settings::default()
    };
    if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let read = std::fs::read(&path);
        settings.roots = Some(read.map_err(|source| HostError::Certificates { path, source })?);
    }
    if let Some(millis) = variable("p9img_http_timeout_ms").and_then(|text| text.parse().ok()) {
        // A variable for tests, which have no time to wait.
        let limit = Duration::from_millis(millis);
        (settings.connect, settings.idle, settings.pause) = (limit, limit, Duration::ZERO);
    }
    Ok(settings)
}
