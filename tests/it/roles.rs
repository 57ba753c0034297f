//! Files that the roles give the nodes of the default lab, as snapshots, and
//! messages that an author of roles gets. `P9IMG_BLESS=1` rewrites the
//! snapshots.

use p9img::lab::board::BOARDS;
use p9img::lab::{Arch, Board, Controller, Fs, Lab, Need, Node};
use p9img::render::{Catalog, Check, CheckSite, RenderError, Rendered, Systems, What, render};
use p9img::root::ROOTS;
use p9img_test::default_lab::{lab, node, secrets};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

fn catalog() -> &'static Catalog {
    static EMBEDDED: LazyLock<Catalog> = LazyLock::new(|| Catalog::embedded().unwrap());
    &EMBEDDED
}

fn rendered(lab: &Lab, node: &Node) -> Rendered {
    rendered_for("9legacy", lab, node)
}

fn rendered_for(distribution: &str, lab: &Lab, node: &Node) -> Rendered {
    render(lab, node, catalog(), &distribution.into(), &secrets()).unwrap_or_else(|e| panic!("{e}"))
}

/// Everything but secrets, as text.
fn show(r: &Rendered) -> String {
    let mut out = String::new();
    let mut section = |title: &str, text: &str| {
        writeln!(out, "==> {title}").unwrap();
        for line in text.lines() {
            writeln!(out, "{}", format!("    {line}").trim_end()).unwrap();
        }
    };
    let boot = &r.boot;
    section("boot", &format!("{} {} {} {}", boot.mbr, boot.pbs, boot.loader, boot.kernel.as_deref().unwrap_or("-")));
    section("partitions", &r.partitions.iter().map(|p| format!("{} {}\n", p.name, p.size)).collect::<String>());
    section("nvram", &format!("{} secret bytes", r.nvram.len()));
    section("plan9.ini", &r.plan9_ini);
    section("fossil", if r.fs == Fs::Fossil { &r.root_config } else { "" });
    for f in &r.files {
        let keep = if f.keep { " unless there" } else { "" };
        let title = match (&f.what, f.mode) {
            (What::Remove, _) => format!("{} removed: {}", f.path, f.from),
            (What::Copy(from), _) => format!("{} {} {} copy of {from}: {}", f.path, f.uid, f.gid, f.from),
            (_, mode) => format!("{} {:o} {} {}{keep}: {}", f.path, mode.unwrap(), f.uid, f.gid, f.from),
        };
        match &f.what {
            What::Bytes(b) if f.secret => section(&title, &format!("{} secret bytes", b.len())),
            What::Bytes(b) => section(&title, std::str::from_utf8(b).unwrap()),
            _ => section(&title, ""),
        }
    }
    out
}

#[test]
fn the_default_lab_renders_as_recorded() {
    let mut lab = lab();
    lab.nodes.push(node(5, &["terminal"]));
    as_recorded("9legacy", "tests/golden/roles", &lab);
    lab.nodes.iter_mut().for_each(|n| n.arch = Arch::Amd64);
    as_recorded("9front", "tests/golden/roles/9front", &lab);
}

fn as_recorded(distribution: &str, folder: &str, lab: &Lab) {
    let bless = std::env::var_os("P9IMG_BLESS").is_some();
    for node in &lab.nodes {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{folder}/{}.txt", node.name));
        let now = show(&rendered_for(distribution, lab, node));
        if bless {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &now).unwrap();
        }
        let then = fs::read_to_string(&path).unwrap_or_default();
        let differs = now.lines().zip(then.lines()).position(|(a, b)| a != b);
        assert!(
            now == then,
            "{} differs from line {} on; P9IMG_BLESS=1 records it anew:\n{}",
            path.display(),
            differs.map_or(now.lines().count().min(then.lines().count()), |l| l) + 1,
            differs.map_or("", |l| now.lines().nth(l).unwrap_or_default()),
        );
    }
}

