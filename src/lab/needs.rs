//! The rule of a role that others must be there.

use serde::Deserialize;
use std::fmt::{self, Display, Formatter};

/// Roles of which one must be there: `cpu|terminal` is one or the other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Need(Vec<String>);

impl From<&str> for Need {
    fn from(text: &str) -> Self {
        Self(text.split('|').map(|role| role.trim().to_owned()).collect())
    }
}

impl From<String> for Need {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Need {
    /// The alternatives.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether one of them is in `roles`.
    pub fn is_met<'a>(&self, mut roles: impl Iterator<Item = &'a str>) -> bool {
        roles.any(|role| self.0.iter().any(|one| one == role))
    }
}

impl Display for Need {
    /// As a role has it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_alternatives_is_enough() {
        let need = Need::from("cpu | terminal");
        assert_eq!(need.to_string(), "cpu|terminal");
        for (roles, met) in [(&["fs", "terminal"][..], true), (&["cpu"], true), (&["fs"], false), (&[], false)] {
            assert_eq!(need.is_met(roles.iter().copied()), met, "{roles:?}");
        }
    }
}
