//! Result of rendering a node.

use super::RenderError;
use super::schema::{Listeners, Partition};
use crate::hex::hex;
use crate::lab::Fs;
use crate::tree::{Addition, Content, DMDIR, Kind, Meta, Mode, Tree, What as Change};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Largest file that is compared with a release's.
const SMALL: u64 = 64 << 10;

/// Everything that a node's roles give it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Sorted by path, each path once.
    pub files: Vec<RenderedFile>,
    /// For 9fat.
    pub plan9_ini: String,
    /// File system of the root.
    pub fs: Fs,
    /// Configuration that the root stores itself; empty where it has none.
    pub root_config: String,
    /// For the start of the nvram partition; empty when no role needs it.
    /// Secret.
    pub nvram: Vec<u8>,
    pub boot: BootFiles,
    /// Texts for a Pi's firmware; none for a PC.
    pub pi: Option<PiFiles>,
    /// The script that U-Boot runs; none where something else starts the node.
    pub boot_script: Option<String>,
    /// Partitions that the roles want after those that every node has.
    pub partitions: Vec<Partition>,
    /// Paths of files that the node needs, each with the role or distribution that says so.
    pub needs: Vec<(String, String)>,
}

/// The medium's files that start a node, as paths from its root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootFiles {
    pub mbr: String,
    pub pbs: String,
    pub loader: String,
    /// The loader for UEFI, if the node starts from UEFI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efi: Option<String>,
    /// `None` when the distribution has no kernels.
    pub kernel: Option<String>,
}

/// The texts on the FAT partition of a Pi's card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PiFiles {
    pub config_txt: String,
    /// One line.
    pub cmdline_txt: String,
}

/// Change at one path of the medium's tree.
#[derive(Clone, Debug)]
pub struct RenderedFile {
    /// From the root, without leading slash.
    pub path: String,
    pub what: What,
    /// Permissions with the append-only and exclusive bits; `None` for a copy:
    /// as the original's.
    pub mode: Option<u32>,
    pub uid: String,
    pub gid: String,
    /// Whether a file or folder that the medium has at the path stays.
    pub keep: bool,
    /// SHA-256, in hexadecimal, of files that do not stay: those of releases.
    pub unless: Vec<String>,
    /// Whether the bytes must not be shown.
    pub secret: bool,
    /// Role or distribution that the change comes from, such as `role cpu: services`.
    pub from: String,
}

/// See [`RenderedFile`].
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    Bytes(Vec<u8>),
    /// The bytes of another of the medium's files.
    Copy(String),
    Folder,
    Remove,
    /// One of the medium's listeners, which it may have switched off: then it
    /// is at the path given here.
    Listener {
        off: String,
        required: bool,
    },
}

impl std::fmt::Debug for What {
    /// Shows no bytes, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(b) => write!(f, "Bytes({})", b.len()),
            Self::Copy(path) => write!(f, "Copy({path})"),
            Self::Folder => f.write_str("Folder"),
            Self::Remove => f.write_str("Remove"),
            Self::Listener { off, .. } => write!(f, "Listener({off})"),
        }
    }
}

impl Rendered {
    /// Changes that go into the image: all but those at whose paths the medium's
    /// own files stay.
    pub fn changed<'a>(&'a self, medium: &'a Tree) -> impl Iterator<Item = &'a RenderedFile> {
        self.files.iter().filter(|f| !f.is_kept(medium))
    }

