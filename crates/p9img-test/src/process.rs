//! Processes that tests start and interrupt.

use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

/// Waits until a process has read so many bytes, or has ended.
///
/// # Panics
/// Panics when it has not read them after a minute.
pub fn has_read(child: &mut Child, bytes: u64) {
    for _ in 0..3000 {
        let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
        let read = io.lines().find_map(|l| l.strip_prefix("rchar: ")?.parse().ok()).unwrap_or(0_u64);
        if read >= bytes || child.try_wait().unwrap().is_some() {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("it read less than {bytes} bytes in a minute");
}
