//! `p9img secrets create`.

use crate::cli::outcome::Outcome;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::lab::Lab;
use crate::lab::secrets::FILE;
use crate::ops;

pub fn run(cli: &GlobalArgs, lab: &Lab) -> anyhow::Result<Outcome> {
    let (_, note) = ops::lab::make_secrets(lab)?;
    if !cli.quiet {
        let nothing = || format!("{} has all passwords that the lab needs", lab.dir.join(FILE).display());
        say::line(format_args!("{}", note.map_or_else(nothing, |note| note.to_string())))?;
    }
    Ok(Outcome::Good)
}
