//! Two hierarchies of files.

use super::{Budget, Difference, Sink};
use crate::count;
use crate::fs::{FileSystem, Node};
use crate::shown;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io;

/// Deeper than any real hierarchy, and shallow enough for the stack.
const MAX_DEPTH: usize = 512;
/// Bytes compared at a time.
const STEP: usize = 64 << 10;

/// A file or directory that was compared: what each side has, whether anything
/// of it, or of what is directly in it, differs, and its path.
pub struct Seen<'a> {
    pub a: Option<&'a Node>,
    pub b: Option<&'a Node>,
    pub changed: bool,
    pub path: &'a [u8],
}

/// Is told what was compared: which of the two file systems' blocks are
/// accounted for depends on it.
pub type Watch<'a> = dyn FnMut(Seen<'_>) + 'a;

struct Walk<'a, 'w, 's> {
    place: &'a str,
    a: &'a dyn FileSystem,
    b: &'a dyn FileSystem,
    budget: &'a mut Budget,
    watch: &'a mut Watch<'w>,
    sink: &'a mut Sink<'s>,
    /// Directories that were entered: in a damaged image one may be in itself.
    seen: (BTreeSet<u64>, BTreeSet<u64>),
    path: Vec<u8>,
}

/// Compares what is at the two paths, and all below if they are directories.
///
/// # Errors
/// Error of `sink`; damage is a difference.
pub fn compare(
    place: &str,
    (a, path_a): (&dyn FileSystem, &[u8]),
    (b, path_b): (&dyn FileSystem, &[u8]),
    budget: &mut Budget,
    watch: &mut Watch<'_>,
    sink: &mut Sink<'_>,
) -> io::Result<()> {
    let trim = |p: &[u8]| {
        let end = p.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
        p[..end].iter().skip_while(|b| **b == b'/').copied().collect()
    };
    let (one, two) = match (a.find(path_a), b.find(path_b)) {
        (Ok(one), Ok(two)) => (one, two),
        (one, two) => {
            let say = |r: io::Result<Node>| r.map_or_else(|e| e.to_string(), |_| "readable".into());
            return sink(
                Difference::new(place, "unreadable", "the root of the compared trees").values(say(one), say(two)),
            );
        }
    };
    let seen = (BTreeSet::new(), BTreeSet::new());
    let mut walk = Walk { place, a, b, budget, watch, sink, seen, path: trim(path_a) };
    walk.pair(&one, &two, 0).map(|_| ())
}

/// An owner's name as text.
fn who(name: &str) -> String {
    shown::name(name.as_bytes())
}

