//! The lab's network: an Ethernet switch, a process of its own. Each machine is
//! connected to it by a stream socket, on which a frame follows its length in
//! four bytes, the highest first.
//!
//! A frame goes only to the machine it is addressed to, as on a real switch.
//! That is more than tidiness: QEMU's way in from this host (slirp) takes every
//! frame that it hears for its own, whatever its address, and breaks off the
//! connections between other machines.

use super::GridError;
use super::running::{self, Part, SWITCH};
use crate::guest::folder::{self, FolderError};
use crate::guest::runner::short;
use crate::poison::IgnorePoison as _;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Name of its socket in the folder of the run, which only the user can open.
pub const SOCKET: &str = "network.sock";
/// The longest frame that a machine sends, in bytes.
const LONGEST: usize = (64 << 10) + (4 << 10);
/// Destination and source, six bytes each, and the type: less is no frame.
const SHORTEST: usize = 14;
/// Frames that wait for one machine; more are lost, as on any network.
const WAITING: usize = 512;
/// Addresses that one machine can have; more are not learnt.
const ADDRESSES: usize = 64;
/// Longest time that the switch waits for the first machine, and runs with
/// none.
const FIRST: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(2);
/// Between two looks for a new machine.
const LOOK: Duration = Duration::from_millis(50);

type Mac = [u8; 6];
type Frame = Arc<[u8]>;

/// Starts the switch of the run in `run` as a process that goes on when p9img
/// has ended and ends by itself when no machine is left: `program` with
/// `switch`, the run and the lab's file as its arguments and the listening
/// socket as its standard input.
///
/// # Errors
/// Fails when the socket cannot be made or the program not be started.
pub fn start(program: &Path, run: &Path, lab: &Path) -> Result<(), GridError> {
    let path = run.join(SOCKET);
    let failed = |source| FolderError::Use { path: path.clone(), source };
    folder::remove(&path).map_err(failed)?;
    let listener = short(run, SOCKET, |path| UnixListener::bind(path)).map_err(failed)?;
    running::start(program, SWITCH, &[run, lab], listener)
}

/// Whether the switch of a run runs and can be reached.
pub fn is_running(run: &Path) -> bool {
    short(run, SOCKET, |path| UnixStream::connect(path)).is_ok()
}

/// Ends the switch of a run, which nobody needs any more.
///
/// # Errors
/// Fails when it will not end.
pub fn stop(run: &Path) -> Result<(), GridError> {
    let path = running::real(run);
    for found in running::all() {
        if found.run == path && matches!(found.part, Part::Switch(_)) {
            running::stop(found.pid)?;
        }
    }
    // Where processes tell nothing of themselves, it ends when it is alone.
    let _ = folder::remove(&run.join(SOCKET));
    Ok(())
}

/// Serves the socket that is standard input until no machine is left, and
/// removes it from the folder of its run.
///
/// # Errors
/// Fails when standard input is no listening socket.
pub fn serve_stdin(run: Option<&Path>) -> io::Result<()> {
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let result = serve(&listener, FIRST, IDLE);
    match run {
        Some(run) => folder::remove(&run.join(SOCKET)).and(result),
        None => result,
    }
}

/// Serves until no machine has been connected for `idle` (`first` at the start).
#[expect(clippy::disallowed_methods, reason = "how long nobody was there; no artifact sees it")]
fn serve(listener: &UnixListener, first: Duration, idle: Duration) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let table = Arc::new(Mutex::new(Table::default()));
    let (mut alone, mut patience, mut next) = (Instant::now(), first, 0);
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                plug(next, stream, &table)?;
                next += 1;
                patience = idle;
                continue;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if !lock(&table).ports.is_empty() {
            alone = Instant::now();
        } else if alone.elapsed() > patience {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().ignore_poison()
}

/// Connects one machine: a thread reads what it sends, another writes to it.
fn plug(port: usize, stream: UnixStream, table: &Arc<Mutex<Table>>) -> io::Result<()> {
    let (sender, receiver) = sync_channel(WAITING);
    let (input, table) = (stream.try_clone()?, Arc::clone(table));
    lock(&table).ports.insert(port, sender);
    std::thread::spawn(move || {
        // When it has gone, the reader notices too.
        let _ = deliver(&receiver, stream);
    });
    std::thread::spawn(move || {
        let mut input = io::BufReader::new(input);
        while let Ok(Some(frame)) = read_frame(&mut input) {
            lock(&table).forward(port, &frame);
        }
        lock(&table).unplug(port);
    });
    Ok(())
}

fn deliver(frames: &Receiver<Frame>, stream: UnixStream) -> io::Result<()> {
    let mut out = io::BufWriter::new(stream);
    while let Ok(frame) = frames.recv() {
        write_frame(&mut out, &frame)?;
        for frame in frames.try_iter() {
            write_frame(&mut out, &frame)?;
        }
        out.flush()?;
    }
    Ok(())
}

fn write_frame(out: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(frame)
}

/// The next frame; none at the end, or where there can be none.
fn read_frame(input: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Ok(None);
    }
    let mut frame = vec![0; length];
    input.read_exact(&mut frame)?;
    Ok(Some(frame.into()))
}

