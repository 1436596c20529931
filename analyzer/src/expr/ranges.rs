//! Conditions that can never be true, or never false: contradictory ranges of one value.

use std::collections::BTreeMap;

use super::ConditionWarning;
use super::tree::{Kind, Node, Op};
use crate::unit::{Dimension, Unit};

/// A comparison of a value with a constant, the value on the left.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// The value as written, without blanks.
    pub(super) key: String,
    pub(super) op: Op,
    /// In the base of `unit`.
    pub(super) limit: f64,
    pub(super) unit: Unit,
    /// Whether it is data as it came: a latency is never negative, but the difference of two may be.
    pub(super) natural: bool,
}

/// Numbers from `low` to `high`, with or without the ends.
#[derive(Clone, Copy, Debug)]
struct Interval {
    low: f64,
    low_open: bool,
    high: f64,
    high_open: bool,
}

impl Interval {
    fn natural(bound: &Bound) -> Self {
        let (low, high) = match bound.unit.dimension() {
            Dimension::Ratio if bound.natural => (0.0, 1.0),
            Dimension::Time | Dimension::Data | Dimension::Count | Dimension::Rate
                if bound.natural =>
            {
                (0.0, f64::INFINITY)
            }
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        Self {
            low,
            low_open: false,
            high,
            high_open: false,
        }
    }

    fn narrow(&mut self, op: Op, limit: f64) {
        let (raise, lower, open) = match op {
            Op::Greater => (true, false, true),
            Op::GreaterOrEqual => (true, false, false),
            Op::Less => (false, true, true),
            Op::LessOrEqual => (false, true, false),
            Op::Equal => (true, true, false),
            _ => return,
        };
        if raise && (limit > self.low || (limit >= self.low && open)) {
            (self.low, self.low_open) = (limit, open);
        }
        if lower && (limit < self.high || (limit <= self.high && open)) {
            (self.high, self.high_open) = (limit, open);
        }
    }

    fn is_empty(&self) -> bool {
        self.low > self.high || (self.low >= self.high && (self.low_open || self.high_open))
    }
}

pub(super) type Bounds = BTreeMap<(usize, usize), Bound>;

pub(super) fn warnings(root: &Node, bounds: &Bounds) -> Vec<ConditionWarning> {
    let mut found = Vec::new();
    visit(root, bounds, &mut found);
    found
}

/// Looks at each chain of `&&` (can it be true?) and of `||` (can it be false?) as a whole.
fn visit(node: &Node, bounds: &Bounds, found: &mut Vec<ConditionWarning>) {
    let chain = match &node.kind {
        Kind::Binary {
            op: op @ (Op::And | Op::Or),
            ..
        } => *op,
        Kind::Binary { op, .. } if op.is_comparison() => {
            verdict(node, Op::And, bounds, found);
            verdict(node, Op::Or, bounds, found);
            return;
        }
        _ => {
            node.children()
                .into_iter()
                .for_each(|child| visit(child, bounds, found));
            return;
        }
    };
    let before = found.len();
    let mut leaves = Vec::new();
    flatten(node, chain, false, &mut leaves);
    for (leaf, _) in &leaves {
        visit(leaf, bounds, found);
    }
    if found.len() == before {
        verdict(node, chain, bounds, found);
    }
}

/// The parts of a chain, and whether each is negated.
fn flatten<'n>(node: &'n Node, chain: Op, negated: bool, leaves: &mut Vec<(&'n Node, bool)>) {
    let dual = if chain == Op::And { Op::Or } else { Op::And };
    match &node.kind {
        Kind::Binary { op, left, right } if *op == if negated { dual } else { chain } => {
            flatten(left, chain, negated, leaves);
            flatten(right, chain, negated, leaves);
        }
        Kind::Not(inner) => flatten(inner, chain, !negated, leaves),
        _ => leaves.push((node, negated)),
    }
}

fn verdict(node: &Node, chain: Op, bounds: &Bounds, found: &mut Vec<ConditionWarning>) {
    let mut leaves = Vec::new();
    flatten(node, chain, false, &mut leaves);
    let mut intervals: BTreeMap<&str, Interval> = BTreeMap::new();
    for (leaf, negated) in leaves {
        let Some(bound) = bounds.get(&(leaf.span.start, leaf.span.end)) else {
            continue;
        };
        // A chain of `||` is always true when its opposite, a chain of `&&` of opposites, never is.
        let op = if negated == (chain == Op::Or) {
            bound.op
        } else {
            bound.op.opposite()
        };
        intervals
            .entry(&bound.key)
            .or_insert_with(|| Interval::natural(bound))
            .narrow(op, bound.limit);
    }
    let Some((key, _)) = intervals.iter().find(|(_, interval)| interval.is_empty()) else {
        return;
    };
    let message = match chain {
        Op::And => format!("this can never be true: no value of `{key}` meets it"),
        _ => format!("this is always true: every value of `{key}` meets it"),
    };
    let hint = "look at the comparisons, their direction and their units".to_owned();
    found.push(ConditionWarning {
        span: node.span.clone(),
        message,
        hint,
    });
}
