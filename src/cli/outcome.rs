//! Result of a command.

/// Result of a run, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good = 0,
    /// An error kept the command from its work.
    Failed = 1,
    /// The arguments are wrong.
    Usage = 2,
    /// A verification found a difference.
    Differs = 3,
}

/// A mistake in how the command was called: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
