//! Reason why a runner cannot do something.

use crate::guest::folder::FolderError;
use std::error::Error;

/// See each message.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The gateway is not started, because a port that it is to listen on is taken.
    #[error(transparent)]
    Ports(Box<dyn Error + Send + Sync>),
    #[error("The gateway cannot listen on 127.0.0.1:{port}: {said}")]
    Forward { port: u16, said: String },
    /// An error that only this runner knows.
    #[error(transparent)]
    Own(Box<dyn Error + Send + Sync>),
}
