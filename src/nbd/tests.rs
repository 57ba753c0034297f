use super::format::{
    ALLOCATION, DONE, IHAVEOPT, NBDMAGIC, REPLY, REQUEST, SIMPLE, STRUCTURED, chunk, cmd, err, flag, info, opt, rep,
    transmission,
};
use super::*;
use crate::poison::IgnorePoison as _;
use crate::read_at::{Extent, ReadAt};
use std::io;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A disk of 4 MiB with data from 1 MiB to 2 MiB, and in its last 512 bytes.
struct Sparse;

const LEN: u64 = 4 << 20;

impl ReadAt for Sparse {
    fn len(&self) -> u64 {
        LEN
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        for (at, byte) in (offset..).zip(buf) {
            *byte = if (1 << 20..2 << 20).contains(&at) || at >= LEN - 512 { (at % 253) as u8 + 1 } else { 0 };
        }
        Ok(())
    }
    fn extents(&self) -> Vec<Extent> {
        vec![Extent { offset: 1 << 20, len: 1 << 20 }, Extent { offset: LEN - 512, len: 512 }]
    }
}

/// A disk in memory that is written to.
struct Memory(Bytes);
struct Bytes(Mutex<Vec<u8>>);

impl ReadAt for Bytes {
    fn len(&self) -> u64 {
        self.0.lock().ignore_poison().len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.lock().ignore_poison().read_at(offset, buf)
    }
}

impl WriteAt for Bytes {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.first() == Some(&255) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.lock().ignore_poison()[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Export for Memory {
    fn disk(&self) -> &dyn ReadAt {
        &self.0
    }
    fn writable(&self) -> Option<&dyn WriteAt> {
        Some(&self.0)
    }
}

fn fixed() -> Exports {
    let export = || Arc::new(Fixed::new(Arc::new(Sparse))) as Arc<dyn Export>;
    Exports::new([("n1".to_owned(), export()), ("n2".to_owned(), export())])
}

fn memory() -> Exports {
    let disk: Arc<dyn Export> = Arc::new(Memory(Bytes(Mutex::new(vec![0; 1 << 20]))));
    Exports::new([("disk".to_owned(), disk)])
}

/// Runs a session with a client, and returns how it ended for the server.
fn with(exports: &Exports, client: impl FnOnce(&mut Client)) -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let server = scope.spawn(move || Server::new(exports).serve(&theirs));
        let mut c = Client(ours);
        assert_eq!((c.u64(), c.u64(), c.u16()), (NBDMAGIC, IHAVEOPT, 3));
        client(&mut c);
        drop(c);
        server.join().unwrap()
    })
}

/// A client that says what it is told to say.
struct Client(UnixStream);

impl Client {
    fn send(&mut self, parts: &[&[u8]]) {
        self.0.write_all(&parts.concat()).unwrap();
    }
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        self.0.read_exact(&mut out).unwrap();
        out
    }
    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes(8).try_into().unwrap())
    }
    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }
    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes(2).try_into().unwrap())
    }
    fn option(&mut self, option: u32, data: &[u8]) {
        self.send(&[&IHAVEOPT.to_be_bytes(), &option.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data]);
    }
    fn reply(&mut self, option: u32) -> (u32, Vec<u8>) {
        assert_eq!((self.u64(), self.u32()), (REPLY, option));
        let (kind, len) = (self.u32(), self.u32());
        (kind, self.bytes(len as usize))
    }
    fn answer(&mut self, option: u32, data: &[u8]) -> u32 {
        self.option(option, data);
        self.reply(option).0
    }
    fn go(&mut self, name: &str) {
        self.option(opt::GO, &go(name));
        let (kind, data) = self.reply(opt::GO);
        assert_eq!((kind, &data[..2]), (rep::INFO, &info::EXPORT.to_be_bytes()[..]));
        assert_eq!(self.reply(opt::GO).0, rep::ACK);
    }
    fn request(&mut self, flags: u16, kind: u16, offset: u64, len: u32) {
        let head = [&REQUEST.to_be_bytes()[..], &flags.to_be_bytes(), &kind.to_be_bytes(), b"biscuits"].concat();
        self.send(&[&head, &offset.to_be_bytes(), &len.to_be_bytes()]);
    }
    fn simple(&mut self) -> u32 {
        assert_eq!(self.u32(), SIMPLE);
        let error = self.u32();
        assert_eq!(self.bytes(8), b"biscuits");
        error
    }
    /// Kind and data of a chunk, and whether it is the last.
    fn chunk(&mut self) -> (u16, Vec<u8>, bool) {
        assert_eq!(self.u32(), STRUCTURED);
        let (flags, kind) = (self.u16(), self.u16());
        assert_eq!(self.bytes(8), b"biscuits");
        let len = self.u32();
        (kind, self.bytes(len as usize), flags == DONE)
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat()
}

