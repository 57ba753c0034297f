//! Media: anything that a tree can be read from.
//!
//! A [`Medium`] is a whole tree with Plan 9's names, owners, modes and times,
//! and what kind of system it holds. [`Source`] tells what is at a path; a
//! reader for each kind of container ([`directory`] for a folder of the host)
//! fills a [`Listing`], from which the tree is made; `select` picks what goes
//! into an image. [`fetch`] gets media from the network,
//! [`store`] keeps them, [`pins`] records which ones a lab has.
//!
//! It may ask `artifact`, `disk`, `lab` and `root`.

pub mod compressed;
pub mod deb;
pub mod directory;
mod distribution;
mod error;
mod facts;
pub mod fetch;
pub mod firmware;
pub mod git;
pub mod image;
pub mod iso;
mod known_faults;
mod listed;
mod listing;
mod medium;
mod members;
mod metadata;
mod names;
mod open;
pub mod pins;
mod proto;
pub mod sample;
mod seen;
mod select;
pub mod store;
pub mod tar;
mod within;
pub mod zip;

pub use crate::digest::Digest;
pub use distribution::Distribution;
pub use error::MediumError;
pub use facts::{Architecture, Facts};
pub use listed::Listed;
pub use listing::{Attributes, Listing, PathError};
pub use medium::Medium;
pub use metadata::{Database, MetadataError};
pub use open::Source;
pub use seen::seen;
pub use select::{PatternError, Selection};
