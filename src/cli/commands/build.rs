//! `p9img build`: the artifacts.

use crate::artifact::imager;
use crate::artifact::manifest::{MEDIA, MEDIUM, Manifest};
use crate::artifact::memory::{self, Memory};
use crate::artifact::{self, ArtifactReport, Folder, Job, Machine, Recorded, Settings, Wait};
use crate::assemble::{Assembled, Assembler};
use crate::cli::printer::Printer;
use crate::cli::shared_args::{GlobalArgs, Overrides};
use crate::cli::{Outcome, Usage, interrupt, rebuild, say};
use crate::count;
use crate::lab::secrets::FILE;
use crate::lab::{Format, Lab, Node, SAMPLE, Secrets};
use crate::ops::build::up_to_date::{AllInputs, InputStamps};
use crate::ops::build::{keys, leftovers};
use crate::ops::choices::{self, Choices};
use crate::ops::media::{self, Record};
use crate::ops::{self, BuildError, Note, Reporter as _, Watched, stale};
use crate::page;
use anyhow::Context as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::Ordering;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes to build
    pub nodes: Vec<String>,
    /// Build every node of the lab
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Build again in another folder and compare with the existing images: exit code 3 if anything differs
    #[arg(long)]
    pub rebuild: bool,
    /// Remove images of earlier builds: of removed nodes, and in other formats
    #[arg(long, conflicts_with = "rebuild")]
    pub prune: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Print the artifacts as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    if args.nodes.is_empty() && !args.all && !args.rebuild {
        return Err(Usage("No nodes given: name some, or build all of them with --all".into()).into());
    }
    let printer = Printer::new(cli);
    let request = args.overrides.request(cli);
    let catalog = ops::lab::catalog(&cli.lab, &printer)?;
    let (mut lab, choices) = choices::lab(&request, &catalog, &printer)?;
    let there = load(&lab, &lab.out);
    if args.rebuild {
        lab = rebuild::as_built(cli, lab, &args.overrides, there.as_ref());
    }
    let nodes = ops::lab::nodes(&lab, &args.nodes)?;
    if lab.formats.is_empty() {
        return Err(BuildError::NoFormat.into());
    }
    if !args.rebuild {
        choices.keep_real_images(&request, &lab, &nodes, there.as_ref())?;
        epoch_goes_back(&printer, &lab, there.as_ref());
    }
    let secrets = ops::lab::secrets(&lab, &printer)?;
    let mut held = None;
    // A rebuild is to believe nothing.
    let look = if args.rebuild { None } else { InputStamps::of(&lab) };
    let inputs = |secrets| look.as_ref().map(|look| AllInputs::new(look, &lab, &args.nodes, &catalog, secrets));
    let mut before = secrets.complete.then(|| inputs(&secrets.value)).flatten();
    if let Some(before) = &before
        && lab.out.join(memory::FILE).exists()
    {
        let folder = Folder::lock(&lab.out, Wait::Yes)?;
        let memory = before.memory(&lab);
        if let Some(reports) = before.nothing_to_do(&lab, &memory).filter(|_| !args.prune) {
            choices.save(&folder, &lab, &nodes)?;
            report(cli, args, &lab, &reports)?;
            there.iter().filter_map(|there| leftovers::note(&lab.out, there)).for_each(|note| printer.note(&note));
            return Ok(Outcome::Good);
        }
        held = Some((folder, memory));
    }
    let record = if args.rebuild { Record::No } else { Record::Yes };
    let media = media::all(&lab, record, &printer)?;
    let firmware = media::firmware(&lab, &nodes, record, &printer)?;
    let mut assembler = Assembler::new(&lab, &media, &catalog, &secrets.value)?.with_firmware(firmware);
    let variants = match args.rebuild {
        true => rebuild::variants(&lab, &nodes, args, there.as_ref()),
        false => nodes.iter().flat_map(|n| lab.variants(n)).collect(),
    };
    if variants.is_empty() {
        return Err(BuildError::NoneFits.into());
    }
    let mut assembled = assembler.nodes(&variants)?;
    if args.rebuild && !secrets.complete && assembled.iter().any(|a| a.secret) {
        // Without them nothing can come out equal.
        anyhow::bail!(
            "{} lacks passwords of the lab: a rebuild needs the secrets of the build",
            lab.dir.join(FILE).display()
        );
    }
    // Until here, and while another build is waited for, an interrupt ends p9img at
    // once: what was fetched so far is kept, and nothing is half-written.
    let stop = args.rebuild.then(interrupt::flag).transpose()?;
    let work = if args.rebuild { Some(rebuild::work(&lab.out)?) } else { None };
    let (folder, memory) = match held {
        Some((folder, memory)) => (folder, Some(memory)),
        None => (Folder::lock(work.as_ref().map_or(&*lab.out, tempfile::TempDir::path), Wait::Yes)?, None),
    };
    let stop = stop.map_or_else(interrupt::flag, Ok)?;
    let made;
    if !secrets.complete && !args.rebuild {
        // Made when nothing else is wrong: a build that fails leaves no passwords behind.
        made = make_secrets(&printer, &lab)?;
        assembler = assembler.with_secrets(&made);
        assembled = assembler.nodes(&variants)?;
        before = inputs(&made);
    }
    let mut memory = memory.or_else(|| Some(before.as_ref()?.memory(&lab))).unwrap_or_else(Memory::none);
    let key = assembler.key();
    // A mistake in a template shows before anything is written.
    page::render(&lab, &catalog, &Manifest::new(&lab.name, lab.epoch))?;
    let jobs: Vec<Job> = variants.iter().zip(&assembled).map(|((n, f), a)| job(&lab, n, f, a, key)).collect();

    let mut settings = Settings {
        epoch: lab.epoch,
        ovf_template: catalog.template("templates/lab/node.ovf")?.1.to_owned(),
        recorded: recorded(&lab, &folder),
        bases: before.as_ref().map(|b| b.bases(&assembler)).unwrap_or_default(),
        stop: stop.clone(),
        ..Settings::default()
    };
    if let Some(jobs) = args.jobs.and_then(|n| NonZeroUsize::new(n.into())) {
        settings.jobs = jobs;
    }
    // All of the medium is read for these: before anything is replaced, so that an
    // interrupt leaves everything as it was.
    let digests = match memory.media(&settings.bases).filter(|digests| digests.len() == media.len()) {
        Some(digests) => Ok(digests),
        None => assembler.digests(settings.jobs),
    };
    if stop.load(Ordering::Relaxed) {
        return Err(artifact::Error::Interrupted.into());
    }
    let open = keys::OpenImages::before(&folder, &jobs);
    let chosen = if args.rebuild { None } else { Some(choices.save(&folder, &lab, &nodes)?) };
    let progress = Watched::new(&printer, stop.clone());
    let reports = artifact::build_from(&folder, &jobs, &settings, &mut memory, &progress);
    drop(progress);
    let reports = match (reports, chosen) {
        (Err(e), Some(old)) => {
            Choices::undo(&folder, old);
            return Err(e.into());
        }
        (reports, _) => reports?,
    };
    // A medium that cannot be read has failed by now, but for what no image holds.
    let digests = digests.context("Cannot read the medium")?;
    memory.remember_media(&settings.bases, &digests);
    let mut manifest = manifest(&lab, &assembler, &assembled, &reports, &digests, args.rebuild)?;
    if let Some(work) = work {
        manifest.save(&folder)?;
        return rebuild::compare(cli, args, &lab.out, work, &reports, &manifest, &|| stop.load(Ordering::Relaxed));
    }
    if args.prune {
        leftovers::prune(&folder, &mut manifest, &mut memory, &printer)?;
    }
    manifest.save(&folder)?;
    page::save(&folder, &lab, &catalog, &manifest)?;
    let boards = lab.nodes.iter().map(|n| (n.name.as_str(), n.board));
    imager::save(&folder, &manifest, &boards.collect(), lab.url.as_deref())?;
    if let Some(before) = &before {
        before.remember(&folder, &mut memory, &reports)?;
    }
    report(cli, args, &lab, &reports)?;
    open.after(&folder, &reports).iter().for_each(|note| printer.note(note));
    leftovers::note(&lab.out, &manifest).iter().for_each(|note| printer.note(note));
    if !cli.quiet
        && let Ok(Some(secrets)) = Secrets::load(&lab.dir, &lab.hostowner)
    {
        // Those that this build has written are right.
        let others = manifest.artifacts.iter().filter(|(_, a)| !nodes.iter().any(|n| n.name == a.node));
        let images: Vec<_> = others.map(|(file, a)| (a.node.as_str(), lab.out.join(file))).collect();
        let images = images.iter().map(|(node, image)| (*node, image.as_path()));
        stale::notes(images, &secrets, &lab.hostowner).iter().for_each(|note| printer.note(note));
    }
    Ok(Outcome::Good)
}