fn go(name: &str) -> Vec<u8> {
    [text(name), vec![0, 0]].concat()
}

fn contexts(name: &str, queries: &[&str]) -> Vec<u8> {
    let queries: Vec<u8> =
        (queries.len() as u32).to_be_bytes().into_iter().chain(queries.iter().flat_map(|q| text(q))).collect();
    [text(name), queries].concat()
}

fn expected(offset: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    Sparse.read_at(offset, &mut out).unwrap();
    out
}

#[test]
fn an_old_client_reads_by_name() {
    with(&fixed(), |c| {
        c.send(&[&1_u32.to_be_bytes()]);
        c.option(opt::EXPORT_NAME, b"n2");
        assert_eq!(c.u64(), LEN);
        let flags = c.u16();
        assert_eq!(c.bytes(124), [0; 124]);
        assert_eq!(flags & (transmission::READ_ONLY | 1 << 3), transmission::READ_ONLY, "no FUA");
        assert_ne!(flags & transmission::CAN_MULTI_CONN, 0);
        for (offset, len) in [(0, 10), ((1 << 20) - 5, 10), (LEN - 3, 3), (7, 0)] {
            c.request(0, cmd::READ, offset, len);
            assert_eq!(c.simple(), 0);
            assert!(c.bytes(len as usize) == expected(offset, len as usize));
        }
        for (offset, len) in [(LEN - 2, 3), (u64::MAX, 2), (0, u32::MAX), (LEN, 1)] {
            c.request(0, cmd::READ, offset, len);
            assert_eq!(c.simple(), err::EINVAL, "{offset} {len}");
        }
        c.request(0, cmd::WRITE, 0, 5);
        c.send(&[b"wrong"]);
        assert_eq!(c.simple(), err::EPERM);
        // Trim, zeros, resize, and what nobody knows.
        for kind in [4, 6, 8, 99, 65535] {
            c.request(0, kind, 0, 512);
            assert_eq!(c.simple(), err::EINVAL, "{kind}");
        }
        c.request(0, cmd::FLUSH, 0, 0);
        assert_eq!(c.simple(), 0);
        c.request(0, cmd::DISC, 0, 0);
    })
    .unwrap();
    let said = with(&fixed(), |c| {
        c.send(&[&3_u32.to_be_bytes()]);
        c.option(opt::EXPORT_NAME, b"n3");
        assert_eq!(c.0.read(&mut [0]).unwrap(), 0);
    });
    assert!(said.unwrap_err().to_string().contains("\"n3\""));
}

