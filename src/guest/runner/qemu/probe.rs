//! Abilities of the host: its QEMU, and whether KVM works.

use super::program;
use crate::guest::machine::Accel;
use duct::cmd;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// The oldest QEMU that does what p9img asks of it: 7.1 writes screens as PNG,
/// 7.2 connects a network device with a stream socket.
pub const OLDEST: (u32, u32) = (7, 2);
/// A machine with acceleration ends its test in a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Reason why the host cannot run machines.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{program} was not found: install QEMU {}.{} or later (Debian: {})",
            OLDEST.0, OLDEST.1, package(program))]
    Missing { program: &'static str },
    #[error("{program} cannot be run")]
    Broken { program: &'static str, source: io::Error },
    #[error("{program} is version {found}, but p9img needs {}.{} or later", OLDEST.0, OLDEST.1)]
    Old { program: &'static str, found: String },
    #[error("{program} --version prints {said:?}, which is not a version")]
    NoVersion { program: &'static str, said: String },
}

/// Makes sure that a QEMU new enough is there, and returns its version.
///
/// # Errors
/// Fails when it is not there, too old, or cannot be run.
pub fn version() -> Result<String, ProbeError> {
    one_version(program::pc())
}

/// Debian's package of an emulator.
pub fn package(program: &str) -> &'static str {
    if ["arm", "aarch64"].iter().any(|a| program.ends_with(a)) { "qemu-system-arm" } else { "qemu-system-x86" }
}

/// Machines and devices of an emulator, by its own list. One without a list is
/// assumed to have everything: errors then come when it starts.
pub struct Offer {
    machines: Option<String>,
    devices: Option<String>,
}

impl Offer {
    /// Asks `program`.
    ///
    /// # Errors
    /// Fails when it is not there or cannot be run.
    pub fn of(program: &'static str) -> Result<Self, ProbeError> {
        let ask = |what: &str| {
            let output = cmd!(program, what, "help").stdin_null().stderr_null().stdout_capture().unchecked().run();
            let output = output.map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => ProbeError::Missing { program },
                _ => ProbeError::Broken { program, source },
            })?;
            let said = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned());
            Ok(said.filter(|s| !s.trim().is_empty()))
        };
        // Most of the time of each is that of loading it.
        let (machines, devices) = std::thread::scope(|scope| {
            let machines = scope.spawn(|| ask("-machine"));
            let devices = ask("-device");
            (machines.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), devices)
        });
        Ok(Self { machines: machines?, devices: devices? })
    }

    /// The first that is not there of a machine and devices, with what it is.
    pub fn lacks(&self, machine: &'static str, devices: &[&'static str]) -> Option<(&'static str, &'static str)> {
        let has_machine = |said: &String| said.lines().any(|l| l.split_whitespace().next() == Some(machine));
        if self.machines.as_ref().is_some_and(|said| !has_machine(said)) {
            return Some(("machine", machine));
        }
        let said = self.devices.as_ref()?;
        // `name "e1000", bus PCI, alias "e1000-82540em", desc "Intel Gigabit Ethernet"`
        let has = |device: &str| ["name", "alias"].iter().any(|key| said.contains(&format!("{key} \"{device}\"")));
        devices.iter().find(|d| !has(d)).map(|device| ("device", *device))
    }
}

fn one_version(program: &'static str) -> Result<String, ProbeError> {
    let said = cmd!(program, "--version").stderr_null().stdin_null().read().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ProbeError::Missing { program },
        _ => ProbeError::Broken { program, source },
    })?;
    let first = said.lines().next().unwrap_or_default();
    let found = parse(first).ok_or_else(|| ProbeError::NoVersion { program, said: first.to_owned() })?;
    match found {
        (major, minor, text) if (major, minor) >= OLDEST => Ok(text.to_owned()),
        (.., text) => Err(ProbeError::Old { program, found: text.to_owned() }),
    }
}

/// The first word that looks like a version: `10.0.2`.
fn parse(line: &str) -> Option<(u32, u32, &str)> {
    line.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor, word)),
            _ => None,
        }
    })
}

/// The fastest way that works: KVM when a guest really runs in it.
///
/// Not every /dev/kvm that can be opened can run a guest (nested machines and
/// containers have some that hang), so a machine of eight instructions has to
/// come to its end in it.
pub fn accel() -> Accel {
    if cfg!(target_os = "linux") && kvm_runs().unwrap_or(false) { Accel::Kvm } else { Accel::Tcg }
}

/// `mov al, 42; out 0xF4, al; hlt; jmp` in a boot sector: the port is that of
/// QEMU's isa-debug-exit, which ends QEMU with 2 * 42 + 1.
const SECTOR_THAT_ENDS: [u8; 8] = [0xB0, 42, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD, 0x90];
const ENDED: i32 = 2 * 42 + 1;

#[expect(clippy::disallowed_methods, reason = "a deadline for a machine that may hang; no artifact sees it")]
fn kvm_runs() -> io::Result<bool> {
    // Opening it is cheap, and on most machines without KVM the answer.
    if std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(false);
    }
    let mut sector = [0; 512];
    sector[..SECTOR_THAT_ENDS.len()].copy_from_slice(&SECTOR_THAT_ENDS);
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    let mut disk = tempfile::NamedTempFile::new()?;
    disk.write_all(&sector)?;
    let drive = program::option("file=", disk.path(), ",format=raw,if=ide,snapshot=on");
    let running = cmd!(
        program::pc(),
        "-accel",
        "kvm",
        "-m",
        "16",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
        "-drive",
        drive
    )
    .stdin_null()
    .stdout_null()
    .stderr_null()
    .unchecked()
    .start()?;
    let begin = Instant::now();
    loop {
        if let Some(output) = running.try_wait()? {
            return Ok(output.status.code() == Some(ENDED));
        }
        if begin.elapsed() > PATIENCE {
            running.kill()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::{Offer, parse};

    #[test]
    fn what_an_emulator_lacks_is_named() {
        let machines = "Supported machines are:\nnone                 empty machine\n\
                        pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-10.0)\n";
        let devices = "Network devices:\nname \"e1000\", bus PCI, alias \"e1000-82540em\", desc \"Intel\"\n\
                       name \"virtio-net-pci\", bus PCI, alias \"virtio-net\"\n";
        let offer = Offer { machines: Some(machines.into()), devices: Some(devices.into()) };
        assert_eq!(offer.lacks("pc", &["e1000", "e1000-82540em", "virtio-net-pci"]), None);
        assert_eq!(offer.lacks("q35", &["e1000"]), Some(("machine", "q35")));
        // A part of a name is none.
        assert_eq!(offer.lacks("p", &[]), Some(("machine", "p")));
        assert_eq!(offer.lacks("pc", &["e1000", "virtio-net"]), None);
        assert_eq!(offer.lacks("pc", &["e1000", "ide-hd", "ahci"]), Some(("device", "ide-hd")));
        let silent = Offer { machines: None, devices: None };
        assert_eq!(silent.lacks("pc", &["e1000"]), None);
    }

    #[test]
    fn versions_are_found_in_what_qemu_says() {
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)";
        assert_eq!(parse(debian), Some((10, 0, "10.0.2")));
        assert_eq!(parse("QEMU emulator version 7.2.19 (Debian)"), Some((7, 2, "7.2.19")));
        assert_eq!(parse("qemu, the best one"), None);
    }
}
