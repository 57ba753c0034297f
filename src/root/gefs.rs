//! gefs, 9front's with snapshots and checksums.

use super::{Bases, Fs, LaidOut, Partitions, RootError, RootJob, RootKind};
use crate::fs::gefs::{Base, Data, Gefs, LayoutError, Options, arenas, users};
use std::convert::Infallible;
use std::sync::Arc;

pub(super) const KIND: RootKind = RootKind {
    fs: Fs::Gefs,
    word: "gefs",
    service: "gefs",
    partitions: Partitions::one("fs"),
    not_in_users: &[],
    config: None,
    // Its data lies at multiples of a cluster.
    data_offset: |_| 0,
    lay_out,
};

fn failed(source: LayoutError) -> RootError {
    match source {
        LayoutError::TooSmall { needed, available } => RootError::TooSmall { needed, available },
        source => RootError::other("gefs partition", source),
    }
}

fn lay_out(job: &RootJob<'_>, bases: &Bases) -> Result<LaidOut, RootError> {
    let name = KIND.partitions.data;
    let len = (job.len)(name);
    // Digests of the files, which do not depend on the users.
    let Ok(data) = bases.once(job.medium, "gefs data", || Ok::<_, Infallible>(Data::new(job.medium)));
    let (arenas, users) = (arenas(len).map_err(failed)?, users(job.tree).map_err(failed)?);
    let layout = format!("gefs {arenas:?} {users:?}\0");
    let make = || Base::layout(&data, &users, arenas);
    let base = bases.base(job.medium, &layout, Base::number, make).map_err(failed)?;
    let gefs = Gefs::layout(&base, job.tree, &Options { len }).map_err(failed)?;
    let (used, capacity) = (gefs.used(), gefs.capacity());
    Ok(LaidOut { volumes: vec![(name, Arc::new(gefs))], used, capacity })
}
