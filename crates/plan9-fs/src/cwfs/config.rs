//! The configuration: the text in block 0, and the devices that it names
//! (`/sys/src/cmd/cwfs/config.c`, fsconfig(8)).

use super::format::{BLOCK, DIRECT, NAME};
use crate::shared::shape::LEVELS;

/// Longest word, bytes.
const MAX_WORD: usize = 256;
/// Bytes that fstype(8) reads to tell which server a partition needs.
pub(super) const FSTYPE: usize = 512;
/// The server's constants, which tell it from other servers.
const CONSTANTS: [(&str, u64); 5] = [
    ("blocksize", BLOCK as u64),
    ("daddrbits", 64),
    ("indirblks", LEVELS as u64),
    ("dirblks", DIRECT as u64),
    ("namelen", NAME as u64),
];
/// Words without a value, but for `newcache`.
const FLAGS: [&str; 4] = ["noauth", "nonone", "noatime", "readonly"];
/// Words whose value the server skips; some end in a digit.
const OBSOLETE: [&str; 5] = ["ipauth", "ip", "ipgw", "ipsntp", "ipmask"];

/// Configuration of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Name of the service, which the server posts in `/srv`.
    pub service: String,
    /// File systems by name, with their devices as they are written.
    pub filsys: Vec<(String, String)>,
    /// Whether the line `newcache` is there: the cache is to be made anew.
    pub newcache: bool,
    /// Other words that are lines of their own, such as `noauth`.
    pub flags: Vec<String>,
    /// Whether all constants are there, so that fstype(8) knows the server.
    pub is_marked: bool,
}

/// Device of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A file of Plan 9, such as `/dev/sdC0/other`.
    File(String),
    /// A cache before a worm.
    Cached(String, String),
    /// The dumps of the cached worm that was named last.
    Dumps,
}

impl Config {
    /// Reads a configuration's text, up to a zero.
    ///
    /// # Errors
    /// Description of the line that the server would stop at, or of a constant
    /// of another server.
    pub fn parse(block: &[u8]) -> Result<Self, String> {
        let end = block.iter().position(|b| *b == 0).unwrap_or(block.len());
        let text = std::str::from_utf8(&block[..end]).map_err(|_| "it is not text".to_owned())?;
        let mut out = Self::default();
        let mut constants = 0;
        for (i, line) in text.lines().enumerate() {
            let wrong = |what: String| Err(format!("line {}: {what}", i + 1));
            let mut words = line.split_ascii_whitespace();
            // The server stops at an empty line.
            let Some(word) = words.next() else { break };
            if line.split_ascii_whitespace().any(|w| w.len() >= MAX_WORD) {
                return wrong(format!("a word has {MAX_WORD} bytes or more"));
            }
            let name = word.strip_suffix(|c: char| c.is_ascii_digit()).unwrap_or(word);
            match word {
                _ if word.starts_with('#') => continue,
                "service" => out.service = words.next().unwrap_or_default().into(),
                "newcache" => out.newcache = true,
                _ if FLAGS.contains(&word) => out.flags.push(word.into()),
                _ if OBSOLETE.contains(&name) => drop(words.next()),
                "filsys" => {
                    let (name, device) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                    out.filsys.retain(|(n, _)| n != name);
                    if !device.is_empty() {
                        out.filsys.push((name.into(), device.into()));
                    }
                }
                _ => {
                    let Some((_, want)) = CONSTANTS.iter().find(|(c, _)| *c == word) else {
                        return wrong(format!("{word:?} is not a word of a configuration"));
                    };
                    let value = words.next().unwrap_or_default();
                    if value != want.to_string() {
                        return wrong(format!("{word} is {value}, but cwfs64x has {want}"));
                    }
                    constants += usize::from(text.len() <= FSTYPE);
                }
            }
            if let Some(more) = words.next() {
                return wrong(format!("{more:?} is one word too many"));
            }
        }
        out.is_marked = constants == CONSTANTS.len();
        Ok(out)
    }

    /// The device of a file system.
    ///
    /// # Errors
    /// Fails when there is no device of that name, or p9img cannot read such a
    /// device.
    pub fn device(&self, name: &str) -> Result<Device, String> {
        let found = self.filsys.iter().find(|(n, _)| n == name);
        let (_, text) = found.ok_or_else(|| format!("it has no filsys {name}"))?;
        let mut rest = text.as_str();
        let device = expression(&mut rest, 0).map_err(|why| format!("filsys {name} {text}: {why}"))?;
        match rest {
            "" => Ok(device),
            more => Err(format!("filsys {name} {text}: {more:?} is unexpected")),
        }
    }
}

