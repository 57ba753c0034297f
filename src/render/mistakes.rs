//! Mistakes of roles, for `p9img check`: nodes are rendered without a medium, and
//! whatever a build would refuse is a mistake.

use super::RenderError;
use super::catalog::Catalog;
use super::clashes::Clash;
use super::node::{render, render_next};
use super::rendered::{RenderedFile, What};
use super::scene::{Scenes, needs};
use super::schema::Role;
use super::systems::Systems;
use crate::lab::mistakes::{Kind, Notes};
use crate::lab::{Lab, Mistake, Node, SAMPLE, Secrets};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes that are rendered to find mistakes; in a lab of more, the first with
/// each role stands for the others.
const ALL: usize = 32;

impl Catalog {
    /// Files that patterns leave out though nodes of the lab need them, whichever
    /// distribution the medium has; each with the role or distribution that needs
    /// it. A file that the node's own roles write is not missing.
    pub fn left_out(&self, lab: &Lab, secrets: &Secrets, takes: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut common: Option<BTreeMap<String, String>> = None;
        for d in self.own_distributions() {
            let systems = Systems::from(d);
            let mut missing = BTreeMap::new();
            let mut scenes = Scenes::default();
            for node in &lab.nodes {
                let Ok(distribution) = self.distribution(systems.of(node)) else { continue };
                let roles: Vec<&Role> = node.roles.iter().filter_map(|r| self.role(r).ok()).collect();
                let Ok(scene) = scenes.take(lab, node, self, &systems) else { continue };
                let needs = needs(self, &distribution, &roles, &scene).unwrap_or_default();
                scenes.keep(lab, node, &systems, scene);
                let mut needs: Vec<_> = needs.into_iter().filter(|(path, _)| !takes(path)).collect();
                if !needs.is_empty()
                    && let Ok(rendered) = render_next(&mut scenes, lab, node, self, &systems, secrets)
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

    /// Mistakes of roles that a build of the lab's nodes would be refused for, as
    /// far as they can be found without the medium. The medium alone says which
    /// distribution a node is of, so a node is wrong only if it is wrong for every
    /// distribution that its medium could have.
    pub fn wrong_nodes(&self, lab: &Lab, secrets: &Secrets) -> Vec<Mistake> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut judged: BTreeSet<(&[String], bool)> = BTreeSet::new();
        let mut out: Vec<Mistake> = Vec::new();
        for node in &lab.nodes {
            let new = node.roles.iter().filter(|r| seen.insert(r)).count() > 0;
            let rendered = new || lab.nodes.len() <= ALL;
            let sample = lab.medium_of(node) == SAMPLE;
            if !judged.insert((node.roles.as_slice(), sample)) && !rendered {
                continue;
            }
            let systems: Vec<&str> = self.distribution_names().filter(|d| sample == (*d == SAMPLE)).collect();
            let of = |name| (name, self.wrong_node(lab, node, name, rendered.then_some(secrets)));
            let found: Vec<(&str, Vec<Mistake>)> = systems.into_iter().map(of).collect();
            if found.iter().any(|(_, mistakes)| mistakes.is_empty()) {
                continue;
            }
            let Some(((_, first), rest)) = found.split_first() else { continue };
            let common: Vec<_> =
                first.iter().filter(|m| rest.iter().all(|(_, all)| all.contains(m))).cloned().collect();
            let named = |(system, all): (&str, Vec<Mistake>)| {
                let say = move |m: Mistake| Mistake { message: format!("Built from {system}: {}", m.message), ..m };
                all.into_iter().map(say).collect::<Vec<_>>()
            };
            let all = if common.is_empty() { found.into_iter().flat_map(named).collect() } else { common };
            for mistake in all {
                let same = |m: &Mistake| m.message == mistake.message && m.place == mistake.place;
                if !out.iter().any(same) {
                    out.push(mistake);
                }
            }
        }
        out
    }

    /// Mistakes of a node of one distribution; it is rendered if there are `secrets`.
    fn wrong_node(&self, lab: &Lab, node: &Node, system: &str, secrets: Option<&Secrets>) -> Vec<Mistake> {
        let systems = Systems::from(system);
        let found = self.distribution(system).and_then(|d| self.clashes(&d, node));
        match found {
            Ok(clashes) if !clashes.is_empty() => return clashes.iter().map(Clash::mistake).collect(),
            Ok(_) => {}
            Err(error) => return vec![self.mistake(error)],
        }
        let rendered = secrets.map(|secrets| render(lab, node, self, &systems, secrets));
        rendered.and_then(Result::err).map(|e| self.mistake(e)).into_iter().collect()
    }

    /// An error as a mistake, with its line where it names one.
    fn mistake(&self, error: RenderError) -> Mistake {
        let none = |message: String| Mistake {
            kind: Kind::Conflict,
            message,
            expected: None,
            help: None,
            remedy: None,
            place: None,
            first: None,
        };
        let RenderError::At { place, message } = error else { return none(error.to_string()) };
        let mut parts = place.rsplitn(3, ':');
        let numbers = (parts.next().map(str::parse::<usize>), parts.next().map(str::parse::<usize>), parts.next());
        if let (Some(Ok(column)), Some(Ok(line)), Some(file)) = numbers
            && let Some(source) = self.sources.values().find(|s| s.place == file)
        {
            let text = source.text().unwrap_or_default();
            let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            let in_line = text.get(before..).unwrap_or_default().chars().take(column.saturating_sub(1));
            let start = before + in_line.map(char::len_utf8).sum::<usize>();
            let place = Notes::new(&source.place, text).place(&(start..start + 1));
            return Mistake { place: Some(place), ..none(message) };
        }
        none(format!("{place}: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::mistakes::Mistakes;
    use std::path::Path;

    /// Messages of `check` about a node that has the roles `a` and `b`.
    fn wrong(a: &str, b: &str, lab: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("a", a), ("b", b)] {
            let folder = dir.path().join("roles").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("role.toml"), format!("description = 'x'\n{text}")).unwrap();
            std::fs::write(folder.join("bad"), "{{node.nmae}}").unwrap();
        }
        let catalog = Catalog::load(dir.path()).unwrap();
        let text = format!("[lab]\nname = \"l\"\n{lab}\n[[node]]\nname = \"n\"\nroles = [\"cpu\", \"a\", \"b\"]\n");
        let lab = Lab::parse(&text, "lab.toml", Path::new(""), &catalog.facts()).unwrap();
        let mistakes = catalog.wrong_nodes(&lab, &Secrets::stand_in("bootes", &[] as &[&str]));
        let said = |mistake| Mistakes { file: "lab.toml".into(), mistakes: vec![mistake], left_off: 0 }.render(false);
        let short = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
        // A build refuses the same nodes.
        let systems = Systems::from("9legacy");
        let built = render(&lab, &lab.nodes[0], &catalog, &systems, &Secrets::stand_in("bootes", &["glenda"]));
        assert!(mistakes.is_empty() || built.is_err() || text.contains("medium"), "{mistakes:?}");
        assert_eq!(
            catalog.agree(&systems, &lab.nodes[0]).is_err(),
            built.is_err_and(|e| e.to_string().contains("see also"))
        );
        mistakes.into_iter().map(said).map(short).collect()
    }

    fn port(name: &str, tcp: u16) -> String {
        format!("[[port]]\nname = '{name}'\ntcp = {tcp}\n")
    }

    #[test]
    fn ports_that_disagree_are_mistakes_with_both_places() {
        let said = wrong(&port("web", 80), &format!("\n{}", port("web", 8080)), "");
        let want = "roles/b/role.toml:3:1: Node n: The role a and the role b both have a [[port]] called `web`, tcp 80 \
                    and tcp 8080\n";
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(want) && said[0].contains("see also: roles/a/role.toml:2:1\n"), "{}", said[0]);
        let said = wrong(&port("web", 80), &port("http", 80), "");
        assert!(said[0].contains("both have a [[port]] of tcp 80, `web` and `http`"), "{said:?}");
        let said = wrong(&format!("{}{}", port("web", 80), port("web", 81)), "", "");
        assert!(said[0].contains("The role a has twice a [[port]] called `web`"), "{said:?}");
        // A built-in role's, where it is.
        let mine = port("cpu", 17020);
        assert!(wrong(&mine, "", "")[0].contains("The role cpu and the role a both have a [[port]] called `cpu`"));
        // Nothing is lost of two that are the same, nor of two that are for one system each.
        assert_eq!(wrong(&port("web", 80), &port("web", 80), ""), [""; 0]);
        let only = |system: &str, tcp| format!("{}only = '{system}'\n", port("web", tcp));
        assert_eq!(wrong(&only("9front", 80), &only("9legacy", 8080), ""), [""; 0]);
    }

    #[test]
    fn the_distribution_counts_as_far_as_it_is_known() {
        // 9front has no port of this name, and a path can be either.
        let path = "medium = \"m\"\n[media.m]\npath = \"m\"";
        assert_eq!(wrong(&port("cpu", 17020), "", path), [""; 0]);
        let said = wrong(&port("cpu", 17020), &port("other", 17020), path);
        assert!(said.len() == 1 && said[0].contains("of tcp 17020, `cpu` and `other`"), "{said:?}");
    }

    #[test]
    fn users_partitions_and_files_that_disagree_are_mistakes() {
        let user = |name: &str, rest: &str| format!("[[user]]\nname = '{name}'\n{rest}\n");
        let has = |a: &str, b: &str, want: &str| {
            let said = wrong(a, b, "");
            assert!(said.len() == 1 && said[0].contains(want), "{want}: {said:?}");
        };
        has(&user("u", "id = 5"), &user("u", "id = 6"), "both have a user `u`, with the numbers 5 and 6");
        has(&user("u", "id = 5"), &user("v", "id = 5"), "both have a user with the number 5, `u` and `v`");
        has(&user("u", "leader = 'u'"), &user("u", "leader = 'v'"), "a user `u`, led by `u` and by `v`");
        assert_eq!(wrong(&user("u", "id = 5"), &user("u", "members = ['glenda']"), ""), [""; 0]);
        let part = |size: &str| format!("[[partition]]\nname = 'p'\nsize = '{size}'\n");
        has(&part("1 MiB"), &part("2 MiB"), "both have a partition `p`");
        let file = |path: &str, rest: &str| format!("[[file]]\npath = '{path}'\n{rest}\n");
        has(
            &file("x/y", "folder = true"),
            &file("x/y", "folder = true"),
            "b/role.toml:3:8: x/y is also written by the role a",
        );
        has(&file("x", "remove = true"), &file("x/y", "folder = true"), "b/role.toml:3:8: x/y (role b) would be lost");
        assert_eq!(wrong(&file("x", "folder = true"), &file("x/y", "folder = true"), ""), [""; 0]);
        has(&file("x", "source = 'bad'"), "", "a/bad:1:1: There is no variable \"node.nmae\"");
        has("kernel = 'cpu'", "", "Its roles cpu and a need different kernels");
    }

    #[test]
    fn the_built_in_roles_go_together() {
        let catalog = Catalog::embedded().unwrap();
        let secrets = Secrets::stand_in("bootes", &["glenda"]);
        let lab = Lab::parse(crate::lab::template::LAB, "lab.toml", Path::new(""), &catalog.facts()).unwrap();
        assert_eq!(catalog.wrong_nodes(&lab, &secrets), []);
    }
}
