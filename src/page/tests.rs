use super::*;
use crate::artifact::manifest::Tools;
use crate::lab::{Arch, Board, Layout, Mac, Network, PcFirmware, TreeRules, User};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn node(number: usize, roles: &[&str]) -> Node {
    Node {
        name: format!("plan9n{number}"),
        roles: roles.iter().map(|r| (*r).into()).collect(),
        medium: None,
        cpus: 1,
        memory: 512 << 20,
        disk: 2 << 30,
        board: Board::Pc,
        arch: Arch::I386,
        firmware: PcFirmware::Bios,
        fs: None,
        controller: Controller::Ide,
        nic: Nic::E1000,
        mac: Mac([0x52, 0x54, 0, 9, 0, number as u8]),
        ip: [10, 9, 0, 10 + number as u8].into(),
        partitions: BTreeMap::new(),
    }
}

fn lab(nodes: usize) -> Lab {
    let roles = [&["cpu", "fs", "auth"][..], &["cpu"], &["cpu", "replica"], &["cpu", "venti"]];
    Lab {
        name: "grid".into(),
        medium: "sample".into(),
        authdom: "plan9.lab".into(),
        hostowner: "bootes".into(),
        users: vec![User { name: "glenda".into(), groups: vec![] }],
        epoch: 0,
        epoch_from: None,
        timezone: "GMT".into(),
        ports: None,
        url: None,
        network: Network {
            name: "net".into(),
            subnet: "10.9.0.0/24".parse().unwrap(),
            gateway: None,
            dns: vec![],
            domain: "plan9.lab".into(),
        },
        controllers: BTreeMap::new(),
        formats: vec![Format::Qcow2],
        layout: Layout::Whole,
        out: PathBuf::from("/somewhere/secret/output"),
        media: BTreeMap::new(),
        tree: TreeRules::default(),
        nodes: (1..=nodes).map(|n| node(n, roles.get(n - 1).copied().unwrap_or(&["cpu"]))).collect(),
        dir: PathBuf::from("/somewhere/secret"),
        notes: Vec::new(),
    }
}

fn manifest(lab: &Lab) -> Manifest {
    let mut manifest = Manifest {
        schema: 1,
        lab: lab.name.clone(),
        epoch: 0,
        epoch_from: None,
        tools: Tools::default(),
        inputs: BTreeMap::new(),
        nodes: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        bases: BTreeMap::new(),
    };
    manifest.inputs.insert("medium".into(), json!({"name": "sample", "distribution": "sample", "sha256": "5a"}));
    for node in &lab.nodes {
        let parts = json!([{"name": "9fat", "start": 0, "end": 65536}, {"name": "nvram", "start": 65536, "end": 65537},
            {"name": "fossil", "start": 65600, "end": 4_000_000}]);
        let plan = json!({"name": node.name, "device": "sdC0", "used": 5 << 20, "capacity": 1 << 30,
            "layout": {"sectors": 4_194_304, "plan9_start": 2048, "parts": parts}});
        manifest.nodes.insert(node.name.clone(), plan);
        for (format, ext) in [("qcow2", "qcow2"), ("ova", "ova")] {
            let artifact = Artifact {
                node: node.name.clone(),
                format: format.into(),
                len: 1536,
                sha256: format!("{ext}-digest-of-{}", node.name),
                mark: "hush".into(),
                image: None,
                base: None,
                stale: false,
            };
            manifest.artifacts.insert(format!("{}.{ext}", node.name), artifact);
        }
    }
    manifest
}

fn html(lab: &Lab, manifest: &Manifest) -> String {
    render(lab, &Catalog::embedded().unwrap(), manifest).unwrap()
}

