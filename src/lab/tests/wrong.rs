use super::{facts, parse};
use crate::cli::advice;
use crate::lab::Lab;
use crate::lab::mistakes::{Kind, Remedy};

/// Labs that are wrong, each with its report. A case that has no [lab] or no
/// node, and is not about that, gets them after its own lines.
const CASES: &str = include_str!("wrong.txt");

/// The text of a case as the parser sees it.
fn whole(title: &str, text: &str) -> String {
    let mut text = text.to_owned();
    let lacks = title.starts_with("no ") || title.contains("without name") || title.contains("closed");
    if !lacks && !text.contains("[lab]") {
        text.push_str("[lab]\nname = \"x\"\n");
    }
    if !lacks && !text.contains("node") {
        text.push_str("[[node]]\nname = \"n\"\nroles = [\"cpu\"]\n");
    }
    text
}

#[test]
fn reports_are_exact() {
    let mut found = String::new();
    for case in CASES.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let text = rest.split("\n---\n").next().unwrap();
        let text = format!("{}\n", text.trim_end_matches('\n'));
        let report = match parse(&whole(title, &text)) {
            Ok(_) => "nothing is wrong".into(),
            // The command line adds its commands to some of them.
            Err(mistakes) => advice::advised(&mistakes).render(false),
        };
        // Lines of the frame end in a blank where a line of the file is empty.
        let report: String = report.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        found += &format!("=== {title}\n{text}---\n{report}\n");
    }
    if std::env::var_os("P9IMG_BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lab/tests/wrong.txt"), found.trim_end()).unwrap();
        panic!("src/lab/tests/wrong.txt is rewritten: read the difference");
    }
    let (mut found, mut expected) = (found.trim_end().lines(), CASES.trim_end().lines());
    for number in 1.. {
        match (found.next(), expected.next()) {
            (None, None) => break,
            (found, expected) => assert_eq!(found, expected, "wrong.txt:{number}"),
        }
    }
}

#[test]
fn programs_get_the_same_as_fields() {
    let mistakes = parse("[lab]\nname = \"x\"\n[[node]]\n  name = \"é\"\nroles = [\"cpu\"]\n").unwrap_err();
    let json = serde_json::to_value(&mistakes).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "file": "lab.toml",
            "mistakes": [{
                "kind": "bad-value",
                "message": "Node name `é` holds `é`",
                "expected": "1 to 27 bytes of letters a to z, digits and `-`",
                "help": null,
                "place": { "file": "lab.toml", "line": 4, "column": 10, "length": 3, "excerpt": "  name = \"é\"" },
                "first": null,
            }],
            "left_off": 0,
        })
    );
}

#[test]
fn colour_changes_nothing_but_colour() {
    let mistakes = parse("[lab]\nname = \"x y\"\n").unwrap_err();
    let (plain, colored) = (mistakes.render(false), mistakes.render(true));
    assert!(colored.contains("\u{1b}[") && !plain.contains('\u{1b}'));
    let mut stripped = String::new();
    for part in colored.split('\u{1b}') {
        stripped += part.strip_prefix('[').and_then(|p| p.split_once('m')).map_or(part, |(_, text)| text);
    }
    assert_eq!(stripped, plain);
    assert_eq!(mistakes.to_string(), plain);
}

#[test]
fn a_file_full_of_mistakes_gives_a_bounded_report() {
    let text = format!("[lab]\n{}", (0..100_000).map(|i| format!("x{i}=1\n")).collect::<String>());
    let mistakes = parse(&text).unwrap_err();
    assert_eq!((mistakes.mistakes.len(), mistakes.left_off), (200, 100_002 - 200));
    assert!(mistakes.render(false).ends_with("99802 more not shown\n100002 mistakes in lab.toml"));
    let one_line = format!("lab = {{ {} }}", (0..50_000).map(|i| format!("x{i}=1,")).collect::<String>());
    assert!(parse(&one_line).unwrap_err().render(true).len() < 200_000);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lab.toml");
    let load = |path: &std::path::Path| Lab::load(path, &facts()).unwrap_err();
    let missing = load(&path);
    assert_eq!(missing.mistakes[0].kind, Kind::File);
    assert_eq!((missing.mistakes[0].help.as_deref(), missing.mistakes[0].remedy), (None, Some(Remedy::OtherFile)));
    assert!(load(dir.path()).to_string().contains("cannot be read"));
    std::fs::write(&path, b"[lab]\nname = \"\xFF\"\n").unwrap();
    assert!(load(&path).to_string().contains("not UTF-8 text: byte 0xff in line 2"));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(load(&path).to_string().contains("larger than 1 MiB"));
}
