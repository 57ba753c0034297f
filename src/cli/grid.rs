//! What `up` and `test` begin with: the lab, what was built from it, and the
//! folder of the run.

use super::printer::Printer;
use super::shared_args::{GlobalArgs, Overrides};
use super::{advice, say};
use crate::artifact::manifest::Manifest;
use crate::artifact::output::digest;
use crate::guest::DiskFormat;
use crate::guest::grid::{Grid, GridSpec, NodeSpec, regular};
use crate::lab::{Format, Lab, Node, SAMPLE, Secrets};
use crate::ops::{self, Note, Reporter as _};
use crate::render::{Catalog, Kernel, Systems};
use crate::stop::{self, INTERRUPTED};
use anyhow::{Context as _, bail};
use std::path::PathBuf;

/// A lab that can be run.
pub struct Runnable {
    pub lab: Lab,
    pub catalog: Catalog,
    pub spec: GridSpec,
    pub grid: Grid,
    pub systems: Systems,
}

/// Reads the lab and makes sure that what lies in its output folder was built
/// from it.
///
/// # Errors
/// When the lab has mistakes, nothing was built, or something else was.
pub fn load(cli: &GlobalArgs, out: Option<&PathBuf>) -> anyhow::Result<Runnable> {
    let catalog = ops::lab::catalog(&cli.lab, &Printer::new(cli))?;
    let overrides = Overrides { media: None, format: Vec::new(), out: out.cloned() };
    let lab = overrides.request(cli).lab(&catalog, &Printer::new(cli))?;
    let Some(manifest) = Manifest::load(&lab.out)? else {
        bail!("No images in {}: run `p9img build --all` first", lab.out.display());
    };
    same_lab(&lab, &manifest)?;
    let systems = manifest.systems();
    let sample: Vec<_> = lab.nodes.iter().filter(|n| systems.of(n) == SAMPLE).map(|n| n.name.as_str()).collect();
    if !sample.is_empty() {
        let which =
            if sample.len() < lab.nodes.len() { format!("images of {}", sample.join(", ")) } else { "images".into() };
        bail!(
            "The {which} in {} are built from the embedded sample, which is not Plan 9: their nodes print a line and power off. Build from a real medium: `p9img build --all --media PATH`",
            lab.out.display()
        );
    }
    lab.nodes.iter().try_for_each(|node| catalog.agree(&systems, node))?;
    let nodes =
        lab.nodes.iter().map(|node| node_spec(&lab, &catalog, Some(&manifest), node)).collect::<Result<_, _>>()?;
    let program = std::env::current_exe().context("Cannot find this program's own file")?;
    let spec = GridSpec {
        lab: lab.name.clone(),
        file: cli.lab.clone(),
        user: lab.users.first().map_or(&lab.hostowner, |u| &u.name).clone(),
        base: lab.ports,
        program,
        subnet: lab.network.subnet,
        gateway: lab.network.gateway,
        nodes,
    };
    let grid = Grid::new(&lab.out);
    Ok(Runnable { systems, lab, catalog, spec, grid })
}

/// The images must be those of the lab as it is described now, as far as
/// running it goes: what the medium is called, and which formats there are,
/// does not matter.
fn same_lab(lab: &Lab, manifest: &Manifest) -> anyhow::Result<()> {
    let out = lab.out.display();
    if manifest.lab != lab.name {
        bail!(
            "The images in {out} are of the lab {:?}, not of {:?}: build this one, or name its folder with --out",
            manifest.lab,
            lab.name
        );
    }
    let now = serde_json::to_value(lab)?;
    let then = manifest.inputs.get("lab").cloned().unwrap_or_default();
    for key in ["network", "nodes", "users", "hostowner", "authdom", "timezone", "controllers"] {
        if now[key] != then[key] {
            bail!("{key} in lab.toml changed since the images in {out} were built: run `p9img build --all` again");
        }
    }
    Ok(())
}

