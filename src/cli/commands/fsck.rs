//! `p9img fsck`: partition tables and file systems, checked.

use crate::artifact::{self, Layers};
use crate::cli::image::{self, ImagePath};
use crate::cli::outcome::Outcome;
use crate::cli::progress::Spinner;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::count;
use crate::fs::{Contents, FileSystem, Finding, OpenError, names_a_file_system, venti};
use crate::read_at::{Extent, ReadAt};
use crate::visible::{self, visible};
use anyhow::Context as _;
use serde_json::json;
use std::io;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// IMAGE[:PARTITION]
    pub place: String,
    /// Print the structures of the file systems, too
    #[arg(long)]
    pub dump: bool,
    /// Read everything: every cluster of the image, every file, sums of archives [default: metadata only]
    #[arg(long)]
    pub data: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let mut run = Run { cli, args, findings: 0, metadata: Vec::new(), read: Contents::default(), disk: 0 };
    let mut layers = None;
    let place = image::open_by(&args.place, &mut |path, bytes| {
        let opened = artifact::layers_over(bytes, &image::below(path))?;
        Ok(layers.insert(opened).disk.clone())
    })?;
    if let Some(layers) = &layers {
        run.container(layers, &place)?;
    }
    match place {
        ImagePath::Whole { fs, len, .. } => run.file_system("image", &*fs, len)?,
        ImagePath::Disk { disk, partition: Some(name), .. } => {
            run.file_system(&name, &*image::open_partition(&disk, &name)?, disk.len())?
        }
        ImagePath::Disk { disk, partition: None, .. } => {
            let mut found = Vec::new();
            disk.check(&mut |f| found.push(f)).context("Cannot check the partition tables")?;
            for finding in found {
                run.report("disk", &finding)?;
            }
            let mut ventis = Vec::new();
            for p in disk.partitions().iter().filter(|p| !disk.has_parts(p)) {
                let opened = image::partition(&disk, &p.name).map(|bytes| {
                    ventis.extend(venti::open(bytes.clone()).ok().map(|v| (p.name.clone(), v)));
                    let fs = crate::fs::open(bytes.clone(), Some(p.lba()), &|name| disk.beside(name));
                    (fs, bytes)
                });
                match opened {
                    Ok((Ok(fs), _)) => run.file_system(&p.name, &*fs, disk.len())?,
                    // swap, nvram and the like; and partitions that are not formatted.
                    Ok((Err(OpenError::Unknown { .. }), bytes)) if !names_a_file_system(&p.name) || blank(&*bytes)? => {
                    }
                    Ok((Err(e), _)) => {
                        let why = std::error::Error::source(&e).map(|why| format!(": {why}"));
                        let message = format!("{e}{}", why.unwrap_or_default());
                        run.report(&p.name, &Finding { kind: "unreadable", message })?;
                    }
                    Err(e) => run.report(&p.name, &Finding { kind: "unreadable", message: e.to_string() })?,
                }
            }
            run.venti(&ventis)?;
        }
    }
    run.said()?;
    Ok(if run.findings == 0 { Outcome::Good } else { Outcome::Differs })
}

/// Whether the first 512 KiB of a partition are zeros: the magic number of every
/// file system would be there.
fn blank(partition: &dyn ReadAt) -> anyhow::Result<bool> {
    let mut start = vec![0; partition.len().min(512 << 10) as usize];
    partition.read_at(0, &mut start).context("Cannot read a partition")?;
    Ok(start.iter().all(|b| *b == 0))
}

struct Run<'a> {
    cli: &'a GlobalArgs,
    args: &'a Args,
    /// Damage that was found.
    findings: u64,
    /// File systems of which nothing but metadata was read.
    metadata: Vec<String>,
    /// Contents of files, and bytes of the disk that were read.
    read: Contents,
    disk: u64,
}

