//! fossil, as 9legacy's and the fourth edition's installers make it.

use super::{Bases, Fs, LaidOut, Partitions, RootError, RootJob, RootKind};
use crate::fs::fossil::{Base, Fossil, LayoutError, Options, data_offset};
use std::sync::Arc;

/// Bytes of a block.
const BLOCK: u64 = 8192;

pub(super) const KIND: RootKind = RootKind {
    fs: Fs::Fossil,
    word: "fossil",
    service: "fossil",
    partitions: Partitions::one("fossil"),
    not_in_users: &[],
    config: Some("fossil_config"),
    data_offset: |len| data_offset(len).unwrap_or(0),
    lay_out,
};

fn failed(source: LayoutError) -> RootError {
    match source {
        LayoutError::TooSmall { needed, available } => RootError::TooSmall { needed, available },
        source => RootError::other("fossil partition", source),
    }
}

fn lay_out(job: &RootJob<'_>, bases: &Bases) -> Result<LaidOut, RootError> {
    let base = bases.base(job.medium, "", Base::number, || Base::layout(job.medium)).map_err(failed)?;
    let name = KIND.partitions.data;
    let options =
        Options { len: (job.len)(name), config: job.config.to_owned(), name: "main".into(), epoch: job.epoch };
    let fossil = Fossil::layout(&base, job.tree, &options).map_err(failed)?;
    let (used, capacity) = (fossil.blocks_used() * BLOCK, fossil.blocks() * BLOCK);
    Ok(LaidOut { volumes: vec![(name, Arc::new(fossil))], used, capacity })
}
