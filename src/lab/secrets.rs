//! `secrets.toml`: the passwords of a lab, and the seed of all else that must
//! look random.
//!
//! The file is an input like the lab itself: equal secrets give equal images. It
//! is made on the first build (the one place in p9img that asks the system for
//! random bytes), and what the lab comes to need later, such as the password of
//! a new user, is added without touching the rest. It is written whole under
//! another name and then renamed, for its owner alone to read, and refused when
//! others could have read it. No message and no `Debug` ever shows a value of it.

mod rotate;

use super::mistakes::Notes;
use super::names;
use super::value::read_toml;
use crate::digest::FieldHasher;
use crate::inside;
use crate::lock::FolderLock;
use crate::modes;
use crate::size;
pub use rotate::Which;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::DeValue;

/// Name of the file, in the lab's folder.
pub const FILE: &str = "secrets.toml";

/// Bytes of a password: what Plan 9's `passwd` asks for at least, and what fits
/// its 28 with the NUL (`/sys/src/cmd/auth/lib/okpasswd.c`, `/sys/include/authsrv.h`).
pub const PASSWORD_MIN: usize = 8;
pub const PASSWORD_MAX: usize = 27;

/// Letters of the passwords made here: none that looks like another or a digit.
const LETTERS: &[u8; 23] = b"abcdefghjkmnpqrstuvwxyz";

/// Bytes of the file that are read.
const LARGEST: u64 = 1 << 20;

/// Secrets of a lab, for its owner only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    seed: [u8; 32],
    owner_name: String,
    hostowner: String,
    users: BTreeMap<String, String>,
    exposed: bool,
    linked: Option<PathBuf>,
}

/// Part of the file that [`Secrets::load_or_create`] wrote: the user should
/// hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Nothing,
    /// The whole file.
    Created,
    /// Values that were missing: `seed`, `hostowner`, or names of users.
    Added(Vec<String>),
}

/// Reason why the secrets cannot be used. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("Cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("Cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("The system provides no random bytes for new secrets")]
    Random(#[source] getrandom::Error),
    #[error("{} has mode {mode:04o}, so that others can read the lab's passwords: run `chmod 600 {}`, and make new \
             passwords if somebody may have read them", path.display(), path.display())]
    Readable { path: PathBuf, mode: u32 },
    #[error("There are no secrets yet in {}", path.display())]
    NoneYet { path: PathBuf },
    #[error("No password for {name:?}; there are passwords for {known}")]
    NoSuchName { name: String, known: String },
    #[error("{} is a symbolic link to {}: {what}", path.display(), target.display())]
    Linked { path: PathBuf, target: PathBuf, what: String },
    #[error("{}: {what}", path.display())]
    Unusable { path: PathBuf, what: String },
    #[error("{}:{line}: {what}", path.display())]
    Malformed { path: PathBuf, line: usize, what: String },
}

impl Secrets {
    /// Reads the secrets of the lab in `dir`, and first adds what they lack: the
    /// whole file, or the passwords of the host owner and of `users`.
    ///
    /// # Errors
    /// The file cannot be read or written, is readable by others, or is malformed.
    pub fn load_or_create<U: AsRef<str>>(
        dir: &Path,
        hostowner: &str,
        users: &[U],
    ) -> Result<(Self, Written), SecretsError> {
        let path = dir.join(FILE);
        // The host owner may be among the users too; it has one password.
        let users: Vec<&str> = users.iter().map(AsRef::as_ref).filter(|user| *user != hostowner).collect();
        let (found, written) = match Found::read(&path)? {
            Some(found) if found.lacks(&users).is_empty() => (found, Written::Nothing),
            _ => add_missing(dir, &path, &users)?,
        };
        let what = "It changed while it was read".to_owned();
        let secrets = found.complete(hostowner).ok_or(SecretsError::Unusable { path, what })?;
        Ok((secrets, written))
    }

    /// Reads the secrets of the lab in `dir`, and writes nothing. None when there
    /// are none yet, or no seed or host owner's password.
    ///
    /// # Errors
    /// The file cannot be read, is readable by others, or is malformed.
    pub fn load(dir: &Path, hostowner: &str) -> Result<Option<Self>, SecretsError> {
        let found = Found::read(&dir.join(FILE))?;
        Ok(found.and_then(|found| found.complete(hostowner)))
    }

    /// Stands in for secrets that do not exist yet, so that a plan can be made
    /// without writing them: what they shape has the same length and place.
    pub fn stand_in<U: AsRef<str>>(hostowner: &str, users: &[U]) -> Self {
        const NOT_MADE_YET: &str = "not-made-yet";
        Self {
            seed: [0; 32],
            owner_name: hostowner.into(),
            hostowner: NOT_MADE_YET.into(),
            users: users.iter().map(|u| (u.as_ref().to_owned(), NOT_MADE_YET.to_owned())).collect(),
            exposed: false,
            linked: None,
        }
    }