#[test]
fn snapshots_and_templates_hold_no_secret() {
    let lab = lab();
    for node in &lab.nodes {
        let r = rendered(&lab, node);
        for f in r.files.iter().filter(|f| !f.secret) {
            if let What::Bytes(b) = &f.what {
                assert!(!String::from_utf8_lossy(b).contains("-secret"), "{}", f.path);
            }
        }
        assert_eq!(r.files.iter().any(|f| f.secret), node.roles.contains(&"auth".into()), "only auth has keys");
        assert_eq!(r.nvram.len(), 109);
    }
    let terminal = node(5, &["terminal"]);
    assert!(rendered(&lab, &terminal).nvram.is_empty(), "a terminal's kernel does not read nvram");
}

#[test]
fn the_key_file_opens_with_the_key_of_the_same_nodes_nvram() {
    let lab = lab();
    let r = rendered(&lab, &lab.nodes[0]);
    let nvram = p9img::auth::Nvram::parse(&r.nvram).unwrap();
    assert_eq!((nvram.authid.as_str(), nvram.authdom.as_str()), ("bootes", "plan9.lab"));
    let Some(What::Bytes(keys)) = r.files.iter().find(|f| f.path == "adm/keys").map(|f| f.what.clone()) else {
        panic!("the auth node has /adm/keys");
    };
    let file = p9img::auth::KeyFile::parse(&keys, nvram.machine_key).unwrap();
    let names: Vec<_> = file.records.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["glenda", "bootes"]);
    assert_eq!(file.records[1].key, nvram.machine_key);
}

#[test]
fn a_node_of_9front_has_keys_for_dp9ik() {
    let lab = lab();
    let r = rendered_for("9front", &lab, &lab.nodes[0]);
    let nvram = p9img::auth::Nvram::parse(&r.nvram).unwrap();
    let key = nvram.aes_key.expect("an AES key in nvram");
    let Some(What::Bytes(keys)) = r.files.iter().find(|f| f.path == "adm/keys").map(|f| f.what.clone()) else {
        panic!("the auth node has /adm/keys");
    };
    let file = p9img::auth::KeyFile::parse_aes(&keys, key).unwrap();
    assert_eq!(file.records[1].aes_key, Some(key));
    assert_eq!(file.records[1].key, nvram.machine_key);
    let again = rendered_for("9front", &lab, &lab.nodes[0]);
    assert!(again.files.iter().any(|f| f.what == What::Bytes(keys.clone())), "equal secrets give equal keys");
}

/// The default lab, the first node `auth` from one distribution and the others
/// from another, and what is what.
fn mixed(auth: &str, others: &str) -> (Lab, Systems) {
    let mut lab = lab();
    lab.nodes[1..].iter_mut().for_each(|n| n.medium = Some("other".into()));
    lab.nodes.iter_mut().for_each(|n| n.arch = Arch::Amd64);
    // Replicas follow a file server of their own medium.
    lab.nodes[1].roles.push("fs".into());
    (lab, Systems::new(auth, [("other".to_owned(), others.to_owned())].into()))
}

#[test]
fn dp9ik_is_left_to_labs_whose_authentication_server_knows_it() {
    for (auth, others, first, second) in
        [("9legacy", "9front", false, false), ("9front", "9legacy", true, false), ("9front", "9front", true, true)]
    {
        let (lab, systems) = mixed(auth, others);
        let nvram = |node: &Node| {
            let r = render(&lab, node, catalog(), &systems, &secrets()).unwrap_or_else(|e| panic!("{e}"));
            p9img::auth::Nvram::parse(&r.nvram).unwrap()
        };
        let has = |node: &Node| nvram(node).aes_key.is_some_and(|key| key.0 != [0; 16]);
        assert_eq!((has(&lab.nodes[0]), has(&lab.nodes[1])), (first, second), "{auth} for {others}");
        assert_eq!(nvram(&lab.nodes[0]).machine_key, nvram(&lab.nodes[1]).machine_key, "p9sk1 is for all");
        let r = render(&lab, &lab.nodes[0], catalog(), &systems, &secrets()).unwrap();
        let keys = r.files.iter().find(|f| f.path == "adm/keys").unwrap();
        let What::Bytes(keys) = &keys.what else { panic!("no key file") };
        assert_eq!(keys.starts_with(b"AES KEYS"), first);
    }
}

