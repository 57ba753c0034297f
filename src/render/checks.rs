//! Checks of roles: the commands that `p9img test` types on a node's console, or
//! runs on this machine, and the output that they must have.
//!
//! A check belongs to a role's folder (or to the distribution, for facts that hold
//! on every node) and is rendered once for each node with the role and each node or
//! host that it is tried on. Only `answers` has passwords; they are typed when a
//! program asks for them, and never printed.

use super::RenderError;
use super::catalog::Catalog;
use super::engine::Scene;
use super::scene::{Scenes, scene, view};
use super::schema::{At, CheckSite, CheckToml, Kernel};
use super::source::Source;
use super::systems::Systems;
use crate::lab::mistakes::{Kind, Notes};
use crate::lab::{Lab, Mistake, Node, Secrets};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toml::Spanned;

/// Seconds that a check may take unless it says otherwise.
const TIMEOUT: u64 = 60;

/// A check, ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The role that brings it; the distribution's name for its own.
    pub role: String,
    /// The node that is checked.
    pub node: String,
    pub site: CheckSite,
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
    /// Reason why it cannot be tried, whatever runs.
    pub left_out: Option<String>,
    /// Reason why it is no check at all: a mistake of its author's.
    pub broken: Option<String>,
}

impl Check {
    /// The name of the place, for people.
    pub fn at(&self) -> &str {
        match &self.site {
            CheckSite::Node(name) => name,
            CheckSite::Host => "host",
        }
    }
}

/// Local ports of the host by node and by the port's name.
pub type HostPorts = BTreeMap<String, BTreeMap<String, u16>>;

impl Catalog {
    /// Renders the checks of every node of a running lab, in the order to run them.
    /// `ports` are those of the host. A check whose templates have a mistake, such
    /// as the name of a variable that does not exist, has it in `broken`.
    ///
    /// # Errors
    /// Fails when the catalog lacks a role of a node, or a distribution.
    pub fn checks(
        &self,
        lab: &Lab,
        systems: &Systems,
        secrets: &Secrets,
        ports: &HostPorts,
    ) -> Result<Vec<Check>, RenderError> {
        let mut out = Vec::new();
        let mut scenes = Scenes::default();
        for node in &lab.nodes {
            let scene = scenes.take(lab, node, self, systems)?;
            let context = CheckContext { catalog: self, lab, systems, secrets, ports, node, scene };
            for own in self.checks_of(node, systems)? {
                for at in self.places(own.check.at, lab, node)? {
                    let made = context.render(&own, &at);
                    out.extend(made.unwrap_or_else(|wrong| Some(wrong.check(node, &own, &at))));
                }
            }
            scenes.keep(lab, node, systems, context.scene);
        }
        out.sort_by_key(|c| c.order);
        Ok(out)
    }

    /// Mistakes in the templates of checks, each once: they are rendered for the
    /// nodes that have them, with stand-ins for what exists only when the lab runs.
    /// No medium is read, so the checks are rendered once for each distribution of
    /// the catalog.
    pub fn wrong_checks(&self, lab: &Lab, secrets: &Secrets) -> Vec<Mistake> {
        /// In a lab of more nodes, the first node with each role stands for the others.
        const ALL: usize = 32;
        let mut wrong: BTreeMap<(String, usize, String), Mistake> = BTreeMap::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut nodes: Vec<&Node> = Vec::new();
        for node in &lab.nodes {
            let new = node.roles.iter().filter(|r| seen.insert(r)).count();
            if lab.nodes.len() <= ALL || new > 0 {
                nodes.push(node);
            }
        }
        for systems in self.distribution_names().map(Systems::from) {
            let ports = self.stand_in_ports(lab, &systems);
            for node in &nodes {
                let Ok(scene) = scene(lab, node, self, &systems) else { continue };
                let context =
                    CheckContext { catalog: self, lab, systems: &systems, secrets, ports: &ports, node, scene };
                // A role that does not exist is the lab file's own mistake.
                for own in self.checks_of(node, &systems).unwrap_or_default() {
                    let Ok(places) = self.places(own.check.at, lab, node) else { break };
                    // Templates see the same variables, whichever node is typed on.
                    for at in places.iter().take(1) {
                        let Err(e) = context.render(&own, at) else { continue };
                        let mistake = e.mistake(own.toml);
                        let place = mistake.place.as_ref();
                        let key = place.map_or((String::new(), 0), |p| (p.file.clone(), p.line));
                        wrong.entry((key.0, key.1, mistake.message.clone())).or_insert(mistake);
                    }
                }
            }
        }
        wrong.into_values().collect()
    }

