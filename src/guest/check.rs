//! Runs the checks that roles bring, on a lab that is up.
//!
//! Checks of one place run one after the other on its console; their results
//! have what each typed, the answer and the time that it took.

use super::console::{ConsoleError, Output};
use super::folder;
use super::grid::session::Session;
use super::grid::{Grid, GridError, GridSpec};
use crate::count;
use crate::render::{Check, CheckSite};
use crate::xml;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Exit code with which a check on the host says that it could not be tried.
const SKIPPED: i32 = 77;
/// Longest time until a console shows its prompt.
const PROMPT: Duration = Duration::from_secs(60);

/// Outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    Passed,
    Failed {
        /// Reason in one line.
        why: String,
        typed: String,
        came: String,
        expected: String,
    },
    Skipped {
        why: String,
    },
}

/// One check that was run.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    pub role: String,
    /// The node that was checked.
    pub node: String,
    /// The node it was typed on, or `host`.
    pub at: String,
    pub name: String,
    pub seconds: f64,
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl CheckResult {
    /// A check that was not tried.
    pub fn skipped(check: &Check, why: String) -> Self {
        Self {
            role: check.role.clone(),
            node: check.node.clone(),
            at: check.at().to_owned(),
            name: check.name.clone(),
            seconds: 0.0,
            outcome: Outcome::Skipped { why },
        }
    }

    /// A check that could not even be read.
    pub fn broken(check: &Check, why: String) -> Self {
        let outcome = failure(check, why, String::new());
        Self { outcome, ..Self::skipped(check, String::new()) }
    }

    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed { .. })
    }
}

/// Runs checks one by one and keeps the consoles open in between.
pub struct Checker<'a> {
    grid: &'a Grid,
    spec: &'a GridSpec,
    sessions: BTreeMap<String, Session>,
    host: String,
    passwords: Vec<String>,
}

impl<'a> Checker<'a> {
    /// Of `passwords`, none is shown or recorded when a node echoes it.
    pub fn new(grid: &'a Grid, spec: &'a GridSpec, passwords: Vec<String>) -> Self {
        Self { grid, spec, sessions: BTreeMap::new(), host: String::new(), passwords }
    }

    /// Runs one check.
    ///
    /// # Errors
    /// Fails when the node's console cannot be had. A check that fails is no
    /// error.
    #[expect(clippy::disallowed_methods, reason = "how long a check takes; no artifact sees it")]
    pub fn run(&mut self, check: &Check) -> Result<CheckResult, GridError> {
        let begin = Instant::now();
        let outcome = match &check.site {
            CheckSite::Node(name) => {
                let session = self.session(name)?;
                judge(check, session.run(&check.run, &check.answers, check.timeout))
            }
            CheckSite::Host => self.host(check),
        };
        Ok(CheckResult {
            role: check.role.clone(),
            node: check.node.clone(),
            at: check.at().to_owned(),
            name: check.name.clone(),
            seconds: begin.elapsed().as_secs_f64(),
            outcome,
        })
    }

