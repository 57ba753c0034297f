//! Words of the command line for errors and notes of the library, which name no
//! command and no argument: each text has the fact, and then the command or
//! argument that helps.

use super::outcome::Usage;
use super::time;
use crate::artifact;
use crate::count;
use crate::guest::folder::FolderError;
use crate::guest::grid::{GridError, Paused, Wish};
use crate::guest::runner::{Pause, RunnerError};
use crate::lab::secrets::SecretsError;
use crate::lab::words::Word as _;
use crate::lab::{Format, Mistakes, Remedy};
use crate::media::fetch::FetchError;
use crate::ops::media::{Changed, SaidBy};
use crate::ops::{BuildError, ImagesError, LabError, MediaError, Note};
use crate::page::PageError;
use std::error::Error;

/// Text of an error, without its causes.
pub fn text(error: &(dyn Error + 'static)) -> String {
    let error = innermost(error);
    let advised = if let Some(e) = error.downcast_ref() {
        lab(e)
    } else if let Some(e) = error.downcast_ref() {
        media(e)
    } else if let Some(e) = error.downcast_ref() {
        build(e)
    } else if let Some(e) = error.downcast_ref() {
        images(e)
    } else if let Some(e) = error.downcast_ref() {
        grid(e)
    } else if let Some(e) = error.downcast_ref() {
        paused(e)
    } else if let Some(e) = error.downcast_ref() {
        folder(e)
    } else if let Some(e) = error.downcast_ref() {
        fetch(e)
    } else if let Some(e) = error.downcast_ref() {
        secrets(e)
    } else if let Some(e) = error.downcast_ref() {
        artifact(e)
    } else {
        error.downcast_ref().map(|e| advised(e).to_string())
    };
    advised.unwrap_or_else(|| error.to_string())
}

/// Text of an error with all its causes, on one line.
pub fn line(error: &(dyn Error + 'static)) -> String {
    let (mut line, mut cause) = (text(error), error.source());
    while let Some(error) = cause {
        line += &format!(": {}", text(error));
        cause = error.source();
    }
    line
}

/// Whether an error is a mistake in how the command was called.
pub fn is_usage(error: &(dyn Error + 'static)) -> bool {
    let error = innermost(error);
    error.is::<Usage>()
        || matches!(
            error.downcast_ref(),
            Some(
                LabError::Medium(_)
                    | LabError::Format(_)
                    | LabError::Layout(_)
                    | LabError::Epoch(_)
                    | LabError::NoNode { .. }
            )
        )
        || matches!(error.downcast_ref(), Some(MediaError::Unknown { .. }))
        || matches!(error.downcast_ref(), Some(BuildError::NoFormat | BuildError::NoneFits))
}

/// The mistakes of a lab file, with their advice, if the error has them.
pub fn mistakes(error: &(dyn Error + 'static)) -> Option<Mistakes> {
    innermost(error).downcast_ref().map(advised)
}

/// The mistakes, with the commands and arguments that resolve them as help.
pub fn advised(mistakes: &Mistakes) -> Mistakes {
    let mut mistakes = mistakes.clone();
    for mistake in &mut mistakes.mistakes {
        if let Some(remedy) = mistake.remedy {
            mistake.help = Some(help(remedy).to_owned());
        }
    }
    mistakes
}

fn help(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::OtherFile => "`p9img init` writes one, `--lab FILE` names another",
        Remedy::FreePorts => "leave the key out, and `p9img up` chooses free ones and uses them again",
    }
}

/// The error with the message: not one that passes another error on.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let inner: Option<&(dyn Error + 'static)> = if let Some(e) = error.downcast_ref::<LabError>() {
        match e {
            LabError::Mistakes(e) => Some(e),
            _ => None,
        }
    } else if let Some(e) = error.downcast_ref::<MediaError>() {
        match e {
            MediaError::Fetch(e) => Some(e),
            _ => None,
        }
    } else if let Some(e) = error.downcast_ref::<BuildError>() {
        match e {
            BuildError::Lab(e) => Some(e),
            BuildError::Secrets(e) => Some(e),
            BuildError::Media(e) => Some(e),
            BuildError::Page(PageError::Write(e)) | BuildError::Artifact(e) => Some(e),
            _ => None,
        }
    } else if let Some(e) = error.downcast_ref::<ImagesError>() {
        match e {
            ImagesError::Lab(e) => Some(e),
            ImagesError::Build(e) => Some(e),
            _ => None,
        }
    } else if let Some(e) = error.downcast_ref::<GridError>() {
        match e {
            GridError::Paused(e) => Some(e),
            GridError::Folder(e) | GridError::Runner(RunnerError::Folder(e)) => Some(e),
            _ => None,
        }
    } else {
        None
    };
    inner.map_or(error, innermost)
}

fn lab(e: &LabError) -> Option<String> {
    match e {
        LabError::Medium(_) => Some(format!("--media: {e}")),
        LabError::Format(_) => Some(format!("--format: {e}")),
        LabError::Layout(_) => Some(format!("--layout: {e}")),
        _ => None,
    }
}

fn media(e: &MediaError) -> Option<String> {
    match e {
        MediaError::Changed(e) => Some(changed(e)),
        MediaError::Pinned { name, .. } => {
            Some(format!("{e}: `p9img media add {name} --update` records the present file"))
        }
        _ => None,
    }
}

fn changed(e: &Changed) -> String {
    let Changed { name, place, found, expected, is_file, .. } = e;
    let what = if *is_file { "SHA-256" } else { "a tree with the digest" };
    let pin = if *is_file { "" } else { " --pin" };
    let advice = match e.said_by {
        SaidBy::Lock => format!("if the change is intended, run `p9img media add {name} --update{pin}`"),
        _ => "replace it by the right file".to_owned(),
    };
    let said_by = said_by(e.said_by);
    format!("The medium {name} ({place}) has {what} {found}, but {said_by} says {expected}: {advice}")
}

/// Source of an expected digest, as the user of the command line knows it.
fn said_by(source: SaidBy) -> String {
    match source {
        SaidBy::Caller => "--sha256".to_owned(),
        other => other.to_string(),
    }
}

/// The source of an expected digest, and how to change the digest.
pub fn said_by_and_change(source: SaidBy, medium: &str) -> String {
    let said_by = said_by(source);
    match source {
        SaidBy::Lock => format!("{said_by} (if the change is intended, run `p9img media add {medium} --update`)"),
        _ => said_by,
    }
}

fn build(e: &BuildError) -> Option<String> {
    match e {
        BuildError::NoFormat => Some(format!("{e}: name some with --format")),
        BuildError::RealImages { .. } => Some(format!("{e}: give `--media PATH` or `--media sample`")),
        _ => None,
    }
}

fn images(e: &ImagesError) -> Option<String> {
    let advice = match e {
        ImagesError::NothingBuilt { .. } => {
            ": run `p9img build --all` first, or start without images: `p9img up --live`".to_owned()
        }
        ImagesError::OtherLab { .. } => ": build this one, or name its folder with --out".to_owned(),
        ImagesError::Changed { .. } => ": run `p9img build --all` again".to_owned(),
        ImagesError::Sample { .. } => ". Build from a real medium: `p9img build --all --media PATH`".to_owned(),
        ImagesError::SampleMedium { .. } => ". Give a real medium: --media PATH".to_owned(),
        ImagesError::NoImage { node } => match Format::to_run().first() {
            Some(best) => format!(": run `p9img build {node} --format {}`", best.word()),
            None => return None,
        },
        ImagesError::Image { node, .. } | ImagesError::NoCard { node, .. } => format!(": run `p9img build {node}`"),
        _ => return None,
    };
    Some(format!("{e}{advice}"))
}

fn grid(e: &GridError) -> Option<String> {
    let advice = match e {
        GridError::Port { .. } => " with --ports BASE".to_owned(),
        GridError::PortsEnd { .. } => ": choose a smaller --ports BASE".to_owned(),
        GridError::NoNetwork => ": `p9img down`, then start again".to_owned(),
        GridError::Rebuilt { .. } => "; start over with --fresh, which discards them".to_owned(),
        GridError::Recomputed { .. } => {
            "; put it back as it was, or start over with --fresh, which discards that".to_owned()
        }
        GridError::OtherStart { computed, .. } => {
            let go_on = if *computed { "with" } else { "without" };
            format!("; go on {go_on} --live, or start over with --fresh, which discards them")
        }
        GridError::Runs { names, wish } => {
            let option = match wish {
                Wish::Fresh => "--fresh".to_owned(),
                Wish::Firmware(firmware) => format!("--firmware {}", firmware.name()),
                Wish::Accel(accel) => format!("--accel {}", accel.name()),
            };
            let run = if names.len() == 1 { "runs" } else { "run" };
            let (all, list) = (names.join(" and "), names.join(" "));
            return Some(format!("{option} is for nodes that are down, but {all} {run}: `p9img down {list}` first"));
        }
        GridError::Address { other, .. } => format!(": `p9img down {other}` first"),
        GridError::PortsRun { base, asked } => {
            return Some(format!(
                "Ports begin at {base} while the lab runs: `p9img down` first, then `p9img up --ports {asked}`"
            ));
        }
        GridError::NotRunning { name } => format!(": start it with `p9img up {name}`"),
        GridError::NotHalted { name, seconds, tail } => {
            let seconds = count::of(seconds, "second");
            return Some(format!(
                "{name} did not halt within {seconds} and still runs: look at it with `p9img console {name}`, or turn \
                 it off at once with --force; its serial console ends with:\n{tail}"
            ));
        }
        GridError::NoPrompt { name } => format!("; look at it with `p9img console {name}`"),
        GridError::Kvm { .. } => ": start it with --accel tcg".to_owned(),
        _ => return None,
    };
    Some(format!("{e}{advice}"))
}

fn folder(e: &FolderError) -> Option<String> {
    matches!(e, FolderError::NotOwn { .. }).then(|| format!("{e} with --out"))
}

fn paused(e: &Paused) -> Option<String> {
    Some(format!("{e}{}", go_on(e.pause, &e.name)))
}

/// Advice for a node that is paused.
fn go_on(pause: Pause, name: &str) -> String {
    match pause {
        Pause::Disk => format!(", then `p9img up {name}` lets it go on"),
        Pause::Processor => format!(": turn it off with `p9img down --force {name}` and start it again"),
        Pause::Asked => format!(": `p9img up {name}` lets it go on"),
    }
}

fn fetch(e: &FetchError) -> Option<String> {
    match e {
        FetchError::Failed { name, .. } => {
            Some(format!("{e}; `p9img media add {name} PATH` takes a file of this machine"))
        }
        FetchError::Store(_) => None,
    }
}

fn secrets(e: &SecretsError) -> Option<String> {
    match e {
        SecretsError::NoneYet { path } => {
            Some(format!("There are no secrets yet: `p9img secrets create` makes {}", path.display()))
        }
        _ => None,
    }
}

fn artifact(e: &artifact::Error) -> Option<String> {
    match e {
        artifact::Error::ReadOnly { .. } => Some(format!("{e}: choose a folder on another one with --out")),
        artifact::Error::FileTooLarge { .. } => {
            Some(format!("{e}: choose a folder on another one with --out, or another format"))
        }
        _ => None,
    }
}

/// Text of a note.
pub fn note(note: &Note) -> String {
    match note {
        Note::MediumAsBefore { used, own } => {
            format!("the medium is {used}, as in the last `--media`; `--media {own}` returns to lab.toml's")
        }
        Note::MediumForgotten { given, was, own } => {
            format!("lab.toml has the medium {own} now, not {was}: the last `--media {given}` is forgotten")
        }
        Note::FormatsAsBefore { used, own } => format!(
            "the formats are {}, as in the last `--format`; `--format {}` returns to lab.toml's",
            used.join(", "),
            own.join(",")
        ),
        Note::FormatsForgotten { given, own } => format!(
            "lab.toml has the formats {} now: the last `--format {}` is forgotten",
            own.join(", "),
            given.join(",")
        ),
        Note::LayoutAsBefore { used, own } => {
            format!("the layout is {used}, as in the last `--layout`; `--layout {own}` returns to lab.toml's")
        }
        Note::LayoutForgotten { given, own } => {
            format!("lab.toml has the layout {own} now: the last `--layout {given}` is forgotten")
        }
        Note::EpochReplaced { from, epoch, own } => format!(
            "{from} is {epoch} ({}): it replaces the lab's epoch, {own} ({})",
            time::time(*epoch),
            time::time(*own)
        ),
        Note::Leftovers { .. } => format!("{note}; `p9img build --all --prune` removes such files"),
        Note::LeftoverRuns { .. } => format!("{note}; stop it with `p9img down` first"),
        Note::OtherOwner { nodes, .. } | Note::OtherUsers { nodes, .. } => {
            format!("{note}: `p9img build {}`", nodes.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
