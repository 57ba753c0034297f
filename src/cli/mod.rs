//! The command line: `commands` has one file for each subcommand, and this is the
//! only place that prints. Results go to stdout, progress and messages to stderr.
//! What a command does is a use case of [`crate::ops`], where it is more than
//! asking and printing.

mod advice;
mod commands;
mod image;
mod interrupt;
mod printer;
mod progress;
mod running;
mod say;
mod shared_args;

use crate::lock;
use clap::Parser as _;
use commands::Cli;
use std::process::ExitCode;

/// How a run ended, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good = 0,
    /// What was asked could not be done.
    Failed = 1,
    /// What was asked makes no sense.
    Usage = 2,
    /// A verification found a difference.
    Differs = 3,
}

/// A mistake in how the command was called: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Parses the arguments, runs the command, prints what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.global.color.apply();
    interrupt::outlive_file_limit();
    if let Ok(store) = crate::media::store::Store::platform() {
        crate::artifact::unpack_in(store.root().to_owned());
    }
    let outcome = commands::run(&cli).unwrap_or_else(|e| {
        say::error(&e);
        if e.chain().any(advice::is_usage) { Outcome::Usage } else { Outcome::Failed }
    });
    if let Some(path) = lock::without() {
        say::note(&format!(
            "{} is on a file system without locks: do not run two of these commands on it at once",
            path.display()
        ));
    }
    ExitCode::from(outcome as u8)
}
