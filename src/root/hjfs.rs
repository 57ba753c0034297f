//! hjfs, 9front's for small disks.

use super::{Bases, Fs, LaidOut, Partitions, RootError, RootJob, RootKind};
use crate::fs::hjfs::{Base, Hjfs, LayoutError, Options, base_start, data_offset, users};
use std::sync::Arc;

/// Bytes of a block.
const BLOCK: u64 = 4096;

pub(super) const KIND: RootKind = RootKind {
    fs: Fs::Hjfs,
    word: "hjfs",
    service: "hjfs",
    partitions: Partitions::one("fs"),
    // It passes over a line of /adm/users whose name holds one of `?=+-/:`
    // (9front /sys/src/cmd/hjfs/auth.c, validuser).
    not_in_users: &['-', '+'],
    config: None,
    data_offset,
    lay_out,
};

fn failed(source: LayoutError) -> RootError {
    match source {
        LayoutError::TooSmall { needed, available } => RootError::TooSmall { needed, available },
        source => RootError::other("hjfs partition", source),
    }
}

fn lay_out(job: &RootJob<'_>, bases: &Bases) -> Result<LaidOut, RootError> {
    let name = KIND.partitions.data;
    let len = (job.len)(name);
    let (start, users) = (base_start(len), users(job.tree).map_err(failed)?);
    let layout = format!("hjfs {start} {users:?}\0");
    let make = || Base::layout(job.medium, &users, start);
    let base = bases.base(job.medium, &layout, Base::number, make).map_err(failed)?;
    let hjfs = Hjfs::layout(&base, job.tree, &Options { len, epoch: job.epoch }).map_err(failed)?;
    let (used, capacity) = (hjfs.blocks_used() * BLOCK, hjfs.blocks() * BLOCK);
    Ok(LaidOut { volumes: vec![(name, Arc::new(hjfs))], used, capacity })
}
