//! The commands: one file for each, with its arguments and the texts that it
//! prints; a folder if it has subcommands. They use the rest of the library, and
//! each other as little as possible.

pub mod build;
mod cat;
mod check;
mod console;
mod diff;
mod disk;
mod down;
mod extract;
mod flash;
mod fsck;
mod init;
mod ls;
mod media;
mod plan;
mod screenshot;
mod secrets;
mod serve;
mod status;
mod switch;
mod test;
pub mod up;

use super::outcome::Outcome;
use super::shared_args::GlobalArgs;
use clap::{Parser, Subcommand};

const ABOUT: &str = "Builds bootable Plan 9 disk images for every node of a lab";

const LONG_ABOUT: &str = "\
Builds bootable Plan 9 disk images for every node of a lab. Building needs no
virtual machine and no root, and gives the same bytes every time.

One file, lab.toml, describes the lab: nodes, their roles (cpu, fs, auth,
venti, replica, terminal), addresses, users, and the medium that they are
built from. p9img computes each node's disk and writes it as qcow2 for QEMU,
OVA for VirtualBox and VMware, or raw.";

const EXAMPLES: &str = "\
Examples:
  p9img init grid && cd grid         a new lab with four nodes
  p9img check                        all mistakes in lab.toml
  p9img build --all                  write every node into output/
  p9img build --rebuild              build again and compare
  p9img build plan9n1 --media ~/9legacy --format qcow2
  p9img media add 9legacy            download a release by name
  p9img ls output/plan9n1.qcow2      its partitions
  p9img ls output/plan9n1.ova:fossil:/lib/ndb
  p9img cat output/plan9n1.qcow2:9fat:plan9.ini
  p9img up                           run all nodes in QEMU
  p9img test                         check that every role does its job

Exit codes: 0 good, 1 failed, 2 wrong usage, 3 a verification found a difference.
If the lab names no medium, nodes are built from the embedded sample medium,
which boots and prints a line, but is not Plan 9.";

const PLACE: &str = "\
IMAGE[:PARTITION[:PATH]] names a disk, partition or file in an image:
  output/plan9n1.qcow2                  the disk: its partitions
  output/plan9n1.qcow2:fossil           the root of the file system there
  output/plan9n1.ova:fossil:/rc/bin     a directory in it
IMAGE is a raw, qcow2, VMDK, OVA or zip file, a file system with no partitions
(then PATH follows directly), a folder that is a medium, or `sample`.";

