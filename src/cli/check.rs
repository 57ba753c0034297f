//! `p9img check`: every mistake of a lab at once.

use super::args::{Check, Cli};
use super::{Outcome, say, setup};

pub fn run(cli: &Cli, args: &Check) -> anyhow::Result<Outcome> {
    let catalog = setup::catalog(cli)?;
    match setup::load(cli, &catalog) {
        Ok(lab) => {
            if args.json {
                say::line(format_args!("[]"))?;
            } else if !cli.quiet {
                let nodes: Vec<_> = lab.nodes.iter().map(|n| n.name.as_str()).collect();
                say::line(format_args!(
                    "{} is right: {} nodes ({})",
                    cli.lab.display(),
                    nodes.len(),
                    nodes.join(", ")
                ))?;
            }
            Ok(Outcome::Good)
        }
        Err(mistakes) => {
            if args.json {
                say::line(format_args!("{}", serde_json::to_string_pretty(&mistakes)?))?;
            } else {
                say::report(&mistakes.render(setup::colored()));
            }
            Ok(Outcome::Failed)
        }
    }
}
