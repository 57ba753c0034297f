//! The invariants of a disk: MBR and Plan 9 partition tables.

use super::image::{DiskImage, PartInfo, Plan9};
use super::mbr::MbrEntry;
use super::prep::{self, PrepError};
use crate::count;
use crate::fs::Finding;
use crate::fs::fat::format::BootSector;
use crate::read_at::{ReadAt as _, SECTOR};
use std::io;

impl DiskImage {
    /// Verifies MBR and partition tables, not the file systems. Kinds of
    /// findings are listed in `doc/disk.md`.
    ///
    /// # Errors
    /// Only when the image itself cannot be read.
    pub fn check(&self, report: &mut dyn FnMut(Finding)) -> io::Result<()> {
        let mut say = |kind, message| report(Finding { kind, message });
        self.check_mbr(&mut say);
        self.check_logical(&mut say);
        for plan9 in &self.plan9 {
            check_table(plan9, &mut say);
            self.check_9fat(plan9, &mut say)?;
        }
        Ok(())
    }

    fn check_mbr(&self, say: &mut dyn FnMut(&'static str, String)) {
        let Some(mbr) = &self.mbr else { return };
        let sectors = self.len() / SECTOR;
        let entries: Vec<(usize, &MbrEntry)> =
            mbr.entries.iter().enumerate().filter_map(|(i, e)| e.as_ref().map(|e| (i, e))).collect();
        let active = entries.iter().filter(|(_, e)| e.active).count();
        if active != 1 {
            say("mbr-active", format!("The MBR has {active} active partitions, expected one"));
        }
        if !entries.iter().any(|(_, e)| e.is_plan9()) {
            say("mbr-plan9", "The MBR has no partition of type 0x39, which is Plan 9's".into());
        }
        for (n, (index, e)) in entries.iter().enumerate() {
            if e.start == 0 || e.sectors == 0 {
                let message = format!(
                    "Partition {index} of the MBR has {} from sector {}",
                    count::of(e.sectors, "sector"),
                    e.start
                );
                say("mbr-place", message);
            }
            if e.end() > sectors {
                let message =
                    format!("Partition {index} of the MBR ends at sector {}, but the disk has {sectors}", e.end());
                say("mbr-range", message);
            }
            for (other, o) in &entries[..n] {
                if u64::from(e.start) < o.end() && u64::from(o.start) < e.end() {
                    say("mbr-overlap", format!("Partitions {other} and {index} of the MBR overlap"));
                }
            }
        }
    }

    /// Partitions of extended ones, against each other and all others.
    fn check_logical(&self, say: &mut dyn FnMut(&'static str, String)) {
        let Some(mbr) = &self.mbr else { return };
        let primary = |p: &&PartInfo| mbr.entries.iter().flatten().any(|e| u64::from(e.start) * SECTOR == p.start);
        let whole: Vec<&PartInfo> = self.partitions().iter().filter(|p| !p.in_plan9).collect();
        for (n, p) in whole.iter().enumerate().filter(|(_, p)| !primary(p)) {
            if p.len == 0 {
                say("mbr-place", format!("Partition {} has no sectors", p.name));
            }
            if p.end() > self.len() {
                let (end, sectors) = (p.end() / SECTOR, self.len() / SECTOR);
                say("mbr-range", format!("Partition {} ends at sector {end}, but the disk has {sectors}", p.name));
            }
            for (m, o) in whole.iter().enumerate() {
                // Of two logical ones the first says it.
                if (m < n || primary(o)) && p.start < o.end() && o.start < p.end() {
                    say("mbr-overlap", format!("Partitions {} and {} overlap", o.name, p.name));
                }
            }
        }
    }

    /// The 9fat under the table must leave the table's sector alone.
    fn check_9fat(&self, plan9: &Plan9, say: &mut dyn FnMut(&'static str, String)) -> io::Result<()> {
        let Some(fat) = plan9.entries.iter().find(|e| e.name == "9fat") else { return Ok(()) };
        if fat.start != 0 {
            let message = format!(
                "9fat starts at sector {} of the Plan 9 partition, expected 0, where the MBR's code looks for its boot sector",
                fat.start
            );
            say("9fat-start", message);
            return Ok(());
        }
        let mut sector = [0; 512];
        self.source().read_at(plan9.start * SECTOR, &mut sector)?;
        let boot = BootSector::decode(&sector);
        if !boot.signed {
            say("9fat-signature", "The boot sector of 9fat does not end with 55 aa".into());
        } else if boot.nresrv < 2 {
            let message =
                format!("9fat reserves {}, but the partition table is in its second", count::of(boot.nresrv, "sector"));
            say("9fat-reserved", message);
        }
        if u64::from(boot.sectors()) > fat.end {
            let message = format!(
                "9fat has {} by its boot sector, but {} in the table",
                count::of(boot.sectors(), "sector"),
                fat.end
            );
            say("9fat-length", message);
        }
        Ok(())
    }
}

fn check_table(plan9: &Plan9, say: &mut dyn FnMut(&'static str, String)) {
    for wrong in plan9.wrong.iter().chain(&prep::verify(&plan9.entries, plan9.sectors).err()) {
        let kind = match wrong {
            PrepError::None { .. } => "prep-none",
            PrepError::Line { .. } | PrepError::TooLong(_) => "prep-line",
            PrepError::Empty { .. } => "prep-empty",
            PrepError::PastEnd { .. } => "prep-range",
            PrepError::Overlap { .. } => "prep-overlap",
            PrepError::Order { .. } => "prep-order",
            PrepError::Twice(_) => "prep-twice",
            PrepError::Name(_) => "prep-name",
            PrepError::OverTable { .. } => "prep-over-table",
            PrepError::Behind(_) => "prep-behind",
        };
        say(kind, wrong.to_string());
    }
}
