//! Units of sizes, and sizes as p9img prints them. `lab::units` reads them.

/// Units of a size with their bytes.
pub const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Units of 1024, each 1024 times the one before it.
const BINARY: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// The size in the largest unit that gives a whole number: `2 GiB`, `2 GB`, `1000 B`.
/// Nothing is rounded, so it may be written into `lab.toml`.
pub fn exact(bytes: u64) -> String {
    let whole = |(_, scale): &&(&str, u64)| *scale > 1 && bytes >= *scale && bytes.is_multiple_of(*scale);
    let (unit, scale) = UNITS.iter().filter(whole).min_by_key(|(_, scale)| bytes / scale).copied().unwrap_or(UNITS[0]);
    format!("{} {unit}", bytes / scale)
}

/// The size in the largest unit that it fills, always with one decimal, so that a
/// column is even: `1.3 GiB`, `512.0 MiB`.
pub fn even(bytes: u64) -> String {
    let (unit, scale) = filled(bytes);
    if scale == 1 { format!("{bytes} B") } else { tenths(bytes, unit, scale) }
}

/// As [`even`], but with no decimal if the number is whole: `1.3 GiB`, `512 MiB`.
pub fn short(bytes: u64) -> String {
    let (unit, scale) = filled(bytes);
    if bytes.is_multiple_of(scale) { format!("{} {unit}", bytes / scale) } else { tenths(bytes, unit, scale) }
}

/// Largest binary unit that the size fills once, and its bytes.
fn filled(bytes: u64) -> (&'static str, u64) {
    let step = (1..BINARY.len()).rev().find(|step| bytes >> (10 * step) > 0).unwrap_or(0);
    (BINARY[step], 1 << (10 * step))
}

fn tenths(bytes: u64, unit: &str, scale: u64) -> String {
    format!("{:.1} {unit}", bytes as f64 / scale as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_differ_in_whole_numbers() {
        let sizes = [0, 1000, 1023, 1024, 1536, 2_000_000_000, 2 << 30, 1 << 40, u64::MAX];
        for (form, texts) in [
            (
                even as fn(u64) -> String,
                ["0 B", "1000 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.9 GiB", "2.0 GiB", "1.0 TiB", "16777216.0 TiB"],
            ),
            (short, ["0 B", "1000 B", "1023 B", "1 KiB", "1.5 KiB", "1.9 GiB", "2 GiB", "1 TiB", "16777216.0 TiB"]),
            (exact, ["0 B", "1 kB", "1023 B", "1 KiB", "1536 B", "2 GB", "2 GiB", "1 TiB", "18446744073709551615 B"]),
        ] {
            assert_eq!(sizes.map(form), texts);
        }
    }
}
