//! Renders one node.
//!
//! The distribution's files come first, then those of the roles in the node's
//! order. A role may replace a file of the distribution; two roles that write
//! the same path are a mistake.

use super::catalog::{Catalog, Resolved};
use super::engine::Scene;
use super::rendered::{BootFiles, PiFiles, Rendered, RenderedFile, What};
use super::scene::{Scenes, needs, services, view};
use super::schema::{Boot, Each, File, Fragment, Make, Role, Scope, Secret};
use super::source::Source;
use super::systems::Systems;
use super::{RenderError, cmdline, ini, path};
use crate::auth::{AesKey, DesKey, KeyFile, KeyRecord, Nvram};
use crate::lab::{Lab, Node, Secrets};
use crate::line_ends;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

const LINES: &str = "Its lines end as on Windows, with CR and LF, and Plan 9 does not run or read such a file: save it \
     with LF alone (git: `core.autocrlf false`)";

/// Renders everything that `node` of `lab` gets. `systems` has the distributions of
/// the lab's media.
///
/// # Errors
/// Fails when a role or distribution is unknown, no role names a kernel, a role
/// needs another on the same medium, a template names a variable that does not
/// exist, a path or plan9.ini would not work in Plan 9, or a password that the node
/// needs is missing.
pub fn render(
    lab: &Lab,
    node: &Node,
    catalog: &Catalog,
    systems: &Systems,
    secrets: &Secrets,
) -> Result<Rendered, RenderError> {
    render_next(&mut Scenes::default(), lab, node, catalog, systems, secrets)
}

/// As [`render()`], for one node of the lab after another: what is the same for them
/// is in `scenes`, which are of this lab, catalog and systems alone.
///
/// # Errors
/// As [`render()`].
pub fn render_next(
    scenes: &mut Scenes,
    lab: &Lab,
    node: &Node,
    catalog: &Catalog,
    systems: &Systems,
    secrets: &Secrets,
) -> Result<Rendered, RenderError> {
    let distribution = catalog.distribution(systems.of(node))?;
    let roles = node.roles.iter().map(|r| catalog.role(r)).collect::<Result<Vec<_>, _>>()?;
    let named = |message: String| RenderError::Node(format!("Node {}: {message}", node.name));
    let kinds: Vec<_> = roles.iter().filter_map(|r| r.kernel.map(|k| (k, r.name.as_str()))).collect();
    let kind = match kinds[..] {
        [(kind, _)] => kind,
        [] => {
            let can: Vec<_> = catalog.roles().filter(|r| r.kernel.is_some()).map(|r| r.name.as_str()).collect();
            return Err(named(format!("None of its roles has a kernel; add one of {}", can.join(", "))));
        }
        _ => {
            let both: Vec<_> = kinds.iter().map(|k| k.1).collect();
            return Err(named(format!("Its roles {} need different kernels, but a node runs one", both.join(" and "))));
        }
    };
    if let Some(clash) = catalog.clashes(&distribution, node)?.first() {
        return Err(clash.error());
    }
    let boot = distribution
        .boot()
        .ok_or_else(|| RenderError::Node(format!("The distribution {} has no [boot]", distribution.name)))?;
    let kernel = distribution.kernel(kind, node.kernel_name())?.map(str::to_owned);
    for (role, need) in roles.iter().flat_map(|r| r.needs_on_medium.iter().map(move |n| (&r.name, n))) {
        let has = |n: &&Node| need.is_met(n.roles.iter().map(String::as_str));
        let mut alike = lab.nodes.iter().filter(|n| lab.medium_of(n) == lab.medium_of(node));
        if lab.nodes.iter().any(|n| has(&n)) && !alike.any(|n| has(&n)) {
            return Err(named(format!(
                "Role {role} needs a node with role {need} built from the same medium ({}), but there is none",
                lab.medium_of(node)
            )));
        }
    }
    let scene = scenes.take(lab, node, catalog, systems)?;
    let dp9ik = distribution.dp9ik() && catalog.servers_know_dp9ik(lab, systems)?;
    let (distribution, roles, scene) = (&distribution, &*roles, scene.into());
    let r = Renderer { lab, node, catalog, distribution, systems, roles, secrets, dp9ik, scene };
    let slots = r.slots()?;
    r.scene.borrow_mut().set("slots", slots.into());
    let pi = match node.board.is_pi() {
        true => Some(r.pi()?),
        false => None,
    };
    let boot_script = match node.board.runs_boot_script() {
        true => Some(r.boot_script()?),
        false => None,
    };
    let ini = if pi.is_some() { None } else { distribution.plan9_ini() };
    let plan9_ini = r.whole_file(ini)?;
    if let Some((line, message)) = ini::problem(&plan9_ini) {
        let line = if line > 0 { format!(", in line {line} of what it renders to") } else { String::new() };
        return Err(RenderError::at(distribution.plan9_ini().unwrap_or_default(), format!("{message}{line}")));
    }
    let fs = distribution.fs(node)?;
    let rendered = Rendered {
        files: r.files()?,
        fs,
        root_config: r.whole_file(distribution.root_config(fs))?,
        plan9_ini,
        pi,
        boot_script,
        nvram: if r.may(Secret::Nvram) { r.nvram()? } else { Vec::new() },
        boot: BootFiles {
            mbr: boot.mbr.clone(),
            pbs: boot.pbs.clone(),
            loader: boot.loader.clone(),
            efi: if node.firmware.has_uefi() { Some(efi(boot, distribution, node)?) } else { None },
            kernel,
        },
        partitions: roles.iter().flat_map(|r| &r.partitions).map(|p| p.get_ref().clone()).collect(),
        needs: r.needs()?,
    };
    let mut scene = r.scene.into_inner();
    scene.remove("slots");
    scenes.keep(lab, node, systems, scene);
    Ok(rendered)
}

