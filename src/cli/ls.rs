//! `p9img ls`: partitions or files.

use super::args::{Cli, Ls};
use super::image::{self, Place};
use super::{Outcome, say};
use crate::disk::DiskImage;
use crate::fs::{FileSystem, Node, walk};
use anyhow::Context as _;
use serde_json::json;

pub fn run(_cli: &Cli, args: &Ls) -> anyhow::Result<Outcome> {
    match image::open(&args.place)? {
        Place::Disk { disk, partition: None, .. } => partitions(&disk, args)?,
        Place::Disk { disk, partition: Some(name), path } => {
            let fs = image::open_partition(&disk, &name)?;
            files(&*fs, path.as_deref().unwrap_or(""), args)?;
        }
        Place::Whole { fs, path, .. } => files(&*fs, path.as_deref().unwrap_or(""), args)?,
    }
    Ok(Outcome::Good)
}

fn partitions(disk: &DiskImage, args: &Ls) -> anyhow::Result<()> {
    for p in disk.partitions() {
        let fs = match image::is_container(disk, p) {
            true => None,
            false => image::open_partition(disk, &p.name).map(|f| f.kind()).ok(),
        };
        if args.json {
            say::line(format_args!(
                "{}",
                json!({"partition": p.name, "start": p.start, "len": p.len, "file_system": fs})
            ))?;
        } else {
            say::line(format_args!("{:<8} {:>12} {:>12} {}", p.name, p.start, p.len, fs.unwrap_or("-")))?;
        }
    }
    Ok(())
}

fn files(fs: &dyn FileSystem, path: &str, args: &Ls) -> anyhow::Result<()> {
    let path = path.trim_matches('/');
    let node = fs.find(path.as_bytes()).with_context(|| format!("Cannot list /{path}"))?;
    if args.directory || !node.meta.mode.is_dir() {
        return show(path.as_bytes(), &node, args);
    }
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    if args.recursive {
        return walk(fs, &node, &mut |below, child| show(&[prefix.as_bytes(), below].concat(), child, args));
    }
    for child in fs.children(&node).with_context(|| format!("Cannot list /{path}"))? {
        show(&child.name, &child, args)?;
    }
    Ok(())
}

fn show(name: &[u8], node: &Node, args: &Ls) -> anyhow::Result<()> {
    let m = &node.meta;
    let text = printable(name);
    if args.json {
        let record = json!({
            "name": text, "mode": format!("{:o}", m.mode.0), "uid": &*m.uid, "gid": &*m.gid,
            "muid": &*m.muid, "mtime": m.mtime, "len": node.len, "qid": node.qid,
        });
        say::line(format_args!("{record}"))?;
    } else if args.long {
        say::line(format_args!(
            "{} {:<8} {:<8} {:>10} {} {text}",
            m.mode,
            m.uid,
            m.gid,
            node.len,
            super::say::time(m.mtime)
        ))?;
    } else {
        say::line(format_args!("{text}{}", if m.mode.is_dir() { "/" } else { "" }))?;
    }
    Ok(())
}

/// Names as text that cannot disturb a terminal.
fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
