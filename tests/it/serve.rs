//! `p9img serve`: disks over NBD, with other people's clients as judges.

use p9img_test::Lab;
use p9img_test::skip::skipped;
use p9img_test::tools::{have, tool};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// The default lab with small disks.
fn small() -> Lab {
    let lab = Lab::default_lab();
    lab.set("defaults.disk", "300 MiB");
    lab
}

/// A lab whose disks are served until this goes.
struct Serving {
    lab: Lab,
    server: Child,
    /// Open, so that the server can print.
    _stdout: BufReader<std::process::ChildStdout>,
    /// Address of the first node that was named.
    address: String,
}

impl Serving {
    fn start(lab: Lab, nodes: &[&str]) -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_p9img"))
            .args(["-v", "serve"])
            .args(nodes)
            .current_dir(lab.dir())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(lab.path("said")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(server.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.split_whitespace().last().map(str::to_owned);
        let said = fs::read_to_string(lab.path("said")).unwrap();
        Self { address: address.unwrap_or_else(|| panic!("no address: {said}")), lab, server, _stdout: stdout }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.lab.path("said")).unwrap()
    }

    /// Ends it as Ctrl-C does; returns its exit code.
    fn interrupt(&mut self) -> Option<i32> {
        interrupt(self.server.id());
        self.server.wait().unwrap().code()
    }
}

fn interrupt(pid: u32) {
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn the_bytes_are_those_of_the_raw_image() {
    let test = "the_bytes_are_those_of_the_raw_image";
    if !have(test, &["nbdinfo", "nbdcopy", "qemu-img"]) {
        return;
    }
    let lab = small();
    lab.good(&["build", "plan9n1", "--format", "raw"]);
    let mut serving = Serving::start(lab, &["plan9n1", "plan9n2"]);
    let address = serving.address.clone();
    assert!(address.starts_with("nbd+unix:///plan9n1?socket=/"), "{address}");
    let raw = serving.lab.path("output/plan9n1.img");
    let raw = raw.to_str().unwrap();
    let socket = serving.lab.path("p9img.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let said = tool("nbdinfo", &["--json", &address]).unwrap();
    let info: serde_json::Value = serde_json::from_str(&said).unwrap();
    let export = &info["exports"][0];
    let len = fs::metadata(raw).unwrap().len();
    assert_eq!((export["export-size"].as_u64(), export["is_read_only"].as_bool()), (Some(len), Some(true)), "{said}");
    assert_eq!(export["can_multi_conn"], true, "{said}");
    assert_eq!(info["structured"], true, "{said}");
    let all = tool("nbdinfo", &["--list", "--json", &address.replace("/plan9n1", "/")]).unwrap();
    assert!(all.contains("\"plan9n1\"") && all.contains("\"plan9n2\""), "{all}");

    // The map covers the disk, and what it calls a hole is zeros.
    let map: serde_json::Value =
        serde_json::from_str(&tool("nbdinfo", &["--map", "--json", &address]).unwrap()).unwrap();
    let bytes = fs::read(raw).unwrap();
    let (mut end, mut holes) = (0, 0);
    for extent in map.as_array().unwrap() {
        let (offset, length) = (extent["offset"].as_u64().unwrap(), extent["length"].as_u64().unwrap());
        assert_eq!(offset, end);
        end += length;
        if extent["type"] == 3 {
            holes += length;
            assert!(bytes[offset as usize..end as usize].iter().all(|b| *b == 0), "{extent}");
        }
    }
    assert!(end == len && holes > len / 2, "{holes} of {len} bytes are holes");

    let copy = serving.lab.path("copy.img");
    let copy = copy.to_str().unwrap();
    // Over several connections, each with many requests at a time.
    tool("nbdcopy", &["--connections=4", &address, copy]).unwrap();
    assert!(fs::read(copy).unwrap() == bytes);
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", raw, &address]).unwrap();
    let over = serving.lab.path("over.qcow2");
    let over = over.to_str().unwrap();
    tool("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &address, over]).unwrap();
    tool("qemu-img", &["compare", over, raw]).unwrap();
    // Nobody writes to it.
    assert!(!Command::new("nbdcopy").args([raw, &address]).stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(serving.interrupt(), Some(0));
    assert!(!socket.exists(), "the socket goes with it");
}

#[test]
fn another_server_serves_it_on() {
    let test = "another_server_serves_it_on";
    if !have(test, &["qemu-storage-daemon", "nbdcopy"]) {
        return;
    }
    let serving = Serving::start(small(), &["plan9n2"]);
    let (from, to) = (serving.lab.path("p9img.sock"), serving.lab.path("again.sock"));
    let mut daemon = Command::new("qemu-storage-daemon")
        .arg("--blockdev")
        .arg(format!("driver=nbd,node-name=n,read-only=on,server.type=unix,server.path={}", from.display()))
        .arg("--nbd-server")
        .arg(format!("addr.type=unix,addr.path={}", to.display()))
        .args(["--export", "type=nbd,id=e,node-name=n,name=n"])
        .spawn()
        .unwrap();
    for _ in 0..500 {
        if UnixStream::connect(&to).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (one, two) = (serving.lab.path("1.img"), serving.lab.path("2.img"));
    tool("nbdcopy", &[&serving.address, one.to_str().unwrap()]).unwrap();
    tool("nbdcopy", &[&format!("nbd+unix:///n?socket={}", to.display()), two.to_str().unwrap()]).unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(fs::read(one).unwrap() == fs::read(two).unwrap());
}

#[test]
fn clients_that_misbehave_disturb_nobody() {
    let test = "clients_that_misbehave_disturb_nobody";
    let lab = small();
    let mut serving = Serving::start(lab, &["plan9n1"]);
    let connect = || UnixStream::connect(serving.lab.path("p9img.sock")).unwrap();
    // One that says nothing, one that says nonsense, one that leaves in the middle.
    let silent = connect();
    let mut nonsense = connect();
    nonsense.write_all(&[0xff; 4096]).unwrap();
    let mut rest = Vec::new();
    // The server's greeting, and then the end.
    let _ = nonsense.read_to_end(&mut rest);
    assert!(rest.len() <= 18, "{}", rest.len());
    let mut leaves = connect();
    leaves.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x07").unwrap();
    drop(leaves);
    // A second server on the socket is refused, and the first goes on.
    let out = serving.lab.run(&["serve", "plan9n1"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && said.contains("in use by another server"), "{said}");
    let out = serving.lab.run(&["serve", "nobody", "--socket", "other"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && said.contains("no node \"nobody\""), "{said}");
    if have(test, &["nbdinfo"]) {
        tool("nbdinfo", &[&serving.address]).unwrap();
    } else {
        skipped(format_args!("{test}: what nbdinfo says"));
    }
    drop(silent);
    assert_eq!(serving.interrupt(), Some(0));
    let said = serving.said();
    assert!(said.contains("a client was served no further: The client has the flags 0xffffffff"), "{said}");
}