#[test]
fn nodes_of_two_distributions_are_rendered_each_in_its_own() {
    let (lab, systems) = mixed("9legacy", "9front");
    let text = |node: &Node, path: &str| {
        let r = render(&lab, node, catalog(), &systems, &secrets()).unwrap_or_else(|e| panic!("{e}"));
        match r.files.iter().find(|f| f.path == path).map(|f| f.what.clone()) {
            Some(What::Bytes(b)) => String::from_utf8(b).unwrap(),
            other => panic!("{path} of {} is {other:?}", node.name),
        }
    };
    // Everybody knows everybody, and who the authentication server is.
    for node in &lab.nodes {
        let ndb = text(node, "lib/ndb/local");
        for line in
            ["sys=plan9n1 ", "sys=plan9n4 ", "auth=plan9n1.plan9.lab authdom=plan9.lab", "\tfs=plan9n2.plan9.lab"]
        {
            assert!(ndb.contains(line), "{}: no {line:?} in\n{ndb}", node.name);
        }
        assert!(text(node, "lib/ndb/auth").contains("hostid=bootes"));
    }
    // plan9n1 would be first, but it is another system.
    assert!(text(&lab.nodes[2], "cfg/plan9n3/replica/lab").contains("fn servermount { 9fs plan9n2 }"));
    assert!(text(&lab.nodes[0], "rc/bin/cpurc.local").contains("\ncpu=plan9n1\n"));
}

#[test]
fn what_cannot_be_between_two_distributions_is_left_out_and_says_why() {
    let (lab, systems) = mixed("9legacy", "9front");
    let checks = catalog().checks(&lab, &systems, &secrets(), &Default::default()).unwrap();
    let of = |name: &str, node: &str, at: &str| -> &Check {
        let mut all = checks.iter().filter(|c| c.name.starts_with(name) && c.node == node && c.at() == at);
        let found = all.next().unwrap_or_else(|| panic!("no {name} of {node} at {at}"));
        assert!(all.next().is_none(), "{name} of {node} at {at} appears twice");
        found
    };
    let cpu = of("cpu logs in as the host owner", "plan9n1", "plan9n2");
    let why = "plan9n2 is 9front and plan9n1 9legacy: 9front has rcpu(1) alone, and 9legacy cpu(1) alone";
    assert_eq!(cpu.left_out.as_deref(), Some(why));
    let rcpu = of("cpu logs in as the host owner", "plan9n2", "plan9n3");
    assert!(rcpu.left_out.is_none() && rcpu.run.starts_with("rcpu -h plan9n2"), "{rcpu:?}");
    assert!(
        of("A user cannot read", "plan9n1", "plan9n4").left_out.as_deref().unwrap().starts_with("It logs in with cpu")
    );
    // The check is typed as the node needs that it is typed on.
    let passwd = of("passwd changes", "plan9n1", "plan9n2");
    assert_eq!((passwd.run.as_str(), passwd.answers[0].0.as_str()), ("passwd -1 bootes", "Password:"));
    let mount = of("9fs mounts the file server", "plan9n2", "plan9n1");
    assert!(mount.left_out.is_none() && mount.run.contains("grep -s '^sys=plan9n2 ' /n/plan9n2/lib/ndb/local"));
    assert!(of("9fs mounts the file server", "plan9n2", "plan9n3").run.contains("cmp /n/plan9n2/lib/ndb/local"));
    // With the other authentication server.
    let (lab, systems) = mixed("9front", "9legacy");
    let checks = catalog().checks(&lab, &systems, &secrets(), &Default::default()).unwrap();
    let passwd: Vec<_> = checks.iter().filter(|c| c.name.starts_with("passwd")).map(|c| c.run.as_str()).collect();
    assert_eq!(passwd, ["passwd bootes"; 3]);
    // Nothing is left out if all nodes are of one distribution.
    let (lab, systems) = mixed("9front", "9front");
    let checks = catalog().checks(&lab, &systems, &secrets(), &Default::default()).unwrap();
    assert!(checks.iter().all(|c| c.left_out.is_none()));
}