    /// The password of a user, the host owner included.
    pub fn password(&self, user: &str) -> Option<&str> {
        if user == self.owner_name {
            return Some(&self.hostowner);
        }
        self.users.get(user).map(String::as_str)
    }

    /// Whether others may read the file, because its file system does not store
    /// modes.
    pub fn is_exposed(&self) -> bool {
        self.exposed
    }

    /// The file that `secrets.toml` is a symbolic link to, where that is not in the
    /// lab's folder.
    pub fn linked(&self) -> Option<&Path> {
        self.linked.as_deref()
    }

    /// Everybody who has a password: the host owner, then others by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let others = self.users.keys().filter(|u| **u != self.owner_name);
        std::iter::once(self.owner_name.as_str()).chain(others.map(String::as_str))
    }

    /// Differs when any of them does, and tells nothing of them.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = FieldHasher::keyed(self.seed);
        let users = self.users.iter().flat_map(|(name, password)| [name, password]);
        for part in [&self.owner_name, &self.hostowner].into_iter().chain(users) {
            hash.field(part);
        }
        hash.finish().0
    }

    /// 32 bytes that look random, the same for the same seed and label. The seed
    /// is hashed on both sides of the label, so that a value that becomes public
    /// helps nobody to another.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.seed).chain_update(label).chain_update(self.seed).finalize().into()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// Bytes of the file that each value takes.
#[derive(Clone, Default)]
struct Places {
    seed: Option<Range<usize>>,
    hostowner: Option<Range<usize>>,
    users: BTreeMap<String, Range<usize>>,
}

/// Values of a file, complete or not.
#[derive(Clone, Default)]
struct Found {
    /// As the file has it.
    source: String,
    /// Others may read the file, on a file system that does not store modes.
    exposed: bool,
    /// Path of the file, if a link leads out of the lab's folder to it.
    linked: Option<PathBuf>,
    /// Ranges of the values in `source`, quotes included.
    places: Places,
    seed: Option<[u8; 32]>,
    hostowner: Option<String>,
    users: BTreeMap<String, String>,
}

