//! Every root of the table, with the configuration that a distribution gives it.

use p9img::media::Medium;
use p9img::render::{Catalog, render};
use p9img::root::{Bases, LaidOut, ROOTS, RootError, RootJob, RootKind};
use p9img::tree::{Addition, Content, Meta, Mode, Tree, What};
use p9img_test::default_lab::{lab, node, secrets};
use std::sync::Arc;

/// Distributions with rules of their own.
const DISTRIBUTIONS: [&str; 2] = ["9legacy", "9front"];

/// Configuration of the root on a node, and the node's distribution: the first
/// that starts from the root.
fn configured(catalog: &Catalog, kind: &RootKind) -> Option<(&'static str, String)> {
    let node = p9img::lab::Node { fs: Some(kind.fs), ..node(2, &["cpu"]) };
    DISTRIBUTIONS.into_iter().find_map(|distribution| {
        catalog.fs(distribution, &node).ok()?;
        let rendered = render(&lab(), &node, catalog, &distribution.into(), &secrets());
        let rendered = rendered.unwrap_or_else(|e| panic!("{}: {e}", kind.word));
        assert_eq!(rendered.fs, kind.fs);
        Some((distribution, rendered.root_config))
    })
}

/// The sample medium's tree, laid out in `mib` MiB.
fn lay_out(kind: &RootKind, config: &str, mib: u64) -> Result<LaidOut, RootError> {
    let medium = Medium::sample().tree;
    let users = b"-1:adm:adm:sys\n0:none::\n1:glenda:glenda:\n2:bootes:bootes:\n10000:sys::\n10002:upas:upas:\n";
    let meta = Meta::new(Mode(0o664), "adm", "adm", 0);
    let file = Addition { path: b"adm/users".to_vec(), what: What::File(meta, Content::bytes(users.as_slice())) };
    let tree = Arc::new(Tree::overlay(&medium, &[file], &Meta::new(Mode::dir(0o775), "adm", "adm", 0)));
    let len = |_: &str| mib << 20;
    let job = RootJob { medium: &medium, tree: &tree, len: &len, config, epoch: 0 };
    (kind.lay_out)(&job, &Bases::default())
}

#[test]
fn each_lays_out_a_tree_or_says_what_is_too_small() {
    let catalog = Catalog::embedded().unwrap();
    for kind in ROOTS {
        let (distribution, config) =
            configured(&catalog, kind).unwrap_or_else(|| panic!("nothing starts from {}", kind.word));
        assert_eq!(config.is_empty(), kind.config.is_none(), "{} of {distribution}", kind.word);
        let made = lay_out(kind, &config, 512).unwrap_or_else(|e| panic!("{}: {e:?}", kind.word));
        let mut named: Vec<_> = made.volumes.iter().map(|(name, _)| *name).collect();
        let mut wanted: Vec<_> = kind.partitions.names().collect();
        named.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(named, wanted, "{}", kind.word);
        assert!(made.used > 0 && made.used < made.capacity && made.capacity <= 512 << 20, "{}", kind.word);
        let small = lay_out(kind, &config, 0).map(|_| ()).unwrap_err();
        assert!(matches!(small, RootError::TooSmall { needed: 1.., available: 0 }), "{}: {small:?}", kind.word);
        // What starts from it has the partitions that a lab may size.
        let parts = p9img::lab::Board::default().partitions();
        assert!(wanted.iter().all(|name| parts.contains(name)), "{}: {parts:?}", kind.word);
    }
}
