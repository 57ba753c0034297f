//! Use cases: tasks such as a build, for which a program needs the whole library.
//! They call the stages in order, and know the lab's folder, the output folder and
//! this machine's store of media. They print nothing: a [`Reporter`] gets notes and
//! progress. Their errors and notes state facts, without the words of a command
//! line; [`crate::cli`] adds those.
//!
//! It may ask `artifact`, `assemble`, `disk`, `guest`, `lab`, `media`, `page` and
//! `render`.

pub mod build;
pub mod buildable;
mod choices;
mod disks;
pub mod host;
pub mod images;
pub mod lab;
mod live;
pub mod media;
mod note;
mod plan;
mod reporter;
mod said_by;
mod stale;

pub use build::{BuildError, BuildOutcome, BuildRequest, Compared, build, rebuild};
pub use buildable::{Buildable, buildable};
pub use disks::{NodeDisk, disks};
pub use images::ImagesError;
pub use lab::{LabError, LabRequest};
pub use live::compute;
pub use media::MediaError;
pub use note::{Note, few};
pub use plan::plan;
pub use reporter::{Reporter, Silent, Watched};
