//! A small store of recently used pieces of an image, such as tables and
//! inflated clusters. Bounded in pieces; the oldest use goes first.

use crate::poison::IgnorePoison as _;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

pub struct Cache<T: ?Sized> {
    pieces: Mutex<VecDeque<(u64, Arc<T>)>>,
    most: usize,
}

impl<T: ?Sized> Cache<T> {
    /// A cache of at most `most` pieces.
    pub fn new(most: usize) -> Self {
        Self { pieces: Mutex::new(VecDeque::new()), most: most.max(1) }
    }

    /// The piece called `key`, made by `make` when it is not there. Two
    /// threads may make the same piece; the lock is not held meanwhile.
    pub fn get<E>(&self, key: u64, make: impl FnOnce() -> Result<Arc<T>, E>) -> Result<Arc<T>, E> {
        {
            let mut pieces = self.pieces.lock().ignore_poison();
            if let Some(i) = pieces.iter().position(|(k, _)| *k == key)
                && let Some(hit) = pieces.remove(i)
            {
                let piece = hit.1.clone();
                pieces.push_front(hit);
                return Ok(piece);
            }
        }
        let piece = make()?;
        let mut pieces = self.pieces.lock().ignore_poison();
        pieces.truncate(self.most - 1);
        pieces.push_front((key, piece.clone()));
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_used_last() {
        let cache: Cache<u64> = Cache::new(2);
        let get = |key: u64, made: &mut Vec<u64>| {
            let piece: Result<_, ()> = cache.get(key, || {
                made.push(key);
                Ok(Arc::new(key))
            });
            assert_eq!(*piece.unwrap(), key);
        };
        let mut made = Vec::new();
        for key in [1, 2, 1, 3, 1, 2] {
            get(key, &mut made);
        }
        assert_eq!(made, [1, 2, 3, 2]);
    }
}
