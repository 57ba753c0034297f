//! Names as archives made on Unix have them.

use super::listing::PathError;

/// Users and groups of Plan 9's distributions: `adm/users` of 9legacy and 9front.
const USERS: [&str; 7] = ["adm", "bootes", "glenda", "none", "noworld", "sys", "upas"];

/// The user that an archive calls `name`: `sys` stands for numbers and for
/// users of the host that the archive was made on.
pub fn owner(name: &[u8]) -> &'static str {
    USERS.into_iter().find(|user| user.as_bytes() == name).unwrap_or("sys")
}

/// A path without `./` before it, slashes after it, and `.` in it; empty for
/// the directory that all others are in.
///
/// # Errors
/// Fails when it is absolute or has `..` in it.
pub fn clean(path: &[u8]) -> Result<Vec<u8>, PathError> {
    if path.starts_with(b"/") || path.is_empty() {
        return Err(PathError::Leaves);
    }
    let names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|name| !matches!(name, [] | [b'.'])).collect();
    if names.contains(&&b".."[..]) {
        return Err(PathError::Leaves);
    }
    Ok(names.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (path, is) in [("./a/b", "a/b"), ("a//b/", "a/b"), (".", ""), ("./", ""), ("a/./b", "a/b"), ("..a", "..a")]
        {
            assert_eq!(clean(path.as_bytes()).as_deref(), Ok(is.as_bytes()), "{path}");
        }
        for path in ["/a", "..", "a/../b", "./..", ""] {
            assert_eq!(clean(path.as_bytes()), Err(PathError::Leaves), "{path}");
        }
        assert_eq!((owner(b"glenda"), owner(b"root"), owner(b"")), ("glenda", "sys", "sys"));
    }
}