impl Run<'_> {
    /// Checks the container of the disk, and reads it.
    fn container(&mut self, layers: &Layers, place: &ImagePath) -> anyhow::Result<()> {
        let spinner = Spinner::new(self.cli.quiet, "Checking the image".into());
        let (mut found, mut read) = (Vec::new(), 0);
        layers.check(self.args.data, &mut |f| found.push(f)).context("Cannot check the image")?;
        if self.args.data {
            let range = match place {
                ImagePath::Disk { disk, partition: Some(name), .. } => {
                    disk.find(name).ok().map(|p| Extent { offset: p.start, len: p.end() - p.start })
                }
                _ => Some(Extent { offset: 0, len: layers.disk.len() }),
            };
            if let Some(range) = range {
                read = artifact::read_disk(&*layers.disk, range, &mut |f| found.push(f))
                    .context("Cannot read the image")?;
            }
        }
        drop(spinner);
        self.disk = read;
        found.iter().try_for_each(|f| self.report("image", f))
    }

    fn file_system(&mut self, name: &str, fs: &dyn FileSystem, len: u64) -> anyhow::Result<()> {
        if self.args.dump {
            let mut lines = visible::Lines::new(io::stdout().lock());
            say::quiet_pipe(fs.dump(&mut lines).and_then(|()| lines.finish()))?;
        }
        let before = self.findings;
        let spinner = Spinner::new(self.cli.quiet, format!("Checking {name}"));
        let mut printed = Ok(());
        let mut report = |run: &mut Self, finding: &Finding| {
            if printed.is_ok() {
                printed = run.report(name, finding);
            }
        };
        let checked = fs.check(&mut |finding| report(self, &finding));
        // Data that does not inflate, for example, is a finding: more is left to be
        // checked.
        match checked {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                report(self, &Finding { kind: "unreadable", message: format!("The check did not end: {e}") });
            }
            other => other.with_context(|| format!("Cannot check {name}"))?,
        }
        if self.args.data {
            let read = crate::fs::read_contents(fs, len, &mut |finding| report(self, &finding))
                .with_context(|| format!("Cannot read the files of {name}"))?;
            self.read.files += read.files;
            self.read.bytes += read.bytes;
        } else if !fs.verifies_contents() {
            self.metadata.push(name.to_owned());
        }
        drop(spinner);
        printed?;
        if self.findings == before && !self.cli.quiet && !self.args.json {
            say::line(format_args!("{name}: {} is sound", fs.kind()))?;
        }
        Ok(())
    }

    /// Prints the amounts of data that were read.
    fn said(&self) -> anyhow::Result<()> {
        if self.cli.quiet || self.args.json {
            return Ok(());
        }
        if self.args.data {
            let Contents { files, bytes } = self.read;
            let files = count::of(files, "file");
            let disk = self.disk;
            return Ok(say::line(format_args!(
                "Everything was read: {disk} of the image, {files} of {bytes}",
                disk = count::of(disk, "byte"),
                bytes = count::of(bytes, "byte")
            ))?);
        }
        match self.metadata.is_empty() {
            true => Ok(()),
            false => {
                let all = self.metadata.join(", ");
                Ok(say::line(format_args!("{all}: metadata only; --data reads the files' contents too"))?)
            }
        }
    }

    /// Checks the parts of a venti against each other.
    fn venti(&mut self, parts: &[(String, venti::Venti)]) -> anyhow::Result<()> {
        let mut found = Vec::new();
        let spinner = Spinner::new(self.cli.quiet, "Checking the venti".into());
        venti::check_together(parts, &mut |f| found.push(f)).context("Cannot check the venti")?;
        drop(spinner);
        found.iter().try_for_each(|f| self.report("venti", f))
    }

    fn report(&mut self, partition: &str, f: &Finding) -> anyhow::Result<()> {
        self.findings += u64::from(!f.is_remark());
        if self.args.json {
            let level = if f.is_remark() { "remark" } else { "damage" };
            let record = json!({"partition": partition, "level": level, "kind": f.kind, "message": f.message});
            return Ok(say::json_line(&record)?);
        }
        let remark = if f.is_remark() { "remark: " } else { "" };
        // A finding quotes names: one of several lines is still one line.
        let text = format!("{partition}: {remark}{f}").replace('\n', "\\n");
        Ok(say::line(format_args!("{}", visible(&text)))?)
    }
}
