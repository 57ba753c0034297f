//! Writing an image to a card, and proving that it is there.
//!
//! All of the image is written, zeros too: what an old card holds must not be
//! taken for something. The start, with the partition table, comes last, so
//! that a card whose writing was broken off does not look like a good one. Then
//! the card, not the host's memory of it, is read back and compared: a card
//! that has less than it says gives itself away here.
//!
//! It asks no other folder.

mod device;

pub use device::{Device, DeviceError, Facts};

use crate::count;
use crate::read_at::ReadAt;
use std::io;

/// Bytes written and compared at a time.
pub const STEP: u64 = 4 << 20;

/// Something that an image can be written to.
pub trait Target {
    /// Bytes.
    fn len(&self) -> u64;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// # Errors
    /// Error of the operating system.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// # Errors
    /// Error of the operating system.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Brings everything onto the card, and forgets what this host remembers
    /// of it, so that reading means the card.
    ///
    /// # Errors
    /// Error of the operating system.
    fn settle(&self) -> io::Result<()>;
}

/// Half of the work: the card is written, then compared with the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Writing,
    Verifying,
}

/// Reason why an image is not on a card.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    #[error(
        "The image has {need}, but the card has {have}: use a larger card, or a smaller `card` in the lab", need = count::of(need, "byte")
    )]
    TooSmall { need: u64, have: u64 },
    #[error("Cannot read byte {offset} of the image")]
    Image { offset: u64, source: io::Error },
    #[error("Cannot write byte {offset} of the card: its first sectors are not written, so no board starts from it")]
    Write { offset: u64, source: io::Error },
    #[error("Cannot read byte {offset} of the card back")]
    Read { offset: u64, source: io::Error },
    #[error("Cannot write everything to the card")]
    Settle(#[source] io::Error),
    #[error(
        "Byte {offset} of the card is {found:#04x}, but {expected:#04x} was written there: the card is worn out, or \
         has less room than it claims"
    )]
    Differs { offset: u64, expected: u8, found: u8 },
    #[error("Broken off: the card is not complete")]
    Interrupted,
}

/// Writes `image` to `card` and compares. `go_on` hears how many bytes of the
/// image a phase has done, and says whether to go on.
///
/// # Errors
/// Fails when the card is too small, does not hold what was written, or an
/// access fails.
pub fn flash(image: &dyn ReadAt, card: &dyn Target, go_on: &dyn Fn(Phase, u64) -> bool) -> Result<(), FlashError> {
    let len = image.len();
    if len > card.len() {
        return Err(FlashError::TooSmall { need: len, have: card.len() });
    }
    let mut buffer = vec![0; STEP as usize];
    let steps = || (0..len).step_by(STEP as usize);
    let mut done = 0;
    // The first step last.
    for offset in steps().skip(1).chain(steps().take(1)) {
        let bytes = &mut buffer[..(len - offset).min(STEP) as usize];
        image.read_at(offset, bytes).map_err(|source| FlashError::Image { offset, source })?;
        card.write_at(offset, bytes).map_err(|source| FlashError::Write { offset, source })?;
        done += bytes.len() as u64;
        if !go_on(Phase::Writing, done) {
            return Err(FlashError::Interrupted);
        }
    }
    card.settle().map_err(FlashError::Settle)?;
    let mut found = vec![0; STEP as usize];
    for offset in steps() {
        let n = (len - offset).min(STEP) as usize;
        let (wanted, found) = (&mut buffer[..n], &mut found[..n]);
        image.read_at(offset, wanted).map_err(|source| FlashError::Image { offset, source })?;
        card.read_at(offset, found).map_err(|source| FlashError::Read { offset, source })?;
        if let Some(at) = wanted.iter().zip(found.iter()).position(|(a, b)| a != b) {
            return Err(FlashError::Differs { offset: offset + at as u64, expected: wanted[at], found: found[at] });
        }
        if !go_on(Phase::Verifying, offset + n as u64) {
            return Err(FlashError::Interrupted);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A card that says `says` bytes and has `has`: an offset past them goes to
    /// the start again, as with forged ones.
    struct Card {
        says: u64,
        has: usize,
        bytes: RefCell<Vec<u8>>,
        order: RefCell<Vec<u64>>,
    }

    impl Card {
        fn new(says: u64, has: u64) -> Self {
            let has = has as usize;
            Self { says, has, bytes: vec![0xAA; has].into(), order: Vec::new().into() }
        }
    }

    impl Target for Card {
        fn len(&self) -> u64 {
            self.says
        }
        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.order.borrow_mut().push(offset);
            for (i, b) in bytes.iter().enumerate() {
                self.bytes.borrow_mut()[(offset as usize + i) % self.has] = *b;
            }
            Ok(())
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            for (i, b) in buf.iter_mut().enumerate() {
                *b = self.bytes.borrow()[(offset as usize + i) % self.has];
            }
            Ok(())
        }
        fn settle(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn image(len: u64) -> Vec<u8> {
        (0..len).map(|i| (i / STEP + i % 251) as u8).collect()
    }

    #[test]
    fn all_is_written_the_start_last() {
        let card = Card::new(3 * STEP, 3 * STEP);
        let image = image(2 * STEP + 512);
        let heard = RefCell::new(Vec::new());
        flash(&image, &card, &|phase, done| {
            heard.borrow_mut().push((phase, done));
            true
        })
        .unwrap();
        assert_eq!(*card.order.borrow(), [STEP, 2 * STEP, 0]);
        assert!(card.bytes.borrow()[..image.len()] == image);
        assert!(card.bytes.borrow()[image.len()..].iter().all(|b| *b == 0xAA));
        let heard = heard.into_inner();
        assert_eq!(heard.first(), Some(&(Phase::Writing, STEP)));
        assert_eq!(heard.last(), Some(&(Phase::Verifying, image.len() as u64)));
    }

    #[test]
    fn a_card_with_less_than_it_says_is_found_out() {
        let card = Card::new(4 * STEP, 2 * STEP);
        let said = flash(&image(3 * STEP), &card, &|_, _| true).unwrap_err();
        assert!(matches!(said, FlashError::Differs { .. }), "{said}");
        assert!(said.to_string().contains("has less room than it claims"));
    }

    #[test]
    fn what_does_not_fit_is_refused_before_a_byte_is_written() {
        let card = Card::new(STEP, STEP);
        assert!(matches!(flash(&image(STEP + 512), &card, &|_, _| true), Err(FlashError::TooSmall { .. })));
        assert!(card.order.borrow().is_empty());
    }

    #[test]
    fn broken_off_it_leaves_no_partition_table() {
        let card = Card::new(3 * STEP, 3 * STEP);
        let stopped = flash(&image(3 * STEP), &card, &|_, done| done < 2 * STEP);
        assert!(matches!(stopped, Err(FlashError::Interrupted)));
        assert!(card.bytes.borrow()[..512].iter().all(|b| *b == 0xAA));
    }
}
