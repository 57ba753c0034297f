//! `secrets.toml` that is a symbolic link: whose file is read through it, what
//! is said of one that is none of secrets, and that nothing is written there.

use crate::lab::secrets::{FILE, Secrets, SecretsError, Which};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

const GOOD: &str = "seed = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"\n\
                    hostowner = \"wkdhm-ycxtb\"\n[users]\nglenda = \"nqjvr-pgzsu\"\n";

/// A lab whose secrets are a link to `target` outside of its folder, with this
/// text and mode.
fn linked(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (lab, target) = (dir.path().join("lab"), dir.path().join("target"));
    fs::create_dir(&lab).unwrap();
    fs::write(&target, text).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
    symlink("../target", lab.join(FILE)).unwrap();
    (dir, lab, target)
}

fn load(lab: &Path) -> Result<Option<Secrets>, String> {
    Secrets::load(lab, "bootes").map_err(|e| e.to_string())
}

#[test]
fn a_file_of_ones_own_is_read_through_a_link() {
    for mode in [0o600, 0o400] {
        let (_dir, lab, target) = linked(GOOD, mode);
        let secrets = load(&lab).unwrap().unwrap();
        assert_eq!(secrets.password("glenda"), Some("nqjvr-pgzsu"));
        assert_eq!(secrets.linked(), Some(&*target.canonicalize().unwrap()));
        let (again, written) = Secrets::load_or_create(&lab, "bootes", &["glenda"]).unwrap();
        assert_eq!((again, format!("{written:?}")), (secrets, "Nothing".to_owned()));
    }
    let (_dir, lab, _) = linked(GOOD, 0o640);
    let said = load(&lab).unwrap_err();
    assert!(said.contains("has mode 0640, so that others can read"), "{said}");
}

#[test]
fn a_file_of_another_is_not_read_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, mut other) = (dir.path().join("lab"), PathBuf::from("/etc/passwd"));
    fs::create_dir(&lab).unwrap();
    if rustix::process::geteuid().is_root() {
        other = dir.path().join("other");
        fs::write(&other, GOOD).unwrap();
        std::os::unix::fs::chown(&other, Some(12345), None).unwrap();
    }
    symlink(&other, lab.join(FILE)).unwrap();
    let said = load(&lab).unwrap_err();
    assert!(said.contains(&format!("to {}: it belongs to another user", other.display())), "{said}");
    symlink("/dev/null", dir.path().join(FILE)).unwrap();
    let error = Secrets::load(dir.path(), "bootes").unwrap_err();
    let said = format!("{:#}", anyhow::Error::from(error));
    assert!(said.contains("It is a device, not a regular file"), "{said}");
}

#[test]
fn nothing_of_a_file_that_is_none_of_secrets_is_said() {
    for text in [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2hunter2\n-----END",
        "[default]\naws_secret = hunter2hunter2\n",
        "hunter2hunter2 = \"x\"\n",
        "[hunter2hunter2]\nkey = \"hunter2hunter2\"\n",
        "[users]\n\"hunter2 hunter2\" = \"hunter2hunter2\"\n",
        "[users]\nhunter2hunter2 = 5\n",
        "hostowner = \"hunter2\"\n",
    ] {
        let (_dir, lab, _) = linked(text, 0o600);
        for error in [
            Secrets::load(&lab, "bootes").unwrap_err(),
            Secrets::load_or_create(&lab, "bootes", &["glenda"]).unwrap_err(),
            Secrets::rotate(&lab, "bootes", &["glenda"], Which::All).unwrap_err(),
        ] {
            let said = format!("{:#} {error:?}", anyhow::anyhow!("{error}"));
            assert!(!said.contains("hunter2") && !said.contains("aws"), "{text:?}: {said}");
            assert!(said.contains("of it does not belong into a file of secrets"), "{said}");
        }
    }
}

#[test]
fn nothing_is_written_through_a_link_or_in_its_place() {
    let check = |text: &str, result: Result<String, SecretsError>, target: &Path, lab: &Path, want: &str| {
        let said = result.unwrap_err().to_string();
        assert!(said.contains(want), "{said}");
        assert_eq!(fs::read_to_string(target).unwrap(), text);
        assert!(lab.join(FILE).is_symlink());
        assert_eq!(fs::read_dir(lab).unwrap().count(), 1, "nothing is left beside it");
    };
    let (_dir, lab, target) = linked(GOOD, 0o600);
    for which in [Which::All, Which::Names(&["glenda".to_owned()])] {
        let result = Secrets::rotate(&lab, "bootes", &["glenda"], which).map(|all| all.join(" "));
        check(GOOD, result, &target, &lab, "would replace the link");
    }
    let more = Secrets::load_or_create(&lab, "bootes", &["glenda", "rob"]).map(|_| String::new());
    check(GOOD, more, &target, &lab, "it lacks rob: add that yourself");
    let (_dir, lab, target) = linked("", 0o600);
    let all = Secrets::load_or_create(&lab, "bootes", &["glenda"]).map(|_| String::new());
    check("", all, &target, &lab, "it lacks seed, hostowner, glenda");
    // A link to nothing is not a lab without secrets.
    fs::remove_file(&target).unwrap();
    for result in
        [load(&lab), Secrets::load_or_create(&lab, "bootes", &["rob"]).map(|_| None).map_err(|e| e.to_string())]
    {
        let said = result.unwrap_err();
        assert!(said.contains("secrets.toml is a symbolic link to ../target: there is no such file"), "{said}");
    }
    assert!(!target.exists());
}

#[test]
fn a_link_within_the_lab_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("private")).unwrap();
    let file = dir.path().join("private/s");
    fs::write(&file, GOOD).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("private/s", dir.path().join(FILE)).unwrap();
    assert_eq!(load(dir.path()).unwrap().unwrap().linked(), None);
    Secrets::rotate(dir.path(), "bootes", &["glenda"], Which::All).unwrap();
    assert!(dir.path().join(FILE).is_symlink());
    assert!(!fs::read_to_string(&file).unwrap().contains("nqjvr-pgzsu"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}
