use super::*;
use crate::read_at::ReadAt as _;
use std::sync::atomic::AtomicUsize;
use std::sync::{Barrier, LazyLock};

/// Four chunks and a bit that differ from each other.
fn bytes() -> Vec<u8> {
    static BYTES: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..4 * CHUNK as u32 + 1234).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect());
    BYTES.clone()
}

fn put(store: &Store, bytes: &[u8]) -> Arc<Stored> {
    store.insert(|to| to.write_all(bytes).map_err(broken)).unwrap()
}

fn make(store: &Store, key: &str, made: &AtomicUsize) -> Result<Arc<Stored>, StoreError> {
    store.derived(key, |to| {
        made.fetch_add(1, Ordering::SeqCst);
        to.write_all(&bytes()).map_err(broken)
    })
}

fn broken(source: io::Error) -> StoreError {
    StoreError::Read { path: "test".into(), source }
}

fn all(file: &Stored) -> io::Result<Vec<u8>> {
    let mut out = vec![0; file.len() as usize];
    file.read_at(0, &mut out)?;
    Ok(out)
}

/// Every file below the store but the lock of names and the tag.
fn files(store: &Store) -> Vec<String> {
    let names = |folder: Folder| list(&store.root().join(folder.name())).unwrap();
    Folder::ALL.into_iter().flat_map(names).collect()
}

#[test]
fn what_was_put_in_is_found_by_its_digest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path().join("a/b"));
    let digest = Digest::of(&bytes());
    assert!(store.open(&digest).unwrap().is_none());
    assert!(store.entries().unwrap().is_empty());
    assert_eq!(store.size().unwrap(), 0);
    assert!(!store.root().exists(), "asking writes nothing");
    let put = put(&store, &bytes());
    assert_eq!(put.path().file_name().unwrap().to_str().unwrap(), digest.to_string());
    assert!(all(&put).unwrap() == bytes());
    let again = Store::at(store.root()).open(&digest).unwrap().unwrap();
    let mut some = vec![0; 2 * CHUNK as usize];
    again.read_at(CHUNK - 5, &mut some).unwrap();
    assert!(some == bytes()[CHUNK as usize - 5..][..some.len()]);
    assert_eq!(again.read_at(again.len(), &mut [0]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let entries = store.entries().unwrap();
    assert_eq!((entries.len(), &entries[0].name, entries[0].len), (1, &Name::Content(digest), bytes().len() as u64));
    assert!(store.size().unwrap() > bytes().len() as u64);
    assert!(store.verify(&entries[0].name).unwrap());
    assert!(store.remove(&entries[0].name).unwrap());
    assert!(!store.remove(&entries[0].name).unwrap());
    assert!(files(&store).is_empty());
    assert!(all(&again).unwrap() == bytes(), "whoever has it open goes on reading");
}

#[test]
fn lengths_at_the_edge_of_a_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
        let bytes = &bytes()[..len as usize];
        put(&store, bytes);
        let file = store.open(&Digest::of(bytes)).unwrap().unwrap();
        assert!(all(&file).unwrap() == bytes, "{len}");
        assert!(store.verify(file.name()).unwrap(), "{len}");
    }
}

#[test]
fn a_derived_file_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    let gate = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // As other processes: locks are of opened files.
                let store = Store::at(dir.path());
                gate.wait();
                assert!(all(&make(&store, "key", &made).unwrap()).unwrap() == bytes());
            });
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
    make(&Store::at(dir.path()), "other key", &made).unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 2);
    assert_eq!(files(&Store::at(dir.path())).len(), 4, "two entries with their records and nothing else");
}

#[test]
fn equal_content_may_come_from_many_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(all(&put(&Store::at(dir.path()), &bytes())).unwrap() == bytes()));
        }
    });
    assert_eq!(files(&Store::at(dir.path())).len(), 2);
}

#[test]
fn damage_is_noticed_removed_and_healed() {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    let path = make(&Store::at(dir.path()), "key", &made).unwrap().path().to_owned();
    let whole = bytes();
    for at in [0, 77, CHUNK as usize, 2 * CHUNK as usize - 1, whole.len() - 1] {
        let mut wrong = whole.clone();
        wrong[at] ^= 0x10;
        fs::write(&path, wrong).unwrap();
        let store = Store::at(dir.path());
        let before = made.load(Ordering::SeqCst);
        let file = make(&store, "key", &made).unwrap();
        assert_eq!(made.load(Ordering::SeqCst), before, "damage inside is found when it is read");
        let chunk = at as u64 / CHUNK;
        if chunk > 0 {
            let mut fine = vec![0; CHUNK as usize];
            file.read_at(0, &mut fine).unwrap();
            assert!(fine == whole[..CHUNK as usize], "other chunks can be read");
        }
        let error = file.read_at(at as u64, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("(key)"), "{text}");
        assert!(text.contains(&(chunk * CHUNK).to_string()), "{text}");
        assert!(!path.exists());
        assert!(all(&make(&store, "key", &made).unwrap()).unwrap() == whole);
        assert_eq!(made.load(Ordering::SeqCst), before + 1);
    }
}