/// Every element is closed, in order; no id appears twice.
fn well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut ids = BTreeSet::new();
    let body = &html[html.find("</style>").unwrap() + 8..];
    for tag in body.split('<').skip(1) {
        let tag = &tag[..tag.find('>').unwrap()];
        if let Some(close) = tag.strip_prefix('/') {
            match open.pop() {
                Some(last) => assert_eq!(last, close, "{tag}"),
                None => assert!(matches!(close, "head" | "html"), "{tag}"),
            }
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        if let Some(at) = tag.find(" id=\"") {
            let id = tag[at + 5..].split('"').next().unwrap();
            assert!(ids.insert(id), "{id} twice");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn labs_of_many_sizes_have_a_page_with_all_that_belongs_on_it() {
    for count in [1, 2, 4, 5, 8, 30, 60] {
        let lab = lab(count);
        let page = html(&lab, &manifest(&lab));
        well_formed(&page);
        for n in &lab.nodes {
            let mac = n.mac.to_string();
            let sums = ["qcow2", "ova"].map(|e| format!("{e}-digest-of-{}", n.name));
            let import = format!("VBoxManage import {}.ova --options keepallmacs", n.name);
            let network = format!("--network network=net,model=e1000,mac={mac}");
            for word in [n.name.as_str(), &n.ip.to_string(), &mac, &sums[0], &sums[1], &import, &network] {
                assert!(page.contains(word), "{word} of {count} nodes");
            }
        }
        assert!(page.contains("This is not Plan 9"));
        assert!(!page.contains("/somewhere") && !page.contains("hush"));
        assert_eq!(page, html(&lab, &manifest(&lab)));
    }
}

#[test]
fn a_page_of_many_nodes_is_not_longer_than_its_tables() {
    let (few, many) = (lab(DRAWN), lab(DRAWN + 1));
    let (of_few, of_many) = (html(&few, &manifest(&few)), html(&many, &manifest(&many)));
    assert!(of_few.contains("<svg xmlns") && !of_many.contains("<svg xmlns") && of_many.contains("too many nodes"));
    // All but the first do one thing with it; one does another.
    for (page, others) in [(&of_few, DRAWN - 1), (&of_many, DRAWN)] {
        assert!(page.contains(&format!("<b>{} more</b> each authenticates with", others - NAMED)), "{others}");
    }
    assert!(of_many.len() < of_few.len());
    assert!(of_few.contains("<details>") && !html(&lab(4), &manifest(&lab(4))).contains("<details>"));
    assert_eq!(shown(vec!["n".into(); NAMED + 1]).len(), NAMED + 1);
}

#[test]
fn a_base_is_listed_and_uploaded_before_what_is_over_it() {
    let lab = lab(2);
    let mut manifest = manifest(&lab);
    let base = || Some("base-fossil-0.qcow2".to_owned());
    manifest.artifacts.values_mut().filter(|a| a.format == "qcow2").for_each(|a| a.base = base());
    let mut artifact = manifest.artifacts["plan9n1.qcow2"].clone();
    (artifact.base, artifact.len) = (None, 4711);
    manifest.bases.insert("base-fossil-0.qcow2".into(), artifact);
    let page = html(&lab, &manifest);
    well_formed(&page);
    assert!(page.contains("<td>base of 2 images</td>"));
    let upload = |name: &str| page.find(&format!("virsh vol-upload {name} {name}")).unwrap_or(usize::MAX);
    let node = page.find("virsh vol-upload plan9n1 plan9n1.qcow2").unwrap();
    assert!(page.contains("virsh vol-create-as default base-fossil-0.qcow2 4711 --format qcow2"));
    assert!(upload("base-fossil-0.qcow2") < node);
}

#[test]
fn what_is_advised_fits_the_machine() {
    let mut lab = lab(4);
    lab.nodes[0].firmware = PcFirmware::Uefi;
    lab.nodes[1].firmware = PcFirmware::Both;
    (lab.nodes[2].board, lab.nodes[2].disk) = (Board::Pi2, 256_000_000);
    (lab.nodes[3].board, lab.nodes[3].disk) = (Board::Pi3, 512 << 20);
    let page = html(&lab, &manifest(&lab));
    well_formed(&page);
    let install = |name: &str| {
        let line = page.split("virt-install").skip(1).find(|l| l.trim_start().starts_with(&format!("--name {name} ")));
        line.map(|l| l.split("</pre>").next().unwrap().to_owned())
    };
    assert!(install("plan9n1").unwrap().contains("--machine pc --boot uefi \\"));
    // Its disk starts by the BIOS as well, which is what libvirt has.
    assert!(!install("plan9n2").unwrap().contains("uefi"));
    // No Pi is a PC.
    assert_eq!((install("plan9n3"), install("plan9n4")), (None, None));
    assert!(!page.contains("-name plan9n3 -machine pc"));
    assert!(page.contains("qemu-img resize -f raw plan9n3.img 268435456\n"));
    assert!(!page.contains("raw plan9n4.img"), "its card has such a size");
    assert!(!html(&super::tests::lab(4), &manifest(&super::tests::lab(4))).contains("qemu-img resize"));
}

#[test]
fn who_does_what_with_whom_comes_from_the_roles() {
    let page = html(&lab(4), &manifest(&lab(4)));
    assert!(page.contains("plan9n2, plan9n3, plan9n4 each authenticates with plan9n1."), "the words in the picture");
    assert!(page.contains("plan9n3 follows the files of plan9n1."));
    // A lab of one has nobody to deal with.
    assert!(!html(&lab(1), &manifest(&lab(1))).contains("authenticates"));
}

#[test]
fn nothing_of_the_lab_becomes_markup() {
    let evil = "<script>alert('&\"')</script>";
    let mut lab = lab(4);
    lab.name = evil.into();
    lab.network.name = evil.into();
    lab.nodes[1].name = evil.into();
    lab.users[0].name = evil.into();
    let mut manifest = manifest(&lab);
    manifest.inputs.insert("medium".into(), json!({"name": evil, "distribution": evil, "sha256": evil}));
    let page = html(&lab, &manifest);
    assert!(!page.contains("<script") && !page.contains("alert('"), "{page}");
    assert!(page.contains("&lt;script&gt;"));
    well_formed(&page);
    assert!(!page.contains("This is not Plan 9"));
}

#[test]
fn a_lab_that_is_not_built_has_a_page_without_images() {
    let lab = lab(3);
    let page = html(&lab, &Manifest::new("grid", 0));
    well_formed(&page);
    assert!(page.contains("Nothing is built yet") && page.contains("not built") && !page.contains("qemu-system"));
}

#[test]
fn cards_do_not_overlap_and_lie_in_the_picture() {
    for count in [1, 2, 3, 4, 5, 8, 9, 30] {
        let lab = lab(count);
        let manifest = manifest(&lab);
        let catalog = Catalog::embedded().unwrap();
        let page = page(&lab, &catalog, &manifest).unwrap();
        for picture in page.pictures.iter().map(|drawn| &drawn.picture) {
            let value = serde_json::to_value(picture).unwrap();
            let number = |v: &Value, key: &str| v[key].as_u64().unwrap();
            let cards: Vec<_> = value["cards"].as_array().unwrap().iter().collect();
            assert_eq!(cards.len(), count);
            for (i, c) in cards.iter().enumerate() {
                let (x, y, w, h) = (number(c, "x"), number(c, "y"), number(c, "width"), number(c, "height"));
                assert!(x + w <= number(&value, "width") && y + h <= number(&value, "height"));
                for text in c["text"].as_array().unwrap() {
                    assert!(number(text, "y") < y + h);
                }
                for d in &cards[..i] {
                    assert!(number(d, "x") + w <= x || x + w <= number(d, "x") || number(d, "y") + h <= y);
                }
            }
        }
    }
}

#[test]
fn a_template_of_the_labs_own_is_used_and_its_mistakes_have_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("templates/lab/index.html");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        render(&lab(1), &Catalog::load(dir.path()).unwrap(), &Manifest::new("grid", 0)).map_err(|e| e.to_string())
    };
    assert_eq!(with("<p>{{lab.name}}").unwrap(), "<p>grid");
    let said = with("a\n{{lab.nmae}}").unwrap_err();
    assert!(said.contains("index.html:2:"), "{said}");
    assert!(with("a\n{{#if lab}}").unwrap_err().contains("index.html"));
}