    /// Ports of the host as `p9img up` would choose them, for templates only.
    fn stand_in_ports(&self, lab: &Lab, systems: &Systems) -> HostPorts {
        let mut next = 27_010..;
        let of = |node: &Node| {
            let ports = self.ports(systems, node).unwrap_or_default();
            (node.name.clone(), ports.into_iter().map(|p| p.name).zip(&mut next).collect())
        };
        lab.nodes.iter().map(of).collect()
    }

    /// The checks of the distribution and the roles of `node`.
    fn checks_of<'a>(&'a self, node: &Node, systems: &Systems) -> Result<Vec<OwnCheck<'a>>, RenderError> {
        let distribution = self.distribution(systems.of(node))?;
        let of = distribution.chain.iter().rev().map(|d| (d.name.as_str(), self.distribution_toml(d), &d.checks));
        let roles = node.roles.iter().map(|r| self.role(r)).collect::<Result<Vec<_>, _>>()?;
        let of_roles = roles.into_iter().map(|r| (r.name.as_str(), self.role_toml(r), &r.checks));
        let all = of.chain(of_roles).flat_map(|(whose, toml, checks)| checks.iter().map(move |c| (whose, toml, c)));
        let all = all.map(|(whose, toml, check)| OwnCheck { whose, toml, check });
        Ok(all.filter(|own| distribution.is_for(&own.check.only)).collect())
    }

    /// Nodes, or the host, that a check of `node` is tried on; never empty.
    fn places<'a>(&self, at: At, lab: &'a Lab, node: &'a Node) -> Result<Vec<Tried<'a>>, RenderError> {
        match at {
            At::Itself => Ok(vec![Tried::At(node)]),
            At::Host => Ok(vec![Tried::Host]),
            At::Others => {
                let mut out = Vec::new();
                for other in lab.nodes.iter().filter(|n| n.name != node.name) {
                    if self.kernel(other)? == Some(Kernel::Cpu) {
                        out.push(Tried::At(other));
                    }
                }
                Ok(if out.is_empty() { vec![Tried::Nowhere] } else { out })
            }
        }
    }
}

/// Node, or the host, that a check is tried on.
enum Tried<'a> {
    At(&'a Node),
    Host,
    /// The check is for other nodes, and the lab has none.
    Nowhere,
}

/// A check with the TOML file that it is in.
struct OwnCheck<'a> {
    /// The role, or the distribution.
    whose: &'a str,
    toml: &'a Source,
    check: &'a CheckToml,
}

/// Everything that the checks of one node are rendered with.
struct CheckContext<'a> {
    catalog: &'a Catalog,
    lab: &'a Lab,
    systems: &'a Systems,
    secrets: &'a Secrets,
    /// Ports of the host.
    ports: &'a HostPorts,
    node: &'a Node,
    /// Variables of templates about the node.
    scene: Scene,
}

impl CheckContext<'_> {
    /// A check of the node, tried at `at`; none if that is of another distribution
    /// than `only_at`.
    fn render(&self, own: &OwnCheck<'_>, at: &Tried<'_>) -> Result<Option<Check>, Wrong> {
        let Self { catalog, lab, systems, secrets, ports, node, .. } = *self;
        let check = own.check;
        let here = match at {
            Tried::At(here) => here,
            Tried::Host | Tried::Nowhere => node,
        };
        let of = |node: &Node| catalog.distribution(systems.of(node)).map_err(|e| Wrong::new(&check.name, e));
        let (distribution, there) = (of(node)?, of(here)?);
        if !there.is_for(&check.only_at) {
            return Ok(None);
        }
        let mut scene = self.scene.clone();
        let view = view(lab, here, catalog, systems).map_err(|e| Wrong::new(&check.name, e))?;
        scene.set("at", serde_json::to_value(view).unwrap_or_default());
        scene.set("ports", json!(ports));
        scene.set("port", json!(ports.get(&node.name).cloned().unwrap_or_default()));
        let text = |v: &Spanned<String>, scene: &Scene| {
            catalog.engine.render(&catalog.place(own.toml, v), scene).map_err(|e| Wrong::new(v, e))
        };
        let mut out = Check { name: text(&check.name, &scene)?, ..Check::empty(node, own, at) };
        out.left_out = why_left_out(lab, check, at, there.name != distribution.name, |v| text(v, &scene))?;
        if out.left_out.is_some() {
            return Ok(Some(out));
        }
        out.run = text(&check.run, &scene)?;
        if out.run.trim().is_empty() {
            return Err(Wrong::said(&check.run, "`run` renders to nothing, which proves nothing"));
        }
        if let Some(expect) = &check.expect {
            let found = text(expect, &scene)?;
            if found.trim().is_empty() {
                let message =
                    "`expect` renders to nothing, which is in every output; use `given` to leave the check out";
                return Err(Wrong::said(expect, message));
            }
            out.expect = Some(found);
        }
        let mut private = scene.clone();
        private.set("password", passwords(lab, secrets));
        for [wait, reply] in &check.answers {
            out.answers.push((text(wait, &scene)?, text(reply, &private)?));
        }
        Ok(Some(out))
    }
}

