//! cwfs64x, 9front's default: a cache, a worm with the files, and a plain
//! device.

use super::{Bases, Fs, LaidOut, Partitions, RootError, RootJob, RootKind};
use crate::fs::cwfs::{Base, Cwfs, DATA_OFFSET, LayoutError, Options, users};
use crate::read_at::ReadAt;
use std::sync::Arc;

/// Bytes of a block.
const BLOCK: u64 = 16_384;
const CACHE: &str = "fscache";
const WORM: &str = "fsworm";
const OTHER: &str = "other";

pub(super) const KIND: RootKind = RootKind {
    fs: Fs::Cwfs64x,
    word: "cwfs64x",
    service: "cwfs",
    partitions: Partitions { start: CACHE, data: WORM, shares: Some([CACHE, OTHER]) },
    not_in_users: &[],
    config: Some("cwfs_config"),
    data_offset: |_| DATA_OFFSET,
    lay_out,
};

fn failed(source: LayoutError) -> RootError {
    match source {
        LayoutError::TooSmall { needed, available } => RootError::TooSmall { needed, available },
        source => RootError::other("cwfs64x", source),
    }
}

fn lay_out(job: &RootJob<'_>, bases: &Bases) -> Result<LaidOut, RootError> {
    let users = users(job.tree).map_err(failed)?;
    let layout = format!("cwfs64x {users:?}\0");
    let base = bases.base(job.medium, &layout, Base::number, || Base::layout(job.medium, &users)).map_err(failed)?;
    let options = Options {
        cache: (job.len)(CACHE),
        worm: (job.len)(WORM),
        other: (job.len)(OTHER),
        config: job.config.to_owned(),
        epoch: job.epoch,
    };
    let Cwfs { cache, worm, other } = Cwfs::layout(&base, job.tree, &options).map_err(failed)?;
    let (used, capacity) = (worm.blocks_used() * BLOCK, worm.blocks() * BLOCK);
    let volumes: Vec<(_, Arc<dyn ReadAt>)> =
        vec![(CACHE, Arc::new(cache)), (WORM, Arc::new(worm)), (OTHER, Arc::new(other))];
    Ok(LaidOut { volumes, used, capacity })
}
