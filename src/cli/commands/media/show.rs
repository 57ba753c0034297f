//! `p9img media show`: the contents of a medium, and the nodes that can be built from it.

use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::count;
use crate::lab::{Origin, SAMPLE};
use crate::media::store::Store;
use crate::media::{Facts, Medium};
use crate::ops::media::Record;
use crate::ops::{self, Buildable};
use crate::render::Catalog;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Shown {
    name: String,
    distribution: &'static str,
    #[serde(flatten)]
    facts: Facts,
    /// Files and folders.
    entries: usize,
    metadata: String,
    notes: Vec<String>,
    left_out: Vec<String>,
    builds: Vec<Buildable>,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The medium
    #[arg(value_name = "NAME|PATH")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let (medium, called) = open(cli, &args.name)?;
    let facts = Facts::of(&medium, &called);
    let catalog =
        if cli.lab.exists() { ops::lab::catalog(&cli.lab, &Printer::new(cli))? } else { Catalog::embedded()? };
    let builds = ops::buildable(&catalog, &medium, &facts);
    let shown = Shown {
        name: medium.name.clone(),
        distribution: medium.distribution.name(),
        facts,
        entries: medium.tree.len(),
        metadata: medium.metadata_source.clone(),
        notes: medium.notes.clone(),
        left_out: medium.left_out.clone(),
        builds,
    };
    if args.json {
        say::json(&shown)?;
    } else {
        show(&shown)?;
    }
    Ok(Outcome::Good)
}

/// Medium of the lab, if there is one of that name, or the one at a path; with all
/// its names.
fn open(cli: &GlobalArgs, name: &str) -> anyhow::Result<(Medium, Vec<String>)> {
    let mut called = vec![name.to_owned()];
    if name == SAMPLE && !Path::new(name).exists() {
        return Ok((Medium::sample(), called));
    }
    if cli.lab.exists() && !Path::new(name).exists() {
        let lab = ops::lab::read(&cli.lab, &Printer::new(cli))?.1;
        let lab = lab.with_medium(name).map_err(|p| crate::cli::outcome::Usage(p.to_string()))?;
        match lab.media.get(&lab.medium).map(|medium| &medium.origin) {
            Some(Origin::Path(path)) => called.push(path.display().to_string()),
            Some(Origin::Urls(urls)) => called.extend(urls.iter().cloned()),
            None => {}
        }
        return Ok((ops::media::one(&lab, &lab.medium, Record::No, &Printer::new(cli))?, called));
    }
    let medium = Medium::open(name, Path::new(name), 0, Store::platform().ok().as_ref())?;
    if !cli.quiet {
        medium.notes.iter().for_each(|note| say::note(note));
    }
    Ok((medium, called))
}

fn show(s: &Shown) -> anyhow::Result<()> {
    let release = s.facts.release.as_ref().map(|n| format!(" release {n}")).unwrap_or_default();
    let commit = s.facts.commit.as_ref().map(|hex| format!(", commit {hex}")).unwrap_or_default();
    say::line(format_args!("{}: {}{release}{commit}, {} files and folders", s.name, s.facts.system, s.entries))?;
    s.facts.unsure.iter().try_for_each(|why| say::line(format_args!("  {why}")))?;
    say::line(format_args!("metadata  {}", s.metadata))?;
    for a in &s.facts.architectures {
        let kernels = if a.kernels.is_empty() { "no kernel".into() } else { a.kernels.join(" ") };
        say::line(format_args!("{:<9} {}; {kernels}", a.name, count::of(a.programs, "program")))?;
    }
    say::line(format_args!("boot      {}", s.facts.boot_files.join(" ")))?;
    // Boards with equal roles and equal reasons have one line.
    for alike in s.builds.chunk_by(|a, b| a.board.is_some() && a.roles == b.roles && a.missing == b.missing) {
        let b = &alike[0];
        let names: Vec<&str> = alike.iter().map(|b| b.board.unwrap_or(b.architecture)).collect();
        let names = names.join(", ");
        match &b.roles[..] {
            [] => say::line(format_args!("builds    nothing for {names}"))?,
            roles => say::line(format_args!("builds    {names} with {} and the roles {}", b.root, roles.join(", ")))?,
        }
        b.missing.iter().try_for_each(|why| say::line(format_args!("          {why}")))?;
    }
    Ok(())
}