#[derive(Debug, Parser)]
#[command(name = "p9img", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new lab from a template
    #[command(long_about = "Makes a new lab: a folder with a commented lab.toml for the four-node grid, and\n\
        a .gitignore that leaves secrets and images out of version control. With\n\
        --medium, the nodes are built from that medium: a folder, an ISO image or\n\
        anything else that `p9img media show` can read, or a release of `p9img media\n\
        list`. By default, they are built from the sample medium, which is not Plan 9.\n\
        Existing files are never changed.")]
    Init(init::Args),
    /// Check the lab: all mistakes at once, with line and column
    #[command(long_about = "Reads lab.toml and the roles that it names and reports every mistake with file,\n\
        line and column. Reads no medium and writes nothing.")]
    Check(check::Args),
    /// Show the plan of a build: addresses, partitions, files
    #[command(long_about = "Makes all decisions of a build and prints them: every address, size, partition\n\
        and rendered file with its digest. Two equal plans give equal images. Writes\n\
        nothing.")]
    Plan(plan::Args),
    /// Write the nodes' disk images
    #[command(long_about = "Writes artifacts into the output folder: NODE.qcow2, NODE.ova, NODE.img, and for\n\
        the lab SHA256SUMS, manifest.json and index.html, a page for a browser. Each\n\
        appears under its name only when it is complete. Equal inputs give equal bytes;\n\
        unchanged artifacts are not written again.\n\n\
        The first build creates secrets.toml in the lab's folder, with a password for\n\
        the host owner and for each user.")]
    Build(build::Args),
    /// Make, show or change the lab's passwords
    #[command(long_about = "The passwords and keys of a lab are in secrets.toml in its folder, which only\n\
        its owner can read. The first build creates the file; these commands create it\n\
        without a build, show a password, or make new ones.")]
    Secrets(secrets::Args),
    /// Add, list, show and verify media
    #[command(long_about = "A medium is a tree of Plan 9 that nodes are built from. If it has an address, it\n\
        is downloaded once and cached (in P9IMG_CACHE, or in p9img in the platform's\n\
        cache folder). p9img.lock, in the lab's folder, records the digest of each\n\
        medium when it is first used: a medium that changes later is refused. Releases\n\
        in p9img's list need no address.")]
    Media(media::Args),
    /// List partitions or files inside an image or medium
    #[command(after_help = PLACE)]
    Ls(ls::Args),
    /// Print a file inside an image or medium
    #[command(after_help = PLACE)]
    Cat(cat::Args),
    /// Copy files out of an image or medium
    #[command(after_help = PLACE)]
    Extract(extract::Args),
    /// Check an image's partition table and file systems
    #[command(long_about = "Verifies every invariant of the partition tables and file systems of an image\n\
        and prints each violation. Changes nothing. The exit code is 3 if there is\n\
        damage.", after_help = PLACE)]
    Fsck(fsck::Args),
    /// Show the differences between two images, media or manifests
    #[command(long_about = "Compares two images (raw, qcow2, VMDK, OVA, zip), media, manifests or paths in\n\
        them, and prints each difference by container, partition, structure, file and\n\
        byte, with the value in A before that in B. The exit code is 3 if they differ.", after_help = PLACE)]
    Diff(diff::Args),
    /// Run the lab in QEMU, reachable from this machine
    #[command(long_about = "Starts nodes in QEMU on one private network, waits until they are up, and prints\n\
        how to reach them: a port of this machine for each service, and the drawterm\n\
        command for each node. Needs no root.\n\n\
        What a node writes is kept over its image, in OUT/run: the image stays as it is,\n\
        and the next `up` continues with that. KVM is used if a guest really runs in it,\n\
        else software emulation (a node is up in 15 to 60 s).")]
    Up(up::Args),
    /// Serve nodes' disks over NBD, without writing an image
    #[command(long_about = "Computes the disks of nodes and serves them, read-only, to QEMU and to other programs\n\
        that speak NBD, on a Unix socket that only you can open. The bytes are those of\n\
        the raw images that a build writes. Prints an address for each node, and serves\n\
        until Ctrl-C.")]
    Serve(serve::Args),
    /// Halt running nodes and turn them off
    #[command(long_about = "Types fshalt on the console of each node, so that its file systems are written\n\
        completely, and turns it off; after the last node, the lab's network, too. Stops\n\
        the nodes that run in the output folder, even if lab.toml has changed since. The\n\
        exit code is 1 if a node did not halt and still runs.")]
    Down(down::Args),
    /// Show which nodes run and how to reach them
    Status(status::Args),
    /// Use a node's serial console in this terminal
    #[command(long_about = "Connects this terminal with the serial console of a running node, which has the\n\
        host owner's shell. Ctrl-] leaves it. Lines from a pipe are typed one by one,\n\
        each when the prompt is back or the node has been silent for two seconds; the\n\
        session ends with the last prompt, or after a minute of silence.")]
    Console(console::Args),
    /// Write a picture of a node's screen as PNG
    Screenshot(screenshot::Args),
    /// Write a node's image to a card, and read it back
    #[command(long_about = "Writes the image of a Raspberry Pi to a card: shows the device's model, size and\n\
        partitions, asks for confirmation, writes, and compares the card with the image.\n\
        Refuses a partition, a device that is mounted or contains this system, and one\n\
        that is read-only or too small. The exit code is 3 if the card differs from the\n\
        image.")]
    Flash(flash::Args),
    /// Check that every role of the running lab does its job
    #[command(long_about = "Runs the checks of the roles and prints one line for each. If no node runs,\n\
        starts the lab and stops it again at the end. The output of the consoles is in\n\
        OUT/run/test. The exit code is 3 if a check fails.")]
    Test(test::Args),
    /// Serve the network of a running lab on standard input; `up` starts it
    #[command(hide = true)]
    Switch(switch::Args),
    /// Serve the disk of a running node on standard input; `up` starts it
    #[command(hide = true)]
    Disk(disk::Args),
}

/// Runs the command that was asked for.
///
/// # Errors
/// The error that kept the command from its work.
pub fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    let global = &cli.global;
    match &cli.command {
        Command::Init(args) => init::run(global, args),
        Command::Check(args) => check::run(global, args),
        Command::Plan(args) => plan::run(global, args),
        Command::Build(args) => build::run(global, args),
        Command::Secrets(args) => secrets::run(global, args),
        Command::Media(args) => media::run(global, args),
        Command::Ls(args) => ls::run(global, args),
        Command::Cat(args) => cat::run(args),
        Command::Extract(args) => extract::run(global, args),
        Command::Fsck(args) => fsck::run(global, args),
        Command::Diff(args) => diff::run(global, args),
        Command::Up(args) => up::run(global, args),
        Command::Serve(args) => serve::run(global, args),
        Command::Down(args) => down::run(global, args),
        Command::Status(args) => status::run(global, args),
        Command::Console(args) => console::run(global, args),
        Command::Screenshot(args) => screenshot::run(global, args),
        Command::Flash(args) => flash::run(global, args),
        Command::Test(args) => test::run(global, args),
        Command::Switch(args) => switch::run(args),
        Command::Disk(args) => disk::run(args),
    }
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
