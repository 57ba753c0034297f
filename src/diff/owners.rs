//! Owners of blocks on both sides, and the consequences of a difference.

use super::{Difference, MOST, Sink, bytes};
use crate::shown;
use std::collections::HashMap;
use std::io;

/// Bytes of paths that are remembered for messages; hostile images have longer ones.
const PATHS: usize = 64 << 20;

/// Owner of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Something of it was named as a difference.
    pub changed: bool,
    /// For people: `data of /lib/ndb/local`.
    pub name: String,
}

/// Owners of one side by a number of the format: a tag, a first cluster.
#[derive(Debug)]
pub struct Owners {
    by: HashMap<u32, Owner>,
    room: usize,
}

impl Default for Owners {
    fn default() -> Self {
        Self { by: HashMap::new(), room: PATHS }
    }
}

impl Owners {
    pub fn add(&mut self, number: u32, what: &str, path: &[u8], changed: bool) {
        let room = self.room.checked_sub(path.len());
        self.room = room.unwrap_or(self.room);
        let path = if room.is_some() { shown::name(path) } else { format!("number {number}") };
        self.by.insert(number, Owner { changed, name: format!("{what} of /{path}") });
    }
    pub fn get(&self, number: u32) -> Option<&Owner> {
        self.by.get(&number)
    }
}

/// Reason why a block differs.
#[derive(Debug, PartialEq, Eq)]
pub enum Why {
    /// Because of a file that was named.
    Named,
    /// The two sides have other things there.
    Moved,
    /// For itself: whose it is, in words.
    Itself(String),
}

/// Reason why a block of these owners differs; `None` for a block without an
/// owner.
pub fn why(a: Option<&Owner>, b: Option<&Owner>) -> Why {
    match (a, b) {
        (None, None) => Why::Itself("free".into()),
        (Some(a), Some(b)) if a.name == b.name && !a.changed && !b.changed => Why::Itself(a.name.clone()),
        (a, b) if a.into_iter().chain(b).any(|o| o.changed) => Why::Named,
        _ => Why::Moved,
    }
}

/// Differing blocks, sorted by why.
#[derive(Debug, Default)]
pub struct Blocks {
    own: Vec<Difference>,
    own_count: u64,
    moved: u64,
}

impl Blocks {
    /// Takes up a block; `say` makes the difference when it is one for itself.
    pub fn add(&mut self, why: &Why, say: impl FnOnce(&str) -> Difference) {
        match why {
            Why::Named => {}
            Why::Moved => self.moved += 1,
            Why::Itself(owner) => {
                self.own_count += 1;
                if self.own.len() < MOST {
                    self.own.push(say(owner));
                }
            }
        }
    }

    /// Reports what was taken up; `noun` is what a block is called.
    ///
    /// # Errors
    /// Error of `sink`.
    pub fn report(self, place: &str, kind: &'static str, noun: &str, sink: &mut Sink<'_>) -> io::Result<()> {
        let named = self.own.len();
        self.own.into_iter().try_for_each(&mut *sink)?;
        bytes::rest(place, kind, noun, self.own_count, named, noun, sink)?;
        match self.moved {
            0 => Ok(()),
            n => {
                sink(Difference::new(place, "placement", format!("{n} {noun} have other files than on the other side")))
            }
        }
    }
}
