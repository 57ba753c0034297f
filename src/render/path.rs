//! Paths that roles may write to.

use crate::count;

/// Longest name of a file, in bytes, as in the names that every file system
/// here can hold.
const NAME_MAX: usize = 255;

/// Says what is wrong with a path from the root, if something is.
pub(super) fn problem(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("The path is empty".into());
    }
    if path.starts_with('/') {
        return Some(format!("The path {path:?} begins with a slash; paths are from the root anyway"));
    }
    path.split('/').find_map(|name| match name {
        "" => Some(format!("The path {path:?} has an empty name in it")),
        "." | ".." => Some(format!("The path {path:?} has {name:?} in it, which Plan 9 does not store")),
        _ if name.len() > NAME_MAX => Some(format!(
            "The path {path:?} has a name of {}, but at most {NAME_MAX} are allowed",
            count::of(name.len(), "byte")
        )),
        _ if name.contains(|c: char| c.is_control()) => {
            Some(format!("The path {path:?} has a control character in it"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn only_plain_relative_paths_pass() {
        for good in ["a", "a/b", "rc/bin/service/!tcp564", "ä/日本", &"x".repeat(255)] {
            assert_eq!(problem(good), None);
        }
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\nb", "a\0", &"x".repeat(256)] {
            assert!(problem(bad).is_some(), "{bad:?}");
        }
    }
}
