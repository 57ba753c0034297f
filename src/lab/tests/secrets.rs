use crate::lab::secrets::{FILE, PASSWORD_MAX, PASSWORD_MIN, Secrets, SecretsError, Which, Written};
use std::fs;
use std::path::{Path, PathBuf};

const SEED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn put(dir: &Path, text: &str) -> PathBuf {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = dir.join(FILE);
    let _ = fs::remove_file(&path);
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

#[test]
fn first_build_makes_them_and_later_ones_keep_them() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Secrets::load(dir.path(), "bootes").unwrap(), None);
    let (first, written) = Secrets::load_or_create(dir.path(), "bootes", &["glenda"]).unwrap();
    assert_eq!(written, Written::Created);
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let (owner, glenda) = (first.password("bootes").unwrap(), first.password("glenda").unwrap());
    assert_ne!(owner, glenda);
    for password in [owner, glenda] {
        let groups: Vec<&str> = password.split('-').collect();
        assert_eq!(groups.len(), 4, "{password}");
        assert!(groups.iter().all(|g| g.len() == 5 && g.bytes().all(|b| b"abcdefghjkmnpqrstuvwxyz".contains(&b))));
        assert!((PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len()));
    }
    assert_eq!(first.password("ken"), None);
    let (second, written) = Secrets::load_or_create(dir.path(), "bootes", &["glenda"]).unwrap();
    assert_eq!((second, written), (first.clone(), Written::Nothing));
    assert_eq!(Secrets::load(dir.path(), "bootes").unwrap(), Some(first));
}

#[test]
fn missing_ones_are_added_and_the_rest_stays_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "# mine\nseed = \"{SEED}\"\nhostowner = 'correct \"horse'\n\n[users]\nken = \"unix was here\" # old\n# end"
    );
    let path = put(dir.path(), &text);
    let (secrets, written) = Secrets::load_or_create(dir.path(), "eve", &["ken", "rob.p", "héctor"]).unwrap();
    assert_eq!(written, Written::Added(vec!["rob.p".into(), "héctor".into()]));
    assert_eq!(secrets.password("eve"), Some("correct \"horse"));
    assert_eq!(secrets.password("ken"), Some("unix was here"));
    let after = fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(&text), "{after}");
    let (again, written) = Secrets::load_or_create(dir.path(), "eve", &["rob.p", "eve", "héctor"]).unwrap();
    assert_eq!((again, written), (secrets, Written::Nothing));
}

#[test]
fn what_cannot_be_added_by_lines_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), "users = { ken = \"unix was here\" }\n");
    let (secrets, written) = Secrets::load_or_create(dir.path(), "eve", &["rob"]).unwrap();
    assert_eq!(written, Written::Added(vec!["seed".into(), "hostowner".into(), "rob".into()]));
    assert_eq!(secrets.password("ken"), Some("unix was here"));
    assert_eq!(Secrets::load(dir.path(), "eve").unwrap(), Some(secrets));
    assert!(fs::read_to_string(path).unwrap().contains("[users]\n\"ken\" = \"unix was here\"\n"));
}

#[test]
fn builds_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let (user, path) = (|i: usize| format!("user{}", i % 3), dir.path());
    let made: Vec<Secrets> = std::thread::scope(|scope| {
        let start = |i| scope.spawn(move || Secrets::load_or_create(path, "eve", &[user(i)]).unwrap().0);
        let threads: Vec<_> = (0..12).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let end = Secrets::load(dir.path(), "eve").unwrap().unwrap();
    for (i, one) in made.iter().enumerate() {
        assert_eq!(one.password("eve"), end.password("eve"));
        assert_eq!(one.password(&user(i)), end.password(&user(i)));
        assert_eq!(one.derive("x"), end.derive("x"));
    }
}

#[test]
fn derived_values_are_pinned() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &format!("seed = \"{SEED}\"\nhostowner = \"password\"\n"));
    let secrets = Secrets::load(dir.path(), "eve").unwrap().unwrap();
    let hex: String = secrets.derive("label").iter().map(|b| format!("{b:02x}")).collect();
    // sha256(seed "label" seed), computed elsewhere: another value would change every image.
    assert_eq!(hex, "24360f1154538ce78afbabaf9935d65e4736a991aaf549a1da3f276ec91147a8");
    assert_ne!(secrets.derive("label"), secrets.derive("label2"));
}

