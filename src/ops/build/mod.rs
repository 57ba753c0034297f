//! Builds of a lab's nodes.

mod error;
pub mod keys;
pub mod leftovers;
pub mod up_to_date;

pub use error::BuildError;
