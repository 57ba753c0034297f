//! `p9img secrets list`.

use super::passwords::load;
use crate::cli::outcome::Outcome;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::lab::Lab;
use crate::ops;

pub fn run(cli: &GlobalArgs, lab: &Lab) -> anyhow::Result<Outcome> {
    let secrets = load(lab)?;
    for name in secrets.names() {
        say::line(format_args!("{name}"))?;
    }
    let users = ops::lab::users(lab);
    let lacking: Vec<_> = users.into_iter().filter(|u| secrets.password(u).is_none()).collect();
    if !cli.quiet && !lacking.is_empty() {
        let names = lacking.join(", ");
        say::note(&format!("no password yet for {names}: the next build or `p9img secrets create` makes it"));
    }
    Ok(Outcome::Good)
}