#[test]
fn a_client_is_told_what_there_is() {
    with(&fixed(), |c| {
        c.send(&[&3_u32.to_be_bytes()]);
        c.option(opt::LIST, b"");
        let names: Vec<_> = (0..2).map(|_| c.reply(opt::LIST)).collect();
        assert_eq!(names, [(rep::SERVER, text("n1")), (rep::SERVER, text("n2"))]);
        assert_eq!(c.reply(opt::LIST).0, rep::ACK);
        assert_eq!(c.answer(opt::LIST, b"x"), rep::ERR_INVALID);
        assert_eq!(c.answer(opt::INFO, &go("none")), rep::ERR_UNKNOWN);
        assert_eq!(c.answer(opt::INFO, &go("")), rep::ERR_UNKNOWN, "which of the two?");
        assert_eq!(c.answer(5, b""), rep::ERR_UNSUP, "no TLS");
        assert_eq!(c.answer(4711, &[0; 100]), rep::ERR_UNSUP);
        assert_eq!(c.answer(opt::GO, &[0, 0, 0, 9]), rep::ERR_INVALID);
        assert_eq!(c.answer(opt::GO, &[go("n1"), vec![0]].concat()), rep::ERR_INVALID);
        assert_eq!(c.answer(4711, &[0; 70_000]), rep::ERR_TOO_BIG);
        assert_eq!(c.answer(opt::SET_META_CONTEXT, &contexts("n1", &[ALLOCATION])), rep::ERR_INVALID);
        assert_eq!(c.answer(opt::STRUCTURED_REPLY, b"x"), rep::ERR_INVALID);
        assert_eq!(c.answer(opt::STRUCTURED_REPLY, b""), rep::ACK);
        for queries in [&[][..], &["base:"], &["other", ALLOCATION]] {
            c.option(opt::LIST_META_CONTEXT, &contexts("n1", queries));
            assert_eq!(c.reply(opt::LIST_META_CONTEXT), (rep::META_CONTEXT, b"\0\0\0\0base:allocation".to_vec()));
            assert_eq!(c.reply(opt::LIST_META_CONTEXT).0, rep::ACK);
        }
        assert_eq!(c.answer(opt::LIST_META_CONTEXT, &contexts("n1", &["qemu:"])), rep::ACK);
        assert_eq!(c.answer(opt::LIST_META_CONTEXT, &contexts("n3", &[])), rep::ERR_UNKNOWN);
        assert_eq!(c.answer(opt::LIST_META_CONTEXT, &contexts("n1", &["x"])[..9]), rep::ERR_INVALID);
        c.option(opt::INFO, &[text("n1"), vec![0, 1, 0, 3]].concat());
        assert_eq!(c.reply(opt::INFO).1.len(), 12);
        let sizes = [0, 3, 0, 0, 0, 1, 0, 1, 0, 0, 2, 0, 0, 0];
        assert_eq!(c.reply(opt::INFO), (rep::INFO, sizes.to_vec()));
        assert_eq!(c.reply(opt::INFO).0, rep::ACK);
        assert_eq!(c.answer(opt::ABORT, b""), rep::ACK);
    })
    .unwrap();
}

#[test]
fn holes_are_sent_as_holes_and_told() {
    with(&fixed(), |c| {
        c.send(&[&3_u32.to_be_bytes()]);
        assert_eq!(c.answer(opt::STRUCTURED_REPLY, b""), rep::ACK);
        assert_eq!(c.answer(opt::SET_META_CONTEXT, &contexts("n1", &[ALLOCATION])), rep::META_CONTEXT);
        assert_eq!(c.reply(opt::SET_META_CONTEXT).0, rep::ACK);
        c.go("n1");
        c.request(0, cmd::READ, (1 << 20) - 100, 1000);
        let (kind, data, last) = c.chunk();
        let hole = [((1_u64 << 20) - 100).to_be_bytes().to_vec(), 100_u32.to_be_bytes().to_vec()].concat();
        assert_eq!((kind, data, last), (chunk::OFFSET_HOLE, hole, false));
        let (kind, data, last) = c.chunk();
        assert_eq!((kind, data.len(), last), (chunk::OFFSET_DATA, 908, true));
        assert!(data[..8] == (1_u64 << 20).to_be_bytes() && data[8..] == expected(1 << 20, 900));
        c.request(flag::DF, cmd::READ, (1 << 20) - 100, 1000);
        let (kind, data, last) = c.chunk();
        assert!(kind == chunk::OFFSET_DATA && last && data[8..] == expected((1 << 20) - 100, 1000));
        c.request(0, cmd::READ, 0, 0);
        assert_eq!(c.chunk(), (chunk::NONE, Vec::new(), true));
        c.request(0, cmd::READ, LEN, 1);
        let (kind, data, last) = c.chunk();
        assert!(kind == chunk::ERROR && last && data[..4] == err::EINVAL.to_be_bytes());
        assert!(String::from_utf8_lossy(&data[6..]).contains("the end of the disk"));

        c.request(0, cmd::BLOCK_STATUS, 0, LEN as u32);
        let (kind, data, last) = c.chunk();
        assert!(kind == chunk::BLOCK_STATUS && last);
        let words: Vec<u32> = data.chunks(4).map(|w| u32::from_be_bytes(w.try_into().unwrap())).collect();
        assert_eq!(words, [1, 1 << 20, 3, 1 << 20, 0, (2 << 20) - 512, 3, 512, 0]);
        c.request(flag::REQ_ONE, cmd::BLOCK_STATUS, (1 << 20) + 5, LEN as u32 / 2);
        assert_eq!(c.chunk().1[4..], [0, 0x0F, 0xFF, 0xFB, 0, 0, 0, 0]);
        for (offset, len) in [(0, 0), (LEN, 1), (1, LEN as u32)] {
            c.request(0, cmd::BLOCK_STATUS, offset, len);
            assert_eq!(c.chunk().0, chunk::ERROR);
        }
    })
    .unwrap();
}

