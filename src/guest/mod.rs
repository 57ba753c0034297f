//! Running what was built: machines in QEMU, their serial consoles, a lab of
//! them on one network, and the checks of its roles.
//!
//! [`Machine`] turns a few plain facts (disks, controller, network card) into
//! QEMU's arguments and starts it; [`Guest`] is the running machine, ended
//! when it goes out of scope; [`Console`] waits for text on its serial line
//! and types. [`grid`] runs a whole lab in processes that outlive p9img, and
//! [`check`] proves on a running lab that every role does its job. Every wait
//! has a deadline, and every failure says what was waited for and what came
//! instead.
//!
//! Nothing here reaches an artifact: this module may look at the clock.

pub mod check;
mod console;
pub mod drawterm;
pub mod grid;
pub mod pi;
pub mod piped;
pub mod probe;
mod qemu;
pub mod qmp;
pub mod screen;
pub mod session;
mod shell;
pub mod uboot;
pub mod uefi;

pub use console::{Console, ConsoleError};
pub use probe::Accel;
pub use qemu::{Disk, DiskFormat, Guest, GuestError, Link, Machine, NetworkCard};
pub use shell::{Output, Shell};
