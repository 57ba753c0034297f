//! `p9img build`: the artifacts.

use super::args::{Build, Cli};
use super::progress::Progress;
use super::{Outcome, Usage, interrupt, say, setup};
use crate::artifact::manifest::Manifest;
use crate::artifact::{self, ArtifactReport, Folder, Job, NodeIdentity, Settings, Wait};
use crate::assemble::{Assembled, Assembler};
use crate::lab::secrets::{Secrets, Written};
use crate::lab::{Format, Lab, Node, SAMPLE};
use anyhow::Context as _;
use serde_json::json;
use std::num::NonZeroUsize;

pub fn run(cli: &Cli, args: &Build) -> anyhow::Result<Outcome> {
    if args.nodes.is_empty() && !args.all {
        return Err(Usage("Which nodes? Name some, or build every node with --all".into()).into());
    }
    let stop = interrupt::flag()?;
    let catalog = setup::catalog(cli)?;
    let lab = setup::lab(cli, &catalog, &args.overrides)?;
    let nodes = setup::nodes(&lab, &args.nodes)?;
    if lab.formats.is_empty() {
        return Err(Usage("There is no format to build: name some with --format".into()).into());
    }
    let medium = setup::medium(&lab)?;
    let secrets = secrets(cli, &lab)?;
    let assembler = Assembler::new(&lab, &medium, &catalog, &secrets)?;
    let variants: Vec<_> = nodes.iter().flat_map(|n| lab.variants(n)).collect();
    let assembled: Vec<_> = variants.iter().map(|(n, f)| assembler.node(n, f)).collect::<Result<_, _>>()?;
    let jobs: Vec<Job> = variants.iter().zip(&assembled).map(|((n, f), a)| job(&lab, n, f, a)).collect();

    let mut settings = Settings { epoch: lab.epoch, ..Settings::default() };
    if let Some(jobs) = args.jobs.and_then(|n| NonZeroUsize::new(n.into())) {
        settings.jobs = jobs;
    }
    let folder = Folder::lock(&lab.out, Wait::Yes)?;
    let progress = Progress::new(cli.quiet, stop);
    let reports = artifact::build(&folder, &jobs, &settings, &progress);
    progress.finish();
    let reports = reports?;
    let digest = assembler.digest(settings.jobs).context("Cannot read the medium")?;
    manifest(&lab, &folder, &assembler, &assembled, &reports, &digest)?;
    report(cli, args, &lab, &reports)?;
    Ok(Outcome::Good)
}

fn secrets(cli: &Cli, lab: &Lab) -> anyhow::Result<Secrets> {
    let users: Vec<&str> = lab.users.iter().map(|u| u.name.as_str()).collect();
    let (secrets, written) = Secrets::load_or_create(&lab.dir, &lab.hostowner, &users)?;
    let path = lab.dir.join("secrets.toml");
    match written {
        _ if cli.quiet => {}
        Written::Nothing => {}
        Written::Created => say::note(&format!(
            "made passwords for {} and {} in {}: keep it, do not publish it",
            lab.hostowner,
            users.join(", "),
            path.display()
        )),
        Written::Added(what) => say::note(&format!("added {} to {}", what.join(", "), path.display())),
    }
    Ok(secrets)
}

fn job(lab: &Lab, node: &Node, formats: &[Format], assembled: &Assembled) -> Job {
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
        network: lab.network.name.clone(),
    };
    let outputs = formats.iter().map(|f| (*f, format!("{}.{}", node.name, extension(*f)))).collect();
    Job { node: identity, disk: assembled.disk.clone(), outputs }
}

const fn extension(format: Format) -> &'static str {
    match format {
        Format::Raw => "img",
        Format::Qcow2 => "qcow2",
        Format::Qcow2Zstd => "zstd.qcow2",
        Format::Ova => "ova",
    }
}

/// Adds this build to what the folder's manifest says of other nodes.
fn manifest(
    lab: &Lab,
    folder: &Folder,
    assembler: &Assembler<'_>,
    assembled: &[Assembled],
    reports: &[ArtifactReport],
    digest: &str,
) -> anyhow::Result<()> {
    let plan = assembler.plan(assembled);
    let mut manifest = Manifest::new(&lab.name, lab.epoch);
    // A manifest that cannot be read, or is another lab's, says nothing of this one.
    if let Some(old) = Manifest::load(folder.path()).ok().flatten().filter(|m| m.lab == lab.name) {
        let known = |node: &String| lab.nodes.iter().any(|n| n.name == *node);
        manifest.nodes = old.nodes;
        let there = |name: &String| folder.path().join(name).exists();
        manifest.artifacts = old.artifacts.into_iter().filter(|(name, a)| known(&a.node) && there(name)).collect();
    }
    let mut medium = serde_json::to_value(&plan.medium)?;
    medium["sha256"] = json!(digest);
    manifest.inputs.insert("medium".into(), medium);
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
    Ok(manifest.save(folder)?)
}

fn report(cli: &Cli, args: &Build, lab: &Lab, reports: &[ArtifactReport]) -> anyhow::Result<()> {
    if args.json {
        say::line(format_args!("{}", serde_json::to_string_pretty(reports)?))?;
        return Ok(());
    }
    if cli.quiet {
        return Ok(());
    }
    for r in reports {
        say::line(format_args!("{}  {:>10}  {}", r.sha256, say::size(r.len), r.path.display()))?;
        if cli.verbose > 0 {
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
    if lab.medium == SAMPLE {
        say::note("built from the embedded sample, which is not Plan 9: --media PATH builds from a real medium");
    }
    Ok(())
}