#[test]
fn what_is_written_is_read_and_no_room_is_said() {
    let exports = memory();
    with(&exports, |c| {
        c.send(&[&3_u32.to_be_bytes()]);
        c.go("");
        c.request(0, cmd::WRITE, 1000, 4);
        c.send(&[b"here"]);
        assert_eq!(c.simple(), 0);
        c.request(0, cmd::WRITE, (1 << 20) - 4, 4);
        c.send(&[b"last"]);
        assert_eq!(c.simple(), 0);
        c.request(1, cmd::WRITE, 0, 4);
        c.send(&[b"flag"]);
        assert_eq!(c.simple(), err::EINVAL, "FUA was not offered");
        c.request(0, cmd::WRITE, (1 << 20) - 3, 4);
        c.send(&[b"over"]);
        assert_eq!(c.simple(), err::EINVAL);
        c.request(0, cmd::WRITE, 0, 1);
        c.send(&[&[255]]);
        assert_eq!(c.simple(), err::ENOSPC);
        c.request(1, cmd::FLUSH, 0, 0);
        assert_eq!(c.simple(), err::EINVAL);
        c.request(0, cmd::BLOCK_STATUS, 0, 512);
        assert_eq!(c.simple(), err::EINVAL);
    })
    .unwrap();
    with(&exports, |c| {
        c.send(&[&3_u32.to_be_bytes()]);
        c.go("disk");
        c.request(0, cmd::READ, 999, 6);
        assert_eq!(c.simple(), 0);
        assert_eq!(c.bytes(6), b"\0here\0");
        c.request(0, cmd::READ, (1 << 20) - 4, 4);
        assert_eq!((c.simple(), &c.bytes(4)[..]), (0, &b"last"[..]));
    })
    .unwrap();
}

#[test]
fn a_client_that_does_not_keep_to_the_protocol_ends_alone() {
    let said = |client: &dyn Fn(&mut Client)| with(&memory(), client).unwrap_err().to_string();
    assert!(said(&|c| c.send(&[&8_u32.to_be_bytes()])).contains("the flags 0x8"));
    assert!(said(&|c| c.send(&[&3_u32.to_be_bytes(), &[0; 16]])).contains("An option begins with"));
    let begun = |c: &mut Client| {
        c.send(&[&3_u32.to_be_bytes()]);
        c.go("disk");
    };
    let nonsense = |c: &mut Client| {
        begun(c);
        c.send(&[&[7; 28]]);
    };
    assert!(said(&nonsense).contains("A request begins with 0x07070707"));
    let long = |c: &mut Client| {
        begun(c);
        c.request(0, cmd::WRITE, 0, u32::MAX);
    };
    assert!(said(&long).contains("expected at most 33554432"));
    // In the middle of a write, which then is not done.
    let leaves = |c: &mut Client| {
        begun(c);
        c.request(0, cmd::WRITE, 0, 100);
        c.send(&[&[1; 50]]);
    };
    let exports = memory();
    assert_eq!(with(&exports, leaves).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    with(&exports, |c| {
        begun(c);
        c.request(0, cmd::READ, 0, 50);
        assert_eq!((c.simple(), c.bytes(50)), (0, vec![0; 50]));
    })
    .unwrap();
    // Between two requests, without a word, is no fault.
    with(&exports, begun).unwrap();
}

#[test]
fn others_are_served_while_one_misbehaves_and_all_end_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (stop, failed) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let exports = fixed();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            Server::new(&exports).run(&listener, &|| stop.load(Ordering::Relaxed), &|e| {
                failed.lock().unwrap().push(e.to_string());
            })
        });
        let connect = || {
            let mut c = Client(UnixStream::connect(&path).unwrap());
            c.bytes(18);
            c.send(&[&3_u32.to_be_bytes()]);
            c
        };
        let mut good: Vec<Client> = (0..5).map(|_| connect()).collect();
        good.iter_mut().for_each(|c| c.go("n1"));
        connect().send(&[&[9; 200]]);
        for c in &mut good {
            c.request(0, cmd::READ, 1 << 20, 1000);
            assert_eq!(c.simple(), 0);
            assert!(c.bytes(1000) == expected(1 << 20, 1000));
        }
        while failed.lock().unwrap().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        server.join().unwrap().unwrap();
        for c in &mut good {
            assert_eq!(c.0.read(&mut [0]).unwrap(), 0);
        }
    });
    assert!(failed.lock().unwrap()[0].contains("An option begins with 0x0909"));
}
