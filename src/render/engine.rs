//! Handlebars, made strict: a variable that does not exist is an error
//! everywhere, with file, line and column. Nothing is escaped.

use super::RenderError;
use super::role::{line_and_column, text};
use super::source::Source;
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy as _, Output, RenderContext, RenderErrorReason,
    Renderable as _,
};
use serde_json::Value;
use std::collections::BTreeMap;
use toml::Spanned;

/// `if` and `unless` that refuse a variable that does not exist; the library's
/// own take it as false even in strict mode.
struct Condition {
    name: &'static str,
    when: bool,
}

impl HelperDef for Condition {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        r: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let param = h.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex(self.name, 0))?;
        if param.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into());
        }
        let chosen = if param.value().is_truthy(false) == self.when { h.template() } else { h.inverse() };
        chosen.map_or(Ok(()), |t| t.render(r, ctx, rc, out))
    }
}

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
}

/// All templates, compiled once.
pub(super) struct Engine {
    handlebars: Handlebars<'static>,
    /// Where each template is, by its name: a file, or a line of a TOML file.
    places: BTreeMap<String, String>,
}

impl Engine {
    pub fn new() -> Self {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.register_escape_fn(handlebars::no_escape);
        handlebars.register_helper("if", Box::new(Condition { name: "if", when: true }));
        handlebars.register_helper("unless", Box::new(Condition { name: "unless", when: false }));
        Self { handlebars, places: BTreeMap::new() }
    }

    /// Compiles a file under its name.
    pub fn add_file(&mut self, name: &str, source: &Source) -> Result<(), RenderError> {
        if self.places.contains_key(name) {
            return Ok(());
        }
        self.add(name, &source.place, text(source)?)
    }

    /// Compiles a value of `toml`; returns the name to render it by.
    pub fn add_value(&mut self, toml: &Source, value: &Spanned<String>) -> Result<String, RenderError> {
        let (line, column) = line_and_column(text(toml)?, value.span().start);
        let place = format!("{}:{line}:{column}", toml.place);
        self.add(&place, &place, value.get_ref())?;
        Ok(place)
    }

    fn add(&mut self, name: &str, place: &str, text: &str) -> Result<(), RenderError> {
        if let Some(at) = text.find('\r') {
            let (line, column) = line_and_column(text, at);
            return Err(RenderError::at(
                format!("{place}:{line}:{column}"),
                "A carriage return, which Plan 9's programs take as part of the line; save the file with Unix line ends",
            ));
        }
        self.handlebars.register_template_string(name, text).map_err(|e| {
            let place = e.pos().map_or_else(|| place.to_owned(), |(line, column)| format!("{place}:{line}:{column}"));
            RenderError::at(place, format!("Not a handlebars template: {}", e.reason()))
        })?;
        self.places.insert(name.to_owned(), place.to_owned());
        Ok(())
    }

    /// Renders the template `name`.
    pub fn render(&self, name: &str, scene: &Scene) -> Result<String, RenderError> {
        self.handlebars.render_with_context(name, &scene.0).map_err(|e| {
            let place = self.places.get(name).map_or(name, String::as_str);
            let place = match (e.line_no, e.column_no) {
                (Some(line), Some(column)) => format!("{place}:{line}:{column}"),
                _ => place.to_owned(),
            };
            let message = match e.reason() {
                RenderErrorReason::MissingVariable(Some(path)) => {
                    format!("There is no variable {path:?} here; doc/roles.md lists what there is")
                }
                RenderErrorReason::MissingVariable(None) => "A variable that does not exist".into(),
                other => other.to_string(),
            };
            RenderError::at(place, message)
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
        assert!(said.starts_with("roles/x/f:2:3: Helper not found nonsense"), "{said}");
        let said = render("a\nbc\r\n").unwrap_err();
        assert!(said.starts_with("roles/x/f:2:3: A carriage return"), "{said}");
    }
}