/// Table of connections and their addresses.
#[derive(Default)]
struct Table {
    ports: BTreeMap<usize, SyncSender<Frame>>,
    stations: BTreeMap<Mac, usize>,
}

impl Table {
    /// Sends a frame on. A frame to an address that no station has used is
    /// lost: its receiver would have answered an ARP request before.
    fn forward(&mut self, from: usize, frame: &Frame) {
        let (Some(to), Some(source)) = (mac(frame, 0), mac(frame, 6).filter(|_| frame.len() >= SHORTEST)) else {
            return;
        };
        let known = self.stations.values().filter(|port| **port == from).count();
        if !is_group(source) && (known < ADDRESSES || self.stations.contains_key(&source)) {
            self.stations.insert(source, from);
        }
        let receivers = self.ports.iter().filter(|(port, _)| match is_group(to) {
            true => **port != from,
            false => **port != from && self.stations.get(&to) == Some(*port),
        });
        for (_, port) in receivers {
            // A machine that does not keep up loses it.
            let _ = port.try_send(Arc::clone(frame));
        }
    }

    fn unplug(&mut self, port: usize) {
        self.ports.remove(&port);
        self.stations.retain(|_, p| *p != port);
    }
}

fn mac(frame: &[u8], at: usize) -> Option<Mac> {
    frame.get(at..at + 6)?.try_into().ok()
}

/// Whether an address is that of several stations, or of all.
fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Mac = [0xff; 6];

    fn frame(to: Mac, from: Mac, what: &[u8]) -> Vec<u8> {
        [&to[..], &from, &[8, 0], what].concat()
    }

    struct Host {
        stream: UnixStream,
        mac: Mac,
    }

    impl Host {
        fn send(&mut self, to: Mac, what: &[u8]) {
            write_frame(&mut self.stream, &frame(to, self.mac, what)).unwrap();
        }

        /// The next frame's content.
        fn hear(&mut self) -> Vec<u8> {
            self.within(Duration::from_secs(60)).expect("a frame")
        }

        /// Whether none comes for a while.
        fn hears_nothing(&mut self) -> bool {
            self.within(Duration::from_millis(300)).is_none()
        }

        fn within(&mut self, limit: Duration) -> Option<Vec<u8>> {
            self.stream.set_read_timeout(Some(limit)).unwrap();
            read_frame(&mut self.stream).ok()?.map(|f| f[14..].to_vec())
        }
    }

    /// A switch with three hosts.
    fn network() -> Vec<Host> {
        let table = Arc::default();
        let hosts = (1..=3).map(|i| {
            let (stream, other) = UnixStream::pair().unwrap();
            plug(i.into(), other, &table).unwrap();
            Host { stream, mac: [2, 0, 0, 0, 0, i] }
        });
        hosts.collect()
    }

    #[test]
    fn it_ends_when_the_last_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET);
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_running(dir.path()));
        let switch = std::thread::spawn(move || serve(&listener, Duration::from_secs(60), Duration::from_millis(10)));
        let hosts = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
        std::thread::sleep(4 * LOOK);
        assert!(!switch.is_finished());
        drop(hosts);
        switch.join().unwrap().unwrap();
        assert!(!is_running(dir.path()));
    }

    #[test]
    fn frames_reach_whom_they_are_meant_for() {
        let mut hosts = network();
        let macs: Vec<_> = hosts.iter().map(|h| h.mac).collect();
        hosts[0].send(ALL, b"who has it?");
        assert_eq!(hosts[1].hear(), b"who has it?");
        assert_eq!(hosts[2].hear(), b"who has it?");
        hosts[1].send(macs[0], b"I");
        assert_eq!(hosts[0].hear(), b"I");
        hosts[0].send(macs[1], b"to you");
        hosts[0].send(macs[2], b"to one who never spoke");
        assert_eq!(hosts[1].hear(), b"to you");
        assert!(hosts[2].hears_nothing());
        // Nobody hears what he said himself.
        assert!(hosts[0].hears_nothing());
    }

    #[test]
    fn what_is_no_frame_harms_nobody() {
        let mut hosts = network();
        hosts[0].stream.write_all(&[0xff; 64]).unwrap();
        for short in 0..SHORTEST {
            write_frame(&mut hosts[1].stream, &vec![0xff; short]).unwrap();
        }
        hosts[1].send(ALL, b"after that");
        assert_eq!(hosts[2].hear(), b"after that");
        assert!(hosts[2].hears_nothing());
    }

    #[test]
    fn one_who_does_not_listen_holds_nobody_up() {
        let mut hosts = network();
        let big = vec![7; 60 << 10];
        for _ in 0..2 * WAITING {
            hosts[0].send(ALL, &big);
            assert_eq!(hosts[1].hear().len(), big.len());
        }
    }

    #[test]
    fn addresses_are_forgotten_with_their_machine_and_bounded() {
        let mut table = Table::default();
        let (sender, receiver) = sync_channel(4);
        table.ports.insert(0, sender);
        for i in 0..=255 {
            table.forward(1, &frame(ALL, [2, 0, 0, 0, 1, i], b"").into());
        }
        assert_eq!(table.stations.len(), ADDRESSES);
        assert_eq!(receiver.try_iter().count(), 4);
        table.unplug(1);
        assert!(table.stations.is_empty());
    }
}
