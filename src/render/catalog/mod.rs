//! Every role and distribution there is, read and checked once.

mod compile;
mod resolved;

pub(super) use resolved::Resolved;

use super::RenderError;
use super::engine::Engine;
use super::schema::{Distribution, Kernel, Port, Role, Secret};
use super::source::{self, Source, Sources};
use super::systems::Systems;
use crate::digest::FieldHasher;
use crate::lab::words;
use crate::lab::{Arch, Fs, Lab, Node, RoleFacts, names};
use crate::root::ROOTS;
use crate::suggest::suggest;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;

/// The roles and templates that a lab can use: those in the binary, with the
/// lab folder's `roles/` and `templates/` over them file by file.
pub struct Catalog {
    pub(in crate::render) sources: Sources,
    pub(in crate::render) engine: Engine,
    roles: BTreeMap<String, Role>,
    distributions: BTreeMap<String, Distribution>,
}

impl Catalog {
    /// The built-in roles alone.
    ///
    /// # Errors
    /// Never, unless the program was built with broken roles.
    pub fn embedded() -> Result<Self, RenderError> {
        Self::new(source::embedded())
    }

    /// The built-in roles, with those in `folder`, which has the lab file, over them.
    ///
    /// # Errors
    /// Fails when a role or template in `folder` cannot be read or has a mistake.
    pub fn load(folder: &Path) -> Result<Self, RenderError> {
        let mut sources = source::embedded();
        source::add_folder(folder, &mut sources)?;
        Self::new(sources)
    }

    pub(in crate::render) fn new(sources: Sources) -> Result<Self, RenderError> {
        let mut roles = BTreeMap::new();
        let mut distributions = BTreeMap::new();
        for (name, source) in &sources {
            let elements: Vec<_> = name.split('/').collect();
            match elements[..] {
                ["roles", folder, "role.toml"] => {
                    names::storable("The role's folder", folder)
                        .map_err(|p| RenderError::at(source.place.clone(), p.to_string()))?;
                    let role = Role { name: folder.into(), ..source.parse()? };
                    roles.insert(folder.to_owned(), role);
                }
                ["templates", folder, "distribution.toml"] => {
                    let parsed = source.parse().map_err(|e| old_key(source).unwrap_or(e));
                    let d = Distribution { name: folder.into(), ..parsed? };
                    distributions.insert(folder.to_owned(), d);
                }
                _ => {}
            }
        }
        let mut catalog = Self { sources, engine: Engine::new(), roles, distributions };
        catalog.check_roles()?;
        catalog.check_distributions()?;
        catalog.compile()?;
        Ok(catalog)
    }

    /// Notes for authors of roles, such as on sizes that were rounded.
    pub fn notes(&self) -> Vec<String> {
        let of = |role: &Role| {
            let notes = role.partitions.iter().filter_map(|p| p.get_ref().rounded.clone());
            notes.map(|note| format!("{}: {note}", self.role_toml(role).place)).collect::<Vec<_>>()
        };
        self.roles.values().flat_map(of).collect()
    }