    fn session(&mut self, name: &str) -> Result<&mut Session, GridError> {
        if !self.sessions.contains_key(name) {
            let not_running = || GridError::NotRunning { name: name.to_owned() };
            let node = self.spec.nodes.iter().find(|n| n.name == name).ok_or_else(not_running)?;
            let mut session = Session::open(&self.grid.node(name), node.shell, PROMPT)?;
            session.hide(&self.passwords);
            self.sessions.insert(name.to_owned(), session);
        }
        self.sessions.get_mut(name).ok_or_else(|| GridError::NotRunning { name: name.to_owned() })
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline for a program of the host; no artifact sees it")]
    fn host(&mut self, check: &Check) -> Outcome {
        let failed = |why: String, came: String| failure(check, why, came);
        // In a process group of its own, its children would outlive the limit:
        // the shell itself is what is ended.
        let started =
            duct::cmd!("sh", "-c", &check.run).stdin_null().stderr_to_stdout().stdout_capture().unchecked().start();
        let running = match started {
            Ok(running) => running,
            Err(e) => return failed(format!("sh cannot be run: {e}"), String::new()),
        };
        let begin = Instant::now();
        let output = loop {
            match running.try_wait() {
                Ok(Some(output)) => break output,
                Ok(None) if begin.elapsed() > check.timeout => {
                    // It is being given up anyway.
                    let _ = running.kill();
                    return failed(
                        format!("It has not ended after {}", count::of(check.timeout.as_secs(), "second")),
                        String::new(),
                    );
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => return failed(format!("It cannot be waited for: {e}"), String::new()),
            }
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.host.push_str(&format!("$ {}\n{text}{}\n", check.run, output.status));
        host_outcome(check, output.status, text)
    }

    /// Writes what every console said meanwhile to `dir`, and returns the files.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn keep(&mut self, dir: &Path) -> Result<Vec<PathBuf>, GridError> {
        folder::make(dir)?;
        let mut texts: Vec<(String, String)> =
            self.sessions.iter_mut().map(|(name, s)| (name.clone(), s.transcript())).collect();
        if !self.host.is_empty() {
            texts.push(("host".into(), self.host.clone()));
        }
        let mut files = Vec::new();
        for (name, text) in texts {
            let path = dir.join(format!("{name}.txt"));
            folder::replace(&path, text.as_bytes())?;
            files.push(path);
        }
        Ok(files)
    }
}

fn failure(check: &Check, why: String, came: String) -> Outcome {
    let expected = match &check.expect {
        Some(text) => format!("success, and {text:?} in its output"),
        None => "success".to_owned(),
    };
    Outcome::Failed { why, typed: check.run.clone(), came, expected }
}

/// Whether a command on a node did what it should.
fn judge(check: &Check, result: Result<Output, ConsoleError>) -> Outcome {
    match result {
        Err(ConsoleError::Timeout { wanted, tail, .. }) => {
            let why =
                format!("It waited for {wanted} for longer than its {}", count::of(check.timeout.as_secs(), "second"));
            failure(check, why, tail)
        }
        Err(other) => failure(check, "The node's console is gone".into(), other.to_string()),
        Ok(output) if !output.succeeded() => failure(check, format!("It ended with {:?}", output.status), output.text),
        Ok(output) => match &check.expect {
            Some(text) if !output.text.contains(text.as_str()) => {
                failure(check, "Its output is not what was expected".into(), output.text)
            }
            _ => Outcome::Passed,
        },
    }
}

fn host_outcome(check: &Check, status: ExitStatus, text: String) -> Outcome {
    match (status.code(), &check.expect) {
        (Some(SKIPPED), _) => Outcome::Skipped { why: text.lines().last().unwrap_or_default().to_owned() },
        (Some(0), Some(expect)) if !text.contains(expect.as_str()) => {
            failure(check, "Its output is not what was expected".into(), text)
        }
        (Some(0), _) => Outcome::Passed,
        _ => failure(check, format!("It ended with {status}"), text),
    }
}

/// The results as JUnit XML, which CI systems read.
pub fn junit(lab: &str, results: &[CheckResult]) -> String {
    let failures = results.iter().filter(|r| r.failed()).count();
    let skipped = results.iter().filter(|r| matches!(r.outcome, Outcome::Skipped { .. })).count();
    let seconds: f64 = results.iter().map(|r| r.seconds).sum();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" \
         skipped=\"{skipped}\" time=\"{seconds:.3}\">\n",
        xml::escape(lab),
        results.len()
    );
    for r in results {
        let name = format!("{} (on {})", r.name, r.at);
        out.push_str(&format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            xml::escape(&format!("{}.{}", r.node, r.role)),
            xml::escape(&name),
            r.seconds
        ));
        match &r.outcome {
            Outcome::Passed => out.push_str("/>\n"),
            Outcome::Skipped { why } => {
                out.push_str(&format!(">\n    <skipped message=\"{}\"/>\n  </testcase>\n", xml::escape(why)))
            }
            Outcome::Failed { why, typed, came, expected } => out.push_str(&format!(
                ">\n    <failure message=\"{}\">{}</failure>\n  </testcase>\n",
                xml::escape(why),
                xml::escape(&format!("typed:\n{typed}\ncame:\n{came}\nexpected: {expected}\n"))
            )),
        }
    }
    out.push_str("</testsuite>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(site: CheckSite, run: &str, expect: Option<&str>) -> Check {
        Check {
            role: "x".into(),
            node: "n1".into(),
            site,
            name: "does it".into(),
            run: run.into(),
            expect: expect.map(str::to_owned),
            answers: Vec::new(),
            timeout: Duration::from_secs(10),
            network: false,
            order: 50,
            left_out: None,
            broken: None,
        }
    }

