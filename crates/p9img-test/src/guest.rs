//! Machines that end with the test: QEMU as a child, its serial port on the
//! test's own pipes.

use p9img::guest::runner::qemu::{emulator, hardware, option};
use p9img::guest::{Console, ConsoleError, Disk};
use p9img::lab::Controller;
use std::ffi::OsString;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The other end of a network card's cable: a network without a way out of it.
#[derive(Clone, Debug)]
pub enum Link {
    /// One of QEMU's own for this machine alone: 10.9.0.0/24, whose gateway is the
    /// first address.
    Alone,
    /// One that machines share: the socket of its switch.
    Switch(PathBuf),
}

/// Machine that a test runs.
#[derive(Clone, Debug)]
pub struct Machine {
    pub made_of: p9img::guest::Machine,
    pub link: Link,
    /// A socket to be made for QEMU's monitor.
    pub monitor: Option<PathBuf>,
    /// Stop instead of ending when the guest powers off, so that its memory
    /// can still be looked at.
    pub stay_after_power_off: bool,
}

impl Deref for Machine {
    type Target = p9img::guest::Machine;

    fn deref(&self) -> &Self::Target {
        &self.made_of
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.made_of
    }
}

impl Machine {
    /// A PC with a BIOS, one processor, 512 MiB and no network. A card
    /// that it is given is alone on its network.
    pub fn new(controller: Controller, disk: Disk) -> Self {
        Self {
            made_of: p9img::guest::Machine::new(controller, disk),
            link: Link::Alone,
            monitor: None,
            stay_after_power_off: false,
        }
    }

    /// The emulator that has it.
    pub fn program(&self) -> &'static str {
        emulator(&self.made_of)
    }

    /// The arguments for [`Machine::program`]. The first serial port is on
    /// standard input and output.
    ///
    /// # Panics
    /// Panics when the machine's firmware is not on this host.
    pub fn arguments(&self) -> Vec<OsString> {
        let network = match &self.link {
            Link::Alone => "user,id=net0,restrict=on,net=10.9.0.0/24,host=10.9.0.1".into(),
            Link::Switch(socket) => option("stream,id=net0,server=off,addr.type=unix,addr.path=", socket, ""),
        };
        let mut args = hardware(&self.made_of, network).unwrap();
        // The monitor shares the line with the serial port, by Ctrl-A, so
        // that QEMU can be asked to end.
        for a in ["-no-reboot", "-chardev", "stdio,id=serial0,mux=on,signal=off"] {
            args.push(a.into());
        }
        for a in ["-mon", "chardev=serial0,mode=readline", "-serial", "chardev:serial0"] {
            args.push(a.into());
        }
        if self.stay_after_power_off {
            args.push("-no-shutdown".into());
        }
        if let Some(path) = &self.monitor {
            args.extend(["-monitor".into(), option("unix:", path, ",server=on,wait=off")]);
        }
        args
    }

    /// Starts the machine.
    ///
    /// # Errors
    /// Fails when QEMU is not installed or cannot be started. A QEMU that
    /// starts and ends at once is noticed at the first wait on the console.
    pub fn start(&self) -> Result<Guest, GuestError> {
        let mut command = Command::new(self.program());
        command.args(self.arguments());
        Guest::of(command)
    }
}

/// Reason why a guest could not be run.
#[derive(Debug)]
pub enum GuestError {
    Start(OsString, io::Error),
    Console(ConsoleError),
    Failed(ExitStatus),
    Wait(io::Error),
    /// The machine still runs after its power-off; the end of its output.
    StillRunning(Duration, String),
}

impl std::fmt::Display for GuestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(program, error) => write!(f, "Cannot start {}: {error}", program.display()),
            Self::Console(error) => error.fmt(f),
            Self::Failed(status) => write!(f, "QEMU ended with {status}"),
            Self::Wait(error) => write!(f, "Cannot wait for QEMU: {error}"),
            Self::StillRunning(after, tail) => {
                write!(f, "The machine still ran {after:?} after its power-off; its output ends with:\n{tail}")
            }
        }
    }
}

impl std::error::Error for GuestError {}

/// A running machine. It is ended when this goes out of scope; what it wrote
/// to disks that keep their writes is whole only after [`Guest::quit`] or
/// [`Guest::wait_for_power_off`].
pub struct Guest {
    child: Child,
    pub console: Console,
}

impl Guest {
    /// Starts a command whose standard input and output are a console.
    ///
    /// # Errors
    /// Fails when the program cannot be started.
    pub fn of(mut command: Command) -> Result<Self, GuestError> {
        let program = command.get_program().to_owned();
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|source| GuestError::Start(program, source))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output), Some(complaints)) = (input, output, child.stderr.take()) else {
            unreachable!("all three were asked to be pipes");
        };
        let console = Console::new(input, vec![Box::new(output), Box::new(complaints)]);
        Ok(Self { child, console })
    }

    /// Turns the machine off at once, as pulling the plug would, but lets QEMU
    /// write what it still holds of its disk images.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`, or QEMU reports a failure.
    pub fn quit(&mut self, limit: Duration) -> Result<(), GuestError> {
        self.console.send(b"\x01x").map_err(GuestError::Console)?;
        self.wait_for_power_off(limit)
    }

    /// Waits until the guest has powered itself off and QEMU has ended.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`, or QEMU reports a failure.
    pub fn wait_for_power_off(&mut self, limit: Duration) -> Result<(), GuestError> {
        let begin = Instant::now();
        loop {
            match self.child.try_wait().map_err(GuestError::Wait)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(GuestError::Failed(status)),
                None if begin.elapsed() >= limit => {
                    return Err(GuestError::StillRunning(limit, self.console.tail()));
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