#[test]
fn a_node_has_only_a_root_that_its_distribution_starts_from() {
    let lab = lab();
    let with = |distribution: &str, fs| {
        let node = Node { fs: Some(fs), ..node(2, &["cpu"]) };
        render(&lab, &node, catalog(), &distribution.into(), &secrets()).map(|r| r.fs).map_err(|e| e.to_string())
    };
    for root in ROOTS {
        let [legacy, front] = ["9legacy", "9front"].map(|distribution| with(distribution, root.fs));
        let (starts, refuses) = if root.fs == Fs::DEFAULT { (legacy, front) } else { (front, legacy) };
        assert_eq!(starts, Ok(root.fs));
        assert!(refuses.unwrap_err().contains(&format!(" cannot start from {}, but can from ", root.word)));
    }
    let said = "Node plan9n2: 9front cannot start from fossil, but can from cwfs64x, hjfs, gefs";
    assert_eq!(with("9front", Fs::Fossil), Err(said.into()));
    assert!(with("sample", Fs::Hjfs).unwrap_err().ends_with("cannot start from hjfs, but can from fossil"));
}

#[test]
fn gefs_asks_who_a_caller_is_where_others_may_call() {
    let lab = lab();
    let ini = |roles: &[&str]| {
        let node = Node { fs: Some(Fs::Gefs), ..node(2, roles) };
        rendered_for("9front", &lab, &node).plan9_ini
    };
    assert!(ini(&["cpu"]).contains("\nnobootprompt=local!/dev/sdC0/fs -A\n"), "{}", ini(&["cpu"]));
    for role in ["fs", "replica"] {
        assert!(ini(&["cpu", role]).contains("\nnobootprompt=local!/dev/sdC0/fs -a tcp!*!564\n"));
    }
}

#[test]
fn a_cwfs_is_configured_for_its_disk_and_its_roles() {
    let lab = lab();
    let with = |roles: &[&str], controller| {
        let node = Node { fs: Some(Fs::Cwfs64x), arch: Arch::Amd64, controller, ..node(2, roles) };
        let r = render(&lab, &node, catalog(), &"9front".into(), &secrets()).unwrap_or_else(|e| panic!("{e}"));
        (r.plan9_ini, r.root_config)
    };
    let (ini, config) = with(&["cpu"], Controller::Ide);
    assert!(ini.contains("\nnobootprompt=local!/dev/sdC0/fscache\n"), "{ini}");
    let start = "service cwfs\nfilsys main c(/dev/sdC0/fscache)(/dev/sdC0/fsworm)\nfilsys dump o\n\
        filsys other (/dev/sdC0/other)\nnoauth\nnewcache\n";
    assert!(config.starts_with(start), "{config}");
    // A file server asks who a caller is.
    let (ini, config) = with(&["cpu", "fs"], Controller::Virtio);
    assert!(ini.contains("\nnobootprompt=local!/dev/sdF0/fscache -a tcp!*!564\n"), "{ini}");
    assert!(config.contains("c(/dev/sdF0/fscache)(/dev/sdF0/fsworm)\n") && !config.contains("noauth"), "{config}");
}

#[test]
fn u_boot_starts_a_node_on_arm() {
    let lab = lab();
    let node = Node {
        board: Board::Virt,
        arch: Arch::Arm64,
        controller: Controller::Virtio,
        fs: Some(Fs::Gefs),
        ..node(2, &["cpu"])
    };
    let r = rendered_for("9front", &lab, &node);
    assert_eq!(r.boot.kernel.as_deref(), Some("arm64/9qemu.u"));
    let script = r.boot_script.unwrap();
    assert!(script.contains(" ${prefix}9qemu.u\nbootm 0x40200000\n"), "{script}");
    assert!(r.plan9_ini.contains("\nnobootprompt=local!/dev/sdF0/fs -A\nnvram=/dev/sdF0/nvram\n"), "{}", r.plan9_ini);
    let said = |node: &Node, distribution: &str| {
        render(&lab, node, catalog(), &distribution.into(), &secrets()).unwrap_err().to_string()
    };
    let terminal = Node { roles: vec!["terminal".into()], ..node.clone() };
    assert_eq!(said(&terminal, "9front"), "The distribution 9front has no terminal kernel for virt");
    assert_eq!(said(&node, "9legacy"), "The distribution 9legacy has no cpu kernel for virt");
    assert!(rendered_for("9front", &lab, &self::node(2, &["cpu"])).boot_script.is_none());
}

