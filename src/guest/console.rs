//! A guest's serial console: wait for text, type lines, keep everything.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How much of the end of a transcript an error shows, in bytes.
const TAIL: usize = 3000;

/// The two directions of a serial line, with a transcript of what came.
///
/// Waiting consumes: each wait looks only at what came behind the text that
/// the wait before it found.
pub struct Console {
    input: Box<dyn Write + Send>,
    /// What the reading threads have got; ends when the guest has.
    output: Receiver<Vec<u8>>,
    transcript: Vec<u8>,
    /// Everything before this offset has been waited for.
    seen: usize,
    /// Passwords: stars stand for them in all that is handed out.
    hidden: Vec<String>,
}

/// Why a wait on the console failed.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("Waited {} seconds for {wanted} on the serial console; it ends with:\n{tail}", after.as_secs())]
    Timeout { wanted: String, after: Duration, tail: String },
    #[error("The machine ended before {wanted} came on its serial console, which ends with:\n{tail}")]
    Ended { wanted: String, tail: String },
    #[error("Cannot type on the serial console: {source}; it ends with:\n{tail}")]
    Type { source: io::Error, tail: String },
}

impl Console {
    /// A console that types to `input` and hears what comes from all of
    /// `outputs`.
    pub fn new(input: impl Write + Send + 'static, outputs: Vec<Box<dyn Read + Send>>) -> Self {
        let (send, output) = channel();
        for mut from in outputs {
            let send = send.clone();
            std::thread::spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(n @ 1..) = from.read(&mut buf) {
                    if send.send(buf[..n].to_vec()).is_err() {
                        break;
                    }
                }
            });
        }
        Self { input: Box::new(input), output, transcript: Vec::new(), seen: 0, hidden: Vec::new() }
    }

    /// Hands out stars for each of `words` from now on. A password that is
    /// typed before the guest has stopped to echo comes back on its console.
    pub fn hide(&mut self, words: &[String]) {
        self.hidden = words.to_vec();
    }

    fn veil(&self, mut text: String) -> String {
        for word in self.hidden.iter().filter(|w| !w.is_empty() && text.contains(w.as_str())).collect::<Vec<_>>() {
            text = text.replace(word, &"*".repeat(word.len()));
        }
        text
    }

    /// Waits for `text`; returns what came before it.
    ///
    /// # Errors
    /// When it does not come within `limit`, or the machine ends before.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<String, ConsoleError> {
        self.wait_for_any(&[text], limit).map(|(_, before)| before)
    }

    /// Waits for the first of `texts` to come; returns its index and what came
    /// before it.
    ///
    /// # Errors
    /// As [`Console::wait_for`].
    #[expect(clippy::disallowed_methods, reason = "a deadline for a running machine; no artifact sees it")]
    pub fn wait_for_any(&mut self, texts: &[&str], limit: Duration) -> Result<(usize, String), ConsoleError> {
        let begin = Instant::now();
        let longest = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        let mut from = self.seen;
        loop {
            let found = texts
                .iter()
                .enumerate()
                .filter_map(|(i, t)| Some((find(&self.transcript[from..], t.as_bytes())? + from, i)))
                .min();
            if let Some((at, i)) = found {
                let before = String::from_utf8_lossy(&self.transcript[self.seen..at]).into_owned();
                self.seen = at + texts[i].len();
                return Ok((i, self.veil(before)));
            }
            // The next bytes may complete a text that has begun.
            from = self.transcript.len().saturating_sub(longest).max(self.seen);
            let wanted = || texts.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(" or ");
            match self.output.recv_timeout(limit.saturating_sub(begin.elapsed())) {
                Ok(bytes) => self.transcript.extend(bytes),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(ConsoleError::Timeout { wanted: wanted(), after: limit, tail: self.tail() });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(ConsoleError::Ended { wanted: wanted(), tail: self.tail() });
                }
            }
        }
    }

    /// Types `line` and the return key.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn send_line(&mut self, line: &str) -> Result<(), ConsoleError> {
        self.send(format!("{line}\n").as_bytes())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ConsoleError> {
        let typed = self.input.write_all(bytes).and_then(|()| self.input.flush());
        typed.map_err(|source| ConsoleError::Type { source, tail: self.tail() })
    }

    /// Everything that has come so far, without carriage returns.
    pub fn transcript(&mut self) -> String {
        self.transcript.extend(self.output.try_iter().flatten());
        self.veil(String::from_utf8_lossy(&self.transcript).replace('\r', ""))
    }

    /// The end of the transcript.
    pub fn tail(&mut self) -> String {
        let all = self.transcript();
        let start = (all.len().saturating_sub(TAIL)..).find(|i| all.is_char_boundary(*i)).unwrap_or(0);
        all[start..].to_owned()
    }
}

pub(super) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1)).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn console(parts: &[&'static str]) -> Console {
        struct Parts(Vec<&'static str>);
        impl Read for Parts {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let Some(part) = self.0.pop() else { return Ok(0) };
                buf[..part.len()].copy_from_slice(part.as_bytes());
                Ok(part.len())
            }
        }
        Console::new(io::sink(), vec![Box::new(Parts(parts.iter().rev().copied().collect()))])
    }

    #[test]
    fn waits_consume_and_find_text_that_comes_in_pieces() {
        let mut c = console(&["one tw", "o thr", "ee two\r\nend"]);
        assert_eq!(c.wait_for("two", SOON).unwrap(), "one ");
        assert_eq!(c.wait_for_any(&["end", "two"], SOON).unwrap(), (1, " three ".to_owned()));
        assert_eq!(c.wait_for("end", SOON).unwrap(), "\r\n");
        assert_eq!(c.transcript(), "one two three two\nend");
    }

    #[test]
    fn passwords_that_came_back_are_not_handed_out() {
        let mut c = console(&["Password: open ses", "ame\r\nend of open sesame"]);
        c.hide(&["open sesame".to_owned(), String::new()]);
        assert_eq!(c.wait_for("end", SOON).unwrap(), "Password: ***********\r\n");
        let e = c.wait_for("more", SOON).unwrap_err().to_string();
        assert!(e.ends_with("Password: ***********\nend of ***********"), "{e}");
        assert!(!c.transcript().contains("sesame"));
    }

    #[test]
    fn failures_say_what_was_wanted_and_what_came() {
        let e = console(&["login: "]).wait_for("term% ", SOON).unwrap_err();
        assert_eq!(
            e.to_string(),
            "The machine ended before \"term% \" came on its serial console, which ends with:\nlogin: "
        );
        let (open, _keep) = io::pipe().unwrap();
        let mut silent = Console::new(io::sink(), vec![Box::new(open)]);
        let e = silent.wait_for_any(&["a", "b"], Duration::from_millis(1)).unwrap_err();
        assert_eq!(e.to_string(), "Waited 0 seconds for \"a\" or \"b\" on the serial console; it ends with:\n");
    }
}
