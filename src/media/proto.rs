//! Owners and modes from a proto file of 9front.
//!
//! 9front has no database of its files. Its release is made from
//! `sys/lib/sysconfig/proto/distproto`, which names folders, gives some things
//! an owner, and lets what is below inherit it; see proto(2). A copy on a host
//! has lost owners, modes and empty folders, and these come back from there.
//! Files that `skip=` leaves out of a release stay in the tree if the medium
//! has them.

use super::listing::{Attributes, Listing, PathError};
use super::metadata::Database;
use crate::tree::{Content, DMAPPEND, DMDIR, DMEXCL, DMTMP, Meta, Mode};
use std::collections::BTreeMap;

/// The proto's path inside a medium.
pub const PATH: &str = "sys/lib/sysconfig/proto/distproto";
/// Longest proto that is read, in bytes: 9front's has 10 KiB.
pub const MAX: u64 = 1 << 20;
/// Deepest folder of a proto.
const MAX_DEPTH: usize = 64;
/// Most bits that a mode may change: what `mode=` without a letter is about.
const ALL: u32 = 0o666;

/// Owner, group and mode that what follows gets.
#[derive(Clone, Default)]
struct Inherited {
    uid: Option<String>,
    gid: Option<String>,
    mode: u32,
    mask: u32,
}

/// One line.
struct Line<'a> {
    indent: usize,
    fields: Vec<&'a str>,
}

/// Metadata that the proto `text` gives to the files in `listing`; files that
/// it makes from others (empty logs) are added there. `epoch` is everything's
/// time.
///
/// # Errors
/// Fails when a file that it makes cannot be in a Plan 9 tree.
pub fn database(text: &str, listing: &mut Listing, epoch: u32) -> Result<Database, PathError> {
    let lines: Vec<Line<'_>> = text.lines().filter_map(line).collect();
    let machines: Vec<String> = listing
        .children("")
        .filter(|(name, dir, _)| *dir && listing.is_dir(&format!("{name}/bin")))
        .map(|(name, ..)| name)
        .collect();
    let mut proto = Proto { listing, machines, epoch, records: BTreeMap::new(), made: Vec::new() };
    proto.below(&lines, &mut 0, None, "", &Inherited::default(), 0);
    let Proto { records, made, .. } = proto;
    for (path, content) in made {
        listing.file(path.as_bytes(), Attributes::Unix { executable: false }, content)?;
    }
    Ok(Database::new(records))
}

/// Paths of the files that a proto names one by one, and does not make from
/// others: what a release cannot lack.
pub fn files(text: &str) -> Vec<String> {
    // Names of the folders that lead to a line, with their indents.
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut out = Vec::new();
    let lines: Vec<Line<'_>> = text.lines().filter_map(line).collect();
    for (i, l) in lines.iter().enumerate() {
        let name = l.fields[0];
        if name.contains('=') || matches!(name, "*" | "+") {
            continue;
        }
        above.retain(|(indent, _)| *indent < l.indent);
        above.push((l.indent, name));
        let dir = l.fields.get(1).is_some_and(|mode| mode.starts_with('d'));
        let more = lines.get(i + 1).is_some_and(|next| next.indent > l.indent);
        let made = l.fields.get(4).is_some_and(|from| *from != "-");
        let names: Vec<&str> = above.iter().map(|(_, name)| *name).collect();
        if !dir && !more && !made && !names.contains(&"$objtype") {
            out.push(names.join("/"));
        }
    }
    out
}

fn line(text: &str) -> Option<Line<'_>> {
    let indent = text.bytes().map_while(|b| match b {
        b'\t' => Some(8),
        b' ' => Some(1),
        _ => None,
    });
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    (fields.first().is_some_and(|f| !f.starts_with('#'))).then(|| Line { indent: indent.sum(), fields })
}

struct Proto<'a> {
    listing: &'a Listing,
    /// Values of `$objtype`.
    machines: Vec<String>,
    epoch: u32,
    records: BTreeMap<Vec<u8>, Meta>,
    made: Vec<(String, Content)>,
}

