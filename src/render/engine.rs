//! Handlebars, made strict: a variable that does not exist is an error
//! everywhere, with file, line and column. Nothing is escaped.

use super::RenderError;
use super::source::{Source, line_and_column};
use crate::template::Templates;
use handlebars::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use toml::Spanned;

/// The variables that a template sees, in the form that the library renders
/// from: made once for many templates.
#[derive(Clone)]
pub(super) struct Scene(Context);

impl Scene {
    /// `variables` is an object.
    pub fn new(variables: Value) -> Self {
        let mut context = Context::null();
        *context.data_mut() = variables;
        Self(context)
    }

    pub fn get(&self, name: &str) -> &Value {
        &self.0.data()[name]
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.0.data_mut()[name] = value;
    }

    /// Takes a variable away.
    pub fn remove(&mut self, name: &str) {
        if let Some(variables) = self.0.data_mut().as_object_mut() {
            variables.shift_remove(name);
        }
    }
}

/// Advice about a file that is read as a template and is none.
const NO_TEMPLATE: &str = "; for a file that is not a template, write `template = false` next to its `source`";

/// All templates, compiled once.
pub(super) struct Engine {
    templates: Templates,
    /// Origin of each template by its name.
    origins: BTreeMap<String, TemplateOrigin>,
}

/// File, or line of a TOML file, that a template is in.
struct TemplateOrigin {
    name: String,
    /// Advice, where the author may have meant no template at all.
    help: &'static str,
}

impl Engine {
    pub fn new() -> Self {
        Self { templates: Templates::new(handlebars::no_escape), origins: BTreeMap::new() }
    }

    /// Compiles a file under its name.
    pub fn add_file(&mut self, name: &str, source: &Source) -> Result<(), RenderError> {
        self.add_once(name, source, "; write `\\{{` for two braces")
    }

    /// As [`Self::add_file`], for a file that need not be a template.
    pub fn add_source(&mut self, name: &str, source: &Source) -> Result<(), RenderError> {
        self.add_once(name, source, NO_TEMPLATE)
    }

    fn add_once(&mut self, name: &str, source: &Source, help: &'static str) -> Result<(), RenderError> {
        if self.origins.contains_key(name) {
            return Ok(());
        }
        self.add(name, TemplateOrigin { name: source.place.clone(), help }, source.text()?)
    }

    /// Compiles a value of `toml`; returns the name to render it by.
    pub fn add_value(&mut self, toml: &Source, value: &Spanned<String>) -> Result<String, RenderError> {
        let name = toml.at(value.span().start);
        let origin = TemplateOrigin { name: name.clone(), help: "; write `\\{{` for two braces" };
        self.add(&name, origin, value.get_ref())?;
        Ok(name)
    }

    fn add(&mut self, name: &str, origin: TemplateOrigin, text: &str) -> Result<(), RenderError> {
        if let Some(at) = text.find('\r') {
            let (line, column) = line_and_column(text, at);
            return Err(RenderError::at(
                format!("{}:{line}:{column}", origin.name),
                "A carriage return, which Plan 9's programs take as part of the line; save the file with Unix line ends",
            ));
        }
        self.templates
            .add(name, text)
            .map_err(|e| RenderError::at(e.place(&origin.name), format!("{}{}", e.said(), origin.help)))?;
        self.origins.insert(name.to_owned(), origin);
        Ok(())
    }

    /// Renders the template `name`.
    pub fn render(&self, name: &str, scene: &Scene) -> Result<String, RenderError> {
        self.templates.render(name, &scene.0).map_err(|e| {
            let origin = self.origins.get(name);
            let help = origin.map(|p| p.help).filter(|help| *help == NO_TEMPLATE).unwrap_or_default();
            RenderError::at(e.place(origin.map_or(name, |p| &p.name)), format!("{}{help}", e.said()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str) -> Result<String, String> {
        let mut engine = Engine::new();
        let source = Source { place: "roles/x/f".into(), bytes: text.as_bytes().to_vec().into() };
        engine.add_file("x", &source).map_err(|e| e.to_string())?;
        let context = json!({"node": {"name": "n<1>", "on": true, "list": ["a", "b"], "empty": ""}});
        engine.render("x", &Scene::new(context)).map_err(|e| e.to_string())
    }

    #[test]
    fn values_are_not_escaped_and_block_lines_vanish() {
        let out = render(
            "{{#if node.on}}\n{{node.name}} & \"'\n{{/if}}\n{{#each node.list}}\n{{this}}\n{{/each}}\n{{#unless node.empty}}none{{/unless}}",
        );
        assert_eq!(out.unwrap(), "n<1> & \"'\na\nb\nnone");
    }

    #[test]
    fn every_use_of_a_missing_variable_is_an_error_with_its_place() {
        for text in [
            "a\nb {{node.nmae}}",
            "a\nb {{#if node.nmae}}x{{/if}}",
            "a\nb {{#unless node.nmae}}x{{/unless}}",
            "a\nb {{#each node.nmae}}x{{/each}}",
            "a\nb {{#with node.nmae}}x{{/with}}",
            "a\nb {{#if (eq node.nmae \"x\")}}x{{/if}}",
        ] {
            let said = render(text).unwrap_err();
            assert!(said.starts_with("roles/x/f:2:3: "), "{text}: {said}");
        }
        assert!(render("{{node.nmae}}").unwrap_err().contains("no variable \"node.nmae\""));
    }

    #[test]
    fn broken_templates_and_carriage_returns_name_their_place() {
        let said = render("a\n{{#if node.on}}\n").unwrap_err();
        assert!(said.starts_with("roles/x/f:"), "{said}");
        let said = render("a\nb {{nonsense node.name}}").unwrap_err();
        assert!(said.starts_with("roles/x/f:2:3: There is no helper \"nonsense\""), "{said}");
        let said = render("a\nbc\r\n").unwrap_err();
        assert!(said.starts_with("roles/x/f:2:3: A carriage return"), "{said}");
    }
}
