//! `p9img secrets`: the lab's passwords.

use super::args::{Cli, SecretsCommand};
use super::{Outcome, Usage, say, setup};
use crate::lab::Lab;
use crate::lab::secrets::{FILE, Secrets, SecretsError, Which};
use crate::render::{Catalog, Secret};

pub fn run(cli: &Cli, args: &super::args::Secrets) -> anyhow::Result<Outcome> {
    let catalog = setup::catalog(cli)?;
    let lab = setup::plain_lab(cli, &catalog)?;
    match &args.what {
        SecretsCommand::Create => create(cli, &lab),
        SecretsCommand::Show { name } => show(&lab, name),
        SecretsCommand::List => list(cli, &lab),
        SecretsCommand::Rotate { names, all } => rotate(cli, &lab, &catalog, names, *all),
    }
}

fn create(cli: &Cli, lab: &Lab) -> anyhow::Result<Outcome> {
    let (_, written) = Secrets::load_or_create(&lab.dir, &lab.hostowner, &setup::users(lab))?;
    if !cli.quiet {
        let nothing = || format!("{} has all that the lab needs", lab.dir.join(FILE).display());
        say::line(format_args!("{}", setup::made(lab, &written).unwrap_or_else(nothing)))?;
    }
    Ok(Outcome::Good)
}

fn show(lab: &Lab, name: &str) -> anyhow::Result<Outcome> {
    let secrets = load(lab)?;
    match secrets.password(name) {
        Some(password) => say::line(format_args!("{password}"))?,
        None if setup::users(lab).contains(&name) => {
            return Err(Usage(format!("{name} has no password yet: `p9img secrets create` makes one")).into());
        }
        None => return Err(unknown(name, &secrets.names().collect::<Vec<_>>().join(", "))),
    }
    Ok(Outcome::Good)
}

fn list(cli: &Cli, lab: &Lab) -> anyhow::Result<Outcome> {
    let secrets = load(lab)?;
    for name in secrets.names() {
        say::line(format_args!("{name}"))?;
    }
    let users = setup::users(lab);
    let lacking: Vec<_> = users.into_iter().filter(|u| secrets.password(u).is_none()).collect();
    if !cli.quiet && !lacking.is_empty() {
        let names = lacking.join(", ");
        say::note(&format!("no password yet for {names}: the next build or `p9img secrets create` makes it"));
    }
    Ok(Outcome::Good)
}

fn rotate(cli: &Cli, lab: &Lab, catalog: &Catalog, names: &[String], all: bool) -> anyhow::Result<Outcome> {
    let which = if all { Which::All } else { Which::Names(names) };
    let changed = match Secrets::rotate(&lab.dir, &lab.hostowner, &setup::users(lab), which) {
        Err(SecretsError::NoSuchName { name, known }) => return Err(unknown(&name, &known)),
        other => other?,
    };
    if cli.quiet {
        return Ok(Outcome::Good);
    }
    say::line(format_args!("new in {}: {}", lab.dir.join(FILE).display(), changed.join(", ")))?;
    let nodes = concerned(lab, catalog, &changed);
    if nodes.is_empty() {
        say::note("no node's image holds any of it");
    } else {
        let names = nodes.join(" ");
        say::note(&format!("to be built again: {names} (`p9img build --all` writes these and leaves the others)"));
    }
    Ok(Outcome::Good)
}

/// The nodes whose disks hold something of what changed. The key file is
/// encrypted with the host owner's key, so that changes it as well.
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

fn load(lab: &Lab) -> anyhow::Result<Secrets> {
    let none = || SecretsError::NoneYet { path: lab.dir.join(FILE) };
    Ok(Secrets::load(&lab.dir, &lab.hostowner)?.ok_or_else(none)?)
}

fn unknown(name: &str, known: &str) -> anyhow::Error {
    Usage(format!("Nobody called {name:?} has a password here: known are {known}")).into()
}
