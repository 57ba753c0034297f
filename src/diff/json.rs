//! Manifests: two JSON values, key by key.

use super::{Difference, Sink};
use serde_json::Value;
use std::io;

/// Compares two manifests. Places are the keys from the root, with slashes.
///
/// # Errors
/// Error of `sink`.
pub fn manifests(a: &Value, b: &Value, sink: &mut Sink<'_>) -> io::Result<()> {
    value("", a, b, sink)
}

/// serde_json itself reads no more than 128 levels.
fn value(path: &str, a: &Value, b: &Value, sink: &mut Sink<'_>) -> io::Result<()> {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    let place = if path.is_empty() { "manifest" } else { path };
    match (a, b) {
        _ if a == b => Ok(()),
        (Value::Object(x), Value::Object(y)) => {
            for (key, one) in x {
                match y.get(key) {
                    Some(two) => value(&below(key), one, two, sink)?,
                    None => sink(Difference { a: Some(show(one)), ..gone(&below(key), "removed") })?,
                }
            }
            for (key, two) in y.iter().filter(|(key, _)| !x.contains_key(*key)) {
                sink(Difference { b: Some(show(two)), ..gone(&below(key), "added") })?;
            }
            Ok(())
        }
        (Value::Array(x), Value::Array(y)) => {
            for i in 0..x.len().max(y.len()) {
                let key = below(&i.to_string());
                match (x.get(i), y.get(i)) {
                    (Some(one), Some(two)) => value(&key, one, two, sink)?,
                    (Some(one), None) => sink(Difference { a: Some(show(one)), ..gone(&key, "removed") })?,
                    (None, Some(two)) => sink(Difference { b: Some(show(two)), ..gone(&key, "added") })?,
                    (None, None) => {}
                }
            }
            Ok(())
        }
        _ => sink(Difference::new(place, "value", "differs").values(show(a), show(b))),
    }
}

fn gone(place: &str, kind: &'static str) -> Difference {
    Difference::new(place, kind, if kind == "added" { "is in the second only" } else { "is in the first only" })
}

fn show(value: &Value) -> String {
    let text: String = value.to_string().chars().take(201).collect();
    if text.chars().count() > 200 { format!("{}…", text.chars().take(200).collect::<String>()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_named_from_the_root() {
        let a = json!({"lab": "l", "artifacts": {"n.ova": {"sha256": "00"}}, "old": 1, "list": [1, 2]});
        let b = json!({"lab": "l", "artifacts": {"n.ova": {"sha256": "01"}}, "new": 2, "list": [1]});
        let mut found = Vec::new();
        manifests(&a, &b, &mut |d| {
            found.push(d.to_string());
            Ok(())
        })
        .unwrap();
        let want = [
            "artifacts/n.ova/sha256: differs: \"00\" → \"01\" [value]",
            "old: is in the first only: 1 [removed]",
            "list/1: is in the first only: 2 [removed]",
            "new: is in the second only: 2 [added]",
        ];
        assert_eq!(found, want);
    }
}
