use super::{facts, parse};
use crate::lab::*;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

#[test]
fn default_lab_is_the_four_node_grid() {
    let lab = Lab::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/lab.toml")), &facts()).unwrap();
    assert_eq!((lab.name.as_str(), lab.medium.as_str()), ("plan9grid", SAMPLE));
    assert_eq!((lab.authdom.as_str(), lab.hostowner.as_str()), ("plan9.lab", "bootes"));
    assert_eq!((lab.epoch, lab.timezone.as_str()), (EPOCH, "GMT"));
    assert_eq!(lab.formats, [Format::Qcow2, Format::Ova]);
    assert_eq!(lab.out, Path::new(env!("CARGO_MANIFEST_DIR")).join("output"));
    assert_eq!(lab.users.len(), 1);
    assert_eq!(lab.users[0].groups, ["sys", "adm", "upas"]);
    assert_eq!(lab.network.gateway, Some(Ipv4Addr::new(10, 9, 0, 1)));
    let roles: Vec<String> = lab.nodes.iter().map(|n| format!("{} {}", n.name, n.roles.join("+"))).collect();
    assert_eq!(roles, ["plan9n1 cpu+fs+auth", "plan9n2 cpu", "plan9n3 cpu+replica", "plan9n4 cpu+venti"]);
    for (i, node) in (1u8..).zip(&lab.nodes) {
        assert_eq!((node.cpus, node.memory, node.disk), (1, 512 << 20, 2 << 30));
        assert_eq!((node.arch, node.controller, node.nic), (Arch::I386, Controller::Ide, Nic::E1000));
        assert_eq!(node.mac, Mac([0x52, 0x54, 0, 9, 0, i]));
        assert_eq!(node.ip, Ipv4Addr::new(10, 9, 0, 10 + i));
    }
}

#[test]
fn template_is_the_default_lab() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/lab.toml")).unwrap();
    assert_eq!(template::LAB, file);
    assert!(template::GITIGNORE.lines().any(|l| l == "/secrets.toml"));
}

#[test]
fn small_lab_gets_every_default() {
    let lab = parse("[lab]\nname = \"x\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n").unwrap();
    assert_eq!((lab.medium.as_str(), lab.authdom.as_str(), lab.hostowner.as_str()), (SAMPLE, "plan9.lab", "bootes"));
    assert_eq!((lab.network.name.as_str(), lab.network.domain.as_str()), ("x", "plan9.lab"));
    assert_eq!(lab.network.subnet.to_string(), "10.9.0.0/24");
    assert_eq!((lab.network.gateway, lab.epoch), (None, EPOCH));
    assert_eq!(lab.formats, [Format::Qcow2, Format::Ova]);
    assert_eq!(lab.out, PathBuf::from("dir/output"));
    assert!(lab.tree.include.is_none() && lab.users.is_empty() && lab.media.is_empty());
    let node = &lab.nodes[0];
    assert_eq!((node.cpus, node.memory, node.disk), (1, 512 << 20, 2 << 30));
    assert_eq!(node.ip, Ipv4Addr::new(10, 9, 0, 1));
    assert_eq!(node.mac.0[..3], [0x52, 0x54, 0]);
}

