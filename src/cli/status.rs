//! `p9img status`: what runs.

use super::args::{Cli, Status};
use super::{Outcome, grid, say, up};
use crate::guest::Accel;
use crate::guest::grid::State;

pub fn run(cli: &Cli, args: &Status) -> anyhow::Result<Outcome> {
    let lab = grid::load(cli, args.out.as_ref())?;
    let none = || State::new(&lab.lab.name, Accel::Tcg, Default::default());
    let state = lab.grid.state()?.unwrap_or_else(none);
    if args.json {
        say::line(format_args!("{}", serde_json::to_string_pretty(&up::report(&lab, &state))?))?;
    } else {
        up::tell(&lab, &state)?;
    }
    Ok(Outcome::Good)
}
