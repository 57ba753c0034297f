//! A guest's serial console: wait for text, type lines, record everything.

pub mod piped;
mod shell;

pub use shell::{Output, Shell};

use crate::count;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Bytes of the end of a transcript that an error shows.
const TAIL: usize = 3000;
/// Longest time until a guest echoes a line; then it is typed again.
const ECHO: Duration = Duration::from_secs(5);
/// Plan 9's key for "forget this line".
const KILL_LINE: &[u8] = b"\x15";

/// The two directions of a serial line, with a transcript of what came.
///
/// Waiting consumes: each wait looks only at what came after the text that
/// the wait before it found.
pub struct Console {
    input: Box<dyn Write + Send>,
    /// Output from the reading threads; ends with the guest.
    output: Receiver<Vec<u8>>,
    transcript: Vec<u8>,
    /// Everything before this offset has been waited for.
    seen: usize,
    /// [`ECHO`], but in tests.
    echo: Duration,
    /// Passwords: stars stand for them in all that is handed out.
    hidden: Vec<String>,
}

/// Reason why a wait on the console failed.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("Waited {} for {wanted} on the serial console; it ends with:\n{tail}", count::of(after.as_secs(), "second"))]
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
        Self { input: Box::new(input), output, transcript: Vec::new(), seen: 0, echo: ECHO, hidden: Vec::new() }
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
    /// Fails when it does not come within `limit`, or the machine ends before.
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
            self.more(wanted, limit, limit.saturating_sub(begin.elapsed()))?;
        }
    }

    /// Types `line`, again until the guest has echoed it in one piece, and then
    /// the return key: a busy guest loses a character now and then.
    ///
    /// # Errors
    /// Fails when the echo does not come within `limit`, or the machine ends
    /// before.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a running machine; no artifact sees it")]
    pub fn type_line(&mut self, line: &str, limit: Duration) -> Result<(), ConsoleError> {
        let begin = Instant::now();
        let mut patience = self.echo;
        loop {
            self.send(line.as_bytes())?;
            let left = limit.saturating_sub(begin.elapsed());
            match self.wait_for_echo(line, patience.min(left)) {
                Ok(()) => return self.send(b"\n"),
                Err(ConsoleError::Timeout { wanted, tail, .. }) if begin.elapsed() >= limit => {
                    return Err(ConsoleError::Timeout { wanted, after: limit, tail });
                }
                Err(ConsoleError::Timeout { .. }) => self.send(KILL_LINE)?,
                Err(e) => return Err(e),
            }
            patience = patience.saturating_mul(2);
        }
    }

    /// Waits until `line` has come in one piece, but for tabs: rc's prompt for what
    /// continues a command is one, and may come while the line is typed.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a running machine; no artifact sees it")]
    fn wait_for_echo(&mut self, line: &str, limit: Duration) -> Result<(), ConsoleError> {
        let begin = Instant::now();
        let wanted: Vec<u8> = line.bytes().filter(|b| *b != b'\t').collect();
        if wanted.is_empty() {
            return Ok(());
        }
        loop {
            let came = self.transcript.iter().copied().enumerate().skip(self.seen).filter(|(_, b)| *b != b'\t');
            let (at, came): (Vec<usize>, Vec<u8>) = came.unzip();
            match find(&came, &wanted) {
                Some(start) => {
                    self.seen = at[start + wanted.len() - 1] + 1;
                    return Ok(());
                }
                None => self.more(|| format!("{line:?}"), limit, limit.saturating_sub(begin.elapsed()))?,
            }
        }
    }

    /// Takes what comes next, within `left` of the `limit`; `wanted` is for errors.
    fn more(&mut self, wanted: impl Fn() -> String, limit: Duration, left: Duration) -> Result<(), ConsoleError> {
        match self.output.recv_timeout(left) {
            Ok(bytes) => self.transcript.extend(bytes),
            Err(RecvTimeoutError::Timeout) => {
                return Err(ConsoleError::Timeout { wanted: wanted(), after: limit, tail: self.tail() });
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(ConsoleError::Ended { wanted: wanted(), tail: self.tail() });
            }
        }
        Ok(())
    }

    /// Types `line` and the return key.
    ///
    /// # Errors
    /// Fails when the machine has ended.
    pub fn send_line(&mut self, line: &str) -> Result<(), ConsoleError> {
        self.send(format!("{line}\n").as_bytes())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Fails when the machine has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ConsoleError> {
        let typed = self.input.write_all(bytes).and_then(|()| self.input.flush());
        typed.map_err(|source| ConsoleError::Type { source, tail: self.tail() })
    }

    /// Everything that has come so far, as it stands on a terminal.
    pub fn transcript(&mut self) -> String {
        self.transcript.extend(self.output.try_iter().flatten());
        self.veil(printed(&String::from_utf8_lossy(&self.transcript)))
    }

    /// The end of the transcript.
    pub fn tail(&mut self) -> String {
        let all = self.transcript();
        let start = (all.len().saturating_sub(TAIL)..).find(|i| all.is_char_boundary(*i)).unwrap_or(0);
        all[start..].to_owned()
    }
}

