//! `p9img init`: a new lab.

use crate::cli::outcome::{Outcome, Usage};
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::lab::board::BOARDS;
use crate::lab::template::{self, Choice};
use crate::lab::{Arch, Lab, SAMPLE, releases};
use crate::media::store::Store;
use crate::media::{Distribution, Medium};
use crate::ops;
use crate::render::Catalog;
use anyhow::{Context as _, bail};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the new lab; created if it does not exist
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Medium of the lab's nodes: a folder or file, or a release of `media list`
    #[arg(long, value_name = "NAME|PATH")]
    pub medium: Option<String>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let file = args.dir.join("lab.toml");
    if file.symlink_metadata().is_ok() {
        bail!("{} exists already: init makes a new lab and never changes an old one", file.display());
    }
    // Everything that can be refused is refused before anything is made.
    let choice = args.medium.as_deref().filter(|name| *name != SAMPLE).map(|name| choose(cli, &args.dir, name));
    let choice = choice.transpose()?;
    let lab = choice.as_ref().map_or_else(|| template::LAB.to_owned(), template::lab);
    fs::create_dir_all(&args.dir).with_context(|| format!("Cannot create {}", args.dir.display()))?;
    for (name, text) in [("lab.toml", lab.as_str()), (".gitignore", template::GITIGNORE)] {
        let path = args.dir.join(name);
        let made = fs::File::create_new(&path).and_then(|mut f| f.write_all(text.as_bytes()));
        match made {
            Ok(()) => {
                if !cli.quiet {
                    say::line(format_args!("{}", path.display()))?;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && name != "lab.toml" => {}
            Err(e) => return Err(e).with_context(|| format!("Cannot write {}", path.display())),
        }
    }
    if !cli.quiet {
        if choice.is_none() {
            say::note(
                "its nodes are built from the sample medium, which boots and prints a line, but is not Plan 9; \
                 `p9img init DIR --medium PATH` makes a lab of Plan 9",
            );
        }
        let go = if args.dir == Path::new(".") { String::new() } else { format!("`cd {}`, ", args.dir.display()) };
        say::note(&format!("next: {go}`p9img build --all`, then `p9img up`"));
    }
    Ok(Outcome::Good)
}

/// The medium that the user names: the one at a path, or a known release.
fn choose(cli: &GlobalArgs, dir: &Path, name: &str) -> anyhow::Result<Choice> {
    let path = Path::new(name);
    if path.symlink_metadata().is_ok() {
        return read(cli, dir, path);
    }
    if name.contains("://") {
        return Err(Usage(format!(
            "--medium: {name} is an address: make the lab without it, then bring the medium in with \
             `p9img media add NAME {name}`"
        ))
        .into());
    }
    let Some(release) = releases::find(name) else {
        let known: Vec<_> = releases::all().iter().map(|r| r.name.as_str()).collect();
        return Err(Usage(format!(
            "--medium: There is no file or folder {name}, and no release of that name; known releases are {}",
            known.join(", ")
        ))
        .into());
    };
    let arch = Arch::from(release.arch);
    if let Some(board) = BOARDS.iter().find(|spec| spec.fixed.arch == Some(arch)) {
        return Err(Usage(format!(
            "--medium: {} is for {}, but a new lab has PCs: choose a release for amd64 or 386, \
             and give nodes `board = \"{}\"` later",
            release.name, board.of, board.word
        ))
        .into());
    }
    Ok(Choice { name: release.name.clone(), path: None, arch })
}

/// Medium at `path`, if the nodes of a new lab can be built from it.
fn read(cli: &GlobalArgs, dir: &Path, path: &Path) -> anyhow::Result<Choice> {
    let medium = Medium::open("medium", path, crate::lab::EPOCH, Store::platform().ok().as_ref())?;
    if medium.distribution == Distribution::Sample {
        bail!(
            "{} is a copy of the sample medium: `p9img init` without --medium uses the one that is built in",
            path.display()
        );
    }
    if !cli.quiet {
        medium.notes.iter().for_each(|note| say::note(note));
    }
    let catalog = Catalog::embedded()?;
    let lab = Lab::parse(template::LAB, "lab.toml", dir, &catalog.facts());
    let mut roles: Vec<String> = lab.into_iter().flat_map(|lab| lab.nodes).flat_map(|n| n.roles).collect();
    roles.sort_unstable();
    roles.dedup();
    let name = medium.distribution.name();
    let mut missing = Vec::new();
    for arch in catalog.architectures(name)? {
        let why = ops::buildable::missing(&catalog, &medium, arch, &roles);
        if why.is_empty() {
            return Ok(Choice { name: name.to_owned(), path: Some(place(dir, path)?), arch });
        }
        missing.extend(why);
    }
    missing.dedup();
    bail!("No PC can be built from {}, which is {name}: {}", path.display(), missing.join("; "));
}

/// Path of the medium for `lab.toml` in `dir`: an absolute one unchanged, a
/// relative one from the lab's folder.
fn place(dir: &Path, path: &Path) -> anyhow::Result<String> {
    let said = if path.is_absolute() { path.to_owned() } else { between(&real(dir)?, &real(path)?) };
    said.to_str().map(str::to_owned).with_context(|| format!("The path {} is not UTF-8", path.display()))
}

/// Absolute path of a file or folder that need not exist yet, without links on the
/// way there. The last name stays as it was typed, even if it is a link.
fn real(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("Cannot find {}", path.display()))?;
    let there = path.ancestors().skip(usize::from(path.is_symlink())).find_map(|p| Some((p, p.canonicalize().ok()?)));
    let (above, found) = there.with_context(|| format!("Cannot find {}", path.display()))?;
    // Joining nothing would add a slash at the end.
    let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
    Ok(if rest.as_os_str().is_empty() { found } else { found.join(rest) })
}

/// Relative path from the folder `from` to `to`, both absolute and without links.
fn between(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(shared)).collect();
    if way.as_os_str().is_empty() { PathBuf::from(".") } else { way }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_leads_up_and_down_again() {
        let way = |from: &str, to: &str| between(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/lab", "/a/9legacy"), "../9legacy");
        assert_eq!(way("/a/lab", "/a/lab/media/x.iso"), "media/x.iso");
        assert_eq!(way("/a/b/lab", "/c"), "../../../c");
        assert_eq!(way("/a", "/a"), ".");
    }
}
