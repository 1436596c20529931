//! Text with references, parsed once when the plan is made and filled when a node runs (S6).
//!
//! Commands of a shell are not filled: see [`Script`].

use serde_json::Value;

pub use super::reference::{Namespace, Reference, ReferenceError, Segment, dig};
pub use super::script::{Export, PlainUse, Script, ScriptError};

use super::model::Values;
use super::reference::{self, Plain};

/// A filled text longer than this is refused.
pub const LONGEST_TEXT: usize = 1 << 20;

/// Gives values to references.
pub trait Lookup {
    /// The value, or nothing if there is none (yet). `reference.default` is not looked at here.
    fn get(&self, reference: &Reference) -> Option<Value>;
}

/// Text with references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Literal(String),
    /// Filled in.
    Reference(Reference),
}

/// Why a text could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no value, and no default.
    #[error("`{reference}` has no value{}", hint(reference))]
    Missing {
        /// What was looked for.
        reference: Reference,
    },
    /// The value holds a NUL character, which no argument, header or file name can carry.
    #[error(
        "the value of `{reference}` holds a NUL character, which cannot be handed to a program"
    )]
    Nul {
        /// What was looked for.
        reference: Reference,
    },
    /// Longer than [`LONGEST_TEXT`].
    #[error("`{source_text}` becomes longer than 1 MiB")]
    TooLong {
        /// The template.
        source_text: String,
    },
}

fn hint(reference: &Reference) -> &'static str {
    match reference.namespace {
        Namespace::Outputs => ": the node did not bind that output",
        Namespace::Inputs => ": give it with --set or x-canary.variables",
        Namespace::Env | Namespace::Secrets => ": it is not set in the environment",
        Namespace::Metadata | Namespace::Loop | Namespace::Name => "",
    }
}

impl Template {
    /// Text without references.
    pub fn literal(text: &str) -> Self {
        Self::from_parts(text.to_owned(), vec![Part::Literal(text.to_owned())])
    }

    /// A text that is one reference.
    pub fn reference(reference: Reference) -> Self {
        Self::from_parts(
            format!("{{{{{reference}}}}}"),
            vec![Part::Reference(reference)],
        )
    }

    /// Finds `{{x}}`, `${a.b}`, `${X}` and `${X:-d}`; `\{{` and `\${` stand for themselves.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '$', '\\']) {
            literal.push_str(&text[at..at + found]);
            at += found;
            let rest = &text[at..];
            if rest.starts_with("\\{{") || rest.starts_with("\\${") {
                literal.push_str(&rest[1..3]);
                at += 3;
                continue;
            }
            if let Some((reference, end)) = reference::at(text, at, Plain::Reference).transpose()? {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Reference(reference));
                at = end;
            } else {
                literal.push_str(&rest[..1]);
                at += 1;
            }
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self::from_parts(text.to_owned(), parts))
    }

    /// Literal and filled parts, in order; `source` is what people see.
    pub fn from_parts(source: String, parts: Vec<Part>) -> Self {
        Self { source, parts }
    }

    /// Several texts, one after the other.
    pub fn concat(templates: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for template in templates {
            all.source.push_str(&template.source);
            all.parts.extend(template.parts);
        }
        all
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Literal and filled parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What it refers to, in order, with repetitions.
    pub fn references(&self) -> Vec<Reference> {
        self.each_reference().cloned().collect()
    }

    /// The same without copies.
    pub fn each_reference(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Literal(_) => None,
        })
    }

    /// The text, if it has no references.
    pub fn as_literal(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => Some(text.as_str()),
                Part::Reference(_) => None,
            })
            .collect()
    }

    /// Every reference replaced by parts: names become outputs or variables, inputs of a sub-workflow what its caller gives.
    #[must_use]
    pub fn replaced(&self, mut with: impl FnMut(&Reference) -> Vec<Part>) -> Self {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Literal(_) => parts.push(part.clone()),
                Part::Reference(reference) => parts.extend(with(reference)),
            }
        }
        Self::from_parts(self.source.clone(), parts)
    }

    /// The text with every reference filled. Lists and mappings are written as JSON.
    pub fn render(&self, lookup: &dyn Lookup) -> Result<String, RenderError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Reference(reference) => text.push_str(&fill(reference, lookup)?),
            }
            if text.len() > LONGEST_TEXT {
                return Err(RenderError::TooLong {
                    source_text: self.source.chars().take(80).collect(),
                });
            }
        }
        Ok(text)
    }

    /// Like [`Self::render`], but a text that is one reference keeps the type of its value.
    pub fn value(&self, lookup: &dyn Lookup) -> Result<Value, RenderError> {
        if let [Part::Reference(reference)] = self.parts.as_slice() {
            match lookup.get(reference) {
                Some(value) if !is_absent(&value, reference) => return Ok(value),
                _ => {}
            }
        }
        self.render(lookup).map(Value::String)
    }
}