#[test]
fn every_key_reaches_the_model() {
    let lab = parse(
        r#"
        [lab]
        name = "every.thing"
        medium = "9legacy"
        authdom = "auth.example.org"
        hostowner = "héctor"
        epoch = 2020-02-29T12:00:00+02:00
        timezone = "US_Eastern"
        formats = ["raw", "qcow2-zlib"]
        out = "/images"
        [[user]]
        name = "glenda"
        [[user]]
        name = "ken"
        groups = ["sys"]
        [network]
        name = "wire"
        subnet = "192.168.4.0/22"
        gateway = "192.168.4.1"
        dns = ["9.9.9.9", "192.168.4.2"]
        domain = "example.org"
        [defaults]
        arch = "amd64"
        cpus = 2
        memory = 268435456
        disk = "4 GB"
        controller = "sata"
        nic = "virtio"
        [media.9legacy]
        path = "../9legacy"
        [media."nine.front"]
        path = "/media/9front"
        [tree]
        include = ["386/**", "sys/{lib,src}/**"]
        exclude = ["**/*.ps"]
        [[node]]
        name = "a"
        roles = ["cpu", "venti"]
        [node.partitions]
        swap = "64 MiB"
        arenas = 1_073_741_824
        [[node]]
        name = "b"
        roles = ["fs", "auth"]
        arch = "386"
        cpus = 1
        memory = "1 GiB"
        disk = "1.5 GiB"
        controller = "virtio"
        nic = "e1000"
        mac = "0A:00:27:00:00:0f"
        ip = "192.168.4.3"
        partitions = { swap = 0 }
        "#,
    )
    .unwrap();
    assert_eq!(lab.medium, "9legacy");
    assert_eq!(lab.media["9legacy"].origin, Origin::Path("dir/../9legacy".into()));
    assert_eq!(lab.media["nine.front"].origin, Origin::Path("/media/9front".into()));
    assert_eq!((lab.authdom.as_str(), lab.hostowner.as_str()), ("auth.example.org", "héctor"));
    assert_eq!((lab.epoch, lab.out.as_path()), (1_582_970_400, Path::new("/images")));
    assert_eq!(lab.formats, [Format::Raw, Format::Qcow2Zlib]);
    assert_eq!(lab.users.iter().map(|u| u.groups.len()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(lab.network.dns.len(), 2);
    assert_eq!(lab.tree.include.as_deref().unwrap().len(), 2);
    assert_eq!(lab.tree.exclude, ["**/*.ps"]);
    let [a, b] = lab.nodes.as_slice() else { panic!("two nodes") };
    assert_eq!((a.arch, a.cpus, a.memory, a.disk), (Arch::Amd64, 2, 256 << 20, 4_000_000_000));
    assert_eq!((a.controller, a.nic), (Controller::Sata, Nic::Virtio));
    assert_eq!(
        a.partitions.iter().map(|(n, s)| (n.as_str(), *s)).collect::<Vec<_>>(),
        [("arenas", 1 << 30), ("swap", 64 << 20)]
    );
    // .1 is the gateway, .2 a DNS server, .3 the other node.
    assert_eq!(a.ip, Ipv4Addr::new(192, 168, 4, 4));
    assert_eq!((b.arch, b.cpus, b.memory, b.disk), (Arch::I386, 1, 1 << 30, 3 << 29));
    assert_eq!((b.controller, b.nic), (Controller::Virtio, Nic::E1000));
    assert_eq!(b.partitions["swap"], 0);
    assert_eq!((b.mac.to_string().as_str(), b.ip), ("0a:00:27:00:00:0f", Ipv4Addr::new(192, 168, 4, 3)));
}

#[test]
fn two_hundred_and_fifty_six_nodes_have_addresses_of_their_own() {
    let mut text = "[lab]\nname = \"big\"\n[network]\nsubnet = \"10.0.0.0/23\"\ngateway = \"10.0.0.1\"\n".to_owned();
    for i in 0..256 {
        text += &format!("[[node]]\nname = \"n{i}\"\nroles = [\"cpu\"]\n");
    }
    let lab = parse(&text).unwrap();
    let ips: std::collections::BTreeSet<_> = lab.nodes.iter().map(|n| n.ip).collect();
    let macs: std::collections::BTreeSet<_> = lab.nodes.iter().map(|n| n.mac).collect();
    assert_eq!((lab.nodes.len(), ips.len(), macs.len()), (256, 256, 256));
    assert_eq!(lab.nodes[0].ip, Ipv4Addr::new(10, 0, 0, 2));
}

#[test]
fn derived_mac_depends_on_the_names_alone() {
    let node = |name: &str| format!("[[node]]\nname = \"{name}\"\nroles = [\"cpu\"]\n");
    let lab = |name: &str, nodes: &str| parse(&format!("[lab]\nname = \"{name}\"\n{nodes}")).unwrap();
    let one = lab("x", &node("b")).nodes[0].mac;
    assert_eq!(lab("x", &(node("a") + &node("b"))).nodes[1].mac, one);
    assert_ne!(lab("y", &node("b")).nodes[0].mac, one);
    // Pinned: another value would give every existing lab other images.
    assert_eq!(one.to_string(), "52:54:00:1c:bb:26");
}

#[test]
fn command_line_overrides() {
    let lab =
        || parse("[lab]\nname = \"x\"\n[media.m]\npath = \"m\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n").unwrap();
    assert_eq!(lab().with_medium("m").unwrap().medium, "m");
    assert_eq!(lab().with_medium("sample").unwrap().medium, SAMPLE);
    let other = lab().with_medium("/somewhere/9front/").unwrap();
    assert_eq!((other.medium.as_str(), &other.media["9front"]), ("9front", &Medium::at("/somewhere/9front/")));
    assert_eq!(lab().with_medium("../sample").unwrap().medium, "medium");
    let release = lab().with_medium("9front-11554").unwrap();
    assert_eq!(release.media["9front-11554"], releases::find("9front-11554").unwrap().medium());
    let near = lab().with_medium("9front-11555").unwrap_err().to_string();
    assert_eq!(near, "Unknown medium `9front-11555`: expected `m` or `sample`; did you mean `9front-11554`?");
    for (name, help) in [
        ("sampel", "did you mean `sample`?"),
        ("nothing", "give a medium of the lab, or the path of one"),
        (
            "9front",
            "the newest release in p9img's list is `9front-11952`; for a medium of your own, give a medium of the \
             lab, or the path of one",
        ),
    ] {
        let unknown = lab().with_medium(name).unwrap_err().to_string();
        assert_eq!(unknown, format!("Unknown medium `{name}`: expected `m` or `sample`; {help}"));
    }
    assert_eq!(lab().with_formats(&[Format::Ova, Format::Raw, Format::Ova]).formats, [Format::Ova, Format::Raw]);
    assert_eq!(lab().with_out("/o").out, Path::new("/o"));
    assert_eq!(lab().with_epoch(units::source_date_epoch("1000000000").unwrap()).epoch, 1_000_000_000);
    for bad in ["", "-1", "+1000000000", "1e9", "0", "4294967296", "99999999999999999999999999999999999999999"] {
        assert!(units::source_date_epoch(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_node_can_have_a_medium_of_its_own() {
    let nodes = "[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n\
        [[node]]\nname = \"b\"\nmedium = \"9front-11554\"\nroles = [\"cpu\"]\n\
        [[node]]\nname = \"c\"\nmedium = \"9front\"\nroles = [\"cpu\"]\n\
        [[node]]\nname = \"d\"\nmedium = \"m\"\nroles = [\"cpu\"]\n";
    let head = "[lab]\nname = \"x\"\nmedium = \"m\"\n[media.m]\npath = \"m\"\n[media.9front]\npath = \"9front\"\n";
    let lab = parse(&format!("{head}{nodes}")).unwrap();
    let of = |lab: &Lab| lab.nodes.iter().map(|n| lab.medium_of(n).to_owned()).collect::<Vec<_>>();
    assert_eq!(of(&lab), ["m", "9front-11554", "9front", "m"]);
    assert_eq!(lab.media_in_use(), ["m", "9front-11554", "9front"], "each once");
    assert_eq!(lab.media["9front-11554"], releases::find("9front-11554").unwrap().medium());
    // The command line replaces the lab's, also for a node in the middle, and
    // takes no name that means another medium.
    let other = lab.clone().with_medium("/elsewhere/9front").unwrap();
    assert_eq!(of(&other), ["medium", "9front-11554", "9front", "m"]);
    assert_eq!(other.media["medium"], Medium::at("/elsewhere/9front"));
    assert_eq!(other.media["9front"].origin, Origin::Path("dir/9front".into()));
    assert_eq!(lab.with_medium("sample").unwrap().media_in_use(), [SAMPLE, "9front-11554", "9front", "m"]);
    // The medium in [defaults] counts as each node's own.
    let lab = parse(&format!("{head}[defaults]\nmedium = \"sample\"\n{nodes}")).unwrap();
    assert_eq!(of(&lab), [SAMPLE, "9front-11554", "9front", "m"]);
    assert_eq!(of(&lab.with_medium("/x").unwrap())[0], SAMPLE);
}

#[test]
fn media_of_the_web() {
    let text = "[lab]\nname = \"x\"\nmedium = \"9front-11554\"\n[media.one]\nurl = \"http://a.example/x.iso\"\n\
        sha256 = \"5AAF54327b4bb73a17e192488dc3e65d9d8e526728732e2fdf402bccb8c60236\"\n\
        [media.many]\nurls = [\"http://a.example/x\", \"https://b.example/x\"]\n\
        [[node]]\nname = \"a\"\nroles = [\"cpu\"]\n";
    let lab = parse(text).unwrap();
    let release = releases::find("9front-11554").unwrap();
    assert_eq!(lab.media["9front-11554"], release.medium(), "a release needs no section");
    assert_eq!(lab.media["one"].sha256, release.sha256);
    assert_eq!(lab.media["one"].origin, Origin::Urls(vec!["http://a.example/x.iso".into()]));
    assert_eq!(lab.media["many"].origin, Origin::Urls(vec!["http://a.example/x".into(), "https://b.example/x".into()]));
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", 0),
        ("512", 512),
        ("1B", 1),
        ("2 kB", 2000),
        ("2KB", 2000),
        ("2 KiB", 2048),
        ("1.5 GiB", 3 << 29),
        ("0.001 kB", 1),
        ("1.0001 kB", 1000),
        ("1.8 TiB", 1_979_120_929_996),
        ("0.9999999999999999999999 kB", 999),
        ("16 TiB", 16 << 40),
        ("16777215 TiB", 16_777_215 << 40),
        ("1.500000000000000000000000 GB", 1_500_000_000),
    ] {
        assert_eq!(units::size(text), Ok(bytes), "{text}");
    }
    for text in ["", "GiB", "-1", "1.GiB", "1..5 GiB", "1 gib", "16777216 TiB", "1 Gi B", "99999999999999999999 B"] {
        assert!(units::size(text).is_err(), "{text}");
    }
}

#[test]
fn words_are_what_the_model_serializes() {
    fn same<W: Word + serde::Serialize + std::str::FromStr<Err = Problem>>() {
        for (word, value) in W::WORDS {
            assert_eq!(serde_json::to_value(value).unwrap(), *word);
            assert_eq!(value.word(), *word);
            assert!(word.parse::<W>().is_ok_and(|w| w == *value));
        }
    }
    same::<Arch>();
    same::<Board>();
    same::<Controller>();
    same::<Nic>();
    same::<Format>();
}

#[test]
fn the_guide_has_every_key_and_its_labs_are_right() {
    let guide = include_str!("../../../doc/lab.md");
    let blocks = guide.split("```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let labs: Vec<&str> = blocks.filter(|block| block.contains("[lab]")).collect();
    for lab in &labs {
        parse(lab).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    }
    let whole: toml::Table = labs.last().unwrap().parse().unwrap();
    for (section, keys) in KEYS {
        let path: Vec<&str> = match *section {
            "the lab file" => vec![],
            "[format.NAME]" => vec!["format", "ova"],
            "[media.NAME]" => vec!["media"],
            header => vec![header.trim_matches(['[', ']'])],
        };
        let root = toml::Value::Table(whole.clone());
        let table = path.iter().fold(&root, |value, name| &value[name]);
        // Of an array of tables, one or the other has it.
        let has = |key: &str| match table.as_array() {
            Some(items) => items.iter().any(|item| item.get(key).is_some()),
            None if *section == "[media.NAME]" => {
                table.as_table().unwrap().values().any(|medium| medium.get(key).is_some())
            }
            None => table.get(key).is_some(),
        };
        for key in *keys {
            assert!(has(key), "the last example of doc/lab.md has no {key} in {section}");
            assert!(path.is_empty() || guide.contains(&format!("| `{key}` |")), "doc/lab.md has no row for {key}");
        }
    }
    for word in Format::WORDS.iter().map(|(word, _)| word) {
        assert!(guide.contains(&format!("| `{word}` |")), "{word}");
    }
}

#[test]
fn the_lab_of_pis_is_right_and_so_is_the_mixed_one() {
    let text = include_str!("../../../lab-pi.toml");
    let lab = parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let all = |lab: &Lab| lab.nodes.iter().map(|n| (n.name.clone(), n.board, n.arch)).collect::<Vec<_>>();
    assert!(lab.nodes.iter().all(|n| n.board.is_pi() && n.arch == Arch::Arm && n.disk == 4_000_000_000));
    assert_eq!(lab.variants(&lab.nodes[0])[0].1, [Format::Qcow2, Format::Sd]);
    // The nodes of the mixed one are in the comment at the end.
    let head = text.split("[[node]]").next().unwrap();
    let mixed: String = text.lines().filter_map(|l| l.strip_prefix("#     ")).map(|l| format!("{l}\n")).collect();
    let lab = parse(&format!("{head}{mixed}")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let boards: Vec<_> =
        all(&lab).into_iter().map(|(name, board, arch)| format!("{name} {} {}", board.name(), arch.name())).collect();
    assert_eq!(boards, ["plan9n1 pc 386", "plan9n4 pc 386", "plan9n2 pi2 arm", "plan9n3 pi2 arm"]);
    assert_eq!(lab.variants(&lab.nodes[0])[0].1, [Format::Qcow2]);
}

#[test]
fn an_import_for_a_pi_is_a_card() {
    let text = "[lab]\nname = \"l\"\n[[node]]\nname = \"n\"\nboard = \"pi1\"\nroles = [\"cpu\"]\n";
    let lab = parse(text).unwrap();
    let node = &lab.nodes[0];
    assert_eq!((node.disk, node.cpus, node.memory), (2_000_000_000, 1, 512 << 20));
    let [(same, formats)] = &lab.variants(node)[..] else { panic!("one card") };
    assert_eq!((same.controller.device(), formats.as_slice()), ("sdM0", &[Format::Qcow2, Format::Sd][..]));
}

#[test]
fn qemus_arm_machine_has_virtio_alone() {
    let text = "[lab]\nname = \"l\"\n[defaults]\ncontroller = \"sata\"\nfirmware = \"both\"\n[[node]]\nname = \"n\"\n\
                board = \"virt\"\nroles = [\"cpu\"]\nfs = \"gefs\"\ndisk = \"1 GiB\"\n[node.partitions]\ndos = \"40 MiB\"\n\
                fscache = \"100 MiB\"\n";
    let lab = parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let node = &lab.nodes[0];
    assert_eq!((node.arch, node.controller, node.nic), (Arch::Arm64, Controller::Virtio, Nic::Virtio));
    assert_eq!((node.firmware, node.disk, node.memory), (PcFirmware::Bios, 1 << 30, 512 << 20));
    // Nothing but QEMU imports one.
    let [(same, formats)] = &lab.variants(node)[..] else { panic!("one disk") };
    assert_eq!((same.controller.device(), formats.as_slice()), ("sdF0", &[Format::Qcow2][..]));
    let wrong = |from: &str, to: &str| parse(&text.replace(from, to)).unwrap_err().render(false);
    let nic = wrong("fs = \"gefs\"", "nic = \"e1000\"");
    assert!(nic.contains("The `nic` of QEMU's ARM machine cannot be chosen"), "{nic}");
    let card = wrong("disk =", "card =");
    assert!(card.contains("QEMU's ARM machine has no card") && card.contains("set the size of its `disk`"), "{card}");
    let fat = wrong("dos =", "9fat =");
    assert!(fat.contains("The node has no partition `9fat`"), "{fat}");
    let arch = wrong("board = \"virt\"", "arch = \"arm64\"");
    assert!(arch.contains("Unknown architecture `arm64`") && arch.contains("write `board = \"virt\"`"), "{arch}");
}

#[test]
fn the_address_of_the_output_folder_ends_with_a_slash() {
    let url = |url: &str| {
        parse(&format!("[lab]\nname = \"l\"\nurl = \"{url}\"\n[[node]]\nname = \"n\"\nroles = [\"cpu\"]\n"))
            .map(|lab| lab.url.unwrap())
            .map_err(|mistakes| mistakes.render(false))
    };
    assert_eq!(url("https://a.example/lab").unwrap(), "https://a.example/lab/");
    assert_eq!(url("http://a.example:8000/").unwrap(), "http://a.example:8000/");
    assert!(url("a.example/lab").unwrap_err().contains("does not begin with `http://` or `https://`"));
}

#[test]
fn firmware_is_the_nodes_or_the_defaults() {
    use crate::lab::PcFirmware;
    let text = "[lab]\nname = \"l\"\n[defaults]\narch = \"amd64\"\nfirmware = \"both\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n\
                [node.partitions]\nesp = \"64 MiB\"\n9fat = \"16 MiB\"\n\
                [[node]]\nname = \"b\"\nfirmware = \"uefi\"\nroles = [\"cpu\"]\n";
    let lab = parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(lab.nodes.iter().map(|n| n.firmware).collect::<Vec<_>>(), [PcFirmware::Both, PcFirmware::Uefi]);
    let wrong = |text: &str| parse(text).unwrap_err().render(false);
    let partitions = format!("{text}[node.partitions]\n9fat = \"16 MiB\"\n");
    assert!(wrong(&partitions).contains("The node has no partition `9fat`"), "{}", wrong(&partitions));
    let bios = text.replace("both", "bios");
    assert!(wrong(&bios).contains("The node has no partition `esp`"), "{}", wrong(&bios));
    let pi = text.replace("firmware = \"uefi\"", "board = \"pi2\"\nfirmware = \"uefi\"");
    assert!(wrong(&pi).contains("The `firmware` of a pi2 is fixed by the board"), "{}", wrong(&pi));
    assert!(wrong(&text.replace("\"both\"", "\"efi\"")).contains("did you mean `uefi`?"));
}

#[test]
fn a_format_can_have_a_controller_of_its_own() {
    use crate::lab::{Controller, Format};
    let text = "[lab]\nname = \"l\"\nformats = [\"raw\", \"qcow2\", \"ova\"]\n[defaults]\ncontroller = \"virtio\"\n\
                [format.raw]\ncontroller = \"sata\"\n[[node]]\nname = \"n\"\nroles = [\"cpu\"]\n";
    let facts = [RoleFacts { name: "cpu".into(), ..RoleFacts::default() }];
    let lab = Lab::parse(text, "lab.toml", Path::new(""), &facts).unwrap();
    let variants = lab.variants(&lab.nodes[0]);
    let short: Vec<_> = variants.iter().map(|(n, f)| (n.controller, f.as_slice())).collect();
    let expected: [(Controller, &[Format]); 3] =
        [(Controller::Sata, &[Format::Raw]), (Controller::Virtio, &[Format::Qcow2]), (Controller::Ide, &[Format::Ova])];
    assert_eq!(short, expected);
}

#[test]
fn sizes_are_rounded_down_to_sectors_and_it_is_said() {
    let text = "[lab]\nname = \"l\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\", \"venti\"]\ndisk = \"1.9 TiB\"\n\
                [node.partitions]\narenas = \"1.8 TiB\"\nswap = 1000000\n";
    let lab = parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(lab.nodes[0].disk, 2_089_072_092_672);
    assert_eq!(lab.nodes[0].partitions.get("arenas"), Some(&1_979_120_929_792));
    assert_eq!(
        lab.notes,
        [
            "lab.toml:6:8: `1.9 TiB` is 2089072092774 bytes; rounded down to 2089072092672, whole sectors of 512",
            "lab.toml:8:10: `1.8 TiB` is 1979120929996 bytes; rounded down to 1979120929792, whole sectors of 512",
            "lab.toml:9:8: `1000000` is 1000000 bytes; rounded down to 999936, whole sectors of 512",
        ]
    );
}

#[test]
fn what_a_kernel_cannot_use_is_said() {
    let with = |more: &str| {
        let text = format!("[lab]\nname = \"l\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n{more}");
        parse(&text).err().map(|m| m.render(false)).unwrap_or_default()
    };
    assert_eq!(with("memory = \"4 GiB\"\ncpus = 32\n"), "");
    assert_eq!(with("memory = \"64 GiB\"\narch = \"amd64\"\nfirmware = \"uefi\"\n"), "");
    assert!(
        with("memory = \"64 GiB\"\n")
            .contains("lab.toml:6:10: Node `a` has 64 GiB of memory, but kernels for the 386 use 4 GiB")
    );
    assert!(with("firmware = \"uefi\"\n").contains("lab.toml:6:12: Node `a` is a 386"));
    assert_eq!(with("board = \"virt\"\ncpus = 16\nmemory = \"8 GiB\"\n"), "");
    assert!(with("board = \"virt\"\ncpus = 17\n").contains("runs on 16"));
    // A value in [defaults] is checked for each node, too.
    let text = "[lab]\nname = \"l\"\n[defaults]\nmemory = \"8 GiB\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n";
    assert!(parse(text).unwrap_err().render(false).contains("lab.toml:5:1: Node `a` has 8 GiB of memory"));
}

#[test]
fn names_that_some_system_cannot_store_are_mistakes() {
    let with = |name: &str| {
        let text = format!("[lab]\nname = \"l\"\n[[node]]\nname = \"{name}\"\nroles = [\"cpu\"]\n");
        parse(&text).err().map(|m| m.render(false)).unwrap_or_default()
    };
    for name in ["con", "aux", "NUL", "prn", "com1", "Lpt9", "com0"] {
        let want = format!("Node name `{name}` is a device name of Windows");
        assert!(with(name).contains(&want), "{}", with(name));
    }
    for name in ["cons", "com10", "lpt", "a"] {
        assert_eq!(with(name), "");
    }
    for (name, why) in [("con.x", "is a device name"), ("Aux", "is a device name"), ("lab.", "ends in a dot")] {
        let said = crate::lab::names::label("Lab name", name).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_key_that_is_a_section_is_told_its_header() {
    let node = "[lab]\nname = \"l\"\n[[node]]\nname = \"a\"\nroles = [\"cpu\"]\n";
    let said = |more: &str| parse(&format!("{node}{more}")).unwrap_err().render(false);
    assert!(said("user = \"x\"\n").contains("it is a section of its own, which begins with a line `[[user]]`"));
    assert!(said("media = \"x\"\n").contains("begins with a line `[media.NAME]`"));
    assert!(said("timezone = \"GMT\"\n").contains("`timezone` belongs in [lab]"));
    assert!(said("groups = []\n").contains("`groups` belongs in [[user]]"));
}