impl Proto<'_> {
    /// Reads the lines that are indented more than `above`, from `at` on.
    fn below(
        &mut self,
        lines: &[Line<'_>],
        at: &mut usize,
        above: Option<usize>,
        dir: &str,
        from: &Inherited,
        depth: usize,
    ) {
        let mut own = from.clone();
        while let Some(l) = lines.get(*at).filter(|l| above.is_none_or(|a| l.indent > a)) {
            *at += 1;
            let name = l.fields[0];
            if let Some((key, value)) = name.split_once('=') {
                own.set(key, value);
                continue;
            }
            if matches!(name, "*" | "+") {
                self.all(dir, name == "+", &own);
                continue;
            }
            let names = if name == "$objtype" { self.machines.clone() } else { vec![name.to_owned()] };
            let after = *at;
            for name in names {
                *at = after;
                let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
                self.one(&path, l, &own);
                if depth < MAX_DEPTH {
                    self.below(lines, at, Some(l.indent), &path, &own, depth + 1);
                }
            }
            // Without machines, and too deep, what belongs to the line is passed over.
            while lines.get(*at).is_some_and(|next| next.indent > l.indent) {
                *at += 1;
            }
        }
    }

    /// A file or folder that a line names.
    fn one(&mut self, path: &str, l: &Line<'_>, from: &Inherited) {
        let field = |i: usize| l.fields.get(i).copied().filter(|f| *f != "-");
        let mode = field(1).and_then(mode);
        let executable = match self.listing.find_kind(path) {
            Some((dir, executable)) if mode.is_none_or(|m| (m & DMDIR != 0) == dir) => executable,
            Some(_) => return,
            None => {
                // A file that is not there is made: a folder, or a copy of
                // another file.
                let source = field(4).map(|p| p.trim_start_matches('/'));
                match (mode.is_some_and(|m| m & DMDIR != 0), source.and_then(|s| self.listing.content(s))) {
                    (true, _) => {}
                    (false, Some(content)) => self.made.push((path.to_owned(), content.clone())),
                    (false, None) => return,
                }
                false
            }
        };
        let dir = mode.map_or(self.listing.is_dir(path), |m| m & DMDIR != 0);
        let mut meta = self.meta(dir, executable, from);
        if let Some(mode) = mode {
            meta.mode = Mode(mode);
        }
        if let Some(uid) = field(2) {
            meta.uid = uid.into();
            meta.muid = uid.into();
        }
        if let Some(gid) = field(3) {
            meta.gid = gid.into();
        }
        self.records.insert(path.as_bytes().to_vec(), meta);
    }

    /// Gives records to everything in a folder; if `deep`, also to all that is
    /// in its folders.
    fn all(&mut self, dir: &str, deep: bool, from: &Inherited) {
        let children: Vec<_> = self.listing.children(dir).collect();
        for (name, is_dir, executable) in children {
            if is_dir && !deep {
                continue;
            }
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            self.records.insert(path.as_bytes().to_vec(), self.meta(is_dir, executable, from));
            if is_dir {
                self.all(&path, deep, from);
            }
        }
    }

    fn meta(&self, dir: bool, executable: bool, from: &Inherited) -> Meta {
        let plain = match (dir, executable) {
            (true, _) => DMDIR | 0o775,
            (false, true) => 0o775,
            (false, false) => 0o664,
        };
        let mode = plain & !from.mask | from.mode & from.mask;
        let name = |n: &Option<String>| n.clone().unwrap_or_else(|| "sys".into());
        Meta::new(Mode(mode), &name(&from.uid), &name(&from.gid), self.epoch)
    }
}

impl Inherited {
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "uid" => self.uid = Some(value.into()),
            "gid" => self.gid = Some(value.into()),
            "mode" => self.set_mode(value),
            _ => {}
        }
    }

    /// A mode as chmod(1) takes it, and `!` for one that replaces earlier ones.
    fn set_mode(&mut self, text: &str) {
        let (who, what) = match text.find(['-', '+', '=']) {
            Some(at) => text.split_at(at),
            None if text.starts_with(|c: char| ('0'..='7').contains(&c)) => {
                if let Ok(bits) = u32::from_str_radix(text, 8) {
                    (self.mode, self.mask) = (bits, ALL | DMAPPEND | DMEXCL | DMTMP);
                }
                return;
            }
            None => return,
        };
        let mut mask = DMAPPEND | DMEXCL | DMTMP;
        for c in who.chars() {
            mask |= match c {
                'a' => ALL,
                'u' => 0o600,
                'g' => 0o060,
                'o' => 0o006,
                _ => return,
            };
        }
        if who.is_empty() {
            mask |= ALL;
        }
        let (op, letters) = what.split_at(1);
        let (mut mode, mut set) = (0, false);
        for c in letters.chars() {
            match c {
                'r' => mode |= 0o444,
                'w' => mode |= 0o222,
                'x' => mode |= 0o111,
                'a' => mode |= DMAPPEND,
                'l' => mode |= DMEXCL,
                't' => mode |= DMTMP,
                '!' => set = true,
                _ => return,
            }
        }
        if op != "=" {
            mask &= mode;
        }
        if op == "-" {
            mode = !mode;
        }
        if set {
            self.mask = 0;
        }
        self.mask |= mask;
        self.mode = self.mode & !mask | mode & mask;
    }
}

