//! Rules for names, so that Plan 9, DNS and the rendered files can hold them.
//!
//! Lengths come from `/sys/include/authsrv.h` (ANAMELEN 28, DOMLEN 48, both with
//! the final NUL). Users' names are limited to letters, digits and `._-+`:
//! fossil's user file forbids `#:,()` (`/sys/src/cmd/fossil/9user.c`), and the
//! rest would need quoting in rc scripts and network databases.

use super::mistakes::{Problem, quote};
use crate::count;
use crate::digest::Digest;

/// Bytes in a user's or host's name, without the NUL.
pub const NAME_MAX: usize = 27;
/// Bytes in an authentication domain, without the NUL.
pub const AUTHDOM_MAX: usize = 47;

/// Users that every Plan 9 file server has, and the group that closes one to writers.
pub const MANDATORY_USERS: &[&str] = &["adm", "none", "noworld", "sys", "write"];

/// Names of hosts that mean something else: folders of /cfg in the distributions,
/// and the name that every machine has for itself.
const TAKEN_HOSTS: &[&str] = &["default", "example", "localhost", "pxe"];

/// Files that Windows does not store, whatever their extension: its devices.
const DEVICES: &[&str] = &[
    "con", "prn", "aux", "nul", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt0",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Refuses what cannot be, or begin, the name of a file on every system.
///
/// # Errors
/// The name of a device of Windows, alone or before a dot, or a dot at the end.
pub fn storable(noun: &str, text: &str) -> Result<(), Problem> {
    let stem = text.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    if DEVICES.contains(&stem.as_str()) {
        let what = format!("{noun} {} is a device name of Windows, which stores no file of that name", quote(text));
        return Err(Problem::bad(what).help(format!("choose another name, such as `{stem}-1`")));
    }
    if text.ends_with(['.', ' ']) {
        return Err(Problem::bad(format!("{noun} {} ends in a dot or blank, which Windows drops", quote(text)))
            .help("choose another name"));
    }
    Ok(())
}

/// The checks that all names share; `legal` are characters that are allowed in
/// addition to letters and digits.
fn plain(noun: &str, text: &str, most: usize, legal: &str, ascii: bool) -> Result<(), Problem> {
    let expected = || {
        let letters = if ascii { "letters a to z, digits" } else { "letters, digits" };
        let legal: Vec<String> = legal.chars().map(|c| format!("`{c}`")).collect();
        format!("1 to {most} of {letters} and {}", legal.join(" "), most = count::of(most, "byte"))
    };
    let wrong = |what: String| Err(Problem::bad(format!("{noun} {} {what}", quote(text))).expected(expected()));
    if text.is_empty() {
        return Err(Problem::bad(format!("{noun} is empty")).expected(expected()));
    }
    if text.len() > most {
        return wrong(format!("is {} long", count::of(text.len(), "byte")));
    }
    let fine = |c: char| legal.contains(c) || if ascii { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() };
    if let Some(c) = text.chars().find(|c| !fine(*c)) {
        return wrong(match c {
            ' ' => "holds a blank".into(),
            c if c.is_control() => format!("contains the control character U+{:04X}", u32::from(c)),
            c => format!("holds `{c}`"),
        });
    }
    if text.starts_with(['-', '.', '+']) {
        return wrong(format!("begins with `{}`", &text[..1]));
    }
    Ok(())
}

/// A user's name, the host owner's or a group's.
pub fn user(noun: &str, text: &str) -> Result<String, Problem> {
    plain(noun, text, NAME_MAX, "._-+", false)?;
    Ok(text.to_owned())
}

/// A user that the lab adds: not one that is there already.
pub fn new_user(noun: &str, text: &str) -> Result<String, Problem> {
    if text == "write" {
        return Err(Problem::bad("User `write` would make the file system read-only for everybody but its members")
            .help("fossil gives the group `write` that meaning; choose another name"));
    }
    if MANDATORY_USERS.contains(&text) {
        return Err(Problem::bad(format!("{noun} `{text}` already exists on every Plan 9 file server"))
            .help("choose another name; to make a user a member of it, name it in `groups`"));
    }
    user(noun, text)
}

/// A node's name: host name in DNS, sysname in Plan 9, folder in /cfg, file name
/// of the artifacts. Letters, digits and `-`, beginning with a letter.
pub fn host(text: &str) -> Result<String, Problem> {
    plain("Node name", text, NAME_MAX, "-", true)?;
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || text.ends_with('-') {
        return Err(Problem::bad(format!("Node name {} is not a host name", quote(text)))
            .expected("a letter first, and no `-` last"));
    }
    if TAKEN_HOSTS.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(Problem::bad(format!("Node name `{text}` has another meaning in Plan 9"))
            .help("choose another name, such as `plan9n1`"));
    }
    storable("Node name", text)?;
    Ok(text.to_owned())
}

