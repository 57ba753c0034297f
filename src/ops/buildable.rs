//! Nodes that can be built from a medium, and the reasons why others cannot.

use crate::lab::board::BOARDS;
use crate::lab::words::Word as _;
use crate::lab::{Arch, Board};
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

/// Nodes that can be built from a medium, by board and architecture: PCs of each
/// architecture, and the boards that the distribution has kernels for.
pub fn buildable(catalog: &Catalog, medium: &Medium, facts: &Facts) -> Vec<Buildable> {
    let has_kernels = |board: Board, arch| {
        let kernel = |kind| catalog.kernel_file(medium.distribution.name(), kind, board.kernel_name(arch));
        [Kernel::Cpu, Kernel::Terminal].into_iter().any(|kind| matches!(kernel(kind), Ok(Some(_))))
    };
    let all = BOARDS.iter().flat_map(|spec| spec.board.architectures().into_iter().map(|arch| (spec.board, arch)));
    all.filter(|(board, arch)| *board == Board::default() || has_kernels(*board, *arch))
        .map(|(board, arch)| build(catalog, medium, facts, board, arch))
        .collect()
}

/// Reasons why nodes with `roles` cannot be PCs of an architecture, each a
/// sentence; none if they can.
pub fn missing(catalog: &Catalog, medium: &Medium, arch: Arch, roles: &[String]) -> Vec<String> {
    let build = build(catalog, medium, &Facts::of(medium, &[]), Board::default(), arch);
    if roles.iter().all(|role| build.roles.contains(role)) { Vec::new() } else { build.missing }
}

/// Looks for each role where a build looks for its files.
fn build(catalog: &Catalog, medium: &Medium, facts: &Facts, board: Board, arch: Arch) -> Buildable {
    let distribution = medium.distribution.name();
    let has = |path: &str| facts.has(path) || medium.tree.find(path.as_bytes()).is_some();
    let mut out = Buildable {
        architecture: arch.name(),
        board: (board != Board::default()).then(|| board.name()),
        root: catalog.default_fs(distribution).map_or("", |fs| board.root(fs).word()),
        roles: Vec::new(),
        missing: Vec::new(),
    };
    // Where a FAT partition comes first, its files are a matter of the board.
    let boot = if board.has_dos() { Ok(Vec::new()) } else { catalog.boot_files(distribution) };
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
    let is_for = |r: &&Role| r.boards.is_empty() || r.boards.iter().any(|b| b.get_ref() == board.name());
    for role in catalog.roles().filter(is_for) {
        let kernel = role.kernel.map(|kind| catalog.kernel_file(distribution, kind, board.kernel_name(arch)));
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