    fn on_node(expect: Option<&str>, text: &str, status: &str) -> Outcome {
        let output = Output { text: text.into(), status: status.into() };
        judge(&check(CheckSite::Node("n1".into()), "x", expect), Ok(output))
    }

    #[test]
    fn status_and_output_both_count() {
        assert_eq!(on_node(None, "", ""), Outcome::Passed);
        assert_eq!(on_node(Some("yes"), "oh yes\n", "|"), Outcome::Passed);
        for (expect, text, status, said) in [
            (None, "", "rc 12: error", "It ended with \"rc 12: error\""),
            (Some("yes"), "oh yes\n", "|grep 5: no", "It ended with \"|grep 5: no\""),
            (Some("yes"), "no\n", "", "Its output is not what was expected"),
        ] {
            let Outcome::Failed { why, came, .. } = on_node(expect, text, status) else { panic!("passed") };
            assert_eq!((why.as_str(), came.as_str()), (said, text));
        }
        let timeout =
            ConsoleError::Timeout { wanted: "x".into(), after: Duration::from_secs(1), tail: "the end".into() };
        let outcome = judge(&check(CheckSite::Node("n1".into()), "x", None), Err(timeout));
        assert!(matches!(outcome, Outcome::Failed { came, .. } if came == "the end"));
    }

    #[test]
    fn the_host_has_a_shell_that_can_skip_and_is_not_waited_for_for_ever() {
        let spec = super::super::grid::GridSpec {
            program: PathBuf::new(),
            file: "lab.toml".into(),
            user: String::new(),
            base: None,
            lab: "l".into(),
            subnet: "10.9.0.0/24".parse().unwrap(),
            gateway: None,
            nodes: Vec::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let grid = Grid::new(dir.path());
        let mut checker = Checker::new(&grid, &spec, Vec::new());
        let mut outcome = |check: Check| checker.run(&check).unwrap().outcome;
        assert_eq!(outcome(check(CheckSite::Host, "echo one; echo two >&2", Some("two"))), Outcome::Passed);
        let skip = outcome(check(CheckSite::Host, "echo no drawterm; exit 77", None));
        assert_eq!(skip, Outcome::Skipped { why: "no drawterm".into() });
        assert!(matches!(outcome(check(CheckSite::Host, "exit 3", None)), Outcome::Failed { .. }));
        let mut slow = check(CheckSite::Host, "exec sleep 60", None);
        slow.timeout = Duration::from_millis(100);
        assert!(matches!(outcome(slow), Outcome::Failed { why, .. } if why.starts_with("It has not ended")));
        // A node that the lab does not have is an error, not a failed check.
        let nobody = check(CheckSite::Node("n9".into()), "x", None);
        assert!(matches!(checker.run(&nobody), Err(GridError::NotRunning { .. })));
        let files = checker.keep(&dir.path().join("kept")).unwrap();
        assert!(std::fs::read_to_string(&files[0]).unwrap().contains("$ echo one; echo two >&2\none\ntwo\n"));
    }

    #[test]
    fn junit_is_well_formed_whatever_was_said() {
        let result = |outcome| CheckResult {
            role: "a&b".into(),
            node: "n1".into(),
            at: "n2".into(),
            name: "says \"hi\" <now>".into(),
            seconds: 0.25,
            outcome,
        };
        let failed = Outcome::Failed {
            why: "bell \u{7}".into(),
            typed: "x".into(),
            came: "\u{1b}[0m]]>".into(),
            expected: "y".into(),
        };
        let text = junit("l", &[result(Outcome::Passed), result(Outcome::Skipped { why: "w".into() }), result(failed)]);
        assert!(text.contains("tests=\"3\" failures=\"1\" skipped=\"1\" time=\"0.750\""), "{text}");
        assert!(text.contains("classname=\"n1.a&amp;b\" name=\"says &quot;hi&quot; &lt;now&gt; (on n2)\""), "{text}");
        assert!(text.contains("message=\"bell ?\"") && text.contains("?[0m]]&gt;"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    }
}
