//! Script for U-Boot: the file `boot.scr` of a FAT partition.
//!
//! U-Boot's legacy image is a header of 64 bytes and the data. All numbers are
//! 32 bits, most significant byte first:
//!
//! | at | what |
//! |---|---|
//! | 0 | magic, 0x27051956 |
//! | 4 | CRC-32 of the header, this field being 0 |
//! | 8 | time, seconds since 1970 |
//! | 12 | bytes of data |
//! | 16, 20 | load address and entry point; 0 for a script |
//! | 24 | CRC-32 of the data |
//! | 28 | one byte each: system, processor, type (6: script), compression (0: any, none) |
//! | 32 | name, padded with zeros |
//!
//! The data of a script is the length of its text, a zero that ends the list of
//! lengths, and the text. `/sys/src/cmd/aux/txt2uimage.c` of 9front writes the
//! same.

use flate2::Crc;

const MAGIC: u32 = 0x2705_1956;
const SCRIPT: u8 = 6;
const NAME: &[u8] = b"boot.txt";

/// The file `boot.scr` that has U-Boot run `text`, made at `epoch` (seconds
/// since 1970).
pub fn script(text: &str, epoch: u32) -> Vec<u8> {
    let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let data = [&len(text.len()), &[0; 4], text.as_bytes()].concat();
    let mut header = Vec::with_capacity(64 + data.len());
    for word in [MAGIC, 0, epoch] {
        header.extend(word.to_be_bytes());
    }
    header.extend(len(data.len()));
    header.extend([0; 8]);
    header.extend(crc(&data).to_be_bytes());
    header.extend([0, 0, SCRIPT, 0]);
    header.extend(NAME);
    header.resize(64, 0);
    let sum = crc(&header).to_be_bytes();
    header[4..8].copy_from_slice(&sum);
    header.extend(data);
    header
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_a_header_and_its_text() {
        let file = script("echo hi\n", 1_767_225_600);
        assert_eq!(file.len(), 64 + 8 + 8);
        assert_eq!(file[..4], [0x27, 5, 0x19, 0x56]);
        assert_eq!(file[8..16], [0x69, 0x55, 0xB9, 0, 0, 0, 0, 16]);
        assert_eq!(file[28..41], *b"\0\0\x06\0boot.txt\0");
        assert_eq!(file[64..], *b"\0\0\0\x08\0\0\0\0echo hi\n");
        // Both sums as U-Boot computes them.
        let mut header = file[..64].to_vec();
        header[4..8].fill(0);
        assert_eq!(crc(&header).to_be_bytes(), file[4..8]);
        assert_eq!(crc(&file[64..]).to_be_bytes(), file[24..28]);
    }
}
