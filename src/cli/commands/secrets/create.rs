//! `p9img secrets create`.

use crate::cli::shared_args::GlobalArgs;
use crate::cli::{Outcome, say, setup};
use crate::lab::Lab;
use crate::lab::secrets::{FILE, Secrets};

pub fn run(cli: &GlobalArgs, lab: &Lab) -> anyhow::Result<Outcome> {
    let (_, written) = Secrets::load_or_create(&lab.dir, &lab.hostowner, &setup::users(lab))?;
    if !cli.quiet {
        let nothing = || format!("{} has all passwords that the lab needs", lab.dir.join(FILE).display());
        say::line(format_args!("{}", setup::made(lab, &written).unwrap_or_else(nothing)))?;
    }
    Ok(Outcome::Good)
}