impl Walk<'_, '_, '_> {
    fn here(&self) -> String {
        format!("{}: /{}", self.place, shown::name(&self.path))
    }

    fn say(&mut self, kind: &'static str, what: &str, values: Option<(String, String)>) -> io::Result<()> {
        let d = Difference::new(&self.here(), kind, what);
        (self.sink)(match values {
            Some((a, b)) => d.values(a, b),
            None => d,
        })
    }

    /// Compares two nodes at one path; returns whether they differ themselves.
    fn pair(&mut self, a: &Node, b: &Node, depth: usize) -> io::Result<bool> {
        let mut changed = self.attributes(a, b)?;
        let dirs = (a.meta.mode.is_dir(), b.meta.mode.is_dir());
        let mut inside = false;
        match dirs {
            (true, true) => inside = self.directory(a, b, depth)?,
            (false, false) => changed |= self.content(a, b)?,
            _ => {
                let kind = |dir| if dir { "directory" } else { "file" }.to_owned();
                self.say("kind", "kind", Some((kind(dirs.0), kind(dirs.1))))?;
                changed = true;
            }
        }
        let seen = Seen { a: Some(a), b: Some(b), changed: changed || inside, path: &self.path };
        (self.watch)(seen);
        Ok(changed)
    }

    fn attributes(&mut self, a: &Node, b: &Node) -> io::Result<bool> {
        let (x, y) = (&a.meta, &b.meta);
        let mut changed = false;
        let mut say = |kind, differs: bool, values: (String, String)| {
            changed |= differs;
            if differs { self.say(kind, kind, Some(values)) } else { Ok(()) }
        };
        let mode = |m: crate::tree::Mode| format!("{m}");
        say("mode", x.mode.0 != y.mode.0, (mode(x.mode), mode(y.mode)))?;
        say("owner", x.uid != y.uid, (who(&x.uid), who(&y.uid)))?;
        say("group", x.gid != y.gid, (who(&x.gid), who(&y.gid)))?;
        say("muid", x.muid != y.muid, (who(&x.muid), who(&y.muid)))?;
        say("mtime", x.mtime != y.mtime, (x.mtime.to_string(), y.mtime.to_string()))?;
        if let (Some(p), Some(q)) = (a.qid, b.qid) {
            say("qid", p != q, (format!("{p:x}"), format!("{q:x}")))?;
        }
        say("length", a.len != b.len, (a.len.to_string(), b.len.to_string()))?;
        Ok(changed)
    }

    fn content(&mut self, a: &Node, b: &Node) -> io::Result<bool> {
        let len = a.len.min(b.len);
        if !self.budget.take(len) {
            self.say(
                "unreadable",
                "not compared: the lengths of the image's files add up to more than its size allows",
                None,
            )?;
            return Ok(true);
        }
        let (mut left, mut right) = (vec![0; STEP], vec![0; STEP]);
        let mut at = 0;
        while at < len {
            let n = (len - at).min(STEP as u64) as usize;
            let read = (self.a.read_exact(a, at, &mut left[..n]), self.b.read_exact(b, at, &mut right[..n]));
            if let (Err(e), Err(f)) = &read
                && e.to_string() == f.to_string()
            {
                self.say("unreadable", &format!("from byte {at} on, on both sides: {e}"), None)?;
                return Ok(true);
            }
            if read.0.is_err() || read.1.is_err() {
                let say = |r: io::Result<()>| r.map_or_else(|e| e.to_string(), |()| "readable".into());
                self.say("unreadable", &format!("from byte {at} on"), Some((say(read.0), say(read.1))))?;
                return Ok(true);
            }
            if let Some(i) = left[..n].iter().zip(&right[..n]).position(|(x, y)| x != y) {
                let offset = at + i as u64;
                let values = (format!("{:02x}", left[i]), format!("{:02x}", right[i]));
                let d = Difference::new(&self.here(), "content", format!("content, first at byte {offset}"));
                (self.sink)(d.values(values.0, values.1).at(offset))?;
                return Ok(true);
            }
            at += n as u64;
        }
        Ok(a.len != b.len)
    }

    /// Compares what is in two directories; returns whether anything directly
    /// in them differs.
    fn directory(&mut self, a: &Node, b: &Node, depth: usize) -> io::Result<bool> {
        let fresh = (self.seen.0.insert(a.handle[0]), self.seen.1.insert(b.handle[0]));
        if depth >= MAX_DEPTH || fresh != (true, true) {
            self.say("unreadable", "not compared: the directory is nested too deep or in two places", None)?;
            return Ok(true);
        }
        let (left, right) = match (self.a.children(a), self.b.children(b)) {
            (Ok(left), Ok(right)) => (left, right),
            (left, right) => {
                let say = |r: io::Result<Vec<Node>>| r.map_or_else(|e| e.to_string(), |_| "readable".into());
                self.say("unreadable", "the directory", Some((say(left), say(right))))?;
                return Ok(true);
            }
        };
        let mut changed = false;
        let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
        loop {
            let order = match (l.peek(), r.peek()) {
                (None, None) => return Ok(changed),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(x), Some(y)) => x.name.cmp(&y.name),
            };
            let one = if order.is_le() { l.next() } else { None };
            let two = if order.is_ge() { r.next() } else { None };
            let Some(name) = one.or(two).map(|n| &n.name) else { return Ok(changed) };
            let keep = self.path.len();
            if keep > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            match (one, two) {
                (Some(x), Some(y)) => changed |= self.pair(x, y, depth + 1)?,
                (Some(x), None) => {
                    changed = true;
                    self.alone(x, true, depth + 1)?;
                }
                (None, Some(y)) => {
                    changed = true;
                    self.alone(y, false, depth + 1)?;
                }
                (None, None) => {}
            }
            self.path.truncate(keep);
        }
    }

    /// Names what only one side has, with all below.
    fn alone(&mut self, node: &Node, first: bool, depth: usize) -> io::Result<()> {
        let m = &node.meta;
        let text = format!("{} {} {} {}", m.mode, who(&m.uid), who(&m.gid), count::of(node.len, "byte"));
        let d = match first {
            true => Difference { a: Some(text), ..Difference::new(&self.here(), "removed", "is in the first only") },
            false => Difference { b: Some(text), ..Difference::new(&self.here(), "added", "is in the second only") },
        };
        (self.sink)(d)?;
        let (a, b) = if first { (Some(node), None) } else { (None, Some(node)) };
        (self.watch)(Seen { a, b, changed: true, path: &self.path });
        if !node.meta.mode.is_dir() {
            return Ok(());
        }
        let (fs, seen) = if first { (self.a, &mut self.seen.0) } else { (self.b, &mut self.seen.1) };
        if depth >= MAX_DEPTH || !seen.insert(node.handle[0]) {
            return self.say("unreadable", "not listed: the directory is nested too deep or in two places", None);
        }
        let children = match fs.children(node) {
            Ok(children) => children,
            Err(e) => return self.say("unreadable", &format!("the directory: {e}"), None),
        };
        for child in &children {
            let keep = self.path.len();
            if keep > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&child.name);
            self.alone(child, first, depth + 1)?;
            self.path.truncate(keep);
        }
        Ok(())
    }
}
