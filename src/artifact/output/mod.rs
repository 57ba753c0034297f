//! The output folder: artifacts appear under their names together and complete
//! ([`folder`]); until then they are hidden files, removed on failure or by the
//! next build. The folder also has their sums and the manifest.

pub(crate) mod digest;
pub(super) mod file;
pub mod folder;
pub(super) mod gather;
pub mod imager;
pub mod manifest;
pub mod sums;
