//! The run in the output folder, for up, status, console, screenshot and down: the
//! nodes that run, even if the lab has changed since, and the differences between
//! the two.

use super::outcome::Usage;
use super::printer::Printer;
use super::shared_args::GlobalArgs;
use super::{advice, say};
use crate::artifact::manifest::Manifest;
use crate::guest::grid::running::{self, Part, real};
use crate::guest::grid::{Grid, NodeSpec, NodeState, Record, State};
use crate::guest::node_disk;
use crate::lab::{Lab, Mistakes};
use crate::ops::{self, images};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Bytes of a lab file that are read to find its output folder.
const LARGEST: u64 = 1 << 20;

/// A run, and the lab of its nodes.
pub struct Running {
    pub grid: Grid,
    pub state: Option<State>,
    /// The lab as it is described now, or the error of reading it.
    pub lab: Result<Lab, anyhow::Error>,
    /// The lab's nodes; none if the lab cannot be read.
    pub known: Vec<NodeSpec>,
    /// The lab's nodes in its order, then others that run.
    pub nodes: Vec<Seen>,
    /// Differences between the run and the lab.
    pub notes: Vec<String>,
}

/// A node of the lab, or one that runs.
pub struct Seen {
    pub name: String,
    pub state: NodeState,
    pub ip: Option<Ipv4Addr>,
    pub roles: Vec<String>,
    /// Local ports by their names.
    pub ports: BTreeMap<String, u16>,
    /// Whether a shell of the host owner is on its console.
    pub shell: bool,
    pub in_lab: bool,
}

/// Finds the run of a lab, and the state of each node.
///
/// # Errors
/// Never: a lab that cannot be read is noted.
pub fn look(cli: &GlobalArgs, out: Option<&PathBuf>) -> anyhow::Result<Running> {
    let catalog = ops::lab::catalog(&cli.lab, &Printer::new(cli));
    let lab = match &catalog {
        Ok(catalog) => ops::lab::load(&cli.lab, catalog, &Printer::new(cli)).map_err(anyhow::Error::from),
        Err(error) => Err(anyhow::anyhow!(advice::line(error))),
    };
    let folder = out.cloned().unwrap_or_else(|| match &lab {
        Ok(lab) => lab.out.clone(),
        Err(_) => out_of(&cli.lab),
    });
    let mut notes = Vec::new();
    let grid = found(cli, &folder, out.is_some(), &mut notes);
    let known = match (&lab, &catalog) {
        (Ok(lab), Ok(catalog)) => {
            let manifest = Manifest::load(&lab.out).ok().flatten();
            lab.nodes.iter().filter_map(|n| images::node_spec(lab, catalog, manifest.as_ref(), n).ok()).collect()
        }
        _ => Vec::new(),
    };
    if lab.is_err() {
        notes.push(format!(
            "{} cannot be used (`p9img check` says why): showing the nodes that run in {}",
            cli.lab.display(),
            grid.dir().display()
        ));
    }
    Ok(Running::of(grid, lab, known, notes))
}

/// The run of a lab that `up` has just read and started.
pub fn after_up(lab: &images::Runnable) -> Running {
    Running::of(Grid::new(&lab.lab.out), Ok(lab.lab.clone()), lab.spec.nodes.clone(), Vec::new())
}

/// The run in the output folder; if nothing runs there and the user did not name
/// it, another one that was started for the same lab file.
fn found(cli: &GlobalArgs, folder: &Path, named: bool, notes: &mut Vec<String>) -> Grid {
    let (grid, file) = (Grid::new(folder), real(&cli.lab));
    if named {
        return grid;
    }
    let here = real(grid.dir());
    let others: Vec<PathBuf> = running::all()
        .into_iter()
        .filter(|f| f.run != here && matches!(&f.part, Part::Switch(lab) if *lab == file))
        .map(|f| f.run)
        .collect();
    match others.first().and_then(|run| run.parent()) {
        Some(out) if grid.running().is_empty() => {
            notes.push(format!("the lab runs in {}, not in {}", out.display(), folder.display()));
            Grid::new(out)
        }
        Some(out) => {
            notes.push(format!("the lab also runs in {}: show it with --out", out.display()));
            grid
        }
        None => grid,
    }
}

