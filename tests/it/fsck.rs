//! Tests of `p9img fsck`: how much it says it read, and what `--data` adds.

use p9img_test::folder::default_lab;
use p9img_test::lab::{p9img, said};
use std::fs;

/// Offset of the bytes `what`.
fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|w| w == what).unwrap()
}

#[test]
fn it_says_how_much_was_read_and_data_reads_the_rest() {
    let lab = default_lab();
    let dir = lab.path();
    let built = p9img(dir, &["build", "plan9n1", "--format", "raw,qcow2,ova", "--out", "out"]);
    assert!(built.status.success(), "{}", said(&built));
    let metadata = ": metadata only; --data reads the files' contents too\n";
    for name in ["plan9n1.img", "plan9n1.qcow2", "plan9n1.ova"] {
        let image = format!("out/{name}");
        let plain = p9img(dir, &["fsck", &image]);
        assert!(plain.status.success() && said(&plain).contains(metadata), "{name}: {}", said(&plain));
        assert!(said(&plain).contains("fossil: fossil is sound\n"), "{name}: {}", said(&plain));
        let data = p9img(dir, &["fsck", "--data", &image]);
        assert!(data.status.success(), "{name}: {}", said(&data));
        assert!(said(&data).contains("Everything was read: "), "{name}: {}", said(&data));
        assert!(!said(&data).contains(metadata));
        let one = p9img(dir, &["fsck", "--data", &format!("{image}:9fat")]);
        assert!(one.status.success() && said(&one).contains("Everything was read: "), "{name}: {}", said(&one));
    }
    // An OVA whose manifest has another digest: nothing that a reader would notice.
    let mut ova = fs::read(dir.join("out/plan9n1.ova")).unwrap();
    let digest = find(&ova, b"SHA256(plan9n1.ovf)= ") + 21;
    ova[digest] = if ova[digest] == b'0' { b'1' } else { b'0' };
    fs::write(dir.join("bad.ova"), &ova).unwrap();
    assert!(p9img(dir, &["fsck", "bad.ova"]).status.success());
    let bad = p9img(dir, &["fsck", "--data", "--json", "bad.ova"]);
    assert_eq!(bad.status.code(), Some(3), "{}", said(&bad));
    let found: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((&found["kind"], &found["level"]), (&"ova-digest".into(), &"damage".into()), "{found}");
    assert_eq!(found["partition"], "image");
}

#[test]
fn an_owner_without_a_user_leaves_a_disk_sound() {
    let lab = default_lab();
    let dir = lab.path();
    let built = p9img(dir, &["build", "plan9n1", "--format", "raw", "--out", "out"]);
    assert!(built.status.success(), "{}", said(&built));
    let image = dir.join("out/plan9n1.img");
    let mut bytes = fs::read(&image).unwrap();
    // The owners of /adm/users in its directory entry: glenda's file becomes nobody's.
    let at = find(&bytes, b"\0\x06glenda\0\x06glenda\0\x06glenda");
    bytes[at + 2..at + 8].copy_from_slice(b"stefan");
    fs::write(&image, &bytes).unwrap();
    let out = p9img(dir, &["fsck", "out/plan9n1.img"]);
    let text = said(&out);
    assert!(out.status.success(), "{text}");
    let remark = "fossil: remark: Owner \"stefan\" is not in /adm/users; 1 file names it, the first is /active/";
    assert!(
        text.contains(remark) && text.contains("[nobody]\n") && text.contains("fossil: fossil is sound\n"),
        "{text}"
    );
    let json = p9img(dir, &["fsck", "--json", "out/plan9n1.img"]);
    assert!(json.status.success() && said(&json).contains("\"level\":\"remark\""), "{}", said(&json));
    bytes[at + 2] = 0xff;
    fs::write(&image, &bytes).unwrap();
    let out = p9img(dir, &["fsck", "out/plan9n1.img"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(said(&out).contains("its owner is not UTF-8: \\xfftefan [owner]"), "{}", said(&out));
}
