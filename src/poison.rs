//! Locks that a thread held when it panicked.
//!
//! A panic ends the build: the thread that waits for the others passes it on. What
//! they still read until then is in no artifact, so a lock that was left in the
//! middle of a change is as good as any other.

use std::sync::{LockResult, PoisonError};

/// Goes on with what a lock holds, whoever panicked while holding it.
pub trait IgnorePoison {
    type Held;
    fn ignore_poison(self) -> Self::Held;
}

impl<T> IgnorePoison for LockResult<T> {
    type Held = T;

    fn ignore_poison(self) -> T {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}
