//! Whether what a node serves answers on this machine's ports.
//!
//! The way in accepts every connection itself and only then asks the node, so
//! a connection alone says nothing: one that nobody wants is closed again.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Shortest time that a connection must stay open, when the client speaks
/// first.
const STAYS: Duration = Duration::from_millis(500);
/// Longest time for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// 9P's port, where there is something to ask.
const NINE_P: u16 = 564;
/// `Tversion` of 9P2000 (version(5)): size, type, no tag, message size, version.
const TVERSION: &[u8] = b"\x13\0\0\0\x64\xff\xff\0\x20\0\0\x06\x009P2000";

/// Whether a listener of the node answers at the port `local` of this machine,
/// which leads to its port `tcp`.
pub fn answers(local: u16, tcp: u16) -> bool {
    let asked = if tcp == NINE_P { TVERSION } else { b"" };
    // Twice: a node that is slow to refuse is not taken for one that listens.
    (0..2).all(|_| stays(local, asked).unwrap_or(false))
}

fn stays(local: u16, asked: &[u8]) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, local)), ANSWER)?;
    let patience = if asked.is_empty() { STAYS } else { ANSWER };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(asked)?;
    match stream.read(&mut [0; 64]) {
        Ok(n) => Ok(n > 0),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(asked.is_empty()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A port where `serve` gets the connections.
    fn port(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || listener.incoming().for_each(|s| serve(s.unwrap())));
        port
    }

    #[test]
    fn a_connection_that_is_closed_at_once_is_no_listener() {
        let closed = port(drop);
        assert!(!answers(closed, 17010) && !answers(closed, NINE_P));
        // A port that nobody has.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert!(!answers(free, 17010));
        // The first stays, the second does not.
        let turns = std::sync::atomic::AtomicUsize::new(0);
        let once = port(move |s| {
            if turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                std::mem::forget(s);
            }
        });
        assert!(!answers(once, 17010));
    }

    #[test]
    fn listeners_speak_first_or_wait_and_a_file_server_is_asked() {
        let greets = port(|mut s| s.write_all(b"v.2 p9sk1@plan9.lab\0").unwrap());
        assert!(answers(greets, 17019));
        let waits = port(std::mem::forget);
        assert!(answers(waits, 17010));
        let serves = port(|mut s| {
            let mut asked = [0; TVERSION.len()];
            s.read_exact(&mut asked).unwrap();
            assert_eq!(usize::from(asked[0]), asked.len());
            asked[4] += 1;
            s.write_all(&asked).unwrap();
        });
        assert!(answers(serves, NINE_P));
    }
}
