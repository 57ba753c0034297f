//! Commands typed to rc, the shell of Plan 9, on a guest's console.

use super::console::{Console, ConsoleError};
use std::time::Duration;

/// rc's prompt on a console.
pub struct Shell<'a> {
    console: &'a mut Console,
    prompt: String,
}

/// What a command printed and how it ended.
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
    /// When the prompt does not come.
    pub fn new(console: &'a mut Console, prompt: &str, limit: Duration) -> Result<Self, ConsoleError> {
        console.wait_for(prompt, limit)?;
        Ok(Self { console, prompt: prompt.to_owned() })
    }

    /// Types a command and waits until it has ended.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<Output, ConsoleError> {
        // The caret joins words, so the echo of what is typed does not hold
        // the mark that is printed.
        self.console.send_line(&format!("{{{command}}}; echo P9IMG^-END'('^$\"status^')'"))?;
        self.console.wait_for("')'", limit)?; // the echo
        let printed = self.console.wait_for("P9IMG-END(", limit)?;
        let status = self.console.wait_for(")", limit)?;
        self.console.wait_for(&self.prompt, limit)?;
        let text = printed.replace('\r', "");
        Ok(Output { text: text.trim_start_matches('\n').to_owned(), status })
    }

    /// Types a line and waits for nothing.
    ///
    /// # Errors
    /// When the machine has ended.
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

    #[test]
    fn output_lies_between_the_echo_and_the_mark() {
        let limit = Duration::from_secs(5);
        let heard = "init: starting /bin/rc\r\nterm% {ls | wc}; echo P9IMG^-END'('^$\"status^')'\r\n\
                     one\r\ntwo\r\nP9IMG-END(|wc 12: broken)\r\nterm% ";
        let mut console = Console::new(io::sink(), vec![Box::new(heard.as_bytes())]);
        let mut shell = Shell::new(&mut console, "term% ", limit).unwrap();
        let output = shell.run("ls | wc", limit).unwrap();
        assert_eq!(output, Output { text: "one\ntwo\n".into(), status: "|wc 12: broken".into() });
        assert!(!output.succeeded());
        assert!(Output { text: String::new(), status: "||".into() }.succeeded());
    }
}
