//! The command line: `commands` has one file for each subcommand, and this is the
//! only folder that prints. Results go to stdout, progress and messages to stderr.
//! A command that does more than ask and print is a use case of [`crate::ops`].
//!
//! It may ask `artifact`, `assemble`, `diff`, `disk`, `flash`, `guest`, `lab`,
//! `media`, `nbd`, `ops`, `page` and `render`.

pub(crate) mod advice;
mod commands;
mod image;
mod interrupt;
mod outcome;
mod printer;
mod progress;
mod running;
mod say;
mod shared_args;
mod time;

pub use outcome::{Outcome, Usage};

use crate::lock;
use clap::Parser as _;
use commands::Cli;
use std::process::ExitCode;

/// Parses the arguments, runs the command, and prints an error if it fails.
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
