//! Long and short names that cannot be, as a check finds them.

use super::format::*;
use super::names::tests::part_of;
use super::tests::{At, findings, open, sample};
use crate::FileSystem as _;

/// The entry of the empty file, after the parts of a long name.
const EMPTY: &[u8; 11] = b"EMPTY      ";

/// The sample, with entries in place of the empty file's and after all others.
fn with(entries: &[[u8; DIRENT]]) -> Vec<u8> {
    let mut image = sample();
    image[At::ROOT + 2 * DIRENT] = REMOVED;
    for (slot, entry) in (4..).zip(entries) {
        image[At::ROOT + slot * DIRENT..][..DIRENT].copy_from_slice(entry);
    }
    image
}

fn file(name: &[u8; 11]) -> [u8; DIRENT] {
    DirEntry { name: *name, attr: ATTR_ARCHIVE, case: 0, time: 0, date: 0x21, start: 0, len: 0 }.encode()
}

fn found(entries: &[[u8; DIRENT]]) -> Vec<String> {
    findings(&open(with(entries)))
        .iter()
        .map(|f| format!("{f}{}", if f.is_remark() { " (a remark)" } else { "" }))
        .collect()
}

#[test]
fn names_in_honest_use_are_right() {
    for (long, short) in [
        ("a long name", EMPTY),
        ("\u{3b1};=+,[].x", b"LONG~1  X  "),
        ("\u{1f600}", b"A B  ~1    "),
        ("caf\u{e9}", b"CAF\x82       "),
        ("x", b"\x05OREAN     "),
        ("q'!#$%&()-@^_`{}~", b"!#$%&'()-@^"),
    ] {
        let image = with(&[part_of(0x41, long, short), file(short)]);
        if long.len() <= 13 {
            assert_eq!(findings(&open(image.clone())), [], "{long}");
            assert_eq!(open(image).find(long.as_bytes()).unwrap().len, 0, "{long}");
        }
        assert_eq!(found(&[file(short)]), [""; 0], "{long}");
    }
}

#[test]
fn bytes_that_cannot_be_in_a_name_are_found() {
    for c in "\"*:<>?|".chars() {
        let long = format!("a{c}b");
        let said = found(&[part_of(0x41, &long, EMPTY), file(EMPTY)]);
        assert_eq!(said, [format!("/{} contains {c:?}, which a long name cannot [name]", long.escape_default())]);
    }
    for b in b"\"*+,./:;<=>?[]|az" {
        let mut short = *b"SHORT   TXT";
        short[2] = *b;
        // Seen also where a long name hides it.
        let said = found(&[part_of(0x41, "long", &short), file(&short)]);
        let text = short.escape_ascii();
        let expected =
            format!("/long: its short name, {text}, contains {:?}, which a short name cannot [name]", char::from(*b));
        assert_eq!(said, [expected]);
        assert_eq!(found(&[file(&short)]).len(), 1, "{text}");
    }
    assert_eq!(
        found(&[part_of(0x41, "long", b"A\x1b         "), file(b"A\x1b         ")]),
        ["/long: its short name, A\\x1b         , contains '\\u{1b}', which a short name cannot [name]"]
    );
    assert_eq!(
        found(&[part_of(0x41, "long", b" A         "), file(b" A         ")]),
        ["/long: its short name,  A         , contains ' ', which a short name cannot [name]"]
    );
    assert_eq!(found(&[part_of(0x41, "a\nb", EMPTY), file(EMPTY)]), ["/a\\nb is not a name for a file [name]"]);
}

#[test]
fn long_names_that_are_no_text_or_nobodys_are_remarks() {
    let mut half = part_of(0x41, "ab", EMPTY);
    half[3..5].copy_from_slice(&0xDC00u16.to_le_bytes());
    let text = "/a\\xef\\xbf\\xbd: its long name is not UTF-16 [name-text] (a remark)";
    assert_eq!(found(&[half, file(EMPTY)]), [text]);
    let lost = ["Directory / has parts of a long name that belong to no entry [long-name] (a remark)"];
    let mut removed = file(b"GONE       ");
    removed[0] = REMOVED;
    let part = part_of(0x41, "gone", b"GONE       ");
    assert_eq!(found(&[part, removed, file(EMPTY)]), lost);
    assert_eq!(found(&[part, file(EMPTY)]), lost);
    assert_eq!(found(&[part, part_of(0x41, "long", EMPTY), file(EMPTY)]), lost);
    assert_eq!(found(&[part_of(2, "part", EMPTY), file(EMPTY)]), lost);
    assert_eq!(found(&[file(EMPTY), part]), lost);
    // All parts removed with their entry leave nothing.
    let mut gone = part;
    gone[0] = REMOVED;
    assert_eq!(found(&[gone, removed, file(EMPTY)]), [""; 0]);
}

#[test]
fn a_name_is_in_a_directory_once_long_or_short() {
    let second = b"OTHER      ";
    assert_eq!(
        found(&[part_of(0x41, "one", EMPTY), file(EMPTY), part_of(0x41, "ONE", second), file(second)]),
        ["/ONE appears twice [name-twice]"]
    );
    // A long name that is another's short one.
    assert_eq!(
        found(&[file(EMPTY), part_of(0x41, "Empty", second), file(second)]),
        ["/Empty appears twice [name-twice]"]
    );
    // Long names that differ, but a loader knows short ones alone.
    assert_eq!(
        found(&[part_of(0x41, "one", EMPTY), file(EMPTY), part_of(0x41, "two", EMPTY), file(EMPTY)]),
        ["/two: another entry has its short name, EMPTY      , too [name-twice]"]
    );
}
