//! The plan of a build, which writes nothing.

use super::media::{self, Record};
use super::{BuildError, LabRequest, Reporter, choices, lab};
use crate::assemble::{Assembler, Plan};

/// Makes all decisions of a build of the nodes with these names, or of all if there
/// are no names.
///
/// # Errors
/// Fails when an input has a mistake, or a node cannot be assembled.
pub fn plan(request: &LabRequest, nodes: &[String], reporter: &dyn Reporter) -> Result<Plan, BuildError> {
    let catalog = lab::catalog(&request.file, reporter)?;
    let (lab, _) = choices::lab(request, &catalog, reporter)?;
    let nodes = lab::nodes(&lab, nodes)?;
    let media = media::all(&lab, Record::No, reporter)?;
    // A plan writes nothing: there are stand-ins for secrets that do not exist yet.
    let secrets = lab::secrets(&lab, reporter)?;
    let firmware = media::firmware(&lab, &nodes, Record::No, reporter)?;
    let assembler = Assembler::new(&lab, &media, &catalog, &secrets.value)?.with_firmware(firmware);
    let variants: Vec<_> = nodes.into_iter().flat_map(|n| lab.variants(n)).collect();
    Ok(assembler.plan_alone(&variants)?)
}
