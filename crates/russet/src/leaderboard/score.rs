//! What a score may be.

use crate::error::{Error, Result};

/// Up to here, 2^53, every whole number is a score of its own.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Refuses what cannot be ranked or is too large to be exact; -0 becomes 0.
pub(super) fn check_score(what: &str, score: f64) -> Result<f64> {
    // NaN fails the comparison too.
    if score.abs() <= LARGEST {
        return Ok(score + 0.0);
    }
    Err(Error::invalid(format_args!("{what} must be a number between -2^53 and 2^53, not {score}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_finite_and_within_the_exact_numbers() {
        for wrong in
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, LARGEST * 1.000_000_1, -LARGEST * 2.0]
        {
            assert!(check_score("score", wrong).is_err(), "{wrong}");
        }
        for right in [0.0, LARGEST, -LARGEST, f64::MIN_POSITIVE, 0.1] {
            assert_eq!(check_score("score", right).unwrap(), right);
        }
        assert!(check_score("score", -0.0).unwrap().is_sign_positive());
    }
}
