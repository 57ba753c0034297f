//! Nodes that can be built from a medium, and the reasons why others cannot.

use crate::lab::words::Word as _;
use crate::lab::{Arch, Board, Fs};
use crate::media::{Facts, Medium};
use crate::render::{Catalog, Kernel, Role};
use serde::Serialize;

/// Nodes of an architecture, or a board, that can be built from a medium.
#[derive(Serialize)]
pub struct Buildable {
    pub architecture: &'static str,
    /// Board of the nodes; none for PCs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<&'static str>,
    pub root: &'static str,
    /// Roles that these nodes can have.
    pub roles: Vec<String>,
    /// Reasons why nodes with other roles, or any nodes, cannot be built, each a sentence.
    pub missing: Vec<String>,
}

/// Nodes that can be built from a medium, by architecture and board.
pub fn buildable(catalog: &Catalog, medium: &Medium, facts: &Facts) -> Vec<Buildable> {
    let pcs = Arch::WORDS.iter().map(|(_, arch)| build(catalog, medium, facts, Machine::Pc(*arch)));
    let virt = known(catalog, medium, Arch::Arm64.name()).then(|| build(catalog, medium, facts, Machine::Virt));
    pcs.chain(virt).chain(boards(catalog, medium, facts)).collect()
}

/// Machine that a node can be.
#[derive(Clone, Copy)]
enum Machine {
    Pc(Arch),
    /// QEMU's machine for 64-bit ARM.
    Virt,
    Pi(Board),
}

/// Reasons why nodes with `roles` cannot be PCs of an architecture, each a
/// sentence; none if they can.
pub fn missing(catalog: &Catalog, medium: &Medium, arch: Arch, roles: &[String]) -> Vec<String> {
    let build = build(catalog, medium, &Facts::of(medium, &[]), Machine::Pc(arch));
    if roles.iter().all(|role| build.roles.contains(role)) { Vec::new() } else { build.missing }
}

/// Whether a distribution has kernels for a board or an architecture.
fn known(catalog: &Catalog, medium: &Medium, machine: &str) -> bool {
    let kernel = |kind| catalog.kernel_file(medium.distribution.name(), kind, machine);
    [Kernel::Cpu, Kernel::Terminal].into_iter().any(|kind| matches!(kernel(kind), Ok(Some(_))))
}

/// The boards that the distribution has kernels for.
fn boards(catalog: &Catalog, medium: &Medium, facts: &Facts) -> Vec<Buildable> {
    let pis = Board::WORDS.iter().map(|(_, board)| *board).filter(|board| board.is_pi());
    let known = |board: &Board| known(catalog, medium, board.name());
    pis.filter(known).map(|board| build(catalog, medium, facts, Machine::Pi(board))).collect()
}

/// Looks for each role where a build looks for its files.
fn build(catalog: &Catalog, medium: &Medium, facts: &Facts, machine: Machine) -> Buildable {
    let distribution = medium.distribution.name();
    let has = |path: &str| facts.has(path) || medium.tree.find(path.as_bytes()).is_some();
    let root = catalog.default_fs(distribution).map_or("", |fs| fs.word());
    let (architecture, board, name, root, boot) = match machine {
        Machine::Pc(arch) => (arch.name(), None, arch.name(), root, catalog.boot_files(distribution)),
        Machine::Virt => (Arch::Arm64.name(), Some(Board::Virt.name()), Arch::Arm64.name(), root, Ok(Vec::new())),
        // The board's own firmware starts its kernels, which have fossil alone.
        Machine::Pi(board) => ("arm", Some(board.name()), board.name(), Fs::DEFAULT.word(), Ok(Vec::new())),
    };
    let mut out = Buildable { architecture, board, root, roles: Vec::new(), missing: Vec::new() };
    let boot = match boot {
        Ok(boot) => boot,
        Err(e) => {
            out.missing.push(e.to_string());
            return out;
        }
    };
    for path in boot.iter().filter(|p| !has(p)) {
        out.missing.push(format!("It has no {path}, which every node needs to start"));
    }
    let starts = out.missing.is_empty();
    let mut said = Vec::new();
    let is_for = |r: &&Role| r.boards.is_empty() || r.boards.iter().any(|b| b.get_ref() == board.unwrap_or("pc"));
    for role in catalog.roles().filter(is_for) {
        let kernel = role.kernel.map(|kind| catalog.kernel_file(distribution, kind, name));
        let why = match kernel {
            None | Some(Ok(None)) => None,
            Some(Ok(Some(path))) if has(path) => None,
            Some(Ok(Some(path))) => Some(format!("It has no {path}, the kernel of {}", role.name)),
            Some(Err(e)) => Some(e.to_string()),
        };
        match why {
            None if starts => out.roles.push(role.name.clone()),
            None => {}
            Some(why) => said.push(why),
        }
    }
    said.sort_unstable();
    said.dedup();
    out.missing.append(&mut said);
    // A role without a kernel of its own needs one that has it.
    if !catalog.roles().any(|r| r.kernel.is_some() && out.roles.contains(&r.name)) {
        out.roles.clear();
    }
    out
}
