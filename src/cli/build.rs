//! `p9img build`: the artifacts.

use super::args::{Build, Cli};
use super::before::{Before, Look};
use super::medium::Record;
use super::progress::Progress;
use super::{Outcome, Usage, interrupt, rebuild, say, setup};
use crate::artifact::imager;
use crate::artifact::manifest::{MEDIA, MEDIUM, Manifest};
use crate::artifact::memory::{self, Memory};
use crate::artifact::{self, ArtifactReport, Folder, Job, NodeIdentity, Recorded, Settings, Wait};
use crate::assemble::{Assembled, Assembler};
use crate::lab::secrets::FILE;
use crate::lab::{Format, Lab, Node, SAMPLE, Secrets};
use crate::page;
use anyhow::Context as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

pub fn run(cli: &Cli, args: &Build) -> anyhow::Result<Outcome> {
    if args.nodes.is_empty() && !args.all && !args.rebuild {
        return Err(Usage("Which nodes? Name some, or build every node with --all".into()).into());
    }
    let catalog = setup::catalog(cli)?;
    let lab = setup::lab(cli, &catalog, &args.overrides)?;
    let nodes = setup::nodes(&lab, &args.nodes)?;
    if lab.formats.is_empty() {
        return Err(Usage("There is no format to build: name some with --format".into()).into());
    }
    let secrets = setup::secrets(&lab)?;
    let mut held = None;
    // A rebuild is to believe nothing.
    let look = if args.rebuild { None } else { Look::at(&lab) };
    let inputs = |secrets| look.as_ref().map(|look| Before::new(look, &lab, &args.nodes, &catalog, secrets));
    let mut before = secrets.complete.then(|| inputs(&secrets.value)).flatten();
    if let Some(before) = &before
        && lab.out.join(memory::FILE).exists()
    {
        let folder = Folder::lock(&lab.out, Wait::Yes)?;
        let memory = before.memory(&lab);
        if let Some(reports) = before.nothing_to_do(&lab, &memory) {
            report(cli, args, &lab, &reports)?;
            return Ok(Outcome::Good);
        }
        held = Some((folder, memory));
    }
    let record = if args.rebuild { Record::No } else { Record::Yes };
    let media = setup::media(cli, &lab, record)?;
    // Until here an interrupt ends p9img at once: what was fetched so far is kept.
    let stop = interrupt::flag()?;
    let firmware = setup::firmware(cli, &lab, &nodes, record)?;
    let mut assembler = Assembler::new(&lab, &media, &catalog, &secrets.value)?.with_firmware(firmware);
    let variants: Vec<_> = nodes.iter().flat_map(|n| lab.variants(n)).collect();
    if variants.is_empty() {
        return Err(Usage("None of these nodes is a Raspberry Pi, and no format is for PCs".into()).into());
    }
    let mut assembled = assembler.nodes(&variants)?;
    if args.rebuild && !secrets.complete && assembled.iter().any(|a| a.secret) {
        // Without them nothing can come out equal.
        anyhow::bail!(
            "The lab's passwords are missing in {}: a rebuild needs those of the build",
            lab.dir.join(FILE).display()
        );
    }
    let work = if args.rebuild { Some(rebuild::folder(&lab.out)?) } else { None };
    let (folder, memory) = match held {
        Some((folder, memory)) => (folder, Some(memory)),
        None => (Folder::lock(work.as_ref().map_or(&*lab.out, tempfile::TempDir::path), Wait::Yes)?, None),
    };
    let made;
    if !secrets.complete && !args.rebuild {
        // Made when nothing else is wrong: a build that fails leaves no passwords behind.
        made = make_secrets(cli, &lab)?;
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
        ..Settings::default()
    };
    if let Some(jobs) = args.jobs.and_then(|n| NonZeroUsize::new(n.into())) {
        settings.jobs = jobs;
    }
    let progress = Progress::new(cli.quiet, stop);
    let reports = artifact::build_from(&folder, &jobs, &settings, &mut memory, &progress);
    progress.finish();
    let reports = reports?;
    let digests = match memory.media(&settings.bases).filter(|digests| digests.len() == media.len()) {
        Some(digests) => digests,
        None => assembler.digests(settings.jobs).context("Cannot read the medium")?,
    };
    memory.remember_media(&settings.bases, &digests);
    let manifest = manifest(&lab, &assembler, &assembled, &reports, &digests)?;
    manifest.save(&folder)?;
    if let Some(work) = work {
        return rebuild::compare(cli, args, &lab.out, work, &reports, &manifest);
    }
    page::save(&folder, &lab, &catalog, &manifest)?;
    let boards = lab.nodes.iter().map(|n| (n.name.as_str(), n.board));
    imager::save(&folder, &manifest, &boards.collect(), lab.url.as_deref())?;
    if let Some(before) = &before {
        before.remember(&folder, &mut memory, &reports)?;
    }
    report(cli, args, &lab, &reports)?;
    Ok(Outcome::Good)
}

