//! A lab whose nodes run in real QEMU and come to a prompt at once: each disk
//! begins with a program of 65 bytes that says the same after every line.

use super::Lab;
use p9img::guest::computed::ComputedBase;
use p9img::guest::node_disk;
use p9img::ops::{self, LabRequest};
use p9img_test::skip::skipped;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const NODES: [&str; 4] = ["plan9n1", "plan9n2", "plan9n3", "plan9n4"];

/// A boot sector. It prints the text after it on the first serial port, then
/// waits for a line, which it echoes, and begins again:
///
/// ```text
///         cli; xor ax, ax; mov ds, ax; mov ss, ax; mov sp, 0x7c00; cld; sti
/// prompt: mov si, text
/// again:  lodsb; test al, al; jz wait; mov ah, al; mov dx, 0x3fd
/// full:   in al, dx; test al, 0x20; jz full; mov al, ah; mov dx, 0x3f8; out dx, al; jmp again
/// wait:   mov cx, 0x4000
/// poll:   mov dx, 0x3fd; in al, dx; test al, 1; jnz got; loop poll; hlt; jmp wait
/// got:    mov dx, 0x3f8; in al, dx; out dx, al; cmp al, '\n'; je prompt; jmp wait
/// text:
/// ```
const PROGRAM: [u8; 65] = [
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfc, 0xfb, 0xbe, 0x41, 0x7c, 0xac, 0x84, 0xc0, 0x74,
    0x12, 0x88, 0xc4, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0x88, 0xe0, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xe9,
    0xb9, 0x00, 0x40, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x75, 0x05, 0xe2, 0xf6, 0xf4, 0xeb, 0xf0, 0xba, 0xf8, 0x03,
    0xec, 0xee, 0x3c, 0x0a, 0x74, 0xcd, 0xeb, 0xe5,
];

/// The sector for a node: what a shell of Plan 9 would say to p9img's questions.
fn sector(node: &str) -> [u8; 512] {
    let text = format!("\r\np9img-is-here\r\ndone halting\r\n{node}# \0");
    let mut out = [0; 512];
    out[..65].copy_from_slice(&PROGRAM);
    out[65..65 + text.len()].copy_from_slice(text.as_bytes());
    out[510..].copy_from_slice(&[0x55, 0xaa]);
    out
}

/// The program of that name on this machine.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.exists())
}

