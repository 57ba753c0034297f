//! The disks of nodes as a build computes them, without any artifact.

use super::lab::make_secrets;
use super::media::{self, Record};
use super::{BuildError, LabRequest, Reporter, choices, lab};
use crate::artifact::output::digest;
use crate::assemble::{Assembled, Assembler};
use crate::digest::{Digest, FieldHasher};
use crate::lab::{Format, Lab, Secrets};
use crate::media::Medium;
use crate::media::firmware::Firmware;
use crate::read_at::ReadAt;
use crate::render::Catalog;
use crate::stop;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Disk of a node.
pub struct NodeDisk {
    pub node: String,
    pub disk: Arc<dyn ReadAt>,
}

/// Computes the disks of the nodes with these names, or of all if there are no names: their
/// bytes are those of the raw images that a build writes. Makes the lab's secrets if there are
/// none, as a build does.
///
/// # Errors
/// Fails when an input has a mistake, or a node cannot be assembled.
pub fn disks(request: &LabRequest, nodes: &[String], reporter: &dyn Reporter) -> Result<Vec<NodeDisk>, BuildError> {
    let catalog = lab::catalog(&request.file, reporter)?;
    let (lab, _) = choices::lab(&raw(request), &catalog, reporter)?;
    let sources = Sources::open(&lab, nodes, Record::Yes, reporter)?;
    let (secrets, note) = make_secrets(&lab)?;
    note.iter().for_each(|note| reporter.note(note));
    let assembled = sources.assemble(&lab, &catalog, &secrets, nodes)?;
    Ok(assembled.into_iter().map(|made| NodeDisk { node: made.plan.name, disk: made.disk }).collect())
}

/// The request with raw images, whatever formats the last build wrote: one disk for each node.
pub(super) fn raw(request: &LabRequest) -> LabRequest {
    LabRequest { formats: vec![Format::Raw.spec().word.to_owned()], ..request.clone() }
}

/// Media and firmware that disks are computed from.
pub(super) struct Sources {
    pub media: Vec<Medium>,
    pub firmware: Option<Firmware>,
}

impl Sources {
    /// Opens those of the nodes with these names, or of all if there are no names.
    ///
    /// # Errors
    /// Fails when one cannot be opened, or no node has one of the names.
    pub fn open(lab: &Lab, nodes: &[String], record: Record, reporter: &dyn Reporter) -> Result<Self, BuildError> {
        let nodes = lab::nodes(lab, nodes)?;
        let media = media::all(lab, record, reporter)?;
        Ok(Self { media, firmware: media::firmware(lab, &nodes, record, reporter)? })
    }

    /// The disks of the nodes with these names, or of all if there are no names.
    ///
    /// # Errors
    /// Fails when a node cannot be assembled, or no node has one of the names.
    pub fn assemble(
        &self,
        lab: &Lab,
        catalog: &Catalog,
        secrets: &Secrets,
        nodes: &[String],
    ) -> Result<Vec<Assembled>, BuildError> {
        let variants: Vec<_> = lab::nodes(lab, nodes)?.into_iter().flat_map(|n| lab.variants(n)).collect();
        let assembler = Assembler::new(lab, &self.media, catalog, secrets)?.with_firmware(self.firmware.clone());
        Ok(assembler.nodes(&variants)?)
    }

    /// Digest of everything of them, and of this program: all that decides the bytes of disks, but
    /// for the lab, its roles and its secrets.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn digest(&self) -> io::Result<Digest> {
        let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let mut hash = FieldHasher::new();
        for medium in &self.media {
            hash.field(medium.tree.digest(jobs, &stop::go_on)?);
        }
        if let Some(firmware) = &self.firmware {
            hash.field(firmware.digest(jobs, &stop::go_on)?);
        }
        hash.field(digest::of(File::open(std::env::current_exe()?)?)?);
        Ok(hash.finish())
    }
}
