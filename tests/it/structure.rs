//! Structure of the sources: each folder of `src` asks only the folders that its
//! head names, and no files depend on each other in a circle, but inside one format.
//!
//! Sources are read as text: `use` declarations, and paths that begin with `crate`,
//! `super` or the name of a module below. Tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module: the names on its path from the crate down.
type Module = Vec<String>;

/// Modules of a crate with their sources, without comments and tests.
struct Sources(BTreeMap<Module, String>);

/// Formats, whose files may know each other: folders of a file system, and of media.
const FORMATS: [&str; 8] = ["fat", "fossil", "gefs", "hjfs", "cwfs", "venti", "media/git", "media/iso"];

impl Sources {
    fn read(root: &Path) -> Self {
        let mut out = BTreeMap::new();
        for entry in walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap) {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "rs") {
                continue;
            }
            let module = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Module = module.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if module.iter().any(|part| part.starts_with("tests")) || module == ["main"] {
                continue;
            }
            if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
                module.pop();
            }
            out.insert(module, without_tests(&fs::read_to_string(path).unwrap()));
        }
        Self(out)
    }

    /// Modules that a module depends on.
    fn asks(&self, from: &Module) -> BTreeSet<Module> {
        let text = &self.0[from];
        let mut paths = Vec::new();
        let mut rest = String::new();
        for statement in text.split_inclusive(';') {
            match declared(statement) {
                Some(at) => {
                    paths.extend(expanded(statement[at..].trim_end_matches(';').trim()));
                    rest.push_str(&statement[..at]);
                }
                None => rest.push_str(statement),
            }
        }
        paths.retain(|path| ["crate", "super", "self"].contains(&first(path)));
        // Paths in the code, and modules below by their names.
        for (at, _) in rest.match_indices("::") {
            let start = rest[..at].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |i| i + 1);
            if rest[..start].ends_with("::") {
                continue;
            }
            let end = rest[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let path = &rest[start..end.map_or(rest.len(), |end| at + end)];
            let below = [from.as_slice(), &[first(path).to_owned()]].concat();
            if ["crate", "super"].contains(&first(path)) || self.0.contains_key(&below) {
                paths.push(path.to_owned());
            }
        }
        let found = paths.iter().filter_map(|path| self.resolved(from, path));
        found.filter(|to| to != from).collect()
    }

    /// Module that a path leads into, through what modules re-export.
    fn resolved(&self, from: &Module, path: &str) -> Option<Module> {
        let mut parts = path.split("::").filter(|part| !part.is_empty()).peekable();
        let mut at = from.clone();
        match *parts.peek()? {
            "crate" => at.clear(),
            "super" => {
                while parts.next_if_eq(&"super").is_some() {
                    at.pop();
                }
            }
            _ => {}
        }
        parts.next_if(|part| ["crate", "self"].contains(part));
        for part in parts {
            let below = [at.as_slice(), &[part.to_owned()]].concat();
            if self.0.contains_key(&below) {
                at = below;
            } else {
                // What a module passes on from a module below it.
                while let Some(next) = self.passed_on(&at, part) {
                    at = next;
                }
                break;
            }
        }
        self.0.contains_key(&at).then_some(at)
    }

    /// The module below `at` from which it re-exports `name`.
    fn passed_on(&self, at: &Module, name: &str) -> Option<Module> {
        let text = self.0.get(at)?;
        let all = text.split(';').filter_map(|s| s.split_once("use ").filter(|(before, _)| before.contains("pub")));
        for path in all.flat_map(|(_, tree)| expanded(tree.trim())) {
            let Some((module, last)) = path.rsplit_once("::") else { continue };
            let below: Module = [at.as_slice(), &module.split("::").map(str::to_owned).collect::<Vec<_>>()].concat();
            if last == name && self.0.contains_key(&below) {
                return Some(below);
            }
        }
        None
    }
}

fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

/// Offset after the `use` of a declaration that a statement ends with: one at the
/// beginning of a line, perhaps behind its visibility.
fn declared(statement: &str) -> Option<usize> {
    let begins = |(at, word): (usize, &str)| {
        let line = statement[..at].rsplit('\n').next().unwrap_or_default().trim();
        (line.is_empty() || line == "pub" || line.starts_with("pub(")).then_some(at + word.len())
    };
    statement.match_indices("use ").filter_map(begins).last()
}

/// The code of a file, without comments, texts and tests.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        code.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = match rest.as_bytes() {
            [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
            // A character: what is quoted may be a quote or a slash.
            [b'\'', b'\\', _, b'\'', ..] => 4,
            [b'\'', _, b'\'', ..] => 3,
            [b'"', ..] if code.ends_with("r#") => rest.find("\"#").map_or(rest.len(), |end| end + 2),
            [b'"', ..] => {
                let mut escaped = false;
                let end = rest.bytes().skip(1).position(|b| {
                    let ends = b == b'"' && !escaped;
                    escaped = b == b'\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |end| end + 2)
            }
            _ => {
                code.push_str(&rest[..1]);
                1
            }
        };
        rest = &rest[len..];
    }
    code.push_str(rest);
    let lines: Vec<&str> = code.lines().collect();
    let tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod tests") && pair[1].ends_with('{');
    let end = lines.windows(2).position(tests).unwrap_or(lines.len());
    // The visibility of an item is no dependency.
    lines[..end].join("\n").replace("pub(in crate::", "pub(in ")
}

