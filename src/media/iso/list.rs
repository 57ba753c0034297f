//! Deciding how an image describes its files, and listing them.

use super::error::IsoError;
use super::format::{self, Extent, Volumes};
use super::names::{self, Conform};
use super::susp::{self, RockRidge};
use super::walk::{Kind, Nodes, Walk};
use super::{dump, links, plan9};
use crate::media::Listed;
use crate::read_at::ReadAt;
use crate::tree::Content;
use std::sync::Arc;

/// Source of names and other metadata.
#[derive(Clone, Copy, Debug)]
pub enum Described {
    /// Plan 9's fields: names, owners, groups, modes and times.
    Plan9 {
        /// Names are stored as they are; else in upper case.
        verbatim: bool,
    },
    /// Rock Ridge: names, whether files can be executed, symbolic links.
    RockRidge(RockRidge),
    /// `mk9660` without options: names as they are.
    Utf8,
    /// Joliet: names.
    Joliet,
    /// ISO 9660 alone: names in lower case.
    Plain,
}

impl Described {
    /// The kind of tree, in words.
    const fn words(self) -> &'static str {
        match self {
            Self::Plan9 { .. } => "Plan 9's own fields in the ISO 9660 image",
            Self::RockRidge(_) => "Rock Ridge",
            Self::Utf8 => "ISO 9660 (UTF-8)",
            Self::Joliet => "Joliet",
            Self::Plain => "ISO 9660 (lower case)",
        }
    }
}

/// Lists an image by the richest description that it has.
///
/// # Errors
/// Fails when it is no ISO 9660, is damaged, or holds what Plan 9 cannot.
pub fn list(image: &Arc<dyn ReadAt>) -> Result<Listed, IsoError> {
    let volumes = format::volumes(image)?;
    let dump = dump::newest(image)?;
    let described = describe(image, &volumes)?;
    let volume = match (described, &volumes.joliet) {
        (Described::Joliet, Some(joliet)) => joliet,
        _ => &volumes.primary,
    };
    let root = match (described, &dump) {
        (_, None) => volume.root,
        (Described::Joliet, Some(dump)) => dump.joliet.unwrap_or(volume.root),
        (_, Some(dump)) => dump.root,
    };
    let mut nodes = Walk::new(image, volume, described, volumes.boot_catalog).run(root)?;
    let parts = dump.map(|d| d.maps).unwrap_or_default();
    rename(image, &volumes, &parts, &mut nodes)?;
    let complete = matches!(described, Described::Plan9 { .. });
    Ok(Listed {
        listing: links::listing(&nodes)?,
        metadata: complete.then_some(described.words()),
        complete,
        names: (!complete).then_some(described.words()),
        ..Listed::default()
    })
}

fn describe(image: &Arc<dyn ReadAt>, volumes: &Volumes) -> Result<Described, IsoError> {
    let system = &volumes.primary.system;
    let verbatim = system.ends_with("UTF8");
    if system.starts_with(plan9::SYSTEM) {
        return Ok(Described::Plan9 { verbatim });
    }
    // A dump's own trees begin below the root, which alone says so.
    if let Some(rock) = susp::detect(image, &volumes.primary, volumes.primary.root)? {
        return Ok(Described::RockRidge(rock));
    }
    Ok(match &volumes.joliet {
        _ if verbatim => Described::Utf8,
        Some(_) => Described::Joliet,
        None => Described::Plain,
    })
}

/// Gives names that `mk9660` made up back what they stand for. Its table is in
/// the dump's headers, or a file of the root directory; or, as `mk9660` writes
/// it after the directories, no file at all: between the last directory and
/// the path table.
fn rename(image: &Arc<dyn ReadAt>, volumes: &Volumes, parts: &[Extent], nodes: &mut Nodes) -> Result<(), IsoError> {
    let block = u64::from(volumes.primary.block);
    let mut map = Conform::default();
    for part in parts {
        map.add(&table(image, u64::from(part.block) * block, part.len.into())?);
    }
    let listed = nodes.all.iter_mut().find(|n| n.parent == 0 && n.name.eq_ignore_ascii_case(names::MAP));
    if let Some(node) = listed
        && let Kind::File(Content::Part { offset, len, .. }) = node.kind
    {
        map.add(&table(image, offset, len)?);
        if !map.is_empty() {
            node.kind = Kind::Hidden;
        }
    }
    if map.is_empty() {
        let end = u64::from(volumes.primary.path_table) * block;
        map.add(&table(image, nodes.end, end.saturating_sub(nodes.end))?);
    }
    if !map.is_empty() {
        for node in &mut nodes.all {
            node.name = map.real(std::mem::take(&mut node.name)).into_owned();
        }
    }
    Ok(())
}

/// The bytes where a table of names may be; none when the image ends before.
fn table(image: &Arc<dyn ReadAt>, at: u64, len: u64) -> Result<Vec<u8>, IsoError> {
    let len = len.min(names::MAX_MAP);
    if at.checked_add(len).is_none_or(|end| end > image.len()) {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; len as usize];
    format::read(image, at, &mut bytes)?;
    Ok(bytes)
}