/// Text as it stands on a terminal: without carriage returns, and with what
/// came after a backspace in the place of what was there.
pub(super) fn printed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if !line.contains('\u{8}') {
            out.extend(line.chars().filter(|c| *c != '\r'));
            continue;
        }
        let (mut shown, mut column) = (Vec::new(), 0);
        for c in line.chars() {
            match c {
                '\u{8}' => column = usize::saturating_sub(column, 1),
                '\r' => {}
                '\n' => shown.push(c),
                c => {
                    match shown.get_mut(column) {
                        Some(there) => *there = c,
                        None => shown.push(c),
                    }
                    column += 1;
                }
            }
        }
        out.extend(shown);
    }
    out
}

pub(super) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1)).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::{Arc, Mutex};

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
    fn a_line_is_typed_again_until_all_of_it_is_echoed() {
        let (mut typed, input) = io::pipe().unwrap();
        let (output, mut guest) = io::pipe().unwrap();
        let mut console = Console::new(input, vec![Box::new(output)]);
        console.echo = Duration::from_millis(50);
        // Echoes as Plan 9 does, loses one character, and a service prints.
        let guest = std::thread::spawn(move || {
            let (mut line, mut lost) = (Vec::new(), false);
            loop {
                let mut key = [0];
                typed.read_exact(&mut key).unwrap();
                match key[0] {
                    b'\n' => return line,
                    0x15 => {
                        line.clear();
                        guest.write_all(b"^U\r\n").unwrap();
                    }
                    b'a' if !lost => {
                        lost = true;
                        guest.write_all(b"9fs: called by n2\r\n").unwrap();
                    }
                    key => {
                        line.push(key);
                        guest.write_all(&[key]).unwrap();
                    }
                }
            }
        });
        console.type_line("date -u", SOON).unwrap();
        assert_eq!(guest.join().unwrap(), b"date -u");
        assert_eq!(console.seen, console.transcript.len());
    }

    #[test]
    fn prompts_in_an_echo_and_empty_lines_are_no_reason_to_type_again() {
        let typed = Arc::new(Mutex::new(Vec::new()));
        struct Keys(Arc<Mutex<Vec<u8>>>);
        impl Write for Keys {
            fn write(&mut self, keys: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend(keys);
                Ok(keys.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let echo: &[u8] = b"ec\tho a\r\n\r\necho\t\tb\r\n";
        let mut console = Console::new(Keys(typed.clone()), vec![Box::new(echo)]);
        for line in ["echo a", "", "echo\tb"] {
            console.type_line(line, SOON).unwrap();
            console.wait_for("\n", SOON).unwrap();
        }
        assert_eq!(*typed.lock().unwrap(), b"echo a\n\necho\tb\n");
        let e = console.wait_for("more", SOON).unwrap_err();
        assert!(matches!(e, ConsoleError::Ended { .. }), "{e}");
    }

    #[test]
    fn a_guest_without_an_echo_is_waited_for_until_the_limit() {
        let (output, _keep) = io::pipe().unwrap();
        let mut silent = Console::new(io::sink(), vec![Box::new(output)]);
        silent.echo = Duration::from_millis(1);
        let e = silent.type_line("date", Duration::from_millis(5)).unwrap_err().to_string();
        assert!(e.starts_with("Waited 0 seconds for \"date\" on the serial console"), "{e}");
    }

    #[test]
    fn what_is_printed_over_is_shown_once() {
        assert_eq!(printed("a\r\nb\n"), "a\nb\n");
        assert_eq!(printed(" \u{8} \u{8}1\u{8}2\u{8}f\r\nPlan 9\r\n"), "f\nPlan 9\n");
        assert_eq!(printed("\u{8}ab\u{8}\u{8}\u{8}xy\u{8}z!\u{8}"), "xz!");
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
