//! Printing for people. Texts from images, media, servers and guests may contain
//! escape sequences: no text leaves here that a terminal would act on.

use super::advice;
use crate::guest::check::Outcome;
use crate::visible::visible;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write as _};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();

/// Prints an error with its causes, one on each line. Text that it quotes, such as
/// the end of a console, does not control the terminal; this holds for all
/// functions here.
pub fn error(e: &anyhow::Error) {
    if let Some(mistakes) = e.chain().find_map(advice::mistakes) {
        return report(&mistakes.render(colored()));
    }
    let mut err = anstream::stderr().lock();
    // Nothing is left to do if stderr itself is gone.
    let mut last = advice::text(&**e);
    let _ = writeln!(err, "{ERROR}error{ERROR:#}: {}", visible(&last));
    for cause in e.chain().skip(1) {
        let text = advice::text(cause);
        if !last.contains(&text) {
            let _ = writeln!(err, "  because: {}", visible(&text));
        }
        last = text;
    }
}

/// Whether stderr shows colours.
pub fn colored() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Prints the report of a file's mistakes.
pub fn report(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints something that the user should know, on stderr.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{NOTE}note{NOTE:#}: {}", visible(text));
}

/// Prints the progress of some work on stderr.
pub fn progress(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", visible(text));
}

/// Prints the outcome of a check.
///
/// # Errors
/// As [`line`].
pub fn check(outcome: &Outcome, text: &str, seconds: f64) -> io::Result<()> {
    let text = visible(text);
    match outcome {
        Outcome::Passed => styled(format_args!("{GOOD}good{GOOD:#}    {text}  {seconds:.1} s")),
        Outcome::Failed { .. } => styled(format_args!("{ERROR}FAILED{ERROR:#}  {text}  {seconds:.1} s")),
        Outcome::Skipped { why } => styled(format_args!("{NOTE}skipped{NOTE:#} {text}: {}", visible(why))),
    }
}

/// Prints one line of the result.
///
/// # Errors
/// Fails when stdout cannot be written; a reader that has gone away is no error.
pub fn line(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    styled(format_args!("{}", visible(&text.to_string())))
}

/// As [`line`], for text with colours of p9img's own.
fn styled(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    quiet_pipe(writeln!(anstream::stdout().lock(), "{text}"))
}

/// Prints a result for programs.
///
/// # Errors
/// As [`line`].
pub fn json(value: &(impl serde::Serialize + ?Sized)) -> io::Result<()> {
    styled(format_args!("{}", crate::visible::json(value)?))
}

/// Prints one of several results for programs, on one line.
///
/// # Errors
/// As [`line`].
pub fn json_line(value: &(impl serde::Serialize + ?Sized)) -> io::Result<()> {
    styled(format_args!("{}", crate::visible::json_line(value)?))
}

/// Ends the program without an error if the pipe is closed.
pub fn quiet_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}
