//! `p9img media verify`: media compared with their recorded digests.

use super::named::{find, names, unknown};
use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{advice, say};
use crate::lab::{Lab, Medium, Origin};
use crate::media::firmware::MEDIUM;
use crate::media::pins::{Pin, Pins};
use crate::media::store::{Name, Store};
use crate::media::{self, Source};
use crate::ops;
use crate::ops::media::{self as opening, Record, Trust};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Media [default: all of the lab]
    pub names: Vec<String>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let only = &args.names;
    let lab = ops::lab::read(&cli.lab, &Printer::new(cli))?.1;
    let pins = Pins::load(&lab.dir)?;
    let all = names(&lab, &pins);
    if let Some(name) = only.iter().find(|name| !all.contains(name)) {
        return Err(unknown(name, &all));
    }
    let mut outcome = Outcome::Good;
    for name in all.iter().filter(|name| only.is_empty() || only.contains(name)) {
        let Judged { verdict, notes } = judge(cli, &lab, name, &pins)?;
        match verdict {
            Verdict::Differs(why) => {
                say::line(format_args!("DIFFERS  {name}: {why}"))?;
                outcome = Outcome::Differs;
            }
            Verdict::Good(what) | Verdict::NotThere(what) if !cli.quiet => {
                say::line(format_args!("good     {name}: {what}"))?;
            }
            Verdict::Good(_) | Verdict::NotThere(_) => {}
        }
        if !cli.quiet {
            notes.iter().for_each(|note| say::note(&format!("{name}: {note}")));
        }
    }
    Ok(outcome)
}

enum Verdict {
    /// Equal; or without a digest to compare with, as the text says.
    Good(String),
    /// Nothing to compare: the text says why.
    NotThere(String),
    Differs(String),
}

/// A verdict, and other facts about the medium.
struct Judged {
    verdict: Verdict,
    notes: Vec<String>,
}

impl From<Verdict> for Judged {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, notes: Vec::new() }
    }
}

fn judge(cli: &GlobalArgs, lab: &Lab, name: &str, pins: &Pins) -> anyhow::Result<Judged> {
    let pin = pins.media.get(name);
    let Some(medium) = find(lab, name) else {
        return Ok(Verdict::NotThere("the lab does not have it any more; `p9img media rm` forgets it".into()).into());
    };
    let verdict = match (&medium.origin, pin) {
        (Origin::Path(path), Some(Pin::Folder { tree, .. })) => {
            let opened =
                media::Medium::read(name, path, Source::open(path, Store::platform().ok().as_ref())?, lab.epoch)?;
            let found = opening::tree_digest(&opened)?;
            let verdict = match found == *tree {
                true => Verdict::Good(format!("tree {tree}")),
                false => Verdict::Differs(advice::text(&opening::changed_tree(name, path, found, *tree))),
            };
            return Ok(Judged { verdict, notes: opened.notes });
        }
        _ => bytes(cli, lab, name, &medium, pin)?,
    };
    // Firmware cannot be opened as a medium.
    if cli.quiet || name == MEDIUM || !matches!(verdict, Verdict::Good(_)) {
        return Ok(verdict.into());
    }
    let notes = match opening::open(lab, name, &medium, Record::No, &Printer::new(cli)) {
        Ok(opened) => opened.notes,
        Err(e) => vec![format!("it cannot be used: {}", advice::line(&e))],
    };
    Ok(Judged { verdict, notes })
}

/// Compares the bytes of a medium with its recorded digest.
fn bytes(cli: &GlobalArgs, lab: &Lab, name: &str, medium: &Medium, pin: Option<&Pin>) -> anyhow::Result<Verdict> {
    match (&medium.origin, pin) {
        (Origin::Urls(_), _) => {
            let pinned = pin.and_then(|pin| match pin {
                Pin::File { sha256, .. } => Some(*sha256),
                Pin::Folder { .. } => None,
            });
            let Some(sha256) = medium.sha256.or(pinned) else {
                return Ok(Verdict::NotThere("not fetched yet, and there is no digest for it yet".into()));
            };
            if let (Some(lab), Some(lock)) = (medium.sha256, pinned)
                && lab != lock
            {
                let what = format!("sha256 says {lab}, but p9img.lock {lock}: the next use records the first");
                return Ok(Verdict::Differs(what));
            }
            let store = Store::platform()?;
            if store.open(&sha256)?.is_none() {
                return Ok(Verdict::NotThere(format!("not in the cache; fetched when it is used ({sha256})")));
            }
            match store.verify(&Name::Content(sha256))? {
                true => Ok(Verdict::Good(sha256.to_string())),
                false => Ok(Verdict::Differs(
                    "its file in the cache was damaged and is removed: the next use fetches it".into(),
                )),
            }
        }
        (Origin::Path(path), None) if path.is_dir() => {
            Ok(Verdict::Good("a folder, not recorded (`p9img media add NAME --pin` does)".into()))
        }
        (Origin::Path(path), _) => {
            // A missing file is an error of the command, not a verdict on a medium.
            std::fs::metadata(path).map_err(|e| anyhow::anyhow!("Cannot read {} ({name}): {e}", path.display()))?;
            match opening::locate(&lab.dir, name, medium, pin, Trust::Lock, &Printer::new(cli)) {
                Ok(located) => match located.file {
                    Some(Pin::File { sha256, .. }) if pin.is_some() || medium.sha256.is_some() => {
                        Ok(Verdict::Good(sha256.to_string()))
                    }
                    _ => Ok(Verdict::Good("not recorded yet: the first use does".into())),
                },
                Err(e) => Ok(Verdict::Differs(advice::text(&e))),
            }
        }
    }
}
