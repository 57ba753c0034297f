//! `p9img media rm`: media removed from `p9img.lock` and from the cache.

use super::named::{find, names, unknown};
use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::lab::{Medium, Origin, releases};
use crate::media::pins::{Pin, Pins};
use crate::media::store::Store;
use crate::ops;
use crate::ops::host;
use crate::size;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Media
    #[arg(required = true)]
    pub names: Vec<String>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let lab = ops::lab::read(&cli.lab, &Printer::new(cli))?.1;
    let pins = Pins::load(&lab.dir)?;
    let all = names(&lab, &pins);
    if let Some(name) = args.names.iter().find(|name| !all.contains(name) && releases::find(name).is_none()) {
        return Err(unknown(name, &all));
    }
    let store = Store::platform()?;
    for name in &args.names {
        let mut freed = 0;
        let medium = find(&lab, name);
        let pinned = match pins.media.get(name) {
            Some(Pin::File { sha256, .. }) => Some(*sha256),
            _ => None,
        };
        let digests = [pinned, medium.as_ref().and_then(|m| m.sha256)];
        for digest in digests.into_iter().flatten().collect::<std::collections::BTreeSet<_>>() {
            freed += host::forget(&store, digest)?;
        }
        if let Some(Medium { origin: Origin::Urls(urls), .. }) = &medium {
            urls.iter().try_for_each(|url| store.forget(url))?;
        }
        Pins::update(&lab.dir, |pins| drop(pins.media.remove(name)))?;
        if !cli.quiet {
            say::line(format_args!("{name}: {} of the cache freed", size::even(freed)))?;
            if lab.media.contains_key(name) {
                say::note(&format!("{} still has an entry for {name}", cli.lab.display()));
            }
        }
    }
    Ok(Outcome::Good)
}