/// Says when images lose an epoch that a variable gave them.
fn epoch_goes_back(printer: &Printer, lab: &Lab, there: Option<&Manifest>) {
    let Some(there) = there.filter(|m| lab.epoch_from.is_none() && m.epoch != lab.epoch) else { return };
    if let Some(from) = &there.epoch_from {
        printer.note(&Note::EpochGoesBack { from: from.clone(), then: there.epoch, own: lab.epoch });
    }
}

/// What the folder's manifest says of this lab's artifacts. One that cannot be
/// read says nothing: then everything is written.
fn recorded(lab: &Lab, folder: &Folder) -> BTreeMap<String, Recorded> {
    let manifest = load(lab, folder.path());
    let artifacts = manifest.into_iter().flat_map(|m| m.artifacts);
    artifacts.map(|(name, a)| (name, Recorded { len: a.len, sha256: a.sha256, mark: a.mark, image: a.image })).collect()
}

/// The manifest of the lab in a folder. One that cannot be read, or is another
/// lab's, says nothing of this one.
fn load(lab: &Lab, folder: &Path) -> Option<Manifest> {
    Manifest::load(folder).ok().flatten().filter(|m| m.lab == lab.name)
}

/// Makes the secrets or adds what they lack, and says so.
fn make_secrets(printer: &Printer, lab: &Lab) -> anyhow::Result<Secrets> {
    let (secrets, note) = ops::lab::make_secrets(lab)?;
    note.iter().for_each(|note| printer.note(note));
    Ok(secrets)
}

