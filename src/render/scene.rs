//! The variables of templates about a node, gathered from the lab and the catalog.

use super::RenderError;
use super::catalog::{Catalog, Resolved};
use super::context::{self, NodeFacts, NodeView};
use super::engine::Scene;
use super::path;
use super::schema::{Role, Service};
use super::systems::Systems;
use crate::lab::{Fs, Lab, Node};
use std::collections::{BTreeMap, BTreeSet};

/// The listeners that a role wants on a node of a distribution.
pub(super) fn services<'a>(role: &'a Role, distribution: &Resolved<'_>) -> impl Iterator<Item = &'a Service> {
    let only = |s: &&Service| s.only().is_none_or(|only| distribution.chain.iter().any(|d| d.name == only));
    role.services.iter().map(|s| s.get_ref()).filter(only)
}

/// The variables that every template about `node` has.
pub(super) fn scene(lab: &Lab, node: &Node, catalog: &Catalog, systems: &Systems) -> Result<Scene, RenderError> {
    Scenes::default().take(lab, node, catalog, systems)
}

/// Variables of templates that go from node to node of one lab: what they say of the
/// lab grows with its nodes, and is the same for all nodes of a medium.
#[derive(Default)]
pub struct Scenes(BTreeMap<(String, String), Scene>);

impl Scenes {
    /// The variables that every template about `node` has.
    pub(super) fn take(
        &mut self,
        lab: &Lab,
        node: &Node,
        catalog: &Catalog,
        systems: &Systems,
    ) -> Result<Scene, RenderError> {
        let d = catalog.distribution(systems.of(node))?;
        let roles = node.roles.iter().map(|r| catalog.role(r)).collect::<Result<Vec<&Role>, _>>()?;
        let mut scene = match self.0.remove(&Self::key(lab, node, systems)) {
            Some(scene) => scene,
            None => {
                let views = lab.nodes.iter().map(|n| view(lab, n, catalog, systems)).collect::<Result<_, _>>()?;
                let lab_view = context::lab_view(lab, node, d.name, views, catalog.role_names());
                Scene::new(serde_json::json!({ "lab": lab_view }))
            }
        };
        let system = d.chain.iter().flat_map(|d| &d.users).chain(roles.iter().flat_map(|r| &r.users));
        let accounts = context::accounts(system.map(toml::Spanned::get_ref), &context::logins(lab));
        scene.set("node", serde_json::json!(view(lab, node, catalog, systems)?));
        scene.set("accounts", serde_json::json!(accounts));
        Ok(scene)
    }

    /// Keeps the variables about `node` for the next one. None but those of
    /// [`Scenes::take`] are in them.
    pub(super) fn keep(&mut self, lab: &Lab, node: &Node, systems: &Systems, scene: Scene) {
        self.0.insert(Self::key(lab, node, systems), scene);
    }

    /// What the variables about the lab depend on.
    fn key(lab: &Lab, node: &Node, systems: &Systems) -> (String, String) {
        (systems.of(node).to_owned(), lab.medium_of(node).to_owned())
    }
}

/// View that templates have of a node; lenient about mistakes in other nodes, which
/// the lab's own check reports.
pub(super) fn view(lab: &Lab, node: &Node, catalog: &Catalog, systems: &Systems) -> Result<NodeView, RenderError> {
    let d = catalog.distribution(systems.of(node))?;
    let roles = node.roles.iter().map(|r| catalog.role(r)).collect::<Result<Vec<&Role>, _>>()?;
    let kind = roles.iter().find_map(|r| r.kernel);
    let kernel = kind.and_then(|k| d.kernel(k, node.kernel_name()).ok().flatten()).unwrap_or_default();
    let wanted = || roles.iter().flat_map(|r| services(r, &d));
    let services: BTreeSet<_> = wanted().map(|s| s.name().to_owned()).collect();
    let ports = catalog.ports(systems, node)?;
    let mut listens: BTreeSet<u16> = ports.iter().map(|p| p.tcp).chain(wanted().filter_map(Service::tcp)).collect();
    listens.extend(roles.iter().flat_map(|r| &r.listens).chain(d.listeners().into_iter().flat_map(|l| &l.own)));
    Ok(context::node_view(
        lab,
        node,
        catalog.role_names(),
        NodeFacts { distribution: d.name, kind, kernel, services, listens, fs: d.fs(node).unwrap_or(Fs::DEFAULT) },
    ))
}

/// Files that a node of a distribution with these roles needs, each with the role
/// or distribution that says so.
pub(super) fn needs(
    catalog: &Catalog,
    distribution: &Resolved<'_>,
    roles: &[&Role],
    scene: &Scene,
) -> Result<Vec<(String, String)>, RenderError> {
    let (d, own) = distribution.needs_files();
    let of = own.iter().map(|v| (catalog.distribution_toml(d), v, d.name.clone()));
    let of_roles =
        roles.iter().flat_map(|r| r.needs_files.iter().map(|v| (catalog.role_toml(r), v, format!("role {}", r.name))));
    let mut out = Vec::new();
    for (toml, value, whose) in of.chain(of_roles) {
        let place = catalog.place(toml, value);
        let path = catalog.engine.render(&place, scene)?;
        if path.is_empty() {
            continue;
        }
        if let Some(problem) = path::problem(&path) {
            return Err(RenderError::at(place, problem));
        }
        out.push((path, whose));
    }
    Ok(out)
}
