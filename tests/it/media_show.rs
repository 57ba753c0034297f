//! `p9img media show`: what a medium is, has, and what can be built from it.

use p9img_test::lab::{good, p9img as run};
use p9img_test::media::medium;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn shown(dir: &Path, medium: &str) -> Value {
    serde_json::from_str(&good(dir, &["media", "show", medium, "--json"])).unwrap()
}

fn roles<'a>(shown: &'a Value, arch: &str) -> Vec<&'a str> {
    let build = shown["builds"].as_array().unwrap().iter().find(|b| b["architecture"] == arch).unwrap();
    build["roles"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect()
}

#[test]
fn what_is_missing_is_named_and_what_is_there_can_be_built() {
    let dir = tempfile::tempdir().unwrap();
    let sample = shown(dir.path(), "sample");
    assert_eq!(sample["distribution"], "sample");
    assert!(roles(&sample, "386").contains(&"cpu") && roles(&sample, "386").contains(&"terminal"));

    // A release that has lost a kernel, then its loader.
    let tree = dir.path().join("tree");
    for path in ["386/9load", "386/9pccpuf", "386/pbslba", "386/mbr", "rc/bin/cpurc"] {
        fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
        fs::write(tree.join(path), path).unwrap();
    }
    let some = shown(dir.path(), "tree");
    assert!(some["system"].as_str().unwrap().contains("9legacy or Plan 9 from Bell Labs"), "{some}");
    assert!(roles(&some, "386").contains(&"cpu") && !roles(&some, "386").contains(&"terminal"));
    assert!(roles(&some, "amd64").is_empty());
    let out = run(dir.path(), &["media", "show", "tree"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("It has no 386/9pcf, the kernel of terminal"), "{text}");
    assert!(text.contains("builds    nothing for amd64"), "{text}");
    assert!(
        text.contains("builds    nothing for pi4\n          It has no arm/9pi4, the kernel of terminal\n"),
        "{text}"
    );
    for kernel in ["9pi2cpu", "9pi2", "9pi4cpu", "9pi4"] {
        fs::create_dir_all(tree.join("arm")).unwrap();
        fs::write(tree.join("arm").join(kernel), kernel).unwrap();
    }
    let text = String::from_utf8(run(dir.path(), &["media", "show", "tree"]).stdout).unwrap();
    assert!(
        text.contains("builds    pi2, pi3, pi4 with fossil and the roles auth, cpu, fs, replica, terminal, venti\n"),
        "{text}"
    );
    assert!(text.contains("builds    nothing for pi1\n"), "{text}");

    // A build gives the same answer.
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/lab.toml"), dir.path().join("lab.toml")).unwrap();
    let built = run(dir.path(), &["plan", "plan9n1", "--media", "tree"]);
    let err = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success() || !err.contains("386/9pccpuf"), "the kernel of cpu is there: {err}");

    let wrong = run(dir.path(), &["media", "show", "nowhere"]);
    assert_ne!(wrong.status.code(), Some(0));
    assert!(wrong.stdout.is_empty() && !wrong.stderr.is_empty());
}

#[test]
fn real_media_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    if let Some(path) = medium("real_media_are_told_apart", "9legacy") {
        let legacy = shown(dir.path(), path.to_str().unwrap());
        assert_eq!((&legacy["system"], &legacy["distribution"]), (&"9legacy".into(), &"9legacy".into()));
        assert!(legacy["metadata"].as_str().unwrap().starts_with("dist/replica/plan9.db"));
        let names: Vec<_> = legacy["architectures"].as_array().unwrap().iter().map(|a| a["name"].clone()).collect();
        assert_eq!(names, ["386", "amd64", "arm"], "those that have programs and kernels");
        assert!(roles(&legacy, "386").contains(&"venti"));
    }
    if let Some(path) = medium("real_media_are_told_apart", "9front") {
        let front = shown(dir.path(), path.to_str().unwrap());
        assert_eq!((&front["system"], &front["distribution"]), (&"9front".into(), &"9front".into()));
        assert!(front["unsure"].as_str().unwrap().contains("number of the release"));
        let why = &front["builds"][0];
        assert!(why["roles"].as_array().unwrap().is_empty() && !why["missing"].as_array().unwrap().is_empty());
    }
}
