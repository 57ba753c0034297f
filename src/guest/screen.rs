//! A guest's screen: is rio(1) on it?

use std::io;

/// The grey that rio paints what no window covers with (`background` in
/// `/sys/src/cmd/rio/data.c`), as one channel.
const GREY: u8 = 0x77;
/// Largest difference from it on a screen with fewer bits per pixel; with 16,
/// grey is `73 75 73`.
const NEAR: u8 = 8;
/// One of so many pixels must be grey: more than a cursor or a letter, less
/// than what windows leave of a screen.
const SHARE: usize = 100;
/// Pixels of the largest screen that is looked at.
const MOST: usize = 64 << 20;

/// A picture: red, green and blue of each pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    pixels: Vec<[u8; 3]>,
}

impl Screen {
    /// Reads a portable pixmap, which runners write.
    ///
    /// # Errors
    /// Fails when it is none, or cut off.
    pub fn from_ppm(bytes: &[u8]) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "The picture of the screen is not a complete pixmap");
        let mut rest = bytes.strip_prefix(b"P6").ok_or_else(bad)?;
        let mut number = || {
            let start = rest.iter().position(|b| !b.is_ascii_whitespace())?;
            let digits = rest[start..].iter().position(|b| !b.is_ascii_digit())?;
            let (text, after) = rest[start..].split_at(digits);
            rest = after;
            std::str::from_utf8(text).ok()?.parse::<usize>().ok()
        };
        let (Some(width), Some(height), Some(255)) = (number(), number(), number()) else { return Err(bad()) };
        let len = width.checked_mul(height).filter(|n| *n <= MOST).ok_or_else(bad)?;
        // One blank ends the head.
        let (pixels, _) = rest.get(1..).unwrap_or_default().as_chunks::<3>();
        let pixels = pixels.get(..len).ok_or_else(bad)?;
        Ok(Self { pixels: pixels.to_vec() })
    }

    /// Whether some of it is as rio leaves it where there is no window.
    pub fn shows_rio(&self) -> bool {
        let grey = |p: &&[u8; 3]| p.iter().all(|c| c.abs_diff(GREY) <= NEAR);
        let count = self.pixels.iter().filter(grey).count();
        count > 0 && count >= self.pixels.len() / SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A screen of 640 by 480 of which the first `many` pixels have one colour
    /// and all others another.
    fn screen(many: usize, first: [u8; 3], then: [u8; 3]) -> Vec<u8> {
        let mut out = b"P6\n640 480\n255\n".to_vec();
        (0..640 * 480).for_each(|i| out.extend(if i < many { first } else { then }));
        out
    }

    fn shows_rio(many: usize, first: [u8; 3], then: [u8; 3]) -> bool {
        Screen::from_ppm(&screen(many, first, then)).unwrap().shows_rio()
    }

    #[test]
    fn rio_is_told_from_consoles_and_blank_screens() {
        const BLACK: [u8; 3] = [0; 3];
        const WHITE: [u8; 3] = [0xFF; 3];
        // As seen with 16, 8 and 32 bits a pixel, under windows that cover nearly all.
        for grey in [[0x73, 0x75, 0x73], [0x77; 3], [0x7B, 0x79, 0x7B]] {
            assert!(shows_rio(640 * 480, grey, BLACK), "{grey:x?}");
            assert!(shows_rio(640 * 480 / 50, grey, WHITE), "{grey:x?}");
            // A cursor, a line of letters.
            assert!(!shows_rio(1000, grey, BLACK), "{grey:x?}");
        }
        // The console of a kernel, VGA's text, acme.
        for (first, then) in [(WHITE, BLACK), ([0xAA; 3], BLACK), ([0xFF, 0xFF, 0xEA], [0xEA, 0xFF, 0xFF])] {
            assert!(!shows_rio(5000, first, then), "{first:x?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let good = screen(1, [1; 3], [2; 3]);
        for len in [0, 1, 2, 5, 9, 14, 15, 100, good.len() - 1] {
            assert!(Screen::from_ppm(&good[..len]).is_err(), "{len} bytes");
        }
        for bad in
            ["P6\n99999999999 9\n255\n", "P6\n4294967296 4294967296\n255\n", "P6 1 1 65535\n......", "P5 1 1 255\n..."]
        {
            assert!(Screen::from_ppm(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(!Screen::from_ppm(b"P6\n0 0\n255\n").unwrap().shows_rio());
    }
}
