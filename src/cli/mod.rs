//! The command line: one file for each subcommand, and the only place that
//! prints. Results go to stdout, progress and messages to stderr.

mod args;
mod before;
mod build;
mod cache;
mod cat;
mod check;
mod console;
mod diff;
mod down;
mod extract;
mod flash;
mod fsck;
mod grid;
mod image;
mod init;
mod interrupt;
mod ls;
mod media;
mod media_add;
mod media_list;
mod media_show;
mod medium;
mod plan;
mod progress;
mod rebuild;
mod say;
mod screenshot;
mod secrets;
mod setup;
mod status;
mod test;
mod up;

use crate::guest::grid::serve_stdin;
use anyhow::Context as _;
use args::{Cli, Command};
use clap::Parser as _;
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
    cli.color.apply();
    let outcome = run(&cli).unwrap_or_else(|e| {
        say::error(&e);
        if e.is::<Usage>() { Outcome::Usage } else { Outcome::Failed }
    });
    ExitCode::from(outcome as u8)
}

fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    match &cli.command {
        Command::Init(a) => init::run(cli, a),
        Command::Check(a) => check::run(cli, a),
        Command::Plan(a) => plan::run(cli, a),
        Command::Build(a) => build::run(cli, a),
        Command::Secrets(a) => secrets::run(cli, a),
        Command::Media(a) => media::run(cli, a),
        Command::Ls(a) => ls::run(cli, a),
        Command::Cat(a) => cat::run(a),
        Command::Extract(a) => extract::run(cli, a),
        Command::Fsck(a) => fsck::run(cli, a),
        Command::Diff(a) => diff::run(cli, a),
        Command::Up(a) => up::run(cli, a),
        Command::Down(a) => down::run(cli, a),
        Command::Status(a) => status::run(cli, a),
        Command::Console(a) => console::run(cli, a),
        Command::Flash(a) => flash::run(cli, a),
        Command::Screenshot(a) => screenshot::run(cli, a),
        Command::Test(a) => test::run(cli, a),
        Command::Switch => {
            serve_stdin().context("Standard input is no socket that p9img made: `p9img up` starts this by itself")?;
            Ok(Outcome::Good)
        }
    }
}
