//! `layout = "overlay"`: nodes' images over one base are their whole images.

use p9img::artifact;
use p9img_test::folder::copy_tree;
use p9img_test::lab::said;
use p9img_test::tools::tool;
use std::fs;
use std::path::PathBuf;

p9img_test::lab_with_steps!(Lab);

impl Lab {
    /// The default lab of a medium with a file that is larger than clusters.
    fn new() -> Self {
        let lab = Self(p9img_test::Lab::default_lab());
        copy_tree(&p9img_test::repository("media/sample"), &lab.path("medium"));
        fs::write(lab.path("medium/lib/words"), p9img_test::disks::noise(1, 2 << 20)).unwrap();
        lab.set("media.own.path", "medium");
        lab.set("lab.medium", "own");
        lab.set("lab.formats", toml::Value::Array(vec!["qcow2".into()]));
        lab
    }

    /// Names of the bases in a folder.
    fn bases(&self, out: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path(out))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("base-"))
            .collect();
        names.sort();
        names
    }

    fn image(&self, out: &str, node: &str) -> PathBuf {
        self.path(format!("{out}/{node}.qcow2"))
    }

    fn manifest(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path("output/manifest.json")).unwrap()).unwrap()
    }

    /// Whether an image is the whole image of its node in another folder.
    fn is_whole_one(&self, node: &str, whole: &str) {
        let (over, whole) = (self.image("output", node), self.image(whole, node));
        p9img_test::disks::same(&*artifact::open(&over).unwrap(), &*artifact::open(&whole).unwrap());
        tool("qemu-img", &["compare", over.to_str().unwrap(), whole.to_str().unwrap()]);
    }
}

