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
  p9img build --rebuild              do the images come out the same again?
  p9img build plan9n1 --media ~/9legacy --format qcow2
  p9img media add 9legacy            fetch a known release
  p9img ls output/plan9n1.qcow2      its partitions
  p9img ls output/plan9n1.ova:fossil:/lib/ndb
  p9img cat output/plan9n1.qcow2:9fat:plan9.ini
  p9img up                           run all nodes in QEMU
  p9img test                         does every role do its job?

Exit codes: 0 good, 1 failed, 2 wrong usage, 3 a verification differs.
Without [media] in the lab, nodes are built from the embedded sample medium,
which boots and says so, but is not Plan 9.";

const PLACE: &str = "\
IMAGE[:PARTITION[:PATH]] names a place in an image:
  output/plan9n1.qcow2                  the disk: its partitions
  output/plan9n1.qcow2:fossil           the root of the file system there
  output/plan9n1.ova:fossil:/rc/bin     a directory in it
IMAGE is a raw, qcow2, VMDK, OVA or zip file, a file system without partitions
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
        for the lab SHA256SUMS, manifest.json and index.html, a page to look at. Each\n\
        appears under its name only when it is complete. Equal inputs give equal\n\
        bytes; artifacts that are there already with these bytes are not written again.\n\n\
        The first build creates secrets.toml beside the lab, with a password for the\n\
        host owner and for each user.")]
    Build(Build),
    /// Make, show or change the lab's passwords
    #[command(long_about = "Passwords and keys of a lab are in secrets.toml beside it, for its owner alone to\n\
        read. The first build makes it; this command makes it without a build, shows\n\
        one password, or draws new ones.")]
    Secrets(Secrets),
    /// Bring in media: from the network, or from this machine
    #[command(long_about = "A medium is what the nodes' system comes from. One that has an address is fetched\n\
        once and kept in the cache (P9IMG_CACHE, or p9img in the platform's cache folder).\n\
        p9img.lock, beside the lab, records what each was when it was first used: a\n\
        medium that changes later is refused. Well-known releases need no address.")]
    Media(Media),
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
    /// Show what differs between two images, media or manifests
    #[command(long_about = "Compares two images (raw, qcow2, VMDK, OVA, zip), media, manifests or places in\n\
        them, and names each difference by container, partition, structure, file and\n\
        byte, the first side's value before the second's. Exit code 3 when they differ.", after_help = PLACE)]
    Diff(Diff),
    /// Run the lab in QEMU, reachable from this machine
    #[command(long_about = "Starts nodes in QEMU on one private network, waits until they are up, and prints\n\
        how to reach them: a port of this machine for each service, and the drawterm\n\
        command for each node. Needs no root.\n\n\
        What a node writes goes into a copy in OUT/run: its image stays as it is,\n\
        and the next `up` goes on where it was. Uses KVM where a guest really runs in\n\
        it, else software emulation (a node is up in 15 to 60 s).")]
    Up(Up),
    /// Halt running nodes and turn them off
    #[command(long_about = "Types fshalt on the console of each node, so that its file system is whole,\n\
        and turns it off. Exit code 1 when a node had to be turned off without.")]
    Down(Down),
    /// Show which nodes run and how to reach them
    Status(Status),
    /// Use a node's serial console in this terminal
    #[command(long_about = "Connects this terminal with the serial console of a running node, where the\n\
        host owner's shell is. Ctrl-] leaves it. What comes from a pipe is typed line\n\
        by line, each when the prompt is back or the node has been silent for two\n\
        seconds; the session ends with the last prompt, or after a minute of silence.")]
    Console(Console),
    /// Write a picture of a node's screen as PNG
    Screenshot(Screenshot),
    /// Write a node's image to a card, and read it back
    #[command(long_about = "Writes the image of a Raspberry Pi to a card: shows the device's model, size and\n\
        partitions, asks, writes, and compares what the card then holds. Refuses a\n\
        partition, a device that is mounted or holds this system, and one that is read-only\n\
        or too small. Exit code 3 when the card does not hold what was written.")]
    Flash(Flash),
    /// Check that every role of the running lab does its job
    #[command(long_about = "Runs the checks that the roles bring, one line each. Starts the lab and stops it\n\
        again when nothing runs. What the consoles said is kept in OUT/run/test. Exit\n\
        code 3 when a check fails.")]
    Test(Test),
    /// Serve the network of a running lab on standard input; `up` starts it
    #[command(hide = true)]
    Switch,
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
    /// Build from this medium: a name of the lab, a path, or a known release
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
    /// Build again elsewhere and compare with what is there: exit code 3 if anything differs
    #[arg(long)]
    pub rebuild: bool,
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
pub struct Secrets {
    #[command(subcommand)]
    pub what: SecretsCommand,
}

#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Make secrets.toml, or add to it what is missing
    Create,
    /// Print one password, and nothing else
    Show {
        /// The host owner or a user
        name: String,
    },
    /// Print the names of those who have a password
    List,
    /// Draw new passwords
    #[command(long_about = "Draws new passwords for the host owner or users and writes them into\n\
        secrets.toml; comments stay. The next build writes the images of those nodes\n\
        that hold what changed, and no others. Disks that are in use keep the old\n\
        passwords until their image is put in their place; to change a password on a\n\
        running node, use passwd(1) or auth/changeuser(8) there.")]
    Rotate {
        /// The host owner or users
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Everybody's password, and the seed of all keys
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub struct Media {
    #[command(subcommand)]
    pub what: MediaCommand,
}

#[derive(Debug, Subcommand)]
pub enum MediaCommand {
    /// Fetch a medium, or take one of this machine, and record it
    #[command(long_about = "Adds a medium to lab.toml under a name, fetches it if it has an address, and\n\
        records its SHA-256 in p9img.lock. Without URL or PATH, NAME is a medium of the\n\
        lab or a release that p9img knows (`p9img media list` names them). What was cut\n\
        off goes on where it was. Proxies are taken from http_proxy, https_proxy,\n\
        all_proxy and no_proxy.")]
    Add(MediaAdd),
    /// Show the lab's media, and the releases that p9img knows
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a medium is, what it has, and what can be built from it
    #[command(long_about = "Reads a medium of the lab, the built-in `sample`, or what is at a path, and shows\n\
        which system it holds, whose owners, modes and times its files have, which\n\
        architectures, kernels and boot files there are, and what p9img can build from\n\
        them; and of what it cannot, why. Records nothing.")]
    Show {
        /// The medium
        #[arg(value_name = "NAME|PATH")]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare media with what p9img.lock and the lab say of them
    #[command(long_about = "Reads every byte of the media and compares with what lab.toml and p9img.lock say.\n\
        Exit code 3 when one differs. A damaged file of the cache is removed, and the\n\
        next use fetches it again.")]
    Verify {
        /// Media; all of the lab without
        names: Vec<String>,
    },
    /// Forget what p9img.lock says of media, and remove them from the cache
    Rm {
        /// Media
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct MediaAdd {
    /// The medium's name in the lab, or a known release's
    pub name: String,
    /// Where it is: an http or https address, a file, or a folder
    #[arg(value_name = "URL|PATH")]
    pub source: Option<String>,
    /// What its SHA-256 must be
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Take what is there now, whatever p9img.lock says
    #[arg(long)]
    pub update: bool,
    /// Record a folder, too: a digest of all files in it
    #[arg(long)]
    pub pin: bool,
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
pub struct Diff {
    /// IMAGE[:PARTITION[:PATH]], or a manifest.json
    pub a: String,
    /// What to compare it with: something of the same kind
    pub b: String,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
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

/// How processors are made.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Accel {
    Kvm,
    Tcg,
}

/// Where the ports of a running lab begin unless the user says otherwise.
const PORTS: &str = "27000";

#[derive(Debug, Args)]
pub struct Up {
    /// Nodes to start, in this order; all of them without
    pub nodes: Vec<String>,
    /// Start over: throw away what the nodes have written
    #[arg(long)]
    pub fresh: bool,
    /// Local ports begin here: the first node's at BASE + 10, the second's at BASE + 20
    #[arg(long, value_name = "BASE", default_value = PORTS, value_parser = clap::value_parser!(u16).range(1024..))]
    pub ports: u16,
    /// Use this acceleration; what works without
    #[arg(long, value_enum, value_name = "HOW")]
    pub accel: Option<Accel>,
    /// Do not wait until the nodes are up
    #[arg(long)]
    pub no_wait: bool,
    /// Start more nodes than this machine can carry
    #[arg(long)]
    pub force: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print how to reach the nodes as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Down {
    /// Nodes to stop; all of them without
    pub nodes: Vec<String>,
    /// Pull the plug: do not halt first
    #[arg(long)]
    pub force: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Console {
    /// The node
    pub node: String,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Flash {
    /// The node
    pub node: String,
    /// The card, such as /dev/sdX or /dev/mmcblk0
    #[arg(long, value_name = "PATH")]
    pub device: PathBuf,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Screenshot {
    /// The node
    pub node: String,
    /// File to write; NODE.png without
    pub file: Option<PathBuf>,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Test {
    /// Nodes whose roles to check; all of them without
    pub nodes: Vec<String>,
    /// When the lab has to be started: throw away what the nodes have written
    #[arg(long)]
    pub fresh: bool,
    /// When the lab has to be started: local ports begin here
    #[arg(long, value_name = "BASE", default_value = PORTS, value_parser = clap::value_parser!(u16).range(1024..))]
    pub ports: u16,
    /// Write the results for CI systems to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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
