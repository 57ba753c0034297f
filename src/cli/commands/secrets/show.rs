//! `p9img secrets show`: one password, and nothing else.

use super::passwords::{load, unknown};
use crate::cli::outcome::{Outcome, Usage};
use crate::cli::say;
use crate::lab::Lab;
use crate::ops;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The host owner or a user
    pub name: String,
}

pub fn run(lab: &Lab, args: &Args) -> anyhow::Result<Outcome> {
    let (name, secrets) = (args.name.as_str(), load(lab)?);
    match secrets.password(name) {
        Some(password) => say::line(format_args!("{password}"))?,
        None if ops::lab::users(lab).contains(&name) => {
            return Err(Usage(format!("{name} has no password yet: `p9img secrets create` makes one")).into());
        }
        None => return Err(unknown(name, &secrets.names().collect::<Vec<_>>().join(", "))),
    }
    Ok(Outcome::Good)
}
