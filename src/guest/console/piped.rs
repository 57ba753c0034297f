//! Lines of a pipe, typed on a node's console one by one.
//!
//! Two threads hear the node and the pipe, whatever else happens, so that
//! neither the node nor who writes into the pipe waits for the other.
//! A line is typed when the shell wants one: it has shown its prompt, or the
//! tab with which rc(1) asks for the rest of a command or of a here document.

use super::find;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Plan 9's key for "stop what you are doing". A line that begins with it is
/// typed at once.
const INTERRUPT: u8 = 0x7F;
/// Output of rc when a command or here document continues in the next line.
const GOES_ON: &[u8] = b"\n\t";
/// Bytes of a line that are typed together; what is longer comes in pieces.
const LONGEST: u64 = 64 << 10;
/// Bytes of what came that are looked at for a prompt.
const TAIL: usize = 4096;

/// Lengths of silence, each a sign.
#[derive(Clone, Copy, Debug)]
pub struct Silences {
    /// After the tab of rc, or a prompt with other text after it: the next
    /// line is wanted. On a console without a prompt: the command has ended.
    pub quiet: Duration,
    /// After the last line: then nothing more will come.
    pub last: Duration,
}

impl Default for Silences {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(2), last: Duration::from_secs(60) }
    }
}

/// End of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was typed, and the last command has ended.
    Done,
    /// Everything was typed; the last command still ran after the silence.
    StillRuns,
    /// The node has gone. The line that was next, if one was waiting.
    Gone(Option<String>),
}

enum Event {
    Said(Vec<u8>),
    /// From the pipe, with its newline.
    Line(Vec<u8>),
    PipeEnd,
    Gone,
}

/// Types what comes out of `pipe` on the console `node` and writes what the
/// node says to `out`, until the pipe has ended and the node is done. `before`
/// is the end of what the console said earlier.
///
/// # Errors
/// Fails when `out` or the console cannot be written to.
pub fn run(
    node: &UnixStream,
    prompt: Option<&str>,
    before: &[u8],
    pipe: impl BufRead + Send + 'static,
    out: &mut impl Write,
    silences: Silences,
) -> io::Result<End> {
    let (events, heard) = channel();
    let (more, wanted) = sync_channel(1);
    listen(node.try_clone()?, events.clone());
    std::thread::spawn(move || read_lines(pipe, &events, &wanted));
    let prompt: Vec<u8> = prompt.unwrap_or_default().into();
    let typist = Typist {
        node,
        heard,
        more,
        out,
        silences,
        tail: if before.ends_with(&prompt) { prompt.clone() } else { Vec::new() },
        prompt,
        next: None,
        pipe_ended: false,
        middle: false,
        silent: false,
        state: State::Start,
    };
    typist.run()
}

/// Hands on all that the node says; ends with it.
fn listen(mut node: UnixStream, events: Sender<Event>) {
    std::thread::spawn(move || {
        let mut buf = [0; 4096];
        loop {
            let event = match node.read(&mut buf) {
                Ok(n @ 1..) => Event::Said(buf[..n].to_vec()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                _ => Event::Gone,
            };
            let gone = matches!(event, Event::Gone);
            if events.send(event).is_err() || gone {
                return;
            }
        }
    });
}

/// Hands on the lines of a pipe, each when the one before has been typed, so
/// that an endless pipe does not fill the memory.
fn read_lines(mut pipe: impl BufRead, events: &Sender<Event>, wanted: &Receiver<()>) {
    loop {
        let mut line = Vec::new();
        // A pipe that cannot be read any further has come to its end.
        let read = pipe.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            // Nobody is left to be told when it fails.
            let _ = events.send(Event::PipeEnd);
            return;
        }
        if events.send(Event::Line(line)).is_err() || wanted.recv().is_err() {
            return;
        }
    }
}

/// State of the console: whether the next prompt counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was typed yet.
    Start,
    /// Two prompts may come: the one after an empty line or an interrupt, and
    /// the one of a command that had not ended.
    Unsure,
    /// The next prompt is that of the line typed last.
    Sure,
}

struct Typist<'a, W> {
    node: &'a UnixStream,
    heard: Receiver<Event>,
    /// Lets the pipe's next line come.
    more: SyncSender<()>,
    out: &'a mut W,
    silences: Silences,
    /// Empty where there is none.
    prompt: Vec<u8>,
    /// The end of what came since the last line was typed.
    tail: Vec<u8>,
    /// The line that is to be typed.
    next: Option<Vec<u8>>,
    pipe_ended: bool,
    /// True if the last line typed has not ended yet.
    middle: bool,
    /// Nothing has come for a while, though a line is to be typed.
    silent: bool,
    state: State,
}

