//! `p9img fsck`: partition tables and file systems, checked.

use super::args::{Cli, Fsck};
use super::image::{self, Place};
use super::progress::Spinner;
use super::{Outcome, say};
use crate::fs::{FileSystem, Finding, OpenError, PARTITIONS, venti};
use crate::read_at::ReadAt;
use anyhow::Context as _;
use serde_json::json;

pub fn run(cli: &Cli, args: &Fsck) -> anyhow::Result<Outcome> {
    let mut run = Run { cli, args, findings: 0 };
    match image::open(&args.place)? {
        Place::Whole { fs, .. } => run.file_system("image", &*fs)?,
        Place::Disk { disk, partition: Some(name), .. } => {
            run.file_system(&name, &*image::open_partition(&disk, &name)?)?
        }
        Place::Disk { disk, partition: None, .. } => {
            let mut found = Vec::new();
            disk.check(&mut |f| found.push(f)).context("Cannot check the partition tables")?;
            for finding in found {
                run.report("disk", &finding)?;
            }
            let mut ventis = Vec::new();
            for p in disk.partitions().iter().filter(|p| !image::is_container(&disk, p)) {
                let bytes = image::partition(&disk, &p.name)?;
                ventis.extend(venti::open(bytes.clone()).ok().map(|v| (p.name.clone(), v)));
                match crate::fs::open(bytes.clone(), Some(p.lba()), &|name| disk.beside(name)) {
                    Ok(fs) => run.file_system(&p.name, &*fs)?,
                    // swap, nvram and the like; and what nobody has formatted.
                    Err(OpenError::Unknown { .. }) if !PARTITIONS.contains(&&*p.name) || blank(&*bytes)? => {}
                    Err(e) => {
                        let why = std::error::Error::source(&e).map(|why| format!(": {why}"));
                        let message = format!("{e}{}", why.unwrap_or_default());
                        run.report(&p.name, &Finding { kind: "unreadable", message })?;
                    }
                }
            }
            run.venti(&ventis)?;
        }
    }
    Ok(if run.findings == 0 { Outcome::Good } else { Outcome::Differs })
}

/// Whether a partition begins with nothing but zeros, behind the place of the
/// last magic that a file system has.
fn blank(partition: &dyn ReadAt) -> anyhow::Result<bool> {
    let mut start = vec![0; partition.len().min(512 << 10) as usize];
    partition.read_at(0, &mut start).context("Cannot read a partition")?;
    Ok(start.iter().all(|b| *b == 0))
}

struct Run<'a> {
    cli: &'a Cli,
    args: &'a Fsck,
    findings: u64,
}

impl Run<'_> {
    fn file_system(&mut self, name: &str, fs: &dyn FileSystem) -> anyhow::Result<()> {
        if self.args.dump {
            say::quiet_pipe(fs.dump(&mut std::io::stdout().lock()))?;
        }
        let before = self.findings;
        let spinner = Spinner::new(self.cli.quiet, format!("Checking {name}"));
        let mut printed = Ok(());
        fs.check(&mut |finding| {
            if printed.is_ok() {
                printed = self.report(name, &finding);
            }
        })
        .with_context(|| format!("Cannot check {name}"))?;
        drop(spinner);
        printed?;
        if self.findings == before && !self.cli.quiet && !self.args.json {
            say::line(format_args!("{name}: {} is sound", fs.kind()))?;
        }
        Ok(())
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
        self.findings += 1;
        if self.args.json {
            let record = json!({"partition": partition, "kind": f.kind, "message": f.message});
            return Ok(say::line(format_args!("{record}"))?);
        }
        Ok(say::line(format_args!("{partition}: {f}"))?)
    }
}
