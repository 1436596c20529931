//! A scanner for POSIX shell and bash that knows how each reference in a script is quoted.
//!
//! It follows the token rules of POSIX.1-2017, Shell Command Language, 2.2 to 2.10, as far as quoting, nesting and the place
//! of a word in its command go. It rewrites references and copies everything else unchanged.

mod expansion;
mod inspect;
mod scanner;
#[cfg(test)]
mod tests;

pub(crate) use scanner::scan;

/// Variables that a script inside of backticks expands.
fn scan_uses(source: &str, bash: bool) -> Vec<crate::plan::script::PlainUse> {
    // Backticks nest only by escaping, so each level is shorter than the one around it.
    scan(source, bash).uses
}
