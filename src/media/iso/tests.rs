use super::sample::{self, ALL, How, LARGE, LARGE_LEN, README, ROOT, SYS, TEXT, image, record, record_at};
use super::{IsoError, list, matches};
use crate::read_at::ReadAt;
use crate::tree::{Meta, Mode, Tree};
use std::error::Error as _;
use std::sync::Arc;

const EPOCH: u32 = 99;
const SECTOR: usize = 2048;

fn tree(bytes: Vec<u8>) -> Result<Tree, IsoError> {
    let image: Arc<dyn ReadAt> = Arc::new(bytes);
    Ok(list(&image)?.listing.tree(None, EPOCH))
}

fn bytes(tree: &Tree, path: &str) -> Vec<u8> {
    let id = tree.find(path.as_bytes()).unwrap_or_else(|| panic!("no {path} in {:?}", tree.paths()));
    tree.entry(id).content().unwrap().read_all().unwrap()
}

/// The whole chain of an error, as people see it.
fn told(error: &IsoError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn every_description_gives_the_same_names_and_bytes() {
    for how in ALL {
        let image = image(how);
        assert!(matches(&image));
        let tree = tree(image).unwrap_or_else(|e| panic!("{how:?}: {}", told(&e)));
        let mut paths = vec!["", "Read.me", "empty", "same", "sys", "sys/Large"];
        if how == How::RockRidge {
            paths.insert(3, "link");
        }
        assert_eq!(tree.paths(), paths, "{how:?}");
        assert_eq!(bytes(&tree, "Read.me"), TEXT);
        assert_eq!(bytes(&tree, "same"), TEXT);
        assert_eq!(bytes(&tree, "empty"), b"");
        let large = [vec![b'a'; SECTOR], vec![b'b'; LARGE_LEN - SECTOR]].concat();
        assert_eq!(bytes(&tree, "sys/Large"), large, "{how:?}");
        if how == How::RockRidge {
            assert_eq!(bytes(&tree, "link"), large);
        }
    }
}

#[test]
fn plan9s_fields_are_complete_and_rock_ridge_has_the_execute_bit() {
    let meta = |tree: &Tree, path: &str| tree.entry(tree.find(path.as_bytes()).unwrap()).meta.clone();
    let plan9 = tree(image(How::Plan9)).unwrap();
    // 03:04:05 an hour east of Greenwich.
    let own = |mode| Meta::new(mode, "glenda", "sys", 1_767_319_445);
    assert_eq!(meta(&plan9, "Read.me"), own(Mode::file(0o775)));
    assert_eq!(meta(&plan9, "same"), own(Mode(0x4000_0000 | 0o664)));
    assert_eq!(meta(&plan9, "sys"), own(Mode::dir(0o775)));
    assert_eq!(meta(&plan9, ""), Meta::new(Mode::dir(0o555), "adm", "adm", EPOCH), "the root has no fields");
    let rock = tree(image(How::RockRidge)).unwrap();
    assert_eq!(meta(&rock, "Read.me"), Meta::new(Mode::file(0o775), "sys", "sys", EPOCH));
    assert_eq!(meta(&rock, "empty"), Meta::new(Mode::file(0o664), "sys", "sys", EPOCH));
}

#[test]
fn owners_that_fossil_did_not_know_lose_their_parentheses() {
    let mut image = image(How::Plan9);
    // After the length and the name: the length of `glenda`, and that.
    let at = record_at(&image, ROOT, 2) + 33 + 7 + 8;
    image[at..at + 7].copy_from_slice(b"\x06(upas)");
    let tree = tree(image).unwrap();
    assert_eq!(&*tree.entry(tree.find(b"Read.me").unwrap()).meta.uid, "upas");
}

#[test]
fn dates_that_plan9_cannot_count_are_none() {
    for (date, seconds) in [
        ([70, 1, 1, 0, 0, 1, 0], 1),
        // 2100 is no leap year.
        ([200, 2, 29, 0, 0, 0, 0], 0),
        ([200, 2, 28, 0, 0, 0, 0], 4_107_456_000),
        ([0; 7], 0),
        ([126, 13, 1, 0, 0, 0, 0], 0),
        ([126, 1, 1, 0, 0, 0, 208], 1_767_225_600 + 12 * 3600),
        ([126, 1, 1, 0, 0, 0, 127], 0),
        ([69, 1, 1, 0, 0, 0, 0], 0),
        ([255, 1, 1, 0, 0, 0, 0], 0),
    ] {
        let mut image = image(How::Plan9);
        let at = record_at(&image, ROOT, 2);
        image[at + 18..at + 25].copy_from_slice(&date);
        let tree = tree(image).unwrap();
        let found = tree.entry(tree.find(b"Read.me").unwrap()).meta.mtime;
        assert_eq!(found, seconds, "{date:?}");
    }
}

#[test]
fn wounds_are_named() {
    type Wound = fn(&mut Vec<u8>);
    let tries: [(How, Wound, &str); 21] = [
        (How::Plan9, |i| i[32768] = 9, "The image has no primary volume descriptor: looked at sectors 16 to 18"),
        (How::Plan9, |i| i.truncate(33000), "no primary volume descriptor"),
        (How::Plan9, |i| i[32768 + 129] = 0, "logical block size of the image is 0 or 2048"),
        (
            How::Plan9,
            |i| edit(i, ROOT, 2, 6, 1),
            "/: the first block is 19 in one byte order and 16777235 in the other",
        ),
        (How::Plan9, |i| place(i, 2, 4000), "/Read.me is at bytes 8192000 to 8192007, but the image has 57344"),
        (How::Plan9, |i| place(i, 2, LARGE), "/sys/Large and /Read.me overlap from byte 40960 of the image on"),
        (How::Utf8, |i| place(i, 2, SYS), "/sys and /Read.me overlap from byte"),
        (How::Utf8, |i| place(i, 5, ROOT), "/sys and / overlap from byte"),
        (How::Plan9, |i| edit(i, ROOT, 2, 0, 20), "/: the record at byte 47172 of the image is damaged: it is shorter"),
        (How::Plan9, |i| edit(i, ROOT, 2, 32, 200), "its name passes its end"),
        (
            How::Plan9,
            |i| i[32934..32942].copy_from_slice(&[100, 0, 0, 0, 0, 0, 0, 100]),
            "it passes the end of its sector",
        ),
        (How::Plan9, |i| edit(i, ROOT, 2, 33 + 7, 250), "Plan 9's name, owner or group passes its end"),
        (How::Plan9, |i| edit(i, ROOT, 2, 25, 2), "do not agree on whether it is a directory"),
        (How::Plan9, |i| edit(i, ROOT, 2, 33 + 7 + 9, b'/'), "the owner or group \"/lenda\""),
        (How::Plan9, |i| edit(i, ROOT, 2, 26, 1), "/Read.me is stored interleaved"),
        (How::Plan9, |i| edit(i, ROOT, 2, 25, 0x80), "it does not continue the file before it"),
        (How::Plan9, |i| edit(i, ROOT, 2, 33 + 7 + 1, b'/'), "/ead.me has a slash in its name"),
        (How::Plan9, |i| edit(i, ROOT, 2, 33 + 7 + 1, 7), "a name in it has a control character"),
        (How::RockRidge, |i| edit(i, ROOT, 6, 91, 200), "a component of its link passes its end"),
        (How::RockRidge, |i| edit(i, ROOT, 6, 40 + 2, 255), "a Rock Ridge entry passes the end of its area"),
        (How::Joliet, |i| edit(i, ROOT, 2, 33, 0xD8), "its name is not Unicode"),
    ];
    for (how, wound, words) in tries {
        let mut image = image(how);
        wound(&mut image);
        let e = told(&tree(image).expect_err(words));
        assert!(e.contains(words), "expected {words:?}, found {e:?}");
        assert!(e.chars().next().is_some_and(|c| c.is_uppercase() || c == '/') && !e.ends_with('.'), "{e}");
    }
}

/// Changes one byte of a record.
fn edit(image: &mut [u8], dir: u32, n: usize, at: usize, to: u8) {
    let record = record_at(image, dir, n);
    image[record + at] = to;
}

/// Moves an entry of the root directory to another block.
fn place(image: &mut [u8], n: usize, block: u32) {
    let at = record_at(image, ROOT, n);
    image[at + 2..at + 6].copy_from_slice(&block.to_le_bytes());
    image[at + 6..at + 10].copy_from_slice(&block.to_be_bytes());
}

/// Replaces the root directory's entries.
fn root(how: How, records: &[Vec<u8>]) -> Vec<u8> {
    let mut image = image(how);
    let at = record_at(&image, ROOT, 2);
    image[at..(ROOT as usize + 1) * SECTOR].fill(0);
    let records = records.concat();
    image[at..at + records.len()].copy_from_slice(&records);
    image
}

#[test]
fn links_are_followed_inside_the_tree_only() {
    let rock = sample::rock;
    let link = |name: &str, target: &[u8]| {
        record(format!("{name};1").to_uppercase().as_bytes(), 0, 0, 0, &rock(name.as_bytes(), 0o120_777, target))
    };
    let sys = || record(b"SYS", SYS, SECTOR as u32, 2, &rock(b"sys", 0o040_755, b""));
    // To a directory, by way of another link.
    let good = root(How::RockRidge, &[link("a", b"\0\x01b"), link("b", b"\0\x03sys"), sys()]);
    assert_eq!(tree(good).unwrap().paths(), ["", "a", "a/Large", "b", "b/Large", "sys", "sys/Large"]);
    let tries: [(&[u8], &str); 6] = [
        (b"\x02\0", "The symbolic link /a leads back to /"),
        (b"\0\x01a", "The symbolic link /a leads back to /a"),
        (b"\x04\0\0\x03etc", "leads to ../etc, outside of the image's tree"),
        (b"\x08\0\0\x03etc", "leads to /etc, outside of the image's tree"),
        (b"\0\x04none", "leads to none, outside"),
        (b"\0\x03sys\0\x05Large\0\x01x", "leads to sys/Large/x, outside"),
    ];
    for (target, words) in tries {
        let e = told(&tree(root(How::RockRidge, &[link("a", target), sys()])).expect_err(words));
        assert!(e.contains(words), "expected {words:?}, found {e:?}");
    }
    // Each of twenty directories' worth of links doubles what is listed.
    let mut many: Vec<Vec<u8>> = Vec::new();
    for i in 0..4 {
        many.push(link(&format!("l{i}"), b"\x02\0"));
    }
    assert!(tree(root(How::RockRidge, &many)).is_err());
}

#[test]
fn what_is_no_file_of_the_tree_is_left_out() {
    // El Torito's catalog, and a resource fork.
    let mut image = image(How::Utf8);
    let torito = 17 * SECTOR;
    image[torito] = 0;
    image[torito + 7..torito + 30].copy_from_slice(b"EL TORITO SPECIFICATION");
    image[torito + 71..torito + 75].copy_from_slice(&README.to_le_bytes());
    edit(&mut image, ROOT, 3, 25, 4);
    assert_eq!(tree(image).unwrap().paths(), ["", "sys", "sys/Large"]);
}

#[test]
fn the_newest_dump_is_the_tree() {
    let mut image = image(How::Plan9);
    let header = |text: &str| {
        let mut sector = vec![0; SECTOR];
        let text = format!("plan 9 dump cd\n{text}");
        sector[..text.len()].copy_from_slice(text.as_bytes());
        sector
    };
    let first = format!("2025/0101 1 28 0 0 {ROOT} 2048\n");
    let second = format!("2026/0102 2 29 0 0 {SYS} 2048\n");
    image[18 * SECTOR..19 * SECTOR].copy_from_slice(&header(&first));
    image.extend(header(&second));
    image.extend(header(""));
    assert_eq!(tree(image.clone()).unwrap().paths(), ["", "Large"]);
    for (text, words) in [
        ("2026/0102 2 18 0 0 1 2048\n", "The header of the dump in block 18 is damaged: it comes back to itself"),
        ("2026/0102 2 40 0 0 1 2048\n", "The header of the dump in block 40 is damaged: its first line is missing"),
        ("2026/0102 x\n", "The header of the dump in block 28 is damaged: it has fewer than seven fields"),
    ] {
        let mut image = image.clone();
        image[28 * SECTOR..29 * SECTOR].copy_from_slice(&header(text));
        let e = told(&tree(image).expect_err(words));
        assert!(e.contains(words), "expected {words:?}, found {e:?}");
    }
}

#[test]
fn any_bytes_are_refused_or_listed() {
    // Every byte that is not zero, replaced by others.
    for how in [How::Plan9, How::RockRidge, How::Joliet] {
        let whole = image(how);
        for at in (32768..whole.len()).filter(|at| whole[*at] != 0) {
            for flip in [0x01, 0xFF] {
                let mut image = whole.clone();
                image[at] ^= flip;
                if let Err(e) = tree(image) {
                    assert!(told(&e).len() < 500, "{}", told(&e));
                }
            }
        }
        for len in (0..whole.len()).step_by(509) {
            let _ = tree(whole[..len].to_vec());
        }
    }
}
