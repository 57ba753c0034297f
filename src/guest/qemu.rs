//! A machine for QEMU: its arguments, its start and its end.

use super::console::{Console, ConsoleError};
use super::probe::Accel;
use super::uefi::Uefi;
use crate::count;
pub use crate::lab::format::Driver as DiskFormat;
use crate::lab::{Controller, Mac, Nic};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// One disk of a machine.
#[derive(Clone, Debug)]
pub struct Disk {
    pub path: PathBuf,
    pub format: DiskFormat,
    /// Whether the guest's writes go into the file; if that is raw, they
    /// survive even when QEMU is killed right after. Otherwise they go into a
    /// temporary file, and the file stays as it is.
    pub keep_writes: bool,
}

impl Disk {
    /// A disk whose file stays as it is.
    pub fn new(path: impl Into<PathBuf>, format: DiskFormat) -> Self {
        Self { path: path.into(), format, keep_writes: false }
    }
}

/// A network card and what its cable leads to.
#[derive(Clone, Debug)]
pub struct NetworkCard {
    pub model: Nic,
    pub mac: Mac,
    pub link: Link,
}

/// A network without a way out of it.
#[derive(Clone, Debug)]
pub enum Link {
    /// One of QEMU's own for this machine alone; the gateway is the first
    /// address.
    Alone(ipnet::Ipv4Net),
    /// One that machines share: the socket of its switch.
    Switch(PathBuf),
}

/// Machine that QEMU is to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The machine starts from the first.
    pub disks: Vec<Disk>,
    pub controller: Controller,
    /// UEFI firmware that starts the disk; none: the BIOS.
    pub uefi: Option<Uefi>,
    /// The machine is QEMU's for 64-bit ARM, and this U-Boot starts the disk;
    /// none: a PC.
    pub uboot: Option<PathBuf>,
    pub network: Option<NetworkCard>,
    /// Bytes.
    pub memory: u64,
    pub cpus: u32,
    pub accel: Accel,
    /// A socket to be made for QEMU's monitor.
    pub monitor: Option<PathBuf>,
    /// Stop instead of ending when the guest powers off, so that its memory
    /// can still be looked at.
    pub stay_after_power_off: bool,
}

impl Machine {
    /// One processor, 512 MiB, no network.
    pub fn new(controller: Controller, disk: Disk) -> Self {
        Self {
            disks: vec![disk],
            controller,
            uefi: None,
            uboot: None,
            network: None,
            memory: 512 << 20,
            cpus: 1,
            accel: Accel::Tcg,
            monitor: None,
            stay_after_power_off: false,
        }
    }

