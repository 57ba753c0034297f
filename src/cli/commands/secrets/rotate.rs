//! `p9img secrets rotate`: new passwords.

use super::passwords::unknown;
use crate::cli::outcome::Outcome;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::guest::grid::Grid;
use crate::lab::Lab;
use crate::lab::secrets::{FILE, Secrets, SecretsError, Which};
use crate::ops;
use crate::render::{Catalog, Secret};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The host owner or users
    #[arg(required_unless_present = "all")]
    pub names: Vec<String>,
    /// All passwords, and the seed of all keys
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}

pub fn run(cli: &GlobalArgs, lab: &Lab, catalog: &Catalog, args: &Args) -> anyhow::Result<Outcome> {
    let which = if args.all { Which::All } else { Which::Names(&args.names) };
    let changed = match Secrets::rotate(&lab.dir, &lab.hostowner, &ops::lab::users(lab), which) {
        Err(SecretsError::NoSuchName { name, known }) => return Err(unknown(&name, &known)),
        other => other?,
    };
    if cli.quiet {
        return Ok(Outcome::Good);
    }
    say::line(format_args!("new in {}: {}", lab.dir.join(FILE).display(), changed.join(", ")))?;
    let nodes = concerned(lab, catalog, &changed);
    if nodes.is_empty() {
        say::note("no node's image contains any of these");
    } else {
        let names = nodes.join(" ");
        say::note(&format!("to be built again: {names} (`p9img build --all` writes these and leaves the others)"));
        let running = Grid::new(&lab.out).running_nodes();
        let running: Vec<_> = nodes.into_iter().filter(|n| running.contains_key(*n)).collect();
        if !running.is_empty() {
            let (run, keep, them) = match running.len() {
                1 => ("runs", "keeps", "it"),
                _ => ("run", "keep", "them"),
            };
            say::note(&format!(
                "{} {run} and {keep} the old passwords: change them there with passwd(1), or stop {them}, build {them} and start {them} with `p9img up --fresh {}`, which discards the files written there",
                running.join(", "),
                running.join(" ")
            ));
        }
    }
    Ok(Outcome::Good)
}

/// The nodes whose disks contain changed secrets. The key file is encrypted with
/// the host owner's key, so it changes with that, too.
fn concerned<'a>(lab: &'a Lab, catalog: &Catalog, changed: &[String]) -> Vec<&'a str> {
    let owner = changed.contains(&lab.hostowner);
    let others = changed.iter().any(|name| lab.users.iter().any(|u| u.name == *name));
    let has = |roles: &[String], secret: Secret| {
        catalog.roles().any(|role| roles.contains(&role.name) && role.secrets.contains(&secret))
    };
    let nodes = lab.nodes.iter().filter(|node| {
        let keys = has(&node.roles, Secret::Keys);
        (owner && (keys || has(&node.roles, Secret::Nvram))) || (others && keys)
    });
    nodes.map(|n| n.name.as_str()).collect()
}
