//! Handlebars, made strict and bounded. A lab's templates can be a stranger's:
//! whatever they say ends, within a few seconds, 16 MiB of text and a small
//! stack.
//!
//! - A variable that does not exist is an error, but in conditions of templates
//!   whose values may be left out (`with_absent_values`).
//! - A text that nests too deep, or asks for partials, is refused before it is
//!   parsed (`scan`).
//! - Each round of a loop costs as many steps as its body has parts, and a
//!   rendering has so many; its output is bounded, too.
//!
//! It asks no other folder.

mod refused;
mod scan;

pub use refused::Refused;

use handlebars::template::{HelperTemplate, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy as _, Output, RenderContext, RenderErrorReason,
    Renderable as _, Template, TemplateErrorReason,
};
use serde::Serialize;
use serde_json::Value;
use std::cell::Cell;
use std::io;

/// Bytes that one rendering may come to.
const OUTPUT: usize = 16 << 20;
/// Parts of loops that one rendering may go through.
const STEPS: u64 = 4_000_000;
/// Helper that counts a round of a loop: no template can call it, as `%` is in
/// no name.
const ROUND: &str = "%round";

thread_local! {
    /// Steps that the rendering of this thread has left.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// `if` and `unless`, which the library's own strict mode does not reach.
struct Condition {
    name: &'static str,
    when: bool,
    /// Whether a variable that does not exist counts as false; else it is refused.
    absent: bool,
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
        if param.is_value_missing() && !self.absent {
            return Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into());
        }
        let chosen = if param.value().is_truthy(false) == self.when { h.template() } else { h.inverse() };
        chosen.map_or(Ok(()), |t| t.render(r, ctx, rc, out))
    }
}

/// Counts a round of a loop, as many steps as its parameter says.
struct Round;

impl HelperDef for Round {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        _: &mut dyn Output,
    ) -> HelperResult {
        let steps = h.param(0).and_then(|p| p.value().as_u64()).unwrap_or(1);
        match LEFT.get().checked_sub(steps) {
            Some(left) => LEFT.set(left),
            None => {
                return Err(RenderErrorReason::Other("Its loops have too many steps".into()).into());
            }
        }
        Ok(())
    }
}

/// Text that does not grow for ever.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Templates by name, compiled once.
pub struct Templates {
    handlebars: Handlebars<'static>,
    /// Steps that a rendering may take.
    steps: u64,
}

impl Templates {
    /// Templates whose values `escape` goes over.
    pub fn new(escape: fn(&str) -> String) -> Self {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.register_escape_fn(escape);
        handlebars.register_helper(ROUND, Box::new(Round));
        let mut templates = Self { handlebars, steps: STEPS };
        templates.conditions(false);
        templates
    }

    /// Conditions in which a variable that does not exist counts as false, for
    /// values of which some are left out.
    #[must_use]
    pub fn with_absent_values(mut self) -> Self {
        self.conditions(true);
        self
    }

    fn conditions(&mut self, absent: bool) {
        for (name, when) in [("if", true), ("unless", false)] {
            self.handlebars.register_helper(name, Box::new(Condition { name, when, absent }));
        }
    }