/// The loader for UEFI.
fn efi(boot: &Boot, distribution: &Resolved<'_>, node: &Node) -> Result<String, RenderError> {
    boot.efi.get(node.arch.name()).cloned().ok_or_else(|| {
        RenderError::Node(format!(
            "Node {}: {} has no loader for UEFI on {}; write `firmware = \"bios\"`",
            node.name,
            distribution.name,
            node.arch.name()
        ))
    })
}

struct Renderer<'a> {
    lab: &'a Lab,
    node: &'a Node,
    catalog: &'a Catalog,
    distribution: &'a Resolved<'a>,
    systems: &'a Systems,
    roles: &'a [&'a Role],
    secrets: &'a Secrets,
    /// Whether it has keys for dp9ik.
    dp9ik: bool,
    /// The variables of templates.
    scene: RefCell<Scene>,
}

impl<'a> Renderer<'a> {
    fn may(&self, secret: Secret) -> bool {
        self.roles.iter().any(|r| r.secrets.contains(&secret))
    }

    /// Renders a whole file of the distribution; nothing when it has none.
    fn whole_file(&self, name: Option<String>) -> Result<String, RenderError> {
        name.map_or(Ok(String::new()), |n| self.catalog.engine.render(&n, &self.scene.borrow()))
    }

    /// Files that the node needs, each with the role or distribution that says so.
    fn needs(&self) -> Result<Vec<(String, String)>, RenderError> {
        needs(self.catalog, self.distribution, self.roles, &self.scene.borrow())
    }

    /// Script for U-Boot.
    fn boot_script(&self) -> Result<String, RenderError> {
        let script = self.distribution.boot_script().ok_or_else(|| {
            RenderError::Node(format!(
                "Node {}: Distribution {} does not support QEMU's ARM machine",
                self.node.name, self.distribution.name
            ))
        })?;
        self.whole_file(Some(script))
    }

    /// config.txt and cmdline.txt.
    fn pi(&self) -> Result<PiFiles, RenderError> {
        let (config, cmdline) = self.distribution.pi().ok_or_else(|| {
            RenderError::Node(format!(
                "Node {}: Distribution {} does not support the Raspberry Pi",
                self.node.name, self.distribution.name
            ))
        })?;
        let lines = self.whole_file(Some(cmdline.clone()))?;
        let cmdline_txt = cmdline::join(&lines).map_err(|(line, message)| {
            let line = if line > 0 { format!(", in line {line} of what it renders to") } else { String::new() };
            RenderError::at(cmdline, format!("{message}{line}"))
        })?;
        Ok(PiFiles { config_txt: self.whole_file(Some(config))?, cmdline_txt })
    }