    /// The emulator that has it.
    pub fn program(&self) -> &'static str {
        if self.uboot.is_some() { arm64() } else { pc() }
    }

    /// The arguments for [`Machine::program`]. The first serial port is on
    /// standard input and output.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut args = self.hardware();
        let mut arg = |a: &str| args.push(a.into());
        // The monitor shares the line with the serial port, by Ctrl-A, so
        // that QEMU can be asked to end.
        for a in ["-no-reboot", "-chardev", "stdio,id=serial0,mux=on,signal=off"] {
            arg(a);
        }
        for a in ["-mon", "chardev=serial0,mode=readline", "-serial", "chardev:serial0"] {
            arg(a);
        }
        if self.stay_after_power_off {
            arg("-no-shutdown");
        }
        if let Some(path) = &self.monitor {
            args.extend(["-monitor".into(), option("unix:", path, ",server=on,wait=off")]);
        }
        args
    }

    /// The arguments for everything but the ways to talk to the machine.
    pub fn hardware(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut arg = |a: &str| args.push(a.into());
        for a in ["-accel", self.accel.name(), "-nodefaults", "-display", "none"] {
            arg(a);
        }
        if self.uboot.is_some() {
            for a in ["-machine", ARM64, "-cpu", "cortex-a72"] {
                arg(a);
            }
        } else {
            for a in ["-machine", "pc", "-vga", "std"] {
                arg(a);
            }
        }
        for (flag, value) in [("-m", format!("{}M", self.memory >> 20)), ("-smp", self.cpus.to_string())] {
            arg(flag);
            arg(&value);
        }
        args.extend(self.uefi.iter().flat_map(Uefi::arguments));
        args.extend(self.uboot.iter().flat_map(|path| ["-bios".into(), path.into()]));
        // Plan 9 drives virtio 1.0 on ARM, and what PCs have before it.
        let modern = if self.uboot.is_some() { "-non-transitional" } else { "" };
        if self.controller == Controller::Sata {
            args.extend(["-device".into(), "ahci,id=ahci0".into()]);
        }
        for (i, disk) in self.disks.iter().enumerate() {
            // Writes that stay go to the host's kernel one by one (it is not
            // asked to bring them to the platter, which is slow).
            let (keep, cache) = match disk.keep_writes {
                true => ("snapshot=off,cache.no-flush=on", ",write-cache=off"),
                false => ("snapshot=on,cache=unsafe", ""),
            };
            let rest = format!(",if=none,id=disk{i},format={},{keep}", disk.format.name());
            let device = match self.controller {
                Controller::Ide => format!("ide-hd,drive=disk{i},bus=ide.{},unit={}", i / 2, i % 2),
                Controller::Sata => format!("ide-hd,drive=disk{i},bus=ahci0.{i}"),
                Controller::Virtio | Controller::Sd => format!("virtio-blk-pci{modern},drive=disk{i}"),
            };
            args.extend(["-drive".into(), option("file=", &disk.path, &rest)]);
            args.extend(["-device".into(), format!("{device},bootindex={i}{cache}").into()]);
        }
        if let Some(card) = &self.network {
            let netdev = match &card.link {
                Link::Alone(subnet) => {
                    let gateway = subnet.hosts().next().unwrap_or_else(|| subnet.addr());
                    format!("user,id=net0,restrict=on,net={},host={gateway}", subnet.trunc()).into()
                }
                Link::Switch(socket) => to_switch("net0", socket),
            };
            let model = match card.model {
                Nic::E1000 => "e1000".to_owned(),
                Nic::Virtio => format!("virtio-net-pci{modern}"),
            };
            args.extend(["-netdev".into(), netdev]);
            args.extend(["-device".into(), format!("{model},netdev=net0,mac={},romfile=", card.mac).into()]);
        }
        args
    }

    /// Starts the machine.
    ///
    /// # Errors
    /// Fails when QEMU is not installed or cannot be started. A QEMU that
    /// starts and ends at once is noticed at the first wait on the console.
    pub fn start(&self) -> Result<Guest, GuestError> {
        let mut child = Command::new(self.program())
            .args(self.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => GuestError::NoQemu(self.program()),
                _ => GuestError::Start(self.program(), source),
            })?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output), Some(complaints)) = (input, output, child.stderr.take()) else {
            unreachable!("all three were asked to be pipes");
        };
        let console = Console::new(input, vec![Box::new(output), Box::new(complaints)]);
        Ok(Guest { child, console })
    }
}

/// The emulator of PCs.
const QEMU: &str = "qemu-system-x86_64";
/// Path of the emulator of the host's own architecture on Red Hat's systems.
const KVM: &str = "/usr/libexec/qemu-kvm";
/// The emulator of 64-bit ARM, and its machine as 9front's kernel wants it: an
/// interrupt controller of version 3, and PCI's registers below 4 GiB
/// (`/sys/src/9/arm64/{gic,pciqemu}.c`).
const QEMU_ARM64: &str = "qemu-system-aarch64";
const ARM64: &str = "virt,gic-version=3,highmem-ecam=off";

/// The emulator of PCs that is installed.
pub(super) fn pc() -> &'static str {
    if cfg!(target_arch = "x86_64") { installed(QEMU, KVM) } else { QEMU }
}

/// The emulator of 64-bit ARM that is installed.
pub(super) fn arm64() -> &'static str {
    if cfg!(target_arch = "aarch64") { installed(QEMU_ARM64, KVM) } else { QEMU_ARM64 }
}

/// `name` when a folder of programs has it or `other` is not there.
#[expect(clippy::disallowed_methods, reason = "where programs are; no artifact sees it")]
fn installed(name: &'static str, other: &'static str) -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    if !found && Path::new(other).is_file() { other } else { name }
}

/// The network device `id` that is connected to a switch's socket.
pub(super) fn to_switch(id: &str, socket: &Path) -> OsString {
    option(&format!("stream,id={id},server=off,addr.type=unix,addr.path="), socket, "")
}

/// `before`, the path with QEMU's commas doubled, `after`.
pub(super) fn option(before: &str, path: &Path, after: &str) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut out = before.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        out.push(*byte);
        if *byte == b',' {
            out.push(b',');
        }
    }
    out.extend_from_slice(after.as_bytes());
    OsString::from_vec(out)
}

