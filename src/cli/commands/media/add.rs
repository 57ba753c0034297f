//! `p9img media add`: a medium gets a name in the lab, is fetched, and recorded.

use super::named::find;
use crate::cli::outcome::{Outcome, Usage};
use crate::cli::printer::Printer;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::lab::check::table_key;
use crate::lab::{Lab, Medium, Origin, SAMPLE, Said, names, releases};
use crate::lock;
use crate::media as reading;
use crate::media::MediumError;
use crate::media::firmware::Firmware;
use crate::media::pins::{Pin, Pins};
use crate::ops;
use crate::ops::media::{self, Located, Trust};
use crate::render::Catalog;
use crate::size;
use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the medium in the lab, or of a release
    pub name: String,
    /// An http or https address, a file, or a folder
    #[arg(value_name = "URL|PATH")]
    pub source: Option<String>,
    /// Expected SHA-256 of the file
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Record the present file, even if p9img.lock has another digest
    #[arg(long)]
    pub update: bool,
    /// Record a folder, too: the digest of all files in it
    #[arg(long)]
    pub pin: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let name = &args.name;
    let usage = |text: String| anyhow::Error::from(Usage(text));
    names::label("Medium name", name).map_err(|p| usage(p.to_string()))?;
    if name == SAMPLE {
        return Err(usage("The medium `sample` is built in: choose another name".into()));
    }
    let digest = args.sha256.as_deref().map(names::sha256).transpose().map_err(|p| usage(format!("--sha256: {p}")))?;
    let catalog = ops::lab::catalog(&cli.lab, &Printer::new(cli))?;
    let lab = match cli.lab.exists() {
        true => Some(ops::lab::load(&cli.lab, &catalog, &Printer::new(cli))?),
        false => None,
    };
    let dir = lab.as_ref().map_or(PathBuf::new(), |lab| lab.dir.clone());
    let there = match &lab {
        Some(lab) => find(lab, name),
        None => releases::find(name).map(|r| r.medium()),
    };
    let given = args.source.as_deref().map(|source| origin(&dir, source)).transpose()?;
    let mut new = false;
    let mut chosen = match (there, given) {
        (Some(there), None) => there,
        (Some(there), Some(given)) if there.said == Said::Lab && !same_place(&there.origin, &given) => {
            return Err(usage(format!(
                "The lab has a medium {name} already, from elsewhere: change it in {}, or choose another name",
                cli.lab.display()
            )));
        }
        (Some(there), Some(_)) if there.said == Said::Lab => there,
        (_, Some(origin)) => {
            new = true;
            Medium { origin, sha256: digest, len: None, said: Said::Lab }
        }
        (None, None) => {
            let known: Vec<_> = releases::all().iter().map(|r| r.name.as_str()).collect();
            return Err(usage(format!(
                "{name} is neither a medium of the lab nor a release in p9img's list: give its URL or PATH (the list has {})",
                known.join(", ")
            )));
        }
    };
    if let Some(digest) = digest {
        if chosen.sha256.is_some_and(|other| other != digest) {
            return Err(usage(format!("--sha256 differs from the recorded digest of {name}: {digest}")));
        }
        chosen.sha256 = Some(digest);
    }
    if lab.is_none() && matches!(chosen.origin, Origin::Path(_)) {
        bail!("There is no lab file {} to add {name} to: `p9img init` makes one", cli.lab.display());
    }
    let pins = if lab.is_some() { Pins::load(&dir)? } else { Pins::default() };
    let pin = pins.media.get(name);
    let trust = if args.update { Trust::Now } else { Trust::Lock };
    let located = media::locate(&dir, name, &chosen, pin, trust, &Printer::new(cli))?;
    let record = look(args, &dir, &chosen, &located, pin)?;
    if let Some(lab) = &lab {
        if new {
            append(cli, &catalog, lab, name, &chosen)?;
        }
        if let Some(record) = &record {
            media::record(&dir, name, record.clone(), pin)?;
        }
    }
    if !cli.quiet {
        report(cli, name, &located, record.as_ref(), lab.is_some())?;
    }
    Ok(Outcome::Good)
}

/// Address, or path of an existing file or folder, as the lab will have it.
fn origin(dir: &Path, source: &str) -> anyhow::Result<Origin> {
    if source.contains("://") {
        return Ok(Origin::Urls(vec![names::url(source).map_err(|p| Usage(p.to_string()))?]));
    }
    let path = PathBuf::from(source);
    if !path.exists() {
        let problem = names::url(source).err().and_then(|p| p.help).filter(|help| help.contains("https://"));
        let help = problem.map_or_else(String::new, |help| format!("; for the web, {help}"));
        bail!("There is no file or folder {source}{help}");
    }
    // The paths of the lab begin at its own folder, those on the command line at
    // the user's.
    let here = dir.as_os_str().is_empty() || dir == Path::new(".");
    let path = if here || path.is_absolute() {
        dir.join(path)
    } else {
        path.canonicalize().context("Cannot find the path")?
    };
    Ok(Origin::Path(path))
}

