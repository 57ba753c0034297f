//! Every role and distribution there is, read and checked once.

use super::RenderError;
use super::check;
use super::engine::Engine;
use super::error::suggest;
use super::node::{needs, render, scene};
use super::rendered::{RenderedFile, What};
use super::role::{self, Boot, Distribution, File, Kernel, Listeners, Role, Scope, Secret, line_and_column, text};
use super::source::{self, Source, Sources};
use super::systems::Systems;
use crate::lab::words::{self, Word as _};
use crate::lab::{Arch, Board, Fs, Lab, Node, RoleFacts, Secrets, names};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;

/// The roles and templates that a lab can use: those in the binary, with the
/// lab folder's `roles/` and `templates/` over them file by file.
pub struct Catalog {
    pub(super) sources: Sources,
    pub(super) engine: Engine,
    roles: BTreeMap<String, Role>,
    distributions: BTreeMap<String, Distribution>,
}

/// A distribution with what it is `like` filled in.
pub(super) struct Resolved<'a> {
    pub name: &'a str,
    /// The distribution's own folder first.
    pub chain: Vec<&'a Distribution>,
}

impl Catalog {
    /// The built-in roles alone.
    ///
    /// # Errors
    /// Never, unless the program was built with broken roles.
    pub fn embedded() -> Result<Self, RenderError> {
        Self::new(source::embedded())
    }

    /// The built-in roles with those beside a lab file in `folder` over them.
    ///
    /// # Errors
    /// When a role or template there cannot be read or makes no sense.
    pub fn load(folder: &Path) -> Result<Self, RenderError> {
        let mut sources = source::embedded();
        source::add_folder(folder, &mut sources)?;
        Self::new(sources)
    }

    pub(super) fn new(sources: Sources) -> Result<Self, RenderError> {
        let mut roles = BTreeMap::new();
        let mut distributions = BTreeMap::new();
        for (name, source) in &sources {
            let elements: Vec<_> = name.split('/').collect();
            match elements[..] {
                ["roles", folder, "role.toml"] => {
                    names::storable("The role's folder", folder)
                        .map_err(|p| RenderError::at(source.place.clone(), p.to_string()))?;
                    let role = Role { name: folder.into(), ..role::parse(source)? };
                    roles.insert(folder.to_owned(), role);
                }
                ["templates", folder, "distribution.toml"] => {
                    let d = Distribution { name: folder.into(), ..role::parse(source)? };
                    distributions.insert(folder.to_owned(), d);
                }
                _ => {}
            }
        }
        let mut catalog = Self { sources, engine: Engine::new(), roles, distributions };
        catalog.check_roles()?;
        catalog.compile()?;
        Ok(catalog)
    }

    /// What authors of roles should know, such as sizes that were rounded.
    pub fn notes(&self) -> Vec<String> {
        let of = |role: &Role| {
            let notes = role.partitions.iter().filter_map(|p| p.get_ref().rounded.clone());
            notes.map(|note| format!("{}: {note}", self.role_toml(role).place)).collect::<Vec<_>>()
        };
        self.roles.values().flat_map(of).collect()
    }

    /// Files that patterns leave out though nodes of the lab cannot do without
    /// them, whichever distribution the medium holds; each with who says so. What
    /// the nodes' own roles bring is not missing.
    pub fn left_out(&self, lab: &Lab, secrets: &Secrets, takes: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut common: Option<BTreeMap<String, String>> = None;
        // One that is like another, such as the sample, starts as that one does.
        for d in self.distributions.values().filter(|d| d.like.is_none()) {
            let systems = Systems::from(d.name.as_str());
            let mut missing = BTreeMap::new();
            for node in &lab.nodes {
                let Ok(distribution) = self.distribution(systems.of(node)) else { continue };
                let roles: Vec<&Role> = node.roles.iter().filter_map(|r| self.role(r).ok()).collect();
                let Ok(scene) = scene(lab, node, self, &systems) else { continue };
                let needs = needs(self, &distribution, &roles, &scene).unwrap_or_default();
                let mut needs: Vec<_> = needs.into_iter().filter(|(path, _)| !takes(path)).collect();
                if !needs.is_empty()
                    && let Ok(rendered) = render(lab, node, self, &systems, secrets)
                {
                    let brings = |f: &RenderedFile, path: &str| f.path == path && matches!(f.what, What::Bytes(_));
                    needs.retain(|(path, _)| !rendered.files.iter().any(|f| brings(f, path)));
                }
                missing.extend(needs);
            }
            common = Some(match common {
                None => missing,
                Some(all) => {
                    let both = all.into_iter().filter_map(|(path, who)| {
                        let also = missing.get(&path)?;
                        Some((path, if who == *also { who } else { format!("{who}, {also}") }))
                    });
                    both.collect()
                }
            });
        }
        common.unwrap_or_default().into_iter().collect()
    }

