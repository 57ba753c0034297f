//! From a file's text to a [`Lab`], and what the command line may change in one.

use super::format::Format;
use super::mistakes::{Kind, Mistakes, Notes, Problem, Remedy};
use super::model::{Lab, Layout, Medium};
use super::roles::RoleFacts;
use super::value::{Section, Toml, read_toml};
use super::{SAMPLE, check, draft, names, releases, resolve};
use crate::inside;
use crate::size;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a lab file that are read. 256 nodes take some 40 KiB.
const LARGEST: u64 = 1 << 20;

/// Environment variable that replaces the lab's epoch.
pub const EPOCH_VARIABLE: &str = "SOURCE_DATE_EPOCH";

impl Lab {
    /// Reads and checks a lab file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// Every mistake in the file, or the one that keeps it from being read.
    pub fn load(path: &Path, facts: &[RoleFacts]) -> Result<Self, Mistakes> {
        let file = path.display().to_string();
        let text = read_text(path).map_err(|problem| Mistakes::whole_file(&file, problem))?;
        Self::parse(&text, &file, path.parent().unwrap_or(Path::new("")), facts)
    }

    /// Checks the text of a lab file that is called `file` and stands in `dir`;
    /// `facts` are the roles that there are. Touches no file.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn parse(text: &str, file: &str, dir: &Path, facts: &[RoleFacts]) -> Result<Self, Mistakes> {
        let notes = Notes::new(file, text);
        let Toml { table, broken, sound } = read_toml(&notes, text);
        let syntax = notes.len();
        if !sound {
            return Err(notes.finish().unwrap_or_else(|| unreadable(file)));
        }
        let draft = {
            let root = Section::new(&notes, "the lab file", &table, 0..0);
            draft::read(&root, facts)
        };
        check::check(&draft, facts, &notes);
        if !broken.is_empty() {
            // Nothing is missing that a broken line may have said.
            notes.retain_from(syntax, |line, m| m.kind != Kind::MissingKey && !broken.contains(&line));
        }
        let hints = notes.hints();
        match notes.finish() {
            Some(mistakes) => Err(mistakes),
            None => Ok(Lab { notes: hints, ..resolve::lab(draft, dir) }),
        }
    }

    /// The lab with another epoch, such as that of `SOURCE_DATE_EPOCH`
    /// ([`super::units::source_date_epoch`] reads it).
    pub fn with_epoch(mut self, epoch: u32) -> Self {
        self.epoch_from = (epoch != self.epoch).then_some(EPOCH_VARIABLE);
        self.epoch = epoch;
        self
    }

    /// The lab with other formats; of equal ones the first stays.
    pub fn with_formats(mut self, formats: &[Format]) -> Self {
        self.formats.clear();
        for format in formats {
            if !self.formats.contains(format) {
                self.formats.push(*format);
            }
        }
        self
    }

    /// The lab with another layout.
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// The lab with another folder for its artifacts, as the command line gives
    /// it: relative to the working directory.
    pub fn with_out(mut self, out: impl Into<PathBuf>) -> Self {
        self.out = out.into();
        self
    }

    /// The lab built from another medium: the name of one of its media, the
    /// path of one, relative to the working directory, or the name of a
    /// release. The medium of a path is called by the path's last part, so that
    /// the same tree elsewhere gives the same plan. Nodes that name a medium of
    /// their own keep it, and it its name.
    ///
    /// # Errors
    /// Fails when it is neither of these names nor a path: nothing is there and
    /// it has no slash.
    pub fn with_medium(mut self, medium: &str) -> Result<Self, Problem> {
        if medium == SAMPLE || self.media.contains_key(medium) {
            self.medium = medium.to_owned();
            return Ok(self);
        }
        let path = PathBuf::from(medium);
        if !medium.contains('/') && !path.exists() {
            if let Some(release) = releases::find(medium) {
                self.medium = medium.to_owned();
                self.media.insert(medium.to_owned(), release.medium());
                return Ok(self);
            }
            let known: Vec<&str> = self.media.keys().map(String::as_str).chain([SAMPLE]).collect();
            return Err(check::unknown_medium(medium, &known, "give a medium of the lab, or the path of one"));
        }
        let last = path.components().next_back().and_then(|part| part.as_os_str().to_str());
        let last = last.filter(|name| *name != SAMPLE && names::label("", name).is_ok()).unwrap_or("medium");
        let kept = |name: &str| self.nodes.iter().any(|n| n.medium.as_deref() == Some(name));
        let others = (2..).map(|n| format!("medium-{n}"));
        let mut names = [last.to_owned(), "medium".to_owned()].into_iter().chain(others);
        self.medium = names.find(|name| !kept(name)).unwrap_or_default();
        self.media.insert(self.medium.clone(), Medium::at(path));
        Ok(self)
    }
}

fn unreadable(file: &str) -> Mistakes {
    Mistakes::whole_file(file, Problem::new(Kind::Syntax, "This is not TOML"))
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let failed = |error: std::io::Error| {
        let problem = Problem::new(Kind::File, format!("The lab file cannot be read: {error}"));
        match error.kind() {
            std::io::ErrorKind::NotFound => problem.remedy(Remedy::OtherFile),
            _ => problem,
        }
    };
    let mut bytes = Vec::new();
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = inside::open(folder, path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Problem::new(Kind::File, format!("The lab file is larger than {}", size::exact(LARGEST))));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        Problem::new(
            Kind::File,
            format!("The lab file is not UTF-8 text: byte 0x{:02x} in line {line}", error.as_bytes()[at]),
        )
    })
}
