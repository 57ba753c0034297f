//! Commands typed to rc, the shell of Plan 9, on a guest's console.

use super::{Console, ConsoleError};
use std::time::{Duration, Instant};

/// Comes before the status of a command that has ended.
const END: &str = "P9IMG-END(";

/// Delay between a question and the typed answer. 9front's kbdfs(8) stops its
/// editing of lines, which passwords need, a moment after the program that asks
/// has told it to; what comes before that is lost.
const SETTLE: Duration = Duration::from_millis(500);

/// rc's prompt on a console.
pub struct Shell<'a> {
    console: &'a mut Console,
    prompt: String,
}

/// Output and status of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Lines end in a newline alone.
    pub text: String,
    /// `$status`: of a pipeline, the status of each part between bars.
    pub status: String,
}

impl Output {
    /// Whether every part of the command ended without complaint.
    pub fn succeeded(&self) -> bool {
        self.status.split('|').all(str::is_empty)
    }
}

impl<'a> Shell<'a> {
    /// The shell whose `prompt` comes on `console` within `limit`.
    ///
    /// # Errors
    /// Fails when the prompt does not come.
    pub fn new(console: &'a mut Console, prompt: &str, limit: Duration) -> Result<Self, ConsoleError> {
        console.wait_for(prompt, limit)?;
        Ok(Self { console, prompt: prompt.to_owned() })
    }

    /// The shell whose `prompt` has come already.
    pub fn at_prompt(console: &'a mut Console, prompt: &str) -> Self {
        Self { console, prompt: prompt.to_owned() }
    }

    /// Types a command, of one line or several, and waits until it has ended.
    ///
    /// # Errors
    /// Fails when it has not ended within `limit`.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<Output, ConsoleError> {
        self.run_with(command, &[], limit)
    }

    /// As [`Shell::run`]; for each of `answers`, in order, waits for the first
    /// text and types the second.
    ///
    /// # Errors
    /// As [`Shell::run`], or when a text to be answered does not come.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a running machine; no artifact sees it")]
    pub fn run_with(
        &mut self,
        command: &str,
        answers: &[(String, String)],
        limit: Duration,
    ) -> Result<Output, ConsoleError> {
        let begin = Instant::now();
        let left = || limit.saturating_sub(begin.elapsed());
        // The carets join words, so the echo of what is typed does not hold the
        // marks that are printed: between those is what the command printed.
        let typed = format!("{{echo P9IMG^-BEGIN; {command}\n}}; echo P9IMG^-END'('^$\"status^')'");
        for line in typed.lines() {
            // One by one, or a busy guest loses some.
            self.console.type_line(line, left())?;
            self.console.wait_for("\n", left())?;
        }
        self.console.wait_for("P9IMG-BEGIN", left())?;
        let mut printed = String::new();
        for (question, reply) in answers {
            match self.console.wait_for_any(&[question, END], left())? {
                (0, before) => {
                    printed.push_str(&before);
                    printed.push_str(question);
                    std::thread::sleep(SETTLE.min(left()));
                    self.console.send_line(reply)?;
                }
                (_, before) => {
                    printed.push_str(&before);
                    return self.end(printed, left());
                }
            }
        }
        printed.push_str(&self.console.wait_for(END, left())?);
        self.end(printed, left())
    }

    fn end(&mut self, printed: String, left: Duration) -> Result<Output, ConsoleError> {
        let status = self.console.wait_for(")\r\n", left)?;
        self.console.wait_for(&self.prompt, left)?;
        let text = printed.replace('\r', "");
        Ok(Output { text: text.strip_prefix('\n').unwrap_or(&text).to_owned(), status })
    }

    /// Types a line and waits for nothing.
    ///
    /// # Errors
    /// Fails when the machine has ended.
    pub fn send(&mut self, line: &str) -> Result<(), ConsoleError> {
        self.console.send_line(line)
    }

    pub fn console(&mut self) -> &mut Console {
        self.console
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn shell(heard: &'static str) -> Console {
        Console::new(io::sink(), vec![Box::new(heard.as_bytes())])
    }

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn output_lies_between_the_marks_and_not_in_the_echo() {
        let heard = "init: starting /bin/rc\r\nterm% {echo P9IMG^-BEGIN; echo one\r\n\techo two '('2')'\r\n\
                     \t}; echo P9IMG^-END'('^$\"status^')'\r\n\
                     P9IMG-BEGIN\r\none\r\ntwo (2)\r\nP9IMG-END(|wc 12: (broken))\r\nterm% ";
        let mut console = shell(heard);
        let mut shell = Shell::new(&mut console, "term% ", LIMIT).unwrap();
        let output = shell.run("echo one\necho two '('2')'", LIMIT).unwrap();
        assert_eq!(output, Output { text: "one\ntwo (2)\n".into(), status: "|wc 12: (broken)".into() });
        assert!(!output.succeeded());
        assert!(Output { text: String::new(), status: "||".into() }.succeeded());
    }

    #[test]
    fn questions_are_answered_and_one_that_does_not_come_is_no_hang() {
        let answers = [("Password: ".to_owned(), "secret".to_owned())];
        let heard = "{echo P9IMG^-BEGIN; x\r\n\t}; echo P9IMG^-END'('^$\"status^')'\r\n\
                     P9IMG-BEGIN\r\nPassword: \r\nwelcome\r\nP9IMG-END()\r\n% ";
        let mut console = shell(heard);
        let output = Shell::at_prompt(&mut console, "% ").run_with("x", &answers, LIMIT).unwrap();
        assert_eq!(output.text, "Password: \nwelcome\n");
        let mut console = shell(
            "{echo P9IMG^-BEGIN; x\r\n\t}; echo P9IMG^-END'('^$\"status^')'\r\n\
                                 P9IMG-BEGIN\r\nno user\r\nP9IMG-END(refused)\r\n% ",
        );
        let output = Shell::at_prompt(&mut console, "% ").run_with("x", &answers, LIMIT).unwrap();
        assert_eq!((output.text.as_str(), output.status.as_str()), ("no user\n", "refused"));
    }
}
