//! `p9img check`: every mistake of a lab at once.

use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{advice, say};
use crate::count;
use crate::lab::Lab;
use crate::lab::mistakes::{Kind, Mistakes, Problem};
use crate::lab::secrets::{FILE, Secrets, SecretsError};
use crate::media::Selection;
use crate::ops;
use crate::render::Catalog;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the mistakes as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let printer = Printer::new(cli);
    let catalog = ops::lab::catalog(&cli.lab, &printer)?;
    let file = cli.lab.display().to_string();
    let lab = ops::lab::load(&cli.lab, &catalog, &printer);
    match lab.and_then(|lab| rest(file, &lab, &catalog, &printer).map(|()| lab)) {
        Ok(lab) => {
            if args.json {
                say::line(format_args!("[]"))?;
            } else if !cli.quiet {
                let nodes: Vec<_> = lab.nodes.iter().map(|n| n.name.clone()).collect();
                say::line(format_args!(
                    "{} is right: {} ({})",
                    cli.lab.display(),
                    count::of(nodes.len(), "node"),
                    ops::few(&nodes)
                ))?;
            }
            Ok(Outcome::Good)
        }
        Err(mistakes) => {
            let mistakes = advice::advised(&mistakes);
            if args.json {
                say::json(&mistakes)?;
            } else {
                say::report(&mistakes.render(say::colored()));
            }
            Ok(Outcome::Failed)
        }
    }
}

/// Refuses secrets, roles, checks and a `[tree]` that a build or a test would
/// refuse, although the lab file itself is right.
fn rest(file: String, lab: &Lab, catalog: &Catalog, printer: &Printer) -> Result<(), Mistakes> {
    let known = ops::lab::secrets(lab, printer).map_err(|error| {
        let what = match &error {
            SecretsError::Malformed { line, what, .. } => format!("Line {line}: {what}"),
            SecretsError::Unusable { what, .. } => what.clone(),
            SecretsError::Linked { target, what, .. } => {
                format!("It is a symbolic link to {}: {what}", target.display())
            }
            other => match std::error::Error::source(other) {
                Some(why) => format!("{other}: {why}"),
                None => other.to_string(),
            },
        };
        Mistakes::whole_file(lab.dir.join(FILE).display().to_string(), Problem::new(Kind::File, what))
    })?;
    for (of, mistakes) in [
        (file.clone(), catalog.wrong_nodes(lab, &known.value)),
        ("the checks of roles".into(), catalog.wrong_checks(lab, &known.value)),
    ] {
        if !mistakes.is_empty() {
            return Err(Mistakes { file: of, mistakes, left_off: 0 });
        }
    }
    tree(file, lab, catalog, &known.value)
}

/// Refuses a `[tree]` that leaves out files that nodes need, as far as that can be
/// found without a medium.
fn tree(file: String, lab: &Lab, catalog: &Catalog, secrets: &Secrets) -> Result<(), Mistakes> {
    // The default of `include` depends on the distribution.
    let include = lab.tree.include.clone().unwrap_or_else(|| vec!["**".into()]);
    // A malformed pattern is a mistake of the lab file, reported there.
    let Ok(selection) = Selection::new(&include, &lab.tree.exclude) else { return Ok(()) };
    let missing = catalog.left_out(lab, secrets, |path| selection.takes(path));
    if missing.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = missing.iter().map(|(path, who)| format!("{path} ({who})")).collect();
    let what = format!("[tree] leaves out files that nodes need: {}", paths.join(", "));
    let help = "add them to `include`, or remove the pattern of `exclude` that they match";
    Err(Mistakes::whole_file(file, Problem::new(Kind::Conflict, what).help(help)))
}
