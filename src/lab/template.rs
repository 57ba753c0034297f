//! The files of a new lab, as `p9img init` writes them.

/// The text of a new lab's `lab.toml`: the four-node grid, and the repository's
/// own lab.
pub const LAB: &str = include_str!("../../lab.toml");

/// The text of a new lab's `.gitignore`.
pub const GITIGNORE: &str = "# Passwords, and what p9img builds.\n/secrets.toml\n/.secrets.toml.*\n/output/\n";

/// The files of a new lab, each with its name and text.
pub const FILES: &[(&str, &str)] = &[("lab.toml", LAB), (".gitignore", GITIGNORE)];