    /// A digest of every file of every role and template, with their names.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = FieldHasher::new();
        for (name, source) in &self.sources {
            for part in [name.as_bytes(), source.place.as_bytes(), &source.bytes] {
                hash.field(part);
            }
        }
        hash.finish().0
    }

    /// Every role, sorted by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// The text of a template that no distribution owns, such as
    /// `templates/lab/node.ovf`, and the place to name in messages.
    ///
    /// # Errors
    /// Fails when there is no such template, or it is not text.
    pub fn template(&self, name: &str) -> Result<(&str, &str), RenderError> {
        let missing = || RenderError::at(name, "There is no such template");
        let source = self.sources.get(name).ok_or_else(missing)?;
        Ok((&source.place, source.text()?))
    }

    /// Distributions with rules of their own. One that is like another, such as the
    /// sample, starts as that one does.
    pub(in crate::render) fn own_distributions(&self) -> impl Iterator<Item = &str> {
        self.distributions.values().filter(|d| d.like.is_none()).map(|d| d.name.as_str())
    }

    pub(in crate::render) fn distribution_names(&self) -> impl Iterator<Item = &str> {
        self.distributions.keys().map(String::as_str)
    }

    pub(in crate::render) fn role_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.roles.keys().map(String::as_str)
    }

    /// The medium's files that start every node of a distribution.
    ///
    /// # Errors
    /// Fails when the catalog lacks the distribution.
    pub fn boot_files(&self, distribution: &str) -> Result<Vec<String>, RenderError> {
        let boot = self.distribution(distribution)?.boot();
        Ok(boot.map(|b| vec![b.mbr.clone(), b.pbs.clone(), b.loader.clone()]).unwrap_or_default())
    }

    /// The root file system of a node that is built from a medium of
    /// `distribution`.
    ///
    /// # Errors
    /// Fails when the catalog lacks the distribution, or the distribution cannot
    /// start from the root that the node names.
    pub fn fs(&self, distribution: &str, node: &Node) -> Result<Fs, RenderError> {
        self.distribution(distribution)?.fs(node)
    }

    /// The root file system of a node that names none.
    ///
    /// # Errors
    /// Fails when the catalog lacks the distribution.
    pub fn default_fs(&self, distribution: &str) -> Result<Fs, RenderError> {
        let d = self.distribution(distribution)?;
        Ok(d.first(|d| d.fs.as_ref()).and_then(|all| all.first()?.get_ref().parse().ok()).unwrap_or(Fs::DEFAULT))
    }

    /// Architectures of a distribution's PCs, the usual one first.
    ///
    /// # Errors
    /// Fails when the catalog lacks the distribution.
    pub fn architectures(&self, distribution: &str) -> Result<Vec<Arch>, RenderError> {
        let words = self.distribution(distribution)?.first(|d| d.arch.as_ref());
        Ok(words.into_iter().flatten().filter_map(|word| words::parse(word).ok()).collect())
    }

    /// The medium's file that is a distribution's kernel; `None` when it has
    /// none at all.
    ///
    /// # Errors
    /// Fails when the distribution has kernels, but none of this kind for the
    /// architecture, or when the catalog lacks the distribution.
    pub fn kernel_file(&self, distribution: &str, kind: Kernel, machine: &str) -> Result<Option<&str>, RenderError> {
        self.distribution(distribution)?.kernel(kind, machine)
    }

    /// Whether every node with a key file is of a distribution with dp9ik: an
    /// authentication server of another has no keys for it, and answers nobody who
    /// asks.
    pub(in crate::render) fn servers_know_dp9ik(&self, lab: &Lab, systems: &Systems) -> Result<bool, RenderError> {
        for node in &lab.nodes {
            for role in &node.roles {
                let server = self.role(role)?.secrets.contains(&Secret::Keys);
                if server && !self.distribution(systems.of(node))?.dp9ik() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The ports that a node's roles have, in the order of its roles. Roles that do
    /// not agree about a port are mistakes of [`Self::wrong_nodes`].
    ///
    /// # Errors
    /// Fails when the catalog lacks the distribution or a role.
    pub fn ports(&self, systems: &Systems, node: &Node) -> Result<Vec<Port>, RenderError> {
        let distribution = self.distribution(systems.of(node))?;
        let mut out: Vec<Port> = Vec::new();
        for role in &node.roles {
            let own = self.role(role)?.ports.iter().map(Spanned::get_ref);
            for port in own.filter(|p| distribution.is_for(&p.only)) {
                if !out.iter().any(|p| p.name == port.name || p.tcp == port.tcp) {
                    out.push(port.clone());
                }
            }
        }
        Ok(out)
    }

    /// Kernel that a node's roles need: that of the first role which names one.
    ///
    /// # Errors
    /// Fails when the catalog lacks a role.
    pub fn kernel(&self, node: &Node) -> Result<Option<Kernel>, RenderError> {
        for role in &node.roles {
            if let Some(kernel) = self.role(role)?.kernel {
                return Ok(Some(kernel));
            }
        }
        Ok(None)
    }

    /// Facts about roles for the checks of a lab file, sorted by name.
    pub fn facts(&self) -> Vec<RoleFacts> {
        let facts = |r: &Role| RoleFacts {
            name: r.name.clone(),
            conflicts: r.conflicts.clone(),
            needs: r.needs.clone(),
            needs_in_lab: r.needs_in_lab.clone(),
            needs_on_medium: r.needs_on_medium.clone(),
            at_most_one: r.at_most_one,
            ports: r.ports.iter().map(Spanned::get_ref).filter(|p| p.only.is_none()).map(|p| p.tcp).collect(),
            boards: r.boards.iter().map(|b| b.get_ref().clone()).collect(),
            partitions: r.partitions.iter().map(|p| p.get_ref().name.clone()).collect(),
        };
        self.roles.values().map(facts).collect()
    }

    pub(in crate::render) fn role(&self, name: &str) -> Result<&Role, RenderError> {
        self.roles
            .get(name)
            .ok_or_else(|| RenderError::UnknownRole { name: name.into(), suggestion: suggest(name, self.role_names()) })
    }

    pub(in crate::render) fn distribution(&self, name: &str) -> Result<Resolved<'_>, RenderError> {
        let mut chain: Vec<&Distribution> = Vec::new();
        let mut next = Some(name);
        while let Some(name) = next {
            let d = self.distributions.get(name).ok_or_else(|| RenderError::UnknownDistribution {
                name: name.into(),
                known: self.distributions.keys().cloned().collect::<Vec<_>>().join(", "),
            })?;
            if chain.iter().any(|c| c.name == d.name) {
                return Err(RenderError::at(
                    self.distribution_toml(d).place.clone(),
                    format!("The distribution is like {name:?}, which is like it in turn"),
                ));
            }
            chain.push(d);
            next = d.like.as_ref().map(|l| l.get_ref().as_str());
        }
        Ok(Resolved { name: &chain[0].name, chain })
    }

    pub(in crate::render) fn role_toml(&self, role: &Role) -> &Source {
        &self.sources[&format!("roles/{}/role.toml", role.name)]
    }

    pub(in crate::render) fn distribution_toml(&self, d: &Distribution) -> &Source {
        &self.sources[&format!("templates/{}/distribution.toml", d.name)]
    }

    /// The place of a value in a TOML file, for messages.
    pub(in crate::render) fn place(&self, toml: &Source, value: &Spanned<String>) -> String {
        toml.at(value.span().start)
    }

    /// The name of a role's file: the distribution's own variant, one of a
    /// distribution that it is like, or the one for all.
    pub(in crate::render) fn variant(&self, folder: &str, distribution: &Resolved<'_>, file: &str) -> Option<String> {
        let own = distribution.chain.iter().map(|d| format!("{folder}/{}/{file}", d.name));
        own.chain([format!("{folder}/{file}")]).find(|name| self.sources.contains_key(name))
    }
}

/// Error about a key that an earlier version of p9img had for the configuration of a
/// root; none where the file has no such key.
fn old_key(toml: &Source) -> Option<RenderError> {
    let keys: BTreeMap<Spanned<String>, toml::Value> = toml.parse().ok()?;
    let found = keys.iter().find_map(|(key, value)| {
        let root = ROOTS.iter().find(|root| root.config == Some(key.get_ref().as_str()))?;
        Some((key, value, root))
    });
    let (key, value, root) = found?;
    let message =
        format!("There is no key `{}`: write `{} = {value}` in a table `[root_config]`", key.get_ref(), root.word);
    Some(RenderError::at(toml.at(key.span().start), message))
}
