//! Running what was built: a machine in QEMU and its serial console.
//!
//! [`Machine`] turns a few plain facts (disks, controller, network card) into
//! QEMU's arguments and starts it; [`Guest`] is the running machine, ended
//! when it goes out of scope; [`Console`] waits for text on its serial line
//! and types. Every wait has a deadline, and every failure says what was
//! waited for and what came instead.
//!
//! Nothing here reaches an artifact: this module may look at the clock.

mod console;
mod qemu;
mod shell;

pub use console::{Console, ConsoleError};
pub use qemu::{Disk, DiskFormat, Guest, GuestError, Machine, NetworkCard};
pub use shell::{Output, Shell};