#[test]
fn others_must_not_have_been_able_to_read_them() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = put(dir.path(), &format!("seed = \"{SEED}\"\nhostowner = \"password\"\n"));
    for mode in [0o640, 0o604, 0o660, 0o622] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Secrets::load_or_create(dir.path(), "eve", &[] as &[&str]).unwrap_err();
        assert!(matches!(error, SecretsError::Readable { mode: m, .. } if m == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

/// Text of the file, and what is said of it. None of it may hold `hush`.
const WRONG: &[(&str, &str)] = &[
    ("hostowner = \"hush\"", ":1: The password of the host owner has 4 bytes: expected 8 to 27"),
    (
        "\nhostowner = \"hush hush hush hush hush hush\"",
        ":2: The password of the host owner has 29 bytes: expected 8 to 27",
    ),
    ("hostowner = \"hush hush \"", ":1: The password of the host owner has a blank at its beginning or end"),
    (
        "hostowner = \"hush\\u0000hush\"",
        ":1: The password of the host owner has a character that is not printable ASCII",
    ),
    ("hostowner = 1234567890", ":1: The password of the host owner is not in quotes"),
    ("[users]\nglenda = \"hush\"", ":2: The password of user `glenda` has 4 bytes: expected 8 to 27"),
    ("[users]\nglenda = [\"hush hush\"]", ":2: The password of user `glenda` is not in quotes"),
    ("hostowner = hush hush", ":1: This is not TOML; write `NAME = \"PASSWORD\"`, each name once"),
    ("hostowner = \"hush hush", ":1: This is not TOML; write `NAME = \"PASSWORD\"`, each name once"),
    (
        "hostowner = \"hush hush\"\nhostowner = \"hush hush\"",
        ":2: This is not TOML; write `NAME = \"PASSWORD\"`, each name once",
    ),
    ("hostowner = \"hush hush\"\nhostower = \"hush hush\"", ":2: Unknown key `hostower`: did you mean `hostowner`?"),
    ("glenda = \"hush hush\"", ":1: Unknown key `glenda`: the passwords of users belong below `[users]`"),
    (
        "seed = \"hush\"",
        ":1: The seed is not 64 hexadecimal digits in quotes; remove the line, and p9img makes a new one",
    ),
    ("users = \"hush hush\"", ":1: `users` is not a table; write `[users]`"),
];

#[test]
fn malformed_files_are_refused_without_quoting_them() {
    let dir = tempfile::tempdir().unwrap();
    for (text, expected) in WRONG {
        let path = put(dir.path(), text);
        let error = Secrets::load_or_create(dir.path(), "eve", &["glenda"]).unwrap_err();
        assert_eq!(error.to_string(), format!("{}{expected}", path.display()), "{text}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), *text, "a refused file stays as it is");
    }
    let (secrets, _) = {
        put(dir.path(), &format!("seed = \"{SEED}\"\nhostowner = \"hush hush\"\n"));
        Secrets::load_or_create(dir.path(), "eve", &["glenda"]).unwrap()
    };
    assert_eq!(format!("{secrets:?}"), "Secrets(…)");
}

#[test]
fn rotation_changes_values_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "# mine\nseed   = \"{SEED}\" # of 2026\nhostowner = 'correct \"horse' # owner\n\n\
         [users] # people\nken = \"\"\"unix was here\"\"\" # old\n'rob.p' = \"plan 9 was here\"\n# end"
    );
    let path = put(dir.path(), &text);
    let before = Secrets::load(dir.path(), "eve").unwrap().unwrap();
    let one = [String::from("ken")];
    let changed = Secrets::rotate(dir.path(), "eve", &["ken", "rob.p"], Which::Names(&one)).unwrap();
    assert_eq!(changed, ["ken"]);
    let after = Secrets::load(dir.path(), "eve").unwrap().unwrap();
    let ken = after.password("ken").unwrap();
    assert_ne!(before.password("ken"), Some(ken));
    let expected = text.replace("\"\"\"unix was here\"\"\"", &format!("\"{ken}\""));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    let changed = Secrets::rotate(dir.path(), "eve", &["ken", "new"], Which::All).unwrap();
    assert_eq!(changed, ["seed", "eve", "ken", "new", "rob.p"]);
    let last = Secrets::load(dir.path(), "eve").unwrap().unwrap();
    for name in ["eve", "ken", "rob.p"] {
        assert_ne!(last.password(name), after.password(name), "{name}");
    }
    assert_ne!(last.derive("x"), after.derive("x"));
    let text = fs::read_to_string(&path).unwrap();
    for kept in [
        "# mine\nseed   = \"",
        "\" # of 2026\nhostowner = \"",
        " # owner\n\n[users] # people\nken = \"",
        " # old\n'rob.p' = \"",
        "\n# end\n\"new\" = \"",
    ] {
        assert!(text.contains(kept), "{kept:?} is not in the file");
    }
    assert!(!text.contains(SEED) && !text.contains("was here") && !text.contains("horse"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn rotation_refuses_what_it_does_not_know_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let none = Secrets::rotate(dir.path(), "eve", &["ken"], Which::All).unwrap_err();
    assert!(matches!(none, SecretsError::NoneYet { .. }), "{none}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let text = format!("seed = \"{SEED}\"\nhostowner = \"password\"\nusers = {{ ken = \"unix was here\" }}\n");
    let path = put(dir.path(), &text);
    let names = ["ken".to_owned(), "kenn".to_owned()];
    let error = Secrets::rotate(dir.path(), "eve", &["rob"], Which::Names(&names)).unwrap_err();
    assert_eq!(error.to_string(), "No password for \"kenn\"; there are passwords for eve, ken, rob");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // A file that no lines can be added to is written anew, with all of its values.
    let changed = Secrets::rotate(dir.path(), "eve", &["rob"], Which::Names(&names[..1])).unwrap();
    assert_eq!(changed, ["ken"]);
    let after = Secrets::load(dir.path(), "eve").unwrap().unwrap();
    assert_eq!(after.names().collect::<Vec<_>>(), ["eve", "ken", "rob"]);
    assert_eq!(after.password("eve"), Some("password"));
    assert_ne!(after.password("ken"), Some("unix was here"));
}

#[test]
fn where_no_file_can_be_private_a_readable_one_is_taken_and_said() {
    use rustix::io::Errno;
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let none: [&str; 0] = [];
    let made = crate::modes::testing::without(Some(Errno::PERM), || {
        Secrets::load_or_create(dir.path(), "bootes", &none).unwrap().0
    });
    let path = dir.path().join(FILE);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let load = || Secrets::load(dir.path(), "bootes");
    assert!(matches!(load(), Err(SecretsError::Readable { mode: 0o777, .. })));
    let taken = crate::modes::testing::without(Some(Errno::PERM), load).unwrap().unwrap();
    assert!(taken.is_exposed());
    assert_eq!(taken.fingerprint(), made.fingerprint());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777, "it is not touched");
}
