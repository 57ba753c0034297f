//! The beginning of a session: the client asks for options, and chooses a disk.

use super::export::{Export, Exports};
use super::format::{
    ALLOCATION, ALLOCATION_ID, FIXED_NEWSTYLE, IHAVEOPT, MOST, NBDMAGIC, NO_ZEROES, PREFERRED, REPLY, info, opt, rep,
    transmission, wrong,
};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Bytes of the longest option that is answered: a name and some contexts, of
/// 4,096 bytes each at most.
const LONGEST: u32 = 64 << 10;
/// Options that one client may ask for: each is an answer, and none is a disk.
const PATIENCE: usize = 1000;

/// What was agreed upon.
pub(super) struct Agreed {
    pub export: Arc<dyn Export>,
    /// Whether replies are structured.
    pub structured: bool,
    /// Whether the client may ask where there is data.
    pub allocation: bool,
}

/// Haggles with a client; none when it leaves without a disk.
///
/// # Errors
/// `InvalidData` for a client that does not keep to the protocol.
pub(super) fn haggle<S: Read + Write>(stream: &mut S, exports: &Exports) -> io::Result<Option<Agreed>> {
    let mut hello = Vec::new();
    hello.extend(NBDMAGIC.to_be_bytes());
    hello.extend(IHAVEOPT.to_be_bytes());
    hello.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    stream.write_all(&hello)?;
    stream.flush()?;
    let flags = u32::from_be_bytes(array(stream)?);
    if flags & !u32::from(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
        return Err(wrong(format!("The client has the flags {flags:#x}, expected at most 3")));
    }
    let mut haggler = Haggler { stream, exports, structured: false, allocation: None };
    for _ in 0..PATIENCE {
        let magic = u64::from_be_bytes(array(haggler.stream)?);
        if magic != IHAVEOPT {
            return Err(wrong(format!("An option begins with {magic:#018x}, expected {IHAVEOPT:#018x}")));
        }
        let option = u32::from_be_bytes(array(haggler.stream)?);
        let len = u32::from_be_bytes(array(haggler.stream)?);
        if len > LONGEST {
            io::copy(&mut haggler.stream.take(u64::from(len)), &mut io::sink())?;
            haggler.reply(option, rep::ERR_TOO_BIG, b"The option is too long")?;
            continue;
        }
        let mut data = vec![0; len as usize];
        haggler.stream.read_exact(&mut data)?;
        match option {
            opt::EXPORT_NAME => return haggler.by_name(&data, flags),
            opt::ABORT => {
                haggler.reply(option, rep::ACK, b"")?;
                return Ok(None);
            }
            opt::LIST => haggler.list(&data)?,
            opt::STRUCTURED_REPLY if data.is_empty() => {
                haggler.structured = true;
                haggler.reply(option, rep::ACK, b"")?;
            }
            opt::STRUCTURED_REPLY => haggler.reply(option, rep::ERR_INVALID, b"The option has no data")?,
            opt::INFO | opt::GO => {
                if let Some(agreed) = haggler.go(option, &data)? {
                    return Ok(Some(agreed));
                }
            }
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => haggler.contexts(option, &data)?,
            _ => haggler.reply(option, rep::ERR_UNSUP, b"")?,
        }
    }
    Err(wrong(format!("The client asks for more than {PATIENCE} options")))
}

struct Haggler<'a, S> {
    stream: &'a mut S,
    exports: &'a Exports,
    structured: bool,
    /// The disk whose allocation the client has asked for.
    allocation: Option<String>,
}

