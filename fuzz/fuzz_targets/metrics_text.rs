//! Any bytes as a /metrics page: an answer or an error with a line, never a panic, and what is read stays within its bounds.
#![no_main]

use canary_analyzer::exposition::{Limits, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { series: 100, lines: 1_000, labels: 8, label_bytes: 64, ..Limits::default() };
    match parse(bytes, limits) {
        Ok(found) => {
            assert!(found.samples.len() <= limits.series);
            assert!(found.samples.iter().all(|sample| sample.labels.len() <= limits.labels && !sample.name.is_empty()));
        }
        Err(error) => assert!(error.line <= limits.lines + 1),
    }
});
