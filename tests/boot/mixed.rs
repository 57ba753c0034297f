//! Nodes of 9legacy and 9front in one authentication domain, with either as the
//! authentication server: `p9img test` passes or says why not, and people go
//! from each system to the other's files, by p9sk1 and as nobody else.
//!
//! The media are the folders `9legacy` and `9front`.

use crate::built::Lab;
use crate::running::{Running, only_thorough, run};
use crate::{front, legacy};
use p9img::guest::grid::session::Session;
use std::path::Path;
use std::time::Duration;

/// Some logins and mounts on machines that are busy.
const LIMIT: Duration = Duration::from_secs(600);
/// Checks that need two nodes of one distribution.
const ALIKE: [&str; 3] = [
    "cpu logs in as the host owner and sees the caller's files",
    "cpu logs in as a user of the lab",
    "A user cannot read another's private file",
];

/// The default lab with some nodes from another medium.
struct Mixed {
    lab: Running,
    /// Nodes of 9front; the others are of 9legacy.
    front: &'static [&'static str],
}

impl Mixed {
    /// Nodes from `common`, but those that `edits` make of the medium `other`.
    fn build(common: &Path, other: &Path, edits: &[(&str, &str)], front: &'static [&'static str]) -> Self {
        let mut all = vec![("media.other.path", other.to_str().unwrap())];
        all.extend(edits);
        let lab = Running::of(|| Lab::build(Some(common), &all, "qcow2"));
        Self { lab, front }
    }

    fn is_front(&self, node: &str) -> bool {
        self.front.contains(&node)
    }

    /// The console of a node, on which no password shows.
    fn console(&self, node: &str) -> Session {
        let mut session = self.lab.console(node);
        session.hide(&["bootes", "glenda"].map(|user| self.lab.password(user)));
        session
    }

    /// All checks pass but those that cannot be tried, which say so.
    fn test(&self) {
        let report: serde_json::Value = serde_json::from_str(&self.lab.must(&["test", "--json"])).unwrap();
        let (mut passed, mut left_out) = (0, 0);
        for check in report["checks"].as_array().unwrap() {
            let text = |key: &str| check[key].as_str().unwrap();
            if ALIKE.contains(&text("name")) && self.is_front(text("node")) != self.is_front(text("at")) {
                assert_eq!(check["outcome"], "skipped", "{check:#}");
                assert!(text("why").contains("9front has rcpu(1) alone, and 9legacy cpu(1) alone"), "{check:#}");
                left_out += 1;
            } else {
                assert_eq!(check["outcome"], "passed", "{check:#}");
                passed += 1;
            }
        }
        assert!(passed > 50 && left_out > 10, "{report:#}");
        assert_eq!((&report["passed"], &report["skipped"]), (&passed.into(), &left_out.into()));
        eprintln!("{passed} passed, {left_out} left out");
    }

    /// Runs a command in a name space with a new factotum, which asks who it is.
    fn as_user(&self, session: &mut Session, user: &str, command: &str) -> String {
        let answers = [("user[", user), ("password:", &self.lab.password(user))];
        let answers = answers.map(|(wait, reply)| (wait.to_owned(), reply.to_owned()));
        let output = session.run(&format!("@{{rfork n; auth/factotum -n; {command}}}"), &answers, LIMIT);
        let output = output.unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(output.succeeded(), "{command}: {}\n{}", output.status, output.text);
        output.text
    }

    /// People on `from` use the files of `to`, which is the other system.
    fn across(&self, from: &str, to: &str) {
        assert_ne!(self.is_front(from), self.is_front(to));
        let mut session = self.console(from);
        // The host owner: what the two negotiate shows when a key is asked for.
        let said = self.as_user(&mut session, "bootes", &format!("9fs {to} && ls -d /n/{to}/lib/ndb"));
        assert!(said.contains("proto=p9sk1") && said.contains(&format!("/n/{to}/lib/ndb")), "{said}");
        // A wrong key, with nobody there to be asked for another.
        let wrong = format!(
            "@{{rfork n; auth/factotum -n; echo 'key proto=p9sk1 dom=plan9.lab user=bootes !password=not-the-one' \
             >/mnt/factotum/ctl; bind /dev/null /dev/cons; 9fs {to}; ls /n/{to}/lib/ndb}}"
        );
        let output = session.run(&wrong, &[], LIMIT).unwrap_or_else(|e| panic!("{wrong}: {e}"));
        assert!(!output.succeeded() && !output.text.contains("/lib/ndb/local"), "{}", output.text);
        assert!(output.text.contains("user terminated key input"), "another key is asked for: {}", output.text);

        // A user logs in here, goes on to the other system's files, and is the
        // same there. Commands of cpu(1) are short, so it is in a file.
        let file = format!("/n/{to}/usr/glenda/tmp/{from}");
        let script = format!(
            "cat /dev/user; echo\nf={file}\n9fs {to}\nrm -f $f\necho hello from {from} >$f\nchmod 600 $f\ncat $f\n"
        );
        // A busy guest loses a character now and then.
        let written = (0..3).any(|_| {
            run(&mut session, "rm -f /tmp/across");
            script.lines().for_each(|line| drop(run(&mut session, &format!("echo '{line}' >>/tmp/across"))));
            run(&mut session, "cat /tmp/across") == script
        });
        assert!(written, "the script cannot be typed");
        let cpu = if self.is_front(from) { "rcpu" } else { "cpu" };
        let said = self.as_user(&mut session, "glenda", &format!("{cpu} -h {from} -c 'rc /mnt/term/tmp/across'"));
        assert!(said.contains("glenda") && said.contains(&format!("hello from {from}")), "{said}");
        // It is the user's there, and nobody else's.
        let listed = run(&mut self.console(to), &format!("ls -l /usr/glenda/tmp/{from}"));
        assert!(listed.contains("-rw-------") && listed.contains(" glenda glenda "), "{listed}");
        let peek = format!("@{{rfork n; 9fs {to}; cat {file}}}");
        let output = session.run(&peek, &[], LIMIT).unwrap_or_else(|e| panic!("{peek}: {e}"));
        assert!(!output.succeeded() && !output.text.contains("hello"), "{}", output.text);

        drop(session);
        // The authentication server was asked, for the user, by the host's key.
        let log = run(&mut self.console("plan9n1"), "cat /sys/log/auth");
        let ip = &self.lab.lab.node(from).ip;
        assert!(log.contains(&format!("tr-ok glenda@bootes({ip}) -> glenda@bootes")), "{ip}:\n{log}");
    }

    /// All of it, in both directions; the first node of 9front has keys for
    /// `protocols`.
    fn works(&self, protocols: &[&str]) {
        self.lab.up(&[]);
        // syslog(2) writes only to logs that exist.
        run(
            &mut self.console("plan9n1"),
            "if(! test -e /sys/log/auth) {>/sys/log/auth; chmod +a /sys/log/auth}; status=''",
        );
        self.across("plan9n1", "plan9n2");
        self.across("plan9n2", "plan9n1");
        self.test();
        self.lab.no_password_is_told();
        let keys = run(&mut self.console(self.front[0]), "cat /mnt/factotum/ctl");
        let found: Vec<&str> = keys.split_whitespace().filter_map(|w| w.strip_prefix("proto=")).collect();
        assert_eq!(found, protocols, "{keys}");
        self.lab.must(&["down"]);
    }
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn nodes_of_9front_are_in_a_domain_of_9legacy() {
    if only_thorough("nodes_of_9front_are_in_a_domain_of_9legacy") {
        return;
    }
    let test = "nodes_of_9front_are_in_a_domain_of_9legacy";
    let (Some(legacy), Some(front)) = (legacy::ready(test), front::ready(test)) else { return };
    let edits = [
        ("plan9n2.roles", "[\"cpu\", \"fs\"]"),
        ("plan9n2.medium", "other"),
        ("plan9n2.arch", "amd64"),
        ("plan9n3.medium", "other"),
        ("plan9n3.arch", "amd64"),
        ("plan9n3.fs", "hjfs"),
    ];
    let lab = Mixed::build(&legacy, &front, &edits, &["plan9n2", "plan9n3"]);
    // 9legacy's authsrv would not answer who asks for dp9ik.
    lab.works(&["p9sk1"]);
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn a_node_of_9legacy_is_in_a_domain_of_9front() {
    if only_thorough("a_node_of_9legacy_is_in_a_domain_of_9front") {
        return;
    }
    let test = "a_node_of_9legacy_is_in_a_domain_of_9front";
    let (Some(legacy), Some(front)) = (legacy::ready(test), front::ready(test)) else { return };
    let edits = [
        ("defaults.arch", "amd64"),
        ("plan9n1.fs", "gefs"),
        ("plan9n2.roles", "[\"cpu\", \"fs\"]"),
        ("plan9n2.medium", "other"),
        ("plan9n2.arch", "386"),
    ];
    let lab = Mixed::build(&front, &legacy, &edits, &["plan9n1", "plan9n3", "plan9n4"]);
    lab.works(&["p9sk1", "dp9ik"]);
}
