//! A node's disk as `p9img up` has it: an overlay, served by a process of p9img's own.

use crate::built::{Artifact, Lab};
use p9img::guest::node_disk::{self, SOCKET};
use p9img::guest::{Disk, DiskFormat};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Served {
    folder: PathBuf,
    server: Option<Child>,
}

impl Served {
    /// A new disk over the image of a node.
    pub fn new(lab: &Lab, node: &str) -> Self {
        let folder = lab.path(&format!("{node}-disk"));
        std::fs::create_dir(&folder).unwrap();
        let Disk { path, format, .. } = lab.disk(node, Artifact::Qcow2);
        let len = node_disk::image(&path, format).unwrap().len();
        node_disk::make(&folder, &path, format, len).unwrap();
        Self { folder, server: None }
    }

    /// File with what the node has written.
    pub fn file(&self) -> PathBuf {
        node_disk::file(&self.folder)
    }

    /// Serves the disk to the next machine.
    pub fn start(&mut self) -> Disk {
        self.kill();
        let socket = self.folder.join(SOCKET);
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_p9img"));
        command.arg("disk").arg(&self.folder).stdin(OwnedFd::from(listener)).stdout(Stdio::null());
        self.server = Some(command.spawn().unwrap());
        Disk { keep_writes: true, ..Disk::new(socket, DiskFormat::Nbd) }
    }

    /// Ends the server at once, if it has not ended, as the kernel does for want of memory.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            server.wait().unwrap();
        }
    }

    /// Another program's judgement of the file: clusters that nothing uses are what a cut leaves.
    pub fn is_sound(&self) {
        let output = Command::new("qemu-img").arg("check").arg(self.file()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}