#[test]
fn what_is_cut_off_or_without_a_record_counts_as_absent() {
    let dir = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    let path = make(&Store::at(dir.path()), "key", &made).unwrap().path().to_owned();
    let record = beside(&path, SUMS);
    type Damage = fn(&Path, &Path);
    let damages: [Damage; 7] = [
        |path, _| fs::write(path, &bytes()[..100]).unwrap(),
        |path, _| fs::write(path, b"").unwrap(),
        |path, _| fs::remove_file(path).unwrap(),
        |_, record| fs::remove_file(record).unwrap(),
        |_, record| fs::write(record, b"").unwrap(),
        |_, record| fs::write(record, b"\xff\xfe").unwrap(),
        |_, record| fs::write(record, fs::read_to_string(record).unwrap().replacen('a', "b", 1)).unwrap(),
    ];
    for (i, damage) in damages.into_iter().enumerate() {
        damage(&path, &record);
        assert!(Store::at(dir.path()).entries().unwrap().is_empty(), "{i}");
        assert!(all(&make(&Store::at(dir.path()), "key", &made).unwrap()).unwrap() == bytes(), "{i}");
        assert_eq!(made.load(Ordering::SeqCst), i + 2);
    }
    // The record of one entry does not vouch for another.
    let other = make(&Store::at(dir.path()), "other", &made).unwrap();
    fs::copy(beside(other.path(), SUMS), &record).unwrap();
    let before = made.load(Ordering::SeqCst);
    make(&Store::at(dir.path()), "key", &made).unwrap();
    assert_eq!(made.load(Ordering::SeqCst), before + 1);
}

#[test]
fn cut_off_while_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let file = put(&Store::at(dir.path()), &bytes());
    OpenOptions::new().write(true).open(file.path()).unwrap().set_len(10).unwrap();
    assert_eq!(all(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(!file.path().exists());
}

#[test]
fn verify_finds_and_removes_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let file = put(&store, &bytes());
    let mut wrong = bytes();
    *wrong.last_mut().unwrap() ^= 1;
    fs::write(file.path(), wrong).unwrap();
    assert!(!store.verify(file.name()).unwrap());
    assert!(files(&store).is_empty());
    assert!(!store.verify(file.name()).unwrap());
}

#[test]
fn leftovers_of_killed_runs_go_and_those_of_living_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put(&store, b"keep");
    let content = dir.path().join("content");
    for left in [".new-abc", "feed", "beef.sums", "cafe.lock"] {
        fs::write(content.join(left), b"left").unwrap();
    }
    let alive = File::create(content.join(".new-alive")).unwrap();
    alive.lock().unwrap();
    put(&Store::at(dir.path()), b"keep");
    let names: Vec<_> =
        files(&store).into_iter().filter(|n| !n.starts_with(&Digest::of(b"keep").to_string())).collect();
    assert_eq!(names, [".new-alive"]);
    assert!(store.open(&Digest::of(b"keep")).unwrap().is_some());
}

#[test]
fn a_failed_make_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let error = store.derived("key", |to| {
        to.write_all(&bytes()).map_err(broken)?;
        Err(broken(io::Error::other("no more")))
    });
    assert!(matches!(error.unwrap_err(), StoreError::Read { .. }));
    assert!(files(&store).is_empty());
}

#[test]
fn adopting_checks_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path().join("store"));
    let part = dir.path().join("part");
    fs::write(&part, bytes()).unwrap();
    let (right, wrong) = (Digest::of(&bytes()), Digest::of(b"wrong"));
    assert_eq!(store.adopt(&part, &wrong).unwrap().unwrap_err(), right);
    assert!(part.exists() && store.entries().unwrap().is_empty());
    assert!(all(&store.adopt(&part, &right).unwrap().unwrap()).unwrap() == bytes());
    assert!(!part.exists());
    assert!(store.verify(&Name::Content(right)).unwrap());
}

#[test]
fn a_store_that_cannot_be_written_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("file");
    fs::write(&root, b"in the way").unwrap();
    let error = Store::at(&root).insert(|_| Ok::<_, StoreError>(())).unwrap_err().to_string();
    assert!(error.contains(root.to_str().unwrap()) && error.contains("P9IMG_CACHE"), "{error}");
}
