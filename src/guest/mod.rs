//! Running of what was built: machines, their serial consoles, a lab of them on
//! one network, and the checks of its roles.
//!
//! A [`Machine`] says what is to run, whatever program runs it; a
//! [`runner`] is a program that runs it, and the table of them is
//! [`runner::RUNNERS`]. [`Console`] waits for text on a serial line and types.
//! [`grid`] runs a whole lab in processes that outlive p9img, and [`check`]
//! proves on a running lab that every role does its job. Every wait has a
//! deadline, and every failure says what was waited for and what came instead.
//!
//! Each of these uses only those before it. Nothing here reaches an artifact:
//! this module may look at the clock.
//!
//! It may ask `artifact`, `disk`, `lab`, `nbd` and `render`.

mod machine;

pub mod computed;
mod console;
pub mod drawterm;
pub mod folder;
mod gateway;
pub mod node_disk;
pub mod screen;

pub mod runner;

pub mod grid;

pub mod check;

pub use console::{Console, ConsoleError, Output, Shell, piped};
pub use gateway::Gateway;
pub use machine::{Accel, Disk, DiskFormat, Firmware, Machine, NetworkCard};
