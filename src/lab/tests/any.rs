//! For any text of the file, the result is a lab, or a report with right positions,
//! and never a panic.

use super::{facts, parse};
use crate::lab::{KEYS, Lab, template, units};
use crate::size;
use proptest::prelude::*;

fn judge(text: &str) {
    match parse(text) {
        Ok(lab) => {
            assert!(!lab.nodes.is_empty() && !lab.formats.is_empty());
            let net = lab.network.subnet;
            for node in &lab.nodes {
                assert!(net.contains(&node.ip) && node.ip != net.network() && node.ip != net.broadcast());
                assert!(node.disk.is_multiple_of(512) && node.mac.0[0] & 1 == 0);
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.mistakes.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for mistake in &mistakes.mistakes {
                let place = mistake.place.as_ref().unwrap();
                let line = lines[place.line - 1].trim_end_matches('\r');
                assert!((1..=line.chars().count() + 1).contains(&place.column), "{place:?}");
            }
            let plain = mistakes.render(false);
            assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{plain:?}");
            assert!(!mistakes.render(true).is_empty());
        }
    }
}

/// A value of any sort that TOML has, likely ones more often.
fn value() -> impl Strategy<Value = String> {
    let likely = prop::sample::select(vec![
        "\"sample\"",
        "\"10.9.0.1\"",
        "\"10.9.0.0/24\"",
        "\"cpu\"",
        "[\"cpu\"]",
        "[\"auth\", \"cpu\", \"fs\"]",
        "\"2 GiB\"",
        "386",
        "\"386\"",
        "[]",
        "{}",
        "true",
        "1.5",
        "-1",
        "0x7fffffffffffffff",
        "2026-01-01T00:00:00Z",
        "2026-01-01",
        "07:32:00",
        "\"52:54:00:09:00:01\"",
        "[[1], [2]]",
        "{ path = \"m\" }",
        "inf",
        "'''a\nb'''",
        "99999999999999999999999999",
        "\"\"",
    ]);
    prop_oneof![3 => likely.prop_map(str::to_owned), 1 => "\"[^\"\\\\]{0,12}\"", 1 => "[0-9]{1,30}"]
}

fn section() -> impl Strategy<Value = String> {
    prop::sample::select(KEYS.to_vec()).prop_flat_map(|(name, keys)| {
        let header = match name {
            "the lab file" => String::new(),
            "[media.NAME]" => "[media.m]".into(),
            header => header.to_owned(),
        };
        let key = prop_oneof![9 => prop::sample::select(keys.to_vec()).prop_map(str::to_owned), 1 => "[a-z\"= .]{0,8}"];
        prop::collection::vec((key, value()), 0..6).prop_map(move |lines| {
            let lines: String = lines.into_iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
            format!("{header}\n{lines}")
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}|[\\[\\]{}=\"'.,#a\n\r\t-]{0,80}") {
        judge(&text);
    }

    #[test]
    fn any_change_of_the_default_lab(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..20usize, "[\\x00-\\x7f]{0,6}|\\PC{0,3}"), 1..6),
    ) {
        let mut text: Vec<char> = template::LAB.chars().collect();
        for (at, drop, insert) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + drop).min(text.len());
            text.splice(at..end, insert.chars());
        }
        judge(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_sections(sections in prop::collection::vec(section(), 0..8)) {
        judge(&sections.concat());
    }

    #[test]
    fn any_bytes_in_a_file(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lab.toml");
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(Lab::load(&path, &facts()).is_err());
    }

    #[test]
    fn sizes_are_read_as_they_are_shown(bytes: u64, shift in 0..64u32) {
        let bytes = bytes >> shift;
        prop_assert_eq!(units::size(&size::exact(bytes)), Ok(bytes));
    }

    #[test]
    fn any_size(text in "[0-9.]{0,25} ?[kKMGTiB]{0,3}|\\PC{0,20}") {
        let _ = units::size(&text);
        let _ = units::mac(&text);
        let _ = units::source_date_epoch(&text);
    }
}