    /// Fragments of every slot, joined by line ends.
    fn slots(&self) -> Result<serde_json::Map<String, Value>, RenderError> {
        let mut out = serde_json::Map::new();
        let mut scene = self.scene.borrow_mut();
        let own = scene.get("node").clone();
        for (slot, scope) in self.distribution.slots() {
            let mut pieces: Vec<(i64, String)> = Vec::new();
            let nodes: Vec<&Node> = match scope {
                Scope::Node => vec![self.node],
                Scope::Lab => self.lab.nodes.iter().collect(),
            };
            for node in nodes {
                let ours = |f: &&Fragment| f.slot.get_ref() == slot && self.distribution.is_for(&f.only);
                let fragments = |role: &'a Role| role.fragments.iter().filter(ours);
                let roles = node.roles.iter().map(|r| self.catalog.role(r)).collect::<Result<Vec<_>, _>>()?;
                if roles.iter().all(|r| fragments(r).next().is_none()) {
                    continue;
                }
                let view = serde_json::to_value(view(self.lab, node, self.catalog, self.systems)?);
                scene.set("node", view.map_err(|e| RenderError::Node(e.to_string()))?);
                for role in roles {
                    for f in fragments(role) {
                        let folder = format!("roles/{}", role.name);
                        let name = self.catalog.variant(&folder, self.distribution, f.source.get_ref());
                        let name = name.unwrap_or_default();
                        let text = self.catalog.engine.render(&name, &scene)?;
                        if line_ends::of_windows(text.as_bytes()) {
                            return Err(RenderError::at(name, LINES));
                        }
                        pieces.push((f.order, text));
                    }
                }
            }
            pieces.sort_by_key(|(order, _)| *order);
            let texts: Vec<_> = pieces.iter().map(|(_, t)| t.strip_suffix('\n').unwrap_or(t)).collect();
            out.insert(slot.to_owned(), texts.join("\n").into());
        }
        scene.set("node", own);
        Ok(out)
    }

    fn files(&self) -> Result<Vec<RenderedFile>, RenderError> {
        let mut out: BTreeMap<String, RenderedFile> = BTreeMap::new();
        if let Some(listeners) = self.distribution.listeners() {
            let wanted = || self.roles.iter().flat_map(|r| services(r, self.distribution).map(|s| (s.name(), &r.name)));
            for name in listeners.on.iter().filter(|n| !wanted().any(|(w, _)| w == **n)) {
                let path = format!("{}/{name}", listeners.folder);
                out.insert(path.clone(), RenderedFile::removal(path, "no role needs this listener".into()));
            }
            for (name, role) in wanted().filter(|(w, _)| !listeners.on.iter().any(|on| on == w)) {
                let file = RenderedFile::listener(listeners, name, role);
                out.insert(file.path.clone(), file);
            }
        }
        for d in self.distribution.chain.iter().rev() {
            let toml = self.catalog.distribution_toml(d);
            let find = |source: &str| Some(format!("templates/{}/{source}", d.name));
            for file in &d.files {
                for f in self.file(file, toml, &find, &format!("distribution {}", d.name))? {
                    out.insert(f.path.clone(), f);
                }
            }
        }
        let mut owners: BTreeMap<String, (&str, String)> = BTreeMap::new();
        for role in self.roles {
            let toml = self.catalog.role_toml(role);
            let folder = format!("roles/{}", role.name);
            let find = |source: &str| self.catalog.variant(&folder, self.distribution, source);
            for file in role.files.iter().filter(|f| self.distribution.is_for(&f.only)) {
                for f in self.file(file, toml, &find, &format!("role {}", role.name))? {
                    let place = self.catalog.place(toml, &file.path);
                    if let Some((other, first)) = owners.insert(f.path.clone(), (&role.name, place.clone())) {
                        let message = format!(
                            "{} is also written by the role {other} ({first}), so one of the two would be lost",
                            f.path
                        );
                        return Err(RenderError::at(place, message));
                    }
                    out.insert(f.path.clone(), f);
                }
            }
        }
        if let Some((path, below)) = below_a_file(&out) {
            let place = [below, path].iter().find_map(|p| owners.get(*p)).map(|(_, place)| place.clone());
            let (above, from) = (&out[path], &out[below].from);
            let what = if above.what == What::Remove { "takes away" } else { "makes a file" };
            let message = format!(
                "{below} ({from}) would be lost: it is below {path}, which {what_by} {what}",
                what_by = above.from
            );
            return Err(RenderError::at(place.unwrap_or_else(|| self.node.name.clone()), message));
        }
        Ok(out.into_values().collect())
    }

