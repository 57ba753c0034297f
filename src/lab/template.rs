//! Files of a new lab, as `p9img init` writes them.

use super::Arch;

/// Text of a new lab's `lab.toml` on the sample medium: the four-node grid, and
/// the repository's own lab.
pub const LAB: &str = include_str!("../../lab.toml");

/// Text of a new lab's `.gitignore`.
pub const GITIGNORE: &str = "# Passwords, what p9img builds, and what it leaves when it is killed.\n\
    /secrets.toml\n/.secrets.toml.*\n/output/\n/.p9img-*\n/.p9img.lock.*\n";

/// Lines of [`LAB`] that the choice of a medium replaces.
const MEDIUM: &str = "medium    = \"sample\"               # or a name from [media], or `--media PATH`\n";
const MEDIA: &str = "\
# A real medium: a tree of 9legacy files on this machine.
# [media.9legacy]
# path = \"../9legacy\"
";
const ARCH: &str = "arch       = \"386\"       # or \"amd64\", where the medium has it\n";

/// Medium of a new lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Name that `lab.toml` gives it, or that of a release.
    pub name: String,
    /// Path of the medium, as `lab.toml` has it; releases need none.
    pub path: Option<String>,
    /// Architecture of the nodes.
    pub arch: Arch,
}

/// Text of `lab.toml` for a lab whose nodes are built from `choice`.
pub fn lab(choice: &Choice) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let medium = format!("medium    = {}\n", quoted(&choice.name));
    let media = match &choice.path {
        Some(path) => format!("[media.{}]\npath = {}\n", key(&choice.name), quoted(path)),
        None => "# p9img knows where this release is: the first build fetches and keeps it.\n".to_owned(),
    };
    let arch = match choice.arch {
        Arch::I386 => ARCH.to_owned(),
        other => format!("arch       = {:<12}# or \"386\", where the medium has it\n", quoted(other.name())),
    };
    LAB.replacen(MEDIUM, &medium, 1).replacen(MEDIA, &media, 1).replacen(ARCH, &arch, 1)
}

/// Name of a medium as a key of a table.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.chars().all(bare) { name.to_owned() } else { toml::Value::String(name.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_a_choice_replaces_is_in_the_template_once() {
        for line in [MEDIUM, MEDIA, ARCH] {
            assert_eq!(LAB.matches(line).count(), 1, "{line}");
        }
    }

    #[test]
    fn the_lab_of_a_choice_says_the_choice() {
        let path = Some("../a \"tree\"".to_owned());
        let text = lab(&Choice { name: "9front".into(), path, arch: Arch::Amd64 });
        let value: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(value["lab"]["medium"].as_str(), Some("9front"));
        assert_eq!(value["media"]["9front"]["path"].as_str(), Some("../a \"tree\""));
        assert_eq!(value["defaults"]["arch"].as_str(), Some("amd64"));
        let text = lab(&Choice { name: "9legacy".into(), path: None, arch: Arch::I386 });
        let value: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(value["lab"]["medium"].as_str(), Some("9legacy"));
        assert_eq!(value["defaults"]["arch"].as_str(), Some("386"));
        assert!(!value.contains_key("media") && !text.contains("sample"), "{text}");
    }
}
