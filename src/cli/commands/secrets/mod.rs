//! `p9img secrets`: the lab's passwords. Each subcommand has a file;
//! `passwords` has what several of them use.

mod create;
mod list;
mod passwords;
mod rotate;
mod show;

use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::shared_args::GlobalArgs;
use crate::ops;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub what: SecretsCommand,
}

#[derive(Debug, clap::Subcommand)]
pub enum SecretsCommand {
    /// Create secrets.toml, or add missing passwords
    Create,
    /// Print one password, and nothing else
    Show(show::Args),
    /// Print the names of users with a password
    List,
    /// Make new passwords
    #[command(long_about = "Makes new passwords for the host owner or users and writes them into\n\
        secrets.toml; comments stay. The next build writes the images of the nodes that\n\
        contain these passwords or their keys, and no others. Disks that are in use have\n\
        the old passwords until they are replaced by a new image; to change a password\n\
        on a running node, use passwd(1) or auth/changeuser(8) there.")]
    Rotate(rotate::Args),
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let (catalog, lab) = ops::lab::read(&cli.lab, &Printer::new(cli))?;
    match &args.what {
        SecretsCommand::Create => create::run(cli, &lab),
        SecretsCommand::Show(args) => show::run(&lab, args),
        SecretsCommand::List => list::run(cli, &lab),
        SecretsCommand::Rotate(args) => rotate::run(cli, &lab, &catalog, args),
    }
}
