//! Notes of use cases: facts that the user should know, and that are no errors.

use std::fmt;
use std::path::PathBuf;

/// A fact that the user should know. The text of each variant explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Remark of a stage of the library, as a sentence.
    Noticed(String),
    ExposedSecrets {
        path: PathBuf,
    },
    LinkedSecrets {
        path: PathBuf,
        target: PathBuf,
    },
    SecretsCreated {
        path: PathBuf,
        names: Vec<String>,
    },
    SecretsAdded {
        path: PathBuf,
        names: Vec<String>,
    },
    /// The medium `used` was given to the last build; `own` is the lab's.
    MediumAsBefore {
        used: String,
        own: String,
    },
    /// The medium `given` was given instead of `was`, but the lab has `own` now.
    MediumForgotten {
        given: String,
        was: String,
        own: String,
    },
    FormatsAsBefore {
        used: Vec<String>,
        own: Vec<String>,
    },
    FormatsForgotten {
        given: Vec<String>,
        own: Vec<String>,
    },
    LayoutAsBefore {
        used: String,
        own: String,
    },
    LayoutForgotten {
        given: String,
        own: String,
    },
    /// The variable `from` of the environment replaces the lab's own epoch.
    EpochReplaced {
        from: &'static str,
        epoch: u32,
        own: u32,
    },
    EpochGoesBack {
        from: String,
        then: u32,
        own: u32,
    },
    EpochAsBuilt {
        from: String,
        epoch: u32,
    },
    /// A folder whose file system has no modes.
    NoModes {
        folder: PathBuf,
    },
    NewKeys {
        files: Vec<String>,
    },
    OpenKeys {
        files: Vec<String>,
        folder: PathBuf,
    },
    Leftovers {
        files: Vec<String>,
    },
    LeftoverRuns {
        path: PathBuf,
        node: String,
    },
    LeftoverChanged {
        path: PathBuf,
    },
    LeftoversRemoved {
        paths: Vec<PathBuf>,
    },
    /// Nodes whose nvram has a key from another password of the host owner.
    OtherOwner {
        owner: String,
        nodes: Vec<String>,
    },
    /// Nodes whose key file has other passwords of these users.
    OtherUsers {
        users: Vec<String>,
        nodes: Vec<String>,
    },
    NotEmulated {
        node: String,
        board: &'static str,
    },
}

impl Note {
    /// Whether it warns of a danger, or of a request that is not carried out: such
    /// notes are for users who want results only, too.
    pub const fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::ExposedSecrets { .. }
                | Self::LinkedSecrets { .. }
                | Self::NoModes { .. }
                | Self::LeftoverRuns { .. }
                | Self::LeftoverChanged { .. }
                | Self::NotEmulated { .. }
        )
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noticed(text) => f.write_str(text),
            Self::ExposedSecrets { path } => write!(
                f,
                "the file system of {} stores no modes: others on this machine may read the lab's passwords; put the lab on another one to prevent that",
                path.display()
            ),
            Self::LinkedSecrets { path, target } => write!(
                f,
                "{} is a symbolic link: the passwords in {} are those of this lab, and their keys go into its images",
                path.display(),
                target.display()
            ),
            Self::SecretsCreated { path, names } => {
                let (names, path) = (names.join(", "), path.display());
                write!(f, "made passwords for {names} in {path}: do not lose it, do not publish it")
            }
            Self::SecretsAdded { path, names } => write!(f, "added {} to {}", names.join(", "), path.display()),
            Self::MediumAsBefore { used, own } => {
                write!(f, "the medium is {used}, as in the last build, and not the lab's, {own}")
            }
            Self::MediumForgotten { given, was, own } => {
                write!(f, "lab.toml has the medium {own} now, not {was}: the last build's, {given}, is forgotten")
            }
            Self::FormatsAsBefore { used, own } => {
                let (used, own) = (used.join(", "), own.join(", "));
                write!(f, "the formats are {used}, as in the last build, and not the lab's, {own}")
            }
            Self::FormatsForgotten { given, own } => {
                let (given, own) = (given.join(", "), own.join(", "));
                write!(f, "lab.toml has the formats {own} now: the last build's, {given}, are forgotten")
            }
            Self::LayoutAsBefore { used, own } => {
                write!(f, "the layout is {used}, as in the last build, and not the lab's, {own}")
            }
            Self::LayoutForgotten { given, own } => {
                write!(f, "lab.toml has the layout {own} now: the last build's, {given}, is forgotten")
            }
            Self::EpochReplaced { from, epoch, own } => {
                write!(f, "{from} is {epoch}: it replaces the lab's epoch, {own}")
            }
            Self::EpochGoesBack { from, then, own } => write!(
                f,
                "the last build had the epoch {then} from {from}, which is not set now: the epoch is the lab's again, {own}"
            ),
            Self::EpochAsBuilt { from, epoch } => {
                write!(f, "the epoch is {epoch}, which the last build had from {from}")
            }
            Self::NoModes { folder } => write!(
                f,
                "the file system of {} stores no modes: others on this machine may read the lab's keys in the images",
                folder.display()
            ),
            Self::NewKeys { files } => write!(
                f,
                "keys of the lab are in {}: only you can read these files (mode 0600), and anybody with a copy of one has the keys",
                few(files)
            ),
            Self::OpenKeys { files, folder } => write!(
                f,
                "keys of the lab are in {}, which others on this machine can read: `chmod 600` it in {}",
                few(files),
                folder.display()
            ),
            Self::Leftovers { files } => {
                write!(f, "{}: left by an earlier build and not made any more", few(files))
            }
            Self::LeftoverRuns { path, node } => write!(f, "{} stays: {node} is running", path.display()),
            Self::LeftoverChanged { path } => write!(
                f,
                "{} stays: it was changed after p9img made it; remove it yourself if you do not need it",
                path.display()
            ),
            Self::LeftoversRemoved { paths } => {
                let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(f, "removed {}", paths.join(", "))
            }
            Self::OtherOwner { owner, nodes } => write!(
                f,
                "built when {owner} had another password than secrets.toml has now: {}. They and the nodes built since refuse each other",
                nodes.join(", ")
            ),
            Self::OtherUsers { users, nodes } => write!(
                f,
                "built when {} had another password than secrets.toml has now: {}, which accepts only the old one",
                users.join(", "),
                nodes.join(", ")
            ),
            Self::NotEmulated { node, board } => {
                write!(f, "{node} is left out: QEMU has no board that runs the kernel of a {board}")
            }
        }
    }
}

/// The first few of many names, and the number of the others.
pub fn few(names: &[String]) -> String {
    const MOST: usize = 8;
    match names.get(..MOST).filter(|_| names.len() > MOST + 1) {
        Some(first) => format!("{} and {} more", first.join(", "), names.len() - MOST),
        None => names.join(", "),
    }
}