/// The output folder that a lab file names, even if the file has mistakes.
fn out_of(file: &Path) -> PathBuf {
    let dir = file.parent().unwrap_or(Path::new(""));
    let mut bytes = Vec::new();
    // Reading a pipe or a device would wait.
    if file.is_file()
        && let Ok(file) = std::fs::File::open(file)
    {
        let _ = file.take(LARGEST).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let (table, _) = toml::de::DeTable::parse_recoverable(&text);
    let table = table.into_inner();
    let lab = table.get("lab").and_then(|lab| lab.get_ref().as_table());
    let out = lab.and_then(|lab| lab.get("out")).and_then(|out| out.get_ref().as_str());
    dir.join(out.unwrap_or("output"))
}

impl Running {
    fn of(grid: Grid, lab: anyhow::Result<Lab>, known: Vec<NodeSpec>, mut notes: Vec<String>) -> Self {
        let running = grid.running_nodes();
        let state = grid.state().unwrap_or_else(|error| {
            notes.push(advice::text(&error));
            None
        });
        let of_lab: Vec<_> = lab.as_ref().map_or(&[][..], |lab| &lab.nodes).iter().collect();
        let strangers = running.keys().filter(|name| !of_lab.iter().any(|n| n.name == **name));
        let names: Vec<&String> = of_lab.iter().map(|n| &n.name).chain(strangers).collect();
        let nodes = names.into_iter().map(|name| {
            let record = Record::load(grid.node(name).dir()).filter(|_| running.contains_key(name));
            let spec = known.iter().find(|n| n.name == *name);
            let node = of_lab.iter().find(|n| n.name == *name);
            let ready = record.as_ref().map(|r| &r.ready).or(spec.map(|n| &n.ready));
            let saved = || state.as_ref().and_then(|s| s.ports.get(name)).cloned().unwrap_or_default();
            Seen {
                state: match running.contains_key(name) {
                    true => grid.running_state(name, ready.map_or("", |ready| ready)),
                    false => NodeState::Down,
                },
                ip: record.as_ref().map(|r| r.ip).or(node.map(|n| n.ip)),
                roles: node.map(|n| n.roles.clone()).unwrap_or_default(),
                ports: record.as_ref().map_or_else(saved, |r| r.ports.clone()),
                shell: record.as_ref().map_or(spec.is_none_or(|n| n.shell), |r| r.shell),
                in_lab: node.is_some(),
                name: name.clone(),
            }
        });
        let nodes: Vec<Seen> = nodes.collect();
        if lab.is_ok() {
            notes.extend(
                nodes.iter().filter(|n| n.state != NodeState::Down).flat_map(|n| differences(&grid, n, &known)),
            );
        }
        Self { grid, state, lab, known, nodes, notes }
    }

    /// Prints the differences from the lab on stderr.
    pub fn tell_notes(&self, cli: &GlobalArgs) {
        if !cli.quiet {
            self.notes.iter().for_each(|note| say::note(note));
        }
    }

    pub fn anything_runs(&self) -> bool {
        self.nodes.iter().any(|n| n.state != NodeState::Down) || !self.grid.running().is_empty()
    }

    /// Passes the run on if something runs or the lab can be read.
    ///
    /// # Errors
    /// Error of reading the lab.
    pub fn lab_or_running(self) -> anyhow::Result<Self> {
        if self.anything_runs() || self.lab.is_ok() {
            return Ok(self);
        }
        let place = format!("Nothing runs in {}", self.grid.dir().display());
        match self.lab {
            Err(error) if error.is::<Mistakes>() => Err(error),
            Err(error) => Err(error.context(place)),
            Ok(_) => Ok(self),
        }
    }

    /// Makes sure that each name is that of a node which runs or is in the lab.
    ///
    /// # Errors
    /// Fails when a node of that name neither runs nor is in the lab.
    pub fn names(&self, names: &[String]) -> anyhow::Result<()> {
        let wrong = names.iter().find(|name| !self.nodes.iter().any(|n| n.name == **name));
        let Some(name) = wrong else { return Ok(()) };
        let known: Vec<_> = self.nodes.iter().map(|n| n.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Usage(format!("No node {name:?} runs or is in the lab; there are {known}")).into())
    }

    /// A node that runs, or is in the lab.
    ///
    /// # Errors
    /// Fails when there is no node of that name.
    pub fn node(&self, name: &str) -> anyhow::Result<&Seen> {
        self.names(&[name.to_owned()])?;
        self.nodes.iter().find(|n| n.name == name).context("There is no such node")
    }
}

/// Differences of a node that runs from the lab, or from a node that works.
fn differences(grid: &Grid, node: &Seen, known: &[NodeSpec]) -> Vec<String> {
    let name = &node.name;
    let mut out = Vec::new();
    if node.state == NodeState::Paused {
        out.extend(grid.node(name).paused().map(|paused| advice::text(&paused)));
    }
    if !node.in_lab {
        out.push(format!("{name} runs, but is not in the lab any more: `p9img down {name}` stops it"));
        return out;
    }
    let record = Record::load(grid.node(name).dir());
    let (Some(record), Some(spec)) = (record, known.iter().find(|n| n.name == *name)) else { return out };
    if record.ip != spec.ip {
        out.push(format!("{name} runs with the address {}, but the lab gives it {}", record.ip, spec.ip));
    }
    let computed = node_disk::is_computed(grid.node(name).dir());
    if !spec.sha256.is_empty() && !computed && record.image != spec.sha256 {
        out.push(format!(
            "{name} runs from an image that was built again since: `p9img up --fresh {name}` when it is down"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_folder_is_read_from_a_lab_that_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lab.toml");
        let out = |text: &str| {
            std::fs::write(&file, text).unwrap();
            out_of(&file).strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(out("[lab]\nout = \"images\"\nwhat = {\n[[node]]\n"), "images");
        assert_eq!(out("[lab]\nname = x\nout = \"images\"\n[[node\n"), "images");
        assert_eq!(out("[lab]\nout = 5\n"), "output");
        assert_eq!(out("\u{0}"), "output");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(out_of(&file), dir.path().join("output"));
        assert_eq!(out_of(Path::new("lab.toml")), PathBuf::from("output"));
    }
}
