//! All clients of a socket.

use super::export::Exports;
use super::session::Session;
use crate::poison::IgnorePoison as _;
use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;
use std::time::Duration;

/// Clients at a time; more wait until one has gone.
const CLIENTS: usize = 64;
/// Time between two looks for a new client.
const LOOK: Duration = Duration::from_millis(20);

/// A server of disks on a Unix socket, with a thread for each client.
pub struct Server<'a> {
    exports: &'a Exports,
    clients: Mutex<BTreeMap<usize, UnixStream>>,
}

impl<'a> Server<'a> {
    pub fn new(exports: &'a Exports) -> Self {
        Self { exports, clients: Mutex::new(BTreeMap::new()) }
    }

    /// Serves clients until `stopped` says so: each then finds its connection closed. `failed`
    /// hears of clients that did not keep to the protocol, or left in the middle.
    ///
    /// # Errors
    /// Fails when the socket fails.
    pub fn run(
        &self,
        listener: &UnixListener,
        stopped: &dyn Fn() -> bool,
        failed: &(dyn Fn(io::Error) + Sync),
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        std::thread::scope(|scope| {
            let mut next = 0;
            let result = loop {
                if stopped() {
                    break Ok(());
                }
                if self.clients.lock().ignore_poison().len() >= CLIENTS {
                    std::thread::sleep(LOOK);
                    continue;
                }
                match listener.accept() {
                    Ok((stream, _)) => {
                        let client = next;
                        next += 1;
                        let ready = stream.set_nonblocking(false).and_then(|()| stream.try_clone());
                        match ready {
                            Ok(other) => self.clients.lock().ignore_poison().insert(client, other),
                            Err(e) => break Err(e),
                        };
                        scope.spawn(move || {
                            // Also after a panic, the client is told that it is over.
                            let _gone = Gone(&self.clients, client);
                            if let Err(e) = self.serve(&stream) {
                                failed(e);
                            }
                        });
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOOK),
                    // The client was quicker away.
                    Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(e) => break Err(e),
                }
            };
            for client in self.clients.lock().ignore_poison().values() {
                // One that has gone already needs no end.
                let _ = client.shutdown(Shutdown::Both);
            }
            result
        })
    }

    /// Serves one client until it leaves.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        Session::new(Buffered::new(stream), self.exports).run()
    }
}

/// Takes a client off the list when it goes.
struct Gone<'a>(&'a Mutex<BTreeMap<usize, UnixStream>>, usize);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.0.lock().ignore_poison().remove(&self.1) {
            // One that has gone already needs no end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection that is written to in large pieces.
struct Buffered<'a> {
    input: io::BufReader<&'a UnixStream>,
    output: io::BufWriter<&'a UnixStream>,
}

impl<'a> Buffered<'a> {
    fn new(stream: &'a UnixStream) -> Self {
        Self { input: io::BufReader::new(stream), output: io::BufWriter::with_capacity(64 << 10, stream) }
    }
}

impl io::Read for Buffered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl io::Write for Buffered<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
