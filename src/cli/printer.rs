//! Reporter of use cases on this terminal.

use super::progress::Progress;
use super::shared_args::GlobalArgs;
use super::{advice, interrupt, say};
use crate::ops::media::SaidBy;
use crate::ops::{Note, Reporter};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Prints notes on stderr, and draws a bar there during work that takes long.
pub struct Printer {
    quiet: bool,
    bar: Mutex<Option<Progress>>,
}

impl Printer {
    pub const fn new(cli: &GlobalArgs) -> Self {
        Self { quiet: cli.quiet, bar: Mutex::new(None) }
    }
}

impl Reporter for Printer {
    fn note(&self, note: &Note) {
        if !self.quiet || note.is_warning() {
            say::note(&advice::note(note));
        }
    }

    fn progress(&self, what: &str, done: u64, total: Option<u64>) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        // If the total is not known, the bar is always full.
        bar.get_or_insert_with(|| Progress::new(self.quiet)).show(what, done, total.unwrap_or(done));
    }

    fn finished(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish();
        }
    }

    fn stop_flag(&self) -> io::Result<Arc<AtomicBool>> {
        interrupt::listen()
    }

    fn said_by(&self, source: SaidBy, medium: &str) -> String {
        advice::said_by_and_change(source, medium)
    }
}