/// A mode such as `d775` or `al640`.
fn mode(text: &str) -> Option<u32> {
    let at = text.find(|c: char| c.is_ascii_digit())?;
    let (letters, digits) = text.split_at(at);
    let bits = letters.chars().map(|c| match c {
        'd' => Some(DMDIR),
        'a' => Some(DMAPPEND),
        'l' => Some(DMEXCL),
        't' => Some(DMTMP),
        _ => None,
    });
    let kind = bits.sum::<Option<u32>>()?;
    u32::from_str_radix(digits, 8).ok().filter(|p| *p <= 0o777).map(|p| kind | p)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = "\
mode=ug+rw
mode=o-w
uid=sys
gid=sys
adm\td775 adm adm
\tuid=adm
\tgid=adm
\ttimezone\td775
\t\t*
# comment
mail\td775 upas upas
\tuid=upas
\tbox\td700
$objtype\td775
\tbin\td555
\t\tskip=^_
\t\t+
sys\td775
\tlog\td775
\t\tauth\ta662 sys sys /sys/lib/dist/empty
\t\tgone\ta662 sys sys /nothing
";

    fn listing(files: &[&str]) -> Listing {
        let mut l = Listing::default();
        for f in files {
            let executable = f.ends_with('!');
            l.file(f.trim_end_matches('!').as_bytes(), Attributes::Unix { executable }, Content::bytes(*b"x")).unwrap();
        }
        l
    }

    #[test]
    fn files_are_named_one_by_one() {
        let text = "adm d775 adm\n\tuid=adm\n\tkeys\n\ttz d775\n\t\t*\nlib\tx\n\tb:\nrc\n\t+\nlog\n\ta a662 s s /e\n$objtype\n\tmkfile\nend\n";
        assert_eq!(files(text), ["adm/keys", "lib/b:", "end"]);
    }

    #[test]
    fn owners_and_modes_are_inherited() {
        let files =
            ["adm/timezone/GMT", "386/bin/ls!", "386/bin/ip/ping!", "amd64/bin/ls!", "sys/lib/dist/empty", "other"];
        let mut l = listing(&files);
        let db = database(PROTO, &mut l, 9).unwrap();
        let show = |p: &str| db.get(p.as_bytes()).map(|m| format!("{} {} {} {}", m.mode, m.uid, m.gid, m.mtime));
        let has = |p: &str, words: &str| assert_eq!(show(p).as_deref(), Some(words), "{p}");
        has("adm", "d-rwxrwxr-x adm adm 9");
        has("adm/timezone/GMT", "--rw-rw-r-- adm adm 9");
        has("mail/box", "d-rwx------ upas sys 9");
        has("386/bin", "d-r-xr-xr-x sys sys 9");
        has("386/bin/ip/ping", "--rwxrwxr-x sys sys 9");
        has("amd64/bin/ls", "--rwxrwxr-x sys sys 9");
        has("sys/log/auth", "a-rw-rw--w- sys sys 9");
        assert_eq!((show("sys/log/gone"), show("other")), (None, None));
        let tree = l.tree(Some(&db), 9);
        assert!(tree.find(b"mail/box").is_some() && tree.find(b"sys/log/auth").is_some());
    }

    #[test]
    fn any_text_is_read() {
        for text in ["", "\t\t\n", "=\n=\n", "a z99\n", "mode=\nmode=+\nmode=9\nmode=u+q\n+\n", "$objtype\n\t*\n"] {
            database(text, &mut listing(&["a/b", "x/bin/y"]), 1).unwrap();
        }
        let deep: String = (0..200).map(|i| format!("{}d d775\n", "\t".repeat(i))).collect();
        database(&deep, &mut listing(&["a"]), 1).unwrap();
    }

    #[test]
    fn programs_that_lost_their_bit_get_it_back() {
        let files = ["386/bin/ls", "386/bin/ip/ping", "386/init", "386/mkfile", "rc/bin/cpurc!", "rc/bin/9fs", "lib/x"];
        let mut l = listing(&files);
        assert_eq!(l.restore_executables(), 3);
        let executable = |p: &str| l.find_kind(p) == Some((false, true));
        assert!(["386/bin/ls", "386/bin/ip/ping", "386/init", "rc/bin/cpurc"].into_iter().all(executable));
        assert!(!["386/mkfile", "rc/bin/9fs", "lib/x"].into_iter().any(executable));
        assert_eq!(l.restore_executables(), 0);
    }
}
