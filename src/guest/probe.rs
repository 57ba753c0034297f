//! What the host can do: which QEMU is there, and whether it can use the
//! processor's own virtual machines.

use super::qemu::QEMU;
use duct::cmd;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// The oldest QEMU that does what p9img asks of it: 7.1 writes screens as PNG,
/// 7.2 connects a network device with a stream socket.
pub const OLDEST: (u32, u32) = (7, 2);
/// What converts and creates disk images, of the same package or its neighbour.
pub const QEMU_IMG: &str = "qemu-img";
/// A machine with acceleration ends its test in a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a machine's processor is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// The host's processor (Linux).
    Kvm,
    /// Software, everywhere.
    Tcg,
}

impl Accel {
    /// QEMU's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// Why the host cannot run machines.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{program} was not found: install QEMU {}.{} or later (Debian: qemu-system-x86 and qemu-utils)",
            OLDEST.0, OLDEST.1)]
    Missing { program: &'static str },
    #[error("{program} cannot be run")]
    Broken { program: &'static str, source: io::Error },
    #[error("{program} is version {found}, but p9img needs {}.{} or later", OLDEST.0, OLDEST.1)]
    Old { program: &'static str, found: String },
    #[error("{program} --version says {said:?}, which is no version")]
    NoVersion { program: &'static str, said: String },
}

/// Makes sure that a QEMU new enough is there, and returns its version.
///
/// # Errors
/// When it or qemu-img is not there, too old, or cannot be run.
pub fn version() -> Result<String, ProbeError> {
    one_version(QEMU_IMG)?;
    one_version(QEMU)
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
    let drive = super::qemu::option("file=", disk.path(), ",format=raw,if=ide,snapshot=on");
    let running = cmd!(
        QEMU,
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
    use super::parse;

    #[test]
    fn versions_are_found_in_what_qemu_says() {
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)";
        assert_eq!(parse(debian), Some((10, 0, "10.0.2")));
        assert_eq!(parse("qemu-img version 7.2.19 (Debian)"), Some((7, 2, "7.2.19")));
        assert_eq!(parse("qemu, the best one"), None);
    }
}