    /// A digest of every file of every role and template, with their names.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (name, source) in &self.sources {
            for part in [name.as_bytes(), source.place.as_bytes(), &source.bytes] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }

    /// Every role, sorted by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// The text of a template that no distribution owns, such as
    /// `templates/lab/node.ovf`, and the place to name in messages.
    ///
    /// # Errors
    /// When it is not text, or not there.
    pub fn template(&self, name: &str) -> Result<(&str, &str), RenderError> {
        let missing = || RenderError::at(name, "There is no such template");
        let source = self.sources.get(name).ok_or_else(missing)?;
        Ok((&source.place, text(source)?))
    }

    pub(super) fn distribution_names(&self) -> impl Iterator<Item = &str> {
        self.distributions.keys().map(String::as_str)
    }

    pub(super) fn role_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.roles.keys().map(String::as_str)
    }

    /// The medium's files that start every node of a distribution.
    ///
    /// # Errors
    /// When p9img does not know how to install the distribution.
    pub fn boot_files(&self, distribution: &str) -> Result<Vec<String>, RenderError> {
        let boot = self.distribution(distribution)?.boot();
        Ok(boot.map(|b| vec![b.mbr.clone(), b.pbs.clone(), b.loader.clone()]).unwrap_or_default())
    }

    /// The root file system of a node that is built from a medium of
    /// `distribution`.
    ///
    /// # Errors
    /// When the distribution is not known or cannot start from what the node names.
    pub fn fs(&self, distribution: &str, node: &Node) -> Result<Fs, RenderError> {
        self.distribution(distribution)?.fs(node)
    }

    /// The root file system of a node that names none.
    ///
    /// # Errors
    /// When the distribution is not known.
    pub fn default_fs(&self, distribution: &str) -> Result<Fs, RenderError> {
        let d = self.distribution(distribution)?;
        Ok(d.first(|d| d.fs.as_ref()).and_then(|all| all.first()?.get_ref().parse().ok()).unwrap_or(Fs::DEFAULT))
    }

    /// Architectures of a distribution's PCs, the usual one first.
    ///
    /// # Errors
    /// When the distribution is not known.
    pub fn architectures(&self, distribution: &str) -> Result<Vec<Arch>, RenderError> {
        let words = self.distribution(distribution)?.first(|d| d.arch.as_ref());
        Ok(words.into_iter().flatten().filter_map(|word| words::parse(word).ok()).collect())
    }

    /// The medium's file that is a distribution's kernel; `None` when it has
    /// none at all.
    ///
    /// # Errors
    /// When there are kernels, but not for this kind of node and architecture.
    pub fn kernel_file(&self, distribution: &str, kind: Kernel, arch: &str) -> Result<Option<&str>, RenderError> {
        self.distribution(distribution)?.kernel(kind, arch)
    }

    /// Whether everybody who holds the lab's keys knows dp9ik: an authentication
    /// server that does not has no keys for it, and answers nobody who asks.
    pub(super) fn servers_know_dp9ik(&self, lab: &Lab, systems: &Systems) -> Result<bool, RenderError> {
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

    /// What `p9img check` needs to know, sorted by name.
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

    pub(super) fn role(&self, name: &str) -> Result<&Role, RenderError> {
        self.roles
            .get(name)
            .ok_or_else(|| RenderError::UnknownRole { name: name.into(), suggestion: suggest(name, self.role_names()) })
    }

    pub(super) fn distribution(&self, name: &str) -> Result<Resolved<'_>, RenderError> {
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

    pub(super) fn role_toml(&self, role: &Role) -> &Source {
        &self.sources[&format!("roles/{}/role.toml", role.name)]
    }

    pub(super) fn distribution_toml(&self, d: &Distribution) -> &Source {
        &self.sources[&format!("templates/{}/distribution.toml", d.name)]
    }

    /// The place of a value in a TOML file, for messages.
    pub(super) fn place(&self, toml: &Source, value: &Spanned<String>) -> String {
        let (line, column) = line_and_column(text(toml).unwrap_or_default(), value.span().start);
        format!("{}:{line}:{column}", toml.place)
    }

    /// The name of a role's file: the distribution's own variant, one of a
    /// distribution that it is like, or the one for all.
    pub(super) fn variant(&self, folder: &str, distribution: &Resolved<'_>, file: &str) -> Option<String> {
        let own = distribution.chain.iter().map(|d| format!("{folder}/{}/{file}", d.name));
        own.chain([format!("{folder}/{file}")]).find(|name| self.sources.contains_key(name))
    }

    /// Roles name each other right.
    fn check_roles(&self) -> Result<(), RenderError> {
        for role in self.roles.values() {
            let conflicts = role.conflicts.iter().map(|name| ("conflicts", name.as_str()));
            let lists = [
                ("needs", &role.needs),
                ("needs_in_lab", &role.needs_in_lab),
                ("needs_on_medium", &role.needs_on_medium),
            ];
            let needs = lists.into_iter().flat_map(|(key, needs)| needs.iter().map(move |need| (key, need)));
            let needs = needs.flat_map(|(key, need)| need.roles().map(move |name| (key, name)));
            for (key, unknown) in conflicts.chain(needs) {
                if !self.roles.contains_key(unknown) {
                    let suggestion = suggest(unknown, self.role_names());
                    let message = format!("`{key}` names {unknown:?}, which is not a role{suggestion}");
                    return Err(RenderError::at(self.role_toml(role).place.clone(), message));
                }
            }
            for link in &role.links {
                if let Some(problem) = link.problem(|name| self.roles.contains_key(name)) {
                    return Err(RenderError::at(self.role_toml(role).place.clone(), problem));
                }
            }
            for board in &role.boards {
                if let Err(problem) = words::parse::<Board>(board.get_ref()) {
                    let toml = self.role_toml(role);
                    return Err(RenderError::at(self.place(toml, board), problem.to_string()));
                }
            }
            for service in &role.services {
                let name = service.get_ref().name();
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    let toml = self.role_toml(role);
                    let (line, column) = line_and_column(text(toml).unwrap_or_default(), service.span().start);
                    let place = format!("{}:{line}:{column}", toml.place);
                    return Err(RenderError::at(
                        place,
                        format!("{name:?} is not a listener: expected a name such as \"tcp80\""),
                    ));
                }
            }
            for user in role.users.iter().map(Spanned::get_ref) {
                if user.name.is_empty() || user.name.contains(['#', ':', ',', '(', ')', ' ', '\n']) {
                    let message = format!("{:?} cannot be the name of a user", user.name);
                    return Err(RenderError::at(self.role_toml(role).place.clone(), message));
                }
            }
        }
        Ok(())
    }

    /// Compiles every template that some node could need, for every distribution.
    fn compile(&mut self) -> Result<(), RenderError> {
        let mut engine = Engine::new();
        for name in self.distributions.keys() {
            let d = self.distribution(name)?;
            for part in &d.chain {
                let toml = self.distribution_toml(part);
                let folder = format!("templates/{}", part.name);
                check::compile(&mut engine, toml, &part.checks, self.role_names())?;
                for value in part.needs_files.iter().flatten() {
                    engine.add_value(toml, value)?;
                }
                for file in &part.files {
                    self.compile_file(&mut engine, toml, file, |source| {
                        Some(format!("{folder}/{source}")).filter(|f| self.sources.contains_key(f))
                    })?;
                }
                let own = [&part.plan9_ini, &part.config_txt, &part.cmdline, &part.boot_script];
                let roots = part.root_configs().map(|(_, source)| source);
                for source in own.into_iter().chain(roots).flatten() {
                    let name = format!("{folder}/{}", source.get_ref());
                    let found = self.sources.get(&name).ok_or_else(|| self.no_source(toml, source))?;
                    engine.add_file(&name, found)?;
                }
            }
            let slots = d.slots();
            for role in self.roles.values() {
                let toml = self.role_toml(role);
                check::compile(&mut engine, toml, &role.checks, self.role_names())?;
                for value in &role.needs_files {
                    engine.add_value(toml, value)?;
                }
                let folder = format!("roles/{}", role.name);
                for file in role.files.iter().filter(|f| d.is_for(&f.only)) {
                    self.compile_file(&mut engine, toml, file, |source| self.variant(&folder, &d, source))?;
                }
                for fragment in role.fragments.iter().filter(|f| d.is_for(&f.only)) {
                    if !slots.contains_key(fragment.slot.get_ref().as_str()) {
                        let suggestion = suggest(fragment.slot.get_ref(), slots.keys().copied());
                        let message = format!(
                            "The distribution {:?} has no slot {:?}{suggestion}",
                            d.name,
                            fragment.slot.get_ref()
                        );
                        return Err(RenderError::at(self.place(toml, &fragment.slot), message));
                    }
                    let name = self
                        .variant(&folder, &d, fragment.source.get_ref())
                        .ok_or_else(|| self.no_source(toml, &fragment.source))?;
                    engine.add_file(&name, &self.sources[&name])?;
                }
            }
        }
        self.engine = engine;
        Ok(())
    }

    fn compile_file(
        &self,
        engine: &mut Engine,
        toml: &Source,
        file: &File,
        find: impl Fn(&str) -> Option<String>,
    ) -> Result<(), RenderError> {
        let ways = [file.source.is_some(), file.copy.is_some(), file.make.is_some(), file.folder, file.remove];
        if ways.iter().filter(|w| **w).count() != 1 {
            return Err(RenderError::at(
                self.place(toml, &file.path),
                "A [[file]] needs exactly one of `source`, `copy`, `make`, `folder` and `remove`",
            ));
        }
        engine.add_value(toml, &file.path)?;
        for value in [&file.copy, &file.uid, &file.gid].into_iter().flatten() {
            engine.add_value(toml, value)?;
        }
        if let Some(source) = &file.source {
            let name = find(source.get_ref()).ok_or_else(|| self.no_source(toml, source))?;
            if file.template {
                engine.add_source(&name, &self.sources[&name])?;
            }
        }
        Ok(())
    }

    fn no_source(&self, toml: &Source, source: &Spanned<String>) -> RenderError {
        let name = source.get_ref().trim_end_matches('/');
        let part = format!("/{name}/");
        // Which folder is looked in, the file's own place says.
        let folder = Path::new(&toml.place).parent().map(|p| p.display().to_string()).unwrap_or_default();
        let below = |s: &&Source| s.place.strip_prefix(&folder).is_some_and(|rest| rest.contains(&part));
        let message = match self.sources.values().filter(below).map(|s| &s.place).next() {
            Some(inside) => {
                let file = inside.rsplit('/').next().unwrap_or_default();
                format!(
                    "{name:?} is a folder, and `source` names one file: give each file its own [[file]], such as `source = \"{name}/{file}\"`"
                )
            }
            None => format!("There is no file {name:?} in the same folder"),
        };
        RenderError::at(self.place(toml, source), message)
    }
}

