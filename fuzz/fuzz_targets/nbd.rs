//! A client that says anything to the server of a disk.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p9img::nbd::{Export, Exports, Fixed, Session, WriteAt};
use p9img::read_at::ReadAt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

/// The client's bytes; what the server says is counted.
struct Client<'a> {
    says: &'a [u8],
    heard: u64,
}

impl Read for Client<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.says.read(buf)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk in memory.
struct Memory(Mutex<Vec<u8>>);

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        1 << 20
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.lock().expect("one thread").read_at(offset, buf)
    }
}

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Beyond its end would be a fault of the server, which must have looked.
        self.0.lock().expect("one thread")[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Export for Memory {
    fn disk(&self) -> &dyn ReadAt {
        self
    }

    fn writable(&self) -> Option<&dyn WriteAt> {
        Some(self)
    }
}

/// The beginnings of sessions that have come to a disk: with simple replies, and with
/// structured ones and the context.
fn begun(structured: bool) -> Vec<u8> {
    let mut out = 3_u32.to_be_bytes().to_vec();
    let mut option = |number: u32, data: &[u8]| {
        out.extend(b"IHAVEOPT");
        out.extend(number.to_be_bytes());
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(data);
    };
    if structured {
        option(8, b"");
        option(10, b"\0\0\0\x01d\0\0\0\x01\0\0\0\x0fbase:allocation");
    }
    option(7, b"\0\0\0\x01d\0\0");
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut says = match kind & 3 {
        0 => Vec::new(),
        n => begun(n == 1),
    };
    // Requests of 28 bytes: the magic and the high bytes of the numbers are given.
    if kind & 3 != 0 && kind & 4 != 0 {
        for piece in rest.chunks_exact(8) {
            says.extend([0x25, 0x60, 0x95, 0x13, 0, piece[0], 0, piece[1], 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0]);
            says.extend([piece[2], piece[3], piece[4], 0, piece[5], piece[6], piece[7]]);
        }
    } else {
        says.extend(rest);
    }
    let export: Arc<dyn Export> = match kind & 8 {
        0 => Arc::new(Memory(Mutex::new(vec![0; 1 << 20]))),
        _ => Arc::new(Fixed::new(Arc::new(vec![7; 100_000]))),
    };
    let exports = Exports::new([("d".to_owned(), export)]);
    let mut client = Client { says: &says, heard: 0 };
    let _ = Session::new(&mut client, &exports).run();
    assert!(client.heard >= 18, "its greeting");
});