fn same_place(a: &Origin, b: &Origin) -> bool {
    match (a, b) {
        (Origin::Path(a), Origin::Path(b)) => {
            a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
        }
        (Origin::Urls(a), Origin::Urls(b)) => b.iter().all(|url| a.contains(url)),
        _ => false,
    }
}

/// Opens the medium as a build would, and returns the entry for `p9img.lock`. A
/// file that is neither a medium nor a board's firmware is an error.
fn look(args: &Args, dir: &Path, chosen: &Medium, located: &Located, pin: Option<&Pin>) -> anyhow::Result<Option<Pin>> {
    let opened =
        located.source().and_then(|source| reading::Medium::read(&args.name, &located.path, source, crate::lab::EPOCH));
    match (&located.file, opened) {
        (Some(file), Ok(_)) => Ok(Some(file.clone())),
        (Some(file), Err(e)) => {
            let firmware = || {
                let read = |source| Firmware::read(&located.path, source).is_ok_and(|found| found.is_any());
                matches!(e, MediumError::NotPlan9 { .. }) && located.source().is_ok_and(read)
            };
            if firmware() { Ok(Some(file.clone())) } else { Err(located.unusable(&args.name, e).into()) }
        }
        (None, Err(e)) => Err(e.into()),
        (None, Ok(opened)) => {
            let wanted = args.pin || (args.update && matches!(pin, Some(Pin::Folder { .. })));
            if !wanted {
                return Ok(None);
            }
            let tree = media::tree_digest(&opened)?;
            if let (Some(Pin::Folder { tree: old, .. }), false) = (pin, args.update)
                && *old != tree
            {
                return Err(media::changed_tree(&args.name, &located.path, tree, *old).into());
            }
            let source = match &chosen.origin {
                Origin::Path(path) => path.strip_prefix(dir).unwrap_or(path).display().to_string(),
                Origin::Urls(urls) => urls.join(" "),
            };
            Ok(Some(Pin::Folder { tree, source }))
        }
    }
}

/// Adds the medium's section at the end of the lab file.
fn append(cli: &GlobalArgs, catalog: &Catalog, lab: &Lab, name: &str, medium: &Medium) -> anyhow::Result<()> {
    let file = &cli.lab;
    let fail = || format!("Cannot write {}", file.display());
    let here = if lab.dir.as_os_str().is_empty() { Path::new(".") } else { &lab.dir };
    let _lock = lock::folder(here).with_context(fail)?;
    // Another process may have added the same meanwhile.
    let now = ops::lab::load(&cli.lab, catalog, &Printer::new(cli))?;
    if now.media.get(name).is_some_and(|there| there.origin == medium.origin) {
        return Ok(());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("Cannot read {}", file.display()))?;
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut section = format!("[media.{}]\n", table_key(name));
    match &medium.origin {
        Origin::Path(path) => {
            let path = path.strip_prefix(&lab.dir).unwrap_or(path).to_str().context("The path is not UTF-8")?;
            section += &format!("path = {}\n", quoted(path));
        }
        Origin::Urls(urls) => urls.iter().for_each(|url| section += &format!("url = {}\n", quoted(url))),
    }
    if let Some(digest) = medium.sha256 {
        section += &format!("sha256 = \"{digest}\"\n");
    }
    // The added lines end as those of the file.
    let windows = text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'));
    let added = if windows { format!("\r\n\r\n{}", section.replace('\n', "\r\n")) } else { format!("\n\n{section}") };
    let text = format!("{}{added}", text.trim_end());
    // A file that is written with links or inline tables may not take a section at its end.
    if Lab::parse(&text, &file.display().to_string(), &lab.dir, &catalog.facts()).is_err() {
        bail!("Cannot add a section to {}: write there\n\n{section}", file.display());
    }
    let real = file.canonicalize().with_context(fail)?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".lab.toml.").tempfile_in(folder).with_context(fail)?;
    new.write_all(text.as_bytes()).with_context(fail)?;
    new.as_file().set_permissions(real.metadata().with_context(fail)?.permissions()).with_context(fail)?;
    new.persist(&real).with_context(fail)?;
    Ok(())
}

fn report(cli: &GlobalArgs, name: &str, located: &Located, record: Option<&Pin>, lab: bool) -> anyhow::Result<()> {
    match record {
        Some(Pin::File { sha256, length, source }) => {
            say::line(format_args!("{name}  {sha256}  {}  {source}", size::even(*length)))?;
        }
        Some(Pin::Folder { tree, source }) => say::line(format_args!("{name}  tree {tree}  {source}"))?,
        None => say::line(format_args!("{name}  {}", located.path.display()))?,
    }
    if !lab {
        say::note(&format!("it is in the cache; there is no lab file {} to record it for", cli.lab.display()));
    }
    Ok(())
}
