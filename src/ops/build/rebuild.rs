//! Rebuilds: the artifacts built once more, elsewhere, and compared with those that
//! are there.
//!
//! Nothing is written into the output folder. Equal artifacts are removed again;
//! one that differs stays in a folder next to the output folder, for a closer look.

use super::assembly::Assembly;
use super::inputs::{Inputs, Purpose};
use super::pass::Pass;
use super::{BuildError, BuildRequest};
use crate::artifact::manifest::{self, Manifest};
use crate::artifact::{ArtifactReport, Folder, Memory, Wait, folder, sums};
use crate::count;
use crate::lab::secrets::FILE;
use crate::lab::{Format, Node, words};
use crate::lock::{self, Taken};
use crate::ops::Reporter;
use crate::ops::media::Record;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Beginning of the names of the folders that rebuilds write into.
const PREFIX: &str = ".p9img-rebuild-";
/// Bytes compared at a time.
const STEP: usize = 256 << 10;

/// An artifact that is there, compared with what a build gives now.
#[derive(Debug, Serialize)]
pub struct Compared {
    pub name: String,
    pub path: PathBuf,
    pub same: bool,
    /// Differences, each a clause: subject, position, found and expected.
    pub differences: Vec<String>,
    /// Path of the new one, if it differs.
    pub rebuilt: Option<PathBuf>,
}

/// Builds nodes of a lab again as they were built, into a folder of its own, and
/// compares each artifact, and the manifest, with the one that is there.
///
/// # Errors
/// Fails when an input has a mistake, or a file cannot be read or written.
pub fn rebuild(request: &BuildRequest, reporter: &dyn Reporter) -> Result<Vec<Compared>, BuildError> {
    let inputs = Inputs::read(request, Purpose::Rebuild, reporter)?;
    let (media, firmware) = inputs.media(Record::No, reporter)?;
    let variants = variants(&inputs, request);
    let assembly = Assembly::new(&inputs, &media, firmware, variants)?;
    if !inputs.secrets.complete && assembly.has_secrets() {
        // With stand-ins for secrets, nothing can be equal.
        return Err(BuildError::NoSecrets { path: inputs.lab.dir.join(FILE) });
    }
    let stop = reporter.stop_flag().map_err(|source| BuildError::StopFlag { source })?;
    let work = work(&inputs.lab.out)?;
    let folder = Folder::lock(work.path(), Wait::Yes)?;
    // A rebuild trusts no record.
    let (memory, bases) = (Memory::none(), BTreeMap::new());
    let mut pass = Pass::new(&inputs, &assembly, &folder, memory, bases, request.jobs, stop.clone())?;
    let reports = pass.write(reporter)?;
    let manifest = pass.manifest(&reports, Purpose::Rebuild)?;
    manifest.save(&folder)?;
    compare(&inputs.lab.out, work, &reports, &manifest, &|| stop.load(Ordering::Relaxed))
}

/// Records of the artifacts in a folder.
struct Written {
    sums: BTreeMap<String, String>,
    manifest: Option<Manifest>,
    manifest_text: Option<Vec<u8>>,
}

/// Folder for a rebuild: a new one next to the output folder `out`, or in the
/// system's folder for temporary files; for its owner alone, because images hold
/// keys.
///
/// # Errors
/// Fails when neither can be made.
fn work(out: &Path) -> Result<tempfile::TempDir, BuildError> {
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sweep(parent);
    let name = |b: &mut tempfile::Builder<'_, '_>| b.prefix(PREFIX).tempdir_in(parent);
    // Next to a lab in a folder that is read-only, none can be made.
    name(&mut tempfile::Builder::new())
        .or_else(|_| tempfile::tempdir())
        .map_err(|source| BuildError::WorkFolder { parent: parent.to_owned(), source })
}