/// The lab's name, a network's or a medium's: letters, digits and `._-`.
pub fn label(noun: &str, text: &str) -> Result<String, Problem> {
    plain(noun, text, 63, "._-", true)?;
    storable(noun, text)?;
    Ok(text.to_owned())
}

pub fn authdom(text: &str) -> Result<String, Problem> {
    plain("Authentication domain", text, AUTHDOM_MAX, "._-", false)?;
    Ok(text.to_owned())
}

/// A DNS domain: labels of letters, digits and `-`, with dots between.
pub fn domain(text: &str) -> Result<String, Problem> {
    // A node's name and a dot come before it, and 253 bytes is what DNS can hold.
    plain("Domain", text, 253 - 1 - NAME_MAX, ".-", true)?;
    let good = |l: &str| (1..=63).contains(&l.len()) && !l.starts_with('-') && !l.ends_with('-');
    if !text.split('.').all(good) {
        return Err(Problem::bad(format!("Domain {} is not a DNS name", quote(text)))
            .expected("labels of 1 to 63 letters, digits and `-` with dots between, such as `plan9.lab`"));
    }
    Ok(text.to_owned())
}

/// A file in /adm/timezone.
pub fn timezone(text: &str) -> Result<String, Problem> {
    let found = plain("Timezone", text, 255, "._-+", true);
    found
        .map_err(|p| p.help("it is the name of a file in the medium's /adm/timezone, such as `GMT` or `US_Eastern`"))?;
    Ok(text.to_owned())
}

/// A partition's name, as the text table after the partition's first sector holds it.
pub fn partition(text: &str) -> Result<String, Problem> {
    plain("Partition name", text, NAME_MAX, "._-", true)?;
    Ok(text.to_owned())
}

/// A path in the lab file, which `~` and variables are not expanded in.
pub fn path(noun: &str, text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.contains('\0') {
        return Err(Problem::bad(format!("{noun} {} is not a path", quote(text))));
    }
    if text == "~" || text.starts_with("~/") || text.starts_with('$') {
        return Err(Problem::bad(format!(
            "{noun} {} begins with `{}`, which is not expanded",
            quote(text),
            &text[..1]
        ))
        .help("write the whole path, or one relative to the lab file"));
    }
    Ok(text.to_owned())
}

/// The address of a folder on the web, with a slash at its end.
pub fn folder_url(text: &str) -> Result<String, Problem> {
    if let Some(mark) = text.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(Problem::bad(format!(
            "Address {} has a `{mark}`, so it is not the address of a folder",
            quote(text)
        ))
        .help("file names are added at its end: remove that character and everything after it"));
    }
    let folder = format!("{}/", text.trim_end_matches('/'));
    // It is the address of a folder if it can be that of a file in one.
    url(&format!("{folder}file")).map(|_| folder)
}

