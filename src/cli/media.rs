//! `p9img media`: what is brought in, checked and forgotten.

use super::args::{Cli, MediaCommand};
use super::medium::{self, Trust};
use super::{Outcome, Usage, media_add, media_list, media_show, say, setup};
use crate::lab::{Lab, Medium, Origin, releases};
use crate::media::pins::{Pin, Pins};
use crate::media::store::{Name, Store};
use crate::media::{self, Source};

pub fn run(cli: &Cli, args: &super::args::Media) -> anyhow::Result<Outcome> {
    match &args.what {
        MediaCommand::Add(args) => media_add::run(cli, args),
        MediaCommand::List { json } => media_list::run(cli, *json),
        MediaCommand::Show { name, json } => media_show::run(cli, name, *json),
        MediaCommand::Verify { names } => verify(cli, names),
        MediaCommand::Rm { names } => remove(cli, names),
    }
}

/// A medium of the lab or a known release.
pub fn find(lab: &Lab, name: &str) -> Option<Medium> {
    lab.media.get(name).cloned().or_else(|| releases::find(name).map(|r| r.medium()))
}

/// Names of the lab's media and of those that its lock file knows.
pub fn names(lab: &Lab, pins: &Pins) -> Vec<String> {
    let mut names: Vec<String> = lab.media.keys().chain(pins.media.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn unknown(name: &str, known: &[String]) -> anyhow::Error {
    let known = if known.is_empty() { "it has none".into() } else { format!("it has {}", known.join(", ")) };
    Usage(format!("The lab has no medium {name:?}: {known}")).into()
}

fn verify(cli: &Cli, only: &[String]) -> anyhow::Result<Outcome> {
    let lab = setup::plain_lab(cli, &setup::catalog(cli)?)?;
    let pins = Pins::load(&lab.dir)?;
    let all = names(&lab, &pins);
    if let Some(name) = only.iter().find(|name| !all.contains(name)) {
        return Err(unknown(name, &all));
    }
    let mut outcome = Outcome::Good;
    for name in all.iter().filter(|name| only.is_empty() || only.contains(name)) {
        match judge(cli, &lab, name, &pins)? {
            Verdict::Differs(why) => {
                say::line(format_args!("DIFFERS  {name}: {why}"))?;
                outcome = Outcome::Differs;
            }
            Verdict::Good(what) if !cli.quiet => say::line(format_args!("good     {name}: {what}"))?,
            Verdict::Good(_) => {}
        }
    }
    Ok(outcome)
}

enum Verdict {
    /// Or nothing to compare with, which is said.
    Good(String),
    Differs(String),
}

fn judge(cli: &Cli, lab: &Lab, name: &str, pins: &Pins) -> anyhow::Result<Verdict> {
    let pin = pins.media.get(name);
    let Some(medium) = find(lab, name) else {
        return Ok(Verdict::Good("the lab does not have it any more, `p9img media rm` forgets it".into()));
    };
    match (&medium.origin, pin) {
        (Origin::Urls(_), _) => {
            let pinned = pin.and_then(|pin| match pin {
                Pin::File { sha256, .. } => Some(*sha256),
                Pin::Folder { .. } => None,
            });
            let Some(sha256) = medium.sha256.or(pinned) else {
                return Ok(Verdict::Good("not fetched yet, and no digest says what it must be".into()));
            };
            if let (Some(lab), Some(lock)) = (medium.sha256, pinned)
                && lab != lock
            {
                let what = format!("sha256 says {lab}, but p9img.lock {lock}: the next use records the first");
                return Ok(Verdict::Differs(what));
            }
            let store = Store::platform()?;
            if store.open(&sha256)?.is_none() {
                return Ok(Verdict::Good(format!("not in the cache, to be fetched when it is used ({sha256})")));
            }
            match store.verify(&Name::Content(sha256))? {
                true => Ok(Verdict::Good(sha256.to_string())),
                false => Ok(Verdict::Differs(
                    "its file in the cache was damaged and is removed: the next use fetches it".into(),
                )),
            }
        }
        (Origin::Path(path), Some(Pin::Folder { tree, .. })) => {
            let opened =
                media::Medium::read(name, path, Source::open(path, Store::platform().ok().as_ref())?, lab.epoch)?;
            let found = medium::tree_digest(&opened)?;
            if found == *tree {
                return Ok(Verdict::Good(format!("tree {tree}")));
            }
            Ok(Verdict::Differs(medium::changed(name, &path.display().to_string(), found, *tree, "p9img.lock", false)))
        }
        (Origin::Path(path), None) if path.is_dir() => {
            Ok(Verdict::Good("a folder, not recorded (`p9img media add NAME --pin` does)".into()))
        }
        (Origin::Path(path), _) => {
            // The error of a file that is not there is for all of them.
            std::fs::metadata(path).map_err(|e| anyhow::anyhow!("Cannot read {} ({name}): {e}", path.display()))?;
            match medium::locate(cli, &lab.dir, name, &medium, pin, Trust::Lock) {
                Ok(located) => match located.file {
                    Some(Pin::File { sha256, .. }) if pin.is_some() || medium.sha256.is_some() => {
                        Ok(Verdict::Good(sha256.to_string()))
                    }
                    _ => Ok(Verdict::Good("not recorded yet: the first use does".into())),
                },
                Err(e) => Ok(Verdict::Differs(e.to_string())),
            }
        }
    }
}

fn remove(cli: &Cli, names: &[String]) -> anyhow::Result<Outcome> {
    let lab = setup::plain_lab(cli, &setup::catalog(cli)?)?;
    let pins = Pins::load(&lab.dir)?;
    let all = self::names(&lab, &pins);
    if let Some(name) = names.iter().find(|name| !all.contains(name) && releases::find(name).is_none()) {
        return Err(unknown(name, &all));
    }
    let store = Store::platform()?;
    for name in names {
        let mut freed = 0;
        let medium = find(&lab, name);
        let pinned = match pins.media.get(name) {
            Some(Pin::File { sha256, .. }) => Some(*sha256),
            _ => None,
        };
        let digests = [pinned, medium.as_ref().and_then(|m| m.sha256)];
        for digest in digests.into_iter().flatten().collect::<std::collections::BTreeSet<_>>() {
            for entry in store.entries()? {
                let made_of = matches!(&entry.name, Name::Derived(key) if key.contains(&digest.to_string()));
                if (made_of || entry.name == Name::Content(digest)) && store.remove(&entry.name)? {
                    freed += entry.len;
                }
            }
        }
        if let Some(Medium { origin: Origin::Urls(urls), .. }) = &medium {
            urls.iter().try_for_each(|url| store.forget(url))?;
        }
        Pins::update(&lab.dir, |pins| drop(pins.media.remove(name)))?;
        if !cli.quiet {
            say::line(format_args!("{name}: {} of the cache freed", say::size(freed)))?;
            if lab.media.contains_key(name) {
                say::note(&format!("{} still says where {name} is", cli.lab.display()));
            }
        }
    }
    Ok(Outcome::Good)
}
