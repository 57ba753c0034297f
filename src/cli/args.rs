//! What users type.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const ABOUT: &str = "Builds bootable Plan 9 disk images for every node of a lab";

const LONG_ABOUT: &str = "\
Builds bootable Plan 9 disk images for every node of a lab, without a virtual
machine, without root, and with the same bytes every time.

One file, lab.toml, describes the lab: nodes, their roles (cpu, fs, auth,
venti, replica, terminal), addresses, users, and the medium that the system
comes from. p9img computes each node's disk and writes it as qcow2 for QEMU,
OVA for VirtualBox and VMware, or raw.";

const EXAMPLES: &str = "\
Examples:
  p9img init grid && cd grid         a new lab with four nodes
  p9img check                        is lab.toml right?
  p9img build --all                  write every node into output/
  p9img build plan9n1 --media ~/9legacy --format qcow2
  p9img ls output/plan9n1.qcow2      its partitions
  p9img ls output/plan9n1.ova:fossil:/lib/ndb
  p9img cat output/plan9n1.qcow2:9fat:plan9.ini

Exit codes: 0 good, 1 failed, 2 wrong usage, 3 a verification differs.
Without [media] in the lab, nodes are built from the embedded sample medium,
which boots and says so, but is not Plan 9.";

const PLACE: &str = "\
IMAGE[:PARTITION[:PATH]] names a place in an image:
  output/plan9n1.qcow2                  the disk: its partitions
  output/plan9n1.qcow2:fossil           the root of the file system there
  output/plan9n1.ova:fossil:/rc/bin     a directory in it
IMAGE is a raw, qcow2, VMDK or OVA file, a file system without partitions
(then PATH follows directly), a folder that is a medium, or `sample`.";

#[derive(Debug, Parser)]
#[command(name = "p9img", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    /// The lab's description
    #[arg(long, global = true, default_value = "lab.toml", value_name = "FILE")]
    pub lab: PathBuf,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    #[command(subcommand)]
    pub command: Command,
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

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new lab from a template
    #[command(long_about = "Makes a new lab: a folder with a commented lab.toml for the four-node grid,\n\
        and a .gitignore that keeps secrets and images out of version control.\n\
        Files that exist are never touched.")]
    Init(Init),
    /// Is the lab right? Every mistake at once, with its place
    #[command(long_about = "Reads lab.toml and the roles that it names and reports every mistake with\n\
        file, line and column. Reads no medium and writes nothing.")]
    Check(Check),
    /// Show what a build would make: addresses, partitions, files
    #[command(long_about = "Decides everything that a build decides, and prints it: every address, size,\n\
        partition and rendered file with its digest. Two equal plans give equal\n\
        images. Writes nothing.")]
    Plan(Plan),
    /// Write the nodes' disk images
    #[command(long_about = "Writes artifacts into the output folder: NODE.qcow2, NODE.ova, NODE.img, and\n\
        for the lab SHA256SUMS and manifest.json. Each appears under its name only\n\
        when it is complete. Equal inputs give equal bytes.\n\n\
        The first build creates secrets.toml beside the lab, with a password for the\n\
        host owner and for each user.")]
    Build(Build),
    /// List partitions or files inside an image or medium
    #[command(after_help = PLACE)]
    Ls(Ls),
    /// Print a file inside an image or medium
    #[command(after_help = PLACE)]
    Cat(Cat),
    /// Copy files out of an image or medium
    #[command(after_help = PLACE)]
    Extract(Extract),
    /// Check an image's partition table and file systems
    #[command(long_about = "Verifies every invariant of the partition tables and file systems of an image\n\
        and prints each violation. Changes nothing. Exit code 3 when something is\n\
        wrong.", after_help = PLACE)]
    Fsck(Fsck),
}

#[derive(Debug, Args)]
pub struct Init {
    /// Where to make it; created if need be
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Print the mistakes as JSON
    #[arg(long)]
    pub json: bool,
}

/// What replaces the lab's own choices for one run.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Build from this medium: a name of the lab, or a folder
    #[arg(long, value_name = "NAME|PATH")]
    pub media: Option<String>,
    /// Artifacts to write: raw, qcow2, qcow2-zstd, ova
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub format: Vec<String>,
    /// Folder for the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Plan {
    /// Nodes to show; all of them without
    pub nodes: Vec<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Print the whole plan as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Build {
    /// Nodes to build
    pub nodes: Vec<String>,
    /// Build every node of the lab
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Threads to use; all cores without
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// IMAGE[:PARTITION[:PATH]]
    pub place: String,
    /// Mode, owner, group, length and time of each file
    #[arg(short, long)]
    pub long: bool,
    /// Everything below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// The directory itself, not what is in it
    #[arg(short, long)]
    pub directory: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Cat {
    /// IMAGE:PARTITION:PATH
    pub place: String,
}

#[derive(Debug, Args)]
pub struct Extract {
    /// IMAGE[:PARTITION[:PATH]]
    pub place: String,
    /// File or folder to make; must not exist
    pub dest: PathBuf,
}

#[derive(Debug, Args)]
pub struct Fsck {
    /// IMAGE[:PARTITION]
    pub place: String,
    /// Print the structures of the file systems, too
    #[arg(long)]
    pub dump: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
