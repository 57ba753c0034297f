//! The lab's passwords, and the names that have none.

use crate::cli::outcome::Usage;
use crate::lab::Lab;
use crate::lab::secrets::{FILE, Secrets, SecretsError};

/// The lab's secrets.
///
/// # Errors
/// Fails when there are none, or they cannot be read.
pub fn load(lab: &Lab) -> anyhow::Result<Secrets> {
    let none = || SecretsError::NoneYet { path: lab.dir.join(FILE) };
    Ok(Secrets::load(&lab.dir, &lab.hostowner)?.ok_or_else(none)?)
}

/// Error about a name that has no password.
pub fn unknown(name: &str, known: &str) -> anyhow::Error {
    Usage(format!("No password for {name:?}; there are passwords for {known}")).into()
}
