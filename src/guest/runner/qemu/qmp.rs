//! QEMU's machine protocol (QMP): commands to a running QEMU over a socket.
//!
//! QEMU talks to one client at a time, so a connection is held only as long as
//! a command takes.

use serde_json::{Value, json};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Bytes of a reply that are read; QEMU's are far smaller.
const LONGEST: u64 = 1 << 20;

/// A connection to one QEMU.
pub struct Qmp {
    reader: BufReader<UnixStream>,
}

/// Reason why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    #[error("QEMU does not answer on its control socket")]
    Io(#[from] io::Error),
    #[error("QEMU's control socket gives {0:?}, which is not an answer")]
    Malformed(String),
    #[error("QEMU refuses {command}: {reason}")]
    Refused { command: String, reason: String },
}

impl Qmp {
    /// Greets QEMU; each answer may take `limit`.
    ///
    /// # Errors
    /// Fails when nothing answers as QEMU does.
    pub fn new(stream: UnixStream, limit: Duration) -> Result<Self, QmpError> {
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        let greeting = qmp.line()?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Malformed(greeting.to_string()));
        }
        qmp.run("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Runs a command; `arguments` is null or an object.
    ///
    /// # Errors
    /// Fails when QEMU refuses it or goes away.
    pub fn run(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut message = json!({ "execute": command });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        self.reader.get_mut().write_all(format!("{message}\n").as_bytes())?;
        loop {
            let mut answer = self.line()?;
            if let Some(reason) = answer.pointer("/error/desc") {
                let reason = reason.as_str().unwrap_or_default().to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), reason });
            }
            // Events come in between.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    fn line(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        (&mut self.reader).take(LONGEST).read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_str(&line).map_err(|_| QmpError::Malformed(line.chars().take(200).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that says what it is told to, whatever it hears.
    fn says(lines: &str) -> Result<Qmp, QmpError> {
        let (ours, mut its) = UnixStream::pair().unwrap();
        its.write_all(lines.as_bytes()).unwrap();
        its.shutdown(std::net::Shutdown::Write).unwrap();
        std::mem::forget(its);
        Qmp::new(ours, Duration::from_secs(5))
    }

    const HELLO: &str = "{\"QMP\": {\"version\": {}}}\n{\"return\": {}}\n";

    #[test]
    fn answers_are_told_from_events_and_refusals() {
        let text = format!("{HELLO}{{\"event\": \"RESUME\"}}\n{{\"return\": {{\"status\": \"running\"}}}}\n");
        assert_eq!(says(&text).unwrap().run("query-status", Value::Null).unwrap()["status"], "running");
        let text = format!("{HELLO}{{\"error\": {{\"class\": \"X\", \"desc\": \"no such thing\"}}}}\n");
        let said = says(&text).unwrap().run("fly", json!({"far": true})).unwrap_err().to_string();
        assert_eq!(said, "QEMU refuses fly: no such thing");
    }

    #[test]
    fn what_is_no_qemu_is_an_error() {
        assert!(matches!(says("hello\n"), Err(QmpError::Malformed(_))));
        assert!(matches!(says("{\"a\": 1}\n"), Err(QmpError::Malformed(_))));
        assert!(matches!(says(""), Err(QmpError::Io(_))));
    }
}
