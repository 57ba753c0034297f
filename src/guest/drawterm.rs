//! drawterm, the terminal of Plan 9 on other systems: which one is installed,
//! and how it logs in to a node.
//!
//! There are two. The first logs in by p9sk1 to cpu(1), names that machine
//! with `-c`, and nothing of 9front lets it in. 9front's own (Debian:
//! drawterm-9front) speaks dp9ik, names the machine with `-h`, logs in to
//! rcpu(1), and with `-O` to cpu(1).

use std::path::{Path, PathBuf};

/// Names of the program, the more precise first.
const NAMES: [&str; 2] = ["drawterm-9front", "drawterm"];
/// Stands in the program of the one that speaks it.
const DP9IK: &[u8] = b"dp9ik";
/// Bytes of a program that is looked into; it has less than one million.
const MOST: u64 = 64 << 20;

/// The drawterms of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    first: Option<&'static str>,
    front: Option<&'static str>,
}

/// Login protocol of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// cpu(1), 9legacy's.
    Cpu(u16),
    /// rcpu(1), 9front's.
    Rcpu(u16),
}

/// Ports of this machine that lead to the server that knows the accounts.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub auth: u16,
    pub secstore: Option<u16>,
}

impl Installed {
    /// Looks where the shell looks for programs.
    #[expect(clippy::disallowed_methods, reason = "where programs are; no artifact sees it")]
    pub fn find() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::find_in(&std::env::split_paths(&path).collect::<Vec<_>>())
    }

    fn find_in(folders: &[PathBuf]) -> Self {
        let mut out = Self::default();
        for name in NAMES {
            // The shell takes the first of a name and no other.
            let Some(program) = folders.iter().map(|f| f.join(name)).find(|p| p.is_file()) else { continue };
            let place = if speaks_dp9ik(&program) { &mut out.front } else { &mut out.first };
            place.get_or_insert(name);
        }
        out
    }

    /// The command that logs `user` in, for a shell. Where the right program
    /// is not installed, it is the one that would do.
    pub fn command(&self, login: Login, server: Server, user: &str) -> String {
        let address = |port: u16| format!("'tcp!127.0.0.1!{port}'");
        // Without -s it takes the authentication server for the secstore, and waits for ever.
        let secstore = server.secstore.map(|port| format!(" -s {}", address(port))).unwrap_or_default();
        let (program, flag, port) = match (login, self.first, self.front) {
            (Login::Rcpu(port), _, front) => (front.unwrap_or(NAMES[1]), "-h", port),
            (Login::Cpu(port), None, Some(front)) => (front, "-O -h", port),
            (Login::Cpu(port), first, _) => (first.unwrap_or(NAMES[1]), "-c", port),
        };
        format!("{program} -a {}{secstore} {flag} {} -u {user}", address(server.auth), address(port))
    }

    /// Note on what to install for such commands; none when nothing is missing.
    pub fn lacks(&self, logins: &[Login]) -> Option<String> {
        let rcpu = logins.iter().any(|l| matches!(l, Login::Rcpu(_)));
        let cpu = logins.iter().any(|l| matches!(l, Login::Cpu(_)));
        if rcpu && self.front.is_none() {
            let which = match self.first {
                Some(first) => format!("; {first}, which is installed, does not"),
                None => String::new(),
            };
            let both = if cpu { ", and also logs in to the others with -O -h instead of -c" } else { "" };
            return Some(format!(
                "to log in to nodes of 9front, drawterm must speak dp9ik{which}: install 9front's (Debian: \
                 drawterm-9front, which replaces drawterm{both})"
            ));
        }
        (cpu && *self == Self::default())
            .then(|| "drawterm, which logs in from this machine, is not installed (Debian: drawterm)".to_owned())
    }
}

fn speaks_dp9ik(program: &Path) -> bool {
    let small = program.metadata().is_ok_and(|m| m.len() <= MOST);
    small && std::fs::read(program).is_ok_and(|bytes| super::console::find(&bytes, DP9IK).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Server = Server { auth: 27012, secstore: Some(27013) };

    fn installed(programs: &[(&str, &str)]) -> Installed {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for (name, text) in programs {
            // The second of a name is in the second folder.
            let dir = dirs.iter().find(|d| !d.path().join(name).exists()).unwrap();
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Installed::find_in(&dirs.each_ref().map(|d| d.path().to_owned()))
    }

    #[test]
    fn the_right_program_is_found_by_what_it_speaks() {
        let (old, new) = ("\x7fELF p9sk1 \0", "\x7fELF p9sk1\0dp9ik\0");
        let line = |programs: &[(&str, &str)], login| installed(programs).command(login, SERVER, "glenda");
        let end = "-u glenda";
        let head = "-a 'tcp!127.0.0.1!27012' -s 'tcp!127.0.0.1!27013'";
        let (cpu, rcpu) = (Login::Cpu(27010), Login::Rcpu(27020));
        assert_eq!(line(&[("drawterm", old)], cpu), format!("drawterm {head} -c 'tcp!127.0.0.1!27010' {end}"));
        assert_eq!(line(&[("drawterm", new)], cpu), format!("drawterm {head} -O -h 'tcp!127.0.0.1!27010' {end}"));
        assert_eq!(line(&[("drawterm", new)], rcpu), format!("drawterm {head} -h 'tcp!127.0.0.1!27020' {end}"));
        let both = [("drawterm", old), ("drawterm-9front", new)];
        assert_eq!(line(&both, cpu), format!("drawterm {head} -c 'tcp!127.0.0.1!27010' {end}"));
        assert_eq!(line(&both, rcpu), format!("drawterm-9front {head} -h 'tcp!127.0.0.1!27020' {end}"));
        // The shell would take the first.
        assert_eq!(line(&[("drawterm", old), ("drawterm", new)], rcpu), line(&[], rcpu));
        let bare = Server { secstore: None, ..SERVER };
        assert_eq!(
            installed(&[]).command(rcpu, bare, "bob"),
            "drawterm -a 'tcp!127.0.0.1!27012' -h 'tcp!127.0.0.1!27020' -u bob"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let (old, new) = (("drawterm", "p9sk1"), ("drawterm", "dp9ik"));
        let (cpu, rcpu) = (Login::Cpu(1), Login::Rcpu(2));
        assert_eq!(installed(&[old]).lacks(&[cpu]), None);
        assert_eq!(installed(&[new]).lacks(&[cpu, rcpu]), None);
        assert_eq!(installed(&[]).lacks(&[]), None);
        let said = installed(&[old]).lacks(&[rcpu]).unwrap();
        assert!(
            said.contains("dp9ik; drawterm, which is installed, does not") && said.contains("drawterm-9front"),
            "{said}"
        );
        assert!(!said.contains("-O"), "{said}");
        assert!(installed(&[old]).lacks(&[rcpu, cpu]).unwrap().contains("-O -h"));
        assert!(installed(&[]).lacks(&[cpu]).unwrap().contains("Debian: drawterm)"));
    }
}
