//! The word that somebody probably meant: the rule behind "did you mean" in all
//! messages.

/// The candidate that `word` was probably meant to be; the first of equals.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.trim().to_lowercase();
    // Nobody mistypes a name this long, and the distance costs a product of lengths.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let near = |c: &str| strsim::damerau_levenshtein(&word, &c.to_lowercase());
    let best = candidates.into_iter().filter(|c| c.len() <= 64).map(|c| (near(c), c)).min_by_key(|(d, _)| *d)?;
    let longest = word.chars().count().max(best.1.chars().count());
    (best.0 <= (longest / 3).max(1) && best.0 < longest).then_some(best.1)
}

/// End of a message, `; did you mean "cpu"?`, or nothing if no candidate is near.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let words = ["cpu", "auth", "fs"];
        assert_eq!(nearest("cpus", words), Some("cpu"));
        assert_eq!(nearest(" Auht ", words), Some("auth"));
        assert_eq!(suggest("gs", words), "; did you mean \"fs\"?");
        for far in ["", "x", "terminal", &"c".repeat(65)] {
            assert_eq!((nearest(far, words), suggest(far, words)), (None, String::new()), "{far}");
        }
    }
}
