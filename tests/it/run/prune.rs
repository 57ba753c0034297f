//! `build --prune` while nodes run: the image that a running node was started
//! from stays, and the node is stopped as ever.

use super::Lab;
use crate::run::prompt::text;
use std::fs;

#[test]
fn images_of_a_node_that_runs_stay_until_it_is_stopped() {
    let test = "images_of_a_node_that_runs_stay_until_it_is_stopped";
    let Some(lab) = Lab::prompting(test) else { return };
    let image = |name: &str| lab.path(format!("output/{name}.qcow2"));
    let disk = lab.path("output/run/plan9n2/disk.qcow2");
    let build = |format: &str| {
        let out = lab.run(&["build", "--all", "--prune", "--media", "medium", "--format", format]);
        assert!(out.status.success(), "{}", text(&out));
        text(&out)
    };
    let stale = |file: &str| {
        let json = fs::read(lab.path("output/manifest.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["artifacts"][file]["stale"].clone()
    };
    lab.up(&["plan9n1", "plan9n2"]);
    // Renamed: by the lab, plan9n2 and plan9n3 are gone, and one of them runs.
    lab.edit("\"plan9n2\"", "\"other2\"");
    lab.edit("\"plan9n3\"", "\"other3\"");
    let written = || fs::metadata(&disk).unwrap().modified().unwrap();
    let (before, last) = (fs::read(image("plan9n2")).unwrap(), written());
    let said = build("qcow2");
    assert!(said.contains("plan9n2.qcow2 stays: plan9n2 is running; stop it with `p9img down` first"), "{said}");
    assert!(said.contains("removed output/plan9n3.qcow2") && !said.contains("removed output/plan9n2"), "{said}");
    assert!(fs::read(image("plan9n2")).unwrap() == before && !image("plan9n3").exists());
    assert_eq!(stale("plan9n2.qcow2"), true);
    let sums = fs::read_to_string(lab.path("output/SHA256SUMS")).unwrap();
    assert!(sums.contains("plan9n2.qcow2") && !sums.contains("plan9n3"), "{sums}");
    assert_eq!(lab.running(), ["plan9n1", "plan9n2"]);

    // A format that is no longer asked for, of a node that runs; and one of which
    // nothing but the process itself says that it does.
    for file in ["pid", "control.sock", "node.json"] {
        fs::remove_file(lab.path(format!("output/run/plan9n2/{file}"))).unwrap();
    }
    let said = build("raw");
    for name in ["plan9n1", "plan9n2"] {
        assert!(said.contains(&format!("{name}.qcow2 stays: {name} is running")), "{said}");
        assert!(image(name).exists(), "{name}");
    }
    assert!(!image("other2").exists() && !image("plan9n4").exists(), "what does not run is removed: {said}");
    assert_eq!(written(), last, "the disk of a node that runs is its own");

    // A node whose image was removed by hand is shown and stopped all the same.
    fs::remove_file(image("plan9n2")).unwrap();
    build("raw");
    let status = lab.status(&[]);
    let two = status["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "plan9n2").unwrap();
    assert_ne!(two["state"], "down", "{status:#}");
    lab.must(&["down", "--force", "plan9n2"]);
    assert_eq!(lab.running(), ["plan9n1"]);
    lab.must(&["down"]);
    lab.nothing_is_left(test);
    assert!(build("raw").contains("removed output/plan9n1.qcow2"), "nothing is in its way any more");
    assert!(disk.exists(), "what the node wrote is not a build's to remove");
}