/// Reason why a guest could not be run.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error("{0} was not found: install QEMU")]
    NoQemu(&'static str),
    #[error("Cannot start {0}")]
    Start(&'static str, #[source] io::Error),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error("QEMU ended with {0}")]
    Failed(ExitStatus),
    #[error("Cannot wait for QEMU")]
    Wait(#[source] io::Error),
    #[error("The machine still ran {} after its power-off; its output ends with:\n{tail}", count::of(after.as_secs(), "second"))]
    StillRunning { after: Duration, tail: String },
}

/// A running machine. It is ended when this goes out of scope; what it wrote
/// to disks that keep their writes is whole only after [`Guest::quit`] or
/// [`Guest::wait_for_power_off`].
pub struct Guest {
    child: Child,
    pub console: Console,
}

impl Guest {
    /// Turns the machine off at once, as pulling the plug would, but lets QEMU
    /// write what it still holds of its disk images.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`, or QEMU reports a failure.
    pub fn quit(&mut self, limit: Duration) -> Result<(), GuestError> {
        self.console.send(b"\x01x")?;
        self.wait_for_power_off(limit)
    }

    /// Waits until the guest has powered itself off and QEMU has ended.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`, or QEMU reports a failure.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a running machine; no artifact sees it")]
    pub fn wait_for_power_off(&mut self, limit: Duration) -> Result<(), GuestError> {
        let begin = Instant::now();
        loop {
            match self.child.try_wait().map_err(GuestError::Wait)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(GuestError::Failed(status)),
                None if begin.elapsed() >= limit => {
                    return Err(GuestError::StillRunning { after: limit, tail: self.console.tail() });
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when the process has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(machine: &Machine) -> String {
        machine.arguments().iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn red_hats_emulator_is_found_where_there_is_no_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // The other name must live as long as a constant does.
        let other: &'static str = Box::leak(file.path().to_str().unwrap().into());
        assert_eq!(installed("a-program-that-nobody-has", other), other);
        assert_eq!(installed("sh", other), "sh");
        drop(file);
        assert_eq!(installed("a-program-that-nobody-has", other), "a-program-that-nobody-has");
    }

    #[test]
    fn arguments_follow_the_machine() {
        let mut m = Machine::new(Controller::Ide, Disk::new("/a,b/n.qcow2", DiskFormat::Qcow2));
        m.disks.push(Disk { keep_writes: true, ..Disk::new("s.img", DiskFormat::Raw) });
        m.network = Some(NetworkCard {
            model: Nic::E1000,
            mac: Mac([0x52, 0x54, 0, 9, 0, 1]),
            link: Link::Alone("10.9.0.0/24".parse().unwrap()),
        });
        let args = text(&m);
        for part in [
            "-accel tcg",
            "-m 512M -smp 1",
            "file=/a,,b/n.qcow2,if=none,id=disk0,format=qcow2,snapshot=on",
            "ide-hd,drive=disk0,bus=ide.0,unit=0,bootindex=0",
            "file=s.img,if=none,id=disk1,format=raw,snapshot=off,cache.no-flush=on",
            "ide-hd,drive=disk1,bus=ide.0,unit=1,bootindex=1,write-cache=off",
            "user,id=net0,restrict=on,net=10.9.0.0/24,host=10.9.0.1",
            "e1000,netdev=net0,mac=52:54:00:09:00:01,romfile=",
        ] {
            assert!(args.contains(part), "{part} not in {args}");
        }
        m.controller = Controller::Sata;
        assert!(text(&m).contains("-device ahci,id=ahci0 ") && text(&m).contains("ide-hd,drive=disk1,bus=ahci0.1"));
        m.controller = Controller::Virtio;
        assert!(text(&m).contains("virtio-blk-pci,drive=disk0,bootindex=0"));
        assert_eq!(m.program(), "qemu-system-x86_64");
        m.uboot = Some("/u/u-boot.bin".into());
        m.network.as_mut().unwrap().model = Nic::Virtio;
        assert_eq!(m.program(), "qemu-system-aarch64");
        for part in [
            "-machine virt,gic-version=3,highmem-ecam=off -cpu cortex-a72 -m 512M",
            "-bios /u/u-boot.bin",
            "virtio-blk-pci-non-transitional,drive=disk0,bootindex=0",
            "virtio-net-pci-non-transitional,netdev=net0,",
        ] {
            assert!(text(&m).contains(part), "{part} not in {}", text(&m));
        }
        assert!(!text(&m).contains("-vga"));
    }
}
