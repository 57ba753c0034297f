//! `p9img down`: nodes are halted and turned off.

use super::args::{Cli, Down};
use super::up::Teller;
use super::{Outcome, grid, interrupt, say};

pub fn run(cli: &Cli, args: &Down) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag()?;
    let lab = grid::load(cli, args.out.as_ref())?;
    let names = lab.names(&args.nodes)?;
    let complaints = lab.grid.down(&lab.spec, &names, args.force, &Teller::new(cli, stop))?;
    let failed = !complaints.is_empty();
    for complaint in complaints {
        say::error(&complaint.into());
    }
    Ok(if failed { Outcome::Failed } else { Outcome::Good })
}
