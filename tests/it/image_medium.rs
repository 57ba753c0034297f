//! Yesterday's node as a medium: a lab built from an image of a lab, in every
//! container; and that nothing of the old lab's own gets into the new one.

use std::fs;
use std::path::Path;

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new(name: &str) -> Self {
        let toml =
            fs::read_to_string(p9img_test::repository("lab.toml")).unwrap().replacen("\"2 GiB\"", "\"64 MiB\"", 1);
        let toml = toml.replace("plan9grid", name).replace("plan9lab", name);
        Self(p9img_test::Lab::of(&toml))
    }
    /// Runs p9img, which must succeed; returns what it printed, and what it said.
    fn says(&self, args: &[&str]) -> (String, String) {
        let out = self.run(args);
        let error = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.success(), "{args:?}: {error}");
        (String::from_utf8(out.stdout).unwrap(), error)
    }
    fn password(&self) -> String {
        self.good(&["secrets", "show", "bootes"]).trim().to_owned()
    }
}

fn holds(file: &Path, needle: &str) -> bool {
    let bytes = fs::read(file).unwrap();
    bytes.windows(needle.len()).any(|w| w == needle.as_bytes())
}

#[test]
fn a_lab_comes_of_an_image_in_any_container() {
    let old = Lab::new("oldlab");
    old.good(&["build", "plan9n1", "--format", "raw,qcow2,qcow2-zlib,ova"]);
    let sums = |container: &str| {
        let new = Lab::new("newlab");
        fs::copy(old.path("secrets.toml"), new.path("secrets.toml")).unwrap();
        let medium = old.path("output").join(container);
        let (out, err) = new.says(&["build", "plan9n2", "--format", "raw", "--media", medium.to_str().unwrap()]);
        assert!(err.contains("left out ") && err.contains("of the old node alone"), "{err}");
        let manifest = fs::read_to_string(new.path("output/manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let medium = &manifest["inputs"]["medium"];
        assert_eq!(medium["metadata"], "the disk image itself");
        let left: Vec<_> = medium["left_out"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        assert!(left.contains(&"lib/ndb/local") && left.contains(&"cfg/plan9n1"), "{left:?}");
        out.split(' ').next().unwrap().to_owned()
    };
    let raw = sums("plan9n1.img");
    for container in ["plan9n1.qcow2", "plan9n1.zlib.qcow2", "plan9n1.ova"] {
        assert_eq!(sums(container), raw, "{container}");
    }
}

#[test]
fn the_old_labs_own_stays_there() {
    let (old, new) = (Lab::new("oldlab"), Lab::new("newlab"));
    old.good(&["build", "plan9n1", "--format", "raw"]);
    let image = old.path("output/plan9n1.img");
    assert!(holds(&image, "oldlab"), "the old name is there to be looked for");
    new.good(&["build", "plan9n1", "--format", "raw", "--media", image.to_str().unwrap()]);
    let built = new.path("output/plan9n1.img");
    assert!(!holds(&built, "oldlab"), "the old lab's name is nowhere in the new image");
    assert_ne!(old.password(), new.password());
    let cat = |image: &Path, place: &str| {
        let out = new.run(&["cat", &format!("{}:{place}", image.display())]);
        assert!(out.status.success(), "{place}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    assert!(cat(&image, "nvram") != cat(&built, "nvram"));
    assert!(cat(&image, "fossil:/adm/keys") != cat(&built, "fossil:/adm/keys"));
    // Files of the release have come through with all of their metadata.
    for place in ["fossil:/386", "fossil:/rc/bin/hello", "fossil:/sys/doc"] {
        let (a, b) = (format!("{}:{place}", image.display()), format!("{}:{place}", built.display()));
        let out = new.run(&["diff", &a, &b]);
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.lines().all(|l| l.ends_with("[qid]")), "{place}: {text}");
    }
}

#[test]
fn what_holds_no_system_is_refused_in_words() {
    let lab = Lab::new("lab");
    fs::write(lab.path("zeros.img"), vec![0; 4 << 20]).unwrap();
    let out = lab.run(&["build", "plan9n1", "--media", "zeros.img"]);
    let err = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{err}");
    assert!(err.contains("zeros.img is not a Plan 9 medium") && err.contains("a disk image with fossil, "), "{err}");
    assert!(p9img::root::ROOTS.iter().all(|root| err.contains(root.word)), "{err}");
    assert!(!lab.path("secrets.toml").exists(), "nothing is drawn for a build that cannot be");
}
