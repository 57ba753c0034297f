//! The default lab, as `lab.toml` describes it, for tests of what comes after
//! the lab file.

use p9img::lab::{Arch, Controller, Lab, Layout, Mac, Network, Nic, Node, Secrets, TreeRules, User};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// Secrets for tests: every password is the user's name and `-secret`.
pub fn secrets() -> Secrets {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets.toml");
    let seed = "5a".repeat(32);
    let text = format!("seed = \"{seed}\"\nhostowner = \"bootes-secret\"\n[users]\nglenda = \"glenda-secret\"\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Secrets::load(dir.path(), "bootes").unwrap().unwrap()
}

pub fn node(number: u8, roles: &[&str]) -> Node {
    Node {
        name: format!("plan9n{number}"),
        roles: roles.iter().map(|r| (*r).into()).collect(),
        medium: None,
        cpus: 1,
        memory: 512 << 20,
        disk: 2 << 30,
        board: p9img::lab::Board::Pc,
        arch: Arch::I386,
        firmware: p9img::lab::PcFirmware::Bios,
        fs: None,
        controller: Controller::Ide,
        nic: Nic::E1000,
        mac: Mac([0x52, 0x54, 0, 9, 0, number]),
        ip: [10, 9, 0, 10 + number].into(),
        partitions: BTreeMap::new(),
    }
}

/// The four nodes of the default lab.
pub fn lab() -> Lab {
    Lab {
        name: "plan9grid".into(),
        medium: "9legacy".into(),
        authdom: "plan9.lab".into(),
        hostowner: "bootes".into(),
        users: vec![User { name: "glenda".into(), groups: vec!["sys".into(), "adm".into(), "upas".into()] }],
        epoch: 1_767_225_600,
        epoch_from: None,
        timezone: "GMT".into(),
        url: None,
        ports: None,
        network: Network {
            name: "plan9lab".into(),
            subnet: "10.9.0.0/24".parse().unwrap(),
            gateway: Some([10, 9, 0, 1].into()),
            dns: vec![[10, 9, 0, 1].into()],
            domain: "plan9.lab".into(),
        },
        controllers: BTreeMap::new(),
        formats: vec![],
        layout: Layout::Whole,
        out: PathBuf::from("output"),
        media: BTreeMap::new(),
        tree: TreeRules::default(),
        nodes: vec![
            node(1, &["cpu", "fs", "auth"]),
            node(2, &["cpu"]),
            node(3, &["cpu", "replica"]),
            node(4, &["cpu", "venti"]),
        ],
        dir: PathBuf::from("."),
        notes: Vec::new(),
    }
}