    /// The files as changes to a medium's tree; `epoch` is their time.
    ///
    /// # Errors
    /// Fails when the medium lacks a file that is to be copied, or a listener that
    /// is required.
    pub fn additions(&self, medium: &Tree, epoch: u32) -> Result<Vec<Addition>, RenderError> {
        let mut out = Vec::with_capacity(self.files.len());
        for f in self.changed(medium) {
            let meta = |mode: u32| Meta::new(Mode(mode), &f.uid, &f.gid, epoch);
            let mode = f.mode.unwrap_or(0o664) & !DMDIR;
            let what = match &f.what {
                What::Bytes(bytes) => Change::File(meta(mode), Content::bytes(bytes.as_slice())),
                What::Folder => Change::Dir(meta(DMDIR | f.mode.unwrap_or(0o775))),
                What::Remove => Change::Remove,
                What::Listener { off, required } => {
                    let file = |path: &str| match medium.find(path.as_bytes()).map(|id| medium.entry(id)) {
                        Some(entry) => match &entry.kind {
                            Kind::File(content) => Some((entry.meta.mode.0, content.clone())),
                            Kind::Dir(_) => None,
                        },
                        None => None,
                    };
                    let found = file(&f.path).or_else(|| file(off));
                    let Some((mode, content)) = found else {
                        if *required {
                            let (path, off, from) = (f.path.clone(), off.clone(), f.from.clone());
                            return Err(RenderError::NoListener { path, off, from });
                        }
                        continue;
                    };
                    // The listener's namespace file, where the distribution has one
                    // for each listener.
                    let namespace = format!("{}.namespace", f.path);
                    if let Some((mode, content)) = file(&namespace).or_else(|| file(&format!("{off}.namespace"))) {
                        let what = Change::File(meta(mode), content);
                        out.push(Addition { path: namespace.into_bytes(), what });
                    }
                    Change::File(meta(mode), content)
                }
                What::Copy(from) => {
                    let entry = medium.find(from.as_bytes()).map(|id| medium.entry(id));
                    let Some((entry, Kind::File(content))) = entry.map(|e| (e, &e.kind)) else {
                        return Err(RenderError::NoSource { path: from.clone(), from: f.from.clone() });
                    };
                    Change::File(meta(f.mode.unwrap_or(entry.meta.mode.0)), content.clone())
                }
            };
            out.push(Addition { path: f.path.clone().into_bytes(), what });
        }
        Ok(out)
    }
}

/// SHA-256 of a small file, in hexadecimal; empty for anything else. An error of
/// reading is reported where the bytes are needed.
fn small_digest(kind: &Kind) -> String {
    match kind {
        Kind::File(content) if content.len() <= SMALL => {
            content.read_all().map(|bytes| hex(&Sha256::digest(bytes))).unwrap_or_default()
        }
        _ => String::new(),
    }
}

impl RenderedFile {
    /// Whether what the medium has at the path stays.
    fn is_kept(&self, medium: &Tree) -> bool {
        let there = self.keep.then(|| medium.find(self.path.as_bytes())).flatten();
        there.is_some_and(|id| !self.unless.contains(&small_digest(&medium.entry(id).kind)))
    }

    /// The listener `name` of the folder, switched on.
    pub(super) fn listener(listeners: &Listeners, name: &str, role: &str) -> Self {
        let Listeners { folder, off, required, .. } = listeners;
        let what = What::Listener { off: format!("{folder}/{off}{name}"), required: *required };
        Self { what, ..Self::removal(format!("{folder}/{name}"), format!("role {role}: services")) }
    }

