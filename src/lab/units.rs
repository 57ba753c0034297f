//! Sizes, times and hardware addresses as people write them.

use super::mistakes::{Problem, quote};
use super::model::Mac;
use super::value::Scalar;
use crate::count;
use crate::read_at::SECTOR;
use crate::size::UNITS;
use crate::suggest::nearest;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const SIZE: &str = "a size such as `\"512 MiB\"`";

/// Bytes of `2 GiB`, `1.5 GB` or `1048576`: a decimal number, perhaps a blank,
/// a unit from `UNITS` (none: bytes). Binary units count in 1024, decimal ones
/// in 1000. A fraction of a byte is dropped.
///
/// # Errors
/// Not a number, an unknown unit, or more than `u64` holds.
pub fn size(text: &str) -> Result<u64, Problem> {
    let bad = |what: &str| Problem::bad(format!("{} is not a size: {what}", quote(text))).expected(SIZE);
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim_start();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.contains('.') {
        return Err(bad("it does not begin with a number"));
    }
    let scale = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) => *scale,
        None if unit.is_empty() => 1,
        None => return Err(unknown_unit(bad(&format!("unknown unit {}", quote(unit))), number, unit)),
    };
    let large = || bad("it is too large a number");
    let whole: u64 = whole.parse().map_err(|_| large())?;
    // Digits after the 18th are less than a byte of any unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let tenths = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let parts = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().map_err(|_| large())? };
    let parts = parts * u128::from(scale) / tenths;
    u64::try_from(u128::from(whole) * u128::from(scale) + parts).map_err(|_| large())
}

/// Size of a disk or partition: whole sectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sectors {
    pub bytes: u64,
    /// Note on the rounding, for the author of the size.
    pub rounded: Option<String>,
}

/// `bytes`, which are written as `text`, rounded down to whole sectors.
///
/// # Errors
/// Less than one sector, and not nothing.
pub fn sectors(text: &str, bytes: u64) -> Result<Sectors, Problem> {
    let whole = bytes / SECTOR * SECTOR;
    if whole == bytes && (bytes > 0 || !text.contains(|c: char| ('1'..='9').contains(&c))) {
        return Ok(Sectors { bytes, rounded: None });
    }
    if whole == 0 {
        return Err(Problem::bad(format!("{} is less than a sector, which has {SECTOR} bytes", quote(text))));
    }
    let note = format!(
        "{} is {bytes}; rounded down to {whole}, whole sectors of {SECTOR}",
        quote(text.trim()),
        bytes = count::of(bytes, "byte")
    );
    Ok(Sectors { bytes: whole, rounded: Some(note) })
}

fn unknown_unit(problem: Problem, number: &str, unit: &str) -> Problem {
    let prefix = match unit.to_ascii_lowercase().as_str() {
        "k" => "K",
        "m" => "M",
        "g" => "G",
        "t" => "T",
        _ => {
            let near = nearest(unit, UNITS.iter().map(|(name, _)| *name));
            return match near {
                Some(near) => problem.help(format!("did you mean `\"{number} {near}\"`?")),
                None => problem.help("the units are B, kB, MB, GB, TB (1000 each) and KiB, MiB, GiB, TiB (1024 each)"),
            };
        }
    };
    problem.help(format!("say which: `\"{number} {prefix}iB\"` counts in 1024, `\"{number} {prefix}B\"` in 1000"))
}

/// A size with a unit, or an integer of bytes.
pub(crate) fn size_value(scalar: Scalar<'_>) -> Result<u64, Problem> {
    match scalar {
        Scalar::Text(text) => size(text),
        Scalar::Number(bytes) => {
            u64::try_from(bytes).map_err(|_| Problem::bad(format!("{bytes} is not a size in bytes")).expected(SIZE))
        }
        Scalar::Time(time) => Err(Problem::bad(format!("{time} is not a size")).expected(SIZE)),
    }
}

/// As [`size_value`], in whole sectors.
pub(crate) fn sectors_value(scalar: Scalar<'_>) -> Result<Sectors, Problem> {
    match scalar {
        Scalar::Text(text) => sectors(text, size(text)?),
        Scalar::Number(number) => sectors(&number.to_string(), size_value(scalar)?),
        Scalar::Time(_) => size_value(scalar).and_then(|bytes| sectors("", bytes)),
    }
}

