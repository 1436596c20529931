//! A row of measured values as small bars.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last `width` values, scaled from 0 to the largest; a gap (`·`) where nothing was measured.
pub(crate) fn sparkline(values: &[Option<f64>], width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let top = shown
        .iter()
        .flatten()
        .copied()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    shown
        .iter()
        .map(|value| value.map_or('·', |value| bar(value, top)))
        .collect()
}

fn bar(value: f64, top: f64) -> char {
    if top <= 0.0 || !value.is_finite() {
        return BARS[0];
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=7"
    )]
    let index = (value / top * 7.0).round().clamp(0.0, 7.0) as usize;
    BARS[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_to_the_largest_and_shows_gaps() {
        assert_eq!(
            sparkline(&[Some(0.0), Some(0.5), None, Some(1.0)], 10),
            "▁▅·█"
        );
        assert_eq!(sparkline(&[Some(1.0), Some(0.0), Some(0.0)], 2), "▁▁");
        assert_eq!(sparkline(&[], 5), "");
    }
}
