//! How numbers look on the pages. `home.js` writes them the same way.

use std::borrow::Borrow;

use crate::http::leaderboard::Score;

/// A number in groups of three digits.
pub(super) fn grouped(number: impl Borrow<u64>) -> String {
    in_threes(&number.borrow().to_string())
}

/// Bytes as megabytes.
pub(super) fn megabytes(bytes: impl Borrow<u64>) -> String {
    format!("{:.1} MB", *bytes.borrow() as f64 / 1e6)
}

/// A score: in groups of three digits, with up to three behind the point.
pub(super) fn points(score: impl Borrow<Score>) -> String {
    let Score(score) = *score.borrow();
    let rounded = format!("{:.3}", score.abs());
    let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
    let fraction = fraction.trim_end_matches('0');
    let (sign, point) =
        (if score < 0.0 { "-" } else { "" }, if fraction.is_empty() { "" } else { "." });
    format!("{sign}{}{point}{fraction}", in_threes(whole))
}

fn in_threes(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_in_threes() {
        for (number, text) in
            [(0_u64, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_score_is_readable_at_every_size() {
        for (score, text) in [
            (0.0, "0"),
            (-9_310.0, "-9,310"),
            (1_234.567_8, "1,234.568"),
            (0.1 + 0.2, "0.3"),
            (9_007_199_254_740_991.0, "9,007,199,254,740,991"),
        ] {
            assert_eq!(points(Score(score)), text);
        }
    }

    #[test]
    fn memory_is_in_megabytes() {
        assert_eq!(megabytes(1_306_680_u64), "1.3 MB");
    }
}
