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
    /// `$status`: empty when all went well.
    pub status: String,
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
