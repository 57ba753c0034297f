//! Running a lab when something is wrong, and where its secrets go: with a
//! medium of a few files that p9img takes for 9legacy, and with a QEMU that
//! only notes what it is told.

mod edits;
mod prompt;
mod prune;
mod runs;
mod secrets;
mod up;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

/// A lab in a folder of its own, with programs that only this lab sees.
struct Lab(p9img_test::Lab);

impl std::ops::Deref for Lab {
    type Target = p9img_test::Lab;

    fn deref(&self) -> &p9img_test::Lab {
        &self.0
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that fails leaves nothing running.
        if self.path("output/run").exists() {
            self.run(&["down", "--force"]);
        }
    }
}

impl Lab {
    /// The default lab.
    fn new() -> Self {
        let lab = Self(p9img_test::Lab::at(tempfile::Builder::new().prefix("p9").tempdir().unwrap()));
        p9img_test::folder::copy_tree(&p9img_test::repository("media/sample"), &lab.path("medium"));
        // The rest is a 9legacy without its sources.
        fs::remove_file(lab.path("medium/sys/README.sample")).unwrap();
        fs::write(lab.path("medium/rc/bin/cpurc"), "#!/bin/rc\n").unwrap();
        fs::copy(p9img_test::repository("lab.toml"), lab.path("lab.toml")).unwrap();
        fs::create_dir(lab.path("bin")).unwrap();
        lab
    }

    /// Makes a program that p9img finds before all others.
    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A QEMU of that version, which does what it is told only as far as to note it
    /// in `told`. There is no qemu-img: nothing here needs it.
    fn qemu(&self, version: &str) {
        let told = self.path("told");
        let note = format!(
            "[ \"$1\" = --version ] && {{ echo \"QEMU emulator version {version}\"; exit; }}\n\
             {{ echo \"$0 $*\"; export -p; }} >>'{}'\n",
            told.display()
        );
        self.program("qemu-system-x86_64", &format!("{note}echo 'this QEMU starts nothing' >&2; exit 1"));
    }

    /// Arguments and environment of the programs that were run.
    fn told(&self) -> String {
        fs::read_to_string(self.path("told")).unwrap_or_default()
    }

    /// Runs p9img in the lab's folder. It finds the lab's programs and no others.
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(args);
        command.env("PATH", self.path("bin")).stdin(Stdio::null());
        if self.path("tmp").exists() {
            command.env("TMPDIR", self.path("tmp"));
        }
        command
    }

    /// Runs p9img, which must succeed; returns all that it said.
    fn must(&self, args: &[&str]) -> String {
        let out = self.run(args);
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "p9img {}: {}\n{said}", args.join(" "), out.status);
        said
    }

    fn build(&self) -> String {
        self.must(&["build", "--all", "-v", "--media", "medium", "--format", "qcow2,raw"])
    }

    /// Runs p9img, which must refuse with exit code 1 and say each of `words`,
    /// and leave nothing running.
    fn refuses(&self, args: &[&str], words: &[&str]) {
        let out = self.run(args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?} should say {word:?}:\n{said}");
        }
        assert_eq!(said.matches("error:").count(), 1, "{args:?} should say one thing:\n{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(self.processes(), Vec::<String>::new(), "{args:?} left something running");
    }

    /// Processes that work in the lab's folder.
    fn processes(&self) -> Vec<String> {
        let here = self.dir().canonicalize().unwrap();
        let all = fs::read_dir("/proc").unwrap().map(|e| e.unwrap().path());
        all.filter(|p| fs::read_link(p.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&here)))
            .map(|p| fs::read_to_string(p.join("cmdline")).unwrap_or_default().replace('\0', " "))
            .collect()
    }
}