/// What the folder's manifest says of this lab's artifacts. One that cannot be
/// read says nothing: then everything is written.
fn recorded(lab: &Lab, folder: &Folder) -> BTreeMap<String, Recorded> {
    let manifest = Manifest::load(folder.path()).ok().flatten().filter(|m| m.lab == lab.name);
    let artifacts = manifest.into_iter().flat_map(|m| m.artifacts);
    artifacts.map(|(name, a)| (name, Recorded { len: a.len, sha256: a.sha256, mark: a.mark, image: a.image })).collect()
}

/// Makes the secrets or adds what they lack, and says so.
fn make_secrets(cli: &Cli, lab: &Lab) -> anyhow::Result<Secrets> {
    let users = setup::users(lab);
    let (secrets, written) = Secrets::load_or_create(&lab.dir, &lab.hostowner, &users)?;
    if let (false, Some(text)) = (cli.quiet, setup::made(lab, &written)) {
        say::note(&text);
    }
    Ok(secrets)
}

fn job(lab: &Lab, node: &Node, formats: &[Format], assembled: &Assembled, key: [u8; 32]) -> Job {
    let identity = NodeIdentity {
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
    let outputs = formats.iter().map(|f| (*f, format!("{}.{}", node.name, extension(*f)))).collect();
    Job { node: identity, disk: assembled.disk.clone(), outputs, key: assembled.secret.then_some(key) }
}

const fn extension(format: Format) -> &'static str {
    match format {
        Format::Raw => "img",
        Format::Qcow2 => "qcow2",
        Format::Qcow2Zstd => "zstd.qcow2",
        Format::Ova => "ova",
        Format::Sd => "sd.img.zip",
        Format::SdXz => "sd.img.xz",
        Format::SdZst => "sd.img.zst",
    }
}

/// Adds this build to what the manifest of the lab's folder says of other nodes.
fn manifest(
    lab: &Lab,
    assembler: &Assembler<'_>,
    assembled: &[Assembled],
    reports: &[ArtifactReport],
    digests: &[String],
) -> anyhow::Result<Manifest> {
    let plan = assembler.plan(assembled);
    let mut manifest = Manifest::new(&lab.name, lab.epoch);
    // A manifest that cannot be read, or is another lab's, says nothing of this one.
    if let Some(old) = Manifest::load(&lab.out).ok().flatten().filter(|m| m.lab == lab.name) {
        let known = |node: &String| lab.nodes.iter().any(|n| n.name == *node);
        manifest.nodes = old.nodes;
        let there = |name: &String| lab.out.join(name).exists();
        manifest.artifacts = old.artifacts.into_iter().filter(|(name, a)| known(&a.node) && there(name)).collect();
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

fn report(cli: &Cli, args: &Build, lab: &Lab, reports: &[ArtifactReport]) -> anyhow::Result<()> {
    if args.json {
        say::line(format_args!("{}", serde_json::to_string_pretty(reports)?))?;
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
                say::line(format_args!("  {} clusters of 64 KiB, unchanged: not written again", r.clusters))?;
            }
        } else if cli.verbose > 0 {
            let percent = 100.0 * r.shared_clusters as f64 / r.clusters.max(1) as f64;
            say::line(format_args!(
                "  {} clusters of 64 KiB, {} ({percent:.1}%) shared with an earlier node, {} stored",
                r.clusters,
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
        say::note(&format!("{kept} of {n} artifacts were there already, unchanged and whole: not written again"));
    }
    if lab.media_in_use().contains(&SAMPLE) {
        say::note("built from the embedded sample, which is not Plan 9: --media PATH builds from a real medium");
    }
    Ok(())
}
