//! Times as p9img prints them.

/// Seconds since 1970 as UTC for people: `2026-01-01 00:00:00`.
pub fn time(seconds: u32) -> String {
    let t = time::OffsetDateTime::from_unix_timestamp(i64::from(seconds)).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (date, clock) = (t.date(), t.time());
    format!("{date} {:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second())
}