impl<W: Write> Typist<'_, W> {
    fn run(mut self) -> io::Result<End> {
        loop {
            if let Some(line) = self.next.take() {
                if self.is_wanted(&line) {
                    self.type_line(&line)?;
                    continue;
                }
                self.next = Some(line);
                if self.state == State::Start {
                    // A console that was left with something else after its
                    // prompt, such as a kernel's message, shows it again.
                    self.put(b"\n")?;
                    self.state = State::Unsure;
                }
            } else if self.pipe_ended && self.at_prompt() {
                return Ok(End::Done);
            }
            match self.hear() {
                Ok(Event::Said(said)) => self.said(&said)?,
                Ok(Event::Line(line)) => self.next = Some(line),
                Ok(Event::PipeEnd) => self.pipe_ended = true,
                Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => {
                    let next = self.next.map(|l| String::from_utf8_lossy(&l).trim_end().to_owned());
                    return Ok(End::Gone(next));
                }
                Err(RecvTimeoutError::Timeout) if self.next.is_some() => self.silent = true,
                Err(RecvTimeoutError::Timeout) if self.has_prompt() && self.state != State::Start => {
                    return Ok(End::StillRuns);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(End::Done),
            }
        }
    }

    /// The next event, or a silence that says something.
    fn hear(&self) -> Result<Event, RecvTimeoutError> {
        let limit = match (&self.next, self.pipe_ended) {
            (Some(_), _) if self.silent => None,
            (None, false) => None,
            (None, true) if self.has_prompt() && self.state != State::Start => Some(self.silences.last),
            _ => Some(self.silences.quiet),
        };
        match limit {
            Some(limit) => self.heard.recv_timeout(limit),
            None => self.heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn said(&mut self, said: &[u8]) -> io::Result<()> {
        self.silent = false;
        self.tail.extend(said);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.out.write_all(said)?;
        self.out.flush()
    }

    fn type_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.put(line)?;
        self.middle = !line.ends_with(b"\n");
        self.silent = false;
        self.state = if line.first() == Some(&INTERRUPT) { State::Unsure } else { State::Sure };
        self.tail.clear();
        // The thread has ended when the pipe has.
        let _ = self.more.send(());
        Ok(())
    }

    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let mut node = self.node;
        node.write_all(bytes)?;
        node.flush()
    }

    fn has_prompt(&self) -> bool {
        !self.prompt.is_empty()
    }

    fn at_prompt(&self) -> bool {
        self.has_prompt() && self.tail.ends_with(&self.prompt)
    }

    fn is_wanted(&self, line: &[u8]) -> bool {
        if self.middle || line.first() == Some(&INTERRUPT) {
            return true;
        }
        match self.state {
            State::Start => !self.has_prompt() || self.at_prompt(),
            State::Unsure => self.silent && (!self.has_prompt() || self.at_prompt()),
            State::Sure if !self.has_prompt() => self.silent,
            State::Sure => {
                let passed = || self.tail.ends_with(GOES_ON) || find(&self.tail, &self.prompt).is_some();
                self.at_prompt() || self.silent && passed()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, PipeWriter};
    use std::os::unix::net::UnixListener;
    use std::sync::{Arc, Mutex};
    use std::thread::JoinHandle;

    const SHORT: Silences = Silences { quiet: Duration::from_millis(50), last: Duration::from_millis(200) };
    /// Until a test is given up.
    const LONG: Silences = Silences { quiet: Duration::from_secs(600), last: Duration::from_secs(600) };

    /// A node whose console is a socket, as a runner makes it.
    struct Node {
        _dir: tempfile::TempDir,
        ours: UnixStream,
        its: BufReader<UnixStream>,
    }

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("serial.sock");
            let listener = UnixListener::bind(&path).unwrap();
            let ours = UnixStream::connect(&path).unwrap();
            let its = listener.accept().unwrap().0;
            its.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            Self { _dir: dir, ours, its: BufReader::new(its) }
        }

        fn hears(&mut self) -> String {
            let mut line = String::new();
            self.its.read_line(&mut line).unwrap();
            line
        }

        fn says(&mut self, text: &str) {
            self.its.get_mut().write_all(text.as_bytes()).unwrap();
        }

        /// Whether nothing has been typed so far.
        fn hears_nothing(&mut self) -> bool {
            self.its.get_mut().set_nonblocking(true).unwrap();
            let nothing = self.its.buffer().is_empty()
                && self.its.get_mut().read(&mut [0]).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
            self.its.get_mut().set_nonblocking(false).unwrap();
            nothing
        }
    }

    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<u8>>>);

    impl Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shown {
        fn wait_for(&self, text: &str) {
            for _ in 0..6000 {
                if String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("{text} did not come");
        }
    }

    /// p9img on its node, with a pipe that a test writes into.
    fn start(node: &Node, prompt: Option<&'static str>, before: &'static str, silences: Silences) -> Started {
        let (read, pipe) = io::pipe().unwrap();
        let (ours, shown) = (node.ours.try_clone().unwrap(), Shown::default());
        let mut out = shown.clone();
        let ends = std::thread::spawn(move || {
            run(&ours, prompt, before.as_bytes(), BufReader::new(read), &mut out, silences).unwrap()
        });
        Started { pipe, shown, ends }
    }

    struct Started {
        pipe: PipeWriter,
        shown: Shown,
        ends: JoinHandle<End>,
    }

    impl Started {
        fn end(self) -> End {
            drop(self.pipe);
            self.ends.join().unwrap()
        }
    }

    #[test]
    fn an_open_pipe_never_keeps_the_node_from_speaking() {
        let mut node = Node::new();
        let mut p9img = start(&node, Some("n1# "), "n1# ", LONG);
        p9img.pipe.write_all(b"mk\n").unwrap();
        assert_eq!(node.hears(), "mk\n");
        node.says("mk\r\n");
        // Far more than a socket holds: it is taken although nothing else comes from the pipe.
        for i in 0..2000 {
            node.says(&format!("{i:05} {}\r\n", "x".repeat(1000)));
        }
        node.says("done\r\nn1# ");
        p9img.shown.wait_for("01999 ");
        p9img.shown.wait_for("done");
        assert_eq!(p9img.end(), End::Done);
    }

    #[test]
    fn the_next_line_waits_for_the_end_of_the_command() {
        let mut node = Node::new();
        let mut p9img = start(&node, Some("n1# "), "init\nn1# ", SHORT);
        p9img.pipe.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(node.hears(), "one\n");
        // However long it is silent.
        for part in ["one\r\n", "half of n1", " and of n1 #", " and a line\r\n"] {
            node.says(part);
            std::thread::sleep(4 * SHORT.quiet);
            assert!(node.hears_nothing(), "after {part:?}");
        }
        node.says("n1# ");
        assert_eq!(node.hears(), "two\n");
        // The kernel speaks when it likes.
        node.says("two\r\nn1# \r\nether0: link up\r\n");
        assert_eq!(node.hears(), "three\n");
        node.says("three\r\nn1# ");
        assert_eq!(p9img.end(), End::Done);
    }

    #[test]
    fn a_command_of_several_lines_is_typed_whole() {
        let mut node = Node::new();
        let mut p9img = start(&node, Some("n1# "), "n1# ", SHORT);
        p9img.pipe.write_all(b"for(i in 1 2){\necho $i\n}\n").unwrap();
        for line in ["for(i in 1 2){", "echo $i", "}"] {
            assert_eq!(node.hears(), format!("{line}\n"));
            node.says(&format!("{line}\r\n\t"));
        }
        node.says("1\r\n2\r\nn1# ");
        assert_eq!(p9img.end(), End::Done);
    }

    #[test]
    fn a_busy_console_is_waited_for_and_can_be_interrupted() {
        let mut node = Node::new();
        let mut p9img = start(&node, Some("n1# "), "n1# mk\nhalf\n", SHORT);
        p9img.pipe.write_all(b"date\n").unwrap();
        assert_eq!(node.hears(), "\n");
        std::thread::sleep(4 * SHORT.quiet);
        assert!(node.hears_nothing());
        // mk ends, then the empty line has its turn.
        node.says("n1# ");
        node.says("\r\nn1# ");
        assert_eq!(node.hears(), "date\n");
        node.says("date\r\n");
        p9img.pipe.write_all(b"\x7f\nnext\n").unwrap();
        assert_eq!(node.hears(), "\x7f\n");
        node.says("\r\nn1# \r\nn1# ");
        assert_eq!(node.hears(), "next\n");
        node.says("next\r\nn1# ");
        assert_eq!(p9img.end(), End::Done);
    }

    #[test]
    fn the_end_of_the_pipe_is_the_end_when_the_node_is_done_or_silent() {
        // A terminal has no prompt.
        let mut node = Node::new();
        let mut p9img = start(&node, None, "", SHORT);
        p9img.pipe.write_all(b"one\ntwo").unwrap();
        assert_eq!(node.hears(), "one\n");
        assert_eq!(p9img.end(), End::Done);
        node.ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(node.hears(), "two");
        // A command that goes on.
        let mut node = Node::new();
        let mut p9img = start(&node, Some("n1# "), "n1# ", SHORT);
        p9img.pipe.write_all(b"sleep 1000\n").unwrap();
        assert_eq!(node.hears(), "sleep 1000\n");
        assert_eq!(p9img.end(), End::StillRuns);
        // Nothing to type.
        for before in ["n1# ", "n1# mk\n"] {
            assert_eq!(start(&Node::new(), Some("n1# "), before, SHORT).end(), End::Done);
        }
    }

    #[test]
    fn a_node_that_goes_leaves_lines_that_are_named() {
        let mut node = Node::new();
        let mut p9img = start(&node, Some("n1# "), "n1# ", LONG);
        p9img.pipe.write_all(b"fshalt\ndate\n").unwrap();
        assert_eq!(node.hears(), "fshalt\n");
        node.says("fshalt\r\ndone halting\r\n");
        p9img.shown.wait_for("halting");
        node.its.get_mut().shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(p9img.end(), End::Gone(Some("date".into())));
    }
}
