//! The disks of nodes as a build computes them, without any artifact.

use super::lab::make_secrets;
use super::media::{self, Record};
use super::{BuildError, LabRequest, Reporter, choices, lab};
use crate::assemble::Assembler;
use crate::lab::Format;
use crate::read_at::ReadAt;
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
    // Whatever formats the last build wrote.
    let request = LabRequest { formats: vec![Format::Raw.spec().word.to_owned()], ..request.clone() };
    let (lab, _) = choices::lab(&request, &catalog, reporter)?;
    let nodes = lab::nodes(&lab, nodes)?;
    let media = media::all(&lab, Record::Yes, reporter)?;
    let firmware = media::firmware(&lab, &nodes, Record::Yes, reporter)?;
    let variants: Vec<_> = nodes.into_iter().flat_map(|n| lab.variants(n)).collect();
    let (secrets, note) = make_secrets(&lab)?;
    note.iter().for_each(|note| reporter.note(note));
    let assembler = Assembler::new(&lab, &media, &catalog, &secrets)?.with_firmware(firmware);
    let assembled = assembler.nodes(&variants)?;
    let disks = variants.into_iter().zip(assembled);
    Ok(disks.map(|((node, _), made)| NodeDisk { node: node.name, disk: made.disk }).collect())
}