    /// Compiles `text` under a name.
    ///
    /// # Errors
    /// Fails when the text is no template, or one that `scan` refuses.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Refused> {
        scan::check(text)?;
        let mut template = Template::compile_with_name(text, name.to_owned()).map_err(|e| {
            let message = match e.reason() {
                TemplateErrorReason::MismatchingClosedHelper(open, close) => {
                    format!("`{{{{#{open}}}}}` is open where `{{{{/{close}}}}}` stands")
                }
                _ => "Not a handlebars template".to_owned(),
            };
            match e.pos() {
                Some((line, column)) => scan::refused(text, tag_before(text, line, column), message),
                None => Refused { at: None, tag: None, message },
            }
        })?;
        count_rounds(&mut template)?;
        self.handlebars.register_template(name, template);
        Ok(())
    }

    /// As [`Self::render`], with the fields of a value as the variables.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_value(&self, name: &str, value: &impl Serialize) -> Result<String, Refused> {
        let failed = |e: handlebars::RenderError| Refused { at: None, tag: None, message: e.to_string() };
        self.render(name, &Context::wraps(value).map_err(failed)?)
    }

    /// Renders the template `name`.
    ///
    /// # Errors
    /// Fails when it names a variable or helper that does not exist, or takes
    /// too many steps or too much output.
    pub fn render(&self, name: &str, context: &Context) -> Result<String, Refused> {
        LEFT.set(self.steps);
        let mut out = Bounded(Vec::new());
        self.handlebars.render_with_context_to_write(name, context, &mut out).map_err(|e| {
            let message = match e.reason() {
                RenderErrorReason::MissingVariable(Some(path)) => {
                    format!("There is no variable {path:?} here{}", what_there_is(context.data(), path))
                }
                RenderErrorReason::HelperNotFound(name) => format!("There is no helper {name:?}"),
                RenderErrorReason::MissingVariable(None) => "A variable that does not exist".into(),
                RenderErrorReason::IOError(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                    format!("It renders to more than {} MiB", OUTPUT >> 20)
                }
                other => other.to_string(),
            };
            Refused { at: e.line_no.zip(e.column_no), tag: None, message }
        })?;
        String::from_utf8(out.0).map_err(|e| Refused { at: None, tag: None, message: e.to_string() })
    }
}

/// The names in the place where `path` stops to lead anywhere.
fn what_there_is(data: &Value, path: &str) -> String {
    const MOST: usize = 12;
    let mut here = data;
    let mut known = Vec::new();
    for name in path.split('.') {
        match here.get(name) {
            Some(next) => here = next,
            None => break,
        }
        known.push(name);
    }
    match here.as_object().filter(|_| !known.is_empty()) {
        Some(names) if names.is_empty() => format!(": `{}` is empty", known.join(".")),
        Some(names) => {
            let some: Vec<&str> = names.keys().take(MOST).map(String::as_str).collect();
            let more = if names.len() > MOST { ", …" } else { "" };
            format!(": `{}` has {}{more}", known.join("."), some.join(", "))
        }
        None => "; doc/roles.md lists all variables".to_owned(),
    }
}

/// Offset of the last tag that begins no later than a line and column.
fn tag_before(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[start.min(text.len())..];
    let at = start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i);
    let near = text[..at].rfind("{{").unwrap_or(at);
    // The parser means a tag that it stands before.
    if text[at..].starts_with("{{") { at } else { near }
}

/// Puts a counter at the start of the body of each loop, and returns the parts
/// of the template without those bodies.
fn count_rounds(template: &mut Template) -> Result<u64, Refused> {
    let mut parts = 0;
    for element in &mut template.elements {
        parts += 1;
        if let TemplateElement::HelperBlock(block) = element {
            parts += count_rounds_of(block)?;
        }
    }
    Ok(parts)
}