impl<S: Read + Write> Haggler<'_, S> {
    fn reply(&mut self, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
        let mut out = REPLY.to_be_bytes().to_vec();
        for word in [option, kind, data.len() as u32] {
            out.extend(word.to_be_bytes());
        }
        out.extend(data);
        self.stream.write_all(&out)?;
        self.stream.flush()
    }

    fn unknown(&mut self, option: u32) -> io::Result<()> {
        self.reply(option, rep::ERR_UNKNOWN, b"There is no such disk")
    }

    fn agreed(&self, name: &str, export: Arc<dyn Export>) -> Agreed {
        let allocation = self.allocation.as_deref() == Some(name);
        Agreed { export, structured: self.structured, allocation }
    }

    /// The option of old clients, which has no other answer than the disk.
    fn by_name(&mut self, data: &[u8], flags: u32) -> io::Result<Option<Agreed>> {
        let name = String::from_utf8_lossy(data);
        let Some(export) = self.exports.find(&name).cloned() else {
            return Err(wrong(format!("There is no disk {name:?}")));
        };
        let mut out = export.disk().len().to_be_bytes().to_vec();
        out.extend(self.flags(&*export).to_be_bytes());
        if flags & u32::from(NO_ZEROES) == 0 {
            out.extend([0; 124]);
        }
        self.stream.write_all(&out)?;
        self.stream.flush()?;
        Ok(Some(self.agreed(&name, export)))
    }

    fn flags(&self, export: &dyn Export) -> u16 {
        let mut flags = transmission::HAS_FLAGS | transmission::SEND_FLUSH;
        // FUA is not offered: QEMU before 10.0 would ask for it with every write, whatever it was told.
        if export.writable().is_none() {
            flags |= transmission::READ_ONLY | transmission::CAN_MULTI_CONN;
        }
        if self.structured { flags | transmission::SEND_DF } else { flags }
    }

    fn list(&mut self, data: &[u8]) -> io::Result<()> {
        if !data.is_empty() {
            return self.reply(opt::LIST, rep::ERR_INVALID, b"The option has no data");
        }
        for name in self.exports.names() {
            self.reply(opt::LIST, rep::SERVER, &counted(name))?;
        }
        self.reply(opt::LIST, rep::ACK, b"")
    }

    /// Tells of a disk, and begins with it if the option is `GO`.
    fn go(&mut self, option: u32, data: &[u8]) -> io::Result<Option<Agreed>> {
        let mut fields = Fields(data);
        let (Some(name), Some(n)) = (fields.text(), fields.u16()) else {
            self.reply(option, rep::ERR_INVALID, b"The option is cut off")?;
            return Ok(None);
        };
        let asked: Option<Vec<u16>> = (0..n).map(|_| fields.u16()).collect();
        let Some(asked) = asked.filter(|_| fields.0.is_empty()) else {
            self.reply(option, rep::ERR_INVALID, b"The option has another length than it says")?;
            return Ok(None);
        };
        let Some(export) = self.exports.find(&name).cloned() else {
            self.unknown(option)?;
            return Ok(None);
        };
        let mut out = info::EXPORT.to_be_bytes().to_vec();
        out.extend(export.disk().len().to_be_bytes());
        out.extend(self.flags(&*export).to_be_bytes());
        self.reply(option, rep::INFO, &out)?;
        if asked.contains(&info::BLOCK_SIZE) {
            let mut out = info::BLOCK_SIZE.to_be_bytes().to_vec();
            [1, PREFERRED, MOST].iter().for_each(|size| out.extend(size.to_be_bytes()));
            self.reply(option, rep::INFO, &out)?;
        }
        self.reply(option, rep::ACK, b"")?;
        Ok((option == opt::GO).then(|| self.agreed(&name, export)))
    }

    /// Lists or chooses metadata contexts, of which there is one.
    fn contexts(&mut self, option: u32, data: &[u8]) -> io::Result<()> {
        let mut fields = Fields(data);
        let set = option == opt::SET_META_CONTEXT;
        if set {
            self.allocation = None;
        }
        let parsed = fields.text().zip(fields.u32()).and_then(|(name, n)| {
            let queries: Option<Vec<String>> = (0..n).map(|_| fields.text()).collect();
            Some((name, queries?))
        });
        let Some((name, queries)) = parsed.filter(|_| fields.0.is_empty()) else {
            return self.reply(option, rep::ERR_INVALID, b"The option has another length than it says");
        };
        if !self.structured {
            return self.reply(option, rep::ERR_INVALID, b"Contexts need structured replies");
        }
        let Some(export) = self.exports.find(&name) else { return self.unknown(option) };
        let wanted = |query: &String| query == ALLOCATION || !set && query == "base:";
        if export.map().is_some() && (queries.iter().any(wanted) || !set && queries.is_empty()) {
            let id = if set { ALLOCATION_ID } else { 0 };
            let out = [&id.to_be_bytes()[..], ALLOCATION.as_bytes()].concat();
            self.reply(option, rep::META_CONTEXT, &out)?;
            if set {
                self.allocation = Some(name);
            }
        }
        self.reply(option, rep::ACK, b"")
    }
}

/// Data of an option, read from its beginning.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// A text after its length.
    fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// A text after its length.
fn counted(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat()
}

pub(super) fn array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut out = [0; N];
    stream.read_exact(&mut out)?;
    Ok(out)
}