/// First second that FAT can stamp: 1980-01-01T00:00:00Z.
pub const EPOCH_MIN: u32 = 315_532_800;

pub(crate) const EPOCH: &str = "a time such as `2026-01-01T00:00:00Z`, or seconds since 1970";

/// An epoch from seconds since 1970.
///
/// # Errors
/// Before 1980 (FAT's first year) or after 2106-02-07T06:28:15Z (Plan 9's last second).
pub fn epoch(seconds: i128) -> Result<u32, Problem> {
    u32::try_from(seconds).ok().filter(|s| *s >= EPOCH_MIN).ok_or_else(|| {
        Problem::bad(format!(
            "The epoch is {seconds} after 1970, which not every file system can store",
            seconds = count::of(seconds, "second")
        ))
        .expected("1980-01-01T00:00:00Z (315532800) to 2106-02-07T06:28:15Z (4294967295)")
    })
}

/// The epoch that `SOURCE_DATE_EPOCH` holds: decimal seconds since 1970.
///
/// # Errors
/// Not a decimal number, or out of the range of [`epoch`].
pub fn source_date_epoch(text: &str) -> Result<u32, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = if digits { text.parse().ok() } else { None };
    let bad = || {
        Problem::bad(format!("SOURCE_DATE_EPOCH is {}", quote(text)))
            .expected("seconds since 1970, such as `1767225600`")
    };
    epoch(seconds.ok_or_else(bad)?)
}

pub(crate) fn epoch_value(scalar: Scalar<'_>) -> Result<u32, Problem> {
    let wrong = |what: String| Problem::bad(what).expected(EPOCH);
    let time = match scalar {
        Scalar::Number(seconds) => return epoch(seconds),
        Scalar::Text(text) => {
            return Err(wrong(format!("The epoch {} is a text", quote(text))).help("a time is written without quotes"));
        }
        Scalar::Time(time) => time,
    };
    if time.offset.is_none() {
        let text = match (time.date, time.time) {
            (Some(date), None) => format!("{date}T00:00:00Z"),
            (Some(_), Some(_)) => format!("{time}Z"),
            _ => return Err(wrong(format!("The epoch {time} has no date"))),
        };
        return Err(wrong(format!("The epoch {time} has no offset from UTC")).help(format!("write `{text}`")));
    }
    let parsed = OffsetDateTime::parse(&time.to_string(), &Rfc3339);
    let instant = parsed.map_err(|_| wrong(format!("The epoch {time} is not a time")))?;
    if instant.nanosecond() != 0 {
        return Err(wrong(format!("The epoch {time} has a fraction of a second")).help("give whole seconds"));
    }
    epoch(i128::from(instant.unix_timestamp()))
}

/// A unicast MAC address: six hexadecimal bytes with colons.
///
/// # Errors
/// Another form, a group address, or all zero.
pub fn mac(text: &str) -> Result<Mac, Problem> {
    let wrong = |what: &str| Problem::bad(format!("{} is not a MAC address: {what}", quote(text)));
    let example = "six bytes such as `\"52:54:00:09:00:01\"`";
    let parts: Vec<&str> = text.split(':').take(7).collect();
    let hex = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.len() != 6 || !parts.iter().all(hex) {
        return Err(wrong("it is not six pairs of hexadecimal digits with colons").expected(example));
    }
    let mut bytes = [0; 6];
    for (byte, part) in bytes.iter_mut().zip(&parts) {
        *byte = u8::from_str_radix(part, 16).unwrap_or(0);
    }
    if bytes[0] & 1 == 1 {
        let fixed = Mac([bytes[0] & 0xFE, bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]]);
        let problem = wrong("its first byte is odd, which makes it the address of a group");
        return Err(problem.help(format!("for one card, `\"{fixed}\"`")));
    }
    if bytes == [0; 6] {
        return Err(wrong("it is all zero").expected(example));
    }
    Ok(Mac(bytes))
}