/// The address of a file on the web.
pub fn url(text: &str) -> Result<String, Problem> {
    let wrong = |what: &str| Problem::bad(format!("Address {} {what}", quote(text)));
    let example = "an address such as `https://example.org/9legacy.iso.bz2`";
    let Some((scheme, rest)) = text.split_once("://") else {
        let problem = wrong("does not begin with `http://` or `https://`");
        return Err(match text.split_once('/') {
            Some((host, _)) if host.contains('.') && !host.starts_with('.') => problem
                .help(format!("write {}, or `path` for a file of this machine", quote(&format!("https://{text}")))),
            _ => problem.expected(example).help("a file or folder of this machine belongs in `path`"),
        });
    };
    if !matches!(scheme, "http" | "https") {
        let problem = wrong("is neither http nor https");
        return Err(match scheme {
            "file" => problem.help("a file or folder of this machine belongs in `path`"),
            _ => problem.expected(example),
        });
    }
    let (host, file) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') {
        return Err(Problem::bad("An address contains a user name or password")
            .help("the lab and p9img.lock are meant for version control: remove it"));
    }
    if host.is_empty() || file.is_empty() {
        return Err(wrong("names no file on a host").expected(example));
    }
    if text.len() > 2000 || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['#', '"', '<', '>', '\\']) {
        return Err(wrong("is not an address").expected("ASCII without blanks, others as `%20` and so on"));
    }
    Ok(text.to_owned())
}

/// A SHA-256 of a file.
pub fn sha256(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|_| {
        let problem = Problem::bad(format!("{} is not a SHA-256", quote(text))).expected("64 hexadecimal digits");
        let other = match text.len() {
            _ if !text.bytes().all(|b| b.is_ascii_hexdigit()) => return problem,
            32 => "an MD5",
            40 => "a SHA-1",
            96 => "a SHA-384",
            128 => "a SHA-512",
            _ => return problem,
        };
        problem.help(format!("so many digits are {other}; `sha256sum FILE` prints the right one"))
    })
}

/// A pattern over the medium's paths.
///
/// # Errors
/// Empty, with a leading or final slash or a `..`, or not a pattern.
pub fn pattern(text: &str) -> Result<String, Problem> {
    let wrong = |what: &str| Problem::bad(format!("Pattern {} {what}", quote(text)));
    if text.is_empty() {
        return Err(wrong("is empty").expected("a pattern such as `sys/src/**`"));
    }
    if text.starts_with('/') {
        let help = format!("paths begin at the medium's root: write {}", quote(text.trim_start_matches('/')));
        return Err(wrong("begins with a slash").help(help));
    }
    if text.ends_with('/') {
        return Err(wrong("ends with a slash")
            .help(format!("for all that is in a folder, write `{}/**`", text.trim_end_matches('/'))));
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(wrong("has an empty part, `.` or `..` in it").help("write the path as the medium has it"));
    }
    glob(text).map(|_| text.to_owned()).map_err(|e| wrong(&format!("cannot be read: {}", e.kind())))
}

/// Compiles a pattern with the rules of lab files: `*` and `?` stop at a slash,
/// `**` does not, letters must agree in case.
///
/// # Errors
/// Not a pattern.
pub fn glob(pattern: &str) -> Result<globset::Glob, globset::Error> {
    globset::GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()
}

#[cfg(test)]
mod tests {
    use super::folder_url;

    #[test]
    fn the_address_of_a_folder_has_nothing_behind_its_path() {
        assert_eq!(folder_url("https://a.example/lab").as_deref(), Ok("https://a.example/lab/"));
        assert_eq!(folder_url("https://a.example/lab//").as_deref(), Ok("https://a.example/lab/"));
        for wrong in ["http://h/?x", "http://h/a?b=c/", "https://h/#part", "https://h?"] {
            let said = folder_url(wrong).unwrap_err().to_string();
            assert!(said.contains("is not the address of a folder"), "{wrong}: {said}");
        }
    }
}
