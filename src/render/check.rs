//! The checks that roles bring along: what `p9img test` types on a node's
//! console, or runs on this machine, and what must come back.
//!
//! A check belongs to a role's folder (or to the distribution, for what every
//! node must do) and is rendered once for each node with the role and each
//! place where it is tried. Passwords are known to `answers` alone, which are
//! typed when a program asks for them and are never printed.

use super::RenderError;
use super::catalog::Catalog;
use super::engine::{Engine, Scene};
use super::node::{scene, view};
use super::role::Kernel;
use super::source::Source;
use super::systems::Systems;
use crate::lab::{Lab, Node, Secrets};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use toml::Spanned;

/// Seconds that a check may take unless it says otherwise.
const TIMEOUT: u64 = 60;

/// A port that nodes with a role listen on, and that people reach from the
/// host when the lab runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// What it is for, in a word: `cpu`, `9fs`.
    pub name: String,
    pub tcp: u16,
    /// For this distribution alone, and those that are like it.
    pub only: Option<String>,
}

/// A check as its author writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckToml {
    /// What is proven, as a sentence.
    pub name: Spanned<String>,
    #[serde(default)]
    pub at: At,
    /// Template of what is typed.
    pub run: Spanned<String>,
    /// Template of a text that must be in the output.
    pub expect: Option<Spanned<String>>,
    /// Pairs of a text to wait for and the reply to type.
    #[serde(default)]
    pub answers: Vec<[Spanned<String>; 2]>,
    /// Seconds.
    pub timeout: Option<u64>,
    #[serde(default = "middle")]
    pub order: i64,
    /// It deals with other nodes, though it is typed on the node itself.
    #[serde(default)]
    pub network: bool,
    /// For nodes of this distribution alone, and those that are like it.
    pub only: Option<String>,
    /// Typed on nodes of this distribution alone, and those that are like it.
    pub only_at: Option<String>,
    /// It needs two nodes of one distribution: why, as a template. Where they are
    /// of two, the check is left out and says this.
    pub alike: Option<Spanned<String>>,
}

/// Where a check is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum At {
    /// On the role's node.
    #[default]
    #[serde(rename = "self")]
    Itself,
    /// On every other node with a cpu server's kernel.
    Others,
    /// On the machine that runs the lab.
    Host,
}

/// A check, ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The role that brings it; the distribution's name for its own.
    pub role: String,
    /// The node that is checked.
    pub node: String,
    pub place: Place,
    pub name: String,
    /// rc for a node, sh for the host; one line or several.
    pub run: String,
    /// Must be in the output.
    pub expect: Option<String>,
    /// Wait for the first, type the second. Secret.
    pub answers: Vec<(String, String)>,
    pub timeout: Duration,
    /// Whether it deals with other nodes.
    pub network: bool,
    /// Smaller runs first.
    pub order: i64,
    /// Why it cannot be tried, whatever runs.
    pub left_out: Option<String>,
}

/// Where a check runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a node's console.
    Node(String),
    /// In a shell of this machine.
    Host,
}

impl Check {
    /// The name of the place, for people.
    pub fn at(&self) -> &str {
        match &self.place {
            Place::Node(name) => name,
            Place::Host => "host",
        }
    }
}

fn middle() -> i64 {
    50
}

/// Local ports of the host by node and by the port's name.
pub type HostPorts = BTreeMap<String, BTreeMap<String, u16>>;

impl Catalog {
    /// The ports that a node's roles have, in the order of its roles.
    ///
    /// # Errors
    /// When a role or the distribution is not known.
    pub fn ports(&self, systems: &Systems, node: &Node) -> Result<Vec<Port>, RenderError> {
        let distribution = self.distribution(systems.of(node))?;
        let mut out: Vec<Port> = Vec::new();
        for role in &node.roles {
            for port in self.role(role)?.ports.iter().filter(|p| distribution.is_for(&p.only)) {
                if !out.iter().any(|p| p.name == port.name || p.tcp == port.tcp) {
                    out.push(port.clone());
                }
            }
        }
        Ok(out)
    }

    /// Which kernel a node's roles want.
    ///
    /// # Errors
    /// When a role is not known.
    pub fn kernel(&self, node: &Node) -> Result<Option<Kernel>, RenderError> {
        for role in &node.roles {
            if let Some(kernel) = self.role(role)?.kernel {
                return Ok(Some(kernel));
            }
        }
        Ok(None)
    }