fn count_rounds_of(block: &mut HelperTemplate) -> Result<u64, Refused> {
    let mut parts = 0;
    if let Some(inverse) = &mut block.inverse {
        parts += count_rounds(inverse)?;
    }
    let Some(body) = &mut block.template else { return Ok(parts) };
    let own = count_rounds(body)?;
    if block.name.as_name() != Some("each") {
        return Ok(parts + own);
    }
    let failed = |e: handlebars::TemplateError| Refused { at: None, tag: None, message: e.to_string() };
    let counter = Template::compile(&format!("{{{{round {}}}}}", own + 1)).map_err(failed)?;
    for (mut element, mapping) in counter.elements.into_iter().zip(counter.mapping) {
        if let TemplateElement::Expression(call) = &mut element {
            call.name = handlebars::template::Parameter::Name(ROUND.into());
        }
        body.elements.insert(0, element);
        body.mapping.insert(0, mapping);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str) -> Result<String, String> {
        let mut templates = Templates { steps: 50_000, ..Templates::new(handlebars::no_escape) };
        templates.add("x", text).map_err(|e| e.said())?;
        let list: Vec<u32> = (0..100).collect();
        let context = Context::wraps(json!({"list": list, "map": {"a": 1, "b": 2}, "long": "x".repeat(1 << 20)}));
        templates.render("x", &context.unwrap()).map_err(|e| e.said())
    }

    #[test]
    fn loops_and_output_have_an_end() {
        let nested = |n: usize| format!("{}{}", "{{#each @root.list}}".repeat(n), "{{/each}}".repeat(n));
        assert_eq!(render(&nested(2)), Ok(String::new()));
        for n in [3, 16] {
            let said = render(&nested(n)).unwrap_err();
            assert!(said.contains("loops have too many steps"), "{said}");
        }
        // A body of many parts counts as many steps, wherever they stand.
        for part in ["{{#if this}}{{/if}}", "{{#unless this}}{{else}}{{#if this}}{{/if}}{{/unless}}"] {
            let wide = format!("{{{{#each list}}}}{}{{{{/each}}}}", part.repeat(800));
            let said = render(&wide).unwrap_err();
            assert!(said.contains("loops have too many"), "{said}");
        }
        assert!(render("{{#each list}}{{@root.long}}{{/each}}").unwrap_err().contains("more than 16 MiB"));
        let said = render(&nested(40)).unwrap_err();
        assert!(said.contains("Blocks are nested more than 16 deep"), "{said}");
    }

    #[test]
    fn counting_changes_no_output() {
        let text = "a\n{{#each map}}\n{{@key}}={{this}}{{#unless @last}},{{/unless}}\n{{else}}\nnone\n{{/each}}\nz";
        assert_eq!(render(text).unwrap(), "a\na=1,\nb=2\nz");
        assert_eq!(render("{{#each list as |v i|}}{{#if (eq i 3)}}{{v}}{{/if}}{{/each}}").unwrap(), "3");
    }

    #[test]
    fn what_is_let_through_needs_little_stack() {
        let deep = [
            format!("{}x{}", "{{#if list}}".repeat(16), "{{/if}}".repeat(16)),
            format!("{{{{#if {}1{}}}}}x{{{{/if}}}}", "(eq ".repeat(16), " 1)".repeat(16)),
            format!("{{{{#if {}1{}", "(eq ".repeat(16), " 1)".repeat(16)),
            "{{#if list}}".repeat(16),
            format!("{}{}", "{{this}} ".repeat(4096), "x".repeat(900_000)),
        ];
        for text in deep {
            let thread = std::thread::Builder::new().stack_size(1 << 20);
            let _ = thread.spawn(move || render(&text).map(drop)).unwrap().join().unwrap();
        }
    }

    #[test]
    fn a_value_that_is_left_out_is_refused_or_false_as_the_templates_say() {
        let text = "{{#if a.b}}yes{{else}}no{{/if}}";
        let mut strict = Templates::new(handlebars::no_escape);
        strict.add("t", text).unwrap();
        assert!(strict.render_value("t", &serde_json::json!({"a": null})).is_err());
        let mut absent = Templates::new(handlebars::no_escape).with_absent_values();
        absent.add("t", text).unwrap();
        assert_eq!(absent.render_value("t", &serde_json::json!({"a": null})).unwrap(), "no");
        assert_eq!(absent.render_value("t", &serde_json::json!({"a": {"b": 1}})).unwrap(), "yes");
    }

    #[test]
    fn what_is_no_template_is_named_in_a_line() {
        for (text, tag) in [
            ("x\nawk '{{print \"$1\", $2}}'\n", "{{print \"$1\", $2}}"),
            ("{{map.c}}", "There is no variable \"map.c\" here: `map` has a, b"),
            ("{{mapp.c}}", "There is no variable \"mapp.c\" here; doc/roles.md lists all variables"),
            ("awk '{{print $1}}'", "There is no helper \"print\""),
            ("{{#if list}}\n", "{{#if list}}"),
            ("{{#if list}}{{/each}}", "{{/each}}"),
            ("${{ github.ref || 'x' }}", "{{ github.ref || 'x' }}"),
        ] {
            let said = render(text).unwrap_err();
            assert!(said.ends_with(tag) && !said.contains('\n'), "{said}");
        }
    }
}
