//! A lab that runs: four nodes of 9legacy under `p9img up`.

use crate::built::Lab;
use crate::legacy::{LONG, SHORT, ready};
use crate::plan9::good;
use p9img::guest::grid::session::Session;
use p9img::guest::grid::{Grid, State};
use p9img::lab::Secrets;
use p9img_test::skip::skipped;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};

pub const NODES: [&str; 4] = ["plan9n1", "plan9n2", "plan9n3", "plan9n4"];
/// Base of the local ports of the running lab: away from those of a lab that a
/// user runs, and from those of another run of these tests.
fn ports() -> String {
    (28_100 + std::process::id() % 40 * 100).to_string()
}

/// Whether everything is tried at full length, as `just thorough` does: also the
/// tests that begin with [`only_thorough`]. Hours; else some minutes.
pub fn thorough() -> bool {
    std::env::var_os("P9IMG_THOROUGH").is_some()
}

/// Says that a test is left out, unless everything is tried.
pub fn only_thorough(test: &str) -> bool {
    if !thorough() {
        skipped(format_args!("{test}: runs with P9IMG_THOROUGH=1 only"));
    }
    !thorough()
}

/// The default lab from 9legacy, running; turned off when it goes out of
/// scope. One at a time: four machines are enough for any host.
pub struct Running {
    pub lab: Lab,
    _one: MutexGuard<'static, ()>,
}

impl Running {
    /// Builds the lab; nothing runs yet.
    pub fn build(test: &str) -> Option<Self> {
        Self::build_with(test, &[])
    }

    /// Builds it with `edits` of its description, as [`Lab::build`] takes them.
    pub fn build_with(test: &str, edits: &[(&str, &str)]) -> Option<Self> {
        let media = ready(test)?;
        Some(Self::of(|| Lab::build(Some(&media), edits, "qcow2")))
    }

    /// Builds another lab, when no other runs; nothing runs yet.
    pub fn of(build: impl FnOnce() -> Lab) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(|e| e.into_inner());
        Self { lab: build(), _one: one }
    }

    pub fn p9img(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p9img"));
        command.args(args).current_dir(self.lab.path("")).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs p9img, which must succeed; returns what it printed.
    pub fn must(&self, args: &[&str]) -> String {
        let output = self.p9img(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "p9img {}: {}\n{out}\n{err}", args.join(" "), output.status);
        out.into_owned()
    }

    /// Starts nodes, all without names, and waits for them.
    pub fn up(&self, nodes: &[&str]) {
        let output = self.p9img(&[&["up", "--accel", "tcg", "--ports", &ports()], nodes].concat());
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let tails = NODES.map(|node| format!("{node}:\n{}", self.grid().node(node).tail()));
            let status = String::from_utf8_lossy(&self.p9img(&["status"]).stdout).into_owned();
            panic!("p9img up: {}\n{said}\n{status}\n{}", output.status, tails.concat());
        }
    }

    /// All checks pass.
    pub fn test(&self) {
        let report: serde_json::Value = serde_json::from_str(&self.must(&["test", "--json"])).unwrap();
        let checks = report["checks"].as_array().unwrap();
        assert!(checks.len() > 60, "{report:#}");
        for check in checks {
            assert_eq!(check["outcome"], "passed", "{check:#}");
        }
    }

    pub fn grid(&self) -> Grid {
        Grid::new(&self.lab.path("output"))
    }

    pub fn state(&self) -> State {
        self.grid().state().unwrap().unwrap()
    }

    /// The socket of the lab's network.
    pub fn network(&self) -> PathBuf {
        self.grid().dir().join("network.sock")
    }

    /// The console of a node.
    pub fn console(&self, node: &str) -> Session {
        Session::open(&self.grid().node(node), true, SHORT).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Neither the consoles nor the transcripts of the checks, in which
    /// passwords were typed, show one.
    pub fn no_password_is_told(&self) {
        let mut searched = 0;
        for file in walkdir::WalkDir::new(self.lab.path("output/run")) {
            let file = file.unwrap();
            if file.file_type().is_file() && !["disk.qcow2", "base.qcow2"].iter().any(|disk| file.file_name() == *disk)
            {
                let bytes = std::fs::read(file.path()).unwrap();
                for user in ["bootes", "glenda"] {
                    let found = memchr::memmem::find(&bytes, self.password(user).as_bytes());
                    assert_eq!(found, None, "the password of {user} is in {}", file.path().display());
                }
                searched += 1;
            }
        }
        assert!(searched > 8, "logs and transcripts of four nodes: {searched} files");
    }

    pub fn port(&self, node: &str, service: &str) -> String {
        format!("tcp!127.0.0.1!{}", self.state().ports[node][service])
    }

    pub fn password(&self, user: &str) -> String {
        let secrets = Secrets::load(&self.lab.path(""), "bootes").unwrap().unwrap();
        secrets.password(user).unwrap().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let output = self.p9img(&["down", "--force"]);
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A command that must succeed; returns what it printed.
pub fn run(session: &mut Session, command: &str) -> String {
    good(session.run(command, &[], LONG))
}
