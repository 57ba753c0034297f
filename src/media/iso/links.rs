//! From the nodes of an image to a listing: symbolic links become what they
//! lead to, as they do in a folder of the host.

use super::error::{IsoError, shown};
use super::walk::{Kind, Node, Nodes};
use crate::media::Listing;
use std::collections::BTreeMap;

/// Links on the way to one file; Unix systems follow about as many.
const MAX_HOPS: usize = 40;
/// Most entries that links add to a listing: a few links to each other's
/// directories could describe a tree of any size.
const MAX_LINKED: usize = 1 << 20;

struct Emit<'a> {
    nodes: &'a Nodes,
    children: Vec<Vec<u32>>,
    /// Children by parent and name, for walking to where links lead.
    by_name: BTreeMap<(u32, &'a [u8]), u32>,
    /// Entries that links may still add.
    left: usize,
    listing: Listing,
}

/// Lists what is below the root.
///
/// # Errors
/// Fails when a link leads nowhere, out of the tree or back to itself, or Plan
/// 9 cannot hold a path.
pub fn listing(nodes: &Nodes) -> Result<Listing, IsoError> {
    let mut children = vec![Vec::new(); nodes.all.len()];
    let mut by_name = BTreeMap::new();
    let has_links = nodes.all.iter().any(|n| matches!(n.kind, Kind::Link(_)));
    for (id, node) in (0u32..).zip(&nodes.all).skip(1).filter(|(_, n)| !matches!(n.kind, Kind::Hidden)) {
        children[node.parent as usize].push(id);
        if has_links {
            by_name.insert((node.parent, &*node.name), id);
        }
    }
    let mut emit = Emit { nodes, children, by_name, left: MAX_LINKED, listing: Listing::default() };
    emit.below(0, &mut Vec::new(), &mut vec![0], false)?;
    Ok(emit.listing)
}

impl Emit<'_> {
    /// `above` are the directories on the way here; `linked` when one of them
    /// was reached by a link.
    fn below(&mut self, dir: u32, path: &mut Vec<u8>, above: &mut Vec<u32>, linked: bool) -> Result<(), IsoError> {
        for i in 0..self.children[dir as usize].len() {
            let id = self.children[dir as usize][i];
            let keep = path.len();
            if keep > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&self.nodes.all[id as usize].name);
            self.entry(id, path, above, linked)?;
            path.truncate(keep);
        }
        Ok(())
    }

    fn entry(&mut self, id: u32, path: &mut Vec<u8>, above: &mut Vec<u32>, linked: bool) -> Result<(), IsoError> {
        let real = self.resolve(id)?;
        let linked = linked || real != id;
        if linked {
            self.left = self.left.checked_sub(1).ok_or(IsoError::Links { most: MAX_LINKED })?;
        }
        let Node { attributes, kind, .. } = &self.nodes.all[real as usize];
        let added = match kind {
            Kind::File(content) => self.listing.file(path, attributes.clone(), content.clone()),
            _ if above.contains(&real) => {
                return Err(IsoError::LinkLoop { path: text(path), ancestor: self.nodes.path(real) });
            }
            _ => self.listing.dir(path, attributes.clone()),
        };
        added.map_err(|why| IsoError::Path { path: text(path), why })?;
        if !matches!(kind, Kind::File(_)) {
            above.push(real);
            self.below(real, path, above, linked)?;
            above.pop();
        }
        Ok(())
    }

    /// The file or directory that a node is or leads to.
    fn resolve(&self, id: u32) -> Result<u32, IsoError> {
        let Kind::Link(target) = &self.nodes.all[id as usize].kind else { return Ok(id) };
        let leaves = || IsoError::LinkLeaves { path: self.nodes.path(id), target: shown(target) };
        let mut at = self.nodes.all[id as usize].parent;
        let mut words: Vec<&[u8]> = Vec::new();
        let mut next = Some(target);
        let mut hops = 0;
        loop {
            if let Some(target) = next.take() {
                hops += 1;
                if hops > MAX_HOPS {
                    return Err(IsoError::LinkLoop { path: self.nodes.path(id), ancestor: self.nodes.path(id) });
                }
                if target.first() == Some(&b'/') {
                    return Err(leaves());
                }
                words.extend(target.split(|b| *b == b'/').rev());
            }
            let Some(word) = words.pop() else { return Ok(at) };
            match word {
                b"" | b"." => {}
                b".." if at == 0 => return Err(leaves()),
                b".." => at = self.nodes.all[at as usize].parent,
                name => {
                    let child = *self.by_name.get(&(at, name)).ok_or_else(leaves)?;
                    match &self.nodes.all[child as usize].kind {
                        Kind::Link(target) => next = Some(target),
                        Kind::File(_) if words.is_empty() => return Ok(child),
                        Kind::File(_) => return Err(leaves()),
                        Kind::Dir | Kind::Hidden => at = child,
                    }
                }
            }
        }
    }
}

fn text(path: &[u8]) -> String {
    shown(&[b"/", path].concat())
}