/// Computes a disk under what a node wrote; for p9img itself, this is another program.
pub fn compute(base: &ComputedBase) -> io::Result<Arc<dyn p9img::ReadAt>> {
    let request = LabRequest { medium: base.medium.clone(), ..LabRequest::new(&base.lab) };
    let disks = ops::disks(&request, std::slice::from_ref(&base.node), &ops::Silent).map_err(io::Error::other)?;
    disks.into_iter().next().map(|made| made.disk).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Lab {
    /// The default lab with small nodes, built and with disks that come to a
    /// prompt; nothing runs yet.
    pub fn prompting(test: &str) -> Option<Self> {
        let lab = Self::new();
        lab.real_qemu(test)?;
        lab.set("defaults.memory", "64 MiB");
        fs::create_dir(lab.path("tmp")).unwrap();
        lab.must(&["build", "--all", "--media", "medium", "--format", "qcow2"]);
        lab.make_disks();
        Some(lab)
    }

    /// Lets p9img find this machine's QEMU.
    pub fn real_qemu(&self, test: &str) -> Option<()> {
        let name = "qemu-system-x86_64";
        let Some(path) = program(name) else {
            assert!(!p9img_test::tools::required(), "{test}: no {name}");
            skipped(format_args!("{test}: no {name}"));
            return None;
        };
        self.program(name, &format!("exec '{}' \"$@\"", path.display()));
        Some(())
    }

    /// Makes the nodes' disks, and puts the program at their beginning.
    pub fn make_disks(&self) {
        self.up(&["--no-wait", "--fresh"]);
        self.must(&["down", "--force"]);
        self.write_programs();
    }

    /// Puts the program at the beginning of the nodes' disks.
    pub fn write_programs(&self) {
        for name in NODES {
            let folder = self.path(format!("output/run/{name}"));
            if node_disk::exists(&folder) {
                node_disk::open_for_writing(&folder, compute).unwrap().0.write_at(0, &sector(name)).unwrap();
            }
        }
    }

    /// Whether every node's disk is as [`Lab::make_disks`] left it.
    pub fn has_disks(&self) -> bool {
        NODES.iter().all(|name| {
            let disk = node_disk::open(&self.path(format!("output/run/{name}")), compute);
            let mut found = [0; 512];
            disk.is_ok_and(|disk| disk.read_at(0, &mut found).is_ok() && found == sector(name))
                && fs::read_to_string(self.path(format!("output/run/{name}/node.json")))
                    .is_ok_and(|record| record.contains("\"image\""))
        })
    }

    /// Starts nodes; emulated, as KVM would be tried first. They have no network,
    /// so that `up` would wait for their services in vain: their prompts will do.
    pub fn up(&self, args: &[&str]) -> String {
        let no_wait = if args.contains(&"--no-wait") { &[][..] } else { &["--no-wait"] };
        let said = self.must(&[&["up", "--accel", "tcg"], no_wait, args].concat());
        let begin = Instant::now();
        while no_wait.len() == 1 && self.status(&[]).to_string().contains("\"starting\"") {
            assert!(begin.elapsed() < Duration::from_secs(300), "no prompt: {}", self.status(&[]));
            std::thread::sleep(Duration::from_millis(200));
        }
        said
    }

    /// Output of `status --json`, which must succeed.
    pub fn status(&self, args: &[&str]) -> serde_json::Value {
        let out = self.run(&[&["status", "--json"], args].concat());
        assert!(out.status.success(), "{}", text(&out));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Machines of this lab that run, as the system itself has them: by the names
    /// of their folders.
    pub fn machines(&self) -> BTreeMap<String, i32> {
        let mut out = BTreeMap::new();
        for (pid, args) in self.run_processes() {
            let flag = args.iter().position(|a| a == "-pidfile");
            if let Some(file) = flag.and_then(|i| args.get(i + 1)) {
                let name = Path::new(file).parent().unwrap().file_name().unwrap();
                out.insert(name.to_str().unwrap().to_owned(), pid);
            }
        }
        out
    }

    /// As [`Lab::machines`], without the gateway.
    pub fn running(&self) -> Vec<String> {
        self.machines().into_keys().filter(|name| name != ".gateway").collect()
    }

    /// Process and arguments of every machine and switch of this lab.
    pub fn run_processes(&self) -> Vec<(i32, Vec<String>)> {
        let here = self.dir().canonicalize().unwrap().display().to_string();
        let mut out = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let entry = entry.unwrap();
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let args: Vec<String> = line.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
            let ours = |flag: &str| args.iter().any(|a| a == flag) && args.iter().any(|a| a.starts_with(&here));
            if ours("-pidfile") || ours("switch") {
                out.push((pid, args));
            }
        }
        out
    }

    /// Neither a process nor a socket nor a lock is left of a run.
    pub fn nothing_is_left(&self, after: &str) {
        let begin = Instant::now();
        while !self.run_processes().is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(10), "{after}: {:?}", self.run_processes());
            std::thread::sleep(Duration::from_millis(100));
        }
        for entry in walkdir::WalkDir::new(self.dir()).into_iter().filter_map(Result::ok) {
            let name = entry.file_name().to_str().unwrap();
            let of_run = entry.path().components().any(|c| c.as_os_str() == "run");
            assert!(
                !(of_run && (name.ends_with(".sock") || name.ends_with("lock") || name == "pid")),
                "{after}: {name}"
            );
        }
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0, "{after}: something is left in TMPDIR");
    }
}

/// All that a command said.
pub fn text(out: &Output) -> String {
    format!("{}\n{}{}", out.status, String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