/// Reads one device from the front of `rest`.
fn expression(rest: &mut &str, depth: usize) -> Result<Device, String> {
    if depth > 8 {
        return Err("parentheses are nested deeper than 8".into());
    }
    let first = rest.chars().next().ok_or("a device is missing")?;
    match first {
        '/' => {
            let text = *rest;
            let end = text.find([')', ']', '}']).unwrap_or(text.len());
            let (path, tail) = text.split_at(end);
            *rest = tail;
            Ok(Device::File(path.into()))
        }
        quote @ ('"' | '\'') => {
            *rest = &rest[1..];
            let text = *rest;
            let (path, tail) = text.split_once(quote).ok_or("a quote is not closed")?;
            *rest = tail;
            Ok(Device::File(path.into()))
        }
        'w' if rest[1..].starts_with(['/', '"', '\'']) => {
            *rest = &rest[1..];
            expression(rest, depth + 1)
        }
        '(' => {
            *rest = &rest[1..];
            let inner = expression(rest, depth + 1)?;
            match rest.strip_prefix(')') {
                Some(tail) => *rest = tail,
                None => return Err("p9img does not read a device that is composed of others".into()),
            }
            Ok(inner)
        }
        'c' => {
            *rest = &rest[1..];
            match (expression(rest, depth + 1)?, expression(rest, depth + 1)?) {
                (Device::File(cache), Device::File(worm)) => Ok(Device::Cached(cache, worm)),
                _ => Err("p9img reads a cached worm only if cache and worm are files".into()),
            }
        }
        'o' => {
            *rest = &rest[1..];
            Ok(Device::Dumps)
        }
        'f' | 'n' | 'w' | 'r' | 'l' | 'j' | 'p' | 'x' | '[' | '{' => {
            Err(format!("p9img does not read a device that begins with {first}, only files and c with two files"))
        }
        other => Err(format!("there is no device that begins with {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "service cwfs\nfilsys main c(/dev/sdC0/fscache)(/dev/sdC0/fsworm)\nfilsys dump o\n\
        filsys other (/dev/sdC0/other)\nnoauth\nnewcache\nip0 10.0.0.1\n# no more\nblocksize 16384\ndaddrbits 64\n\
        indirblks 4\ndirblks 6\nnamelen 144\n";

    #[test]
    fn what_the_installer_writes_is_understood() {
        let c = Config::parse(TEXT.as_bytes()).unwrap();
        assert_eq!((c.service.as_str(), c.newcache, c.is_marked), ("cwfs", true, true));
        assert_eq!(c.flags, ["noauth"]);
        let cached = Device::Cached("/dev/sdC0/fscache".into(), "/dev/sdC0/fsworm".into());
        assert_eq!(c.device("main"), Ok(cached));
        assert_eq!(c.device("dump"), Ok(Device::Dumps));
        assert_eq!(c.device("other"), Ok(Device::File("/dev/sdC0/other".into())));
        assert_eq!(c.device("more"), Err("it has no filsys more".into()));
        // A zero or an empty line ends it.
        for more in ["\0junk", "\njunk\n"] {
            assert_eq!(Config::parse(format!("{TEXT}{more}").as_bytes()), Ok(c.clone()));
        }
        let long = format!("{}{TEXT}", format!("#{}\n", "x".repeat(200)).repeat(2));
        assert!(!Config::parse(long.as_bytes()).unwrap().is_marked);
    }

    #[test]
    fn devices_are_read_as_the_server_does() {
        let device = |text: &str| {
            let config = Config { filsys: vec![("x".into(), text.into())], ..Config::default() };
            config.device("x").map_err(|e| e.split(": ").last().unwrap_or_default().to_owned())
        };
        let file = |path: &str| Ok(Device::File(path.into()));
        let cached = |a: &str, b: &str| Ok(Device::Cached(a.into(), b.into()));
        assert_eq!(device("/a/b"), file("/a/b"));
        assert_eq!(device("w'/a b'"), file("/a b"));
        assert_eq!(device("((\"/a)\"))"), file("/a)"));
        assert_eq!(device("c\"/a\"w/b"), cached("/a", "/b"));
        for (text, words) in [
            ("", "it has no filsys x"),
            ("c(/a)", "a device is missing"),
            ("cf(/a)(/b)", "a device that begins with f"),
            ("(/a", "composed of others"),
            ("(w'/a'w'/b')", "composed of others"),
            ("\"/a", "a quote is not closed"),
            ("c(/a)(/b)(/c)", "\"(/c)\" is unexpected"),
            ("q", "no device that begins with 'q'"),
            ("co(/a)", "only if cache and worm are files"),
            (&"(".repeat(50), "nested deeper than 8"),
        ] {
            let config = Config { filsys: vec![("x".into(), text.into())], ..Config::default() };
            let config = if text.is_empty() { Config::default() } else { config };
            let e = config.device("x").unwrap_err();
            assert!(e.contains(words), "{text}: {e}");
        }
    }

    #[test]
    fn what_the_server_stops_at_is_refused() {
        for (text, words) in [
            ("service a b\n", "line 1: \"b\" is one word too many"),
            ("service a\nserve b\n", "line 2: \"serve\" is not a word"),
            ("namelen 56\n", "line 1: namelen is 56, but cwfs64x has 144"),
            (&format!("service {}\n", "x".repeat(256)), "a word has 256 bytes"),
        ] {
            let e = Config::parse(text.as_bytes()).unwrap_err();
            assert!(e.contains(words), "{text}: {e}");
        }
        assert_eq!(Config::parse(&[0xff]), Err("it is not text".into()));
    }
}
