//! Arguments that several commands have.

use crate::lab::{Format, words};
use crate::ops::LabRequest;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

// Arguments of every command; without a comment of its own, which would be shown as help.
#[derive(Debug, Args)]
pub struct GlobalArgs {
    /// File that describes the lab
    #[arg(long, global = true, default_value = "lab.toml", value_name = "FILE")]
    pub lab: PathBuf,
    /// Print more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Use of colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

impl GlobalArgs {
    /// The lab with another folder of the artifacts, if there is one.
    pub fn request(&self, out: Option<&PathBuf>) -> LabRequest {
        LabRequest { out: out.cloned(), ..LabRequest::new(&self.lab) }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// Makes it the choice for everything printed from now on.
    pub fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::AlwaysAnsi,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Help of `--format`.
fn formats() -> String {
    format!("Artifacts to write: {}", words::list::<Format>())
}

/// Options that replace the lab's own choices for one run.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Medium to build from: a medium of the lab, a path, or a release of `media list`
    #[arg(long, value_name = "NAME|PATH")]
    pub media: Option<String>,
    #[arg(long, value_name = "LIST", value_delimiter = ',', help = formats())]
    pub format: Vec<String>,
    /// Files for disks in qcow2: a whole one for each, or one for what nodes have in common and a
    /// small one over it for each
    #[arg(long, value_name = "whole|overlay")]
    pub layout: Option<String>,
    /// Folder for the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl Overrides {
    /// The lab with these options.
    pub fn request(&self, cli: &GlobalArgs) -> LabRequest {
        let Self { media, format, layout, out } = self;
        LabRequest {
            file: cli.lab.clone(),
            medium: media.clone(),
            formats: format.clone(),
            layout: layout.clone(),
            out: out.clone(),
        }
    }
}

/// Whether KVM runs the guest or QEMU emulates its CPU.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Accel {
    Kvm,
    Tcg,
}

/// Firmware of a PC.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Firmware {
    Bios,
    Uefi,
}
