//! The venti of a node: the partitions that its roles want arenas, index
//! sections or a bloom filter in.

use super::disk::Volumes;
use super::error::AssembleError;
use crate::fs::venti::{self, Kind};
use crate::partition::{Holds, Layout};
use std::sync::Arc;

/// Formats those partitions, empty; `seed` decides the ids in them.
pub(super) fn volumes<'a>(layout: &'a Layout, seed: &str, node: &str) -> Result<Volumes<'a>, AssembleError> {
    let kind = |holds| match holds {
        Holds::Arenas => Kind::Arenas,
        Holds::Isect => Kind::Section,
        Holds::Bloom => Kind::Bloom,
    };
    let parts: Vec<_> = layout.parts.iter().filter_map(|p| Some((p, kind(p.holds?)))).collect();
    let wanted: Vec<_> =
        parts.iter().map(|(p, kind)| venti::Wanted { name: p.name.clone(), len: p.len(), kind: *kind }).collect();
    let made = venti::layout(&wanted, seed).map_err(|source| AssembleError::Venti { node: node.into(), source })?;
    Ok(parts.iter().zip(made).map(|((p, _), volume)| (p.name.as_str(), Arc::new(volume) as _)).collect())
}