fn job(lab: &Lab, node: &Node, formats: &[Format], assembled: &Assembled, key: [u8; 32]) -> Job {
    let identity = Machine {
        lab: lab.name.clone(),
        name: node.name.clone(),
        annotation: format!("Plan 9 node {} of the lab {}: {}", node.name, lab.name, node.roles.join(", ")),
        arch: node.arch,
        cpus: node.cpus,
        memory: node.memory,
        mac: node.mac,
        nic: node.nic,
        controller: node.controller,
        firmware: node.firmware,
        network: lab.network.name.clone(),
    };
    let outputs = formats.iter().map(|f| (*f, format!("{}.{}", node.name, f.spec().extension))).collect();
    Job { node: identity, disk: assembled.disk.clone(), outputs, key: assembled.secret.then_some(key) }
}

/// Adds this build to what the manifest of the lab's folder says of other nodes.
fn manifest(
    lab: &Lab,
    assembler: &Assembler<'_>,
    assembled: &[Assembled],
    reports: &[ArtifactReport],
    digests: &[String],
    rebuild: bool,
) -> anyhow::Result<Manifest> {
    let plan = assembler.plan(assembled);
    let mut manifest = Manifest::new(&lab.name, lab.epoch);
    manifest.epoch_from = lab.epoch_from.map(str::to_owned);
    if let Some(old) = load(lab, &lab.out) {
        manifest.nodes = old.nodes;
        let there = |name: &String| leftovers::is_plain(name) && lab.out.join(name).exists();
        manifest.artifacts = old.artifacts.into_iter().filter(|(name, _)| there(name)).collect();
        let known = |node: &str| lab.nodes.iter().any(|n| n.name == node);
        let built = |node: &str| plan.nodes.iter().any(|n| n.name == node);
        // What is not made again, though its node is built or gone, is a leftover. A
        // rebuild only looks.
        for artifact in manifest.artifacts.values_mut().filter(|_| !rebuild) {
            artifact.stale |= !known(&artifact.node) || built(&artifact.node);
        }
    }
    let mut media = BTreeMap::new();
    for (medium, digest) in plan.media().zip(digests) {
        let mut value = serde_json::to_value(medium)?;
        value["sha256"] = json!(digest);
        media.insert(medium.name.clone(), value);
    }
    match plan.medium {
        Some(_) => manifest.inputs.extend(media.into_values().map(|medium| (MEDIUM.to_owned(), medium))),
        None => drop(manifest.inputs.insert(MEDIA.into(), json!(media))),
    }
    manifest.inputs.insert("lab".into(), serde_json::to_value(lab)?);
    manifest.nodes.retain(|name, _| lab.nodes.iter().any(|n| Some(n.name.as_str()) == name.split('@').next()));
    let built = |name: &String| plan.nodes.iter().any(|n| n.name == *name.split('@').next().unwrap_or(name));
    manifest.nodes.retain(|name, _| !built(name));
    for node in &plan.nodes {
        // A node with several controllers has several plans: the first has its name alone.
        let taken = manifest.nodes.contains_key(&node.name);
        let name = if taken { format!("{}@{}", node.name, node.device) } else { node.name.clone() };
        manifest.nodes.insert(name, serde_json::to_value(node)?);
    }
    manifest.add(reports);
    Ok(manifest)
}

fn report(cli: &GlobalArgs, args: &Args, lab: &Lab, reports: &[ArtifactReport]) -> anyhow::Result<()> {
    if args.json {
        say::json(reports)?;
        return Ok(());
    }
    if cli.quiet {
        return Ok(());
    }
    let mut kept = 0;
    for r in reports {
        say::line(format_args!("{}  {:>10}  {}", r.sha256, say::size(r.len), r.path.display()))?;
        if r.kept {
            kept += 1;
            if cli.verbose > 0 {
                say::line(format_args!(
                    "  {} of 64 KiB, unchanged: not written again",
                    count::of(r.clusters, "cluster")
                ))?;
            }
        } else if cli.verbose > 0 {
            let percent = 100.0 * r.shared_clusters as f64 / r.clusters.max(1) as f64;
            say::line(format_args!(
                "  {} of 64 KiB, {} ({percent:.1}%) reused from an earlier node, {} stored",
                count::of(r.clusters, "cluster"),
                r.shared_clusters,
                say::size(r.stored_bytes)
            ))?;
        }
        if let Some(note) = &r.note {
            say::note(note);
        }
    }
    if kept > 0 {
        let n = reports.len();
        say::note(&format!("{kept} of {n} unchanged and complete: not written again", n = count::of(n, "artifact")));
    }
    if lab.media_in_use().contains(&SAMPLE) {
        say::note("built from the embedded sample, which is not Plan 9: --media PATH builds from a real medium");
    }
    Ok(())
}