/// The paths of a `use` tree.
fn expanded(tree: &str) -> Vec<String> {
    let Some((before, inner)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or(tree).trim().to_owned()];
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut out, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..i].trim();
                out.extend(expanded(part).into_iter().filter(|p| !p.is_empty()).map(|p| format!("{before}{p}")));
                start = i + 1;
            }
            _ => {}
        }
    }
    out
}

/// Sets of more than one that reach each other.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<BTreeSet<Module>> {
    let reached = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(at) = next.pop() {
            next.extend(arrows.get(&at).into_iter().flatten().filter(|to| seen.insert((*to).clone())).cloned());
        }
        seen
    };
    let all: BTreeMap<&Module, BTreeSet<Module>> = arrows.keys().map(|from| (from, reached(from))).collect();
    let circle = |from: &Module| -> BTreeSet<Module> {
        all[from].iter().filter(|to| all.get(to).is_some_and(|back| back.contains(from))).cloned().collect()
    };
    arrows.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

#[test]
fn folders_ask_those_that_their_heads_name() {
    let root = p9img_test::repository("src");
    let sources = Sources::read(&root);
    let is_folder = |name: &str| root.join(name).is_dir();
    let mut arrows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for module in sources.0.keys().filter(|module| !module.is_empty() && is_folder(&module[0])) {
        let asked = sources.asks(module).into_iter().filter_map(|to| to.first().cloned());
        let others = asked.filter(|to| *to != module[0] && is_folder(to)).map(|to| vec![to]);
        arrows.entry(vec![module[0].clone()]).or_default().extend(others);
    }
    assert!(arrows.len() > 12, "{arrows:?}");
    for (folder, asked) in &arrows {
        let head = fs::read_to_string(root.join(&folder[0]).join("mod.rs")).unwrap();
        let head: Vec<&str> = head.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let head = head.join(" ");
        let names = head.rsplit_once("It may ask ").map_or("", |(_, names)| names.split('.').next().unwrap_or(""));
        let named: BTreeSet<Module> = names.split('`').skip(1).step_by(2).map(|n| vec![n.to_owned()]).collect();
        assert_eq!(*asked, named, "src/{}/mod.rs says otherwise", folder[0]);
        assert!(!named.is_empty() || head.ends_with("It asks no other folder."), "{}", folder[0]);
    }
    assert_eq!(circles(&arrows), BTreeSet::new());
}

#[test]
fn only_files_of_one_format_depend_on_each_other_in_circles() {
    for root in ["src", "crates/plan9-fs/src", "crates/plan9-auth/src", "crates/p9img-test/src"] {
        let sources = Sources::read(&p9img_test::repository(root));
        let arrows = sources.0.keys().map(|module| (module.clone(), sources.asks(module))).collect();
        for circle in circles(&arrows) {
            let names: Vec<String> = circle.iter().map(|module| module.join("/")).collect();
            let format = FORMATS.iter().find(|format| names.iter().all(|n| n.starts_with(&format!("{format}/"))));
            assert!(format.is_some(), "{root}: {names:?} depend on each other");
        }
    }
}

#[test]
fn only_the_table_of_runners_and_the_page_ask_qemu() {
    let sources = Sources::read(&p9img_test::repository("src"));
    let is_qemu = |module: &Module| module.starts_with(&["guest", "runner", "qemu"].map(str::to_owned));
    let asks = |module: &&Module| !is_qemu(module) && sources.asks(module).iter().any(is_qemu);
    let asking: Vec<String> = sources.0.keys().filter(asks).map(|module| module.join("/")).collect();
    // The page has the command lines for people who run a node by hand.
    assert_eq!(asking, ["guest/runner", "page"]);
}

#[test]
fn what_it_says_of_sources_is_so() {
    let error = "enum E {\n    #[error(\"in use by another // p9img\")]\n    A(#[from] crate::x::Y),\n}\nfn f() {\n    use std::a;";
    let code = without_tests(error);
    let statement = code.split_inclusive(';').next().unwrap();
    assert_eq!(declared(statement).map(|at| &statement[at..]), Some("std::a;"));
    assert!(code.contains("crate::x::Y") && !code.contains("p9img"), "{code}");
    assert_eq!(declared("let x = \n    reuse a;"), None);
    assert_eq!(expanded("a::{b, c::{self, d as e}, f}"), ["a::b", "a::c::self", "a::c::d", "a::f"]);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    file("lib.rs", "mod a;\nmod b;\n");
    file("a/mod.rs", "mod x;\npub use x::X;\nuse crate::b::B;\n");
    file("a/x.rs", "// use crate::b::B;\n#[cfg(test)]\nmod tests {\n    use super::super::X;\n}\n");
    file("b.rs", "fn f() { crate::a::X::new() }\nenum E {\n    A(crate::a::X),\n}\nuse std::fs;\n");
    let arrows = |sources: &Sources| sources.0.keys().map(|m| (m.clone(), sources.asks(m))).collect();
    let sources = Sources::read(dir.path());
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    assert_eq!(sources.asks(&module("b")), [module("a/x")].into());
    assert_eq!(sources.asks(&module("a/x")), [].into());
    assert_eq!(circles(&arrows(&sources)), [].into());
    file("a/x.rs", "use super::super::b;\n");
    let circle = [module("a/x"), module("b")].into();
    assert_eq!(circles(&arrows(&Sources::read(dir.path()))), [circle].into());
}
