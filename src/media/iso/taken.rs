//! Owners of the bytes of an image.

use std::collections::BTreeMap;

/// Extents that do not overlap, each with its owner.
#[derive(Default)]
pub struct Taken(BTreeMap<u64, Part>);

struct Part {
    end: u64,
    node: u32,
    is_file: bool,
}

impl Taken {
    /// Makes the bytes from `start` to `end` those of `node`. Files may share
    /// all of their bytes: that is how images hold equal files once.
    ///
    /// # Errors
    /// With the node that has some of the bytes already, and the first of them.
    pub fn take(&mut self, start: u64, end: u64, node: u32, is_file: bool) -> Result<(), (u32, u64)> {
        if start >= end {
            return Ok(());
        }
        if let Some((from, before)) = self.0.range(..=start).next_back()
            && before.end > start
        {
            let same = *from == start && before.end == end;
            return if same && is_file && before.is_file { Ok(()) } else { Err((before.node, start)) };
        }
        if let Some((from, after)) = self.0.range(start..end).next() {
            return Err((after.node, *from));
        }
        self.0.insert(start, Part { end, node, is_file });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_share_and_only_all_of_their_bytes() {
        let mut taken = Taken::default();
        assert_eq!(taken.take(10, 20, 1, true), Ok(()));
        assert_eq!(taken.take(30, 40, 2, false), Ok(()));
        assert_eq!(taken.take(20, 30, 3, true), Ok(()), "neighbours on both sides");
        assert_eq!(taken.take(10, 20, 4, true), Ok(()), "the same bytes");
        assert_eq!(taken.take(15, 15, 4, true), Ok(()), "no bytes");
        for (start, end, is_file, found) in [
            (10, 20, false, (1, 10)),
            (30, 40, true, (2, 30)),
            (10, 19, true, (1, 10)),
            (10, 21, true, (1, 10)),
            (19, 25, true, (1, 19)),
            (0, 11, true, (1, 10)),
            (0, 90, true, (1, 10)),
        ] {
            assert_eq!(taken.take(start, end, 9, is_file), Err(found), "{start} to {end}");
        }
    }
}
