//! The one tree that both languages are parsed into.

use std::fmt;
use std::ops::Range;

use super::value::Value;

/// Bytes of the source.
pub(super) type Span = Range<usize>;

/// One node, where it was written, and how deep it reaches.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) span: Span,
    pub(super) depth: u16,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Literal(Value),
    /// A root name of the scope.
    Name(String),
    /// Bound by a quantifier or `let`; `#` in expr-lang.
    Variable(String),
    Member {
        target: Box<Node>,
        name: String,
    },
    Index {
        target: Box<Node>,
        index: Box<Node>,
    },
    Slice {
        target: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary {
        op: Op,
        left: Box<Node>,
        right: Box<Node>,
    },
    /// `left`, or `right` where left is absent.
    Coalesce {
        left: Box<Node>,
        right: Box<Node>,
    },
    Conditional {
        test: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    /// CEL `has(path)`.
    Has(Box<Node>),
    Call {
        function: Function,
        arguments: Vec<Node>,
    },
    Over {
        quantifier: Quantifier,
        list: Box<Node>,
        variable: String,
        body: Box<Node>,
    },
    Let {
        name: String,
        value: Box<Node>,
        body: Box<Node>,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl Op {
    pub(super) fn is_order(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual
        )
    }

    pub(super) fn is_comparison(self) -> bool {
        self.is_order() || matches!(self, Self::Equal | Self::NotEqual)
    }

    /// The comparison that is true exactly when this one is false.
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Less => Self::GreaterOrEqual,
            Self::GreaterOrEqual => Self::Less,
            Self::Greater => Self::LessOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            other => other,
        }
    }

    /// The comparison with its two sides swapped.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::Greater => Self::Less,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::GreaterOrEqual => Self::LessOrEqual,
            other => other,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Matches => "matches",
            Self::Range => "..",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "**",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Any,
    None,
    One,
    Filter,
    Map,
    Count,
    Find,
}

impl Quantifier {
    /// By the name of an expr-lang predicate function.
    pub(super) fn in_expr(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "any" => Self::Any,
            "none" => Self::None,
            "one" => Self::One,
            "filter" => Self::Filter,
            "map" => Self::Map,
            "count" => Self::Count,
            "find" => Self::Find,
            _ => return None,
        })
    }

    /// By the name of a CEL macro.
    pub(super) fn in_cel(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exists" => Self::Any,
            "exists_one" | "existsOne" => Self::One,
            "filter" => Self::Filter,
            "map" => Self::Map,
            _ => return None,
        })
    }
}

/// The functions of both languages. Each is known in both under all its names: a condition that is moved from one to
/// the other keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Abs,
    Floor,
    Ceil,
    Round,
    Sum,
    Mean,
    Median,
    Min,
    Max,
    Int,
    Float,
    Text,
    Duration,
    IsNan,
    IsInf,
    IsNull,
    Default,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    Lower,
    Upper,
    Trim,
    First,
    Last,
    Keys,
    Values,
    /// `count(list)` of booleans.
    CountTrue,
}

/// Name, function, fewest and most arguments.
pub(super) const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("size", Function::Size, 1, 1),
    ("len", Function::Size, 1, 1),
    ("length", Function::Size, 1, 1),
    ("abs", Function::Abs, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("round", Function::Round, 1, 1),
    ("sum", Function::Sum, 1, 1),
    ("mean", Function::Mean, 1, 16),
    ("median", Function::Median, 1, 16),
    ("min", Function::Min, 1, 16),
    ("max", Function::Max, 1, 16),
    ("int", Function::Int, 1, 1),
    ("asInt", Function::Int, 1, 1),
    ("float", Function::Float, 1, 1),
    ("asFloat", Function::Float, 1, 1),
    ("double", Function::Float, 1, 1),
    ("string", Function::Text, 1, 1),
    ("duration", Function::Duration, 1, 1),
    ("isNaN", Function::IsNan, 1, 1),
    ("isInf", Function::IsInf, 1, 1),
    ("isNil", Function::IsNull, 1, 1),
    ("default", Function::Default, 2, 2),
    ("contains", Function::Contains, 2, 2),
    ("startsWith", Function::StartsWith, 2, 2),
    ("hasPrefix", Function::StartsWith, 2, 2),
    ("endsWith", Function::EndsWith, 2, 2),
    ("hasSuffix", Function::EndsWith, 2, 2),
    ("matches", Function::Matches, 2, 2),
    ("lower", Function::Lower, 1, 1),
    ("lowerAscii", Function::Lower, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("upperAscii", Function::Upper, 1, 1),
    ("trim", Function::Trim, 1, 1),
    ("first", Function::First, 1, 1),
    ("last", Function::Last, 1, 1),
    ("keys", Function::Keys, 1, 1),
    ("values", Function::Values, 1, 1),
    ("count", Function::CountTrue, 1, 1),
];

impl Node {
    /// Everything directly below, in source order.
    pub(super) fn children(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Literal(_) | Kind::Name(_) | Kind::Variable(_) => Vec::new(),
            Kind::Member { target, .. } => vec![target],
            Kind::Index { target, index } => vec![target, index],
            Kind::Slice { target, from, to } => {
                let mut children = vec![&**target];
                children.extend(from.as_deref());
                children.extend(to.as_deref());
                children
            }
            Kind::Not(inner) | Kind::Negate(inner) | Kind::Has(inner) => vec![inner],
            Kind::Binary { left, right, .. } | Kind::Coalesce { left, right } => vec![left, right],
            Kind::Conditional {
                test,
                then,
                otherwise,
            } => vec![test, then, otherwise],
            Kind::Call { arguments, .. } => arguments.iter().collect(),
            Kind::Over { list, body, .. } => vec![list, body],
            Kind::Let { value, body, .. } => vec![value, body],
            Kind::List(items) => items.iter().collect(),
            Kind::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
        }
    }

    /// Whether it means the same whatever the values: nothing in it is a name.
    pub(super) fn is_constant(&self) -> bool {
        !matches!(self.kind, Kind::Name(_) | Kind::Variable(_))
            && self.children().into_iter().all(Self::is_constant)
    }

    /// A name or variable and members or constant indexes of it: data as it came, nothing computed.
    pub(super) fn is_path(&self) -> bool {
        match &self.kind {
            Kind::Name(_) | Kind::Variable(_) => true,
            Kind::Member { target, .. } => target.is_path(),
            Kind::Index { target, index } => target.is_path() && index.is_constant(),
            _ => false,
        }
    }

    /// The root name of a path.
    pub(super) fn root(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) | Kind::Variable(name) => Some(name),
            Kind::Member { target, .. } | Kind::Index { target, .. } => target.root(),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Literal(Value::Null))
    }
}