    pub(super) fn removal(path: String, from: String) -> Self {
        Self {
            path,
            what: What::Remove,
            mode: None,
            uid: "sys".into(),
            gid: "sys".into(),
            keep: false,
            unless: Vec::new(),
            secret: false,
            from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Systems, render};
    use super::*;
    use crate::lab::{Lab, Secrets};
    use crate::tree::EntryId;
    use std::path::Path;

    use std::sync::Arc;

    #[test]
    fn a_file_of_the_mediums_is_kept_unless_it_is_a_releases_own() {
        let meta = || Meta::new(Mode(0o664), "glenda", "glenda", 0);
        let dir = Meta::new(Mode(DMDIR | 0o775), "sys", "sys", 0);
        let medium = |text: &[u8]| {
            let what = Change::File(meta(), Content::bytes(text));
            let profile = Addition { path: b"usr/glenda/lib/profile".to_vec(), what };
            Tree::overlay(&Arc::new(Tree::new(dir.clone())), &[profile], &dir)
        };
        let mut file = RenderedFile::removal("usr/glenda/lib/profile".into(), String::new());
        assert!(!file.is_kept(&medium(b"")));
        file.keep = true;
        assert!(file.is_kept(&medium(b"exec rio\n")) && !file.is_kept(&Tree::new(dir.clone())));
        file.unless = vec![hex(&Sha256::digest(b"exec rio\n"))];
        assert!(!file.is_kept(&medium(b"exec rio\n")));
        assert!(file.is_kept(&medium(b"exec rio # mine\n")));
        file.unless.push(hex(&Sha256::digest(vec![b'x'; SMALL as usize + 1])));
        assert!(file.is_kept(&medium(&vec![b'x'; SMALL as usize + 1])));
    }

    #[test]
    fn what_a_plan_lists_is_what_the_image_gets() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::load(dir.path()).unwrap();
        let text = "[lab]\nname = \"l\"\n[[user]]\nname = \"glenda\"\n[[node]]\nname = \"n\"\nroles = [\"cpu\"]\n";
        let lab = Lab::parse(text, "lab.toml", Path::new(""), &catalog.facts()).unwrap();
        let secrets = Secrets::stand_in("bootes", &["glenda"]);
        let mut rendered = render(&lab, &lab.nodes[0], &catalog, &Systems::from("9legacy"), &secrets).unwrap();
        let folder = Meta::new(Mode::dir(0o775), "sys", "sys", 0);
        let medium = |text: &'static [u8]| {
            let what = Change::File(Meta::new(Mode(0o664), "glenda", "glenda", 0), Content::bytes(text));
            let profile = Addition { path: b"usr/glenda/lib/profile".to_vec(), what };
            Tree::overlay(&Arc::new(Tree::new(folder.clone())), &[profile], &folder)
        };
        let profile = rendered.files.iter_mut().find(|f| f.path == "usr/glenda/lib/profile").unwrap();
        profile.unless = vec![hex(&Sha256::digest(b"exec rio\n"))];
        rendered.files.retain(|f| matches!(f.what, What::Bytes(_)));
        for (text, changed) in [(b"exec rio\n".as_slice(), true), (b"exec rio # mine\n", false)] {
            let medium = medium(text);
            let planned: Vec<_> = rendered.changed(&medium).map(|f| f.path.as_bytes().to_vec()).collect();
            let made: Vec<_> = rendered.additions(&medium, 0).unwrap().into_iter().map(|a| a.path).collect();
            assert_eq!(planned, made);
            assert_eq!(planned.iter().any(|p| p == b"usr/glenda/lib/profile"), changed);
        }
    }

    /// The listeners of a node whose role wants tcp80, from a medium with `files`.
    fn listeners(files: &[&str]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("roles/x")).unwrap();
        std::fs::write(dir.path().join("roles/x/role.toml"), "description = 'x'\nservices = ['tcp80']\n").unwrap();
        let catalog = Catalog::load(dir.path()).unwrap();
        let text = "[lab]\nname = \"l\"\n[[node]]\nname = \"n\"\nroles = [\"cpu\", \"x\"]\n";
        let lab = Lab::parse(text, "lab.toml", Path::new(""), &catalog.facts()).unwrap();
        let secrets = Secrets::stand_in("bootes", &[] as &[&str]);
        let rendered = render(&lab, &lab.nodes[0], &catalog, &Systems::from("9front"), &secrets).unwrap();
        let folder = Meta::new(Mode::dir(0o775), "sys", "sys", 0);
        let mut medium = Tree::new(folder.clone());
        let mut at = EntryId::ROOT;
        for name in ["rc", "bin", "service"] {
            at = medium.push(at, name.as_bytes(), folder.clone(), None);
        }
        for name in files {
            let file = Meta::new(Mode::file(0o775), "sys", "sys", 0);
            medium.push(at, name.as_bytes(), file, Some(Content::bytes(name.as_bytes())));
        }
        let mut only = rendered.clone();
        only.files.retain(|f| matches!(f.what, What::Listener { .. }));
        let additions = only.additions(&medium, 0).map_err(|e| e.to_string())?;
        let shown = |a: &Addition| match &a.what {
            Change::File(meta, content) => {
                let text = String::from_utf8(content.read_all().unwrap()).unwrap();
                format!("{} {:o} {text}", String::from_utf8_lossy(&a.path), meta.mode.0)
            }
            _ => String::new(),
        };
        Ok(additions.iter().map(shown).collect())
    }

    #[test]
    fn a_listener_that_the_medium_has_switched_off_is_switched_on() {
        assert_eq!(listeners(&["!tcp80"]).unwrap(), ["rc/bin/service/tcp80 775 !tcp80"]);
        assert_eq!(listeners(&["!tcp80", "tcp80"]).unwrap(), ["rc/bin/service/tcp80 775 tcp80"]);
        assert_eq!(
            listeners(&["!tcp80", "!tcp80.namespace"]).unwrap(),
            ["rc/bin/service/tcp80.namespace 775 !tcp80.namespace", "rc/bin/service/tcp80 775 !tcp80"]
        );
        let said = listeners(&["!tcp81"]).unwrap_err();
        assert!(
            said.starts_with("The medium has no listener rc/bin/service/tcp80, nor rc/bin/service/!tcp80, but role x"),
            "{said}"
        );
    }
}
