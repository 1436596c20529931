//! Conditions: one typed expression tree with two parsers, CEL and the part of expr-lang that AnalysisTemplates use.
//!
//! A [`Condition`] is compiled once, against the names that it may use ([`Scope`]), and evaluated often, against their
//! values ([`Environment`]). Errors point into the source. Size, depth and work are bounded ([`bounds`]).
//!
//! Beyond both languages: numbers may have units (`500ms`, `1%`, `10Mi`); `list.length` is its size; a name or member
//! that is written with `-` is reached with `_`.

pub mod bounds;
mod cel;
mod check;
mod evaluate;
mod explain;
mod expr_lang;
mod functions;
mod lexer;
mod number;
mod parser;
mod ranges;
mod tree;
mod value;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use value::{Environment, Scope, Type, Value};

use evaluate::{Evaluator, Mode};
use tree::Node;

/// The language a condition is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// The Common Expression Language, which OSOP uses.
    Cel,
    /// expr-lang, which Argo Rollouts uses.
    Expr,
}

/// What is wrong with a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", if hint.is_empty() { String::new() } else { format!("; {hint}") })]
pub struct ConditionError {
    /// Bytes of the source; never beyond it.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl ConditionError {
    pub(crate) fn boxed(span: Range<usize>, message: String, hint: String) -> Box<Self> {
        Box::new(Self {
            span,
            message,
            hint,
        })
    }
}

/// What is suspicious about a condition that can be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionWarning {
    /// Bytes of the source.
    pub span: Range<usize>,
    /// What is suspicious.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl fmt::Display for ConditionWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.hint.is_empty() {
            Ok(())
        } else {
            write!(f, "; {}", self.hint)
        }
    }
}

/// Why a condition is neither true nor false.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// Something it needs is absent. Never a pass and never a failure: callers make it inconclusive.
    #[error("`{what}` {reason}")]
    NoData {
        /// The name, as written, e.g. `p99_latency_10` or `result[0]`.
        what: String,
        /// "has no value", "is NaN", "is empty", ...
        reason: String,
        /// Bytes of the source.
        span: Range<usize>,
    },
    /// It evaluates to something else than true or false.
    #[error("the condition gives {found}, not true or false")]
    NotBoolean {
        /// What it gives, e.g. "a number".
        found: String,
    },
    /// The values do not fit what is done with them.
    #[error("{message}")]
    Wrong {
        /// What does not fit.
        message: String,
        /// Bytes of the source.
        span: Range<usize>,
    },
    /// More work or longer lists than allowed, see [`bounds`].
    #[error("evaluating the condition takes too much work on this data")]
    TooMuchWork {
        /// Bytes of the source.
        span: Range<usize>,
    },
}

impl EvaluationError {
    /// Whether something is absent: callers make that inconclusive.
    pub fn is_no_data(&self) -> bool {
        matches!(self, Self::NoData { .. })
    }

    fn is_too_much(&self) -> bool {
        matches!(self, Self::TooMuchWork { .. })
    }
}

/// A name that a condition uses, with its members as far as they are written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The root name, as the scope spells it.
    pub root: String,
    /// The members after it.
    pub members: Vec<String>,
    /// Bytes of the source.
    pub span: Range<usize>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        self.members
            .iter()
            .try_for_each(|member| write!(f, ".{member}"))
    }
}

/// A compiled condition. Cheap to clone; equal when source and language are.
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

struct Compiled {
    source: String,
    syntax: Syntax,
    root: Node,
    references: Vec<Path>,
    warnings: Vec<ConditionWarning>,
}

impl Condition {
    /// Parses and checks a condition. Syntax errors stop at the first; of names, types and units all are returned.
    pub fn compile(
        source: &str,
        syntax: Syntax,
        scope: &dyn Scope,
    ) -> Result<Self, Vec<ConditionError>> {
        let mut root = parser::parse(source, syntax).map_err(|error| vec![*error])?;
        let checked = check::check(&mut root, source, syntax, scope)?;
        let references = check::references(&root);
        let warnings = checked.warnings;
        Ok(Self(Arc::new(Compiled {
            source: source.to_owned(),
            syntax,
            root,
            references,
            warnings,
        })))
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The language it was written in.
    pub fn syntax(&self) -> Syntax {
        self.0.syntax
    }

    /// Every use of a root name, with its members, in source order.
    pub fn references(&self) -> Vec<Path> {
        self.0.references.clone()
    }

    /// What is suspicious about it.
    pub fn warnings(&self) -> &[ConditionWarning] {
        &self.0.warnings
    }

    /// The strict reading: absent data is [`EvaluationError::NoData`], never true or false.
    pub fn evaluate(&self, env: &dyn Environment) -> Result<bool, EvaluationError> {
        self.run(Mode::Strict, env)
    }

    /// Argo Rollouts' reading: NaN compares false both ways, an index out of range is an error, `all([])` is true,
    /// `&&` and `||` go left to right.
    pub fn evaluate_argo(&self, env: &dyn Environment) -> Result<bool, EvaluationError> {
        self.run(Mode::Argo, env)
    }

    fn run(&self, mode: Mode, env: &dyn Environment) -> Result<bool, EvaluationError> {
        let mut evaluator = Evaluator::new(&self.0.source, self.0.syntax, mode, env);
        match evaluator.value(&self.0.root).map_err(|error| *error)? {
            Value::Bool(value) => Ok(value),
            Value::Null if mode == Mode::Strict => Err(EvaluationError::NoData {
                what: self.0.source.clone(),
                reason: "has no value".to_owned(),
                span: self.0.root.span.clone(),
            }),
            other => Err(EvaluationError::NotBoolean {
                found: other.kind().to_owned(),
            }),
        }
    }

    /// Why it is true, false or neither (strict reading), with the values of the parts that decided:
    /// `error_rate_10 is 3.4 %, and must be < 1 %`; `inconclusive: p99_latency_10 has no value`.
    pub fn explain(&self, env: &dyn Environment) -> String {
        explain::explain(
            &self.0.root,
            &self.0.source,
            self.0.syntax,
            Mode::Strict,
            env,
        )
    }

    /// Like [`Condition::explain`], in Argo's reading.
    pub fn explain_argo(&self, env: &dyn Environment) -> String {
        explain::explain(&self.0.root, &self.0.source, self.0.syntax, Mode::Argo, env)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.syntax == other.0.syntax
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition")
            .field(&self.0.source)
            .field(&self.0.syntax)
            .finish()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.source)
    }
}

#[cfg(test)]
mod tests;
