//! The limits of a condition: whoever writes one cannot make us use much time, memory or stack.

/// Longest source, in bytes.
pub const MAX_SOURCE: usize = 4096;
/// Deepest tree, and deepest nesting while parsing.
pub const MAX_DEPTH: u16 = 64;
/// Most nodes in a tree.
pub const MAX_NODES: usize = 2_000;
/// Most evaluation steps; a list or text costs more the longer it is.
pub const MAX_STEPS: u32 = 100_000;
/// Longest list that an expression may build or look through.
pub const MAX_LIST: usize = 10_000;
/// Deepest nesting of quantifiers (`all`, `filter`, `map`...), as each multiplies the work.
pub const MAX_QUANTIFIERS: usize = 3;
/// Longest text that an expression may build, in bytes.
pub const MAX_TEXT: usize = 65_536;
/// Largest compiled regular expression, in bytes.
pub const MAX_PATTERN: usize = 256 * 1024;
/// What compiling one regular expression costs, in steps.
pub const PATTERN_STEPS: u32 = 500;

/// What is left of [`MAX_STEPS`] during one evaluation.
#[derive(Debug)]
pub(super) struct Fuel(u32);

impl Fuel {
    pub(super) fn full() -> Self {
        Self(MAX_STEPS)
    }

    /// Takes `steps`; false when there are not as many left.
    pub(super) fn spend(&mut self, steps: u32) -> bool {
        let rest = self.0.checked_sub(steps);
        self.0 = rest.unwrap_or(0);
        rest.is_some()
    }
}