/// A node as it is run: what the lab says of it, and which image it starts
/// from, if something was built.
///
/// # Errors
/// When one of its roles is not known.
pub fn node_spec(lab: &Lab, catalog: &Catalog, manifest: Option<&Manifest>, node: &Node) -> anyhow::Result<NodeSpec> {
    let systems = manifest.map(Manifest::systems).unwrap_or_default();
    let found = manifest.and_then(|m| m.artifact_of(&node.name, &Format::to_run()));
    let cpu = catalog.kernel(node)? == Some(Kernel::Cpu);
    let (format, name, sha256) = match found {
        Some((format, name, artifact)) => (format, name.to_owned(), artifact.sha256.clone()),
        // Told when somebody wants to start it.
        None => (Format::Qcow2, String::new(), String::new()),
    };
    Ok(NodeSpec {
        name: node.name.clone(),
        image: lab.out.join(name),
        format: format.spec().run.and_then(|run| DiskFormat::named(run.driver)).unwrap_or(DiskFormat::Raw),
        sha256,
        board: node.board,
        controller: lab.controller(node, format),
        firmware: node.firmware,
        nic: node.nic,
        mac: node.mac,
        ip: node.ip,
        cpus: node.cpus,
        memory: node.memory,
        ready: if cpu { format!("\n{}# ", node.name) } else { "\ninit: starting /bin/rc".to_owned() },
        shell: cpu,
        // What a card in QEMU shows on its screen is not known.
        screen: !cpu && !node.board.is_pi(),
        // QEMU's Pi has no network.
        ports: if node.board.is_pi() { Vec::new() } else { catalog.ports(&systems, node)? },
    })
}

impl Runnable {
    /// The nodes that the arguments name, in the order of the arguments; all
    /// without names.
    ///
    /// # Errors
    /// When a name is no node's.
    pub fn names(&self, names: &[String]) -> anyhow::Result<Vec<String>> {
        ops::lab::nodes(&self.lab, names)?;
        if !names.is_empty() {
            return Ok(names.to_vec());
        }
        let (can, cannot): (Vec<_>, Vec<_>) = self.spec.nodes.iter().partition(|n| n.board.is_emulated());
        for node in cannot {
            let note = Note::NotEmulated { node: node.name.clone(), board: node.board.name() };
            say::note(&advice::note(&note));
        }
        Ok(can.into_iter().map(|n| n.name.clone()).collect())
    }

    fn node(&self, name: &str) -> anyhow::Result<&NodeSpec> {
        ops::lab::nodes(&self.lab, &[name.to_owned()])?;
        self.spec.nodes.iter().find(|n| n.name == name).context("The lab has no such node")
    }

    /// Says which images were made with other secrets than the lab has now.
    pub fn tell_stale(&self, cli: &GlobalArgs, secrets: &Secrets) {
        let images = self.spec.nodes.iter().filter(|n| !n.sha256.is_empty() && !cli.quiet);
        let notes =
            ops::stale::notes(images.map(|n| (n.name.as_str(), n.image.as_path())), secrets, &self.lab.hostowner);
        notes.iter().for_each(|note| Printer::new(cli).note(note));
    }

    /// Makes sure that the images of the nodes are there and are what was built.
    ///
    /// # Errors
    /// When one is missing or differs from the manifest.
    pub fn verify(&self, names: &[String]) -> anyhow::Result<()> {
        for name in names {
            let node = self.node(name)?;
            if node.sha256.is_empty() {
                bail!("No image of {name} is built that QEMU starts from: run `p9img build {name} --format qcow2`");
            }
            let found = match regular(&node.image).and_then(digest::of) {
                Err(_) if stop::asked() => bail!("{INTERRUPTED}; nothing was started"),
                other => other.with_context(|| format!("Cannot read the image of {name}: run `p9img build {name}`"))?,
            };
            if found != node.sha256 {
                bail!(
                    "{} has SHA-256 {found}, but manifest.json says {}: build {name} again",
                    node.image.display(),
                    node.sha256
                );
            }
        }
        Ok(())
    }
}