    /// Rendered files of one entry of a role.toml or distribution.toml.
    fn file(
        &self,
        file: &File,
        toml: &Source,
        find: &dyn Fn(&str) -> Option<String>,
        whose: &str,
    ) -> Result<Vec<RenderedFile>, RenderError> {
        let users: Vec<Option<Value>> = match file.each {
            None => vec![None],
            Some(Each::Login) => {
                let scene = self.scene.borrow();
                scene.get("lab")["logins"].as_array().into_iter().flatten().cloned().map(Some).collect()
            }
        };
        let value =
            |v: &toml::Spanned<String>, scene: &Scene| self.catalog.engine.render(&self.catalog.place(toml, v), scene);
        let path = |v: &toml::Spanned<String>, scene: &Scene| {
            let text = value(v, scene)?;
            match path::problem(&text) {
                Some(problem) => Err(RenderError::at(self.catalog.place(toml, v), problem)),
                None => Ok(text),
            }
        };
        let owner =
            |v: &Option<toml::Spanned<String>>, scene: &Scene| v.as_ref().map_or(Ok("sys".into()), |v| value(v, scene));
        let mut out = Vec::new();
        for user in users {
            if let Some(user) = user {
                self.scene.borrow_mut().set("user", user);
            }
            let scene = &*self.scene.borrow();
            let mut from = whose.to_owned();
            let what = match (&file.source, &file.copy, file.make) {
                (Some(source), ..) => {
                    from = format!("{whose}: {}", source.get_ref());
                    let name = find(source.get_ref()).unwrap_or_default();
                    What::Bytes(match (file.template, self.catalog.sources.get(&name)) {
                        (false, Some(source)) => source.bytes.to_vec(),
                        _ => self.catalog.engine.render(&name, scene)?.into_bytes(),
                    })
                }
                (_, Some(copy), _) => What::Copy(path(copy, scene)?),
                (.., Some(Make::Keys)) => What::Bytes(self.keys()?),
                _ if file.remove => What::Remove,
                _ => What::Folder,
            };
            let mode = match (&what, file.mode) {
                (What::Copy(_), mode) => mode,
                (What::Folder, mode) => Some(mode.unwrap_or(0o775)),
                (_, mode) => Some(mode.unwrap_or(0o664)),
            };
            let to = path(&file.path, scene)?;
            if let What::Bytes(bytes) = &what
                && line_ends::stop(&to, bytes)
            {
                return Err(RenderError::at(self.catalog.place(toml, &file.path), format!("{from}: {LINES}")));
            }
            out.push(RenderedFile {
                path: to,
                what,
                mode,
                uid: owner(&file.uid, scene)?,
                gid: owner(&file.gid, scene)?,
                keep: file.keep,
                unless: file.unless.clone(),
                secret: file.make.is_some(),
                from,
            });
        }
        // Other files have no user.
        self.scene.borrow_mut().remove("user");
        Ok(out)
    }

    fn password(&self, user: &str) -> Result<&str, RenderError> {
        self.secrets.password(user).ok_or_else(|| {
            RenderError::Node(format!("Node {}: The secrets have no password for {user}", self.node.name))
        })
    }

    fn nvram(&self) -> Result<Vec<u8>, RenderError> {
        let password = self.password(&self.lab.hostowner)?;
        let block = Nvram {
            machine_key: DesKey::from_password(password),
            authid: self.lab.hostowner.clone(),
            authdom: self.lab.authdom.clone(),
            aes_key: self.dp9ik.then(|| AesKey::from_password(password)),
        };
        block.to_bytes().map_err(|source| RenderError::Nvram { node: self.node.name.clone(), source })
    }

    /// Key file: a record for each user, that of the host owner last. 9legacy's
    /// reader spoils the end of the last record's secret (`doc/auth.md`), and no
    /// record here has one.
    fn keys(&self) -> Result<Vec<u8>, RenderError> {
        if !self.may(Secret::Keys) {
            return Err(RenderError::Node(format!(
                "Node {}: A role makes the key file, but no role lists \"keys\" in its secrets",
                self.node.name
            )));
        }
        let record = |name: &str| {
            let password = self.password(name)?;
            let aes_key = self.dp9ik.then(|| AesKey::from_password(password));
            Ok::<_, RenderError>(KeyRecord { aes_key, ..KeyRecord::new(name, DesKey::from_password(password)) })
        };
        let owner = record(&self.lab.hostowner)?;
        let others = self.lab.users.iter().filter(|u| u.name != self.lab.hostowner).map(|u| record(&u.name));
        let mut records = others.collect::<Result<Vec<_>, _>>()?;
        let machine = (owner.key, owner.aes_key);
        records.push(owner);
        let derived = self.secrets.derive(&format!("salt of /adm/keys on {}", self.node.name));
        let (mut salt, mut iv) = ([0; 8], [0; 16]);
        salt.copy_from_slice(&derived[..8]);
        iv.copy_from_slice(&derived[8..24]);
        let file = KeyFile { salt, records };
        match machine {
            (_, Some(key)) => file.to_aes_bytes(iv, key),
            (key, None) => file.to_bytes(key),
        }
        .map_err(|source| RenderError::Keys { node: self.node.name.clone(), source })
    }
}

/// A path that is no folder, and a path below it that is not removed: the first,
/// laid over a tree, would remove the second.
fn below_a_file(files: &BTreeMap<String, RenderedFile>) -> Option<(&str, &str)> {
    files.iter().filter(|(_, f)| f.what != What::Folder).find_map(|(path, _)| {
        // `0` is the byte after the slash: the range has exactly the paths below.
        let within = files.range(format!("{path}/")..format!("{path}0"));
        let below = within.filter(|(_, f)| f.what != What::Remove).map(|(below, _)| below.as_str()).next();
        below.map(|below| (path.as_str(), below))
    })
}
