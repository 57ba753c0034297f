//! `p9img media`: media are added, listed, shown, verified and removed. Each
//! subcommand has a file; `named` has what several of them use.

mod add;
mod list;
mod named;
mod rm;
mod show;
mod verify;

use crate::cli::outcome::Outcome;
use crate::cli::shared_args::GlobalArgs;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub what: MediaCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum MediaCommand {
    /// Add a medium, from an address or a path, and record its digest
    #[command(long_about = "Adds a medium to lab.toml under a name, downloads it if it has an address, and\n\
        records its SHA-256 in p9img.lock. If no URL or PATH is given, NAME is a medium\n\
        of the lab or a release of `p9img media list`. An interrupted download continues\n\
        where it stopped. Proxies are taken from http_proxy, https_proxy, all_proxy and\n\
        no_proxy.")]
    Add(add::Args),
    /// List the lab's media, the releases by name, and the cache
    List(list::Args),
    /// Show the contents of a medium, and what can be built from it
    #[command(long_about = "Reads a medium of the lab, the built-in `sample`, or the medium at a path, and\n\
        shows its distribution, the source of its files' owners, modes and times, its\n\
        architectures, kernels and boot files, and the roles that p9img can build from\n\
        them; if it cannot build one, the reason. Records nothing.")]
    Show(show::Args),
    /// Compare media with their digests in p9img.lock and the lab
    #[command(long_about = "Reads every byte of the media and compares them with the digests in lab.toml and\n\
        p9img.lock. The exit code is 3 if one differs. A damaged file of the cache is\n\
        removed, and downloaded again at its next use.")]
    Verify(verify::Args),
    /// Remove media from p9img.lock and from the cache
    Rm(rm::Args),
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    match &args.what {
        MediaCommand::Add(args) => add::run(cli, args),
        MediaCommand::List(args) => list::run(cli, args),
        MediaCommand::Show(args) => show::run(cli, args),
        MediaCommand::Verify(args) => verify::run(cli, args),
        MediaCommand::Rm(args) => rm::run(cli, args),
    }
}
