//! One client: what it asks for, and the replies.
//!
//! A request is answered before the next is read. What a request claims is
//! not believed: its length is bounded before anything is reserved for it.

use super::export::Exports;
use super::format::{ALLOCATION_ID, DONE, HOLE, MOST, REQUEST, SIMPLE, STRUCTURED, chunk, cmd, err, flag, wrong};
use super::option::{Agreed, haggle};
use crate::read_at::Extent;
use std::io::{self, Read, Write};

/// Bytes of a chunk of data.
const STEP: u64 = 1 << 20;
/// Extents in one answer; a client asks again for what comes after them.
const EXTENTS: usize = 8192;

/// A client's session.
pub struct Session<'a, S> {
    stream: S,
    exports: &'a Exports,
}

/// One request.
struct Request {
    flags: u16,
    kind: u16,
    cookie: [u8; 8],
    offset: u64,
    len: u32,
}

impl<'a, S: Read + Write> Session<'a, S> {
    pub const fn new(stream: S, exports: &'a Exports) -> Self {
        Self { stream, exports }
    }

    /// Serves the client until it leaves.
    ///
    /// # Errors
    /// `InvalidData` for a client that does not keep to the protocol; `UnexpectedEof` for one
    /// that leaves in the middle; else error of the operating system.
    pub fn run(mut self) -> io::Result<()> {
        let Some(agreed) = haggle(&mut self.stream, self.exports)? else { return Ok(()) };
        let mut client = Client { stream: self.stream, agreed, buf: Vec::new() };
        while client.request()? {}
        Ok(())
    }
}

struct Client<S> {
    stream: S,
    agreed: Agreed,
    /// Bytes that are read or written.
    buf: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    /// Answers one request; false after the last.
    fn request(&mut self) -> io::Result<bool> {
        let mut head = [0; 28];
        match self.stream.read(&mut head)? {
            // A client that has had enough and says nothing.
            0 => return Ok(false),
            n => self.stream.read_exact(&mut head[n..])?,
        }
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if word(0) != REQUEST {
            return Err(wrong(format!("A request begins with {:#010x}, expected {REQUEST:#010x}", word(0))));
        }
        let mut cookie = [0; 8];
        cookie.copy_from_slice(&head[8..16]);
        let (flags, kind) = ((word(4) >> 16) as u16, word(4) as u16);
        let offset = u64::from(word(16)) << 32 | u64::from(word(20));
        let request = Request { flags, kind, cookie, offset, len: word(24) };
        match request.kind {
            cmd::READ => self.read(&request)?,
            cmd::WRITE => self.write(&request)?,
            cmd::DISC => return Ok(false),
            cmd::FLUSH => {
                let is_right = request.flags == 0 && request.offset == 0 && request.len == 0;
                let flushed = match self.agreed.export.writable() {
                    _ if !is_right => Err(err::EINVAL),
                    Some(disk) => disk.flush().map_err(|e| code(&e)),
                    None => Ok(()),
                };
                self.simple(&request, flushed.err().unwrap_or(0), false)?;
            }
            cmd::BLOCK_STATUS => self.status(&request)?,
            _ => self.fail(&request, err::EINVAL, "The command is unknown, or not offered")?,
        }
        self.stream.flush()?;
        Ok(true)
    }

    fn is_inside(&self, request: &Request) -> bool {
        let end = request.offset.checked_add(u64::from(request.len));
        end.is_some_and(|end| end <= self.agreed.export.disk().len())
    }

    fn read(&mut self, request: &Request) -> io::Result<()> {
        match () {
            () if request.flags & !flag::DF != 0 => {
                return self.fail(request, err::EINVAL, "The command has an unknown flag");
            }
            () if request.len > MOST => return self.fail(request, err::EINVAL, "The read is too long"),
            () if !self.is_inside(request) => {
                return self.fail(request, err::EINVAL, "The read passes the end of the disk");
            }
            () => {}
        }
        if !self.agreed.structured {
            self.buf.resize(request.len as usize, 0);
            let result = self.agreed.export.disk().read_at(request.offset, &mut self.buf);
            return self.simple(request, result.map_or_else(|e| code(&e), |()| 0), true);
        }
        let end = request.offset + u64::from(request.len);
        let mut at = request.offset;
        while at < end {
            let mut len = end - at;
            if request.flags & flag::DF == 0 {
                let (is_data, run) = self.run(at, len);
                if !is_data {
                    at += run;
                    let data = [&(at - run).to_be_bytes()[..], &(run as u32).to_be_bytes()].concat();
                    self.chunk(request, at == end, chunk::OFFSET_HOLE, &data)?;
                    continue;
                }
                len = run.min(STEP);
            }
            self.buf.resize(8 + len as usize, 0);
            self.buf[..8].copy_from_slice(&at.to_be_bytes());
            if let Err(e) = self.agreed.export.disk().read_at(at, &mut self.buf[8..]) {
                return self.fail(request, code(&e), &e.to_string());
            }
            at += len;
            let data = std::mem::take(&mut self.buf);
            self.chunk(request, at == end, chunk::OFFSET_DATA, &data)?;
            self.buf = data;
        }
        if request.len == 0 { self.chunk(request, true, chunk::NONE, b"") } else { Ok(()) }
    }