#[test]
fn images_over_a_base_are_the_whole_images() {
    let lab = Lab::new();
    lab.good(&["build", "--all", "--out", "whole"]);
    assert!(lab.bases("whole").is_empty());
    let first = lab.good(&["build", "--all", "--layout", "overlay"]);
    // The node with the venti has another place for its root.
    let bases = lab.bases("output");
    assert!((1..=2).contains(&bases.len()) && bases[0].starts_with("base-fossil-"), "{bases:?}");
    assert!(bases.iter().all(|base| first.contains(base)), "{first}");
    for node in ["plan9n1", "plan9n2", "plan9n3", "plan9n4"] {
        lab.is_whole_one(node, "whole");
        let len = |path: PathBuf| fs::metadata(path).unwrap().len();
        assert!(len(lab.image("output", node)) + (1 << 20) < len(lab.image("whole", node)), "{node}");
        // Whoever looks into them finds what is in the base.
        let out = lab.run(&["cat", &format!("output/{node}.qcow2:fossil:/lib/words")]);
        assert!(out.status.success() && out.stdout == fs::read(lab.path("medium/lib/words")).unwrap(), "{node}");
        lab.good(&["fsck", &format!("output/{node}.qcow2")]);
    }
    let manifest = lab.manifest();
    assert_eq!(manifest["inputs"]["lab"]["layout"], "overlay");
    for base in &bases {
        assert_eq!(manifest["bases"][base]["format"], "qcow2");
    }
    let base = manifest["artifacts"]["plan9n1.qcow2"]["base"].as_str().unwrap();
    assert!(bases.iter().any(|name| name == base), "{base}");
    assert!(fs::read_to_string(lab.path("output/index.html")).unwrap().contains(&bases[0]));
    let sums = fs::read_to_string(lab.path("output/SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 4 + bases.len(), "{sums}");
    // The layout is remembered, and what is there stays.
    let again = lab.run(&["build", "--all"]);
    assert!(said(&again).contains("the layout is overlay, as in the last `--layout`"), "{}", said(&again));
    assert!(said(&again).contains("unchanged and complete"), "{}", said(&again));
    let rebuilt = lab.run(&["build", "--rebuild"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", said(&rebuilt));
    // And back.
    lab.good(&["build", "--all", "--layout", "whole", "--prune"]);
    assert!(lab.bases("output").is_empty());
    for node in ["plan9n1", "plan9n4"] {
        assert!(fs::read(lab.image("output", node)).unwrap() == fs::read(lab.image("whole", node)).unwrap());
    }
    assert!(lab.manifest()["bases"].is_null());
}

#[test]
fn one_node_has_the_base_that_all_have() {
    let lab = Lab::new();
    lab.set("lab.layout", "overlay");
    lab.good(&["build", "plan9n2"]);
    let bases = lab.bases("output");
    assert_eq!(bases.len(), 1);
    let base = fs::read(lab.path("output").join(&bases[0])).unwrap();
    lab.good(&["build", "--all", "--out", "all"]);
    assert!(fs::read(lab.path("all").join(&bases[0])).unwrap() == base);
    assert!(fs::read(lab.image("all", "plan9n2")).unwrap() == fs::read(lab.image("output", "plan9n2")).unwrap());
}

#[test]
fn another_medium_makes_another_base_beside_the_one_that_is_used() {
    let lab = Lab::new();
    lab.set("lab.layout", "overlay");
    lab.good(&["build", "plan9n2", "plan9n3"]);
    let old = lab.bases("output");
    fs::write(lab.path("medium/lib/words"), p9img_test::disks::noise(2, 2 << 20)).unwrap();
    lab.good(&["build", "plan9n2"]);
    let both = lab.bases("output");
    assert!(both.len() == old.len() + 1 && old.iter().all(|base| both.contains(base)), "{old:?} {both:?}");
    let third = artifact::open(&lab.image("output", "plan9n3")).unwrap();
    lab.good(&["fsck", "output/plan9n3.qcow2"]);
    drop(third);
    // An image is over it, so it stays.
    lab.good(&["build", "plan9n2", "--prune"]);
    assert_eq!(lab.bases("output"), both);
    let pruned = lab.run(&["build", "--all", "--prune"]);
    assert!(
        pruned.status.success() && said(&pruned).contains(&format!("removed output/{}", old[0])),
        "{}",
        said(&pruned)
    );
    assert!(!lab.bases("output").contains(&old[0]));
    assert!(lab.manifest()["bases"][&old[0]].is_null());
}

#[test]
fn a_layout_that_is_none_or_that_nothing_has_is_refused() {
    let lab = Lab::new();
    lab.refuses(&["build", "--all", "--layout", "thin"], 2, &["--layout", "Unknown layout `thin`", "overlay"]);
    lab.set("lab.layout", "overlays");
    lab.refuses(&["check"], 1, &["Unknown layout", "did you mean `overlay`?"]);
    lab.set("lab.layout", "overlay");
    lab.set("lab.formats", toml::Value::Array(vec!["ova".into()]));
    lab.refuses(&["check"], 1, &["no format has such files", "qcow2"]);
    assert!(!lab.path("output").exists());
}

#[test]
fn disks_that_were_forgotten_come_back_the_same() {
    // More nodes than those whose disks are kept, in two formats that read them at different times.
    let lab = Lab::new();
    lab.set("lab.formats", toml::Value::Array(vec!["qcow2".into(), "raw".into()]));
    lab.set("lab.layout", "overlay");
    let mut text = fs::read_to_string(lab.path("lab.toml")).unwrap();
    for n in 5..16 {
        text += &format!("\n[[node]]\nname = \"plan9n{n}\"\nroles = [\"cpu\"]\n");
    }
    lab.put("lab.toml", text);
    lab.good(&["build", "--all"]);
    let some = ["plan9n1", "plan9n9", "plan9n15"];
    // These are kept.
    lab.good(&[&["build", "--out", "some"][..], &some].concat());
    for node in some {
        for name in [format!("{node}.qcow2"), format!("{node}.img")] {
            assert!(
                fs::read(lab.path("output").join(&name)).unwrap() == fs::read(lab.path("some").join(&name)).unwrap()
            );
        }
        p9img_test::disks::same(
            &*artifact::open(&lab.image("output", node)).unwrap(),
            &*artifact::open(&lab.path(format!("output/{node}.img"))).unwrap(),
        );
    }
}
