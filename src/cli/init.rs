//! `p9img init`: a new lab.

use super::args::{Cli, Init};
use super::{Outcome, say};
use crate::lab::template;
use anyhow::Context as _;
use std::fs;
use std::io::{self, Write as _};

pub fn run(cli: &Cli, args: &Init) -> anyhow::Result<Outcome> {
    fs::create_dir_all(&args.dir).with_context(|| format!("Cannot create {}", args.dir.display()))?;
    for (name, text) in template::FILES.iter().copied() {
        let path = args.dir.join(name);
        let made = fs::File::create_new(&path).and_then(|mut f| f.write_all(text.as_bytes()));
        match made {
            Ok(()) => {
                if !cli.quiet {
                    say::line(format_args!("{}", path.display()))?;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && name != "lab.toml" => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                anyhow::bail!("{} exists already: init makes a new lab and never touches an old one", path.display());
            }
            Err(e) => return Err(e).with_context(|| format!("Cannot write {}", path.display())),
        }
    }
    if !cli.quiet {
        say::note("next: `p9img check`, then `p9img build --all`");
    }
    Ok(Outcome::Good)
}
