//! Every artifact of the embedded medium starts, says its line and powers off.

use crate::built::{Artifact, Lab};
use crate::expect_sample_line;
use p9img::lab::Controller;
use p9img_test::guest::Machine;
use p9img_test::tools::have;

fn boot(lab: &Lab, controller: Controller, artifacts: &[Artifact]) {
    for node in &lab.nodes {
        for artifact in artifacts {
            let mut guest = Machine::new(controller, lab.disk(&node.name, *artifact)).start().unwrap();
            expect_sample_line(&mut guest, &format!("{} roles: {}", node.name, node.roles));
        }
    }
}

#[test]
fn all_artifacts_of_the_default_lab_start() {
    if !have("all_artifacts_of_the_default_lab_start", &["qemu-system-x86_64"]) {
        return;
    }
    let lab = Lab::build(None, &[], "qcow2,ova,raw");
    assert_eq!(lab.nodes.len(), 4);
    boot(&lab, Controller::Ide, &[Artifact::Qcow2, Artifact::Ova, Artifact::Raw]);
}

#[test]
fn the_sample_starts_on_other_controllers_and_as_amd64() {
    if !have("the_sample_starts_on_other_controllers_and_as_amd64", &["qemu-system-x86_64"]) {
        return;
    }
    for (word, controller) in [("sata", Controller::Sata), ("virtio", Controller::Virtio)] {
        let edits = [("defaults.controller", word)];
        boot(&Lab::build(None, &edits, "qcow2"), controller, &[Artifact::Qcow2]);
    }
    let amd64 = [("defaults.arch", "amd64")];
    boot(&Lab::build(None, &amd64, "qcow2,ova"), Controller::Ide, &[Artifact::Qcow2, Artifact::Ova]);
}
