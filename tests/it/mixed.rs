//! Labs whose nodes are built from several media: the sample, and a folder made
//! of it that p9img takes for 9legacy.

use std::fs;

p9img_test::lab_with_steps!(Lab);

impl Lab {
    /// The default lab, with the folder as the medium `own`.
    fn new() -> Self {
        let lab = Self(p9img_test::Lab::default_lab());
        p9img_test::folder::copy_tree(&p9img_test::repository("media/sample"), &lab.path("medium"));
        fs::remove_file(lab.path("medium/sys/README.sample")).unwrap();
        fs::write(lab.path("medium/rc/bin/cpurc"), "#!/bin/rc\n").unwrap();
        fs::write(lab.path("medium/lib/own"), "the folder's own\n").unwrap();
        lab.set("media.own.path", "medium");
        lab
    }
    /// Gives a node a medium.
    fn from(&self, node: &str, medium: &str) {
        self.set(&format!("{node}.medium"), medium);
    }
    /// Builds all; the sums of the files by name.
    fn build(&self, out: &str) -> Vec<(String, String)> {
        self.good(&["build", "--all", "--quiet", "--format", "qcow2,raw", "--out", out]);
        let sums = fs::read_to_string(self.path(out).join("SHA256SUMS")).unwrap();
        sums.lines().filter_map(|l| l.split_once("  ")).map(|(sum, name)| (name.to_owned(), sum.to_owned())).collect()
    }
    fn said(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(!out.status.success(), "{args:?}");
        String::from_utf8(out.stderr).unwrap()
    }
}

#[test]
fn every_node_is_built_from_its_own_medium() {
    let lab = Lab::new();
    let before = lab.build("one");
    let one: serde_json::Value = serde_json::from_slice(&fs::read(lab.path("one/manifest.json")).unwrap()).unwrap();
    assert!(one["inputs"]["medium"].is_object() && one["inputs"]["media"].is_null());

    lab.from("plan9n2", "own");
    lab.from("plan9n4", "own");
    let plan = lab.json(&["plan", "--json"]);
    let names: Vec<_> = plan["media"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sample", "own"], "each is opened once");
    assert!(plan["medium"].is_null());
    let of: Vec<_> = plan["nodes"].as_array().unwrap().iter().map(|n| n["medium"].as_str().unwrap()).collect();
    assert_eq!(of, ["sample", "own", "sample", "own"]);
    let text = lab.good(&["plan"]);
    assert!(text.contains("medium    own (9legacy, ") && text.contains("  from own\n"), "{text}");

    // Nothing changes for the others.
    let after = lab.build("output");
    let differ: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|((_, _), (name, _))| name).collect();
    assert_eq!(differ, ["plan9n2.img", "plan9n2.qcow2", "plan9n4.img", "plan9n4.qcow2"]);
    for (node, there) in [("plan9n1", false), ("plan9n2", true), ("plan9n4", true)] {
        let found = lab.run(&["cat", &format!("output/{node}.qcow2:fossil:/lib/own")]);
        assert_eq!(found.stdout == b"the folder's own\n", there, "{node}");
    }
    // One node alone is the same.
    lab.good(&["build", "plan9n4", "--format", "qcow2,raw", "--out", "alone"]);
    let image = |out: &str| fs::read(lab.path(out).join("plan9n4.qcow2")).unwrap();
    assert!(image("alone") == image("output"));
    lab.good(&["build", "--rebuild", "--format", "qcow2,raw"]);

    let manifest = fs::read_to_string(lab.path("output/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let media = manifest["inputs"]["media"].as_object().unwrap();
    assert!(manifest["inputs"]["medium"].is_null() && media.len() == 2);
    assert_eq!(
        (&media["own"]["distribution"], &media["sample"]["distribution"]),
        (&"9legacy".into(), &"sample".into())
    );
    assert_eq!(media["sample"]["sha256"], one["inputs"]["medium"]["sha256"]);
    let page = fs::read_to_string(lab.path("output/index.html")).unwrap();
    for medium in media.values() {
        assert!(page.contains(medium["sha256"].as_str().unwrap()));
    }
    assert!(page.contains("This is not Plan 9."));
    // Only Plan 9 is run.
    let said = lab.said(&["up"]);
    assert!(said.contains("The images of plan9n1, plan9n3 in ") && said.contains("embedded sample"), "{said}");
}

#[test]
fn a_medium_on_the_command_line_replaces_the_labs_alone() {
    let lab = Lab::new();
    lab.from("plan9n2", "own");
    p9img_test::folder::copy_tree(&lab.path("medium"), &lab.path("elsewhere/own"));
    let plan = lab.json(&["plan", "--json", "--media", "elsewhere/own"]);
    let of: Vec<_> = plan["nodes"].as_array().unwrap().iter().map(|n| n["medium"].as_str().unwrap()).collect();
    assert_eq!(of, ["medium", "own", "medium", "medium"], "its name is another medium's");
    // The one that nodes name themselves: then there is one.
    let plan = lab.json(&["plan", "--json", "--media", "own"]);
    assert_eq!(plan["medium"]["name"], "own");
    assert!(plan["media"].is_null() && plan["nodes"][0]["medium"].is_null());
}

#[test]
fn media_that_no_node_is_built_from_are_not_looked_at() {
    let lab = Lab::new();
    lab.set("media.gone.path", "nowhere");
    lab.good(&["plan"]);
    // Another node's medium decides what a node is given, so it is needed.
    lab.from("plan9n4", "gone");
    let said = lab.said(&["build", "plan9n1"]);
    assert!(said.contains("There is no medium at ") && said.contains("nowhere"), "{said}");
    // The lab's own medium is not, when every node has another.
    for node in ["plan9n1", "plan9n2", "plan9n3"] {
        lab.from(node, "own");
    }
    lab.from("plan9n4", "own");
    lab.set("lab.medium", "gone");
    assert_eq!(lab.json(&["plan", "--json"])["medium"]["name"], "own");
}

#[test]
fn a_replica_follows_a_file_server_of_its_own_medium() {
    let lab = Lab::new();
    lab.from("plan9n3", "own");
    let said = lab.said(&["check"]);
    assert!(said.contains("Role `replica` needs `fs` on a node built from the same medium (`own`)"), "{said}");
    // From the command line, where no place can be named.
    lab.set("lab.medium", "own");
    lab.good(&["check"]);
    let said = lab.said(&["plan", "--media", "sample"]);
    assert!(
        said.contains("Node plan9n3: Role replica needs a node with role fs built from the same medium (own)"),
        "{said}"
    );
}