    /// Renders the checks of every node of a running lab, in the order to run
    /// them. `ports` are those of the host.
    ///
    /// # Errors
    /// When a template names a variable that does not exist.
    pub fn checks(
        &self,
        lab: &Lab,
        systems: &Systems,
        secrets: &Secrets,
        ports: &HostPorts,
    ) -> Result<Vec<Check>, RenderError> {
        let mut out = Vec::new();
        for node in &lab.nodes {
            let distribution = self.distribution(systems.of(node))?;
            for d in distribution.chain.iter().rev() {
                let toml = self.distribution_toml(d);
                self.checks_of(&d.checks, toml, &d.name, lab, node, systems, (secrets, ports), &mut out)?;
            }
            for role in &node.roles {
                let role = self.role(role)?;
                let toml = self.role_toml(role);
                self.checks_of(&role.checks, toml, &role.name, lab, node, systems, (secrets, ports), &mut out)?;
            }
        }
        out.sort_by_key(|c| c.order);
        Ok(out)
    }

    #[expect(clippy::too_many_arguments, reason = "all of the scene that a check is rendered in")]
    fn checks_of(
        &self,
        checks: &[CheckToml],
        toml: &Source,
        role: &str,
        lab: &Lab,
        node: &Node,
        systems: &Systems,
        (secrets, ports): (&Secrets, &HostPorts),
        out: &mut Vec<Check>,
    ) -> Result<(), RenderError> {
        let distribution = self.distribution(systems.of(node))?;
        for check in checks.iter().filter(|c| distribution.is_for(&c.only)) {
            for at in self.places(check.at, lab, node)? {
                let here = at.unwrap_or(node);
                let there = self.distribution(systems.of(here))?;
                if !there.is_for(&check.only_at) {
                    continue;
                }
                let mut scene = scene(lab, node, self, systems)?;
                scene.set("at", serde_json::to_value(view(lab, here, self, systems)?).unwrap_or_default());
                scene.set("ports", json!(ports));
                let text = |v: &Spanned<String>, scene: &Scene| self.engine.render(&self.place(toml, v), scene);
                let mut private = scene.clone();
                private.set("password", passwords(lab, secrets));
                let answers = check.answers.iter();
                let left_out = check.alike.as_ref().filter(|_| there.name != distribution.name);
                out.push(Check {
                    role: role.to_owned(),
                    node: node.name.clone(),
                    place: at.map_or(Place::Host, |n| Place::Node(n.name.clone())),
                    name: text(&check.name, &scene)?,
                    run: text(&check.run, &scene)?,
                    expect: check.expect.as_ref().map(|e| text(e, &scene)).transpose()?,
                    answers: answers
                        .map(|[wait, reply]| Ok((text(wait, &scene)?, text(reply, &private)?)))
                        .collect::<Result<_, RenderError>>()?,
                    timeout: Duration::from_secs(check.timeout.unwrap_or(TIMEOUT)),
                    network: check.network,
                    order: check.order,
                    left_out: left_out.map(|why| text(why, &scene)).transpose()?,
                });
            }
        }
        Ok(())
    }

    /// Where a check of `node` is tried; `None` is the host.
    fn places<'a>(&self, at: At, lab: &'a Lab, node: &'a Node) -> Result<Vec<Option<&'a Node>>, RenderError> {
        match at {
            At::Itself => Ok(vec![Some(node)]),
            At::Host => Ok(vec![None]),
            At::Others => {
                let mut out = Vec::new();
                for other in lab.nodes.iter().filter(|n| n.name != node.name) {
                    if self.kernel(other)? == Some(Kernel::Cpu) {
                        out.push(Some(other));
                    }
                }
                Ok(out)
            }
        }
    }
}

/// Compiles the templates of checks.
pub(super) fn compile(engine: &mut Engine, toml: &Source, checks: &[CheckToml]) -> Result<(), RenderError> {
    for check in checks {
        let answers = check.answers.iter().flatten();
        for value in [&check.name, &check.run].into_iter().chain(&check.expect).chain(&check.alike).chain(answers) {
            engine.add_value(toml, value)?;
        }
    }
    Ok(())
}

fn passwords(lab: &Lab, secrets: &Secrets) -> Value {
    let names = std::iter::once(&lab.hostowner).chain(lab.users.iter().map(|u| &u.name));
    names.filter_map(|n| Some((n.clone(), secrets.password(n)?.into()))).collect::<serde_json::Map<_, Value>>().into()
}
