//! The user's wish that long work ends at once.
//!
//! A command that must not be cut off in the middle listens for interrupts, and
//! from then on every long loop (digests, copies, what is unpacked or read back)
//! asks between two pieces whether to go on. A command that does not listen is
//! ended by the system itself, at the first signal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The flag of this process, once a command listens.
static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Error message of work that the user interrupted.
pub const INTERRUPTED: &str = "Interrupted";

/// Long loops ask this flag from now on. The first one stays.
pub fn listen(flag: &Arc<AtomicBool>) {
    let _ = FLAG.set(flag.clone());
}

/// Whether the user wants work to end.
pub fn asked() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Asked between two pieces of long work.
///
/// # Errors
/// Fails when the user wants the work to end.
pub fn go_on() -> io::Result<()> {
    FLAG.get().map_or(Ok(()), |flag| Stoppable((), flag).go_on())
}

/// A reader or writer that fails once its flag says so.
pub struct Stoppable<'a, T>(pub T, pub &'a AtomicBool);

impl<T> Stoppable<'_, T> {
    fn go_on(&self) -> io::Result<()> {
        // Not the kind Interrupted, after which everybody tries again.
        if self.1.load(Ordering::Relaxed) { Err(io::Error::other(INTERRUPTED)) } else { Ok(()) }
    }
}

impl<T: io::Read> io::Read for Stoppable<'_, T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.go_on()?;
        self.0.read(buf)
    }
}

impl<T: io::Write> io::Write for Stoppable<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go_on()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn nothing_is_read_or_written_once_it_is_asked() {
        let stop = AtomicBool::new(false);
        let (mut buf, mut out) = ([0; 2], Vec::new());
        assert_eq!(Stoppable(&b"ab"[..], &stop).read(&mut buf).unwrap(), 2);
        assert_eq!(Stoppable(&mut out, &stop).write(b"ab").unwrap(), 2);
        stop.store(true, Ordering::Relaxed);
        let said = Stoppable(&b"ab"[..], &stop).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!((said.kind(), said.to_string().as_str()), (io::ErrorKind::Other, INTERRUPTED));
        assert!(Stoppable(&mut out, &stop).write_all(b"ab").is_err());
        assert_eq!(out, b"ab");
        // Where nobody listens, work goes on.
        go_on().unwrap();
    }
}