impl<'a> Resolved<'a> {
    fn first<T>(&self, get: impl Fn(&'a Distribution) -> Option<T>) -> Option<T> {
        self.chain.iter().copied().find_map(get)
    }

    pub fn boot(&self) -> Option<&'a Boot> {
        self.first(|d| d.boot.as_ref())
    }

    /// Path of a kernel in the medium; `None` when the distribution has none at all.
    /// `machine` is the board of a Pi, or an architecture.
    ///
    /// # Errors
    /// When it has kernels, but not this one.
    pub fn kernel(&self, kind: Kernel, machine: &str) -> Result<Option<&'a str>, RenderError> {
        let Some(kernels) = self.first(|d| d.kernel.as_ref()).filter(|k| !k.is_empty()) else {
            return Ok(None);
        };
        let found = kernels.get(&kind).and_then(|k| k.get(machine)).map(String::as_str);
        let missing =
            || RenderError::Node(format!("The distribution {} has no {} kernel for {machine}", self.name, kind.name()));
        found.map(Some).ok_or_else(missing)
    }

    /// The template of plan9.ini, by its name in the engine.
    pub fn plan9_ini(&self) -> Option<String> {
        self.first(|d| d.plan9_ini.as_ref().map(|s| format!("templates/{}/{}", d.name, s.get_ref())))
    }

    /// The template of a root's configuration under `key`, by its name in the engine.
    pub fn root_config(&self, key: &str) -> Option<String> {
        self.first(|d| {
            let source = d.root_configs().into_iter().find(|(of, _)| *of == key)?.1.as_ref()?;
            Some(format!("templates/{}/{}", d.name, source.get_ref()))
        })
    }

    /// Whether something that is for `only` one distribution is for this.
    pub fn is_for(&self, only: &Option<String>) -> bool {
        only.as_ref().is_none_or(|only| self.chain.iter().any(|d| d.name == *only))
    }

    /// The root file system of `node`.
    ///
    /// # Errors
    /// When it names one that the distribution cannot start from.
    pub fn fs(&self, node: &Node) -> Result<Fs, RenderError> {
        let named = self.first(|d| d.fs.as_ref()).into_iter().flatten();
        let known: Vec<Fs> = named.filter_map(|f| f.get_ref().parse().ok()).collect();
        let first = known.first().copied().unwrap_or(Fs::DEFAULT);
        let fs = node.fs.unwrap_or(first);
        if fs != first && !known.contains(&fs) {
            let words: Vec<_> = known.iter().chain(known.is_empty().then_some(&first)).map(|f| f.word()).collect();
            return Err(RenderError::Node(format!(
                "Node {}: {} cannot start from {}, but can from {}",
                node.name,
                self.name,
                fs.word(),
                words.join(", ")
            )));
        }
        Ok(fs)
    }

    pub fn dp9ik(&self) -> bool {
        self.first(|d| d.dp9ik).unwrap_or(false)
    }

    /// The templates of config.txt and of the line in cmdline.txt.
    pub fn pi(&self) -> Option<(String, String)> {
        let name = |d: &Distribution, s: &Spanned<String>| format!("templates/{}/{}", d.name, s.get_ref());
        let config = self.first(|d| d.config_txt.as_ref().map(|s| name(d, s)))?;
        Some((config, self.first(|d| d.cmdline.as_ref().map(|s| name(d, s)))?))
    }

    /// The template of U-Boot's script.
    pub fn boot_script(&self) -> Option<String> {
        self.first(|d| d.boot_script.as_ref().map(|s| format!("templates/{}/{}", d.name, s.get_ref())))
    }

    pub fn slots(&self) -> BTreeMap<&'a str, Scope> {
        let own = self.first(|d| d.slots.as_ref()).into_iter().flatten();
        own.map(|(name, scope)| (name.as_str(), *scope)).collect()
    }

    /// Files without which no node starts, and the distribution that says so.
    pub fn needs_files(&self) -> (&'a Distribution, &'a [Spanned<String>]) {
        let own = self.chain.iter().copied().find_map(|d| Some((d, d.needs_files.as_deref()?)));
        own.unwrap_or((self.chain[0], &[]))
    }

    pub fn listeners(&self) -> Option<&'a Listeners> {
        self.first(|d| d.listeners.as_ref())
    }
}