#[test]
fn the_device_follows_the_controller_and_the_kernel_the_architecture() {
    let lab = lab();
    let mut n = node(2, &["cpu"]);
    n.controller = Controller::Virtio;
    n.arch = Arch::Amd64;
    let r = rendered(&lab, &n);
    assert!(r.plan9_ini.contains("bootfile=sdF0!9fat!9k10cpuf\n"), "{}", r.plan9_ini);
    assert!(!r.plan9_ini.contains("sdC0"));
    assert_eq!(r.boot.kernel.as_deref(), Some("amd64/9k10cpuf"));
    n.roles = vec!["cpu".into(), "venti".into()];
    n.controller = Controller::Sata;
    for f in &rendered(&lab, &n).files {
        if let What::Bytes(b) = &f.what {
            assert!(!String::from_utf8_lossy(b).contains("sdC0"), "{}", f.path);
        }
    }
}

#[test]
fn rc_scripts_begin_right_and_have_unix_lines() {
    let mut lab = lab();
    lab.nodes.push(node(5, &["terminal"]));
    for node in &lab.nodes {
        for f in rendered(&lab, node).files {
            let What::Bytes(bytes) = &f.what else { continue };
            if f.secret {
                continue;
            }
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(!text.contains('\r') && !text.contains("{{"), "{}", f.path);
            assert!(text.is_empty() || text.ends_with('\n'), "{}", f.path);
            let script = f.path.starts_with("rc/bin/") || f.path.ends_with("/cpurc") || f.path.ends_with("/cpustart");
            if script {
                assert!(text.starts_with("#!/bin/rc\n"), "{}", f.path);
                assert_eq!(f.mode, Some(0o775), "{}", f.path);
            }
            let quotes = text.lines().filter(|l| !l.trim_start().starts_with('#')).collect::<String>();
            assert_eq!(quotes.matches('\'').count() % 2, 0, "{}: an open quote", f.path);
        }
    }
}

#[test]
fn the_sample_is_put_together_like_9legacy() {
    let lab = lab();
    for node in &lab.nodes {
        let r = render(&lab, node, catalog(), &"sample".into(), &secrets()).unwrap();
        assert_eq!(r.plan9_ini, rendered(&lab, node).plan9_ini);
        assert_eq!(r.boot, rendered(&lab, node).boot);
    }
}

#[test]
fn facts_are_those_of_the_role_files() {
    let facts = catalog().facts();
    let names: Vec<_> = facts.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["auth", "cpu", "fs", "replica", "terminal", "venti"]);
    let of = |name: &str| facts.iter().find(|f| f.name == name).unwrap();
    assert!(of("auth").at_most_one && !of("cpu").at_most_one);
    assert_eq!(of("terminal").conflicts, ["cpu"]);
    assert_eq!(of("replica").needs_in_lab, ["fs", "auth"].map(Need::from));
    assert_eq!(of("venti").needs, ["cpu"].map(Need::from));
}