impl Found {
    /// None when there is no file.
    fn read(path: &Path) -> Result<Option<Self>, SecretsError> {
        let failed = |source| SecretsError::Read { path: path.into(), source };
        let unusable = |what: String| SecretsError::Unusable { path: path.into(), what };
        let folder = path.parent().unwrap_or(Path::new(""));
        let linked = match inside::leads_out(folder, path) {
            Ok(linked) => linked,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing(path).map(|()| None),
            Err(error) => return Err(failed(error)),
        };
        let file = inside::open_regular(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        // The lab may be a stranger's, and so the link: what it leads to is read if it
        // is the user's own and nobody else's, and no message shows anything of it.
        if let Some(target) = &linked
            && !is_own(&meta)
        {
            let (path, target) = (path.into(), target.clone());
            return Err(SecretsError::Linked { path, target, what: NOT_OWN.into() });
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o7777;
        let exposed = mode & 0o077 != 0;
        // On a file system that stores no modes, the user could not mend the file's, so
        // it is accepted.
        if exposed && (linked.is_some() || modes::keeps(folder).unwrap_or(true)) {
            return Err(SecretsError::Readable { path: path.into(), mode });
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LARGEST {
            return Err(unusable(format!("It is larger than {}", size::exact(LARGEST))));
        }
        let text = String::from_utf8(bytes).map_err(|_| unusable("It is not UTF-8 text".into()))?;
        let found = Self::parse(path, &text).map_err(|error| match (error, &linked) {
            (SecretsError::Malformed { line, .. }, Some(target)) => {
                let what =
                    format!("line {line} of it does not belong into a file of secrets; doc/lab.md describes that file");
                SecretsError::Linked { path: path.into(), target: target.clone(), what }
            }
            (error, _) => error,
        })?;
        Ok(Some(Self { exposed, linked, ..found }))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, SecretsError> {
        let notes = Notes::new("", text);
        let malformed = |at: usize, what: String| {
            let line = notes.line_of(at) + 1;
            SecretsError::Malformed { path: path.into(), line, what }
        };
        let toml = read_toml(&notes, text);
        if let Some(line) = toml.broken.first() {
            // TOML's own words could quote what is there.
            let what = "This is not TOML; write `NAME = \"PASSWORD\"`, each name once";
            return Err(SecretsError::Malformed { path: path.into(), line: line + 1, what: what.into() });
        }
        let mut found = Self { source: text.to_owned(), ..Self::default() };
        let password = |of: &str, at: usize, value: &DeValue<'_>| {
            let text = value.as_str().ok_or_else(|| malformed(at, format!("The password of {of} is not in quotes")))?;
            check_password(text).map_err(|what| malformed(at, format!("The password of {of} {what}")))?;
            Ok(text.to_owned())
        };
        for (key, value) in &toml.table {
            let (span, at, value) = (value.span(), value.span().start, value.get_ref());
            match (key.get_ref().as_ref(), value) {
                ("seed", value) => {
                    found.seed = Some(parse_seed(value).map_err(|what| malformed(at, what))?);
                    found.places.seed = Some(span);
                }
                ("hostowner", value) => {
                    found.hostowner = Some(password("the host owner", at, value)?);
                    found.places.hostowner = Some(span);
                }
                ("users", DeValue::Table(users)) => {
                    for (name, value) in users {
                        let (span, at) = (value.span(), value.span().start);
                        let user = names::user("User", name.get_ref()).map_err(|p| malformed(at, p.to_string()))?;
                        let password = password(&format!("user `{user}`"), at, value.get_ref())?;
                        found.places.users.insert(user.clone(), span);
                        found.users.insert(user, password);
                    }
                }
                ("users", _) => return Err(malformed(at, "`users` is not a table; write `[users]`".into())),
                (key, _) => {
                    let known = ["seed", "hostowner", "users"];
                    let help = match crate::suggest::nearest(key, known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "the passwords of users belong below `[users]`".into(),
                    };
                    let key = super::mistakes::quote(key);
                    return Err(malformed(key_line(text, at), format!("Unknown key {key}: {help}")));
                }
            }
        }
        Ok(found)
    }

    fn values(&self) -> (Option<[u8; 32]>, Option<&str>, &BTreeMap<String, String>) {
        (self.seed, self.hostowner.as_deref(), &self.users)
    }

    fn lacks(&self, users: &[&str]) -> Vec<String> {
        let mut lacks = Vec::new();
        lacks.extend(self.seed.is_none().then(|| "seed".to_owned()));
        lacks.extend(self.hostowner.is_none().then(|| "hostowner".to_owned()));
        lacks.extend(users.iter().filter(|u| !self.users.contains_key(**u)).map(|u| (*u).to_owned()));
        lacks
    }

    /// Makes up what is not there.
    fn fill(&mut self, users: &[&str]) -> Result<(), SecretsError> {
        if self.seed.is_none() {
            let mut seed = [0; 32];
            draw(&mut seed)?;
            self.seed = Some(seed);
        }
        if self.hostowner.is_none() {
            self.hostowner = Some(new_password()?);
        }
        for user in users {
            if !self.users.contains_key(*user) {
                self.users.insert((*user).to_owned(), new_password()?);
            }
        }
        Ok(())
    }

    /// None while the seed or the host owner's password is not there.
    fn complete(self, hostowner: &str) -> Option<Secrets> {
        Some(Secrets {
            seed: self.seed?,
            owner_name: hostowner.to_owned(),
            hostowner: self.hostowner?,
            users: self.users,
            exposed: self.exposed,
            linked: self.linked,
        })
    }

    /// The two lines of the top, those of them that `without` does not have.
    fn top(&self, without: &Self) -> String {
        let mut text = String::new();
        if let (Some(seed), None) = (self.seed, without.seed) {
            let hex: String = seed.iter().map(|b| format!("{b:02x}")).collect();
            text += &format!("seed = \"{hex}\"\n");
        }
        if let (Some(password), None) = (&self.hostowner, &without.hostowner) {
            text += &format!("hostowner = {}\n", quoted(password));
        }
        text
    }

    fn user_lines(&self, without: &Self) -> String {
        let new = self.users.iter().filter(|(name, _)| !without.users.contains_key(*name));
        new.map(|(name, password)| format!("{} = {}\n", quoted(name), quoted(password))).collect()
    }

    /// A whole new file.
    fn text(&self) -> String {
        let nothing = Self::default();
        let head = "# Whoever reads this file can be anyone in the lab. Keep it out of version control.\n\
                    # A build with other secrets gives other images.\n\n";
        let seed = "\n# Passwords: 8 to 27 characters of ASCII. A build adds what is missing.\n[users]\n";
        format!("{head}{}{seed}{}", self.top(&nothing), self.user_lines(&nothing))
    }

    /// This file with the lines that `full` has more.
    fn with_lines_of(&self, full: &Self) -> String {
        let mut text = full.top(self) + &self.source;
        let users = full.user_lines(self);
        if !users.is_empty() {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            if !self.source.lines().any(|line| line.trim_start().starts_with("[users]")) {
                text.push_str("\n[users]\n");
            }
            text.push_str(&users);
        }
        text
    }
}

/// Start of the line that holds the byte: a key stands before its value.
fn key_line(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|head| head.rfind('\n')).map_or(0, |i| i + 1)
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn parse_seed(value: &DeValue<'_>) -> Result<[u8; 32], String> {
    let wrong =
        || "The seed is not 64 hexadecimal digits in quotes; remove the line, and p9img makes a new one".to_owned();
    let hex = value.as_str().filter(|s| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(wrong)?;
    let mut seed = [0; 32];
    for (byte, pair) in seed.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(seed)
}

/// Whether Plan 9 takes it as a password, typed in any of its ways. Blanks at an
/// end would be lost: keys are made from the password padded with them.
fn check_password(text: &str) -> Result<(), String> {
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&text.len()) {
        let bytes = crate::count::of(text.len(), "byte");
        return Err(format!("has {bytes}: expected {PASSWORD_MIN} to {PASSWORD_MAX}"));
    }
    if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err("has a character that is not printable ASCII".into());
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err("has a blank at its beginning or end".into());
    }
    Ok(())
}

/// Four groups of five letters, 90 bits: `abcde-fghjk-mnpqr-stuvw`.
fn new_password() -> Result<String, SecretsError> {
    let mut password = String::new();
    while password.len() < 4 * 5 + 3 {
        let mut byte = [0];
        draw(&mut byte)?;
        // The bytes past the last multiple of 23 would favour some letters.
        if usize::from(byte[0]) >= 256 / LETTERS.len() * LETTERS.len() {
            continue;
        }
        password.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        if password.len() % 6 == 5 && password.len() < 23 {
            password.push('-');
        }
    }
    Ok(password)
}

/// Adds to the file what it lacks, or makes it.
fn add_missing(dir: &Path, path: &Path, users: &[&str]) -> Result<(Found, Written), SecretsError> {
    let failed = |source| SecretsError::Write { path: path.into(), source };
    // Two first builds at once must agree: the second waits here, and then finds the
    // file of the first. Where a folder cannot be locked, the rename decides.
    let _lock = lock(dir).map_err(failed)?;
    let old = Found::read(path)?;
    let found = old.clone().unwrap_or_default();
    let lacks = found.lacks(users);
    if old.is_some() && lacks.is_empty() {
        return Ok((found, Written::Nothing));
    }
    if let Some(target) = found.linked {
        let what = format!("p9img does not write to it, and it lacks {}: add that yourself", lacks.join(", "));
        return Err(SecretsError::Linked { path: path.into(), target, what });
    }
    let mut full = found.clone();
    full.fill(users)?;
    if old.is_none() {
        return match write(dir, path, &full.text(), false) {
            Ok(()) => Ok((full, Written::Created)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match Found::read(path)? {
                Some(theirs) if theirs.lacks(users).is_empty() => Ok((theirs, Written::Nothing)),
                _ => Err(failed(error)),
            },
            Err(error) => Err(failed(error)),
        };
    }
    // The user's comments and order stay, where adding lines is enough.
    let edited = found.with_lines_of(&full);
    let same = Found::parse(path, &edited).is_ok_and(|read| read.values() == full.values());
    write(dir, path, &if same { edited } else { full.text() }, true).map_err(failed)?;
    Ok((full, Written::Added(lacks)))
}

/// Reason why a file is not read through a link.
const NOT_OWN: &str = "it belongs to another user, and a link out of the lab's folder may lead only to your own files";

fn is_own(meta: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(meta) == rustix::process::geteuid().as_raw()
}

/// Refuses a link to nothing, in whose place no new secrets are to be made.
fn nothing(path: &Path) -> Result<(), SecretsError> {
    let Ok(target) = std::fs::read_link(path) else { return Ok(()) };
    let what = "there is no such file; restore it, or remove the link to get new secrets".to_owned();
    Err(SecretsError::Linked { path: path.into(), target, what })
}

/// The only use of chance in p9img: what is drawn here is written down at once.
#[expect(clippy::disallowed_methods, reason = "new secrets are what this fence has a gate for")]
fn draw(bytes: &mut [u8]) -> Result<(), SecretsError> {
    getrandom::fill(bytes).map_err(SecretsError::Random)
}

/// Folder of the secrets as a path that can be opened.
fn folder(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// Makes others who change the secrets wait until it is dropped, where the
/// folder can be locked.
fn lock(dir: &Path) -> io::Result<FolderLock> {
    crate::lock::folder(dir)
}

/// Writes the whole file under another name, for its owner alone, and renames it.
/// A link within the lab's folder stays one.
fn write(dir: &Path, path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if replace && path.is_symlink() {
        let target = path.canonicalize()?;
        return write(target.parent().unwrap_or(dir), &target, text, replace);
    }
    // The default .gitignore has this name too, in case a crash leaves the file.
    let mut file = tempfile::Builder::new().prefix(".secrets.toml.").tempfile_in(folder(dir))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    let done = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    done.map(drop).map_err(|error| error.error)
}