/// Reason why a check of a node cannot be tried; `differ` says whether the node is of
/// another distribution than where it would be typed.
fn why_left_out(
    lab: &Lab,
    check: &CheckToml,
    at: &Tried<'_>,
    differ: bool,
    text: impl Fn(&Spanned<String>) -> Result<String, Wrong>,
) -> Result<Option<String>, Wrong> {
    for need in check.needs_in_lab.iter().map(Spanned::get_ref) {
        if !need.is_met(lab.nodes.iter().flat_map(|n| &n.roles).map(String::as_str)) {
            let roles = need.roles().collect::<Vec<_>>().join(" or ");
            return Ok(Some(format!("No node of the lab has the role {roles}")));
        }
    }
    if let Tried::Nowhere = at {
        return Ok(Some("The lab has no other CPU server to run it on".into()));
    }
    if let Some(given) = &check.given
        && text(given)?.trim().is_empty()
    {
        return check.without.as_ref().map(text).transpose();
    }
    check.alike.as_ref().filter(|_| differ).map(text).transpose()
}

/// A mistake in a check, and where its value stands in the TOML file.
struct Wrong {
    at: std::ops::Range<usize>,
    message: String,
}

impl Wrong {
    fn new(value: &Spanned<String>, error: RenderError) -> Self {
        let message = match error {
            RenderError::At { message, .. } => message,
            other => other.to_string(),
        };
        Self::said(value, message)
    }

    fn said(value: &Spanned<String>, message: impl Into<String>) -> Self {
        Self { at: value.span(), message: message.into() }
    }

    fn mistake(self, toml: &Source) -> Mistake {
        let text = toml.text().unwrap_or_default();
        let place = Notes::new(&toml.place, text).place(&self.at);
        let kind = Kind::UnknownName;
        Mistake {
            kind,
            message: self.message,
            expected: None,
            help: None,
            remedy: None,
            place: Some(place),
            first: None,
        }
    }

    /// Check that stands for the wrong one in a report.
    fn check(self, node: &Node, own: &OwnCheck<'_>, at: &Tried<'_>) -> Check {
        let name = own.check.name.get_ref().clone();
        Check { name, broken: Some(self.message), ..Check::empty(node, own, at) }
    }
}

impl Check {
    fn empty(node: &Node, own: &OwnCheck<'_>, at: &Tried<'_>) -> Self {
        let check = own.check;
        Self {
            role: own.whose.to_owned(),
            node: node.name.clone(),
            site: match at {
                Tried::At(here) => CheckSite::Node(here.name.clone()),
                Tried::Host => CheckSite::Host,
                Tried::Nowhere => CheckSite::Node(node.name.clone()),
            },
            name: String::new(),
            run: String::new(),
            expect: None,
            answers: Vec::new(),
            timeout: Duration::from_secs(check.timeout.unwrap_or(TIMEOUT)),
            network: check.network,
            order: check.order,
            left_out: None,
            broken: None,
        }
    }
}