fn is_absent(value: &Value, reference: &Reference) -> bool {
    value.is_null() || (reference.default.is_some() && value.as_str() == Some(""))
}

fn fill(reference: &Reference, lookup: &dyn Lookup) -> Result<String, RenderError> {
    let text = match lookup.get(reference) {
        Some(value) if !is_absent(&value, reference) => text_of(value),
        _ => match &reference.default {
            Some(default) => default.clone(),
            None => {
                return Err(RenderError::Missing {
                    reference: reference.clone(),
                });
            }
        },
    };
    if text.contains('\0') {
        return Err(RenderError::Nul {
            reference: reference.clone(),
        });
    }
    Ok(text)
}

/// A value as a program gets it: texts as they are, everything else as JSON.
pub fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The values of a run: what was fixed when it started, and outputs as they come.
pub struct RunValues<'a, F> {
    /// Variables, environment, metadata.
    pub values: &'a Values,
    /// Output of a node, by the node's id in the plan and the output's name.
    pub outputs: F,
    /// `loop.*`.
    pub iteration: u32,
}

impl<F: Fn(&str, &str) -> Option<Value>> Lookup for RunValues<'_, F> {
    fn get(&self, reference: &Reference) -> Option<Value> {
        let head = reference.head();
        let rest = reference.path.get(1..).unwrap_or_default();
        match reference.namespace {
            Namespace::Inputs => match self.values.written.get(head) {
                Some(text) if rest.is_empty() => Some(Value::String(text.clone())),
                _ => dig(self.values.variables.get(head)?, rest).cloned(),
            },
            Namespace::Metadata => dig(self.values.metadata.get(head)?, rest).cloned(),
            Namespace::Env => {
                let value = self.values.environment.get(head)?;
                rest.is_empty().then(|| Value::String(value.clone()))
            }
            Namespace::Outputs => {
                let output = (self.outputs)(head, reference.name(1)?)?;
                dig(&output, &reference.path[2..]).cloned()
            }
            Namespace::Loop if matches!(head, "index" | "iteration") => {
                rest.is_empty().then(|| Value::from(self.iteration))
            }
            Namespace::Loop | Namespace::Secrets | Namespace::Name => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Fixed(Value);

    impl Lookup for Fixed {
        fn get(&self, reference: &Reference) -> Option<Value> {
            dig(&self.0, &reference.path).cloned()
        }
    }

    fn render(text: &str) -> String {
        let values = Fixed(
            json!({"sha": "abc", "n": 3, "empty": "", "o": {"status": "ok", "list": [1, 2]}, "nul": "a\0b", "none": null}),
        );
        match Template::parse(text).unwrap().render(&values) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn fills() {
        for (text, expected) in [
            ("app:{{sha}}", "app:abc"),
            ("{{ sha }}-${n}", "abc-3"),
            (
                "{{o.status}} {{o.list[1]}} {{o}}",
                r#"ok 2 {"status":"ok","list":[1,2]}"#,
            ),
            ("${missing:-x y} ${empty:-z} [{{empty}}]", "x y z []"),
            (r"\{{sha}} \${n} \n $n {sha}", r"{{sha}} ${n} \n $n {sha}"),
            ("{{.Id}}", "{{.Id}}"),
            ("größe {{sha}} ü", "größe abc ü"),
            ("{{missing}}", "`missing` has no value"),
            ("{{none}}", "`none` has no value"),
            (
                "{{nul}}",
                "the value of `nul` holds a NUL character, which cannot be handed to a program",
            ),
        ] {
            assert_eq!(render(text), expected, "{text}");
        }
    }

    #[test]
    fn one_reference_keeps_its_type() {
        let values = Fixed(json!({"n": 3}));
        let value = |text: &str| Template::parse(text).unwrap().value(&values).unwrap();
        assert_eq!(value("{{n}}"), json!(3));
        assert_eq!(value("{{n}} "), json!("3 "));
        assert_eq!(value("${m:-4}"), json!("4"));
    }

    #[test]
    fn outputs_and_variables() {
        let mut values = Values::default();
        values.variables.insert("x".to_owned(), json!({"y": 1}));
        values
            .environment
            .insert("HOME".to_owned(), "/h".to_owned());
        let lookup = RunValues {
            values: &values,
            outputs: |node: &str, name: &str| {
                (node == "build" && name == "tag").then(|| json!("v1"))
            },
            iteration: 2,
        };
        let text =
            Template::parse("{{inputs.x.y}} {{env.HOME}} {{outputs.build.tag}} {{loop.index}}");
        assert_eq!(text.unwrap().render(&lookup).unwrap(), "1 /h v1 2");
    }

    #[test]
    fn length_is_bounded() {
        let values = Fixed(json!({"big": "x".repeat(600_000)}));
        let error = Template::parse("{{big}}{{big}}")
            .unwrap()
            .render(&values)
            .unwrap_err();
        assert!(matches!(error, RenderError::TooLong { .. }));
    }
}
