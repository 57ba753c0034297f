//! Clashes: values of two roles of one node, of which one would be dropped.
//!
//! Ports, partitions and users are judged here, for which the roles' TOML files
//! are enough; two files at one path are found where paths are rendered.

use super::RenderError;
use super::catalog::{Catalog, Resolved};
use super::schema::{Role, SystemUser};
use super::source::Source;
use super::systems::Systems;
use crate::lab::mistakes::{Kind, Notes, Span, quote};
use crate::lab::{Mistake, Node};
use std::ops::Range;
use toml::Spanned;

/// Two values that a node cannot both have.
pub(super) struct Clash<'a> {
    message: String,
    help: &'static str,
    at: At<'a>,
    first: At<'a>,
}

/// Position of a value in a TOML file.
#[derive(Clone)]
struct At<'a> {
    toml: &'a Source,
    span: Range<usize>,
}

impl At<'_> {
    fn place(&self) -> Span {
        Notes::new(&self.toml.place, self.toml.text().unwrap_or_default()).place(&self.span)
    }
}

impl Clash<'_> {
    pub fn mistake(&self) -> Mistake {
        Mistake {
            kind: Kind::Conflict,
            message: self.message.clone(),
            expected: None,
            help: Some(self.help.into()),
            remedy: None,
            place: Some(self.at.place()),
            first: Some(self.first.place()),
        }
    }

    pub fn error(&self) -> RenderError {
        let message = format!("{} (see also {}); {}", self.message, self.first.place(), self.help);
        RenderError::at(self.at.toml.at(self.at.span.start), message)
    }
}

/// A value, the role or distribution that brings it, and its position.
struct Brought<'a, T> {
    value: &'a T,
    whose: String,
    at: At<'a>,
}

impl<'a, T> Brought<'a, T> {
    fn new(value: &'a Spanned<T>, whose: &str, toml: &'a Source) -> Self {
        Self { value: value.get_ref(), whose: whose.into(), at: At { toml, span: value.span() } }
    }

    /// The first value that does not agree with one before it, and that one.
    fn clash(
        all: &[Self],
        help: &'static str,
        message: impl Fn(&Self, &Self) -> Option<String>,
    ) -> impl Iterator<Item = Clash<'a>> {
        let clash = move |(i, second): (usize, &Self)| {
            let found = |first: &Self| Some((message(first, second)?, first.at.clone()));
            let (message, first) = all[..i].iter().find_map(found)?;
            Some(Clash { message, help, at: second.at.clone(), first })
        };
        all.iter().enumerate().filter_map(clash).collect::<Vec<_>>().into_iter()
    }
}

/// Beginning of a message about two values: the node, and the roles that bring them.
fn both<T>(node: &Node, a: &Brought<'_, T>, b: &Brought<'_, T>) -> String {
    match a.whose == b.whose {
        true => format!("Node {}: The {} has twice", node.name, a.whose),
        false => format!("Node {}: The {} and the {} both have", node.name, a.whose, b.whose),
    }
}

impl Catalog {
    /// Clashes between the values that the roles of `node` and its distribution bring.
    ///
    /// # Errors
    /// Fails when the catalog lacks a role of the node.
    pub(super) fn clashes<'a>(
        &'a self,
        distribution: &Resolved<'a>,
        node: &Node,
    ) -> Result<Vec<Clash<'a>>, RenderError> {
        let roles = node.roles.iter().map(|r| self.role(r)).collect::<Result<Vec<_>, _>>()?;
        let whose = |role: &Role| format!("role {}", role.name);
        let mut ports = Vec::new();
        let mut partitions = Vec::new();
        let mut users = Vec::new();
        for d in distribution.chain.iter().copied() {
            let of = |u| Brought::new(u, &format!("distribution {}", d.name), self.distribution_toml(d));
            users.extend(d.users.iter().map(of));
        }
        for role in roles {
            let toml = self.role_toml(role);
            let own = role.ports.iter().filter(|p| distribution.is_for(&p.get_ref().only));
            ports.extend(own.map(|p| Brought::new(p, &whose(role), toml)));
            partitions.extend(role.partitions.iter().map(|p| Brought::new(p, &whose(role), toml)));
            users.extend(role.users.iter().map(|u| Brought::new(u, &whose(role), toml)));
        }
        let port = Brought::clash(&ports, "give each port one name and each name one port", |a, b| {
            let both = both(node, a, b);
            let (a, b) = (a.value, b.value);
            match (a.name == b.name, a.tcp == b.tcp) {
                (true, false) => {
                    Some(format!("{both} a [[port]] called {}, tcp {} and tcp {}", quote(&a.name), a.tcp, b.tcp))
                }
                (false, true) => {
                    Some(format!("{both} a [[port]] of tcp {}, {} and {}", a.tcp, quote(&a.name), quote(&b.name)))
                }
                // Two that say the same lose nothing when one of them is dropped.
                _ => None,
            }
        });
        let partition = Brought::clash(&partitions, "give each its own name", |a, b| {
            let both = both(node, a, b);
            (a.value.name == b.value.name).then(|| format!("{both} a partition {}", quote(&a.value.name)))
        });
        let user = Brought::clash(&users, "give the same values in both, or leave it out of one", |a, b| {
            let both = both(node, a, b);
            differ(a.value, b.value).map(|what| format!("{both} {what}"))
        });
        Ok(port.chain(partition).chain(user).collect())
    }

    /// Refuses a node whose roles bring values that clash.
    ///
    /// # Errors
    /// The first clash, or an unknown role or distribution.
    pub fn agree(&self, systems: &Systems, node: &Node) -> Result<(), RenderError> {
        let clashes = self.clashes(&self.distribution(systems.of(node))?, node)?;
        clashes.first().map_or(Ok(()), |clash| Err(clash.error()))
    }
}

/// Difference between two entries of the file system's users, if they clash.
fn differ(a: &SystemUser, b: &SystemUser) -> Option<String> {
    match (a.id, b.id) {
        (Some(x), Some(y)) if a.name == b.name && x != y => {
            return Some(format!("a user {}, with the numbers {x} and {y}", quote(&a.name)));
        }
        (Some(x), Some(y)) if a.name != b.name && x == y => {
            return Some(format!("a user with the number {x}, {} and {}", quote(&a.name), quote(&b.name)));
        }
        _ => {}
    }
    let led = a.name == b.name && !a.leader.is_empty() && !b.leader.is_empty() && a.leader != b.leader;
    led.then(|| format!("a user {}, led by {} and by {}", quote(&a.name), quote(&a.leader), quote(&b.leader)))
}