fn passwords(lab: &Lab, secrets: &Secrets) -> Value {
    let names = std::iter::once(&lab.hostowner).chain(lab.users.iter().map(|u| &u.name));
    names.filter_map(|n| Some((n.clone(), secrets.password(n)?.into()))).collect::<serde_json::Map<_, Value>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A catalog with a role `x` and a lab of one node with it, and of another
    /// where `more` says so.
    fn with(role: &str, more: &str) -> (Catalog, Lab) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("roles/x");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("role.toml"), format!("description = 'x'\nneeds = ['cpu']\n{role}")).unwrap();
        let catalog = Catalog::load(dir.path()).unwrap();
        let text = format!("[lab]\nname = \"l\"\n[[node]]\nname = \"n1\"\nroles = [\"cpu\", \"x\"]\n{more}");
        let lab = Lab::parse(&text, "lab.toml", Path::new(""), &catalog.facts()).unwrap();
        (catalog, lab)
    }

    fn of_x(role: &str, more: &str) -> Vec<Check> {
        let (catalog, lab) = with(role, more);
        let systems = Systems::from("9legacy");
        let ports = catalog.stand_in_ports(&lab, &systems);
        let secrets = Secrets::stand_in("bootes", &["glenda"]);
        let mut all = catalog.checks(&lab, &systems, &secrets, &ports).unwrap();
        all.retain(|c| c.role == "x");
        all
    }

    const OTHER: &str = "[[node]]\nname = \"n2\"\nroles = [\"cpu\", \"venti\"]\n";

    #[test]
    fn what_cannot_be_tried_is_left_out_with_its_reason() {
        let venti = "[[check]]\nname = 'a'\nrun = 'vac {{lab.with.venti.[0].name}}'\nneeds_in_lab = ['venti']\n";
        let out = of_x(venti, "");
        assert_eq!(out[0].left_out.as_deref(), Some("No node of the lab has the role venti"));
        let found = of_x(venti, OTHER);
        assert_eq!((found[0].left_out.as_deref(), found[0].run.as_str()), (None, "vac n2"));
        let others = "[[check]]\nname = 'a'\nat = 'others'\nrun = 'x'\n";
        let out = of_x(others, "");
        assert_eq!(out[0].left_out.as_deref(), Some("The lab has no other CPU server to run it on"));
        assert_eq!(of_x(others, OTHER)[0].left_out, None);
        let given =
            "[[check]]\nname = 'a'\nrun = 'x'\ngiven = '{{#each lab.users}}{{name}}{{/each}}'\nwithout = 'No user'\n";
        assert_eq!(of_x(given, "")[0].left_out.as_deref(), Some("No user"));
        assert_eq!(of_x(given, "[[user]]\nname = \"glenda\"\n")[0].left_out, None);
    }

    #[test]
    fn a_bad_check_is_broken_alone_and_found_without_a_medium() {
        let port = "[[port]]\nname = 'http'\ntcp = 80\n";
        let bad = format!(
            "{port}[[check]]\nname = 'a'\nat = 'host'\nrun = 'curl {{{{ports.NODE.http}}}}'\n\
             [[check]]\nname = 'b'\nat = 'host'\nrun = 'curl {{{{port.http}}}} {{{{ports.n1.http}}}}'\n\
             [[check]]\nname = 'c'\nrun = 'x'\nexpect = '{{{{#if lab.users}}}}y{{{{/if}}}}'\n"
        );
        let all = of_x(&bad, OTHER);
        let broken = |i: usize| all[i].broken.as_deref();
        assert_eq!(broken(0), Some("There is no variable \"ports.NODE.http\" here: `ports` has n1, n2"));
        assert_eq!((broken(1), all[1].run.as_str()), (None, "curl 27011 27011"));
        assert!(broken(2).is_some_and(|b| b.starts_with("`expect` renders to nothing")));
        let (catalog, lab) = with(&bad, OTHER);
        let wrong = catalog.wrong_checks(&lab, &Secrets::stand_in("bootes", &["glenda"]));
        let lines: Vec<_> = wrong.iter().filter_map(|m| Some((m.place.as_ref()?.line, m.message.as_str()))).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0], (9, "There is no variable \"ports.NODE.http\" here: `ports` has n1, n2"));
        assert_eq!(lines[1].0, 17);
    }

    #[test]
    fn checks_that_prove_nothing_are_refused() {
        for (check, why) in [
            ("run = ''", "A check with an empty value here proves nothing"),
            ("run = 'x'\nexpect = ''", "A check with an empty value here proves nothing"),
            ("run = 'x'\ngiven = 'y'", "`given` needs `without`"),
            ("run = 'x'\nneeds_in_lab = ['ventti']", "did you mean \"venti\"?"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("roles/x");
            std::fs::create_dir_all(&folder).unwrap();
            let text = format!("description = 'x'\n[[check]]\nname = 'a'\n{check}\n");
            std::fs::write(folder.join("role.toml"), text).unwrap();
            let said = Catalog::load(dir.path()).err().unwrap().to_string();
            assert!(said.contains("role.toml:4") || said.contains("role.toml:5"), "{said}");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn the_built_in_checks_have_no_mistake_in_any_lab() {
        let catalog = Catalog::embedded().unwrap();
        let secrets = Secrets::stand_in("bootes", &["glenda"]);
        let small = "[lab]\nname = \"l\"\n[[node]]\nname = \"n1\"\nroles = [\"cpu\", \"fs\", \"auth\"]\n";
        for text in [small, crate::lab::template::LAB] {
            let lab = Lab::parse(text, "lab.toml", Path::new(""), &catalog.facts()).unwrap();
            assert_eq!(catalog.wrong_checks(&lab, &secrets), []);
        }
    }

    #[test]
    fn what_may_listen_is_what_roles_say_they_serve() {
        let role = "services = ['tcp80', { name = 'tcp7', only = '9front' }]\nlistens = [8000]\n[[port]]\nname = 'web'\ntcp = 8080\n";
        let (catalog, lab) = with(role, "");
        let listens = |distribution: &str| {
            let view = view(&lab, &lab.nodes[0], &catalog, &Systems::from(distribution)).unwrap();
            view.listens.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(listens("9legacy"), [80, 8000, 8080, 17007, 17010]);
        // Its name server listens on TCP, too.
        assert_eq!(listens("9front"), [7, 53, 80, 8000, 8080, 17019]);
    }
}