/// Removes the folders that killed rebuilds left next to the output folder. A
/// folder that stays for a closer look has no lock file, and that of a running
/// rebuild is locked.
#[expect(clippy::disallowed_methods, reason = "the order of removal reaches nothing")]
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path().join(folder::LOCK);
        let ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if !ours || !path.symlink_metadata().is_ok_and(|m| m.is_file()) {
            continue;
        }
        if let Ok(file) = File::options().write(true).open(&path)
            && lock::attempt(&path, &file).is_ok_and(|taken| taken == Taken::Held)
        {
            // A folder that cannot be removed disturbs nobody.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Nodes with the formats in which they have images. Instead, they have those that
/// a build makes if the request names formats, no node has images, or the request
/// names a node that has none.
fn variants(inputs: &Inputs, request: &BuildRequest) -> Vec<(Node, Vec<Format>)> {
    let (lab, nodes, there) = (&inputs.lab, inputs.nodes(), inputs.previous.as_ref());
    let made = |node: &str| -> Vec<Format> {
        let all = there.iter().flat_map(|m| m.artifacts.values()).filter(|a| !a.stale && a.node == node);
        all.filter_map(|a| words::parse(&a.format).ok()).collect()
    };
    let any = nodes.iter().any(|n| !made(&n.name).is_empty());
    let variants = |node: &Node| {
        let made = made(&node.name);
        if !request.lab.formats.is_empty() || !any || (made.is_empty() && !request.nodes.is_empty()) {
            return lab.variants(node);
        }
        let formats: Vec<Format> = lab.formats.iter().copied().chain(made.iter().copied()).collect();
        let all = lab.clone().with_formats(&formats).variants(node).into_iter();
        let of = |(node, formats): (Node, Vec<Format>)| {
            let there: Vec<Format> = formats.into_iter().filter(|format| made.contains(format)).collect();
            (!there.is_empty()).then_some((node, there))
        };
        all.filter_map(of).collect()
    };
    nodes.into_iter().flat_map(variants).collect()
}

/// Compares the artifacts in `work` with those in `out`; those that differ stay in `work`.
///
/// # Errors
/// Fails when a file in `out` cannot be read.
fn compare(
    out: &Path,
    work: tempfile::TempDir,
    reports: &[ArtifactReport],
    manifest: &Manifest,
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<Compared>, BuildError> {
    // A build that is under way ends first.
    let _held = Folder::hold(out, stopped)?;
    let written = Written::load(out)?;
    let mut compared = Vec::new();
    for report in reports {
        let name = report.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let differences = written.artifact(out, &name, report, stopped)?;
        let same = differences.is_empty();
        compared.push(Compared { path: out.join(&name), name, same, differences, rebuilt: None });
    }
    let differences = written.manifest(manifest)?;
    let (name, same) = (manifest::FILE.to_owned(), differences.is_empty());
    compared.push(Compared { path: out.join(&name), name, same, differences, rebuilt: None });

    if !compared.iter().all(|c| c.same) {
        keep(work, &mut compared)?;
    }
    Ok(compared)
}

impl Written {
    fn load(out: &Path) -> Result<Self, BuildError> {
        let path = out.join(manifest::FILE);
        let manifest_text = match std::fs::read(&path) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(BuildError::Read { path, source }),
        };
        // A manifest that cannot be read differs in its bytes, too.
        let manifest = Manifest::load(out).ok().flatten();
        Ok(Self { sums: sums::load_in(out)?, manifest, manifest_text })
    }

    fn artifact(
        &self,
        out: &Path,
        name: &str,
        new: &ArtifactReport,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<String>, BuildError> {
        let path = out.join(name);
        let mut differences = Vec::new();
        let read = |source| BuildError::Read { path: path.clone(), source };
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => differences.push("it is missing".to_owned()),
            Err(e) => return Err(read(e)),
            Ok(old) => {
                let len = old.metadata().map_err(read)?.len();
                if len != new.len {
                    let (kind, by) = if len > new.len { ("more", len - new.len) } else { ("fewer", new.len - len) };
                    differences.push(format!(
                        "it has {len}, {by} {kind} than the rebuilt one with {}",
                        new.len,
                        len = count::of(len, "byte")
                    ));
                }
                let rebuilt =
                    File::open(&new.path).map_err(|source| BuildError::Read { path: new.path.clone(), source })?;
                if let Some((at, old, new)) = first_difference(old, rebuilt, stopped).map_err(read)? {
                    differences.push(format!("byte {at} is {old:02x}, rebuilt it is {new:02x}"));
                }
            }
        }
        match self.sums.get(name) {
            None => differences.push(format!("{} has no line for it", sums::FILE)),
            Some(sum) if *sum != new.sha256 => {
                differences.push(format!("{} says {sum}, rebuilt it is {}", sums::FILE, new.sha256));
            }
            Some(_) => {}
        }
        match self.manifest.as_ref().and_then(|m| m.artifacts.get(name).or_else(|| m.bases.get(name))) {
            None => differences.push(format!("{} does not name it", manifest::FILE)),
            Some(a) if a.sha256 != new.sha256 => {
                differences.push(format!("{} says {}, rebuilt it is {}", manifest::FILE, a.sha256, new.sha256));
            }
            Some(_) => {}
        }
        Ok(differences)
    }

    fn manifest(&self, new: &Manifest) -> Result<Vec<String>, BuildError> {
        let Some(old) = &self.manifest_text else { return Ok(vec!["it is missing".into()]) };
        let new = new.text()?;
        let line = |text: &[u8], n: usize| {
            text.split(|b| *b == b'\n').nth(n).map_or(String::new(), |l| String::from_utf8_lossy(l).trim().to_owned())
        };
        let lines = old.split(|b| *b == b'\n').count().max(new.split(|b| *b == b'\n').count());
        if *old == new {
            return Ok(Vec::new());
        }
        let at = (0..lines).find(|n| line(old, *n) != line(&new, *n)).unwrap_or(0);
        Ok(vec![format!("line {} is {:?}, rebuilt it is {:?}", at + 1, line(old, at), line(&new, at))])
    }
}

/// Offset and both values of the first byte that differs, as far as both files reach.
fn first_difference(mut a: File, mut b: File, stopped: &dyn Fn() -> bool) -> io::Result<Option<(u64, u8, u8)>> {
    let (mut left, mut right) = (vec![0; STEP], vec![0; STEP]);
    let mut at = 0u64;
    loop {
        if stopped() {
            return Err(io::Error::other("Interrupted; nothing was replaced"));
        }
        let n = fill(&mut a, &mut left)?.min(fill(&mut b, &mut right)?);
        if left[..n] != right[..n] {
            let i = left[..n].iter().zip(&right[..n]).position(|(a, b)| a != b).unwrap_or(0);
            return Ok(Some((at + i as u64, left[i], right[i])));
        }
        if n < STEP {
            return Ok(None);
        }
        at += n as u64;
    }
}

/// Reads until `buf` is full or the file ends.
fn fill(file: &mut File, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read(&mut buf[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Leaves the artifacts that differ, and the manifest if it does, in `work`.
fn keep(work: tempfile::TempDir, compared: &mut [Compared]) -> Result<(), BuildError> {
    let work = work.keep();
    // The folder is to stay: one without a lock file is not removed by later rebuilds.
    let _ = std::fs::remove_file(work.join(folder::LOCK));
    for c in compared {
        let new = work.join(&c.name);
        if c.same {
            std::fs::remove_file(&new).map_err(|source| BuildError::Remove { path: new, source })?;
        } else {
            c.rebuilt = Some(new);
        }
    }
    Ok(())
}