/// A lab folder with these files below it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// The message of reading, or else of rendering node 2 with the role `own`.
fn complaint(files: &[(&str, &str)]) -> String {
    let dir = folder(files);
    let lab = lab();
    let own = node(2, &["cpu", "own"]);
    let said = Catalog::load(dir.path())
        .and_then(|c| render(&lab, &own, &c, &"9legacy".into(), &secrets()))
        .map(|_| "nothing".to_owned())
        .unwrap_or_else(|e| e.to_string());
    said.replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn a_new_role_is_a_folder() {
    let dir = folder(&[
        (
            "roles/own/role.toml",
            r#"
            description = "A role of the lab's own"
            needs = ["cpu"]
            services = ["tcp17009"]
            [[partition]]
            name = "other"
            size = "64 MiB"
            [[user]]
            name = "ownd"
            leader = "ownd"
            [[file]]
            path = "lib/own/{{node.name}}"
            source = "file"
            mode = 0o640
            uid = "ownd"
            gid = "{{lab.hostowner}}"
            [[fragment]]
            slot = "cpurc"
            source = "start"
            "#,
        ),
        ("roles/own/file", "of {{node.ip}}\n"),
        ("roles/own/start", "echo own, everywhere else\n"),
        ("roles/own/9legacy/start", "echo own, on {{lab.distribution}}\n"),
        ("roles/cpu/ipnet", "\tcpu=elsewhere.example\n"),
        ("templates/9legacy/plumbing", "# the lab's own\n"),
    ]);
    let catalog = Catalog::load(dir.path()).unwrap();
    let mut lab = lab();
    lab.nodes[1].roles.push("own".into());
    let r = render(&lab, &lab.nodes[1], &catalog, &"9legacy".into(), &secrets()).unwrap();
    let file = |path: &str| r.files.iter().find(|f| f.path == path).unwrap_or_else(|| panic!("no {path}"));
    let text = |path: &str| match &file(path).what {
        What::Bytes(b) => String::from_utf8(b.clone()).unwrap(),
        other => panic!("{path} is {other:?}"),
    };
    assert_eq!(text("lib/own/plan9n2"), "of 10.9.0.12\n");
    let own = file("lib/own/plan9n2");
    assert_eq!((own.mode, own.uid.as_str(), own.gid.as_str()), (Some(0o640), "ownd", "bootes"));
    assert!(text("cfg/plan9n2/cpurc").contains("\necho own, on 9legacy\n"));
    assert!(text("adm/users").contains("\nownd:ownd:ownd:\n"));
    assert!(text("lib/ndb/local").contains("\tcpu=elsewhere.example\n"), "a built-in file is replaced");
    assert_eq!(text("usr/bootes/lib/plumbing"), "# the lab's own\n");
    assert_eq!((r.partitions[0].name.as_str(), r.partitions[0].size), ("other", 64 << 20));
    assert!(r.files.iter().all(|f| f.path != "rc/bin/service/tcp17009"), "its listener stays on");
    assert!(r.plan9_ini.contains("roles=cpu own\n"));
}

#[test]
fn mistakes_of_authors_name_file_line_and_column() {
    let role = |rest: &str| format!("description = 'x'\n{rest}");
    let with = |rest: &str, file: &str| {
        complaint(&[("roles/own/role.toml", &role(rest)), ("roles/own/f", file), ("roles/own/unused", "")])
    };
    let file = "[[file]]\npath = 'a/b'\nsource = 'f'\n";
    assert_eq!(with(file, "x"), "nothing");
    let said = with(file, "one\ntwo {{node.nmae}}\n");
    assert!(said.starts_with("roles/own/f:2:5: There is no variable \"node.nmae\" here: `node` has name, "), "{said}");
    assert!(said.ends_with("write `template = false` next to its `source`"), "{said}");
    let said = with("[[file]]\npath = 'a'\nsource = 'g'", "");
    assert_eq!(said, "roles/own/role.toml:4:10: There is no file \"g\" in the same folder");
    let said = with("[[fragment]]\nslot = 'cpur'\nsource = 'f'", "");
    assert_eq!(
        said,
        "roles/own/role.toml:3:8: The distribution \"9front\" has no slot \"cpur\"; did you mean \"cpurc\"?"
    );
    let said = with("[[file]]\npath = '../x'\nsource = 'f'", "");
    assert!(said.starts_with("roles/own/role.toml:3:8: The path \"../x\" has \"..\" in it"), "{said}");
    let said = with("[[file]]\npath = 'a/{{node.nam}}'\nsource = 'f'", "");
    assert!(said.starts_with("roles/own/role.toml:3:8"), "{said}");
    let said = with("[[file]]\npath = 'a'\nsource = 'f'\nremove = true", "");
    assert!(said.starts_with("roles/own/role.toml:3:8: A [[file]] needs exactly one of"), "{said}");
    let said = with("[[file]]\npath = 'a'\nsourec = 'f'", "");
    assert!(said.starts_with("roles/own/role.toml:4:1: Unknown field `sourec`"), "{said}");
    let said = with("needs = ['cpuu']", "");
    assert!(said.contains("`needs` names \"cpuu\", which is not a role; did you mean \"cpu\"?"), "{said}");
    let said = with(file, "a\r\n");
    assert!(said.starts_with("roles/own/f:1:2: A carriage return"), "{said}");
    let twice = format!("{file}{file}");
    let said = with(&twice, "");
    assert!(said.contains("a/b is also written by the role own (roles/own/role.toml:3:8)"), "{said}");
    for (above, what) in [("source = 'f'", "makes a file"), ("remove = true", "takes away")] {
        let said = with(&format!("[[file]]\npath = 'a'\n{above}\n{file}"), "");
        let want = "roles/own/role.toml:6:8: a/b (role own: f) would be lost: it is below a, which role own";
        assert!(said.starts_with(want) && said.ends_with(what), "{said}");
    }
    let said = with("[[fragment]]\nslot = 'plan9_ini'\nsource = 'f'", "sysname=other");
    assert!(said.contains("plan9.ini sets sysname twice, in line"), "{said}");
    let said = with("[[file]]\npath = 'k'\nmake = 'keys'", "");
    assert!(said.contains("no role lists \"keys\" in its secrets"), "{said}");
}

#[test]
fn mistakes_in_a_distribution_name_line_and_column() {
    let said = |rest: &str| {
        let toml = format!("description = 'x'\nlike = '9legacy'\n{rest}");
        let role = ("roles/own/role.toml", "description = 'x'");
        complaint(&[role, ("templates/own/distribution.toml", &toml), ("templates/own/c", "")])
    };
    let at = |place: &str, message: &str| format!("templates/own/distribution.toml:{place}: {message}");
    for (i, root) in ROOTS.iter().enumerate() {
        assert_eq!(said(&format!("fs = ['{}']", root.word)), "nothing");
        let Some(old) = root.config else {
            let useless = format!("The file system {} stores no configuration", root.word);
            assert_eq!(said(&format!("[root_config]\n{} = 'c'", root.word)), at("4:1", &useless), "{i}");
            continue;
        };
        assert_eq!(said(&format!("[root_config]\n{} = 'c'", root.word)), "nothing");
        let missing = at(&format!("4:{}", root.word.len() + 4), "There is no file \"d\" in the same folder");
        assert_eq!(said(&format!("[root_config]\n{} = 'd'", root.word)), missing);
        let now = format!("There is no key `{old}`: write `{} = \"c\"` in a table `[root_config]`", root.word);
        assert_eq!(said(&format!("{old} = 'c'")), at("3:1", &now));
    }
    let wrong = format!("{}l", ROOTS[0].word);
    let unknown = wrong.parse::<Fs>().unwrap_err().to_string();
    assert!(unknown.ends_with(&format!("did you mean `{}`?", ROOTS[0].word)), "{unknown}");
    assert_eq!(said(&format!("[root_config]\n{wrong} = 'c'")), at("4:1", &unknown));
    assert_eq!(said(&format!("fs = ['{wrong}']")), at("3:7", &unknown));
    let all = BOARDS.iter().flat_map(|spec| spec.board.architectures().into_iter().map(|a| spec.board.kernel_name(a)));
    let known: Vec<_> = all.collect();
    for name in &known {
        assert_eq!(said(&format!("[kernel.terminal]\n{name} = 'k'")), "nothing", "{name}");
    }
    for (wrong, right) in [("arm64", "virt"), ("pi5", "pi1"), ("adm64", "amd64")] {
        let message = format!(
            "No machine has kernels under {wrong:?}: expected one of {}; did you mean {right:?}?",
            known.join(", ")
        );
        assert_eq!(said(&format!("[kernel.cpu]\n{wrong} = 'k'")), at("4:1", &message));
    }
}

#[test]
fn nodes_that_make_no_sense_are_refused() {
    let lab = lab();
    let said = |roles: &[&str], distribution: &str| {
        render(&lab, &node(2, roles), catalog(), &distribution.into(), &secrets()).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(said(&["cpuu"], "9legacy"), "There is no role \"cpuu\"; did you mean \"cpu\"?");
    assert!(said(&["venti"], "9legacy").contains("add one of cpu, terminal"));
    assert!(said(&["cpu", "terminal"], "9legacy").contains("cpu and terminal need different kernels"));
    assert!(said(&["cpu"], "inferno").contains("templates/ has 9front, 9legacy, sample"));
    let mut other = lab.clone();
    other.users[0].name = "nobody".into();
    let e = render(&other, &other.nodes[0], catalog(), &"9legacy".into(), &secrets()).unwrap_err();
    assert!(matches!(e, RenderError::Node(_)) && e.to_string().contains("no password for nobody"), "{e}");
}

#[test]
fn the_binary_carries_what_the_repository_has() {
    // Fails when a file was added to roles/ or templates/ after src/render was
    // compiled: `cargo clean -p p9img` and build again.
    let here = Catalog::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let lab = lab();
    for node in &lab.nodes {
        let from = |c: &Catalog| show(&render(&lab, node, c, &"9legacy".into(), &secrets()).unwrap());
        assert_eq!(from(catalog()), from(&here));
    }
}

#[test]
fn checks_come_with_their_role_and_know_passwords_in_replies_alone() {
    let role = |check: &str| {
        let toml = format!("description = 'x'\nneeds = ['cpu']\n[[port]]\nname = 'x'\ntcp = 99\n[[check]]\n{check}");
        let folder = folder(&[("roles/x/role.toml", &toml)]);
        let catalog = Catalog::load(folder.path())?;
        let mut lab = lab();
        lab.nodes[1].roles.push("x".into());
        lab.nodes.push(node(5, &["terminal"]));
        let ports = [("plan9n2".to_owned(), [("x".to_owned(), 4711)].into())].into();
        assert_eq!(
            catalog.ports(&"9legacy".into(), &lab.nodes[1])?.iter().map(|p| p.tcp).collect::<Vec<_>>(),
            [17010, 99]
        );
        let checks = catalog.checks(&lab, &"9legacy".into(), &secrets(), &ports)?;
        Ok::<Vec<Check>, RenderError>(checks.into_iter().filter(|c| c.role == "x").collect())
    };
    let checks = role(
        "name = 'asks {{at.name}}'\nat = 'others'\nrun = 'x {{node.name}}'\nexpect = '{{node.ip}}'\n\
         answers = [['{{lab.hostowner}}: ', '{{password.glenda}}']]\ntimeout = 7\n",
    )
    .unwrap();
    // The terminal is no place to try it.
    let shown: Vec<_> = checks.iter().map(|c| format!("{} {}: {}", c.at(), c.name, c.run)).collect();
    assert_eq!(shown, ["plan9n1", "plan9n3", "plan9n4"].map(|n| format!("{n} asks {n}: x plan9n2")));
    assert_eq!(checks[0].expect.as_deref(), Some("10.9.0.12"));
    assert_eq!(checks[0].answers, [("bootes: ".into(), "glenda-secret".into())]);
    assert_eq!(checks[0].timeout.as_secs(), 7);

    let checks = role("name = 'a'\nat = 'host'\nrun = 'nc localhost {{ports.plan9n2.x}}'\n").unwrap();
    assert_eq!((checks[0].site.clone(), checks[0].run.as_str()), (CheckSite::Host, "nc localhost 4711"));
    for wrong in ["run = 'echo {{password.glenda}}'", "run = 'x'\nexpect = '{{password.glenda}}'"] {
        let checks = role(&format!("name = 'a'\n{wrong}\n")).unwrap();
        let broken = checks[0].broken.as_deref().unwrap_or_default();
        assert!(broken.contains("no variable \"password.glenda\""), "{wrong}: {broken}");
    }
    for (wrong, said) in [
        ("name = 'a'\nrun = 'x'\nat = 'there'\n", "unknown variant `there`"),
        ("name = 'a'\nrunn = 'x'\n", "nknown field `runn`"),
    ] {
        let error = role(wrong).unwrap_err().to_string();
        assert!(error.to_lowercase().contains(&said.to_lowercase()), "{wrong}: {error}");
    }
}