    /// Whether there may be data at an offset, and how many bytes on, of `len`, are alike.
    fn run(&self, at: u64, len: u64) -> (bool, u64) {
        match self.agreed.export.map() {
            Some(map) => run(map, at, len),
            None => (true, len),
        }
    }

    fn write(&mut self, request: &Request) -> io::Result<()> {
        if request.len > MOST {
            return Err(wrong(format!("A write of {} bytes, expected at most {MOST}", request.len)));
        }
        self.buf.resize(request.len as usize, 0);
        self.stream.read_exact(&mut self.buf)?;
        let Some(disk) = self.agreed.export.writable() else {
            return self.fail(request, err::EPERM, "The disk is only read");
        };
        if request.flags != 0 || !self.is_inside(request) {
            return self.fail(request, err::EINVAL, "The write passes the end of the disk, or has an unknown flag");
        }
        let result = disk.write_at(request.offset, &self.buf);
        self.simple(request, result.map_or_else(|e| code(&e), |()| 0), false)
    }

    /// Says where there is data.
    fn status(&mut self, request: &Request) -> io::Result<()> {
        let is_right = request.flags & !flag::REQ_ONE == 0 && request.len > 0 && self.is_inside(request);
        if !self.agreed.allocation || !is_right {
            return self.fail(request, err::EINVAL, "The range is empty or not in the disk, or nothing was agreed on");
        }
        let most = if request.flags & flag::REQ_ONE != 0 { 1 } else { EXTENTS };
        let mut data = ALLOCATION_ID.to_be_bytes().to_vec();
        let (mut at, end) = (request.offset, request.offset + u64::from(request.len));
        for _ in 0..most {
            if at == end {
                break;
            }
            let (is_data, len) = self.run(at, end - at);
            data.extend((len as u32).to_be_bytes());
            data.extend((if is_data { 0 } else { HOLE }).to_be_bytes());
            at += len;
        }
        self.chunk(request, true, chunk::BLOCK_STATUS, &data)
    }

    /// A simple reply, with the bytes that were read if there are any.
    fn simple(&mut self, request: &Request, error: u32, with_data: bool) -> io::Result<()> {
        let mut head = SIMPLE.to_be_bytes().to_vec();
        head.extend(error.to_be_bytes());
        head.extend(request.cookie);
        self.stream.write_all(&head)?;
        if with_data && error == 0 { self.stream.write_all(&self.buf) } else { Ok(()) }
    }

    /// One chunk of a structured reply.
    fn chunk(&mut self, request: &Request, is_last: bool, kind: u16, data: &[u8]) -> io::Result<()> {
        let mut head = STRUCTURED.to_be_bytes().to_vec();
        head.extend((if is_last { DONE } else { 0 }).to_be_bytes());
        head.extend(kind.to_be_bytes());
        head.extend(request.cookie);
        head.extend((data.len() as u32).to_be_bytes());
        self.stream.write_all(&head)?;
        self.stream.write_all(data)
    }

    fn fail(&mut self, request: &Request, error: u32, why: &str) -> io::Result<()> {
        if !self.agreed.structured {
            return self.simple(request, error, false);
        }
        let why: String = why.chars().take(1000).collect();
        let mut data = error.to_be_bytes().to_vec();
        data.extend((why.len() as u16).to_be_bytes());
        data.extend(why.as_bytes());
        self.chunk(request, true, chunk::ERROR, &data)
    }
}

/// Whether a byte is in one of the extents, and how many of `len` bytes from it on are alike.
fn run(map: &[Extent], at: u64, len: u64) -> (bool, u64) {
    let next = map.partition_point(|e| e.end() <= at);
    match map.get(next) {
        Some(extent) if extent.offset <= at => (true, (extent.end() - at).min(len)),
        Some(extent) => (false, (extent.offset - at).min(len)),
        None => (false, len),
    }
}

/// The protocol's number for an error of the operating system.
fn code(error: &io::Error) -> u32 {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => err::ENOSPC,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => err::EPERM,
        _ => err::EIO,
    }
}
