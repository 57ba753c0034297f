//! `p9img ls`: partitions or files.

use crate::cli::image::{self, ImagePath};
use crate::cli::outcome::Outcome;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::disk::DiskImage;
use crate::fs::{FileSystem, Node, walk};
use crate::shown;
use anyhow::Context as _;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// IMAGE[:PARTITION[:PATH]]
    pub place: String,
    /// Mode, owner, group, length and time of each file
    #[arg(short, long)]
    pub long: bool,
    /// List everything below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// The directory itself, not its files
    #[arg(short, long)]
    pub directory: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

pub fn run(_cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    match image::open(&args.place)? {
        ImagePath::Disk { disk, partition: None, .. } => partitions(&disk, args)?,
        ImagePath::Disk { disk, partition: Some(name), path } => {
            let fs = image::open_partition(&disk, &name)?;
            files(&*fs, path.as_deref().unwrap_or(""), args)?;
        }
        ImagePath::Whole { fs, path, .. } => files(&*fs, path.as_deref().unwrap_or(""), args)?,
    }
    Ok(Outcome::Good)
}

fn partitions(disk: &DiskImage, args: &Args) -> anyhow::Result<()> {
    for p in disk.partitions() {
        let fs = match disk.has_parts(p) {
            true => None,
            false => image::open_partition(disk, &p.name).map(|f| f.kind()).ok(),
        };
        if args.json {
            say::json_line(&json!({"partition": p.name, "start": p.start, "len": p.len, "file_system": fs}))?;
        } else {
            say::line(format_args!(
                "{:<8} {:>12} {:>12} {}",
                shown::name(p.name.as_bytes()),
                p.start,
                p.len,
                fs.unwrap_or("-")
            ))?;
        }
    }
    Ok(())
}

fn files(fs: &dyn FileSystem, path: &str, args: &Args) -> anyhow::Result<()> {
    let path = path.trim_matches('/');
    let (path, node) = image::find(fs, path).with_context(|| format!("Cannot list /{path}"))?;
    let name = || shown::name(&path);
    if args.directory || !node.meta.mode.is_dir() {
        return show(&path, &node, args);
    }
    let prefix = if path.is_empty() { Vec::new() } else { [&path, &b"/"[..]].concat() };
    if args.recursive {
        return walk(fs, &node, &mut |below, child| show(&[&prefix, below].concat(), child, args));
    }
    for child in fs.children(&node).with_context(|| format!("Cannot list /{}", name()))? {
        show(&child.name, &child, args)?;
    }
    Ok(())
}

fn show(name: &[u8], node: &Node, args: &Args) -> anyhow::Result<()> {
    let m = &node.meta;
    let text = shown::name(name);
    let (uid, gid) = (shown::name(m.uid.as_bytes()), shown::name(m.gid.as_bytes()));
    if args.json {
        let record = json!({
            "name": text, "mode": format!("{:o}", m.mode.0), "uid": uid, "gid": gid,
            "muid": shown::name(m.muid.as_bytes()), "mtime": m.mtime, "len": node.len, "qid": node.qid,
        });
        say::json_line(&record)?;
    } else if args.long {
        say::line(format_args!(
            "{} {:<8} {:<8} {:>10} {} {text}",
            m.mode,
            uid,
            gid,
            node.len,
            crate::cli::time::time(m.mtime)
        ))?;
    } else {
        say::line(format_args!("{text}{}", if m.mode.is_dir() { "/" } else { "" }))?;
    }
    Ok(())
}
