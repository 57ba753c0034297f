//! Bad input gives one clear error and the designed exit code, and leaves no
//! file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new() -> Self {
        Self(p9img_test::Lab::default_lab())
    }
    fn edit(self, from: &str, to: &str) -> Self {
        self.0.edit(from, to);
        self
    }
    /// Runs and expects `code`, and every one of `words` on stderr; nothing built.
    fn refuses(&self, args: &[&str], code: i32, words: &[&str]) {
        self.0.refuses(args, code, words);
        let left: Vec<_> = fs::read_dir(self.path("output"))
            .map(|d| d.map(|e| e.unwrap().file_name()).filter(|n| !n.to_string_lossy().ends_with("lock")).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{args:?} left {left:?}");
    }
}

#[test]
fn mistakes_in_the_lab() {
    let cases: &[(&str, &str, &[&str])] = &[
        (r#"["cpu", "fs", "auth"]"#, r#"["cpu", "fs", "auht"]"#, &["auht", "auth", "lab.toml:"]),
        ("hostowner =", "hostowned =", &["hostowned", "hostowner", "lab.toml:"]),
        (r#"name  = "plan9n2""#, r#"name  = "plan9n1""#, &["plan9n1", "lab.toml:"]),
        ("10.9.0.12", "10.9.0.11", &["10.9.0.11"]),
        ("52:54:00:09:00:02", "52:54:00:09:00:01", &["52:54:00:09:00:01"]),
        (r#""10.9.0.12""#, r#""10.8.0.12""#, &["10.8.0.12", "10.9.0.0/24"]),
        (r#"controller = "ide""#, r#"controller = "scsi""#, &["scsi", "ide"]),
        (r#"disk       = "2 GiB""#, r#"disk       = "2 parsecs""#, &["parsecs"]),
        ("[lab]", "[lab", &["lab.toml:"]),
    ];
    for (from, to, words) in cases {
        let lab = Lab::new().edit(from, to);
        lab.refuses(&["check"], 1, words);
        lab.refuses(&["build", "--all"], 1, words);
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let lab = Lab::new()
        .edit("hostowner =", "hostowned =")
        .edit("10.9.0.12", "10.9.0.11")
        .edit(r#"nic        = "e1000""#, r#"nic        = "e10000""#);
    lab.refuses(&["check"], 1, &["hostowned", "10.9.0.11", "e10000"]);
    let json = lab.run(&["check", "--json"]);
    let mistakes: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(mistakes.to_string().contains("e10000"), "{mistakes}");
}

#[test]
fn secrets_that_a_build_refuses_are_mistakes_for_check_too() {
    // Bytes of the file, its mode, and what is said.
    let cases: &[(&[u8], u32, &str)] = &[
        (b"hostowner = \"hush\"", 0o600, "The password of the host owner has 4 bytes: expected 8 to 27"),
        (b"\n[users]\nglenda = \"hush hush \"", 0o600, "The password of user `glenda` has a blank at"),
        (b"hostowner = \"hush hush", 0o600, "This is not TOML"),
        (b"hostower = \"hush hush\"", 0o600, "did you mean `hostowner`?"),
        (b"seed = \"hush\"", 0o600, "The seed is not 64 hexadecimal digits"),
        (b"hostowner = \"hush\xffhush\"", 0o600, "It is not UTF-8 text"),
        (b"hostowner = \"hush hush\"", 0o644, "chmod 600"),
    ];
    let commands = [&["check"][..], &["check", "--json"], &["plan"], &["build", "--all"], &["build", "--rebuild"]];
    let lab = Lab::new();
    let file = lab.path("secrets.toml");
    let refused = |what: &str, words: &str| {
        for args in commands {
            let out = lab.run(args);
            let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
            assert_eq!(out.status.code(), Some(1), "{what}, {args:?}: {said}");
            assert!(said.contains("secrets.toml") && said.contains(words), "{what}, {args:?}: {said}");
            assert!(!said.contains("hush"), "{args:?} prints a password: {said}");
            assert!(!lab.path("output/plan9n1.qcow2").exists(), "{what}, {args:?} built");
        }
    };
    for (bytes, mode, words) in cases {
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).unwrap();
        refused(&String::from_utf8_lossy(bytes), words);
        assert_eq!(fs::read(&file).unwrap(), *bytes, "it stays as it was");
    }
    // Files that cannot be read at all, each with the reason.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused("a folder", "It is a folder, not a regular file");
    fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink(lab.path("nothing"), &file).unwrap();
    refused("a link to nothing", "there is no such file; restore it");
    fs::remove_file(&file).unwrap();
    // None, and good ones, are right for both.
    assert!(lab.run(&["check"]).status.success() && lab.run(&["build", "plan9n2"]).status.success());
    assert!(lab.run(&["check"]).status.success() && file.exists());
}

#[test]
fn media_that_are_none() {
    let lab = Lab::new();
    lab.refuses(&["build", "--all", "--media", "./nowhere"], 1, &["nowhere", "386/9load"]);
    lab.refuses(&["build", "--all", "--media", "."], 1, &["no Plan 9 system", "386/9load"]);
    lab.refuses(&["build", "--all", "--media", "nosuchname"], 2, &["nosuchname"]);
}

#[test]
fn wrong_usage() {
    let lab = Lab::new();
    lab.refuses(&["build"], 2, &["--all"]);
    lab.refuses(&["build", "plan9n9"], 2, &["plan9n9", "plan9n1"]);
    lab.refuses(&["build", "--all", "--format", "qcow3"], 2, &["qcow3", "qcow2"]);
    lab.refuses(&["frobnicate"], 2, &["frobnicate"]);
    lab.refuses(&["--lab", "none.toml", "check"], 1, &["none.toml"]);
    lab.refuses(&["ls", "none.img"], 1, &["none.img"]);
}

#[test]
fn a_disk_too_small_says_by_how_much_before_writing() {
    let lab = Lab::new();
    lab.set("defaults.disk", "64 MiB");
    // 64 MiB hold the sample, but not the venti role's arenas.
    lab.refuses(&["build", "plan9n4"], 1, &["plan9n4", "arenas", "67108864"]);
}

#[test]
fn a_fossil_too_small_for_its_tree_says_by_how_much() {
    let lab =
        Lab::new().edit(r#"ip    = "10.9.0.12""#, "ip    = \"10.9.0.12\"\npartitions = { fossil = \"1280 KiB\" }");
    fs::create_dir_all(lab.path("medium")).unwrap();
    let all = lab.run(&["extract", "sample", "medium/x"]);
    assert!(all.status.success(), "{all:?}");
    fs::write(lab.path("medium/x/sys/big"), vec![1u8; 3 << 20]).unwrap();
    lab.refuses(&["build", "plan9n2", "--media", "medium/x"], 1, &["plan9n2", "1310720", "enlarge disk by"]);
}

#[test]
fn a_file_of_the_medium_that_cannot_be_read() {
    let lab = Lab::new();
    let all = lab.run(&["extract", "sample", "medium"]);
    assert!(all.status.success(), "{all:?}");
    let secret = lab.path("medium/sys/unreadable");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let program = lab.path("p9img");
    fs::copy(env!("CARGO_BIN_EXE_p9img"), &program).unwrap();
    let mut command = Command::new(&program);
    if fs::File::open(&secret).is_ok() {
        // The super-user reads everything: be nobody for this.
        fs::set_permissions(lab.dir(), fs::Permissions::from_mode(0o777)).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    }
    command.args(["build", "plan9n2", "--media", "./medium"]).current_dir(lab.dir());
    let out = command.output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{err}");
    assert!(err.contains("sys/unreadable"), "{err}");
    assert!(!lab.path("output/plan9n2.qcow2").exists());
}

#[test]
fn an_output_folder_that_cannot_be_written() {
    let lab = Lab::new();
    fs::write(lab.path("file"), "").unwrap();
    lab.refuses(&["build", "--all", "--out", "file/sub"], 1, &["file/sub"]);
}

#[test]
fn a_disk_with_a_gpt_is_called_by_its_name() {
    let lab = Lab::new();
    let mut disk = vec![0; 1 << 20];
    // The entry of the MBR that stands in for the table, and the table's header.
    disk[446..462].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0xFF, 7, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk[512..520].copy_from_slice(b"EFI PART");
    fs::write(lab.path("gpt.img"), disk).unwrap();
    let words = ["gpt.img", "a disk with a GUID partition table (GPT)", "give the Plan 9 partition alone"];
    for args in [
        &["ls", "gpt.img"][..],
        &["ls", "gpt.img:9fat"],
        &["cat", "gpt.img:9fat:plan9.ini"],
        &["extract", "gpt.img:fossil", "x"],
        &["fsck", "gpt.img"],
        &["media", "show", "gpt.img"],
        &["build", "--all", "--media", "./gpt.img"],
    ] {
        lab.refuses(args, 1, &words);
    }
}

#[test]
fn truncated_and_damaged_images_give_errors() {
    let lab = Lab::new();
    let build = lab.run(&["build", "plan9n1", "--format", "raw,qcow2,ova", "--out", "good"]);
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for name in ["plan9n1.qcow2", "plan9n1.ova"] {
        let good = fs::read(lab.path("good").join(name)).unwrap();
        for round in 0..30 {
            let mut bad = good.clone();
            if round % 3 == 0 {
                bad.truncate((next() % good.len() as u64) as usize);
            } else {
                for _ in 0..1 + round % 5 {
                    let near_start = if round % 2 == 0 { 4096.min(good.len()) } else { good.len() };
                    let at = (next() % near_start as u64) as usize;
                    bad[at] ^= 1 << (next() % 8);
                }
            }
            let file = lab.path("bad.img");
            fs::write(&file, &bad).unwrap();
            for args in [
                &["ls", "bad.img"][..],
                &["ls", "-lR", "bad.img:fossil"],
                &["cat", "bad.img:9fat:plan9.ini"],
                &["extract", "bad.img:fossil", "x"],
                &["fsck", "bad.img"],
            ] {
                let out = lab.run(args);
                let code = out.status.code();
                assert!(matches!(code, Some(0..=3)), "{name} round {round} {args:?}: {:?}", out.status);
                let err = String::from_utf8_lossy(&out.stderr);
                assert!(!err.contains("panicked"), "{name} round {round} {args:?}: {err}");
            }
            let _ = fs::remove_dir_all(lab.path("x"));
        }
    }
}
