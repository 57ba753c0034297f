//! Checks of roles and distributions by themselves, whatever the lab: names of
//! roles, and every template that some node could need.

use super::Catalog;
use crate::lab::board::BOARDS;
use crate::lab::words;
use crate::lab::{Board, Fs};
use crate::render::RenderError;
use crate::render::engine::Engine;
use crate::render::schema::{CheckToml, File};
use crate::render::source::Source;
use crate::suggest::suggest;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;

impl Catalog {
    /// Checks the names in role.toml files: of roles, boards, listeners and users.
    pub(super) fn check_roles(&self) -> Result<(), RenderError> {
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
                    return Err(RenderError::at(
                        toml.at(service.span().start),
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

    /// Checks the names in distribution.toml files: of roots and of machines with
    /// kernels.
    pub(super) fn check_distributions(&self) -> Result<(), RenderError> {
        for d in self.distributions.values() {
            let wrong = |value: &Spanned<String>, message: String| {
                RenderError::at(self.place(self.distribution_toml(d), value), message)
            };
            for word in d.fs.iter().flatten().chain(d.root_config.keys()) {
                words::parse::<Fs>(word.get_ref()).map_err(|problem| wrong(word, problem.to_string()))?;
            }
            let useless =
                |word: &&Spanned<String>| word.get_ref().parse::<Fs>().is_ok_and(|fs| fs.kind().config.is_none());
            if let Some(word) = d.root_config.keys().find(useless) {
                return Err(wrong(word, format!("The file system {} stores no configuration", word.get_ref())));
            }
            for word in d.kernel.iter().flat_map(BTreeMap::values).flat_map(BTreeMap::keys) {
                machine(word.get_ref()).map_err(|message| wrong(word, message))?;
            }
        }
        Ok(())
    }

    /// Compiles every template that some node could need, for every distribution.
    pub(super) fn compile(&mut self) -> Result<(), RenderError> {
        let mut engine = Engine::new();
        for name in self.distributions.keys() {
            let d = self.distribution(name)?;
            for part in &d.chain {
                let toml = self.distribution_toml(part);
                let folder = format!("templates/{}", part.name);
                compile_checks(&mut engine, toml, &part.checks, self.role_names())?;
                for value in part.needs_files.iter().flatten() {
                    engine.add_value(toml, value)?;
                }
                for file in &part.files {
                    self.compile_file(&mut engine, toml, file, |source| {
                        Some(format!("{folder}/{source}")).filter(|f| self.sources.contains_key(f))
                    })?;
                }
                let own = [&part.plan9_ini, &part.config_txt, &part.cmdline, &part.boot_script];
                for source in own.into_iter().flatten().chain(part.root_config.values()) {
                    let name = format!("{folder}/{}", source.get_ref());
                    let found = self.sources.get(&name).ok_or_else(|| self.no_source(toml, source))?;
                    engine.add_file(&name, found)?;
                }
            }
            let slots = d.slots();
            for role in self.roles.values() {
                let toml = self.role_toml(role);
                compile_checks(&mut engine, toml, &role.checks, self.role_names())?;
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
        // The place of the TOML file says which folder is searched.
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

/// Checks the name that a kernel is under.
fn machine(name: &str) -> Result<(), String> {
    let boards = BOARDS.iter().map(|spec| spec.board);
    let known: Vec<_> =
        boards.flat_map(|b| b.architectures().into_iter().map(move |a| (a, b.kernel_name(a)))).collect();
    if known.iter().any(|(_, known)| *known == name) {
        return Ok(());
    }
    let names = || known.iter().map(|(_, name)| *name);
    let same = known.iter().find(|(arch, _)| arch.name() == name);
    let suggestion = same.map_or_else(|| suggest(name, names()), |(_, board)| format!("; did you mean {board:?}?"));
    let expected = names().collect::<Vec<_>>().join(", ");
    Err(format!("No machine has kernels under {name:?}: expected one of {expected}{suggestion}"))
}

/// Compiles the templates of checks. `known` are the roles that there are.
fn compile_checks<'a>(
    engine: &mut Engine,
    toml: &Source,
    checks: &[CheckToml],
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), RenderError> {
    let wrong = |at: std::ops::Range<usize>, message: String| RenderError::at(toml.at(at.start), message);
    for check in checks {
        let answers = check.answers.iter().flatten();
        let rest = [&check.expect, &check.alike, &check.given, &check.without].into_iter().flatten();
        for value in [&check.name, &check.run].into_iter().chain(rest).chain(answers) {
            engine.add_value(toml, value)?;
        }
        for value in [Some(&check.run), check.expect.as_ref(), check.given.as_ref()].into_iter().flatten() {
            if value.get_ref().trim().is_empty() {
                return Err(wrong(
                    value.span(),
                    "A check with an empty value here proves nothing: leave the line out, or fill it in".into(),
                ));
            }
        }
        match (&check.given, &check.without) {
            (Some(given), None) => {
                return Err(wrong(
                    given.span(),
                    "`given` needs `without`, the reason why the check is left out".into(),
                ));
            }
            (None, Some(without)) => {
                return Err(wrong(without.span(), "`without` is the reason for `given`, which is missing".into()));
            }
            _ => {}
        }
        for need in &check.needs_in_lab {
            if let Some(name) = need.get_ref().roles().find(|n| !known.clone().any(|k| k == *n)) {
                let suggestion = suggest(name, known.clone());
                return Err(wrong(
                    need.span(),
                    format!("`needs_in_lab` names {name:?}, which is not a role{suggestion}"),
                ));
            }
        }
    }
    Ok(())
}
