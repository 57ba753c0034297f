//! Common parts of the checks of containers.

use crate::count;

/// Findings of one kind about a container that are reported one by one.
pub const FEW: u64 = 10;

/// Rest of a sentence about the first of several: how many more there are.
/// Empty when there are none.
pub fn more(n: u64, one: &str, many: &str) -> String {
    if n == 0 {
        String::new()
    } else {
        format!("; {}", count::either(n, &format!("more {one}"), &format!("more {many}")))
    }
}

/// Says what is wrong: a kind, and a sentence.
pub type Say<'a> = &'a mut dyn FnMut(&'static str, String);
