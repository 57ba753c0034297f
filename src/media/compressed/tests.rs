use super::super::Source;
use super::*;
use std::fs;
use std::path::PathBuf;

const ALL: [Compression; 4] = [Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

fn packed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match compression {
        Compression::Gzip => {
            flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast()).write_all(bytes).unwrap();
        }
        Compression::Bzip2 => {
            bzip2::write::BzEncoder::new(&mut out, bzip2::Compression::fast()).write_all(bytes).unwrap();
        }
        Compression::Xz => liblzma::write::XzEncoder::new(&mut out, 0).write_all(bytes).unwrap(),
        Compression::Zstd => {
            // With a checksum, as the command makes it.
            let mut encoder = zstd::stream::write::Encoder::new(&mut out, 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap();
        }
    }
    out
}

/// Bytes that do not compress to nothing.
fn sample(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

struct Scratch {
    dir: tempfile::TempDir,
    store: Store,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("store"));
        Self { dir, store }
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("medium");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn open(&self, bytes: &[u8]) -> Result<Vec<u8>, MediumError> {
        let Source::Other(found) = Source::open(&self.file(bytes), Some(&self.store))? else {
            panic!("not a container")
        };
        let mut all = vec![0; found.len() as usize];
        found.read_at(0, &mut all).unwrap();
        Ok(all)
    }

    fn entries(&self) -> usize {
        let whole = self.store.entries().unwrap().len();
        let derived = self.store.root().join("derived");
        // Nothing half made lies about.
        let files = fs::read_dir(derived).map_or(0, |d| d.filter(|e| !e.as_ref().unwrap().path().is_dir()).count());
        assert_eq!(files, 2 * whole);
        whole
    }
}

#[test]
fn every_compression_alone_doubled_and_of_several_streams() {
    let bytes = sample(300_000);
    for one in ALL {
        let scratch = Scratch::new();
        assert_eq!(scratch.open(&packed(one, &bytes)).unwrap(), bytes, "{one:?}");
        assert_eq!(scratch.open(&packed(one, &bytes)).unwrap(), bytes, "{one:?} again");
        assert_eq!(scratch.entries(), 1, "{one:?}");
        let twice = [packed(one, &bytes[..1000]), packed(one, b""), packed(one, &bytes[1000..])].concat();
        assert_eq!(scratch.open(&twice).unwrap(), bytes, "{one:?}: three streams");
        for other in ALL {
            assert_eq!(scratch.open(&packed(other, &packed(one, &bytes))).unwrap(), bytes, "{other:?} {one:?}");
        }
        assert_eq!(scratch.open(&packed(one, b"")).unwrap(), b"", "{one:?}: nothing");
    }
}

#[test]
fn damage_gives_one_error_and_leaves_nothing() {
    let bytes = sample(100_000);
    for one in ALL {
        let scratch = Scratch::new();
        let good = packed(one, &bytes);
        let refused = |bad: &[u8], what: &str| {
            let e = scratch.open(bad).unwrap_err();
            assert!(matches!(&e, MediumError::Compressed { .. }), "{one:?} {what}: {e}");
            assert!(e.to_string().contains(one.name()), "{e}");
            assert_eq!(scratch.entries(), 0, "{one:?} {what}");
        };
        for cut in [START, 20, good.len() / 2, good.len() - 9, good.len() - 1] {
            refused(&good[..cut], &format!("cut at {cut}"));
        }
        for at in [good.len() / 3, good.len() / 2, good.len() - 3] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            refused(&bad, &format!("changed at {at}"));
        }
        let e = scratch.open(&[&good[..], &[0; 8192], b"something else behind it"].concat()).unwrap_err();
        let said = format!("{} bytes follow the end of the {} data", 8192 + 24, one.name());
        assert!(e.to_string().starts_with(&said) && matches!(e, MediumError::Trailing { .. }), "{e}");
        assert_eq!(scratch.entries(), 0, "{one:?} rubbish at the end");
        assert_eq!(scratch.open(&[&good[..], &[0; 8192]].concat()).unwrap(), bytes, "{one:?}: padding");
    }
}

#[test]
fn what_grows_without_bound_is_refused() {
    // Gzip inside gzip, one more than anybody needs.
    let scratch = Scratch::new();
    let nested = (0..=MAX_LAYERS).fold(sample(100), |bytes, _| packed(Compression::Gzip, &bytes));
    assert!(matches!(scratch.open(&nested).unwrap_err(), MediumError::Layers { .. }));

    // Streams one after another that become a byte too many.
    let scratch = Scratch::new();
    for one in ALL {
        let bomb = packed(one, &vec![0; 1 << 20]).repeat(3);
        let unpacked = |most| {
            scratch.store.derived("bomb", |out| unpack(one, &bomb, out, Path::new("bomb"), &scratch.store, most))
        };
        assert!(matches!(unpacked((3 << 20) - 1), Err(MediumError::Bomb { .. })), "{one:?}");
        assert_eq!(scratch.entries(), 0);
        assert_eq!(unpacked(3 << 20).unwrap().len(), 3 << 20);
        scratch.store.remove(&super::super::store::Name::derived("bomb")).unwrap();
    }
    assert_eq!((most(1), most(10 << 20), most(u64::MAX)), (SMALL, 10_000 << 20, MAX_LEN));
}

#[test]
fn a_store_is_needed_and_damage_to_it_healed() {
    let scratch = Scratch::new();
    let bytes = sample(3 << 20);
    let path = scratch.file(&packed(Compression::Xz, &bytes));
    assert!(matches!(Source::open(&path, None), Err(MediumError::NoCache { .. })));
    assert_eq!(scratch.open(&packed(Compression::Xz, &bytes)).unwrap(), bytes);
    let entry = scratch.store.entries().unwrap()[0].path.clone();
    fs::File::options().write(true).open(&entry).unwrap().set_len(1000).unwrap();
    assert_eq!(scratch.open(&packed(Compression::Xz, &bytes)).unwrap(), bytes);
}
